package ipflow

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/gopacket/layers"
)

// Quote is what an ICMP error says: what went wrong, and with which packet.
type Quote struct {
	Type, Code       uint8
	Name             string // for example "DestinationUnreachable(Port)"
	MTU              int    // octets, from "fragmentation needed" and "packet too big"; 0 elsewhere, or where an old router left it out
	Src, Dst         netip.Addr
	Proto            uint8
	SrcPort, DstPort uint16 // UDP and TCP
	Payload          []byte // what is quoted of the UDP payload, or of the whole IP payload of other protocols
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
		switch q.Type {
		case layers.ICMPv4TypeDestinationUnreachable:
			if q.Code == layers.ICMPv4CodeFragmentationNeeded {
				q.MTU = int(binary.BigEndian.Uint16(b[6:]))
			}
		case layers.ICMPv4TypeSourceQuench, layers.ICMPv4TypeTimeExceeded, layers.ICMPv4TypeParameterProblem:
		default:
			return Quote{}, false
		}
		q.Name = layers.CreateICMPv4TypeCode(q.Type, q.Code).String()
	case ProtoICMPv6:
		switch q.Type {
		case layers.ICMPv6TypePacketTooBig:
			q.MTU = int(min(binary.BigEndian.Uint32(b[4:]), 1<<20))
		case layers.ICMPv6TypeDestinationUnreachable, layers.ICMPv6TypeTimeExceeded, layers.ICMPv6TypeParameterProblem:
		default:
			return Quote{}, false
		}
		q.Name = layers.CreateICMPv6TypeCode(q.Type, q.Code).String()
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
