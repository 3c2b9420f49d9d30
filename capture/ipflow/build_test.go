package ipflow

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/cloudvlan/cvlanctl/capture"
)

// The frames of these tests are built by gopacket, whose idea of the formats
// is not this package's.

var (
	mac1 = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	mac2 = net.HardwareAddr{2, 0, 0, 0, 0, 2}
	ip1  = net.IP{192, 0, 2, 1}
	ip2  = net.IP{198, 51, 100, 2}
	ip61 = net.ParseIP("2001:db8::1")
	ip62 = net.ParseIP("2001:db8::2")
	t0   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

// octets puts layers together, with lengths and checksums filled in.
func octets(t testing.TB, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	for i, l := range ls {
		ip, ok := l.(gopacket.NetworkLayer)
		if !ok || i+1 == len(ls) {
			continue
		}
		switch up := ls[i+1].(type) {
		case *layers.UDP:
			up.SetNetworkLayerForChecksum(ip)
		case *layers.TCP:
			up.SetNetworkLayerForChecksum(ip)
		}
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(b.Bytes())
}

func ether(t layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: mac1, DstMAC: mac2, EthernetType: t}
}

func v4(p layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, IHL: 5, TTL: 61, TOS: 0xb9, Id: 7, Flags: layers.IPv4DontFragment, Protocol: p, SrcIP: ip1, DstIP: ip2}
}

func v6(p layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 61, TrafficClass: 0xb9, NextHeader: p, SrcIP: ip61, DstIP: ip62}
}

func udp(src, dst uint16) *layers.UDP {
	return &layers.UDP{SrcPort: layers.UDPPort(src), DstPort: layers.UDPPort(dst)}
}

func frame(n int64, link capture.LinkType, b []byte) capture.Frame {
	return capture.Frame{Number: n, Time: t0.Add(time.Duration(n) * time.Millisecond), Link: link, Length: len(b), Data: b}
}

// keep is a deep copy of a datagram.
func keep(d *Datagram) Datagram {
	c := *d
	c.Payload = slices.Clone(d.Payload)
	c.VLANs = slices.Clone(d.VLANs)
	c.Outer = slices.Clone(d.Outer)
	c.Fragments = slices.Clone(d.Fragments)
	return c
}

// walk gives all that frames yield, and fails on an error.
func walk(t testing.TB, w *Walker, frames ...capture.Frame) []Datagram {
	t.Helper()
	var got []Datagram
	for _, f := range frames {
		if err := w.Walk(f, func(d *Datagram) { got = append(got, keep(d)) }); err != nil {
			t.Fatalf("frame %d: %v", f.Number, err)
		}
	}
	return got
}

func one(t testing.TB, got []Datagram) Datagram {
	t.Helper()
	if len(got) != 1 {
		t.Fatalf("got %d datagrams, want 1", len(got))
	}
	return got[0]
}

func addr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

func payload(b []byte) gopacket.Payload { return gopacket.Payload(b) }
