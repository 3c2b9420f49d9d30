package ike

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// maxSelectors bounds the selectors of one side of a CHILD SA (RFC 7296 3.13:
// their number is one octet).
const maxSelectors = 255

// host gives the selector of one address.
func host(a netip.Addr) wire.TrafficSelector {
	return between(a, a)
}

// between gives the selector of all traffic of a range of addresses.
func between(first, last netip.Addr) wire.TrafficSelector {
	t := wire.TSIPv4AddrRange
	if first.Is6() {
		t = wire.TSIPv6AddrRange
	}
	return wire.TrafficSelector{Type: t, EndPort: 65535, Start: first, End: last}
}

// PrefixSelector gives the selector of all traffic of a subnet.
func PrefixSelector(p netip.Prefix) wire.TrafficSelector {
	p = p.Masked()
	last := p.Addr().AsSlice()
	for i := p.Bits(); i < len(last)*8; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	end, _ := netip.AddrFromSlice(last)
	return between(p.Addr(), end)
}

// orOwn gives configured selectors, or where there are none, an end's own
// address.
func orOwn(ts []wire.TrafficSelector, own netip.Addr) []wire.TrafficSelector {
	if len(ts) > 0 {
		return ts
	}
	return []wire.TrafficSelector{host(own.Unmap())}
}

// opaque says whether a selector is for traffic whose ports are hidden (RFC
// 7296 3.13.1).
func opaque(s *wire.TrafficSelector) bool { return s.StartPort == 65535 && s.EndPort == 0 }

// intersect gives what two selectors have in common (RFC 7296 2.9).
func intersect(a, b *wire.TrafficSelector) (wire.TrafficSelector, bool) {
	if a.Type != b.Type || !a.Start.IsValid() || !b.Start.IsValid() {
		return wire.TrafficSelector{}, false
	}
	out := wire.TrafficSelector{Type: a.Type, Protocol: a.Protocol, StartPort: max(a.StartPort, b.StartPort),
		EndPort: min(a.EndPort, b.EndPort), Start: a.Start, End: a.End}
	switch {
	case a.Protocol == 0:
		out.Protocol = b.Protocol
	case b.Protocol != 0 && b.Protocol != a.Protocol:
		return out, false
	}
	anyPort := func(s *wire.TrafficSelector) bool { return s.StartPort == 0 && s.EndPort == 65535 }
	switch {
	case opaque(a) && (opaque(b) || anyPort(b)), opaque(b) && anyPort(a):
		out.StartPort, out.EndPort = 65535, 0
	case opaque(a) || opaque(b) || out.StartPort > out.EndPort:
		return out, false
	}
	if b.Start.Compare(a.Start) > 0 {
		out.Start = b.Start
	}
	if b.End.Compare(a.End) < 0 {
		out.End = b.End
	}
	return out, out.Start.Compare(out.End) <= 0
}

// narrow gives what received selectors and ours have in common, each part
// once.
func narrow(received, ours []wire.TrafficSelector) []wire.TrafficSelector {
	var out []wire.TrafficSelector
	for i := range received {
		for j := range ours {
			part, ok := intersect(&received[i], &ours[j])
			if !ok || len(out) == maxSelectors || covered(&part, out) {
				continue
			}
			out = append(out, part)
		}
	}
	return out
}

// covered says whether a selector lies within one of a list.
func covered(s *wire.TrafficSelector, list []wire.TrafficSelector) bool {
	for i := range list {
		if part, ok := intersect(s, &list[i]); ok && equalSelector(&part, s) {
			return true
		}
	}
	return false
}

func equalSelector(a, b *wire.TrafficSelector) bool {
	return a.Type == b.Type && a.Protocol == b.Protocol && a.StartPort == b.StartPort && a.EndPort == b.EndPort &&
		a.Start == b.Start && a.End == b.End
}

// within says whether every selector of one list lies within another.
func within(inner, outer []wire.TrafficSelector) bool {
	for i := range inner {
		if !covered(&inner[i], outer) {
			return false
		}
	}
	return len(inner) > 0
}

func pairWords(tsi, tsr *wire.TS) string {
	return fmt.Sprintf("TSi %s, TSr %s", selectorWords(tsi.Selectors), selectorWords(tsr.Selectors))
}

func selectorWords(ts []wire.TrafficSelector) string {
	words := make([]string, 0, len(ts))
	for i := range ts {
		if i == 16 {
			words = append(words, "...")
			break
		}
		words = append(words, event.SelectorText(&ts[i]))
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, " ")
}

func cloneSelectors(ts []wire.TrafficSelector) []wire.TrafficSelector {
	out := make([]wire.TrafficSelector, len(ts))
	for i := range ts {
		out[i] = wire.TrafficSelector{Type: ts[i].Type, Protocol: ts[i].Protocol, StartPort: ts[i].StartPort,
			EndPort: ts[i].EndPort, Start: ts[i].Start, End: ts[i].End}
	}
	return out
}
