package esp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var proposals = []string{
	"aes256gcm16", "aes128gcm16", "aes192gcm16", "aes256gcm8", "aes256gcm12", "aes256ccm16", "aes128ccm8", "chacha20poly1305",
	"aes256gmac", "aes256-sha256", "aes128-sha1", "aes256-sha384", "aes256-sha512", "aes256ctr-sha256", "3des-sha1", "null-sha256",
	"aes128-aesxcbc", "aes128-aescmac",
}

func TestEverySuiteCarriesPacketsOfEverySize(t *testing.T) {
	for _, p := range proposals {
		for _, esn := range []string{"", "-esn"} {
			t.Run(p+esn, func(t *testing.T) {
				out, in := ends(t, p+esn, nil)
				octets := 0
				for n := 0; n < 600; n += 1 + n/16 {
					for _, packet := range [][]byte{udp("10.1.0.1", "10.2.0.2", 1, 2, n), udp("fd00:1::1", "fd00:2::2", 1, 2, n)} {
						sealed := seal(t, out, packet)
						got, err := in.Open(nil, sealed, 0)
						if err != nil || !bytes.Equal(got, packet) {
							t.Fatalf("%d octets: %v\n%x\n%x", n, err, packet, got)
						}
						octets += len(packet)
					}
				}
				o, i := out.Read(), in.Read()
				if o.Packets != i.Packets || o.Octets != uint64(octets) || i.Octets != uint64(octets) || i != (Count{Packets: i.Packets, Octets: i.Octets}) {
					t.Errorf("sent %+v, received %+v, want %d octets", o, i, octets)
				}
			})
		}
	}
}

func TestTransportModeCarriesPacketsBetweenTwoHosts(t *testing.T) {
	for _, ends2 := range [][2]string{{"192.0.2.1", "192.0.2.2"}, {"2001:db8::1", "2001:db8::2"}} {
		src, dst := netip.MustParseAddr(ends2[0]), netip.MustParseAddr(ends2[1])
		bits := src.BitLen()
		out, in := ends(t, "aes256gcm16", func(c *Config) {
			c.Transport, c.From, c.To = true, src, dst
			c.Src, c.Dst = selectors(netip.PrefixFrom(src, bits).String()), selectors(netip.PrefixFrom(dst, bits).String())
		})
		packet := udp(ends2[0], ends2[1], 5000, 53, 100)
		whole := parsed(t, packet)
		whole.Fragment = true
		if b, err := out.Seal(nil, packet, whole); !errors.Is(err, ErrFragment) || len(b) != 0 || out.Sequence() != 0 {
			t.Errorf("a fragment: %d octets, %v", len(b), err)
		}
		sealed := seal(t, out, packet)
		got, err := in.Open(nil, sealed, 0)
		if err != nil {
			t.Fatal(err)
		}
		p, q := parsed(t, packet), parsed(t, got)
		if p.Src != q.Src || p.Dst != q.Dst || p.SrcPort != q.SrcPort || !bytes.Equal(packet[p.Header:], got[q.Header:]) {
			t.Errorf("%+v came as %+v", p, q)
		}
		if src.Is4() && folded(sum(got[:ipv4Header], 0)) != 0 {
			t.Error("the checksum of the new header is wrong")
		}
		if len(sealed) >= len(seal(t, func() *Out { o, _ := ends(t, "aes256gcm16", nil); return o }(), udp("10.1.0.1", "10.2.0.1", 1, 2, 100))) {
			t.Error("the IP header went along")
		}
	}
}

func TestSealingInPlaceAndOpeningCostNoAllocation(t *testing.T) {
	for _, p := range []string{"aes256gcm16", "chacha20poly1305", "aes256-sha256", "aes256gcm16-esn"} {
		out, in := ends(t, p, nil)
		packet := udp("10.1.0.1", "10.2.0.2", 1, 2, 1200)
		room := make([]byte, 64+len(packet)+64)
		at := out.HeaderLen()
		clear16 := make([]byte, 0, 2048)
		if n := testing.AllocsPerRun(200, func() {
			copy(room[at:], packet)
			var h Packet
			if err := ParsePacket(room[at:at+len(packet)], &h); err != nil {
				t.Fatal(err)
			}
			sealed, err := out.Seal(room[:0], room[at:at+len(packet)], &h)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := in.Open(clear16, sealed, 0); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations a packet", p, n)
		}
	}
}

func TestReplayedPacketsAreDroppedAndReorderedOnesAreNot(t *testing.T) {
	for _, size := range []int{32, 64, 100, 1024, 4096} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			out, in := ends(t, "aes256gcm16", func(c *Config) { c.Window = size })
			packet := udp("10.1.0.1", "10.2.0.2", 1, 2, 10)
			var sent [][]byte
			for range 3 * size {
				sent = append(sent, seal(t, out, packet))
			}
			open := func(n int) error {
				_, err := in.Open(nil, sent[n-1], 0) // number n
				return err
			}
			top := 2 * size
			if err := open(top); err != nil {
				t.Fatal(err)
			}
			rows := []struct {
				number int
				want   error
			}{
				{top, ErrReplay}, {top - 1, nil}, {top - 1, ErrReplay}, {top - size + 1, nil}, {top - size + 1, ErrReplay}, {top - size, ErrReplay}, {1, ErrReplay},
				{top + 1, nil}, {top - size + 1, ErrReplay}, {top - size + 2, nil}, {3 * size, nil}, {top + 2, nil}, {top + 2, ErrReplay}, {top - 5, ErrReplay},
			}
			for _, r := range rows {
				if err := open(r.number); !errors.Is(err, r.want) {
					t.Errorf("number %d: %v, want %v", r.number, err, r.want)
				}
			}
		})
	}
}

// TestTheWindowAgreesWithASimpleOne compares the ring with a set of all
// numbers that were taken.
func TestTheWindowAgreesWithASimpleOne(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		size := MinWindow + rng.IntN(300)
		w, err := newWindow(size, false)
		if err != nil {
			t.Fatal(err)
		}
		taken := map[uint64]bool{}
		top := uint64(0)
		at := uint64(1)
		for range 2000 {
			switch rng.IntN(12) {
			case 0:
				at += uint64(rng.IntN(3 * size))
			default:
				at += uint64(rng.IntN(3))
			}
			seq := max(1, at-min(at-1, uint64(rng.IntN(size+20))))
			want := !taken[seq] && (seq > top || top-seq < uint64(size))
			_, maybe := w.infer(uint32(seq))
			if got := w.accept(seq); got != want || maybe != want {
				t.Fatalf("window %d, top %d: number %d: %t and %t, want %t", size, top, seq, maybe, got, want)
			}
			if want {
				taken[seq], top = true, max(top, seq)
			}
		}
	}
}

func TestExtendedSequenceNumbersGoBeyondThirtyTwoBits(t *testing.T) {
	out, in := ends(t, "aes256gcm16-esn", nil)
	packet := udp("10.1.0.1", "10.2.0.2", 1, 2, 10)
	out.seq.Store(math.MaxUint32 - 40)
	in.window.top = math.MaxUint32 - 41
	var sent [][]byte
	for range 100 {
		sent = append(sent, seal(t, out, packet))
	}
	// In pairs the wrong way round, across the border of the low half.
	for i := 0; i+1 < len(sent); i += 2 {
		for _, n := range []int{i + 1, i} {
			if _, err := in.Open(nil, sent[n], 0); err != nil {
				t.Fatalf("packet %d: %v", n, err)
			}
		}
	}
	for _, n := range []int{99, 60, 40, 39} {
		if _, err := in.Open(nil, sent[n], 0); err == nil {
			t.Errorf("packet %d was taken twice", n)
		}
	}
	if in.window.top != math.MaxUint32+60 {
		t.Errorf("the window is at %d", in.window.top)
	}
}

// TestTheHighHalfIsInferredAsTheRFCSays walks the cases of RFC 4303 A2.2.
func TestTheHighHalfIsInferredAsTheRFCSays(t *testing.T) {
	w := &window{size: 64, esn: true, ring: make([]uint64, 4)}
	rows := []struct {
		top  uint64
		low  uint32
		want uint64
	}{
		{1<<32 + 100, 90, 1<<32 + 90}, {1<<32 + 100, 101, 1<<32 + 101}, {1<<32 + 100, 20, 2<<32 + 20}, {1<<32 + 100, 37, 1<<32 + 37},
		{1<<32 + 10, math.MaxUint32, 1<<32 - 1}, {1<<32 + 10, math.MaxUint32 - 40, 1<<32 - 41}, {1<<32 + 10, 5, 1<<32 + 5}, {1<<32 + 10, 1000, 1<<32 + 1000},
		{10, 20, 20}, {10, math.MaxUint32, 0}, {0, 1, 1}, {1<<32 + 63, 0, 1 << 32}, {3<<32 + 62, math.MaxUint32, 3<<32 - 1},
	}
	for _, r := range rows {
		w.top = r.top
		if got := w.whole(r.low); got != r.want {
			t.Errorf("top %#x, low half %#x: %#x, want %#x", r.top, r.low, got, r.want)
		}
	}
}

func TestAnSAWithoutNumbersLeftSendsNothing(t *testing.T) {
	out, _ := ends(t, "aes256gcm16", nil)
	out.seq.Store(math.MaxUint32 - 1)
	packet := udp("10.1.0.1", "10.2.0.2", 1, 2, 10)
	seal(t, out, packet)
	for range 3 {
		if b, err := out.Seal(nil, packet, parsed(t, packet)); !errors.Is(err, ErrExhausted) || len(b) != 0 {
			t.Errorf("%d octets, %v", len(b), err)
		}
	}
	if out.Sequence() != math.MaxUint32 || out.Read().Exhausted != 3 {
		t.Errorf("number %d, %+v", out.Sequence(), out.Read())
	}
}

// raw seals a payload that is no IP packet.
func raw(t *testing.T, o *Out, payload []byte, next uint8) []byte {
	t.Helper()
	b, err := o.cipher.Seal(nil, o.spi, o.seq.Add(1), payload, next)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatIsNoInnerPacketIsCountedAndDropped(t *testing.T) {
	good := udp("10.1.0.1", "10.2.0.2", 1, 2, 10)
	long := slices.Clone(good)
	binary.BigEndian.PutUint16(long[2:], 2000)
	rows := []struct {
		name    string
		payload []byte
		next    uint8
		want    error
		count   func(Count) uint64
	}{
		{"a dummy packet", []byte("anything"), protoNoNext, ErrDummy, func(c Count) uint64 { return c.Dummy }},
		{"an empty dummy packet", nil, protoNoNext, ErrDummy, func(c Count) uint64 { return c.Dummy }},
		{"a packet from elsewhere", udp("10.9.0.1", "10.2.0.2", 1, 2, 10), protoIPv4, ErrSelectors, func(c Count) uint64 { return c.Selectors }},
		{"a packet to elsewhere", udp("10.1.0.1", "10.9.0.2", 1, 2, 10), protoIPv4, ErrSelectors, func(c Count) uint64 { return c.Selectors }},
		{"nothing", nil, protoIPv4, ErrMalformed, func(c Count) uint64 { return c.Malformed }},
		{"no IP packet", []byte("no packet at all, and yet of some length"), protoIPv4, ErrMalformed, func(c Count) uint64 { return c.Malformed }},
		{"a packet that says it is longer", long, protoIPv4, ErrMalformed, func(c Count) uint64 { return c.Malformed }},
		{"IPv6 under the name of IPv4", udp("fd00:1::1", "fd00:2::2", 1, 2, 10), protoIPv4, ErrMalformed, func(c Count) uint64 { return c.Malformed }},
		{"a TCP segment without its header", make([]byte, 40), protoTCP, ErrMalformed, func(c Count) uint64 { return c.Malformed }},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			out, in := ends(t, "aes256gcm16", nil)
			got, err := in.Open([]byte("before"), raw(t, out, r.payload, r.next), 0)
			if !errors.Is(err, r.want) || string(got) != "before" || r.count(in.Read()) != 1 || in.Read().Packets != 0 {
				t.Errorf("%q, %v, %+v", got, err, in.Read())
			}
		})
	}
	out, in := ends(t, "aes256gcm16", nil)
	padded := append(slices.Clone(good), make([]byte, 333)...) // TFC padding
	if got, err := in.Open(nil, raw(t, out, padded, protoIPv4), 0); err != nil || !bytes.Equal(got, good) {
		t.Errorf("with TFC padding: %x, %v", got, err)
	}
}

func TestAChangedPacketIsCountedAndDropped(t *testing.T) {
	for _, p := range []string{"aes256gcm16", "aes256-sha256", "null-sha256", "aes256gmac", "aes256gcm16-esn"} {
		out, in := ends(t, p, nil)
		sealed := seal(t, out, udp("10.1.0.1", "10.2.0.2", 1, 2, 20))
		for i := range sealed {
			if i < 8 && i >= 4 {
				continue // another sequence number may be too old instead
			}
			bad := slices.Clone(sealed)
			bad[i] ^= 0x10
			if _, err := in.Open(nil, bad, 0); !errors.Is(err, suite.ErrIntegrity) {
				t.Fatalf("%s: octet %d changed: %v", p, i, err)
			}
		}
		for n := range sealed {
			if _, err := in.Open(nil, sealed[:n], 0); err == nil {
				t.Fatalf("%s: cut at %d: taken", p, n)
			}
		}
		if c := in.Read(); c.Packets != 0 || c.Integrity == 0 || c.Replayed != 0 {
			t.Errorf("%s: %+v", p, c)
		}
		if _, err := in.Open(nil, sealed, 0); err != nil {
			t.Errorf("%s: the true packet after them: %v", p, err)
		}
	}
}

func TestCongestionMarksComeThroughTheTunnel(t *testing.T) {
	rows := []struct {
		inner, outer, want uint8
		dropped            bool
	}{
		{notECT, notECT, notECT, false}, {notECT, ect0, notECT, false}, {notECT, ect1, notECT, false}, {notECT, ce, 0, true},
		{ect0, notECT, ect0, false}, {ect0, ect0, ect0, false}, {ect0, ect1, ect1, false}, {ect0, ce, ce, false},
		{ect1, notECT, ect1, false}, {ect1, ect0, ect1, false}, {ect1, ect1, ect1, false}, {ect1, ce, ce, false},
		{ce, notECT, ce, false}, {ce, ect0, ce, false}, {ce, ect1, ce, false}, {ce, ce, ce, false},
	}
	for _, pair := range [][2]string{{"10.1.0.1", "10.2.0.2"}, {"fd00:1::1", "fd00:2::2"}} {
		for _, r := range rows {
			out, in := ends(t, "aes256gcm16", nil)
			packet := udp(pair[0], pair[1], 1, 2, 30)
			setECN(packet, r.inner)
			got, err := in.Open(nil, seal(t, out, packet), 0xb8|r.outer)
			if r.dropped {
				if !errors.Is(err, ErrCongestion) {
					t.Errorf("%+v: %v", r, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%+v: %v", r, err)
			}
			p := parsed(t, got)
			if p.TOS != r.want {
				t.Errorf("%+v: traffic class %#x", r, p.TOS)
			}
			if got[0]>>4 == 4 && folded(sum(got[:ipv4Header], 0)) != 0 {
				t.Errorf("%+v: wrong checksum", r)
			}
		}
	}
	if OuterTOS(0xba) != 0xba {
		t.Error("DSCP and ECN do not go outside")
	}
}

func TestAnSAThatMakesNoSenseIsRefused(t *testing.T) {
	good := Config{SPI: 256, Cipher: cipher(t, "aes256gcm16"), Src: selectors("10.1.0.0/16"), Dst: selectors("10.2.0.0/16")}
	rows := map[string]func(*Config){
		"no cipher":      func(c *Config) { c.Cipher = nil },
		"a reserved SPI": func(c *Config) { c.SPI = 255 },
		"no selectors":   func(c *Config) { c.Dst = nil },
		"no addresses":   func(c *Config) { c.Transport = true },
		"two families": func(c *Config) {
			c.Transport, c.From, c.To = true, netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")
		},
		"a small window":   func(c *Config) { c.Window = 31 },
		"a window too big": func(c *Config) { c.Window = 4097 },
	}
	for name, change := range rows {
		c := good
		change(&c)
		_, errOut := NewOut(c)
		if _, err := NewIn(c); err == nil || errOut == nil && c.Window == 0 {
			t.Errorf("%s is taken: %v, %v", name, err, errOut)
		}
	}
	out, err := NewOut(good)
	if err != nil || !out.Covers(parsed(t, udp("10.1.0.1", "10.2.0.1", 1, 1, 1))) || out.Covers(parsed(t, udp("10.1.0.1", "10.3.0.1", 1, 1, 1))) {
		t.Errorf("a good one: %v", err)
	}
	if room := out.MaxPacket(1000); room <= 0 || out.cipher.PacketLen(room) > 1000 || out.cipher.PacketLen(room+4) <= 1000 {
		t.Errorf("%d octets in 1000", room)
	}
}

func FuzzOpen(f *testing.F) {
	out, _ := ends(f, "aes128-sha256", nil)
	for n := range 4 {
		f.Add(seal(f, out, udp("10.1.0.1", "10.2.0.2", 1, 2, 10*n)), uint8(n), uint8(n))
	}
	type pair struct {
		out *Out
		in  *In
	}
	var pairs []pair
	for _, p := range []string{"aes256gcm16", "aes128-sha256", "null-sha256", "chacha20poly1305-esn"} {
		o, i := ends(f, p, nil)
		pairs = append(pairs, pair{o, i})
	}
	o, i := ends(f, "aes256gcm16", func(c *Config) {
		c.Transport, c.From, c.To = true, netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.2.0.2")
	})
	pairs = append(pairs, pair{o, i})
	f.Fuzz(func(t *testing.T, b []byte, which, outer uint8) {
		p := pairs[int(which)%len(pairs)]
		// As it comes, and as the payload of an authentic packet.
		if got, err := p.in.Open(nil, b, outer); err == nil {
			parsed(t, got)
		}
		for _, next := range []uint8{protoIPv4, protoIPv6, protoUDP, protoNoNext, outer} {
			sealed, err := p.out.cipher.Seal(nil, p.out.spi, p.out.seq.Add(1), b, next)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.in.Open(nil, sealed, outer)
			if err == nil {
				h := parsed(t, got)
				if h.Length != len(got) || !covered(p.in.src, p.in.dst, h) {
					t.Fatalf("%+v of %d octets came through", h, len(got))
				}
				mss := slices.Clone(got)
				ClampMSS(mss, h, 1300)
				TooBig(nil, got, h, 600, netip.Addr{})
			}
		}
	})
}

var sink []byte

func BenchmarkSealOpen(b *testing.B) {
	for _, p := range []string{"aes256gcm16", "chacha20poly1305", "aes256-sha256"} {
		b.Run(p, func(b *testing.B) {
			out, in := ends(b, p, nil)
			packet := udp("10.1.0.1", "10.2.0.2", 1, 2, 1372)
			h := parsed(b, packet)
			room, clear := make([]byte, 0, 2048), make([]byte, 0, 2048)
			b.SetBytes(int64(len(packet)))
			b.ReportAllocs()
			for b.Loop() {
				sealed, err := out.Seal(room, packet, h)
				if err != nil {
					b.Fatal(err)
				}
				if sink, err = in.Open(clear, sealed, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

var _ = wire.ESPHeaderLength
