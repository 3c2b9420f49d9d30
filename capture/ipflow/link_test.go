package ipflow

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/cloudvlan/cvlanctl/capture"
)

var body = []byte("an IKE message, say")

// udp4 and udp6 are IP packets with a UDP datagram in them.
func udp4(t testing.TB) []byte {
	return octets(t, v4(layers.IPProtocolUDP), udp(500, 4500), gopacket.Payload(body))
}

func udp6(t testing.TB) []byte {
	return octets(t, v6(layers.IPProtocolUDP), udp(500, 4500), gopacket.Payload(body))
}

func tag(id uint16, t layers.EthernetType) *layers.Dot1Q {
	return &layers.Dot1Q{VLANIdentifier: id, Priority: 5, Type: t}
}

// linkFrames is a frame of every link type and encapsulation, all of them
// around udp4 or udp6.
func linkFrames(t testing.TB) []linkFrame {
	p4, p6 := udp4(t), udp6(t)
	eth := func(ls ...gopacket.SerializableLayer) []byte { return octets(t, ls...) }
	raw := func(head string, p []byte) []byte { return slices.Concat([]byte(head), p) }
	const mpls = "\x00\x01\x00\x40\x00\x02\x01\x40"
	const sll = "\x00\x00\x00\x01\x00\x06\x02\x00\x00\x00\x00\x01\x00\x00"
	const sll2 = "\x00\x00\x00\x00\x00\x02\x00\x01\x00\x06\x02\x00\x00\x00\x00\x01\x00\x00"
	return []linkFrame{
		{"ethernet, IPv4", capture.LinkEthernet, eth(ether(layers.EthernetTypeIPv4), gopacket.Payload(p4)), false, nil},
		{"ethernet, IPv6", capture.LinkEthernet, eth(ether(layers.EthernetTypeIPv6), gopacket.Payload(p6)), true, nil},
		{"vlan", capture.LinkEthernet, eth(ether(layers.EthernetTypeDot1Q), tag(100, layers.EthernetTypeIPv4), gopacket.Payload(p4)), false, []uint16{100}},
		{"qinq", capture.LinkEthernet, eth(ether(layers.EthernetTypeQinQ), tag(4094, layers.EthernetTypeDot1Q), tag(7, layers.EthernetTypeIPv6), gopacket.Payload(p6)), true, []uint16{4094, 7}},
		{"qinq by the old number", capture.LinkEthernet, eth(ether(0x9100), tag(1, layers.EthernetTypeDot1Q), tag(2, layers.EthernetTypeIPv4), gopacket.Payload(p4)), false, []uint16{1, 2}},
		{"mpls", capture.LinkEthernet, eth(ether(layers.EthernetTypeMPLSUnicast), gopacket.Payload(raw(mpls, p4)[4:])), false, nil},
		{"mpls, two labels", capture.LinkEthernet, eth(ether(layers.EthernetTypeMPLSUnicast), gopacket.Payload(raw(mpls, p6))), true, nil},
		{"pppoe", capture.LinkEthernet, eth(ether(layers.EthernetTypePPPoESession), &layers.PPPoE{Version: 1, Type: 1, SessionId: 9}, &layers.PPP{PPPType: layers.PPPTypeIPv4}, gopacket.Payload(p4)), false, nil},
		{"pppoe in a vlan", capture.LinkEthernet, eth(ether(layers.EthernetTypeDot1Q), tag(7, layers.EthernetTypePPPoESession), &layers.PPPoE{Version: 1, Type: 1}, &layers.PPP{PPPType: layers.PPPTypeIPv6}, gopacket.Payload(p6)), true, []uint16{7}},
		{"snap", capture.LinkEthernet, raw("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x00\x40\xaa\xaa\x03\x00\x00\x00\x08\x00", p4), false, nil},
		{"linux cooked", capture.LinkLinuxSLL, raw(sll+"\x08\x00", p4), false, nil},
		{"linux cooked, vlan", capture.LinkLinuxSLL, raw(sll+"\x81\x00\x00\x63\x86\xdd", p6), true, []uint16{99}},
		{"linux cooked 2, IPv4", capture.LinkSLL2, raw("\x08\x00"+sll2, p4), false, nil},
		{"linux cooked 2, IPv6", capture.LinkSLL2, raw("\x86\xdd"+sll2, p6), true, nil},
		{"raw, IPv4", capture.LinkRaw, p4, false, nil},
		{"raw, IPv6", capture.LinkRaw, p6, true, nil},
		{"raw by the BSD number", 12, p4, false, nil},
		{"raw by the OpenBSD number", 14, p6, true, nil},
		{"IPv4", capture.LinkIPv4, p4, false, nil},
		{"IPv6", capture.LinkIPv6, p6, true, nil},
		{"null, little endian", capture.LinkNull, raw("\x02\x00\x00\x00", p4), false, nil},
		{"null, big endian, IPv6 as FreeBSD numbers it", capture.LinkNull, raw("\x00\x00\x00\x1c", p6), true, nil},
		{"null, IPv6 as Darwin numbers it", capture.LinkNull, raw("\x1e\x00\x00\x00", p6), true, nil},
		{"loop", capture.LinkLoop, raw("\x00\x00\x00\x02", p4), false, nil},
		{"ppp", capture.LinkPPP, raw("\x00\x21", p4), false, nil},
		{"ppp with HDLC framing", capture.LinkPPP, raw("\xff\x03\x00\x57", p6), true, nil},
		{"ppp, protocol compressed", capture.LinkPPP, raw("\x21", p4), false, nil},
		{"ppp, mpls", capture.LinkPPP, raw("\x02\x81"+mpls[4:], p4), false, nil},
		{"ppp by the HDLC number", 50, raw("\xff\x03\x00\x21", p4), false, nil},
		{"pppoe as link type", 51, raw("\x11\x00\x00\x09\x00\x30\x00\x21", p4), false, nil},
	}
}

type linkFrame struct {
	name  string
	link  capture.LinkType
	data  []byte
	six   bool
	vlans []uint16
}

func TestEveryLinkTypeLeadsToTheDatagram(t *testing.T) {
	for _, c := range linkFrames(t) {
		t.Run(c.name, func(t *testing.T) {
			d := one(t, walk(t, New(Options{}), frame(9, c.link, c.data)))
			src, dst := addr(ip1), addr(ip2)
			if c.six {
				src, dst = addr(ip61), addr(ip62)
			}
			if d.Src != src || d.Dst != dst || d.SrcPort != 500 || d.DstPort != 4500 || d.Proto != ProtoUDP {
				t.Errorf("%v:%d to %v:%d, protocol %d", d.Src, d.SrcPort, d.Dst, d.DstPort, d.Proto)
			}
			if d.Frame != 9 || d.TTL != 61 || d.DSCP != 46 || d.ECN != 1 || d.DF == c.six || d.Truncated || d.Length != 8+len(body) {
				t.Errorf("datagram is %+v", d)
			}
			if !bytes.Equal(d.Payload, body) || d.Offset < 0 || !bytes.Equal(c.data[d.Offset:d.Offset+len(body)], body) {
				t.Errorf("payload %q at %d", d.Payload, d.Offset)
			}
			if !slices.Equal(d.VLANs, c.vlans) || len(d.Outer) != 0 || len(d.Fragments) != 0 {
				t.Errorf("vlans %v, outer %v, fragments %v", d.VLANs, d.Outer, d.Fragments)
			}
		})
	}
}

func TestFramesThatCarryNoIPSaySo(t *testing.T) {
	for _, c := range []struct {
		name string
		link capture.LinkType
		data []byte
		want error
	}{
		{"arp", capture.LinkEthernet, octets(t, ether(layers.EthernetTypeARP), gopacket.Payload(make([]byte, 28))), ErrNotIP},
		{"spanning tree", capture.LinkEthernet, []byte("\x01\x80\xc2\x00\x00\x00\x02\x00\x00\x00\x00\x01\x00\x26\x42\x42\x03\x00\x00\x00\x00\x00"), ErrNotIP},
		{"tags without end", capture.LinkEthernet, append(make([]byte, 12), bytes.Repeat([]byte{0x81, 0, 0, 1}, 50)...), ErrNotIP},
		{"labels without end", capture.LinkEthernet, append(octets(t, ether(layers.EthernetTypeMPLSUnicast)), make([]byte, 400)...), ErrNotIP},
		{"lcp", capture.LinkPPP, []byte{0xff, 3, 0xc0, 0x21, 1, 1, 0, 4}, ErrNotIP},
		{"pppoe discovery code", capture.LinkEthernet, append(octets(t, ether(layers.EthernetTypePPPoESession)), 0x11, 9, 0, 0, 0, 0), ErrNotIP},
		{"no version of IP", capture.LinkRaw, make([]byte, 40), ErrNotIP},
		{"radiotap", 127, make([]byte, 40), ErrLink},
		{"empty ethernet", capture.LinkEthernet, nil, ErrShortLink},
		{"empty raw", capture.LinkRaw, nil, ErrShortIP},
		{"IPv4 where IPv6 is promised", capture.LinkIPv6, append(udp4(t), make([]byte, 20)...), ErrIPHeader},
		{"IPv6 where IPv4 is promised", capture.LinkIPv4, udp6(t), ErrIPHeader},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := New(Options{})
			err := w.Walk(frame(1, c.link, c.data), func(d *Datagram) { t.Errorf("yields %+v", d) })
			if !errors.Is(err, c.want) {
				t.Errorf("error is %v, want %v", err, c.want)
			}
			if st := w.Stats(); st.Frames != 1 || st.NotIP+st.Malformed != 1 {
				t.Errorf("stats are %+v", st)
			}
		})
	}
}
