package esp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
)

func TestPacketsTooBigAreAnswered(t *testing.T) {
	from := netip.MustParseAddr("10.2.0.254")
	packet := udp("10.1.0.1", "10.2.0.2", 1, 2, 1400)
	b := TooBig([]byte("before"), packet, parsed(t, packet), 1300, from)[6:]
	p := parsed(t, b)
	m := b[p.Header:]
	if p.Src != from || p.Dst.String() != "10.1.0.1" || p.Protocol != protoICMP || m[0] != 3 || m[1] != 4 || binary.BigEndian.Uint16(m[6:]) != 1300 ||
		folded(sum(b[:ipv4Header], 0)) != 0 || folded(sum(m, 0)) != 0 || !bytes.HasPrefix(packet, m[8:]) || len(b) != 576 {
		t.Errorf("IPv4: %+v of %d octets: %x", p, len(b), b[:40])
	}
	packet = udp("fd00:1::1", "fd00:2::2", 1, 2, 1400)
	b = TooBig(nil, packet, parsed(t, packet), 1300, from)
	p = parsed(t, b)
	m = b[p.Header:]
	if p.Src.String() != "fd00:2::2" || p.Protocol != protoICMPv6 || m[0] != 2 || binary.BigEndian.Uint32(m[4:]) != 1300 || len(b) != 1280 ||
		folded(sum(m, sum(b[8:40], uint32(len(m))+protoICMPv6))) != 0 {
		t.Errorf("IPv6: %+v of %d octets: %x", p, len(b), b[:48])
	}
	if b := TooBig(nil, packet, parsed(t, packet), 100, from); binary.BigEndian.Uint32(b[44:]) != 1280 {
		t.Error("IPv6: less than the smallest MTU is told")
	}
	for name, b := range map[string][]byte{
		"an ICMP error":   ip("10.1.0.1", "10.2.0.2", protoICMP, make([]byte, 8)[:8:8]),
		"an ICMPv6 error": ip("fd00:1::1", "fd00:2::2", protoICMPv6, []byte{1, 0, 0, 0, 0, 0, 0, 0}),
		"to a multicast":  udp("10.1.0.1", "224.0.0.5", 1, 2, 1400),
	} {
		b := slices.Clone(b)
		if name == "an ICMP error" {
			b[ipv4Header] = 3
		}
		if got := TooBig(nil, b, parsed(t, b), 600, from); got != nil {
			t.Errorf("%s is answered", name)
		}
	}
	echo := ip("10.1.0.1", "10.2.0.2", protoICMP, []byte{8, 0, 0, 0, 0, 0, 0, 0})
	if TooBig(nil, echo, parsed(t, echo), 600, from) == nil {
		t.Error("an echo request is not answered")
	}
}

func TestFragmentsMakeTheWholeAgain(t *testing.T) {
	packet := udp("10.1.0.1", "10.2.0.2", 1, 2, 5000)
	for _, mtu := range []int{68, 576, 1300, 1401} {
		whole := make([]byte, len(packet)-ipv4Header)
		have, last := 0, false
		room := make([]byte, mtu)
		if !Fragment4(packet, parsed(t, packet), mtu, room, func(f []byte) {
			p := parsed(t, f)
			word := binary.BigEndian.Uint16(f[6:])
			if len(f) > mtu || !p.Fragment || folded(sum(f[:ipv4Header], 0)) != 0 || last {
				t.Errorf("mtu %d: fragment %+v", mtu, p)
			}
			last = word&0x2000 == 0
			have += copy(whole[int(word&0x1fff)*8:], f[p.Header:])
		}) {
			t.Fatal("not fragmented")
		}
		if have != len(whole) || !last || !bytes.Equal(whole, packet[ipv4Header:]) {
			t.Errorf("mtu %d: %d of %d octets, the last seen: %t", mtu, have, len(whole), last)
		}
	}
	packet[6] |= 0x40
	if Fragment4(packet, parsed(t, packet), 576, make([]byte, 576), func([]byte) { t.Error("sent") }) {
		t.Error("a packet with DF is fragmented")
	}
	v6 := udp("fd00:1::1", "fd00:2::2", 1, 2, 3000)
	if Fragment4(v6, parsed(t, v6), 1280, make([]byte, 1280), func([]byte) {}) {
		t.Error("an IPv6 packet is fragmented")
	}
}

// syn makes a TCP SYN with options and a right checksum.
func syn(src, dst string, options []byte) []byte {
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	tcp := make([]byte, 20+len(options))
	tcp[12], tcp[13] = uint8(5+len(options)/4)<<4, 2
	copy(tcp[20:], options)
	b := ip(src, dst, protoTCP, tcp)
	binary.BigEndian.PutUint16(b[len(b)-len(tcp)+16:], tcpSum(b, len(tcp)))
	return b
}

func tcpSum(packet []byte, n int) uint16 {
	addresses := packet[12:20]
	if packet[0]>>4 == 6 {
		addresses = packet[8:40]
	}
	return folded(sum(packet[len(packet)-n:], sum(addresses, uint32(n)+protoTCP)))
}

func TestTheSegmentSizeOfASYNIsLowered(t *testing.T) {
	rows := []struct {
		name     string
		src, dst string
		options  []byte
		want     uint16 // 0: as it was
	}{
		{"alone", "10.1.0.1", "10.2.0.1", []byte{2, 4, 0x05, 0xb4}, 1260},
		{"behind a NOP, across words", "10.1.0.1", "10.2.0.1", []byte{1, 2, 4, 0x05, 0xb4}, 1260},
		{"behind others", "10.1.0.1", "10.2.0.1", []byte{4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 2, 4, 0x05, 0xb4}, 1260},
		{"small already", "10.1.0.1", "10.2.0.1", []byte{2, 4, 0x02, 0x00}, 0},
		{"IPv6", "fd00:1::1", "fd00:2::2", []byte{2, 4, 0x05, 0xa0}, 1240},
		{"none", "10.1.0.1", "10.2.0.1", []byte{1, 1, 1, 0}, 0},
		{"an option without end", "10.1.0.1", "10.2.0.1", []byte{3, 0, 2, 4}, 0},
		{"an option beyond the header", "10.1.0.1", "10.2.0.1", []byte{3, 40, 2, 4}, 0},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			b := syn(r.src, r.dst, r.options)
			before := slices.Clone(b)
			p := parsed(t, b)
			ClampMSS(b, p, 1300)
			if n := p.Length - p.Header; tcpSum(b, n) != 0 {
				t.Errorf("checksum is off by %#x", tcpSum(b, n))
			}
			if r.want == 0 {
				if !bytes.Equal(b, before) {
					t.Error("it was changed")
				}
				return
			}
			if i := bytes.Index(b[p.Header+20:], []byte{2, 4}); i < 0 || binary.BigEndian.Uint16(b[p.Header+20+i+2:]) != r.want {
				t.Errorf("%x, want %d", b[p.Header+20:], r.want)
			}
		})
	}
	plain := syn("10.1.0.1", "10.2.0.1", []byte{2, 4, 0x05, 0xb4})
	plain[ipv4Header+13] = 0x10 // no SYN
	before := slices.Clone(plain)
	ClampMSS(plain, parsed(t, plain), 1300)
	if !bytes.Equal(plain, before) {
		t.Error("a segment that is no SYN was changed")
	}
}
