package link

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/esp"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// childTo is a child for packets from anywhere to a network.
func childTo(spi uint32, network string) *planeChild {
	any4 := []wire.TrafficSelector{ike.PrefixSelector(netip.MustParsePrefix("0.0.0.0/0"))}
	return &planeChild{update: ike.Update{SPIs: ike.SPIPair{In: wire.ESPSPI(spi)}, LocalTS: any4,
		RemoteTS: []wire.TrafficSelector{ike.PrefixSelector(netip.MustParsePrefix(network))}}}
}

func packetTo(t testing.TB, to netip.Addr) *esp.Packet {
	t.Helper()
	b := make([]byte, 28)
	b[0], b[3], b[8], b[9] = 0x45, 28, 64, 17
	src, dst := netip.MustParseAddr("192.0.2.1").As4(), to.As4()
	copy(b[12:], src[:])
	copy(b[16:], dst[:])
	var p esp.Packet
	if err := esp.ParsePacket(b, &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

// TestTheTablesOfAPlaneAgreeWithLookingAtEveryChild changes the tables at random,
// beyond the number of children from which on there are two of them, and compares
// what they find with a search through all that stand.
func TestTheTablesOfAPlaneAgreeWithLookingAtEveryChild(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, most := range []int{5, 3 * maxRecent} {
		tables := newTables()
		var all []*planeChild
		var told uint64
		turn := map[*planeChild]uint64{}
		spi := uint32(0)
		for step := range 4000 {
			switch n := rng.IntN(10); {
			case len(all) < most && n < 5:
				spi += 1 + uint32(rng.IntN(300))
				c := childTo(spi, fmt.Sprintf("10.0.0.%d/%d", rng.IntN(64)&^3, 30+rng.IntN(2)))
				all = append(all, c)
				tables.open(c)
			case len(all) > 0 && n < 7: // it begins to send, perhaps instead of another
				c, old := all[rng.IntN(len(all))], all[rng.IntN(len(all))]
				told++
				turn[c] = told
				tables.send(c, all)
				if old != c && n == 6 {
					delete(turn, old)
					tables.silence(old, all)
				}
			case len(all) > 0 && n < 9:
				i := rng.IntN(len(all))
				c := all[i]
				all = append(all[:i:i], all[i+1:]...)
				delete(turn, c)
				tables.silence(c, all)
				tables.shut(c)
			default:
				tables.merge(all)
			}
			for _, c := range all {
				if got := tables.in(c.update.SPIs.In); got != c {
					t.Fatalf("step %d: SPI %s is for %v", step, c.update.SPIs.In, got)
				}
			}
			if got := tables.in(wire.ESPSPI(spi + 1)); got != nil {
				t.Fatalf("step %d: an SPI of nobody is for %s", step, got.update.SPIs.In)
			}
			to := netip.AddrFrom4([4]byte{10, 0, 0, byte(rng.IntN(64))})
			var want *planeChild
			bits := -1
			for _, c := range all {
				network := netip.MustParsePrefix(fmt.Sprintf("%s/%d", c.update.RemoteTS[0].Start, 30))
				if c.update.RemoteTS[0].End.As4()[3]-c.update.RemoteTS[0].Start.As4()[3] == 1 {
					network = netip.PrefixFrom(network.Addr(), 31)
				}
				if _, sends := turn[c]; sends && network.Contains(to) && (network.Bits() > bits || network.Bits() == bits && turn[c] > turn[want]) {
					want, bits = c, network.Bits()
				}
			}
			if got, ok := tables.out(packetTo(t, to)); ok != (want != nil) || got != want {
				t.Fatalf("step %d: a packet to %s goes with %v, want %v", step, to, got, want)
			}
		}
	}
}

// BenchmarkRekeyingAmongTenThousand makes the changes of one rekeying in tables
// with so many children.
func BenchmarkRekeyingAmongTenThousand(b *testing.B) {
	const many = 10_000
	tables := newTables()
	var all []*planeChild
	for i := range uint32(many) {
		c := childTo(i*7919, fmt.Sprintf("100.%d.%d.0/24", i/256, i%256))
		all = append(all, c)
		tables.open(c)
		tables.send(c, all)
	}
	spi := uint32(many * 7919)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		old := all[n%many]
		c := &planeChild{update: old.update}
		c.update.SPIs.In = wire.ESPSPI(spi)
		spi += 7919
		tables.open(c)
		all[n%many] = c
		tables.send(c, all)
		tables.silence(old, all)
		tables.shut(old)
	}
}

// BenchmarkTenThousandComeUp counts the whole of it.
func BenchmarkTenThousandComeUp(b *testing.B) {
	children := make([]*planeChild, 10_000)
	for i := range uint32(len(children)) {
		children[i] = childTo(i*7919, fmt.Sprintf("100.%d.%d.0/24", i/256, i%256))
	}
	for b.Loop() {
		tables := newTables()
		for i, c := range children {
			tables.open(c)
			tables.send(c, children[:i+1])
		}
	}
}
