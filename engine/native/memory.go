package native

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
)

// What a memory keeps at most. Messages are counted apart: a flood of them, which
// anybody can send, does not push out what two sides could not agree on.
const (
	maxToldEvents    = 2000
	maxToldMessages  = 1000
	maxMessageOctets = 2 << 20
)

// memory is what the engine still knows of what it told, for those who come
// later. It belongs to the engine's goroutine.
type memory struct {
	number   uint64 // of the last event
	events   told
	messages told
	octets   int // in messages
}

// add numbers an event, and keeps it where it may be of use later: not ESP, and
// neither comparisons that held nor those of stray messages.
func (m *memory) add(ev *event.Event) {
	m.number++
	ev.Number = m.number
	switch {
	case ev.Table != nil, ev.Check != nil && (ev.Check.OK || ev.Check.Kind == event.CheckMessage):
	case ev.Packet == nil:
		if m.events.count == maxToldEvents {
			m.events.pop()
		}
		m.events.push(ev, maxToldEvents)
	case ev.Packet.IKE != nil:
		m.octets += weight(ev)
		for m.messages.count == maxToldMessages || m.messages.count > 0 && m.octets > maxMessageOctets {
			m.octets -= weight(m.messages.pop())
		}
		m.messages.push(ev, maxToldMessages)
	}
}

// weight is how many octets of messages an event holds.
func weight(ev *event.Event) int { return len(ev.Packet.Octets) + len(ev.Packet.IKE.Plain) }

// all gives what is kept in the order in which it was told; nothing that was
// told before since.
func (m *memory) all(since time.Time) []*event.Event {
	all := m.messages.appendSince(m.events.appendSince(nil, since), since)
	slices.SortFunc(all, func(a, b *event.Event) int { return cmp.Compare(a.Number, b.Number) })
	return all
}

// told is a ring of events, in the order in which they were told.
type told struct {
	slots []*event.Event // made with the first event
	first int            // where the oldest is
	count int
}

// push adds an event to a ring with room for size of them, which is not full.
func (r *told) push(ev *event.Event, size int) {
	if r.slots == nil {
		r.slots = make([]*event.Event, size)
	}
	r.slots[(r.first+r.count)%len(r.slots)] = ev
	r.count++
}

// pop takes the oldest event out of a ring that is not empty.
func (r *told) pop() *event.Event {
	ev := r.slots[r.first]
	r.slots[r.first] = nil
	r.first = (r.first + 1) % len(r.slots)
	r.count--
	return ev
}

// appendSince appends the events that were not told before since.
func (r *told) appendSince(to []*event.Event, since time.Time) []*event.Event {
	for i := range r.count {
		if ev := r.slots[(r.first+i)%len(r.slots)]; !ev.Time.Before(since) {
			to = append(to, ev)
		}
	}
	return to
}

// Recall gives what the engine remembers of what it told, but for what it told
// before since.
func (e *Engine) Recall(ctx context.Context, since time.Time) ([]*event.Event, error) {
	var all []*event.Event
	err := e.do(ctx, func(time.Time) ike.Output {
		all = e.memory.all(since)
		return ike.Output{}
	})
	return all, err
}
