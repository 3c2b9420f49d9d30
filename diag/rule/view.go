package rule

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Bounds of what a finding lists.
const (
	maxListed = 8  // retransmissions in the evidence of one exchange
	maxText   = 96 // characters of a stranger's text in a summary
	// maxEvidenceText is how many characters of what was told are evidence.
	maxEvidenceText = 320
	maxSearched     = 64 // SAs of one pair of hosts that are compared with one another
)

// v2 gives the IKEv2 SAs.
func v2(f *diag.Facts) []*trace.IKESA { return version(f, 2) }

// v1 gives the IKEv1 SAs.
func v1(f *diag.Facts) []*trace.IKESA { return version(f, 1) }

func version(f *diag.Facts, major int) []*trace.IKESA {
	others := func(sa *trace.IKESA) bool { return sa.Version != major }
	if !slices.ContainsFunc(f.Trace.SAs, others) {
		return f.Trace.SAs // the usual case: every rule asks, and SAs can be many
	}
	var sas []*trace.IKESA
	for _, sa := range f.Trace.SAs {
		if sa.Version == major {
			sas = append(sas, sa)
		}
	}
	return sas
}

// now is the moment up to which the source has looked.
func now(f *diag.Facts) time.Time {
	if f.Now.IsZero() {
		return f.Trace.Last
	}
	return f.Now
}

// gapped says that the source itself missed something, so that what is absent
// may merely not have been seen.
func gapped(f *diag.Facts) bool { return f.Trace.Counts.Dropped > 0 || len(f.Trace.Gaps) > 0 }

// about begins a finding on an SA.
func about(sa *trace.IKESA) diag.Finding {
	return diag.Finding{
		Subject: diag.Subject{
			Local: host(sa.Local.Host), Remote: host(sa.Remote.Host),
			SPIi: sa.InitiatorSPI.String(), SPIr: responderSPI(sa), Connection: sa.Name,
		},
		FirstSeen: sa.First, LastSeen: sa.Last,
	}
}

func host(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// end gives the address of a side. An SA's Local is the initiator, but where a
// daemon told it that is the responder.
func end(sa *trace.IKESA, o trace.Origin) string {
	if (o == trace.Initiator) == sa.Initiator.Or(true) {
		return host(sa.Local.Host)
	}
	return host(sa.Remote.Host)
}

func responderSPI(sa *trace.IKESA) string {
	if sa.ResponderSPI == 0 {
		return ""
	}
	return sa.ResponderSPI.String()
}

// at is evidence in one message.
func at(m *trace.Message, format string, args ...any) diag.Evidence {
	return diag.Evidence{Frame: m.Frame, Time: m.Time, What: fmt.Sprintf(format, args...),
		Message: diag.MessageRef{Known: true, ID: m.Header.MessageID, Response: m.Header.Response()}}
}

// span puts a finding's evidence in order of time and sets the finding's times
// from it.
func span(f diag.Finding) diag.Finding {
	slices.SortStableFunc(f.Evidence, func(a, b diag.Evidence) int { return a.Time.Compare(b.Time) })
	first, last := time.Time{}, time.Time{}
	for _, e := range f.Evidence {
		if e.Time.IsZero() {
			continue
		}
		if first.IsZero() || e.Time.Before(first) {
			first = e.Time
		}
		if e.Time.After(last) {
			last = e.Time
		}
	}
	if !first.IsZero() {
		f.FirstSeen, f.LastSeen = first, last
	}
	return f
}

// exchanges gives the SA's kept exchanges of one type in order.
func exchanges(sa *trace.IKESA, typ wire.ExchangeType) []*trace.Exchange {
	var xs []*trace.Exchange
	for _, x := range sa.Exchanges {
		if x.Type == typ {
			xs = append(xs, x)
		}
	}
	return xs
}

// sent lists the request of x and its repetitions.
func sent(x *trace.Exchange, what string) []diag.Evidence { return copies(x, x.Request, false, what) }

// answered lists the response of x and its repetitions.
func answered(x *trace.Exchange, what string) []diag.Evidence {
	return copies(x, x.Response, true, what)
}

func copies(x *trace.Exchange, m *trace.Message, response bool, what string) []diag.Evidence {
	if m == nil {
		return nil
	}
	list := []diag.Evidence{at(m, "%s", what)}
	for _, r := range x.Repeats {
		if r.Response == response && len(list) < maxListed {
			list = append(list, diag.Evidence{Frame: r.Frame, Time: r.Time, What: what + ", again", Message: list[0].Message})
		}
	}
	return list
}

// lastSent gives the time of the last known transmission of x's request.
func lastSent(x *trace.Exchange) time.Time {
	last := x.Request.Time
	for _, r := range x.Repeats {
		if !r.Response && r.Time.After(last) {
			last = r.Time
		}
	}
	return last
}

// Silence is judged by how often was asked and how long was listened.
const (
	// A request sent this often without an answer is one that nobody answers.
	silentSends = 3
	// It has to have had this long to be answered.
	silentSpan = 2 * time.Second
	// A request sent twice, or once, needs this much listening after it.
	silentTwice = 5 * time.Second
	silentOnce  = 20 * time.Second
)

// silent says that the request of x was seen and stayed without an answer,
// although the source listened long enough for one.
func silent(f *diag.Facts, x *trace.Exchange) bool {
	if x.Request == nil || x.Response != nil || movedOn(x) {
		return false
	}
	sends := 1 + x.RequestRepeats
	return sends >= silentSends && now(f).Sub(x.Request.Time) >= silentSpan ||
		sends == 2 && now(f).Sub(lastSent(x)) >= silentTwice ||
		now(f).Sub(lastSent(x)) >= silentOnce
}

// movedOn says that the side which asked went on to a later exchange, as it
// does only after an answer: then the answer was merely not captured.
func movedOn(x *trace.Exchange) bool {
	for _, o := range x.SA.Exchanges {
		if o != x && o.By == x.By && o.Request != nil &&
			(o.MessageID > x.MessageID || o.Variant && o.MessageID == x.MessageID && o.Request.Time.After(x.Request.Time)) {
			return true
		}
	}
	return false
}

// heard says whether any message of the given side was seen in the SA.
func heard(sa *trace.IKESA, side trace.Origin) bool {
	return slices.ContainsFunc(sa.Exchanges, func(x *trace.Exchange) bool {
		return x.By == side && x.Request != nil || x.By != side && x.Response != nil
	})
}

// lastFrom is evidence of the last IKE message of a side; its time is zero
// where none was seen.
func lastFrom(sa *trace.IKESA, side trace.Origin) diag.Evidence {
	var last diag.Evidence
	for _, x := range sa.Exchanges {
		m, response := x.Request, false
		if x.By != side {
			m, response = x.Response, true
		}
		if m == nil {
			continue
		}
		if m.Time.After(last.Time) {
			last.Time, last.Frame = m.Time, m.Frame
		}
		for _, r := range x.Repeats {
			if r.Response == response && r.Time.After(last.Time) {
				last.Time, last.Frame = r.Time, r.Frame
			}
		}
	}
	last.What = fmt.Sprintf("last IKE message of %s", end(sa, side))
	return last
}

// up says that the SA was established at some time.
func up(sa *trace.IKESA) bool {
	switch sa.State {
	case engine.IKECreated, engine.IKEConnecting, engine.IKEFailed:
		return false
	}
	return true
}

// peers finds SAs by the two hosts between which they are.
type peers map[[2]netip.Addr][]*trace.IKESA

func key(a, b netip.Addr) [2]netip.Addr {
	if b.Less(a) {
		a, b = b, a
	}
	return [2]netip.Addr{a, b}
}

func byPeers(sas []*trace.IKESA) peers {
	p := make(peers, len(sas))
	for _, sa := range sas {
		k := key(sa.Local.Host, sa.Remote.Host)
		p[k] = append(p[k], sa)
	}
	return p
}

// of gives the SAs between the hosts of sa, the last ones where they are many.
func (p peers) of(sa *trace.IKESA) []*trace.IKESA {
	l := p[key(sa.Local.Host, sa.Remote.Host)]
	return l[max(0, len(l)-maxSearched):]
}

// recovered says that a later SA between the same hosts came up.
func (p peers) recovered(sa *trace.IKESA) bool {
	return slices.ContainsFunc(p.of(sa), func(o *trace.IKESA) bool {
		return o != sa && o.First.After(sa.First) && up(o)
	})
}

// fragmentation says whether both IKE_SA_INIT messages announce IKE
// fragmentation; who names the side that does not.
func fragmentation(sa *trace.IKESA) (both bool, who string) {
	if sa.Init == nil || sa.Init.Request == nil || sa.Init.Response == nil {
		return false, ""
	}
	i := sa.Init.Request.Notify(wire.NotifyFragmentationSupported) != nil
	r := sa.Init.Response.Notify(wire.NotifyFragmentationSupported) != nil
	switch {
	case i && r:
		return true, ""
	case i:
		return false, "the responder"
	case r:
		return false, "the initiator"
	}
	return false, "neither side"
}

// proposals gives the proposals of a message's SA payload.
func proposals(m *trace.Message) []wire.Proposal {
	if m == nil {
		return nil
	}
	p := wire.First(m.Payloads, wire.PayloadSA)
	if p == nil {
		return nil
	}
	sa, ok := p.Body.(*wire.SA)
	if !ok {
		return nil
	}
	return sa.Proposals
}

// carries says whether any readable message of an SA holds a notify.
func carries(sa *trace.IKESA, typ wire.NotifyType) bool {
	if !sa.MayCarry(typ) {
		return false
	}
	for _, x := range sa.Exchanges {
		if x.Request.Notify(typ) != nil || x.Response.Notify(typ) != nil {
			return true
		}
	}
	return false
}

// body gives the first payload body of type B in a readable chain.
func body[B any](m *trace.Message) (b B, ok bool) {
	if m == nil {
		return b, false
	}
	for i := range m.Payloads {
		if b, ok = m.Payloads[i].Body.(B); ok {
			return b, true
		}
	}
	return b, false
}

// seconds writes a duration for a summary.
func seconds(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

// count writes "once", "twice", "6 times".
func count(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

// short bounds a stranger's text.
func short(s string) string { return clip(s, maxText) }

// clip bounds a text to most characters.
func clip(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

// join writes "a", "a and b", "a, b and c".
func join(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
}
