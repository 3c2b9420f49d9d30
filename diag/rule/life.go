package rule

import (
	"fmt"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var lifeRules = []diag.Rule{
	{
		ID:    "dpd-timeout",
		Needs: []string{"encrypted requests of an established SA", "time to listen after them"},
		After: []string{"nat-mapping-timeout", "mobike-address-change-failed"},
		Find:  peerGone,
	},
	{
		ID:    "mobike-address-change-failed",
		Needs: []string{"changes of address within an SA", "the exchanges after them; with keys their notifies"},
		Find:  moveFailed,
	},
	{
		ID:    "lifetime-mismatch",
		Needs: []string{"several INFORMATIONAL exchanges that begin with a Delete", "CREATE_CHILD_SA exchanges"},
		After: []string{"pfs-mismatch-at-rekey"},
		Find:  lifetimes,
	},
	{
		ID:    "reauth-gap",
		Needs: []string{"several IKE SAs of the same two hosts, one after the other"},
		Find:  reauthGap,
	},
	{
		ID:    "ike-delete-unexplained",
		Needs: []string{"IKE_AUTH and the INFORMATIONAL after it"},
		After: []string{"lifetime-mismatch", "ts-unacceptable", "no-proposal-child-initial", "idr-mismatch"},
		Find:  earlyDelete,
	},
}

// deadRequest gives the request of an established SA that nobody answers and
// after which nothing was heard of the other side, nil where there is none.
func deadRequest(f *diag.Facts, sa *trace.IKESA) *trace.Exchange {
	if !up(sa) || !heard(sa, trace.Initiator) || !heard(sa, trace.Responder) {
		return nil
	}
	for _, x := range sa.Exchanges {
		if x.Type != wire.ExchangeInformational && x.Type != wire.ExchangeCreateChildSA || !silent(f, x) || !x.Request.Encrypted {
			continue
		}
		// Who deletes does not care, and neither does who refuses the peer.
		if x.Purpose == trace.PurposeDelete || x == rejectedPeer(sa) {
			continue
		}
		if !lastFrom(sa, opposite(x.By)).Time.After(x.Request.Time) {
			return x
		}
	}
	return nil
}

func opposite(o trace.Origin) trace.Origin {
	if o == trace.Initiator {
		return trace.Responder
	}
	return trace.Initiator
}

func peerGone(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	idx := byPeers(v2(f))
	for _, sa := range v2(f) {
		x := deadRequest(f, sa)
		if x == nil {
			continue
		}
		q := x.Request
		d := about(sa)
		d.Confidence = diag.Likely
		what := fmt.Sprintf("%s request (%s), message ID %d, to %s", x.Type, purposeText(x), x.MessageID, q.Dst)
		d.Evidence = sent(x, what)
		peer := q.Dst.Addr()
		d.Summary = fmt.Sprintf("%s stopped answering: %s sent %s %s over %s without an answer", peer, q.Src.Addr(), purposeText(x),
			count(1+x.RequestRepeats), seconds(lastSent(x).Sub(q.Time)))
		d.Evidence = append(d.Evidence, lastFrom(sa, opposite(x.By)))
		if last := lastESP(sa, peer.String()); !last.Time.IsZero() {
			d.Evidence = append(d.Evidence, last)
			if last.Time.After(lastSent(x)) {
				d.Summary += "; its ESP goes on: the host is alive, its IKE is not"
			}
		}
		d.Surer = otherSideCapture
		if icmp := complaints(f, sa); len(icmp) > 0 {
			d.Evidence = append(d.Evidence, icmp...)
			d.Summary += "; " + icmp[0].What
		}
		if gapped(f) {
			d.Confidence = diag.Hint
		}
		if idx.recovered(sa) {
			d.Severity = diag.Medium
			d.Summary += "; a new SA came up later"
		}
		found = append(found, span(d))
	}
	return found
}

func purposeText(x *trace.Exchange) string {
	switch x.Purpose {
	case trace.PurposeDPD:
		return "a liveness probe"
	case trace.PurposeMobike:
		return "an address update"
	case trace.PurposeRekeyChild:
		return "a CHILD rekey"
	case trace.PurposeRekeyIKE:
		return "an IKE rekey"
	}
	return "a " + x.Type.String() + " request"
}

// lastESP is evidence of the last ESP packet from a host in the SA's flows;
// its time is zero where none was seen.
func lastESP(sa *trace.IKESA, from string) diag.Evidence {
	var last diag.Evidence
	for _, fl := range sa.Flows {
		if host(fl.Src.Addr()) == from && fl.Last.After(last.Time) {
			last = diag.Evidence{Frame: fl.LastFrame, Time: fl.Last, What: fmt.Sprintf("last ESP of %s", from)}
		}
	}
	return last
}

func moveFailed(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		var dead *trace.Exchange
		if len(sa.Moves) > 0 {
			dead = deadRequest(f, sa)
		}
		for _, x := range sa.Exchanges {
			refusedBy := x.Response.Notify(wire.NotifyUnacceptableAddresses)
			gone := refusedBy == nil && x == dead && movedBefore(sa, x)
			if refusedBy == nil && !gone {
				continue
			}
			d := about(sa)
			if refusedBy != nil {
				d.Confidence = diag.Certain
				d.Evidence = []diag.Evidence{at(x.Response, "N(UNACCEPTABLE_ADDRESSES)")}
				d.Summary = fmt.Sprintf("%s refuses the new address of %s", x.Response.Src.Addr(), x.Response.Dst.Addr())
			} else {
				d.Confidence = diag.Likely
				d.Evidence = sent(x, fmt.Sprintf("%s from the new address %s", x.Type, x.Request.Src))
				d.Summary = fmt.Sprintf("the SA moved to %s, and %s does not answer there", x.Request.Src, x.Request.Dst)
				d.Surer = otherSideCapture
			}
			found = append(found, span(d))
			break
		}
	}
	return found
}

// movedBefore says that the side which asked had come from another address
// before.
func movedBefore(sa *trace.IKESA, x *trace.Exchange) bool {
	return slices.ContainsFunc(sa.Moves, func(m trace.Move) bool {
		return m.By == x.By && m.To == x.Request.Src && m.From.Addr() != m.To.Addr() && !m.Time.After(x.Request.Time)
	})
}

// replacement is a Delete without a rekey before it, and the new SA after it.
type replacement struct {
	deleted *trace.Exchange
	age     time.Duration // of what was deleted
	by      trace.Origin
}

// alike says that the ages agree within a quarter: a lifetime, not chance.
func alike(list []replacement) bool {
	low, high := list[0].age, list[0].age
	for _, r := range list {
		low, high = min(low, r.age), max(high, r.age)
	}
	return high-low <= high/4
}

// shortestLife is the age under which a Delete belongs to the setup before it.
const shortestLife = time.Second

// childReplacements finds the CHILD SAs of an SA that one side deleted and
// that were then made anew. A rekey looks the other way round: first the new
// SA, and the Delete at once.
func childReplacements(sa *trace.IKESA) []replacement {
	var list []replacement
	var made time.Time // when the present CHILD SA came to be
	var pending *trace.Exchange
	for _, x := range sa.Exchanges {
		switch {
		case x.Request == nil:
		case x.Type == wire.ExchangeIKEAuth && x.Response != nil:
			made = x.Response.Time
		case x.Purpose == trace.PurposeDelete && deletesChild(x):
			if pending == nil && !made.IsZero() && x.Request.Time.Sub(made) > shortestLife {
				pending = x
			}
		case x.Type == wire.ExchangeCreateChildSA && succeeded(x):
			if pending != nil && x.Purpose != trace.PurposeRekeyChild && x.Purpose != trace.PurposeRekeyIKE && x.Request.First != wire.PayloadNotify {
				age := pending.Request.Time.Sub(made)
				if wait := x.Request.Time.Sub(pending.Request.Time); wait < age/2 {
					list = append(list, replacement{pending, age, pending.By})
				}
			}
			pending = nil
			made = x.Response.Time
		}
	}
	return list
}

// deletesChild says that a Delete can be for a CHILD SA: keys show its
// protocol.
func deletesChild(x *trace.Exchange) bool {
	if !opened(x.Request) {
		return true
	}
	del, ok := body[*wire.Delete](x.Request)
	return ok && del.Protocol != wire.ProtocolIKE
}

func lifetimes(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		for _, by := range []trace.Origin{trace.Initiator, trace.Responder} {
			list := childReplacements(sa)
			list = slices.DeleteFunc(list, func(r replacement) bool { return r.by != by })
			if len(list) < 2 || !alike(list) {
				continue
			}
			d := about(sa)
			d.Confidence = diag.Likely
			for _, r := range list[:min(len(list), maxListed)] {
				d.Evidence = append(d.Evidence, at(r.deleted.Request, "Delete by the %s at an age of %s, without a rekey before it", by, seconds(r.age)))
			}
			d.Summary = fmt.Sprintf("%s deletes the CHILD SA every %s instead of rekeying it (%s here), and a new one has to be made each time",
				end(sa, by), seconds(list[0].age), count(len(list)))
			d.Surer = "the lifetimes configured on both sides"
			d.Variant = by.String()
			found = append(found, span(d))
		}
	}
	return append(found, ikeLifetimes(f, false)...)
}

func reauthGap(f *diag.Facts) []diag.Finding { return ikeLifetimes(f, true) }

// shortestIKELife is the age of an IKE SA from which equal ages are taken for
// a lifetime: people who try things end SAs sooner.
const shortestIKELife = 5 * time.Minute

// ikeLifetimes finds IKE SAs of two hosts that one side deleted at the same
// age again and again, with the next one begun only afterwards: by the side
// that deleted (reauthentication), or by the other one.
func ikeLifetimes(f *diag.Facts, reauth bool) []diag.Finding {
	var found []diag.Finding
	idx := byPeers(v2(f))
	done := map[[2]string]bool{}
	for _, first := range v2(f) {
		pair := [2]string{host(first.Local.Host), host(first.Remote.Host)}
		if done[pair] {
			continue
		}
		done[pair] = true
		l := idx.of(first)
		var list []replacement
		for i := 0; i+1 < len(l); i++ {
			old, next := l[i], l[i+1]
			if old.Ended != trace.EndDeleted || old.Established.IsZero() || old.EndedAt.IsZero() || !next.First.After(old.EndedAt) || old.Local.Host != first.Local.Host {
				continue
			}
			age := old.EndedAt.Sub(old.Established)
			sameSide := (next.Local.Host == old.Local.Host) == (old.EndedBy == trace.Initiator)
			if age < shortestIKELife || sameSide != reauth || next.First.Sub(old.EndedAt) > age/2 {
				continue
			}
			if x := deleteOf(old); x != nil {
				list = append(list, replacement{x, age, old.EndedBy})
			}
		}
		if len(list) < 2 || !alike(list) {
			continue
		}
		d := about(first)
		d.Confidence = diag.Likely
		for _, r := range list[:min(len(list), maxListed)] {
			d.Evidence = append(d.Evidence, at(r.deleted.Request, "IKE SA deleted by the %s at an age of %s, the next one begun afterwards", r.by, seconds(r.age)))
		}
		who := end(first, list[0].by)
		d.Summary = fmt.Sprintf("%s deletes the IKE SA every %s, and the other side has to begin again each time", who, seconds(list[0].age))
		if reauth {
			d.Summary = fmt.Sprintf("%s reauthenticates every %s by deleting the IKE SA first: an outage each time", who, seconds(list[0].age))
		}
		d.Surer = "the lifetimes configured on both sides"
		found = append(found, span(d))
	}
	return found
}

// deleteOf gives the exchange that deleted an IKE SA.
func deleteOf(sa *trace.IKESA) *trace.Exchange {
	for i := len(sa.Exchanges) - 1; i >= 0; i-- {
		if x := sa.Exchanges[i]; x.Purpose == trace.PurposeDelete && x.Request != nil {
			return x
		}
	}
	return nil
}

// earlyAge is how soon after IKE_AUTH a Delete of the responder is odd.
const earlyAge = 5 * time.Second

// unused says that an SA has carried nothing: a capture shows it, a daemon has to
// have counted it.
func unused(f *diag.Facts, sa *trace.IKESA) bool {
	if !f.Trace.Daemon.Known {
		return len(sa.Flows) == 0
	}
	return len(sa.Children) > 0 && !slices.ContainsFunc(sa.Children, func(c *engine.ChildSA) bool {
		in, counted := c.PacketsIn.Get()
		return !counted || in > 0 || c.PacketsOut.Or(1) > 0
	})
}

func earlyDelete(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		if sa.Partial || sa.Established.IsZero() || sa.Ended != trace.EndDeleted || !unused(f, sa) {
			continue
		}
		x := deleteOf(sa)
		if x == nil || x.By != trace.Responder || x.Request.Time.Sub(sa.Established) > earlyAge {
			continue
		}
		d := about(sa)
		d.Confidence = diag.Hint
		d.Evidence = []diag.Evidence{at(x.Request, "Delete by the responder")}
		d.Summary = fmt.Sprintf("%s deletes the SA %s after it came up, before any traffic", end(sa, x.By), seconds(x.Request.Time.Sub(sa.Established)))
		d.Surer = "the responder's log at that second"
		found = append(found, span(d))
	}
	return found
}
