package ipflow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/cloudvlan/cvlanctl/capture"
)

func TestEthernetPaddingIsNotPayload(t *testing.T) {
	for name, p := range map[string][]byte{
		"IPv4": octets(t, ether(layers.EthernetTypeIPv4), v4(layers.IPProtocolUDP), udp(4500, 4500), gopacket.Payload{0xff}),
		"IPv6": octets(t, ether(layers.EthernetTypeIPv6), v6(layers.IPProtocolUDP), udp(4500, 4500), gopacket.Payload{0xff}),
	} {
		t.Run(name, func(t *testing.T) {
			p = append(p, make([]byte, 80-len(p))...)
			d := one(t, walk(t, New(Options{}), frame(1, capture.LinkEthernet, p)))
			if !bytes.Equal(d.Payload, []byte{0xff}) || d.Truncated {
				t.Errorf("keepalive has payload %x, truncated %v", d.Payload, d.Truncated)
			}
		})
	}
}

func TestPayloadOfEveryProtocol(t *testing.T) {
	esp := append([]byte{0xc0, 0, 0, 1, 0, 0, 0, 9}, make([]byte, 24)...)
	for _, c := range []struct {
		name  string
		proto layers.IPProtocol
		six   bool
		data  []byte
	}{
		{"esp", layers.IPProtocolESP, false, esp},
		{"esp of three octets", layers.IPProtocolESP, false, []byte{1, 2, 3}},
		{"esp in IPv6", layers.IPProtocolESP, true, esp},
		{"ah", layers.IPProtocolAH, false, esp},
		{"ah in IPv6 is not stepped over", layers.IPProtocolAH, true, append([]byte{50, 4, 0, 0}, esp...)},
		{"icmp", layers.IPProtocolICMPv4, false, []byte{8, 0, 0, 0, 0, 0, 0, 0}},
		{"icmpv6", layers.IPProtocolICMPv6, true, []byte{128, 0, 0, 0, 0, 0, 0, 0}},
		{"another protocol", layers.IPProtocolOSPF, false, esp},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := octets(t, v4(c.proto), gopacket.Payload(c.data))
			if c.six {
				p = octets(t, v6(c.proto), gopacket.Payload(c.data))
			}
			d := one(t, walk(t, New(Options{}), frame(1, capture.LinkRaw, p)))
			if d.Proto != uint8(c.proto) || d.SrcPort != 0 || d.DstPort != 0 || !bytes.Equal(d.Payload, c.data) || d.Length != len(c.data) {
				t.Errorf("datagram is %+v", d)
			}
		})
	}
}

func TestIPv4OptionsAreSteppedOver(t *testing.T) {
	ip := v4(layers.IPProtocolUDP)
	ip.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	d := one(t, walk(t, New(Options{}), frame(1, capture.LinkRaw, octets(t, ip, udp(500, 500), gopacket.Payload(body)))))
	if !bytes.Equal(d.Payload, body) {
		t.Errorf("payload %q", d.Payload)
	}
}

// six puts extension headers between an IPv6 header and what follows.
func six(first uint8, rest ...[]byte) []byte {
	p := slices.Concat(rest...)
	b := make([]byte, 40, 40+len(p))
	b[0], b[6], b[7] = 0x60, first, 61
	binary.BigEndian.PutUint16(b[4:], uint16(len(p)))
	copy(b[8:], ip61)
	copy(b[24:], ip62)
	return append(b, p...)
}

func ext(next uint8, units int) []byte {
	b := make([]byte, 8+units*8)
	b[0], b[1] = next, uint8(units)
	return b
}

func TestIPv6ExtensionHeadersAreSteppedOver(t *testing.T) {
	u := udp6(t)[40:]
	for _, c := range []struct {
		name string
		p    []byte
	}{
		{"hop by hop", six(nextHopByHop, ext(ProtoUDP, 0), u)},
		{"hop by hop, destination, routing", six(nextHopByHop, ext(nextDestination, 2), ext(nextRouting, 0), ext(ProtoUDP, 1), u)},
		{"atomic fragment", six(nextFragment, []byte{ProtoUDP, 0, 0, 0, 1, 2, 3, 4}, u)},
		{"destination after an atomic fragment", six(nextFragment, []byte{nextDestination, 0, 0, 0, 1, 2, 3, 4}, ext(ProtoUDP, 0), u)},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := one(t, walk(t, New(Options{}), frame(1, capture.LinkRaw, c.p)))
			if d.Proto != ProtoUDP || d.DstPort != 4500 || !bytes.Equal(d.Payload, body) || d.Length != len(c.p)-40 {
				t.Errorf("datagram is %+v", d)
			}
		})
	}
}

func TestHostileHeadersYieldNothing(t *testing.T) {
	edit := func(p []byte, change func(p []byte)) []byte {
		p = slices.Clone(p)
		change(p)
		return p
	}
	p4, u := udp4(t), udp6(t)[40:]
	for _, c := range []struct {
		name string
		p    []byte
		want error
	}{
		{"header length below 20", edit(p4, func(p []byte) { p[0] = 0x44 }), ErrIPHeader},
		{"header length beyond the packet", edit(p4[:30], func(p []byte) { p[0] = 0x4f }), ErrShortIP},
		{"total length below the header", edit(p4, func(p []byte) { p[2], p[3] = 0, 19 }), ErrIPHeader},
		{"UDP length below 8", edit(p4, func(p []byte) { p[24], p[25] = 0, 7 }), ErrTransport},
		{"extension header beyond the packet", six(nextHopByHop, ext(ProtoUDP, 0)[:1], []byte{200}, make([]byte, 20)), ErrShortIP},
		{"no next header", six(nextNone, make([]byte, 8)), ErrNotIP},
		{"extension headers without end", six(nextDestination, bytes.Repeat(ext(nextDestination, 0), 100), u), ErrIPHeader},
		{"TCP header length below 20", octets(t, v4(layers.IPProtocolTCP), gopacket.Payload(append(make([]byte, 12), 0x40, 0, 0, 0, 0, 0, 0, 0))), ErrTransport},
		{"TCP header length beyond the packet", octets(t, v4(layers.IPProtocolTCP), gopacket.Payload(append(make([]byte, 12), 0xf0, 0, 0, 0, 0, 0, 0, 0))), ErrTransport},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := New(Options{}).Walk(frame(1, capture.LinkRaw, c.p), func(d *Datagram) { t.Errorf("yields %+v", d) })
			if !errors.Is(err, c.want) {
				t.Errorf("error is %v, want %v", err, c.want)
			}
		})
	}
}

func TestSnapLengthCutIsTold(t *testing.T) {
	for name, p := range map[string][]byte{"IPv4": udp4(t), "IPv6": udp6(t)} {
		t.Run(name, func(t *testing.T) {
			f := frame(1, capture.LinkRaw, p)
			f.Data = p[:len(p)-5]
			w := New(Options{})
			d := one(t, walk(t, w, f))
			if !d.Truncated || !bytes.Equal(d.Payload, body[:len(body)-5]) || d.Length != 8+len(body) {
				t.Errorf("datagram is %+v", d)
			}
			if w.Stats().Truncated != 1 {
				t.Errorf("stats are %+v", w.Stats())
			}
		})
	}
}

func TestLengthsLeftToTheNetworkCardMeanTheRest(t *testing.T) {
	p4, p6 := udp4(t), udp6(t)
	p4[2], p4[3] = 0, 0
	p6[4], p6[5] = 0, 0
	for name, p := range map[string][]byte{"IPv4": p4, "IPv6": p6} {
		t.Run(name, func(t *testing.T) {
			if d := one(t, walk(t, New(Options{}), frame(1, capture.LinkRaw, p))); !bytes.Equal(d.Payload, body) || d.Truncated {
				t.Errorf("datagram is %+v", d)
			}
		})
	}
}

func TestUDPLengthBeyondThePacketIsTold(t *testing.T) {
	p := udp4(t)
	p[24], p[25] = 0xff, 0xff
	if d := one(t, walk(t, New(Options{}), frame(1, capture.LinkRaw, p))); !d.Truncated || !bytes.Equal(d.Payload, body) {
		t.Errorf("datagram is %+v", d)
	}
}

func TestICMPErrorsNameThePacketTheyAreAbout(t *testing.T) {
	quoted4, quoted6 := udp4(t), udp6(t)
	icmp := func(six bool, typ, code byte, word uint32, q []byte) []byte {
		m := append([]byte{typ, code, 0, 0}, binary.BigEndian.AppendUint32(nil, word)...)
		if six {
			return octets(t, v6(layers.IPProtocolICMPv6), gopacket.Payload(append(m, q...)))
		}
		return octets(t, v4(layers.IPProtocolICMPv4), gopacket.Payload(append(m, q...)))
	}
	later := slices.Clone(quoted4)
	later[6], later[7] = 0, 185
	for _, c := range []struct {
		name  string
		p     []byte
		mtu   int
		ports bool
		text  string
	}{
		{"port unreachable", icmp(false, 3, 3, 0, quoted4[:28]), 0, true, "port unreachable"},
		{"fragmentation needed", icmp(false, 3, 4, 1400, quoted4), 1400, true, "fragmentation needed"},
		{"time exceeded", icmp(false, 11, 1, 0, quoted4), 0, true, "fragment reassembly time exceeded"},
		{"about a later fragment", icmp(false, 3, 4, 1400, later), 1400, false, "fragmentation needed"},
		{"packet too big", icmp(true, 2, 0, 1280, quoted6), 1280, true, "packet too big"},
		{"no route in IPv6", icmp(true, 1, 0, 0, quoted6), 0, true, "no route"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := one(t, walk(t, New(Options{}), frame(1, capture.LinkRaw, c.p)))
			q, ok := ICMPError(&d)
			if !ok || q.MTU != c.mtu || q.Name != c.text || q.Proto != ProtoUDP || (q.SrcPort == 500 && q.DstPort == 4500) != c.ports {
				t.Errorf("quote is %+v, %v", q, ok)
			}
			if want := d.Src; q.Src != want {
				t.Errorf("quoted source %v, want %v", q.Src, want)
			}
		})
	}
	for name, p := range map[string][]byte{
		"echo":               icmp(false, 8, 0, 0, quoted4),
		"neighbour":          icmp(true, 135, 0, 0, quoted6),
		"cut in the header":  icmp(false, 3, 3, 0, quoted4[:19]),
		"cut before ports":   icmp(false, 3, 3, 0, quoted4[:22]),
		"IPv6 cut":           icmp(true, 1, 0, 0, quoted6[:39]),
		"a header too short": icmp(false, 3, 3, 0, append([]byte{0x41}, quoted4[1:]...)),
	} {
		t.Run(name, func(t *testing.T) {
			d := one(t, walk(t, New(Options{}), frame(1, capture.LinkRaw, p)))
			if q, ok := ICMPError(&d); ok {
				t.Errorf("quote is %+v", q)
			}
		})
	}
}
