package rule

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

const natNeeds = "NAT_DETECTION hashes of IKE_SA_INIT and the addresses seen"

var natRules = []diag.Rule{
	{
		ID:    "nat-detected-unexpectedly",
		Needs: []string{natNeeds},
		After: []string{"double-nat", "natt-off-with-nat"},
		Find:  natDetected,
	},
	{
		ID:    "double-nat",
		Needs: []string{natNeeds},
		Find:  doubleNAT,
	},
	{
		ID:    "natt-off-with-nat",
		Needs: []string{natNeeds, "how ESP is carried"},
		Find:  natWithoutTraversal,
	},
	{
		ID:    "encap-asymmetric",
		Needs: []string{"how ESP is carried in each direction"},
		After: []string{"natt-off-with-nat"},
		Find:  asymmetric,
	},
	{
		ID:    "nat-port-rebind-split",
		Needs: []string{"ports of IKE and of ESP in UDP"},
		Find:  portSplit,
	},
	{
		ID:    "nat-mapping-timeout",
		Needs: []string{"changes of port within an SA", "requests without an answer before them", "an active test that waits in silence"},
		Find:  both(mappingTimeout, lostAfterSilence),
	},
}

// translation is what the hashes say about one side of an SA.
type translation struct {
	host    string
	claimed bool   // its own hash or its peer's view does not fit what is seen
	sure    bool   // by more than its own claim, which may be false on purpose
	how     string // in words
}

func sideOf(sa *trace.IKESA, o trace.Origin) translation {
	d := &sa.NATD
	t := translation{host: end(sa, o)}
	own, view, inner, seen := d.Request.Source, d.Response.Destination, d.InitiatorInside, d.Request.SrcSeen
	if o == trace.Responder {
		own, view, inner, seen = d.Response.Source, d.Request.Destination, d.ResponderInside, d.Response.SrcSeen
	}
	port := seen.Port()
	t.claimed, t.sure = true, true
	if sa.NAT.Fake.Or(false) && t.host == host(sa.Local.Host) {
		own = trace.MatchYes // its hash is false on purpose: what the peer sees counts alone
	}
	switch {
	case inner.IsValid():
		t.how = fmt.Sprintf("%s sits behind a NAT: its own address is %s", t.host, inner)
	case own == trace.MatchYes && view == trace.MatchNo:
		t.how = fmt.Sprintf("%s is translated between this point and its peer", t.host)
	case own == trace.MatchNo && view == trace.MatchNo:
		t.how = fmt.Sprintf("%s is translated on both sides of this point", t.host)
	case own == trace.MatchNo && port != 500 && port != 4500 && port != 0:
		t.how = fmt.Sprintf("%s sits behind a NAT that made its port %d", t.host, port)
	case own == trace.MatchNo:
		t.sure = false
		t.how = fmt.Sprintf("%s claims an address that is not the one seen: a NAT before this point, or UDP encapsulation forced by a false hash", t.host)
	default:
		t.claimed, t.sure = false, false
	}
	return t
}

func natDetected(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		if sa.Predecessor != nil {
			continue // it has its NATs from that one, which tells
		}
		i, r := sideOf(sa, trace.Initiator), sideOf(sa, trace.Responder)
		if !i.claimed && !r.claimed || i.claimed && r.claimed && (i.sure || r.sure) {
			continue // none, or both: double-nat
		}
		d := natFinding(sa)
		d.Confidence = diag.Certain
		switch {
		case i.claimed && r.claimed:
			d.Confidence = diag.Hint
			d.Summary = fmt.Sprintf("%s and %s both claim addresses that are not the ones seen, with their ports unchanged: UDP encapsulation forced by false hashes, or a NAT before each", i.host, r.host)
		case i.claimed:
			d.Summary = i.how
		default:
			d.Summary = r.how
		}
		if !i.sure && !r.sure {
			d.Confidence = max(d.Confidence, diag.Likely)
			d.Surer = "a capture on the host itself"
		}
		found = append(found, span(d))
	}
	return found
}

func natFinding(sa *trace.IKESA) diag.Finding {
	d := about(sa)
	d.Severity = diag.Info
	for _, side := range []struct {
		m    *trace.Exchange
		pair trace.HashPair
		who  string
		resp bool
	}{{sa.Init, sa.NATD.Request, "initiator", false}, {sa.Init, sa.NATD.Response, "responder", true}} {
		if side.m == nil {
			continue
		}
		m := side.m.Request
		if side.resp {
			m = side.m.Response
		}
		if m == nil || !side.pair.Seen {
			continue
		}
		d.Evidence = append(d.Evidence, at(m, "NAT detection of the %s: source %s %s, destination %s %s",
			side.who, side.pair.SrcSeen, matchText(side.pair.Source), side.pair.DstSeen, matchText(side.pair.Destination)))
	}
	if len(d.Evidence) == 0 { // a message of the two, or a hash of it, is not there
		d.Evidence = []diag.Evidence{{Frame: sa.FirstFrame, Time: sa.First, What: "a NAT detection hash of IKE_SA_INIT does not fit the address seen"}}
	}
	return d
}

func matchText(m trace.Match) string {
	switch m {
	case trace.MatchYes:
		return "fits"
	case trace.MatchNo:
		return "does not fit"
	}
	return "unknown"
}

func doubleNAT(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		i, r := sideOf(sa, trace.Initiator), sideOf(sa, trace.Responder)
		if !i.claimed || !r.claimed || !i.sure && !r.sure {
			continue
		}
		d := natFinding(sa)
		d.Confidence = diag.Certain
		d.Summary = fmt.Sprintf("both sides sit behind a NAT: %s%s and %s%s", i.host, insideText(sa.NATD.InitiatorInside), r.host, insideText(sa.NATD.ResponderInside))
		if !i.sure || !r.sure {
			unsure := i
			if i.sure {
				unsure = r
			}
			d.Confidence = diag.Likely
			d.Surer = fmt.Sprintf("a capture on %s: it may only force UDP encapsulation by a false hash", unsure.host)
		}
		found = append(found, span(d))
	}
	return found
}

func insideText(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return fmt.Sprintf(" (inside %s)", a)
}

func natWithoutTraversal(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		native := nativeESP(sa)
		if native == nil && !carries(sa, wire.NotifyUnexpectedNATDetected) {
			continue
		}
		d := about(sa)
		for _, x := range sa.Exchanges {
			if n := x.Response.Notify(wire.NotifyUnexpectedNATDetected); n != nil {
				d.Confidence = diag.Certain
				d.Evidence = []diag.Evidence{at(x.Response, "N(UNEXPECTED_NAT_DETECTED)")}
				d.Summary = fmt.Sprintf("%s forbids address translation and found one", x.Response.Src.Addr())
			}
		}
		q, r := sa.NATD.Request, sa.NATD.Response
		switch {
		case d.Summary != "" || native == nil || sa.Init == nil || sa.Init.Response == nil:
		case q.Seen && !r.Seen && crossesNAT(sa):
			d.Confidence = diag.Likely
			d.Evidence = []diag.Evidence{at(sa.Init.Response, "no NAT_DETECTION notifies"), espEvidence(native, "native ESP")}
			d.Summary = fmt.Sprintf("%s does not take part in NAT detection, %s and %s are not on the same side of a NAT, and ESP is sent without UDP",
				end(sa, trace.Responder), sa.Local.Host, sa.Remote.Host)
			d.Surer = otherSideCapture
		case sa.NAT.Any.Or(false) && sa.NATD.Request.Seen && r.Seen && translatedForSure(sa):
			d.Confidence = diag.Likely
			d.Evidence = append(natFinding(sa).Evidence, espEvidence(native, "native ESP"))
			d.Summary = fmt.Sprintf("a NAT is between %s and %s, and ESP is sent without UDP from %s", sa.Local.Host, sa.Remote.Host, native.Src.Addr())
			d.Surer = otherSideCapture
		}
		if d.Summary != "" {
			found = append(found, span(d))
		}
	}
	return found
}

// crossesNAT says that a private and a public address talk to each other, as
// they only can through a NAT.
func crossesNAT(sa *trace.IKESA) bool {
	l, r := sa.Local.Host, sa.Remote.Host
	return l.IsPrivate() != r.IsPrivate() && l.Is4() && r.Is4() && !l.IsLoopback() && !r.IsLoopback()
}

// translatedForSure says that a hash was found to be made of a private
// address, or that one side's own claim and the other's view of it disagree:
// not merely a false hash.
func translatedForSure(sa *trace.IKESA) bool {
	d := &sa.NATD
	return d.InitiatorInside.IsValid() || d.ResponderInside.IsValid() ||
		d.Request.Source == trace.MatchYes && d.Response.Destination == trace.MatchNo ||
		d.Response.Source == trace.MatchYes && d.Request.Destination == trace.MatchNo
}

func nativeESP(sa *trace.IKESA) *trace.Flow {
	for _, fl := range sa.Flows {
		if fl.Proto == event.ESP && fl.Encap == event.IP {
			return fl
		}
	}
	return nil
}

func espEvidence(fl *trace.Flow, what string) diag.Evidence {
	return diag.Evidence{Frame: fl.FirstFrame, Time: fl.First, What: fmt.Sprintf("%s from %s to %s, SPI %s, %d packets", what, fl.Src.Addr(), fl.Dst.Addr(), fl.SPI, fl.Packets)}
}

func asymmetric(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		// The youngest flow of each direction: an address update may have
		// changed the encapsulation in between.
		var in, out *trace.Flow
		for _, fl := range sa.Flows {
			switch {
			case fl.Proto != event.ESP || fl.Encap == event.TCP || fl.Packets < 2:
			case fl.Inbound && (in == nil || fl.Last.After(in.Last)):
				in = fl
			case !fl.Inbound && (out == nil || fl.Last.After(out.Last)):
				out = fl
			}
		}
		if in == nil || out == nil || (in.Encap == event.IP) == (out.Encap == event.IP) || in.Last.Before(out.First) || out.Last.Before(in.First) {
			continue
		}
		d := about(sa)
		d.Confidence = diag.Certain
		d.Evidence = []diag.Evidence{espEvidence(out, "ESP ("+out.Encap.String()+")"), espEvidence(in, "ESP ("+in.Encap.String()+")")}
		native, encapsulated := out, in
		if in.Encap == event.IP {
			native, encapsulated = in, out
		}
		d.Summary = fmt.Sprintf("%s sends ESP in UDP, %s sends it as IP protocol 50", encapsulated.Src.Addr(), native.Src.Addr())
		found = append(found, span(d))
	}
	return found
}

func portSplit(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		if len(sa.Moves) > 0 || sa.Local.Port == 500 || sa.Local.Port == 0 {
			continue
		}
		for _, fl := range sa.Flows {
			if fl.Encap != event.UDPNATT || fl.Inbound || fl.Src.Addr() != sa.Local.Host || fl.Src.Port() == sa.Local.Port || fl.Packets < 3 {
				continue
			}
			d := about(sa)
			d.Confidence = diag.Likely
			d.Evidence = []diag.Evidence{espEvidence(fl, fmt.Sprintf("ESP in UDP from port %d", fl.Src.Port()))}
			d.Summary = fmt.Sprintf("%s sends IKE from port %d and ESP from port %d", sa.Local.Host, sa.Local.Port, fl.Src.Port())
			d.Surer = "a capture before the NAT"
			if out, in := traffic(sa); out > 0 && in > 0 {
				d.Severity = diag.Info
				d.Summary += "; traffic passes all the same"
			}
			found = append(found, span(d))
			break
		}
	}
	return found
}

func mappingTimeout(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		for _, mv := range comebacks(sa) {
			if mv.From.Addr() != mv.To.Addr() || mv.By != trace.Initiator || mv.From.Port() == 500 {
				continue
			}
			// The responder asked in vain before the port changed.
			for _, x := range sa.Exchanges {
				if x.By != trace.Responder || x.Request == nil || x.RequestRepeats == 0 || !x.Request.Time.Before(mv.Time) ||
					x.Response != nil && x.Response.Time.Before(mv.Time) {
					continue
				}
				d := about(sa)
				d.Confidence = diag.Likely
				d.Evidence = append(sent(x, fmt.Sprintf("%s request of the responder to %s", x.Type, x.Request.Dst)),
					diag.Evidence{Frame: mv.Frame, Time: mv.Time, What: fmt.Sprintf("the initiator comes from %s, before from %s", mv.To, mv.From)})
				d.Summary = fmt.Sprintf("%s could not reach %s until that came back as %s: the NAT had forgotten the mapping", end(sa, trace.Responder), mv.From, mv.To)
				d.Surer = "the NAT's timeout for UDP"
				found = append(found, span(d))
				break
			}
		}
	}
	return found
}

// comebacks gives the moves of an SA. A daemon with MOBIKE does not follow a new
// port, and tells of none: there it shows by what the initiator sends next, and
// where the responder's last request went to.
func comebacks(sa *trace.IKESA) []trace.Move {
	var went *trace.Message
	for _, x := range sa.Exchanges {
		q := x.Request
		switch {
		case q == nil:
		case x.By == trace.Responder && q.Dst.IsValid():
			went = q
		case x.By == trace.Initiator && went != nil && q.Src.IsValid() && q.Src != went.Dst && q.Time.After(went.Time) &&
			!slices.ContainsFunc(sa.Moves, func(m trace.Move) bool { return m.To == q.Src }):
			return append(slices.Clone(sa.Moves), trace.Move{Time: q.Time, Frame: q.Frame, By: trace.Initiator, From: went.Dst, To: q.Src})
		}
	}
	return sa.Moves
}
