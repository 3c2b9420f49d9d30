package rule

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// siblingRules recognise peers that share an identity.
var siblingRules = []diag.Rule{
	{
		ID:    "initial-contact-kills-sibling",
		Needs: []string{"with keys, or from our own engine: IDi and INITIAL_CONTACT of several IKE_AUTH", "\"received INITIAL_CONTACT\" in charon's log, several times"},
		Find:  evictions,
	},
}

// Two devices with one identity come back at once when they are evicted; one that
// changes between two networks takes its time.
const (
	evictionSpan   = 10 * time.Minute // between one login and the next
	evictionsFew   = 2                // changes of address that are no accident
	evictionsMany  = 4                // and that no single device makes
	maxLoginsTold  = maxListed
	oneDeviceMoves = "whether it is one device that changes between two networks: ask who uses this identity"
)

// login is an IKE SA by which a peer with an identity ended its older ones, or, of a
// daemon's log, the one that was ended.
type login struct {
	sa   *trace.IKESA
	host netip.Addr // the peer's
	seen diag.Evidence
}

// evictions looks for an identity that comes from two addresses in turn, each time
// saying that it has no other IKE SA (RFC 7296 2.4).
func evictions(f *diag.Facts) []diag.Finding {
	type who struct {
		id string
		us netip.Addr
	}
	logins := map[who][]login{}
	var order []who
	add := func(id string, us netip.Addr, l login) {
		k := who{id, us}
		if logins[k] == nil {
			order = append(order, k)
		}
		logins[k] = append(logins[k], l)
	}
	for _, sa := range v2(f) {
		if len(sa.Auth) == 0 || !up(sa) {
			continue
		}
		m := sa.Auth[0].Request
		if !opened(m) || m.Notify(wire.NotifyInitialContact) == nil {
			continue
		}
		if id, ok := body[*wire.ID](m); ok {
			add(id.String(), m.Dst.Addr(), login{sa, m.Src.Addr(), at(m, "IKE_AUTH of %s from %s with INITIAL_CONTACT", short(id.String()), m.Src.Addr())})
		}
	}
	// charon tells of it in the words of the SA that goes.
	for _, k := range stepFacts(f.Trace) {
		if k.kind == "initial-contact" && k.sa != nil && k.sa.Remote.Host.IsValid() {
			add(k.detail["peer"], k.sa.Local.Host, login{k.sa, k.sa.Remote.Host, diag.Evidence{Time: k.time, What: short(k.text) + ": the one of " + k.sa.Remote.Host.String()}})
		}
	}
	var found []diag.Finding
	for _, k := range order {
		l := logins[k]
		slices.SortStableFunc(l, func(a, b login) int {
			return cmp.Or(a.seen.Time.Compare(b.seen.Time), cmp.Compare(a.seen.Frame, b.seen.Frame))
		})
		var turns []login
		for i := 1; i < len(l); i++ {
			if l[i].host != l[i-1].host && l[i].seen.Time.Sub(l[i-1].seen.Time) <= evictionSpan {
				if len(turns) == 0 {
					turns = append(turns, l[i-1])
				}
				turns = append(turns, l[i])
			}
		}
		// A daemon's log tells those that evicted somebody: the first login is none.
		n, logged := len(turns)-1, !l[0].seen.Message.Known
		if logged && len(turns) > 0 {
			n++
		}
		if n < evictionsFew {
			if logged {
				found = append(found, evicted(l[len(l)-1], len(l)))
			}
			continue
		}
		last := turns[len(turns)-1]
		d := about(last.sa)
		d.Confidence, d.Surer = diag.Likely, oneDeviceMoves
		if n >= evictionsMany {
			d.Confidence, d.Surer = diag.Certain, ""
		}
		var hosts []string
		for _, t := range turns {
			if len(d.Evidence) < maxLoginsTold {
				d.Evidence = append(d.Evidence, t.seen)
			}
			if h := t.host.String(); !slices.Contains(hosts, h) && len(hosts) < maxListed {
				hosts = append(hosts, h)
			}
		}
		d.Summary = fmt.Sprintf("%s come in turn as %s, and each ends the other's tunnel, %s: two devices share one identity", join(hosts), short(k.id), count(n))
		d.Count = n
		found = append(found, span(d))
	}
	return found
}

// evicted is one that a daemon tells of, as it happens where a peer begins anew.
func evicted(l login, times int) diag.Finding {
	d := about(l.sa)
	d.Severity, d.Confidence, d.Surer = diag.Info, diag.Hint, "whether it happens again: two devices with one identity push each other out"
	d.Evidence, d.Count = []diag.Evidence{l.seen}, times
	d.Summary = fmt.Sprintf("a peer said INITIAL_CONTACT, and this side dropped the older IKE SA with the same identity, that of %s", l.host)
	return span(d)
}
