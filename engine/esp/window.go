package esp

import (
	"fmt"
	"math/bits"
	"sync"
)

// The sizes of the anti-replay window, in packets.
const (
	MinWindow     = 32 // RFC 4303 3.4.3
	DefaultWindow = 64
	MaxWindow     = 4096
)

// window is the anti-replay window of an inbound SA (RFC 4303 3.4.3, and
// appendix A2 for extended sequence numbers): a ring of bits, indexed by
// sequence number, that is one word larger than the window, so that sliding
// clears whole words.
type window struct {
	mu   sync.Mutex
	size uint64
	esn  bool
	top  uint64 // the highest sequence number accepted, 0 before the first
	n    uint64 // of those accepted
	ring []uint64
}

func newWindow(size int, esn bool) (*window, error) {
	if size == 0 {
		size = DefaultWindow
	}
	if size < MinWindow || size > MaxWindow {
		return nil, fmt.Errorf("anti-replay window of %d packets, possible are %d to %d", size, MinWindow, MaxWindow)
	}
	words := 1 << bits.Len(uint((size-1)/64+1))
	return &window{size: uint64(size), esn: esn, ring: make([]uint64, words)}, nil
}

// infer gives the whole sequence number of a packet from its low half, and
// whether the packet may be new. It is to be asked before the packet is
// authentic, and accept after.
func (w *window) infer(low uint32) (seq uint64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seq = w.whole(low)
	return seq, w.fresh(seq)
}

// accept notes an authentic packet. It says false where another one with its
// number was accepted meanwhile.
func (w *window) accept(seq uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.fresh(seq) {
		return false
	}
	if seq > w.top {
		words := uint64(len(w.ring))
		from, to := w.top/64, seq/64
		for n := from + 1; n <= min(to, from+words); n++ {
			w.ring[n%words] = 0
		}
		w.top = seq
	}
	w.ring[seq/64%uint64(len(w.ring))] |= 1 << (seq % 64)
	w.n++
	return true
}

// missing is how many numbers below the highest were never accepted.
func (w *window) missing() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.top - w.n
}

// fresh says whether a number is inside or in front of the window and not
// taken. Number 0 is never sent.
func (w *window) fresh(seq uint64) bool {
	switch {
	case seq == 0:
		return false
	case seq > w.top:
		return true
	case w.top-seq >= w.size:
		return false
	}
	return w.ring[seq/64%uint64(len(w.ring))]&(1<<(seq%64)) == 0
}

// whole puts the high half in front of the low half of a sequence number: the
// one that brings the number into the window or in front of it (RFC 4303 A2.2).
func (w *window) whole(low uint32) uint64 {
	if !w.esn {
		return uint64(low)
	}
	high, top := w.top>>32, uint32(w.top)
	bottom := top - uint32(w.size) + 1 // wraps as the window does
	switch {
	case top >= uint32(w.size)-1: // the window lies in one space of low halves
		if low < bottom {
			high++
		}
	case low >= bottom: // it reaches back into the space before
		if high == 0 {
			return 0 // which is none
		}
		high--
	}
	return high<<32 | uint64(low)
}
