package ipflow

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/cloudvlan/cvlanctl/capture"
)

// corpus is frames of every kind that these tests know.
func corpus(t testing.TB) []capture.Frame {
	var fs []capture.Frame
	for _, c := range linkFrames(t) {
		fs = append(fs, frame(0, c.link, c.data))
	}
	for _, c := range tunnelFrames(t) {
		fs = append(fs, frame(0, capture.LinkRaw, c.data))
	}
	p := long(40)
	fs = append(fs, raws(frag4(t, 1, p, 0, 24), frag4(t, 1, p, 24, len(p)), frag6(t, 1, p, 24, len(p)), frag6(t, 1, p, 0, 24),
		octets(t, v4(layers.IPProtocolICMPv4), payload(append([]byte{3, 4, 0, 0, 0, 0, 5, 0}, udp4(t)...))))...)
	k := &talk{t: t, sport: 40000, dport: 4500}
	k.open(1000, 5000)
	k.segment(false, 1001, 5001, nil, slices.Concat([]byte(prefixIKE), ikeRecord(60, 1), espRecord(30, 2))[:90])
	k.segment(true, 5001, 1091, nil, ikeRecord(60, 1))
	return append(fs, k.frames...)
}

// check takes in a datagram and fails on what no datagram may be.
func check(t testing.TB, f capture.Frame, d *Datagram) {
	t.Helper()
	if d.Offset >= 0 && (d.Offset+len(d.Payload) > len(f.Data) || len(d.Payload) > 0 && &f.Data[d.Offset] != &d.Payload[0]) {
		t.Fatalf("payload of %d octets at %d in a frame of %d", len(d.Payload), d.Offset, len(f.Data))
	}
	if d.Offset < 0 && len(d.Fragments) == 0 && d.Encap != TCPRecord {
		t.Fatal("payload of one frame is not placed in it")
	}
	if !d.Src.IsValid() || d.Src.Is4() != d.Dst.Is4() || len(d.Outer) > maxTunnels || len(d.VLANs) > maxVLANs || d.DSCP > 63 || d.ECN > 3 {
		t.Fatalf("datagram is %+v", d)
	}
	if q, ok := ICMPError(d); ok && !q.Src.IsValid() {
		t.Fatalf("quote is %+v", q)
	}
}

func TestFramesCutAtEveryOctetDoNotPanic(t *testing.T) {
	fs := corpus(t)
	for claimed := range 2 {
		w := New(Options{})
		for _, whole := range fs {
			for n := range len(whole.Data) + 1 {
				f := whole
				f.Data = slices.Clone(whole.Data[:n])
				if claimed == 1 {
					f.Length = n
				}
				yielded := false
				err := w.Walk(f, func(d *Datagram) { yielded = true; check(t, f, d) })
				if err != nil && yielded {
					t.Fatalf("cut at %d: yields, and then %v", n, err)
				}
			}
		}
		w.Flush()
	}
}

func TestFramesWithAnyOctetChangedDoNotPanic(t *testing.T) {
	w := New(Options{})
	for _, whole := range corpus(t) {
		for i := range whole.Data {
			for _, v := range []byte{0, 1, 0x7f, 0x80, 0xff, whole.Data[i] ^ 0x10} {
				f := whole
				f.Data = slices.Clone(whole.Data)
				f.Data[i] = v
				// What cannot be opened is told; here only the way there counts.
				_ = w.Walk(f, func(d *Datagram) { check(t, f, d) })
			}
		}
	}
	w.Flush()
	if w.frags.held != 0 {
		t.Errorf("%d octets held after the end", w.frags.held)
	}
}

// FuzzWalk reads its input as a list of frames: link type, length, octets.
func FuzzWalk(f *testing.F) {
	var all []byte
	for _, fr := range corpus(f) {
		one := append(binary.BigEndian.AppendUint16([]byte{byte(fr.Link)}, uint16(len(fr.Data))), fr.Data...)
		f.Add(one)
		all = append(all, one...)
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, b []byte) {
		limits := Limits{FragmentGroups: 5, FragmentOctets: 8192, Streams: 5, StreamOctets: 8192}
		lost := 0
		w := New(Options{Limits: limits, Loss: func(l FragmentLoss) {
			lost++
			if l.Octets < 0 || l.Reason == 0 || len(l.Head) > headKept {
				t.Fatalf("loss is %+v", l)
			}
		}})
		for n := int64(1); len(b) >= 3; n++ {
			link, size := capture.LinkType(b[0]), int(binary.BigEndian.Uint16(b[1:]))
			b = b[3:]
			data := b[:min(size, len(b))]
			b = b[len(data):]
			if link == byte276 {
				link = capture.LinkSLL2
			}
			fr := capture.Frame{Number: n, Time: t0.Add(time.Duration(n) * time.Second), Link: link, Length: size, Data: data}
			yielded := false
			err := w.Walk(fr, func(d *Datagram) { yielded = true; check(t, fr, d) })
			if err != nil && yielded {
				t.Fatalf("yields, and then %v", err)
			}
			if w.frags.held > limits.FragmentOctets || w.frags.n > limits.FragmentGroups || w.streams.held > limits.StreamOctets || len(w.streams.by) > limits.Streams {
				t.Fatalf("holds %d and %d octets", w.frags.held, w.streams.held)
			}
		}
		w.Flush()
		if w.frags.held != 0 || int64(lost) != w.Stats().Lost {
			t.Fatalf("%d octets held after the end, %d of %d losses told", w.frags.held, lost, w.Stats().Lost)
		}
	})
}

// byte276 is what is left of LinkSLL2 in one octet.
const byte276 = 276 & 0xff
