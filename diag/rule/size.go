package rule

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// What makes lengths a matter of the path, and not of what is sent.
const (
	largeLosses = 4               // packets of one length that nothing comes after
	largeSpan   = 2 * time.Second // over at least this time
	smallPasses = 3               // shorter ones with something after them
)

const (
	icmpUnreachable  = 3 // RFC 792
	icmpFragNeeded   = 4 // its code, RFC 1191 4
	icmpV6TooBig     = 2 // RFC 4443 3.2
	ipv4Header       = 20
	ipv6Header       = 40
	udpHeader        = 8
	leastMTU         = 576
	otherSideOfSizes = "a capture on the other side: do the large packets arrive? Or pings of both sizes through the tunnel (cvlanctl ipsec test-peer)"
)

// tooLarge looks for a tunnel that answers short packets and none of a longer
// length, however often that is sent: the path drops it. A stream in one
// direction alone looks like it where nothing tells what is inside.
func tooLarge(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	flows := flowsOf(f)
	for _, sa := range v2(f) {
		for _, fl := range flows[sa] {
			z := &fl.Sizes
			i := slices.IndexFunc(z.Lost, func(l trace.LostSize) bool {
				return l.Count >= largeLosses && l.Last.Sub(l.First) >= largeSpan && l.Length > z.AnsweredLength
			})
			if i < 0 || z.Answered < smallPasses || gapped(f) {
				continue
			}
			l := &z.Lost[i]
			if fl.Decrypted > 0 && l.Asking < largeLosses {
				continue // what is inside wants no answer
			}
			passes, lost := outerLength(fl, z.AnsweredLength), outerLength(fl, l.Length)
			d := about(sa)
			d.Evidence = []diag.Evidence{
				{Frame: l.FirstFrame, Time: l.First, What: fmt.Sprintf("SPI %s: a packet of %d octets, and nothing comes after it", fl.SPI, lost)},
				{Frame: l.LastFrame, Time: l.Last, What: fmt.Sprintf("the last of %d of that length; %d shorter ones, of up to %d octets, have something come after them", l.Count, z.Answered, passes)},
			}
			d.Summary = fmt.Sprintf("packets of %d octets from %s to %s are never answered, those of up to %d octets are", lost, fl.Src.Addr(), fl.Dst.Addr(), passes)
			if l.Asking >= largeLosses {
				d.Confidence, d.Surer = diag.Likely, otherSideOfSizes
			} else {
				// It may be what one side sends without wanting an answer.
				d.Severity, d.Confidence, d.Surer = diag.Medium, diag.Hint, "keys (--keys): what asks for no answer has none; or "+otherSideOfSizes
			}
			if e := tooBig(f, fl.Src.Addr(), fl.Dst.Addr(), l.First); e != nil {
				d.Severity, d.Confidence, d.Ownership = 0, diag.Likely, diag.Host
				d.Evidence = append(d.Evidence, diag.Evidence{Frame: e.Frame, Time: e.Time, What: fmt.Sprintf("ICMP from %s: %s, %d octets fit", e.From, e.What, e.MTU)})
				d.Summary = fmt.Sprintf("%s is told that %d octets fit on the way to %s and goes on with packets of %d: the message does not reach its IPsec", fl.Src.Addr(), e.MTU, fl.Dst.Addr(), lost)
				d.Remedies = narrower(sa, fl, int(e.MTU))
				d.Surer = "the firewall of " + host(fl.Src.Addr()) + ": does it let ICMP type 3 code 4 (ICMPv6 type 2) in?"
			}
			d.Variant = fl.Src.Addr().String()
			found = append(found, span(d))
			break // one direction is told once
		}
	}
	return found
}

// outerLength is the length of the IP packet around an ESP packet.
func outerLength(fl *trace.Flow, length int) int {
	length += ipv4Header
	if fl.Src.Addr().Is6() && !fl.Src.Addr().Is4In6() {
		length += ipv6Header - ipv4Header
	}
	if fl.Encap != event.IP {
		length += udpHeader
	}
	return length
}

// tooBig gives the last word of the path that packets between two hosts are too
// large, where more of them were sent after it; nil for none.
func tooBig(f *diag.Facts, src, dst netip.Addr, from time.Time) *trace.ICMPError {
	for i := range slices.Backward(f.Trace.ICMP) {
		e := &f.Trace.ICMP[i]
		what := !e.V6 && e.Type == icmpUnreachable && e.Code == icmpFragNeeded || e.V6 && e.Type == icmpV6TooBig
		if what && e.Src == src && e.Dst == dst && e.MTU >= leastMTU && !e.Time.Before(from.Add(-settled)) {
			return e
		}
	}
	return nil
}

// worstOverhead is what ESP adds at most within the IP packet around it: its
// header and trailer, the IV, padding and ICV of the longest, UDP (RFC 4303 2,
// RFC 3948).
const worstOverhead = udpHeader + 8 + 16 + 15 + 2 + 32

// narrower is what a host that does not hear of a path's MTU has to change.
func narrower(sa *trace.IKESA, fl *trace.Flow, mtu int) []diag.Remedy {
	side, header, accept, tables := "initiator", ipv4Header, "icmp type destination-unreachable", "iptables"
	if fl.Src.Addr() != sa.Local.Host {
		side = "responder"
	}
	if fl.Src.Addr().Is6() {
		header, accept, tables = ipv6Header, "icmpv6 type packet-too-big", "ip6tables"
	}
	const innerAndTCP = 40 + 20 // of IPv6, which is the longer
	return instead("mtu-pmtu-blackhole",
		diag.Remedy{Side: side, Platform: "linux", Change: "nft insert rule inet filter input " + accept + " accept"},
		diag.Remedy{Side: side, Platform: "linux", Change: fmt.Sprintf("%s -t mangle -A FORWARD -m policy --pol ipsec --dir out -p tcp --syn -j TCPMSS --set-mss %d", tables, mtu-header-worstOverhead-innerAndTCP)})
}
