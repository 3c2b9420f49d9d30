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
	events   []*event.Event
	messages []*event.Event
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
		m.events = append(m.events, ev)
		if len(m.events) > maxToldEvents {
			m.events = slices.Delete(m.events, 0, 1)
		}
	case ev.Packet.IKE != nil:
		m.messages = append(m.messages, ev)
		m.octets += weight(ev)
		for len(m.messages) > maxToldMessages || m.octets > maxMessageOctets {
			m.octets -= weight(m.messages[0])
			m.messages = slices.Delete(m.messages, 0, 1)
		}
	}
}

// weight is how many octets of messages an event holds.
func weight(ev *event.Event) int { return len(ev.Packet.Octets) + len(ev.Packet.IKE.Plain) }

// all gives what is kept in the order in which it was told.
func (m *memory) all() []*event.Event {
	all := slices.Concat(m.events, m.messages)
	slices.SortFunc(all, func(a, b *event.Event) int { return cmp.Compare(a.Number, b.Number) })
	return all
}

// Recall gives what the engine remembers of what it told.
func (e *Engine) Recall(ctx context.Context) ([]*event.Event, error) {
	var all []*event.Event
	err := e.do(ctx, func(time.Time) ike.Output {
		all = e.memory.all()
		return ike.Output{}
	})
	return all, err
}
