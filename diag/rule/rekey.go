package rule

import (
	"fmt"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var rekeyRules = []diag.Rule{
	{
		ID:    "pfs-mismatch-at-rekey",
		Needs: []string{"CREATE_CHILD_SA exchanges: first inner payloads and lengths; with keys their notifies"},
		After: []string{"temporary-failure-storm"},
		Find:  pfsMismatch,
	},
	{
		ID:    "ike-rekey-ke-mismatch",
		Needs: []string{"with keys: CREATE_CHILD_SA exchanges"},
		Find:  ikeRekeyRefused,
	},
	{
		ID:    "rekey-collision",
		Needs: []string{"CREATE_CHILD_SA exchanges with their times"},
		Find:  collision,
	},
	{
		ID:    "temporary-failure-storm",
		Needs: []string{"with keys: CREATE_CHILD_SA and INFORMATIONAL responses"},
		Find:  temporaryFailures,
	},
	{
		ID:    "child-sa-not-found",
		Needs: []string{"with keys: CREATE_CHILD_SA responses"},
		After: []string{"lifetime-mismatch"},
		Find:  childNotFound,
	},
}

// rekeysChild says that a CREATE_CHILD_SA request rekeys a CHILD SA: keys show
// REKEY_SA, and without them a leading Notify makes it likely.
func rekeysChild(x *trace.Exchange) bool {
	return x.Purpose == trace.PurposeRekeyChild ||
		x.Request != nil && !x.Request.Decrypted && x.Request.First == wire.PayloadNotify
}

// succeeded says that a CREATE_CHILD_SA exchange made an SA.
func succeeded(x *trace.Exchange) bool {
	return x.Response != nil && (proposals(x.Response) != nil || !x.Response.Decrypted && x.Response.First == wire.PayloadSA)
}

// rekeyed names the CHILD SA that an exchange is to replace, "" where that cannot
// be read.
func rekeyed(x *trace.Exchange) string {
	if x.Request == nil {
		return ""
	}
	if n := x.Request.Notify(wire.NotifyRekeySA); n != nil {
		return string(n.SPI)
	}
	return ""
}

// mendedBy gives for each CHILD SA the place of the last exchange that replaced
// it: what failed before is settled.
func mendedBy(xs []*trace.Exchange) map[string]int {
	mended := map[string]int{}
	for i, x := range xs {
		if x.Response != nil && rekeysChild(x) && succeeded(x) {
			mended[rekeyed(x)] = i
		}
	}
	return mended
}

func pfsMismatch(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		xs := exchanges(sa, wire.ExchangeCreateChildSA)
		if len(xs) == 0 {
			continue
		}
		d := about(sa)
		refusedBy, failures, keyed := "", 0, false
		mended := mendedBy(xs)
		for i, x := range xs {
			m := x.Response
			switch {
			case m == nil || !rekeysChild(x) || succeeded(x) || i < mended[rekeyed(x)]:
			case m.Decrypted && m.Notify(wire.NotifyNoProposalChosen) != nil:
				keyed = true
				failures++
				refusedBy = host(m.Src.Addr())
				d.Evidence = append(d.Evidence, at(m, "rekey refused: N(NO_PROPOSAL_CHOSEN)%s", offered(x)))
			case !m.Decrypted && sealedPlainNotify(sa, m):
				failures++
				refusedBy = host(m.Src.Addr())
				d.Evidence = append(d.Evidence, at(m, "rekey answered by a Notify without data and nothing else (%d octets)", m.Length))
			}
		}
		switch {
		case failures == 0:
			continue
		case keyed:
			d.Confidence = diag.Certain
			d.Summary = fmt.Sprintf("%s refuses to rekey the CHILD SA, %s: no ESP proposal with this key exchange in common", refusedBy, count(failures))
		case failures == 1:
			// One may be TEMPORARY_FAILURE, which a retry settles.
			d.Confidence, d.Severity = diag.Hint, diag.Info
			d.Summary = fmt.Sprintf("%s refused a CHILD rekey once", refusedBy)
			d.Surer = "keys of the SA (--keys), or a capture that goes on"
		default:
			d.Confidence = diag.Likely
			d.Summary = fmt.Sprintf("%s refuses to rekey the CHILD SA, %s: its group (PFS) probably differs", refusedBy, count(failures))
			d.Surer = "keys of the SA (--keys), or either side's log"
		}
		found = append(found, span(d))
	}
	return found
}

// sealedPlainNotify says that a sealed message is one Notify without SPI and
// data.
func sealedPlainNotify(sa *trace.IKESA, m *trace.Message) bool {
	r, ok := inside(sa, m)
	return ok && m.First == wire.PayloadNotify && r.exactly(8)
}

func ikeRekeyRefused(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		if !carries(sa, wire.NotifyNoProposalChosen) {
			continue
		}
		d := about(sa)
		for _, x := range exchanges(sa, wire.ExchangeCreateChildSA) {
			if x.Purpose != trace.PurposeRekeyIKE {
				continue
			}
			if succeeded(x) {
				d.Evidence = nil
				continue
			}
			if n, typ := errorOf(x.Response); n != nil && typ == wire.NotifyNoProposalChosen {
				d.Evidence = append(d.Evidence, at(x.Response, "IKE rekey refused: N(%s)%s", typ, offered(x)))
			}
		}
		if len(d.Evidence) == 0 {
			continue
		}
		d.Confidence = diag.Certain
		d.Summary = fmt.Sprintf("the IKE SA between %s and %s cannot be rekeyed: refused %s", sa.Local.Host, sa.Remote.Host, count(len(d.Evidence)))
		found = append(found, span(d))
	}
	return found
}

func collision(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		xs := exchanges(sa, wire.ExchangeCreateChildSA)
		for i, a := range xs {
			for _, b := range xs[i+1:] {
				if a.By == b.By || !overlapping(a, b) {
					continue
				}
				d := about(sa)
				d.Confidence = diag.Certain
				// The protocol resolves it; what goes wrong afterwards has
				// rules of its own.
				d.Severity = diag.Info
				d.Evidence = []diag.Evidence{at(a.Request, "CREATE_CHILD_SA by the %s", a.By), at(b.Request, "CREATE_CHILD_SA by the %s", b.By)}
				d.Summary = fmt.Sprintf("%s and %s began a CREATE_CHILD_SA exchange at the same time", sa.Local.Host, sa.Remote.Host)
				found = append(found, span(d))
			}
		}
	}
	return found
}

// overlapping says that each of two exchanges began before the other one was
// answered.
func overlapping(a, b *trace.Exchange) bool {
	if a.Request == nil || b.Request == nil || a.Response == nil || b.Response == nil {
		return false
	}
	return b.Request.Time.Before(a.Response.Time) && a.Request.Time.Before(b.Response.Time)
}

// storm is the number of TEMPORARY_FAILURE answers that are no longer the
// ordinary outcome of a collision.
const storm = 3

func temporaryFailures(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		if !carries(sa, wire.NotifyTemporaryFailure) {
			continue
		}
		d := about(sa)
		by := ""
		for _, x := range sa.Exchanges {
			if x.Response.Notify(wire.NotifyTemporaryFailure) != nil {
				by = host(x.Response.Src.Addr())
				d.Evidence = append(d.Evidence, at(x.Response, "N(TEMPORARY_FAILURE) in answer to %s (%s)", x.Type, x.Purpose))
			}
		}
		if len(d.Evidence) < storm {
			continue
		}
		d.Confidence = diag.Certain
		d.Summary = fmt.Sprintf("%s answered TEMPORARY_FAILURE %s", by, count(len(d.Evidence)))
		found = append(found, span(d))
	}
	return found
}

func childNotFound(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		if !carries(sa, wire.NotifyChildSANotFound) {
			continue
		}
		d := about(sa)
		by := ""
		for _, x := range sa.Exchanges {
			n := x.Response.Notify(wire.NotifyChildSANotFound)
			if n == nil {
				continue
			}
			by = host(x.Response.Src.Addr())
			d.Evidence = append(d.Evidence, at(x.Response, "N(CHILD_SA_NOT_FOUND) for SPI %x", n.SPI))
		}
		if len(d.Evidence) == 0 {
			continue
		}
		d.Confidence = diag.Certain
		d.Summary = fmt.Sprintf("%s no longer knows the CHILD SA that it was asked to rekey, %s", by, count(len(d.Evidence)))
		if len(d.Evidence) == 1 {
			// A rekey that crosses a delete ends so (RFC 7296 2.25.1).
			d.Severity = diag.Info
		}
		found = append(found, span(d))
	}
	return found
}

// offered says what a request proposed, "" where its source does not tell.
func offered(x *trace.Exchange) string {
	if words := listProposals(proposals(x.Request)); words != "" {
		return "; offered " + words
	}
	return ""
}
