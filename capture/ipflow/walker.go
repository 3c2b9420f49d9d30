package ipflow

import (
	"time"

	"github.com/cloudvlan/cvlanctl/capture"
)

// Depths that real traffic stays far below.
const (
	maxTunnels = 4
	maxVLANs   = 4
	maxLabels  = 16 // of an MPLS stack
	maxHeaders = 16 // IPv6 extension headers of one packet
)

// Walker takes frames apart. Make one with New for each source of frames: it
// remembers fragments and TCP streams from frame to frame.
type Walker struct {
	limits  Limits
	stats   Stats
	frags   reassembler
	streams streams

	// What follows is about the current frame.
	d     Datagram
	data  []byte
	depth int // tunnels opened so far
	yield func(*Datagram)

	vlans [maxVLANs]uint16
	outer [maxTunnels]Tunnel
}

// New makes a Walker.
func New(opts Options) *Walker {
	w := &Walker{limits: opts.Limits.withDefaults()}
	w.frags.init(&w.limits, &w.stats, opts.Loss)
	w.streams.init(&w.limits, &w.stats, opts.TCPPorts)
	return w
}

// Stats gives the counts so far.
func (w *Walker) Stats() Stats { return w.stats }

// Walk takes one frame apart and calls yield for each datagram that it
// completes: none for a fragment that waits for others, one for most frames,
// and for a TCP segment the segment itself and then each IKE or ESP record
// that it completes. An error says why nothing could be had from the frame;
// it is one of this package's Err values, and the next frame can be walked
// all the same.
func (w *Walker) Walk(f capture.Frame, yield func(*Datagram)) error {
	w.stats.Frames++
	if w.frags.oldest != nil {
		w.frags.expire(f.Time)
	}
	w.d = Datagram{Frame: f.Number, Time: f.Time}
	w.data = f.Data
	w.depth = 0
	w.yield = yield
	err := w.link(f.Link, f.Data)
	w.yield, w.data = nil, nil
	if err != nil {
		if err == ErrNotIP || err == ErrLink {
			w.stats.NotIP++
		} else {
			w.stats.Malformed++
		}
	}
	return err
}

// Expire gives up on fragments whose time ran out before now, as Walk does by
// itself with the time of each frame. It is for live captures that fall silent.
func (w *Walker) Expire(now time.Time) { w.frags.expire(now) }

// Flush gives up on all fragments that still wait: the capture has ended.
func (w *Walker) Flush() { w.frags.flush() }

// emit yields the datagram as it stands.
func (w *Walker) emit() {
	d := &w.d
	d.Outer = w.outer[:w.depth]
	w.stats.Datagrams++
	if d.Truncated {
		w.stats.Truncated++
	}
	w.yield(d)
}

// offset is where b, a part of the current frame's data, begins in it.
func (w *Walker) offset(b []byte) int { return cap(w.data) - cap(b) }
