package esp

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// selector makes a traffic selector of a prefix.
func selector(prefix string) wire.TrafficSelector {
	p := netip.MustParsePrefix(prefix)
	last := p.Addr().AsSlice()
	for i := p.Bits(); i < len(last)*8; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	end, _ := netip.AddrFromSlice(last)
	return wire.TrafficSelector{EndPort: 65535, Start: p.Addr(), End: end}
}

func selectors(prefixes ...string) []wire.TrafficSelector {
	var list []wire.TrafficSelector
	for _, p := range prefixes {
		list = append(list, selector(p))
	}
	return list
}

// udp makes a UDP packet between two addresses.
func udp(src, dst string, sport, dport uint16, n int) []byte {
	payload := make([]byte, 8+n)
	binary.BigEndian.PutUint16(payload, sport)
	binary.BigEndian.PutUint16(payload[2:], dport)
	binary.BigEndian.PutUint16(payload[4:], uint16(len(payload)))
	for i := range n {
		payload[8+i] = byte(i)
	}
	return ip(src, dst, protoUDP, payload)
}

// ip makes an IP packet.
func ip(src, dst string, protocol uint8, payload []byte) []byte {
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	if s.Is4() {
		b := make([]byte, ipv4Header, ipv4Header+len(payload))
		b[0], b[8], b[9] = 0x45, 64, protocol
		binary.BigEndian.PutUint16(b[2:], uint16(ipv4Header+len(payload)))
		binary.BigEndian.PutUint16(b[4:], 0x1234)
		copy(b[12:], s.AsSlice())
		copy(b[16:], d.AsSlice())
		binary.BigEndian.PutUint16(b[10:], folded(sum(b, 0)))
		return append(b, payload...)
	}
	b := make([]byte, ipv6Header, ipv6Header+len(payload))
	b[0], b[6], b[7] = 0x60, protocol, 64
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	copy(b[8:], s.AsSlice())
	copy(b[24:], d.AsSlice())
	return append(b, payload...)
}

// cipher makes an ESP cipher from swanctl's spelling; both ends of a pair get
// the same key.
func cipher(t testing.TB, proposal string) *suite.ESPCipher {
	t.Helper()
	ts, err := wire.ParseProposal(wire.ProtocolESP, proposal)
	if err != nil {
		t.Fatal(err)
	}
	var encr, integ uint16
	bits, esn := 0, false
	for i := range ts {
		switch x := &ts[i]; x.Type {
		case wire.TransformEncr:
			encr, bits = x.ID, x.KeyLength()
		case wire.TransformInteg:
			integ = x.ID
		case wire.TransformESN:
			esn = x.ID == wire.ESNYes
		}
	}
	e, a, err := suite.KeyLengths(encr, bits, integ)
	if err != nil {
		t.Fatal(err)
	}
	key := func(n int, seed byte) suite.Secret {
		b := make([]byte, n)
		for i := range b {
			b[i] = seed + byte(i)
		}
		return suite.NewSecret(b)
	}
	c, err := suite.NewESP(encr, bits, integ, key(e, 1), key(a, 77), esn)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ends makes both ends of one direction.
func ends(t testing.TB, proposal string, change func(*Config)) (*Out, *In) {
	t.Helper()
	c := Config{SPI: 0xc1c2c3c4, Src: selectors("10.1.0.0/16", "fd00:1::/64"), Dst: selectors("10.2.0.0/16", "fd00:2::/64")}
	if change != nil {
		change(&c)
	}
	c.Cipher = cipher(t, proposal)
	out, err := NewOut(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Cipher = cipher(t, proposal)
	in, err := NewIn(c)
	if err != nil {
		t.Fatal(err)
	}
	return out, in
}

// parsed reads a packet that is in order.
func parsed(t testing.TB, b []byte) *Packet {
	t.Helper()
	var p Packet
	if err := ParsePacket(b, &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

func seal(t testing.TB, o *Out, packet []byte) []byte {
	t.Helper()
	b, err := o.Seal(nil, packet, parsed(t, packet))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
