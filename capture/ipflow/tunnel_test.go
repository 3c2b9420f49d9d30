package ipflow

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/cloudvlan/cvlanctl/capture"
)

func gre(t testing.TB, h *layers.GRE, inner []byte) []byte {
	return octets(t, v4(layers.IPProtocolGRE), h, payload(inner))
}

// tunnelFrames are raw IP packets with a tunnel around udp4 or udp6.
func tunnelFrames(t testing.TB) []tunnelFrame {
	p4, p6 := udp4(t), udp6(t)
	a4, b4, a6, b6 := addr(ip1), addr(ip2), addr(ip61), addr(ip62)
	eth := octets(t, ether(layers.EthernetTypeIPv4), payload(p4))
	tagged := octets(t, ether(layers.EthernetTypeDot1Q), tag(30, layers.EthernetTypeIPv6), payload(p6))
	vx := func(vni uint32, inner []byte) []byte {
		return octets(t, v4(layers.IPProtocolUDP), udp(55555, 4789), &layers.VXLAN{ValidIDFlag: true, VNI: vni}, payload(inner))
	}
	pptp := slices.Concat([]byte{0x30, 0x81, 0x88, 0x0b, 0, 44, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 3, 0, 0x21}, p4)
	erspan := slices.Concat([]byte{0x10, 0, 0x88, 0xbe, 0, 0, 0, 9, 0x10, 0, 0, 0, 0, 0, 0, 0}, eth)
	return []tunnelFrame{
		{"gre", gre(t, &layers.GRE{Protocol: layers.EthernetTypeIPv4}, p4), []Tunnel{{Kind: TunnelGRE, Src: a4, Dst: b4}}, nil},
		{"gre with checksum, key and sequence", gre(t, &layers.GRE{Protocol: layers.EthernetTypeIPv6, ChecksumPresent: true, KeyPresent: true, SeqPresent: true, Key: 42}, p6), []Tunnel{{Kind: TunnelGRE, Src: a4, Dst: b4, ID: 42, HasID: true}}, nil},
		{"gre with ethernet", gre(t, &layers.GRE{Protocol: layers.EthernetTypeTransparentEthernetBridging}, eth), []Tunnel{{Kind: TunnelGRE, Src: a4, Dst: b4}}, nil},
		{"gre of pptp", octets(t, v4(layers.IPProtocolGRE), payload(pptp)), []Tunnel{{Kind: TunnelGRE, Src: a4, Dst: b4}}, nil},
		{"gre over IPv6", octets(t, v6(layers.IPProtocolGRE), &layers.GRE{Protocol: layers.EthernetTypeIPv4}, payload(p4)), []Tunnel{{Kind: TunnelGRE, Src: a6, Dst: b6}}, nil},
		{"erspan type I", gre(t, &layers.GRE{Protocol: layers.EthernetTypeERSPAN}, eth), []Tunnel{{Kind: TunnelERSPAN, Src: a4, Dst: b4}}, nil},
		{"erspan type II", octets(t, v4(layers.IPProtocolGRE), payload(erspan)), []Tunnel{{Kind: TunnelERSPAN, Src: a4, Dst: b4}}, nil},
		{"ip in ip", octets(t, v4(layers.IPProtocolIPv4), payload(p4)), []Tunnel{{Kind: TunnelIPIP, Src: a4, Dst: b4}}, nil},
		{"6in4", octets(t, v4(layers.IPProtocolIPv6), payload(p6)), []Tunnel{{Kind: Tunnel6in4, Src: a4, Dst: b4}}, nil},
		{"IPv6 in IPv6", octets(t, v6(layers.IPProtocolIPv6), payload(p6)), []Tunnel{{Kind: TunnelIPIP, Src: a6, Dst: b6}}, nil},
		{"IPv4 in IPv6", octets(t, v6(layers.IPProtocolIPv4), payload(p4)), []Tunnel{{Kind: TunnelIPIP, Src: a6, Dst: b6}}, nil},
		{"vxlan", vx(0xabcdef, eth), []Tunnel{{Kind: TunnelVXLAN, Src: a4, Dst: b4, ID: 0xabcdef, HasID: true}}, nil},
		{"vxlan with a vlan inside", vx(5, tagged), []Tunnel{{Kind: TunnelVXLAN, Src: a4, Dst: b4, ID: 5, HasID: true}}, []uint16{30}},
		{"gre in vxlan", vx(5, octets(t, ether(layers.EthernetTypeIPv4), payload(gre(t, &layers.GRE{Protocol: layers.EthernetTypeIPv4}, p4)))),
			[]Tunnel{{Kind: TunnelVXLAN, Src: a4, Dst: b4, ID: 5, HasID: true}, {Kind: TunnelGRE, Src: a4, Dst: b4}}, nil},
	}
}

type tunnelFrame struct {
	name  string
	data  []byte
	outer []Tunnel
	vlans []uint16
}

func TestTunnelsAreOpenedAndTold(t *testing.T) {
	for _, c := range tunnelFrames(t) {
		t.Run(c.name, func(t *testing.T) {
			d := one(t, walk(t, New(Options{}), frame(1, capture.LinkRaw, c.data)))
			if d.Proto != ProtoUDP || d.SrcPort != 500 || d.DstPort != 4500 || !bytes.Equal(d.Payload, body) || !slices.Equal(d.Outer, c.outer) || !slices.Equal(d.VLANs, c.vlans) {
				t.Errorf("datagram is %+v", d)
			}
			if !bytes.Equal(c.data[d.Offset:d.Offset+len(body)], body) {
				t.Errorf("payload is not at %d", d.Offset)
			}
		})
	}
}

func TestTunnelThatCannotBeOpenedIsTheDatagram(t *testing.T) {
	for _, c := range []struct {
		name  string
		p     []byte
		proto uint8
		port  uint16
	}{
		{"gre with an unknown protocol", gre(t, &layers.GRE{Protocol: 0x1234}, body), 47, 0},
		{"gre keepalive answer", gre(t, &layers.GRE{}, nil), 47, 0},
		{"gre of one octet", octets(t, v4(layers.IPProtocolGRE), payload([]byte{0})), 47, 0},
		{"gre cut in its key", octets(t, v4(layers.IPProtocolGRE), payload([]byte{0x20, 0, 8, 0, 1})), 47, 0},
		{"gre with source routing", octets(t, v4(layers.IPProtocolGRE), payload(append([]byte{0x40, 0, 8, 0, 0, 0, 0, 0}, udp4(t)...))), 47, 0},
		{"gre version 2", octets(t, v4(layers.IPProtocolGRE), payload(append([]byte{0, 2, 8, 0}, udp4(t)...))), 47, 0},
		{"ip in ip with garbage", octets(t, v4(layers.IPProtocolIPv4), payload(body)), 4, 0},
		{"vxlan port with something else", octets(t, v4(layers.IPProtocolUDP), udp(500, 4789), payload(body)), 17, 4789},
		{"vxlan cut", octets(t, v4(layers.IPProtocolUDP), udp(500, 4789), payload([]byte{8, 0, 0})), 17, 4789},
		{"vxlan with arp", octets(t, v4(layers.IPProtocolUDP), udp(500, 4789), &layers.VXLAN{ValidIDFlag: true}, ether(layers.EthernetTypeARP), payload(make([]byte, 28))), 17, 4789},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := New(Options{})
			d := one(t, walk(t, w, frame(1, capture.LinkRaw, c.p)))
			if d.Proto != c.proto || d.DstPort != c.port || len(d.Outer) != 0 || d.Src != addr(ip1) || d.Length != len(c.p)-20 {
				t.Errorf("datagram is %+v", d)
			}
			if w.Stats().Malformed != 0 {
				t.Errorf("stats are %+v", w.Stats())
			}
		})
	}
}

func TestTunnelsAreOpenedToABoundedDepth(t *testing.T) {
	p := udp4(t)
	for range 10 {
		p = octets(t, v4(layers.IPProtocolIPv4), payload(p))
	}
	d := one(t, walk(t, New(Options{}), frame(1, capture.LinkRaw, p)))
	if len(d.Outer) != maxTunnels || d.Proto != 4 {
		t.Errorf("%d tunnels, then protocol %d", len(d.Outer), d.Proto)
	}
	d = one(t, walk(t, New(Options{Limits: Limits{Tunnels: 1}}), frame(1, capture.LinkRaw, p)))
	if len(d.Outer) != 1 {
		t.Errorf("%d tunnels, limit is 1", len(d.Outer))
	}
}

func TestFragmentsInsideATunnelAreReassembled(t *testing.T) {
	p := long(1200)
	in := func(b []byte) []byte { return gre(t, &layers.GRE{Protocol: layers.EthernetTypeIPv4}, b) }
	d := one(t, walk(t, New(Options{}), raws(in(frag4(t, 1, p, 0, 800)), in(frag4(t, 1, p, 800, len(p))))...))
	if !bytes.Equal(d.Payload, p[8:]) || len(d.Outer) != 1 || !slices.Equal(d.Fragments, []int64{1, 2}) {
		t.Errorf("datagram is %+v", d)
	}
}

func TestTunnelInsideFragmentsIsOpened(t *testing.T) {
	whole := gre(t, &layers.GRE{Protocol: layers.EthernetTypeIPv4}, octets(t, v4(layers.IPProtocolUDP), udp(500, 4500), payload(long(1200))))
	piece := func(from, to int) []byte {
		b := slices.Concat(whole[:20], whole[20+from:20+to])
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		field := uint16(from / 8)
		if to < len(whole)-20 {
			field |= 0x2000
		}
		binary.BigEndian.PutUint16(b[6:], field)
		return b
	}
	d := one(t, walk(t, New(Options{}), raws(piece(0, 800), piece(800, len(whole)-20))...))
	if !bytes.Equal(d.Payload, long(1200)) || !slices.Equal(d.Outer, []Tunnel{{Kind: TunnelGRE, Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("198.51.100.2")}}) || d.Offset != -1 {
		t.Errorf("datagram is %+v", d)
	}
}
