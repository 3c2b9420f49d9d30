package ipflow

import "encoding/binary"

const portVXLAN = 4789 // RFC 7348

// enter opens what a tunnel carries. Where that is nothing to be opened it
// puts everything back and returns false: the datagram is then the tunnel's.
func (w *Walker) enter(t Tunnel, open func() error) bool {
	if w.depth >= w.limits.Tunnels {
		return false
	}
	saved := w.d
	t.Src, t.Dst = saved.Src, saved.Dst
	w.outer[w.depth] = t
	w.depth++
	w.d.SrcPort, w.d.DstPort = 0, 0
	if err := open(); err != nil {
		w.depth--
		w.d = saved
		return false
	}
	return true
}

// tunnel opens an IP packet whose payload is a tunnel's.
func (w *Walker) tunnel(b []byte) bool {
	switch w.d.Proto {
	case protoIPIP:
		return w.enter(Tunnel{Kind: TunnelIPIP}, func() error { return w.ipv4(b) })
	case protoIPv6:
		kind := Tunnel6in4
		if w.d.Src.Is6() {
			kind = TunnelIPIP
		}
		return w.enter(Tunnel{Kind: kind}, func() error { return w.ipv6(b) })
	}
	return w.gre(b)
}

// Flags of the GRE header (RFC 2784, RFC 2890, RFC 2637).
const (
	greChecksum = 0x8000
	greRouting  = 0x4000
	greKey      = 0x2000
	greSequence = 0x1000
	greAck      = 0x0080
	greVersion  = 0x0007
)

// gre opens generic routing encapsulation with its optional fields (RFC 2784,
// RFC 2890) and the version that PPTP uses (RFC 2637). A keepalive carries a
// packet for its sender, and is opened like any other.
func (w *Walker) gre(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	flags, protocol := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	if flags&greVersion > 1 || flags&greRouting != 0 { // source routing is long gone
		return false
	}
	b = b[4:]
	t := Tunnel{Kind: TunnelGRE}
	for _, field := range [...]uint16{greChecksum, greKey, greSequence, greAck} { // in this order
		if flags&field == 0 {
			continue
		}
		if len(b) < 4 {
			return false
		}
		if field == greKey && flags&greVersion == 0 { // PPTP keeps a call id there
			t.ID, t.HasID = binary.BigEndian.Uint32(b), true
		}
		b = b[4:]
	}
	switch protocol {
	case etherBridge:
		return w.enter(t, func() error { return w.ethernet(b) })
	case etherPPP:
		return w.enter(t, func() error { return w.ppp(b) })
	case etherERSPAN:
		// Type II has a header of its own and always a sequence number;
		// type I has neither.
		if flags&greSequence != 0 {
			if len(b) < 8 || b[0]>>4 != 1 {
				return false
			}
			b = b[8:]
		}
		return w.enter(Tunnel{Kind: TunnelERSPAN}, func() error { return w.ethernet(b) })
	}
	return w.enter(t, func() error { return w.network(protocol, b) })
}

// vxlan opens a virtual LAN's frame in UDP (RFC 7348 section 5).
func (w *Walker) vxlan(b []byte) bool {
	if len(b) < 8 || b[0]&0x08 == 0 {
		return false
	}
	t := Tunnel{Kind: TunnelVXLAN, ID: binary.BigEndian.Uint32(b[4:]) >> 8, HasID: true}
	return w.enter(t, func() error { return w.ethernet(b[8:]) })
}
