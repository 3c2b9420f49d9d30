package ipflow

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Quote is what an ICMP error says: what went wrong, and with which packet.
type Quote struct {
	Type, Code       uint8
	Name             string // for example "port unreachable"; "" where the numbers have none
	MTU              int    // octets, from "fragmentation needed" and "packet too big"; 0 elsewhere, or where an old router left it out
	Src, Dst         netip.Addr
	Proto            uint8
	SrcPort, DstPort uint16 // UDP and TCP
	Payload          []byte // what is quoted of the UDP payload, or of the whole IP payload of other protocols
}

// ICMP error types (RFC 792, RFC 4443) and the code that carries an MTU.
const (
	icmpUnreachable   = 3
	icmpQuench        = 4
	icmpExceeded      = 11
	icmpParameter     = 12
	codeFragmentation = 4

	icmp6Unreachable = 1
	icmp6TooBig      = 2
	icmp6Exceeded    = 3
	icmp6Parameter   = 4
)

type icmpKind struct{ typ, code uint8 }

var icmpNames = map[icmpKind]string{
	{icmpUnreachable, 0}:                 "network unreachable",
	{icmpUnreachable, 1}:                 "host unreachable",
	{icmpUnreachable, 2}:                 "protocol unreachable",
	{icmpUnreachable, 3}:                 "port unreachable",
	{icmpUnreachable, codeFragmentation}: "fragmentation needed",
	{icmpUnreachable, 5}:                 "source route failed",
	{icmpUnreachable, 6}:                 "network unknown",
	{icmpUnreachable, 7}:                 "host unknown",
	{icmpUnreachable, 9}:                 "network prohibited",
	{icmpUnreachable, 10}:                "host prohibited",
	{icmpUnreachable, 13}:                "communication prohibited",
	{icmpQuench, 0}:                      "source quench",
	{icmpExceeded, 0}:                    "time to live exceeded",
	{icmpExceeded, 1}:                    "fragment reassembly time exceeded",
	{icmpParameter, 0}:                   "parameter problem",
	{icmpParameter, 1}:                   "required option missing",
}

var icmp6Names = map[icmpKind]string{
	{icmp6Unreachable, 0}: "no route",
	{icmp6Unreachable, 1}: "communication prohibited",
	{icmp6Unreachable, 2}: "beyond the scope of the source",
	{icmp6Unreachable, 3}: "address unreachable",
	{icmp6Unreachable, 4}: "port unreachable",
	{icmp6Unreachable, 5}: "source address failed the policy",
	{icmp6Unreachable, 6}: "route rejected",
	{icmp6TooBig, 0}:      "packet too big",
	{icmp6Exceeded, 0}:    "hop limit exceeded",
	{icmp6Exceeded, 1}:    "fragment reassembly time exceeded",
	{icmp6Parameter, 0}:   "erroneous header field",
	{icmp6Parameter, 1}:   "unknown next header",
	{icmp6Parameter, 2}:   "unknown IPv6 option",
}

// ICMPError reads an ICMP error (RFC 792, RFC 4443) with the start of the
// packet that it is about. It is false for other ICMP messages, and where
// the quote is too short to tell the packet by.
func ICMPError(d *Datagram) (Quote, bool) {
	b := d.Payload
	if len(b) < 8 || d.Encap != EncapNone {
		return Quote{}, false
	}
	q := Quote{Type: b[0], Code: b[1]}
	switch d.Proto {
	case ProtoICMP:
		if !slices.Contains([]uint8{icmpUnreachable, icmpQuench, icmpExceeded, icmpParameter}, q.Type) {
			return Quote{}, false
		}
		q.Name = icmpNames[icmpKind{q.Type, q.Code}]
		if q.Type == icmpUnreachable && q.Code == codeFragmentation {
			q.MTU = int(binary.BigEndian.Uint16(b[6:]))
		}
	case ProtoICMPv6:
		if q.Type == 0 || q.Type > icmp6Parameter {
			return Quote{}, false
		}
		q.Name = icmp6Names[icmpKind{q.Type, q.Code}]
		if q.Type == icmp6TooBig {
			q.MTU = int(min(binary.BigEndian.Uint32(b[4:]), 1<<20))
		}
	default:
		return Quote{}, false
	}
	return q, q.quoted(b[8:])
}

// quoted reads the packet that an ICMP error quotes.
func (q *Quote) quoted(b []byte) bool {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		head := int(b[0]&0x0f) * 4
		if head < 20 || len(b) < head {
			return false
		}
		q.Proto = b[9]
		q.Src = netip.AddrFrom4([4]byte(b[12:16]))
		q.Dst = netip.AddrFrom4([4]byte(b[16:20]))
		if binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return true // not the first fragment: no ports
		}
		b = b[head:]
	case len(b) >= 40 && b[0]>>4 == 6:
		q.Proto = b[6]
		q.Src = netip.AddrFrom16([16]byte(b[8:24]))
		q.Dst = netip.AddrFrom16([16]byte(b[24:40]))
		b = b[40:]
		if q.Proto == nextFragment && len(b) >= 8 {
			first := binary.BigEndian.Uint16(b[2:])&^7 == 0
			q.Proto = b[0]
			if !first {
				return true
			}
			b = b[8:]
		}
	default:
		return false
	}
	switch q.Proto {
	case ProtoUDP, ProtoTCP:
		if len(b) < 4 {
			return false
		}
		q.SrcPort = binary.BigEndian.Uint16(b)
		q.DstPort = binary.BigEndian.Uint16(b[2:])
		if q.Proto == ProtoUDP && len(b) >= 8 {
			b = b[8:]
		}
	}
	q.Payload = b
	return true
}
