package native

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
)

const (
	defaultEvery  = time.Second
	defaultBuffer = 8192
	maxBuffer     = 1 << 20
)

// subscriber is one reader of the events. The engine's goroutine pushes; when
// the reader is slow the oldest go, and a Gap says how many.
type subscriber struct {
	events  chan *event.Event
	dropped uint64 // since the last Gap; of the engine's goroutine
}

func newSubscriber(buffer int) *subscriber {
	if buffer <= 0 {
		buffer = defaultBuffer
	}
	return &subscriber{events: make(chan *event.Event, min(max(buffer, 2), maxBuffer))}
}

// subscriber makes a reader, with what is remembered before it where that is
// wanted, on the engine's goroutine. The first of a watched engine has it all.
func (e *Engine) subscriber(o backend.EventOptions) *subscriber {
	if s := e.first; s != nil {
		e.first = nil
		return s
	}
	if !o.Past {
		return newSubscriber(o.Buffer)
	}
	past := e.memory.all(time.Time{})
	if o.Buffer <= 0 {
		o.Buffer = defaultBuffer
	}
	s := newSubscriber(o.Buffer + len(past))
	for _, ev := range past {
		s.push(ev)
	}
	return s
}

func (s *subscriber) push(ev *event.Event) {
	if s.dropped > 0 {
		gap := &event.Event{Time: ev.Time, Gap: &event.Gap{What: "events that nobody read in time", Dropped: s.dropped}}
		if len(s.events)+2 <= cap(s.events) { // the one that sends is alone
			s.events <- gap
			s.dropped = 0
		}
	}
	for {
		select {
		case s.events <- ev:
			return
		default:
		}
		select {
		case <-s.events:
			s.dropped++
		default:
		}
	}
}

// Events yields what happens until ctx ends or the engine does.
func (e *Engine) Events(ctx context.Context, o backend.EventOptions) iter.Seq2[*event.Event, error] {
	if o.Every == 0 {
		o.Every = defaultEvery
	}
	return func(yield func(*event.Event, error) bool) {
		var s *subscriber
		table := func(first bool) error {
			return e.do(ctx, func(now time.Time) ike.Output {
				if s == nil {
					s = e.subscriber(o)
				}
				e.subscribers[s] = struct{}{}
				s.push(&event.Event{Time: now, Table: &event.Table{SAs: e.models(), First: first}})
				return ike.Output{}
			})
		}
		if err := table(true); err != nil {
			if ctx.Err() == nil {
				yield(nil, err)
			}
			return
		}
		e.startAll()
		defer func() {
			_ = e.do(context.Background(), func(time.Time) ike.Output {
				delete(e.subscribers, s)
				return ike.Output{}
			})
		}()
		var tick <-chan time.Time
		if o.Every > 0 {
			t := time.NewTicker(o.Every)
			defer t.Stop()
			tick = t.C
		}
		for {
			select {
			case ev := <-s.events:
				if o.NoLog && ev.Log != nil {
					continue
				}
				if !yield(ev, nil) {
					return
				}
				continue
			default:
			}
			select {
			case ev := <-s.events:
				if o.NoLog && ev.Log != nil {
					continue
				}
				if !yield(ev, nil) {
					return
				}
			case <-tick:
				if table(false) != nil {
					return
				}
			case <-ctx.Done():
				return
			case <-e.ended:
				if len(s.events) == 0 {
					return
				}
			}
		}
	}
}

// models gives all IKE SAs that have not ended, on the engine's goroutine.
func (e *Engine) models() []*engine.IKESA {
	var list []*engine.IKESA
	for _, s := range e.endpoint.SAs() {
		if over(s) {
			continue
		}
		m := s.Model()
		m.Waiting = s.Waiting()
		e.ids.number(m)
		e.counted(m)
		list = append(list, m)
	}
	sortByID(list)
	return list
}

// unsupportedBy says that the engine cannot do something.
func unsupportedBy(what string) error {
	return fmt.Errorf("our own engine: %s: %w", what, backend.ErrUnsupported)
}
