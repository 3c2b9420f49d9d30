package link

import "sync/atomic"

const (
	// laneDepth is how many batches a lane holds; its first end waits for room.
	laneDepth = 4
	// laneSmall is the size of a batch that is not worth another goroutine.
	laneSmall = 8
)

// lane carries batches of packets through two stages of work, in order. With a
// goroutine for each stage two cores share what one SA carries. A small batch
// that finds the second stage idle goes through it on the goroutine of the first
// all the same: waking another one would take longer than the work. And so do
// all batches of a lane that is not shared: where each direction has a core and
// there is no further one, the change of goroutines only costs.
type lane[B any] struct {
	shared  bool
	free    chan B // batches to be filled
	queue   chan B
	waiting atomic.Int64 // batches in the queue and in the second stage
	second  func(B)
	stop    <-chan struct{}
}

// newLane makes a lane for a plane, which ends with it: what is in it then is
// lost.
func newLane[B any](p *Plane, create func() B, second func(B)) *lane[B] {
	// Neither channel is ever full: both have room for all batches.
	l := &lane[B]{shared: p.o.Cores > 2, free: make(chan B, laneDepth), queue: make(chan B, laneDepth), second: second, stop: p.stop}
	if !l.shared {
		l.free <- create()
		return l
	}
	for range laneDepth {
		l.free <- create()
	}
	p.work.Go(l.run)
	return l
}

// run is the second stage's goroutine.
func (l *lane[B]) run() {
	for {
		select {
		case b := <-l.queue:
			l.second(b)
			l.waiting.Add(-1)
			l.free <- b
		case <-l.stop:
			return
		}
	}
}

// take gives the first stage a batch to fill, and waits for one; it says false
// once the lane has ended.
func (l *lane[B]) take() (b B, ok bool) {
	select {
	case b = <-l.free:
		return b, true
	case <-l.stop:
		return b, false
	}
}

// put hands a batch of n packets on. One goroutine at a time takes and puts.
func (l *lane[B]) put(b B, n int) {
	if !l.shared || n <= laneSmall && l.waiting.Load() == 0 {
		l.second(b)
		l.free <- b
		return
	}
	l.waiting.Add(1)
	l.queue <- b
}
