package ipflow

import (
	"encoding/binary"
	"net/netip"
)

// IPv6 extension headers, and the protocols that are opened as tunnels.
const (
	nextHopByHop    = 0
	protoIPIP       = 4
	protoIPv6       = 41
	nextRouting     = 43
	nextFragment    = 44
	protoGRE        = 47
	nextNone        = 59
	nextDestination = 60
	nextMobility    = 135
)

// ipv4 opens an IPv4 packet (RFC 791). The total length decides where it
// ends, not the frame: short packets are padded on Ethernet.
func (w *Walker) ipv4(b []byte) error {
	if len(b) < 20 {
		return ErrShortIP
	}
	head := int(b[0]&0x0f) * 4
	if b[0]>>4 != 4 || head < 20 {
		return ErrIPHeader
	}
	if len(b) < head {
		return ErrShortIP
	}
	total := int(binary.BigEndian.Uint16(b[2:]))
	d := &w.d
	d.Truncated = false
	switch {
	case total == 0:
		// The network card was to fill it in (segmentation offload).
		total = len(b)
	case total < head:
		return ErrIPHeader
	case total > len(b):
		d.Truncated = true
	default:
		b = b[:total]
	}
	d.Src = netip.AddrFrom4([4]byte(b[12:16]))
	d.Dst = netip.AddrFrom4([4]byte(b[16:20]))
	d.Proto = b[9]
	d.TTL = b[8]
	d.DSCP, d.ECN = b[1]>>2, b[1]&3
	d.Length = total - head
	frag := binary.BigEndian.Uint16(b[6:])
	d.DF = frag&0x4000 != 0
	if frag&0x3fff != 0 {
		p := piece{
			key:    fragKey{src: d.Src, dst: d.Dst, id: uint32(binary.BigEndian.Uint16(b[4:])), proto: d.Proto},
			offset: int(frag&0x1fff) * 8,
			more:   frag&0x2000 != 0,
			claim:  d.Length,
			data:   b[head:],
		}
		return w.fragment(&p)
	}
	return w.transport(b[head:])
}

// ipv6 opens an IPv6 packet (RFC 8200).
func (w *Walker) ipv6(b []byte) error {
	if len(b) < 40 {
		return ErrShortIP
	}
	if b[0]>>4 != 6 {
		return ErrIPHeader
	}
	d := &w.d
	class := b[0]<<4 | b[1]>>4
	d.Src = netip.AddrFrom16([16]byte(b[8:24]))
	d.Dst = netip.AddrFrom16([16]byte(b[24:40]))
	d.Proto = b[6]
	d.TTL = b[7]
	d.DSCP, d.ECN = class>>2, class&3
	d.DF = false
	d.Truncated = false
	d.Length = int(binary.BigEndian.Uint16(b[4:]))
	b = b[40:]
	switch {
	case d.Length == 0 && d.Proto != nextNone:
		// A jumbogram, or a length that the network card was to fill in.
		d.Length = len(b)
	case d.Length > len(b):
		d.Truncated = true
	default:
		b = b[:d.Length]
	}
	if d.Proto == ProtoUDP || d.Proto == ProtoESP {
		return w.transport(b)
	}
	return w.extensions(b, d.Length)
}

// extensions steps over IPv6 extension headers up to the transport header.
// AH is not stepped over: it is one of the protocols looked for. claim is how
// long b was before it was truncated.
func (w *Walker) extensions(b []byte, claim int) error {
	d := &w.d
	for range maxHeaders {
		switch d.Proto {
		case nextHopByHop, nextRouting, nextDestination, nextMobility:
			if len(b) < 8 {
				return ErrShortIP
			}
			n := 8 + int(b[1])*8
			if len(b) < n {
				return ErrShortIP
			}
			d.Proto = b[0]
			b = b[n:]
			claim -= n
		case nextFragment:
			if len(b) < 8 {
				return ErrShortIP
			}
			field := binary.BigEndian.Uint16(b[2:])
			d.Proto = b[0]
			claim -= 8
			if field&^0x6 == 0 {
				// An atomic fragment (RFC 6946) is whole.
				b = b[8:]
				continue
			}
			p := piece{
				key:    fragKey{src: d.Src, dst: d.Dst, id: binary.BigEndian.Uint32(b[4:]), six: true},
				next:   b[0],
				offset: int(field &^ 7),
				more:   field&1 != 0,
				claim:  claim,
				data:   b[8:],
			}
			return w.fragment(&p)
		case nextNone:
			return ErrNotIP
		default:
			return w.transport(b)
		}
	}
	return ErrIPHeader
}

// transport opens the payload of a whole IP packet.
func (w *Walker) transport(b []byte) error {
	d := &w.d
	switch d.Proto {
	case ProtoUDP:
		return w.udp(b)
	case ProtoTCP:
		return w.tcp(b)
	case protoGRE, protoIPIP, protoIPv6:
		if w.tunnel(b) {
			return nil
		}
	}
	w.payload(b)
	w.emit()
	return nil
}

// payload sets Payload and where it lies.
func (w *Walker) payload(b []byte) {
	w.d.Payload = b
	if len(w.d.Fragments) > 0 {
		w.d.Offset = -1
		return
	}
	w.d.Offset = w.offset(b)
}

// udp opens a UDP datagram (RFC 768).
func (w *Walker) udp(b []byte) error {
	if len(b) < 8 {
		return ErrTransport
	}
	d := &w.d
	d.SrcPort = binary.BigEndian.Uint16(b)
	d.DstPort = binary.BigEndian.Uint16(b[2:])
	n := int(binary.BigEndian.Uint16(b[4:]))
	switch {
	case n == 0: // a jumbogram, or left to the network card
	case n < 8:
		return ErrTransport
	case n > len(b):
		d.Truncated = true
	default:
		b = b[:n]
		d.Truncated = false // what was cut lies behind the datagram
	}
	b = b[8:]
	if d.DstPort == portVXLAN && w.vxlan(b) {
		return nil
	}
	w.payload(b)
	w.emit()
	return nil
}
