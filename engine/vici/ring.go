package vici

import (
	"sync"

	"github.com/cloudvlan/cvlanctl/engine/event"
)

// ring holds the events that wait for a reader. When it is full the oldest go,
// and the reader is told how many.
type ring struct {
	mu      sync.Mutex
	changed sync.Cond
	items   []*event.Event
	first   int // index of the oldest
	count   int
	dropped uint64
	closed  bool
}

func newRing(size int) *ring {
	r := &ring{items: make([]*event.Event, size)}
	r.changed.L = &r.mu
	return r
}

func (r *ring) push(e *event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == len(r.items) {
		r.items[r.first] = nil
		r.first = (r.first + 1) % len(r.items)
		r.count--
		r.dropped++
	}
	r.items[(r.first+r.count)%len(r.items)] = e
	r.count++
	r.changed.Signal()
}

// close lets the reader finish what is there.
func (r *ring) close() {
	r.mu.Lock()
	r.closed = true
	r.changed.Broadcast()
	r.mu.Unlock()
}

// next waits for an event; false means that there will be none.
func (r *ring) next() (*event.Event, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.count == 0 && !r.closed {
		r.changed.Wait()
	}
	switch {
	case r.dropped > 0:
		n := r.dropped
		r.dropped = 0
		return gapOf(n), true
	case r.count == 0:
		return nil, false
	}
	e := r.items[r.first]
	r.items[r.first] = nil
	r.first = (r.first + 1) % len(r.items)
	r.count--
	return e, true
}
