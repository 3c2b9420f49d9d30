package rule

import (
	"fmt"
	"net/netip"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// otherSideCapture is what tells a path from its end, and what to type for it.
const otherSideCapture = "a capture on the responder's side (tcpdump -ni any 'udp port 500 or udp port 4500 or esp')"

var reachRules = []diag.Rule{
	{
		ID:    "no-response-to-sa-init",
		Needs: []string{"IKE_SA_INIT requests", "time to listen after them"},
		After: []string{"ikev1-only-peer", "dpd-timeout", "peer-replies-from-other-address", "nonstandard-port-marker"},
		Find:  both(noResponse, probed(unreachable)),
	},
	{
		ID:    "pq-ke-too-large",
		Needs: []string{"IKE_SA_INIT requests", "IP fragments or exchanges of type IKE_INTERMEDIATE"},
		Find:  pqTooLarge,
	},
	{
		ID:    "sa-init-response-lost",
		Needs: []string{"IKE_SA_INIT exchanges with their retransmissions"},
		After: []string{"peer-replies-from-other-address"},
		Find:  responseLost,
	},
	{
		ID:    "ikev1-only-peer",
		Needs: []string{"IKE_SA_INIT exchanges", "IKEv1 messages of the same peer"},
		Find:  v1Only,
	},
	{
		ID:    "peer-replies-from-other-address",
		Needs: []string{"addresses and ports of requests and responses"},
		Find:  otherAddress,
	},
}

// unanswered gives the IKE_SA_INIT exchange to report where no request of the
// SA's first exchange was ever answered.
func unanswered(f *diag.Facts, sa *trace.IKESA) *trace.Exchange {
	if sa.Partial {
		return nil
	}
	var last *trace.Exchange
	for _, x := range sa.Exchanges {
		if x.Type != wire.ExchangeIKESAInit || x.Response != nil {
			return nil
		}
		last = x
	}
	if last == nil || !silent(f, last) {
		return nil
	}
	return last
}

func noResponse(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	idx := byPeers(v2(f))
	for _, sa := range v2(f) {
		x := unanswered(f, sa)
		if x == nil || x.Request.IPFragments > 1 {
			continue
		}
		d := about(sa)
		d.Confidence = diag.Likely
		d.Evidence = sent(x, fmt.Sprintf("IKE_SA_INIT request to %s, message ID 0", x.Request.Dst))
		icmp := complaints(f, sa)
		d.Evidence = append(d.Evidence, icmp...)
		d = span(d)
		d.Summary = fmt.Sprintf("%s sent IKE_SA_INIT %s to %s over %s, no answer",
			x.Request.Src.Addr(), count(1+x.RequestRepeats), x.Request.Dst, seconds(lastSent(x).Sub(x.Request.Time)))
		switch {
		case len(icmp) > 0:
			d.Summary += "; " + icmp[0].What
		case x.RequestRepeats == 0:
			d.Summary = fmt.Sprintf("%s sent IKE_SA_INIT once to %s, no answer in the %s after it",
				x.Request.Src.Addr(), x.Request.Dst, seconds(now(f).Sub(x.Request.Time)))
		}
		d.Surer = otherSideCapture + ": does the request arrive?"
		if gapped(f) {
			d.Confidence = diag.Hint
		}
		if idx.recovered(sa) {
			d.Severity = diag.Low
			d.Summary += "; a later attempt succeeded"
		}
		found = append(found, d)
	}
	return found
}

// complaints lists ICMP errors about the IKE packets of an SA.
func complaints(f *diag.Facts, sa *trace.IKESA) []diag.Evidence {
	var list []diag.Evidence
	for i := range f.Trace.ICMP {
		e := &f.Trace.ICMP[i]
		if e.SA == sa && e.Protocol == 17 && e.MTU == 0 && len(list) < maxListed {
			list = append(list, diag.Evidence{Frame: e.Frame, Time: e.Time, What: fmt.Sprintf("ICMP from %s: %s", e.From, e.What)})
		}
	}
	return list
}

func pqTooLarge(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		x, what := unanswered(f, sa), "IKE_SA_INIT"
		if x != nil && x.Request.IPFragments < 2 {
			continue
		}
		if x == nil {
			what = "IKE_INTERMEDIATE"
			for _, o := range exchanges(sa, wire.ExchangeIKEIntermediate) {
				if silent(f, o) && (o.Request.IPFragments > 1 || o.Request.Fragments < 2 && o.Request.Length > 1280) {
					x = o
				}
			}
		}
		if x == nil {
			continue
		}
		d := about(sa)
		d.Confidence = diag.Likely
		d.Evidence = sent(x, fmt.Sprintf("%s request of %d octets", what, x.Request.Length))
		d = span(d)
		d.Summary = fmt.Sprintf("%s of %d octets from %s to %s is too large for one packet and gets no answer, sent %s",
			what, x.Request.Length, x.Request.Src.Addr(), x.Request.Dst, count(1+x.RequestRepeats))
		d.Surer = otherSideCapture + ": do all IP fragments arrive?"
		found = append(found, d)
	}
	return found
}

func responseLost(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	idx := byPeers(v2(f))
	for _, sa := range v2(f) {
		for _, x := range exchanges(sa, wire.ExchangeIKESAInit) {
			// Unauthenticated errors may be ignored by an initiator that
			// waits for something better: only a good answer counts.
			if x.Request == nil || x.Response == nil || wire.First(x.Response.Payloads, wire.PayloadSA) == nil || movedOn(x) || len(sa.Auth) > 0 {
				continue
			}
			after := repeatsAfter(x, x.Response)
			if after < 2 {
				continue
			}
			d := about(sa)
			d.Confidence = diag.Certain
			d.Evidence = append(sent(x, "IKE_SA_INIT request"), answered(x, "IKE_SA_INIT response")...)
			d = span(d)
			d.Summary = fmt.Sprintf("%s answers IKE_SA_INIT, yet %s repeats its request (%s after the first answer): the answers do not reach its daemon",
				x.Response.Src, x.Request.Src.Addr(), count(after))
			d.Surer = ""
			if idx.recovered(sa) {
				d.Severity = diag.Low
				d.Summary += "; a later attempt succeeded"
			}
			found = append(found, d)
		}
	}
	return found
}

// repeatsAfter counts the repetitions of x's request later than m.
func repeatsAfter(x *trace.Exchange, m *trace.Message) int {
	n := 0
	for _, r := range x.Repeats {
		if !r.Response && r.Time.After(m.Time) {
			n++
		}
	}
	return n
}

func v1Only(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	// speaksV1 holds the first message of each IKEv1 SA by its initiator and
	// responder; callsV2 the hosts that begin with IKEv2 themselves.
	speaksV1 := map[[2]netip.Addr]*trace.Message{}
	for _, sa := range v1(f) {
		if len(sa.Exchanges) > 0 && sa.Exchanges[0].Request != nil && !sa.Partial {
			k := [2]netip.Addr{sa.Local.Host, sa.Remote.Host}
			if speaksV1[k] == nil {
				speaksV1[k] = sa.Exchanges[0].Request
			}
		}
	}
	callsV2 := map[[2]netip.Addr]bool{}
	for _, sa := range v2(f) {
		callsV2[[2]netip.Addr{sa.Local.Host, sa.Remote.Host}] = true
	}
	for _, sa := range v2(f) {
		if up(sa) {
			continue
		}
		d := about(sa)
		peer := sa.Remote.Host
		for _, x := range sa.Exchanges {
			m := x.Response
			switch {
			case m == nil && x.Request != nil && x.Request.Header.Version.Major() == 1 && x.By == trace.Responder:
				m = x.Request
			case m == nil:
				continue
			}
			switch {
			case m.Header.Version.Major() == 1:
				d.Confidence = diag.Certain
				d.Evidence = []diag.Evidence{at(m, "answer with version 1.0 in its header: %s", v1Name(m))}
				d.Summary = fmt.Sprintf("%s answers IKEv2 with an IKEv1 message: it speaks IKEv1 only", peer)
			case !m.Encrypted && m.Notify(wire.NotifyInvalidMajorVersion) != nil:
				d.Confidence = diag.Certain
				d.Evidence = []diag.Evidence{at(m, "N(INVALID_MAJOR_VERSION)")}
				d.Summary = fmt.Sprintf("%s refuses IKEv2 with INVALID_MAJOR_VERSION: it speaks IKEv1 only", peer)
			}
		}
		k := [2]netip.Addr{sa.Remote.Host, sa.Local.Host}
		if m := speaksV1[k]; d.Summary == "" && m != nil && !callsV2[k] && turnedAway(f, sa) {
			d.Confidence = diag.Likely
			d.Evidence = []diag.Evidence{at(m, "%s itself begins with IKEv1 %s", peer, v1Name(m))}
			if x := sa.Init; x != nil && x.Request != nil {
				d.Evidence = append(d.Evidence, at(x.Request, "IKEv2 request to %s", x.Request.Dst))
			}
			d.Summary = fmt.Sprintf("%s begins with IKEv1 %s where %s wants IKEv2: the peer is set to IKEv1", peer, v1Name(m), sa.Local.Host)
			d.Surer = "the peer's configuration"
		}
		if d.Summary != "" {
			found = append(found, span(d))
		}
	}
	return found
}

// turnedAway says that an SA got no further than its first exchange: an error,
// or no answer.
func turnedAway(f *diag.Facts, sa *trace.IKESA) bool {
	for _, x := range exchanges(sa, wire.ExchangeIKESAInit) {
		if n, _ := errorOf(x.Response); n != nil {
			return true
		}
	}
	return unanswered(f, sa) != nil
}

// v1Name names an IKEv1 exchange as people do.
func v1Name(m *trace.Message) string {
	switch m.Header.Exchange {
	case wire.ExchangeV1Main:
		return "main mode"
	case wire.ExchangeV1Aggressive:
		return "aggressive mode"
	}
	return m.Header.Exchange.String()
}

func otherAddress(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		if up(sa) {
			continue
		}
		for _, x := range sa.Exchanges {
			if x.Type != wire.ExchangeIKESAInit && x.Type != wire.ExchangeIKEAuth || x.Request == nil || x.Response == nil {
				continue
			}
			if x.Response.Src == x.Request.Dst || !x.Response.Src.IsValid() || !x.Request.Dst.IsValid() || movedOn(x) {
				continue // a log need not tell the datagram of every message
			}
			d := about(sa)
			d.Confidence = diag.Certain
			// The fold follows the answer's address; the peer is who was asked.
			d.Subject.Remote = host(x.Request.Dst.Addr())
			d.Evidence = []diag.Evidence{
				at(x.Request, "%s request to %s", x.Type, x.Request.Dst),
				at(x.Response, "its response, from %s", x.Response.Src),
			}
			d.Summary = fmt.Sprintf("%s was asked and %s answered: a NAT or firewall in between drops that, and so may the initiator", x.Request.Dst, x.Response.Src)
			found = append(found, span(d))
			break
		}
	}
	return found
}
