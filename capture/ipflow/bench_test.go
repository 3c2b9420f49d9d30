package ipflow

import (
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/cloudvlan/cvlanctl/capture"
)

var sink int

func benchmark(b *testing.B, f capture.Frame) {
	w := New(Options{})
	yield := func(d *Datagram) { sink += len(d.Payload) }
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Walk(f, yield); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWalkEthernetIPv4UDP(b *testing.B) {
	benchmark(b, frame(1, capture.LinkEthernet, octets(b, ether(layers.EthernetTypeIPv4), v4(layers.IPProtocolUDP), udp(4500, 4500), gopacket.Payload(make([]byte, 100)))))
}

func BenchmarkWalkEthernetIPv6UDP(b *testing.B) {
	benchmark(b, frame(1, capture.LinkEthernet, octets(b, ether(layers.EthernetTypeIPv6), v6(layers.IPProtocolUDP), udp(4500, 4500), gopacket.Payload(make([]byte, 100)))))
}

func BenchmarkWalkTCPOfOthers(b *testing.B) {
	benchmark(b, frame(1, capture.LinkEthernet, octets(b, ether(layers.EthernetTypeIPv4), v4(layers.IPProtocolTCP), &layers.TCP{SrcPort: 443, DstPort: 50000, ACK: true, Seq: 1}, gopacket.Payload(make([]byte, 100)))))
}

func TestHotPathAllocatesNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		f    capture.Frame
	}{
		{"ipv4 udp", frame(1, capture.LinkEthernet, octets(t, ether(layers.EthernetTypeIPv4), v4(layers.IPProtocolUDP), udp(4500, 4500), gopacket.Payload(make([]byte, 100))))},
		{"ipv6 udp", frame(1, capture.LinkEthernet, octets(t, ether(layers.EthernetTypeIPv6), v6(layers.IPProtocolUDP), udp(500, 500), gopacket.Payload(make([]byte, 100))))},
		{"ipv4 esp", frame(1, capture.LinkEthernet, octets(t, ether(layers.EthernetTypeIPv4), v4(layers.IPProtocolESP), gopacket.Payload(make([]byte, 100))))},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := New(Options{})
			n := 0
			yield := func(*Datagram) { n++ }
			if got := testing.AllocsPerRun(100, func() {
				if err := w.Walk(c.f, yield); err != nil {
					t.Fatal(err)
				}
			}); got != 0 {
				t.Errorf("%v allocations a frame, want 0", got)
			}
			if n == 0 {
				t.Error("the frame yielded nothing")
			}
		})
	}
}
