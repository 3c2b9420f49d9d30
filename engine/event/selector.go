package event

import (
	"fmt"
	"net/netip"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// SelectorText writes a traffic selector as swanctl does: 10.0.0.0/24,
// 10.0.0.1..10.0.0.9, with [protocol/port] where it is restricted.
func SelectorText(s *wire.TrafficSelector) string {
	if !s.Start.IsValid() {
		return fmt.Sprintf("%s %x", s.Type, s.Data)
	}
	text := rangeText(s.Start, s.End)
	anyPort := s.StartPort == 0 && s.EndPort == 65535
	if s.Protocol == 0 && anyPort {
		return text
	}
	protocol, port := "0", ""
	if s.Protocol != 0 {
		protocol = ProtocolName(s.Protocol)
	}
	switch {
	case anyPort:
	case s.StartPort == 65535 && s.EndPort == 0:
		port = "/OPAQUE"
	case s.StartPort == s.EndPort:
		port = fmt.Sprintf("/%d", s.StartPort)
	default:
		port = fmt.Sprintf("/%d-%d", s.StartPort, s.EndPort)
	}
	return fmt.Sprintf("%s[%s%s]", text, protocol, port)
}

// rangeText writes a range of addresses as a prefix where it is one.
func rangeText(start, end netip.Addr) string {
	for bits := start.BitLen(); bits >= 0; bits-- {
		p := netip.PrefixFrom(start, bits)
		if p.Masked().Addr() != start {
			break
		}
		if lastAddr(p) == end {
			return p.String()
		}
	}
	return start.String() + ".." + end.String()
}

// lastAddr gives the highest address of a prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
