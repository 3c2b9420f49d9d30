package ipflow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/gopacket/layers"

	"github.com/cloudvlan/cvlanctl/capture"
)

// long is a UDP datagram of an IKE message too long for one packet.
func long(n int) []byte {
	b := make([]byte, 8+n)
	binary.BigEndian.PutUint16(b, 500)
	binary.BigEndian.PutUint16(b[2:], 4500)
	binary.BigEndian.PutUint16(b[4:], uint16(8+n))
	for i := range n {
		b[8+i] = byte(i * 7)
	}
	return b
}

// frag4 is one IPv4 fragment: from..to of p.
func frag4(t testing.TB, id uint16, p []byte, from, to int) []byte {
	ip := v4(layers.IPProtocolUDP)
	ip.Flags, ip.Id, ip.FragOffset = 0, id, uint16(from/8)
	if to < len(p) {
		ip.Flags = layers.IPv4MoreFragments
	}
	return octets(t, ip, payload(p[from:to]))
}

// frag6 is one IPv6 fragment.
func frag6(_ testing.TB, id uint16, p []byte, from, to int) []byte {
	h := []byte{ProtoUDP, 0, 0, 0, 0, 0, 0, 0}
	field := uint16(from)
	if to < len(p) {
		field |= 1
	}
	binary.BigEndian.PutUint16(h[2:], field)
	binary.BigEndian.PutUint32(h[4:], uint32(id))
	return six(nextFragment, h, p[from:to])
}

var versions = map[string]func(testing.TB, uint16, []byte, int, int) []byte{"IPv4": frag4, "IPv6": frag6}

// raws numbers packets as frames of link type raw.
func raws(ps ...[]byte) []capture.Frame {
	var fs []capture.Frame
	for i, p := range ps {
		fs = append(fs, frame(int64(i+1), capture.LinkRaw, p))
	}
	return fs
}

func TestFragmentsInEveryOrderMakeTheDatagram(t *testing.T) {
	p := long(2000)
	cuts := []int{0, 504, 1000, 1496, len(p)}
	for name, frag := range versions {
		t.Run(name, func(t *testing.T) {
			var pieces [][]byte
			for i := range len(cuts) - 1 {
				pieces = append(pieces, frag(t, 77, p, cuts[i], cuts[i+1]))
			}
			permute(len(pieces), func(order []int) {
				var ps [][]byte
				for _, i := range order {
					ps = append(ps, pieces[i])
				}
				w := New(Options{})
				d := one(t, walk(t, w, raws(ps...)...))
				if d.SrcPort != 500 || d.DstPort != 4500 || !bytes.Equal(d.Payload, p[8:]) || d.Length != len(p) || d.Truncated || d.Offset != -1 {
					t.Fatalf("order %v: datagram is %+v", order, d)
				}
				if !slices.Equal(d.Fragments, []int64{1, 2, 3, 4}) || d.Frame != 4 {
					t.Fatalf("order %v: fragments %v, frame %d", order, d.Fragments, d.Frame)
				}
				if st := w.Stats(); st.Fragments != 4 || st.Reassembled != 1 || st.Datagrams != 1 {
					t.Fatalf("stats are %+v", st)
				}
				w.Flush()
				if st := w.Stats(); st.Lost != 0 || w.frags.held != 0 || len(w.frags.by) != 0 {
					t.Fatalf("after the end: stats %+v, %d octets held", st, w.frags.held)
				}
			})
		})
	}
}

func permute(n int, f func([]int)) {
	order := make([]int, 0, n)
	var rec func()
	rec = func() {
		if len(order) == n {
			f(order)
			return
		}
		for i := range n {
			if !slices.Contains(order, i) {
				order = append(order, i)
				rec()
				order = order[:len(order)-1]
			}
		}
	}
	rec()
}

func TestFragmentsOfSeveralDatagramsAreKeptApart(t *testing.T) {
	a, b := long(1200), long(1100)
	w := New(Options{})
	got := walk(t, w, raws(frag4(t, 1, a, 0, 800), frag4(t, 2, b, 0, 800), frag4(t, 2, b, 800, len(b)), frag4(t, 1, a, 800, len(a)))...)
	if len(got) != 2 || !bytes.Equal(got[0].Payload, b[8:]) || !bytes.Equal(got[1].Payload, a[8:]) {
		t.Fatalf("got %d datagrams", len(got))
	}
	if !slices.Equal(got[1].Fragments, []int64{1, 4}) {
		t.Errorf("fragments %v", got[1].Fragments)
	}
}

func TestFramesCapturedTwiceMakeOneDatagram(t *testing.T) {
	p := long(1200)
	a, b := frag4(t, 1, p, 0, 800), frag4(t, 1, p, 800, len(p))
	for name, ps := range map[string][][]byte{
		"each at once":      {a, a, b, b},
		"one after another": {a, b, a, b},
		"last first":        {b, b, a, a},
	} {
		t.Run(name, func(t *testing.T) {
			var lost []FragmentLoss
			w := New(Options{Loss: func(l FragmentLoss) { lost = append(lost, l) }})
			if d := one(t, walk(t, w, raws(ps...)...)); !bytes.Equal(d.Payload, p[8:]) {
				t.Error("payload differs")
			}
			w.Flush()
			if len(lost) != 0 {
				t.Errorf("lost %+v", lost)
			}
		})
	}
}

func TestIdentificationUsedAgainBeginsANewDatagram(t *testing.T) {
	a, b := long(1200), long(1200)
	b[900]++
	b[100]++
	got := walk(t, New(Options{}), raws(frag4(t, 1, a, 0, 800), frag4(t, 1, a, 800, len(a)), frag4(t, 1, b, 0, 800), frag4(t, 1, b, 800, len(b)))...)
	if len(got) != 2 || !bytes.Equal(got[1].Payload, b[8:]) {
		t.Errorf("got %d datagrams, want 2", len(got))
	}
}

func TestOverlappingFragmentsDropTheDatagram(t *testing.T) {
	p := long(1200)
	for _, c := range []struct {
		name string
		cuts [][2]int
	}{
		{"teardrop: a piece begins inside another", [][2]int{{0, 800}, {400, 1000}, {1000, len(p)}}},
		{"a piece ends inside another", [][2]int{{400, 800}, {0, 600}, {800, len(p)}}},
		{"a piece around another", [][2]int{{400, 600}, {0, 800}, {800, len(p)}}},
		{"a piece beyond the last", [][2]int{{800, len(p)}, {1208, 1216}, {0, 800}}},
		{"a last piece before another", [][2]int{{1000, 1200}, {0, 8}, {8, 808}}},
	} {
		for version, frag := range versions {
			t.Run(c.name+", "+version, func(t *testing.T) {
				var lost []FragmentLoss
				w := New(Options{Loss: func(l FragmentLoss) { lost = append(lost, l) }})
				var ps [][]byte
				for i, cut := range c.cuts {
					src := p
					switch {
					case c.name == "a piece beyond the last" && i == 1:
						src = long(3000)
					case c.name == "a last piece before another" && i == 2:
						src = p[:808]
					}
					ps = append(ps, frag(t, 5, src, cut[0], cut[1]))
				}
				if got := walk(t, w, raws(ps...)...); len(got) != 0 {
					t.Errorf("yields %d datagrams", len(got))
				}
				w.Flush()
				if len(lost) != 1 || lost[0].Reason != LossOverlap || w.frags.held != 0 {
					t.Errorf("lost %+v, %d octets held", lost, w.frags.held)
				}
			})
		}
	}
}

func TestLostFragmentIsReportedWithWhatIsKnown(t *testing.T) {
	p := long(2000)
	at := func(n int) time.Time { return t0.Add(time.Duration(n) * time.Millisecond) }
	base := func(six bool) FragmentLoss {
		l := FragmentLoss{Src: addr(ip1), Dst: addr(ip2), ID: 77, Proto: ProtoUDP, FirstTime: at(1), LastTime: at(1), Frames: []int64{1}}
		if six {
			l.Src, l.Dst = addr(ip61), addr(ip62)
		}
		return l
	}
	first := func(l FragmentLoss) FragmentLoss {
		l.HasFirst, l.SrcPort, l.DstPort, l.Head = true, 500, 4500, p[8:headKept]
		return l
	}
	for _, c := range []struct {
		name string
		cuts [][2]int
		want func(FragmentLoss) FragmentLoss
	}{
		{"only the first came", [][2]int{{0, 1000}}, func(l FragmentLoss) FragmentLoss {
			l = first(l)
			l.Octets, l.Missing = 1000, []Gap{{1000, 0}}
			return l
		}},
		{"only the last came", [][2]int{{1000, len(p)}}, func(l FragmentLoss) FragmentLoss {
			if l.Src.Is6() {
				l.Proto = 0
			}
			l.Octets, l.Total, l.Missing = len(p)-1000, len(p), []Gap{{0, 1000}}
			return l
		}},
		{"two in the middle are missing", [][2]int{{0, 400}, {1600, len(p)}, {800, 1200}}, func(l FragmentLoss) FragmentLoss {
			l = first(l)
			l.Frames, l.LastTime = []int64{1, 2, 3}, at(3)
			l.Octets, l.Total, l.Missing = 800+len(p)-1600, len(p), []Gap{{400, 400}, {1200, 400}}
			return l
		}},
	} {
		for version, frag := range versions {
			t.Run(c.name+", "+version, func(t *testing.T) {
				for _, reason := range []LossReason{LossEnd, LossTimeout} {
					var lost []FragmentLoss
					w := New(Options{Loss: func(l FragmentLoss) { lost = append(lost, l) }})
					var ps [][]byte
					for _, cut := range c.cuts {
						ps = append(ps, frag(t, 77, p, cut[0], cut[1]))
					}
					if got := walk(t, w, raws(ps...)...); len(got) != 0 {
						t.Errorf("yields %d datagrams", len(got))
					}
					if reason == LossEnd {
						w.Flush()
					} else {
						late := frame(99, capture.LinkRaw, udp4(t))
						late.Time = at(1).Add(30 * time.Second)
						walk(t, w, late)
						if len(lost) != 0 {
							t.Fatal("given up before its time")
						}
						late.Time = late.Time.Add(1)
						walk(t, w, late)
					}
					want := c.want(base(version == "IPv6"))
					want.Reason = reason
					if diff := cmp.Diff([]FragmentLoss{want}, lost, cmpopts.EquateComparable(want.Src)); diff != "" {
						t.Errorf("loss differs (-want +got):\n%s", diff)
					}
					if st := w.Stats(); st.Lost != 1 || w.frags.held != 0 {
						t.Errorf("stats %+v, %d octets held", st, w.frags.held)
					}
				}
			})
		}
	}
}

func TestFragmentCutBySnapLengthEndsThePayloadThere(t *testing.T) {
	p := long(1200)
	fs := raws(frag4(t, 1, p, 0, 800), frag4(t, 1, p, 800, len(p)))
	fs[0].Data = fs[0].Data[:20+100]
	d := one(t, walk(t, New(Options{}), fs...))
	if !d.Truncated || !bytes.Equal(d.Payload, p[8:100]) || d.DstPort != 4500 {
		t.Errorf("datagram is %+v", d)
	}
}

func TestMalformedFragmentsAreRefused(t *testing.T) {
	p := long(1200)
	odd := frag4(t, 1, p, 0, 800)
	odd = odd[:len(odd)-1]
	odd[3]--
	death := frag4(t, 1, p, 800, len(p))
	death[6], death[7] = 0x1f, 0xff
	none := frag4(t, 1, p, 800, 808)[:20]
	none[2], none[3] = 0, 20
	for name, b := range map[string][]byte{"a middle piece off the boundary": odd, "beyond 65535 octets": death, "of no octets": none} {
		t.Run(name, func(t *testing.T) {
			w := New(Options{})
			if err := w.Walk(frame(1, capture.LinkRaw, b), func(*Datagram) { t.Error("yields") }); !errors.Is(err, ErrFragment) {
				t.Errorf("error is %v", err)
			}
			if w.frags.held != 0 {
				t.Errorf("%d octets held", w.frags.held)
			}
		})
	}
}

func TestFragmentFloodStaysWithinTheLimits(t *testing.T) {
	p := long(60000)
	limits := Limits{FragmentGroups: 50, FragmentOctets: 100_000, FragmentsEach: 20}
	lost := map[LossReason]int{}
	w := New(Options{Limits: limits, Loss: func(l FragmentLoss) { lost[l.Reason]++ }})
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 20_000 {
		from := r.IntN(7000) * 8
		f := frame(int64(i), capture.LinkRaw, frag4(t, uint16(r.IntN(300)), p, from, from+8*(1+r.IntN(180))))
		f.Time = t0
		if err := w.Walk(f, func(*Datagram) {}); err != nil {
			t.Fatal(err)
		}
		if w.frags.held > limits.FragmentOctets || w.frags.n > limits.FragmentGroups || len(w.frags.by) > limits.FragmentGroups*5/4 {
			t.Fatalf("frame %d: %d octets in %d groups", i, w.frags.held, w.frags.n)
		}
	}
	if lost[LossLimit] == 0 || lost[LossOverlap] == 0 {
		t.Errorf("lost %v, want some by limit and some by overlap", lost)
	}
	w.Flush()
	if w.frags.held != 0 || len(w.frags.by) != 0 || w.frags.n != 0 || w.frags.past.n != 0 {
		t.Errorf("after the end %d octets are held in %d groups", w.frags.held, len(w.frags.by))
	}
}

func TestPiecesBeyondTheLimitOfOneDatagramGiveItUp(t *testing.T) {
	p := long(3000)
	var lost []FragmentLoss
	w := New(Options{Limits: Limits{FragmentsEach: 10}, Loss: func(l FragmentLoss) { lost = append(lost, l) }})
	var ps [][]byte
	for from := 0; from < len(p); from += 8 {
		ps = append(ps, frag6(t, 3, p, from, min(from+8, len(p))))
	}
	if got := walk(t, w, raws(ps...)...); len(got) != 0 || len(lost) != 1 || lost[0].Reason != LossLimit || len(lost[0].Frames) != 10 {
		t.Errorf("yields %d, lost %+v", len(got), lost)
	}
}
