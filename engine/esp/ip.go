package esp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// The numbers of IP protocols that this package knows.
const (
	protoHopByHop  = 0
	protoICMP      = 1
	protoIPv4      = 4 // in IPv4 or IPv6: tunnel mode
	protoTCP       = 6
	protoUDP       = 17
	protoIPv6      = 41
	protoRouting   = 43
	protoFragment  = 44
	protoICMPv6    = 58
	protoNoNext    = 59
	protoDestOpts  = 60
	protoSCTP      = 132
	protoMobility  = 135
	protoHIP       = 139
	protoShim6     = 140
	maxExtensions  = 16
	ipv4Header     = 20
	ipv6Header     = 40
	fragmentHeader = 8
)

// Packet is what the header of an IP packet says, as far as selectors ask.
type Packet struct {
	Src, Dst         netip.Addr
	Protocol         uint8
	SrcPort, DstPort uint16 // of TCP, UDP and SCTP; type and code in SrcPort for ICMP
	// Ports says whether SrcPort and DstPort are known: not for other
	// protocols, and not in fragments but the first.
	Ports  bool
	Header int // octets in front of the transport header
	Length int // of the packet by its own account; what follows is no part of it
	TOS    uint8
	// DontFragment says that the packet must not be fragmented: IPv4 with DF
	// set, and all of IPv6.
	DontFragment bool
	Fragment     bool // a fragment of a larger packet
}

// ParsePacket reads an IPv4 or IPv6 packet. Octets behind its length, such as
// TFC padding, are no part of it.
func ParsePacket(b []byte, p *Packet) error {
	if len(b) == 0 {
		return fmt.Errorf("%w: nothing", ErrMalformed)
	}
	switch b[0] >> 4 {
	case 4:
		return parse4(b, p)
	case 6:
		return parse6(b, p)
	}
	return fmt.Errorf("%w: IP version %d", ErrMalformed, b[0]>>4)
}

func parse4(b []byte, p *Packet) error {
	if len(b) < ipv4Header {
		return fmt.Errorf("%w: IPv4 packet of %d octets", ErrMalformed, len(b))
	}
	header, length := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < ipv4Header || header > length || length > len(b) {
		return fmt.Errorf("%w: IPv4 header of %d octets, length %d, %d octets there", ErrMalformed, header, length, len(b))
	}
	fragment := binary.BigEndian.Uint16(b[6:])
	*p = Packet{Src: netip.AddrFrom4([4]byte(b[12:16])), Dst: netip.AddrFrom4([4]byte(b[16:20])), Protocol: b[9], Header: header,
		Length: length, TOS: b[1], DontFragment: fragment&0x4000 != 0, Fragment: fragment&0x3fff != 0}
	if fragment&0x1fff == 0 {
		p.ports(b[header:length])
	}
	return nil
}

func parse6(b []byte, p *Packet) error {
	if len(b) < ipv6Header {
		return fmt.Errorf("%w: IPv6 packet of %d octets", ErrMalformed, len(b))
	}
	length := ipv6Header + int(binary.BigEndian.Uint16(b[4:]))
	if length > len(b) {
		return fmt.Errorf("%w: IPv6 packet says %d octets, %d are there", ErrMalformed, length, len(b))
	}
	*p = Packet{Src: netip.AddrFrom16([16]byte(b[8:24])), Dst: netip.AddrFrom16([16]byte(b[24:40])), Protocol: b[6], Header: ipv6Header,
		Length: length, TOS: b[0]<<4 | b[1]>>4, DontFragment: true}
	first := true
	for range maxExtensions {
		rest := b[p.Header:length]
		switch p.Protocol {
		case protoHopByHop, protoRouting, protoDestOpts, protoMobility, protoHIP, protoShim6:
			if len(rest) < 8 || int(rest[1])*8+8 > len(rest) {
				return fmt.Errorf("%w: IPv6 extension header %d is cut off", ErrMalformed, p.Protocol)
			}
			p.Protocol = rest[0]
			p.Header += int(rest[1])*8 + 8
		case protoFragment:
			if len(rest) < fragmentHeader {
				return fmt.Errorf("%w: IPv6 fragment header is cut off", ErrMalformed)
			}
			p.Fragment = binary.BigEndian.Uint16(rest[2:])&0xfff9 != 0
			first = binary.BigEndian.Uint16(rest[2:])&0xfff8 == 0
			p.Protocol = rest[0]
			p.Header += fragmentHeader
			if !first {
				return nil
			}
		default:
			if first {
				p.ports(rest)
			}
			return nil
		}
	}
	return fmt.Errorf("%w: more than %d IPv6 extension headers", ErrMalformed, maxExtensions)
}

// ports reads what selectors call ports (RFC 4301 4.4.1.1).
func (p *Packet) ports(transport []byte) {
	switch p.Protocol {
	case protoTCP, protoUDP, protoSCTP:
		if len(transport) >= 4 {
			p.SrcPort, p.DstPort, p.Ports = binary.BigEndian.Uint16(transport), binary.BigEndian.Uint16(transport[2:]), true
		}
	case protoICMP, protoICMPv6, protoMobility:
		if len(transport) >= 2 {
			// RFC 4301: type in the high octet, code in the low one; there is
			// one value for both directions.
			v := binary.BigEndian.Uint16(transport)
			p.SrcPort, p.DstPort, p.Ports = v, v, true
		}
	}
}

// sum adds octets to a checksum of the internet (RFC 1071).
func sum(b []byte, acc uint32) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		acc += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		acc += uint32(b[0]) << 8
	}
	return acc
}

// folded ends a checksum.
func folded(acc uint32) uint16 {
	for acc>>16 != 0 {
		acc = acc&0xffff + acc>>16
	}
	return ^uint16(acc)
}

// changed updates a checksum for a field that changes (RFC 1624).
func changed(check []byte, before, after uint16) {
	old := uint32(^binary.BigEndian.Uint16(check)) + uint32(^before) + uint32(after)
	binary.BigEndian.PutUint16(check, folded(old))
}
