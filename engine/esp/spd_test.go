package esp

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func TestSelectorsCoverWhatTheySay(t *testing.T) {
	tcp443 := selector("10.2.0.0/16")
	tcp443.Protocol, tcp443.StartPort, tcp443.EndPort = protoTCP, 443, 443
	hidden := selector("10.2.0.0/16")
	hidden.StartPort, hidden.EndPort = 65535, 0
	tcp := func(src, dst string, port uint16) []byte {
		b := make([]byte, 20)
		binary.BigEndian.PutUint16(b[2:], port)
		b[12] = 0x50
		return ip(src, dst, protoTCP, b)
	}
	later := tcp("10.1.0.1", "10.2.0.1", 443)
	binary.BigEndian.PutUint16(later[6:], 100) // a fragment that is not the first
	rows := []struct {
		name   string
		dst    wire.TrafficSelector
		packet []byte
		want   bool
	}{
		{"a subnet", selector("10.2.0.0/16"), udp("10.1.0.1", "10.2.255.255", 1, 2, 0), true},
		{"beyond the subnet", selector("10.2.0.0/16"), udp("10.1.0.1", "10.3.0.0", 1, 2, 0), false},
		{"before the subnet", selector("10.2.0.0/16"), udp("10.1.0.1", "10.1.255.255", 1, 2, 0), false},
		{"another source", selector("10.2.0.0/16"), udp("10.9.0.1", "10.2.0.1", 1, 2, 0), false},
		{"a port", tcp443, tcp("10.1.0.1", "10.2.0.1", 443), true},
		{"another port", tcp443, tcp("10.1.0.1", "10.2.0.1", 80), false},
		{"another protocol", tcp443, udp("10.1.0.1", "10.2.0.1", 1, 443, 0), false},
		{"a fragment without ports", tcp443, later, false},
		{"a fragment where ports do not matter", selector("10.2.0.0/16"), later, true},
		{"a fragment where ports are hidden", hidden, later, true},
		{"ports where they are to be hidden", hidden, tcp("10.1.0.1", "10.2.0.1", 443), false},
		{"the other family", selector("fd00::/64"), udp("10.1.0.1", "10.2.0.1", 1, 2, 0), false},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if got := covered(ranges(selectors("10.1.0.0/16")), ranges([]wire.TrafficSelector{r.dst}), parsed(t, r.packet)); got != r.want {
				t.Errorf("covered: %t", got)
			}
			table := NewTable([]Entry[string]{{Src: selectors("10.1.0.0/16"), Dst: []wire.TrafficSelector{r.dst}, Value: "x"}})
			if v, ok := table.Find(parsed(t, r.packet)); ok != r.want || ok && v != "x" {
				t.Errorf("found: %t", ok)
			}
		})
	}
}

func TestTheNarrowestDestinationIsTakenAndOfEqualsTheLast(t *testing.T) {
	any4 := selectors("0.0.0.0/0")
	table := NewTable([]Entry[string]{
		{any4, selectors("10.2.0.0/16"), "site"}, {any4, any4, "everything"}, {any4, selectors("10.2.3.0/24"), "floor"},
		{any4, selectors("10.2.0.0/16"), "site, again"}, {selectors("10.9.0.0/16"), selectors("10.2.3.4/32"), "host, for others"},
	})
	for dst, want := range map[string]string{"10.2.3.4": "floor", "10.2.4.4": "site, again", "10.3.0.1": "everything", "255.255.255.255": "everything"} {
		if got, ok := table.Find(parsed(t, udp("10.1.0.1", dst, 1, 2, 0))); !ok || got != want {
			t.Errorf("%s goes to %q, want %q", dst, got, want)
		}
	}
	if _, ok := NewTable[int](nil).Find(parsed(t, udp("10.1.0.1", "10.2.0.1", 1, 2, 0))); ok {
		t.Error("an empty table found something")
	}
}

// TestTheTableAgreesWithLookingAtEveryEntry compares the tree with a search
// through all entries.
func TestTheTableAgreesWithLookingAtEveryEntry(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var entries []Entry[int]
		for i := range 1 + rng.IntN(60) {
			var dst []wire.TrafficSelector
			for range 1 + rng.IntN(3) {
				a, b := uint8(rng.IntN(64)), uint8(rng.IntN(64))
				dst = append(dst, wire.TrafficSelector{EndPort: 65535, Start: netip.AddrFrom4([4]byte{10, 0, 0, min(a, b)}), End: netip.AddrFrom4([4]byte{10, 0, 0, max(a, b)})})
			}
			entries = append(entries, Entry[int]{Src: selectors("10.0.0.0/8"), Dst: dst, Value: i})
		}
		table := NewTable(entries)
		for last := range 70 {
			p := parsed(t, udp("10.0.0.1", fmt.Sprintf("10.0.0.%d", last), 1, 2, 0))
			best, size := -1, 1000
			for i, e := range entries {
				for _, d := range e.Dst {
					if n := int(d.End.As4()[3]) - int(d.Start.As4()[3]); !p.Dst.Less(d.Start) && !d.End.Less(p.Dst) && (n < size || n == size) {
						best, size = i, n
					}
				}
			}
			if got, ok := table.Find(p); ok != (best >= 0) || ok && got != best {
				t.Fatalf("10.0.0.%d goes to %d (%t), want %d", last, got, ok, best)
			}
		}
	}
}

func BenchmarkFind(b *testing.B) {
	var entries []Entry[int]
	for i := range 10_000 {
		entries = append(entries, Entry[int]{Src: selectors("10.0.0.0/8"), Dst: selectors(fmt.Sprintf("100.%d.%d.0/24", i/256, i%256)), Value: i})
	}
	entries = append(entries, Entry[int]{Src: selectors("10.0.0.0/8"), Dst: selectors("0.0.0.0/0"), Value: -1})
	table := NewTable(entries)
	p := parsed(b, udp("10.0.0.1", "100.20.7.9", 1, 2, 0))
	b.ReportAllocs()
	for b.Loop() {
		if v, ok := table.Find(p); !ok || v != 20*256+7 {
			b.Fatal(v)
		}
	}
}

func TestHeadersAreReadAndBrokenOnesRefused(t *testing.T) {
	v6 := udp("fd00::1", "fd00::2", 7, 9, 4)
	extended := ip("fd00::1", "fd00::2", protoHopByHop, slices.Concat([]byte{protoDestOpts, 0, 1, 4, 0, 0, 0, 0}, []byte{protoUDP, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, v6[ipv6Header:]))
	p := parsed(t, extended)
	if p.Protocol != protoUDP || p.SrcPort != 7 || p.DstPort != 9 || p.Header != ipv6Header+24 {
		t.Errorf("behind extension headers: %+v", p)
	}
	fragment := ip("fd00::1", "fd00::2", protoFragment, slices.Concat([]byte{protoUDP, 0, 0, 1, 0, 0, 0, 9}, v6[ipv6Header:]))
	if p := parsed(t, fragment); !p.Fragment || !p.Ports || p.SrcPort != 7 {
		t.Errorf("the first fragment: %+v", p)
	}
	fragment[ipv6Header+2] = 1 // offset
	if p := parsed(t, fragment); !p.Fragment || p.Ports || p.Protocol != protoUDP {
		t.Errorf("a later fragment: %+v", p)
	}
	ping := ip("10.0.0.1", "10.0.0.2", protoICMP, []byte{8, 0, 0, 0, 0, 0, 0, 0})
	if p := parsed(t, ping); !p.Ports || p.SrcPort != 0x0800 || p.DstPort != 0x0800 {
		t.Errorf("an echo request: %+v", p)
	}
	loop := ip("fd00::1", "fd00::2", protoDestOpts, slices.Repeat([]byte{protoDestOpts, 0, 1, 4, 0, 0, 0, 0}, 40))
	var q Packet
	if err := ParsePacket(loop, &q); err == nil {
		t.Error("extension headers without end are taken")
	}
	for _, b := range [][]byte{v6, extended, ping, fragment} {
		for n := range b {
			if err := ParsePacket(b[:n], &q); err == nil {
				t.Fatalf("cut at %d of %d it is taken", n, len(b))
			}
		}
	}
	for _, b := range [][]byte{{0x55}, {0x41, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}} {
		if err := ParsePacket(b, &q); err == nil {
			t.Errorf("%x is taken", b)
		}
	}
}

func TestOfEqualEntriesThoseOverATableAreTakenAndNoneThatIsGone(t *testing.T) {
	under := NewTable([]Entry[string]{
		{Src: selectors("0.0.0.0/0"), Dst: selectors("10.2.0.0/16"), Value: "wide"},
		{Src: selectors("0.0.0.0/0"), Dst: selectors("10.2.3.0/24"), Value: "narrow"},
	})
	for _, r := range []struct {
		name string
		over string // the destination of the entry "over"
		gone string
		want string // for a packet to 10.2.3.4
	}{
		{"the same destination", "10.2.3.0/24", "", "over"},
		{"a narrower one", "10.2.3.4/32", "", "over"},
		{"a wider one", "10.0.0.0/8", "", "narrow"},
		{"another one", "10.9.0.0/16", "", "narrow"},
		{"the one over is gone", "10.2.3.0/24", "over", "narrow"},
		{"the narrow one under is gone", "10.9.0.0/16", "narrow", "wide"},
		{"a wide one is over a narrow one that is gone", "10.2.0.0/16", "narrow", "over"},
	} {
		t.Run(r.name, func(t *testing.T) {
			table := under.Under([]Entry[string]{{Src: selectors("0.0.0.0/0"), Dst: selectors(r.over), Value: "over"}}, func(v string) bool { return v == r.gone })
			if got, ok := table.Find(parsed(t, udp("10.1.0.1", "10.2.3.4", 1, 2, 0))); !ok || got != r.want {
				t.Errorf("it is for %q, want %q", got, r.want)
			}
			if got, ok := table.Find(parsed(t, udp("10.1.0.1", "172.16.0.1", 1, 2, 0))); ok {
				t.Errorf("a packet to nobody is for %q", got)
			}
		})
	}
}
