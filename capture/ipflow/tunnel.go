package ipflow

import (
	"encoding/binary"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

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

// gre opens generic routing encapsulation with its optional fields (RFC 2784,
// RFC 2890) and the version that PPTP uses (RFC 2637). A keepalive carries a
// packet for its sender, and is opened like any other.
func (w *Walker) gre(b []byte) bool {
	n := greHeader(b)
	if n == 0 || len(b) < n {
		return false
	}
	var h layers.GRE
	if err := h.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
		return false
	}
	inner := b[n:]
	t := Tunnel{Kind: TunnelGRE}
	if h.KeyPresent && h.Version == 0 { // PPTP keeps a call id there
		t.ID, t.HasID = h.Key, true
	}
	switch uint16(h.Protocol) {
	case etherBridge:
		return w.enter(t, func() error { return w.ethernet(inner) })
	case etherPPP:
		return w.enter(t, func() error { return w.ppp(inner) })
	case etherERSPAN:
		// Type II has a header of its own and always a sequence number;
		// type I has neither.
		if h.SeqPresent {
			if len(inner) < 8 {
				return false
			}
			inner = inner[8:]
		}
		return w.enter(Tunnel{Kind: TunnelERSPAN}, func() error { return w.ethernet(inner) })
	}
	return w.enter(t, func() error { return w.network(uint16(h.Protocol), inner) })
}

// greHeader is the length of a GRE header, 0 where it is none that is opened.
func greHeader(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	flags := binary.BigEndian.Uint16(b)
	if flags&7 > 1 || flags&0x4000 != 0 { // source routing is long gone
		return 0
	}
	n := 4
	for _, bit := range [...]uint16{0x8000, 0x2000, 0x1000, 0x0080} { // checksum, key, sequence, acknowledgement
		if flags&bit != 0 {
			n += 4
		}
	}
	return n
}

// vxlan opens a virtual LAN's frame in UDP.
func (w *Walker) vxlan(b []byte) bool {
	var h layers.VXLAN
	if err := h.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil || !h.ValidIDFlag {
		return false
	}
	return w.enter(Tunnel{Kind: TunnelVXLAN, ID: h.VNI, HasID: true}, func() error { return w.ethernet(b[8:]) })
}
