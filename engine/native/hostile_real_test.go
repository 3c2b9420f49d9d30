package native_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/esp"
	"github.com/cloudvlan/cvlanctl/internal/interop"
	"github.com/cloudvlan/cvlanctl/lab"
)

// rough is a wire that repeats, holds back and changes the ESP packets of both
// directions, and lets every packet through as well, once and whole.
type rough struct {
	mu   sync.Mutex
	ways map[bool]*roughWay // by whether the first end sends
}

// roughWay is one direction of it, and what was done there.
type roughWay struct {
	on       bool
	seen     int
	held     []byte // that goes behind those that follow
	heldFor  int
	old      []byte // that comes again when it is far behind
	frames   uint64
	replayed uint64
	changed  uint64
	moved    int
}

// espIn gives the ESP packet of an Ethernet frame with IPv4 and UDP, nil where
// there is none.
func espIn(frame []byte) []byte {
	const ethernet, ip, udp = 14, 20, 8
	if len(frame) < ethernet+ip+udp+24 || frame[12] != 8 || frame[13] != 0 || frame[14] != 0x45 || frame[23] != 17 {
		return nil
	}
	datagram := frame[ethernet+ip:]
	if binary.BigEndian.Uint16(datagram) != 4500 && binary.BigEndian.Uint16(datagram[2:]) != 4500 || binary.BigEndian.Uint32(datagram[udp:]) == 0 {
		return nil
	}
	return datagram[udp:binary.BigEndian.Uint16(datagram[4:])]
}

func (w *rough) wire(fromA bool, frame []byte) [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	way := w.ways[fromA]
	if espIn(frame) == nil || !way.on {
		return [][]byte{frame}
	}
	way.seen++
	way.frames++
	var out [][]byte
	if way.seen%7 == 0 {
		// First, while its number is new: a number that was seen is a replay
		// before anything is decrypted. The checksum of UDP is left out.
		bad := slices.Clone(frame)
		bad[40], bad[41] = 0, 0
		packet := espIn(bad)
		packet[len(packet)-1-way.seen%(len(packet)-8)] ^= 0x10
		out = append(out, bad)
		way.changed++
	}
	switch {
	case way.held != nil:
		out = append(out, frame)
		if way.heldFor--; way.heldFor == 0 {
			out = append(out, way.held)
			way.held = nil
		}
	case way.seen%11 == 0:
		way.held, way.heldFor = slices.Clone(frame), 1+way.seen%20
		way.moved++
	default:
		out = append(out, frame)
	}
	if way.seen%5 == 0 && len(out) > 0 && &out[len(out)-1][0] == &frame[0] {
		out = append(out, frame)
		way.replayed++
	}
	switch {
	case way.seen == 10:
		way.old = slices.Clone(out[len(out)-1])
	case way.seen%200 == 0: // beyond every window
		out = append(out, way.old)
		way.replayed++
	}
	return out
}

// quiet ends the roughness of the directions that hold nothing back: what is
// held goes behind frames that follow. It says whether both are quiet.
func (w *rough) quiet() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	quiet := true
	for _, way := range w.ways {
		way.on = way.on && way.held != nil
		quiet = quiet && !way.on
	}
	return quiet
}

func TestInteropReplayedReorderedAndChangedPacketsAreDroppedAndNothingElseWithStrongSwan(t *testing.T) {
	rec := recorder(t)
	eachRole(t, rec, "traffic: replayed, reordered and changed packets", true, func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("of both sides' packets a fifth comes twice, a seventh is changed, an eleventh comes up to 20 packets late: our counters name each, and every ping is answered once")
		w := &rough{ways: map[bool]*roughWay{true: {}, false: {}}}
		r := newRig(t, layout{scenario: lab.Scenario{Wire: w.wire}})
		r.raise(role)
		r.echo(1, 2, 3)
		before, _ := r.counts()
		w.mu.Lock()
		w.ways[true].on, w.ways[false].on = true, true
		w.mu.Unlock()
		r.echo(sizes(1, 1200, 2)...)
		for n := 0; !w.quiet(); n++ {
			if n == 1000 {
				t.Fatal("the wire never lets go")
			}
			r.echo(1)
		}
		r.echo(1) // behind all that was on the wire
		in, _ := r.counts()
		w.mu.Lock()
		defer w.mu.Unlock()
		way := w.ways[false] // the peer's, on the second end
		t.Logf("of %d packets of the peer %d were replayed, %d changed, %d late", way.frames, way.replayed, way.changed, way.moved)
		if way.replayed < 50 || way.changed < 50 || way.moved < 20 {
			t.Error("the wire was not rough")
		}
		if in.Packets < before.Packets+way.frames || in != (esp.Count{Packets: in.Packets, Octets: in.Octets, Replayed: way.replayed, Integrity: way.changed}) {
			t.Errorf("we counted %+v", in)
		}
		if d := r.data.Drops(); d.UnknownSPI != 0 {
			t.Errorf("dropped: %+v", d)
		}
		if text := r.swanctl("--list-sas"); !bytes.Contains([]byte(text), []byte("INSTALLED")) {
			t.Errorf("the peer: %s", text)
		}
	})
}
