package rule

import (
	"fmt"
	"net/netip"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// largeMessage is the length in octets from which an IKE message is suspected
// of not fitting a path: 1280 less IP and UDP headers.
const largeMessage = 1232

// wholeMessage is the longest IKE message, in octets, that a packet of 1500
// octets takes whole: without an IPv4 header, one of UDP, and the marker of port
// 4500.
const wholeMessage = 1500 - 20 - 8 - 4

var silenceRules = []diag.Rule{
	{
		ID:    "udp4500-blocked",
		Needs: []string{"IKE_SA_INIT and IKE_AUTH exchanges with their ports"},
		After: []string{"ike-fragment-incomplete"},
		Find:  both(authSilence("udp4500-blocked"), probed(blocked4500)),
	},
	{
		ID:    "ike-auth-ip-fragment-loss",
		Needs: []string{"IKE_AUTH exchanges", "IP fragments"},
		Find:  both(authSilence("ike-auth-ip-fragment-loss"), probed(largeLost)),
	},
	{
		ID:    "auth-phase-silent",
		Needs: []string{"IKE_SA_INIT and IKE_AUTH exchanges with their ports and lengths"},
		After: []string{"ike-fragment-incomplete"},
		Find:  authSilence("auth-phase-silent"),
	},
	{
		ID:    "udp4500-one-way",
		Needs: []string{"IKE_AUTH exchanges with their retransmissions"},
		After: []string{"ike-auth-ip-fragment-loss"},
		Find:  authOneWay,
	},
	{
		ID:    "ike-fragment-incomplete",
		Needs: []string{"Encrypted Fragment payloads"},
		Find:  fragmentsIncomplete,
	},
}

// authSilence makes the rule of one id out of the one judgement of why
// IKE_AUTH stays without an answer.
func authSilence(id string) func(*diag.Facts) []diag.Finding {
	return func(f *diag.Facts) []diag.Finding {
		var found []diag.Finding
		idx := byPeers(v2(f))
		encapsulated := senders(f)
		for _, sa := range v2(f) {
			x := silentAuth(f, sa)
			if x == nil {
				continue
			}
			verdict, d := judgeAuthSilence(f, sa, x, encapsulated)
			if verdict != id {
				continue
			}
			if gapped(f) {
				d.Confidence = d.Confidence.Weaker()
			}
			if idx.recovered(sa) {
				d.Severity = diag.Low
				d.Summary += "; a later attempt succeeded"
			}
			found = append(found, span(d))
		}
		return found
	}
}

// silentAuth gives the IKE_AUTH exchange of an SA that stayed without an
// answer although IKE_SA_INIT had one, nil where there is none.
func silentAuth(f *diag.Facts, sa *trace.IKESA) *trace.Exchange {
	if sa.Init == nil || sa.Init.Response == nil || up(sa) {
		return nil
	}
	for _, x := range sa.Auth {
		if silent(f, x) {
			return x
		}
		// A set of fragments that the source could not put together shows a
		// first fragment only; its repetitions say that nobody answered.
	}
	return nil
}

// judgeAuthSilence says which fault it is that x is not answered: by what was
// lost, by size, by port. The ends in encapsulated are known to get through.
func judgeAuthSilence(f *diag.Facts, sa *trace.IKESA, x *trace.Exchange, encapsulated map[netip.AddrPort]bool) (string, diag.Finding) {
	d := about(sa)
	d.Confidence = diag.Likely
	q := x.Request
	what := fmt.Sprintf("IKE_AUTH request of %d octets to %s", q.Length, q.Dst)
	sends := 1 + x.RequestRepeats
	d.Evidence = append([]diag.Evidence{at(sa.Init.Response, "IKE_SA_INIT answered by %s", sa.Init.Response.Src)}, sent(x, what)...)
	lost := lostFragments(f, sa)

	switch {
	case len(lost) > 0:
		l := lost[0]
		d.Confidence = diag.Certain
		d.Evidence = append(d.Evidence, diag.Evidence{Frame: l.Frame, Time: l.Time, What: fmt.Sprintf("IP fragments from %s to %s, %d seen, never complete", l.Src, l.Dst, l.Have)})
		d.Summary = fmt.Sprintf("IP fragments between %s and %s get lost: IKE_AUTH is never answered, sent %s%s", l.Src, l.Dst, count(sends), withoutFragmentation(sa))
		ownFragmentation(sa, &d)
		return "ike-auth-ip-fragment-loss", d
	case q.IPFragments > 1:
		d.Summary = fmt.Sprintf("IKE_AUTH of %d octets leaves %s as %d IP fragments and gets no answer, sent %s%s",
			q.Length, q.Src.Addr(), q.IPFragments, count(sends), withoutFragmentation(sa))
		d.Surer = otherSideCapture + ": do all IP fragments arrive?"
		ownFragmentation(sa, &d)
		return "ike-auth-ip-fragment-loss", d
	case f.Trace.Daemon.Known && q.Fragments == 0 && q.Length > wholeMessage:
		// A daemon does not see its IP fragments; that there are some is sure.
		d.Summary = fmt.Sprintf("IKE_AUTH of %d octets has to leave %s in IP fragments on a path of 1500 octets, and gets no answer, sent %s%s",
			q.Length, q.Src.Addr(), count(sends), withoutFragmentation(sa))
		d.Surer = "whether small messages reach port 4500, as by cvlanctl ipsec test-peer"
		ownFragmentation(sa, &d)
		return "ike-auth-ip-fragment-loss", d
	case q.Fragments == 0 && q.Length > largeMessage && spoken(sa, q.Dst):
		d.Confidence = diag.Hint
		d.Summary = fmt.Sprintf("IKE_AUTH of %d octets in one piece from %s gets no answer, sent %s%s",
			q.Length, q.Src.Addr(), count(sends), withoutFragmentation(sa))
		d.Surer = otherSideCapture + ": does the message arrive?"
		ownFragmentation(sa, &d)
		return "ike-auth-ip-fragment-loss", d
	case q.Encap == event.UDPNATT && sa.Init.Response.Encap == event.UDP && !encapsulated[q.Dst]:
		d.Summary = fmt.Sprintf("%s answers on UDP port %d, but IKE_AUTH to port %d gets no answer, sent %s over %s",
			q.Dst.Addr(), sa.Init.Response.Src.Port(), q.Dst.Port(), count(sends), seconds(lastSent(x).Sub(q.Time)))
		d.Surer = otherSideCapture + ": does port 4500 arrive?"
		if icmp := complaints(f, sa); len(icmp) > 0 {
			d.Evidence = append(d.Evidence, icmp...)
			d.Summary += "; " + icmp[0].What
		}
		return "udp4500-blocked", d
	}
	d.Summary = fmt.Sprintf("%s answers IKE_SA_INIT, but not IKE_AUTH of %d octets on the same port, sent %s over %s",
		q.Dst, q.Length, count(sends), seconds(lastSent(x).Sub(q.Time)))
	d.Surer = "the responder's log"
	return "auth-phase-silent", d
}

func withoutFragmentation(sa *trace.IKESA) string {
	both, who := fragmentation(sa)
	switch {
	case both || who == "":
		return ""
	case who == "neither side":
		return "; neither side announces IKE fragmentation"
	}
	return "; " + who + " does not announce IKE fragmentation"
}

// ownFragmentation says whose configuration lacks IKE fragmentation.
func ownFragmentation(sa *trace.IKESA, d *diag.Finding) {
	if _, who := fragmentation(sa); who == "the responder" {
		d.Ownership = diag.PeerConfig
	}
}

// lostFragments gives the incomplete sets of IP fragments of an SA that is in
// the making.
func lostFragments(f *diag.Facts, sa *trace.IKESA) []trace.FragmentLoss {
	var lost []trace.FragmentLoss
	for _, l := range f.Trace.Losses {
		if l.SA == sa && l.Protocol == 17 && !l.Time.Before(sa.First) {
			lost = append(lost, l)
		}
	}
	return lost
}

// spoken says that a peer was heard from the given address and port.
func spoken(sa *trace.IKESA, from netip.AddrPort) bool {
	for _, x := range sa.Exchanges {
		if x.Response != nil && x.Response.Src == from {
			return true
		}
	}
	return false
}

// senders gives the ends from which ESP in UDP came: their port is open.
func senders(f *diag.Facts) map[netip.AddrPort]bool {
	m := map[netip.AddrPort]bool{}
	for _, fl := range f.Trace.Flows {
		if fl.Encap == event.UDPNATT {
			m[fl.Src] = true
		}
	}
	return m
}

func authOneWay(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	idx := byPeers(v2(f))
	for _, sa := range v2(f) {
		for _, x := range sa.Auth {
			if x.Request == nil || x.Response == nil || movedOn(x) || x.Request.Encap != event.UDPNATT || len(sa.Flows) > 0 {
				continue
			}
			after := repeatsAfter(x, x.Response)
			if after < 2 || x.ResponseRepeats == 0 {
				continue
			}
			d := about(sa)
			d.Confidence = diag.Certain
			d.Evidence = append(sent(x, "IKE_AUTH request"), answered(x, "IKE_AUTH response")...)
			d.Summary = fmt.Sprintf("%s answers IKE_AUTH, yet %s repeats it (%s after the first answer): the way back on UDP port %d is broken",
				x.Response.Src, x.Request.Src.Addr(), count(after), x.Request.Dst.Port())
			if x.Response.IPFragments > 1 {
				d.ID, d.Confidence = "ike-auth-ip-fragment-loss", diag.Likely
				d.Summary = fmt.Sprintf("the IKE_AUTH response of %d octets leaves as %d IP fragments, and %s repeats its request (%s after it)%s",
					x.Response.Length, x.Response.IPFragments, x.Request.Src.Addr(), count(after), withoutFragmentation(sa))
			}
			if idx.recovered(sa) {
				d.Severity = diag.Low
				d.Summary += "; a later attempt succeeded"
			}
			found = append(found, span(d))
		}
	}
	return found
}

func fragmentsIncomplete(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		for _, x := range sa.Exchanges {
			for _, m := range []*trace.Message{x.Request, x.Response} {
				if m == nil || m.FragmentTotal < 2 || m.Fragments >= m.FragmentTotal || movedOn(x) {
					continue
				}
				// Once is loss, which retransmission cures.
				repeats := x.RequestRepeats
				if m == x.Response {
					repeats = x.ResponseRepeats
				}
				if repeats < 2 && now(f).Sub(m.Time) < silentOnce || x.Response != nil && m == x.Request {
					continue
				}
				d := about(sa)
				d.Confidence = diag.Certain
				d.Evidence = []diag.Evidence{at(m, "IKE fragments %d of %d of %s", m.Fragments, m.FragmentTotal, x.Type)}
				for _, n := range m.Frames[:min(len(m.Frames), maxListed)] {
					if n != m.Frame {
						d.Evidence = append(d.Evidence, diag.Evidence{Frame: n, Time: m.Time, What: "another fragment of it"})
					}
				}
				d.Summary = fmt.Sprintf("of %d IKE fragments of %s from %s only %d arrive here", m.FragmentTotal, name(m, x), m.Src.Addr(), m.Fragments)
				if gapped(f) {
					d.Confidence = diag.Hint
				}
				found = append(found, span(d))
			}
		}
	}
	return found
}

// name says which message of an exchange m is.
func name(m *trace.Message, x *trace.Exchange) string {
	if m == x.Response {
		return fmt.Sprintf("the %s response", x.Type)
	}
	return fmt.Sprintf("the %s request", x.Type)
}

// errorOf gives the first error notify that is readable in a message, with
// its type.
func errorOf(m *trace.Message) (*wire.Notify, wire.NotifyType) {
	if n := m.ErrorNotify(); n != nil {
		return n, n.Type
	}
	return nil, 0
}
