package native

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// waiter is a command that waits for something. Its check is made after each
// step of the endpoint, on the engine's goroutine.
type waiter struct {
	check func(o *ike.Output) (bool, error)
	done  chan error
	tell  *subscriber // for progress; nil for none
}

// await begins something and waits until check says that it is done. Progress,
// where wanted, is told what happens meanwhile, on the calling goroutine.
func (e *Engine) await(ctx context.Context, begin func(now time.Time) ike.Output, check func(o *ike.Output) (bool, error), progress backend.Progress) error {
	w := &waiter{check: check, done: make(chan error, 1)}
	if progress != nil {
		w.tell = newSubscriber(0)
	}
	err := e.do(ctx, func(now time.Time) ike.Output {
		e.waiters[w] = struct{}{}
		if w.tell != nil {
			e.subscribers[w.tell] = struct{}{}
		}
		return begin(now)
	})
	if err == nil {
		err = e.wait(ctx, w, progress)
	}
	if w.tell != nil {
		for { // what came before the end
			select {
			case ev := <-w.tell.events:
				progress(ev)
				continue
			default:
			}
			break
		}
	}
	if ctx.Err() != nil || err != nil {
		e.forget(w)
	}
	return err
}

// forget takes a waiter out that gave up; an engine that has ended has none.
func (e *Engine) forget(w *waiter) {
	_ = e.do(context.Background(), func(time.Time) ike.Output {
		e.release(w)
		return ike.Output{}
	})
}

func (e *Engine) release(w *waiter) {
	delete(e.waiters, w)
	if w.tell != nil {
		delete(e.subscribers, w.tell)
	}
}

func (e *Engine) wait(ctx context.Context, w *waiter, progress backend.Progress) error {
	var events chan *event.Event
	if w.tell != nil {
		events = w.tell.events
	}
	for {
		select {
		case err := <-w.done:
			return err
		case ev := <-events:
			progress(ev)
		case <-ctx.Done():
			return e.because(fmt.Errorf("the engine still waits: %w", ctx.Err()))
		case <-e.run.Done():
			return fmt.Errorf("%w: the engine has ended", backend.ErrUnreachable)
		}
	}
}

// prepare has the data plane follow a step before the peer hears of it. What is
// removed stays until it has been told, with what it carried.
func (e *Engine) prepare(o *ike.Output) {
	for i := range o.Updates {
		if o.Updates[i].Kind != ike.Remove {
			e.update(&o.Updates[i])
		}
	}
}

// take gets the output of every step, on the engine's goroutine.
func (e *Engine) take(o ike.Output) {
	e.count(e.seen, &o)
	e.seen = nil
	if e.keys != nil {
		if err := e.keys.note(e.endpoint, &o); err != nil {
			e.tell(&event.Event{Time: time.Now(), Log: &event.Log{Group: "LIB", Level: 0, Text: err.Error()}})
		}
	}
	for i := range o.Events {
		ev := o.Events[i]
		e.ids.stamp(&ev, e.endpoint)
		e.tell(&ev)
	}
	for i := range o.Updates {
		if o.Updates[i].Kind == ike.Remove {
			e.update(&o.Updates[i])
		}
	}
	if o.Err != nil {
		e.tell(e.failed(&o))
	}
	if !e.leaving {
		for _, a := range o.Again {
			e.again(a)
		}
	}
	for w := range e.waiters {
		if ok, err := w.check(&o); ok || err != nil {
			w.done <- err
			e.release(w)
		}
	}
	e.ids.prune(e.endpoint)
}

// update hands a CHILD SA to the data plane. What that cannot carry is closed.
func (e *Engine) update(u *ike.Update) {
	err := e.plane.Update(u)
	if err == nil {
		return
	}
	e.tell(&event.Event{Time: time.Now(), Log: &event.Log{Group: "KNL", Level: 0, Text: "data plane: " + err.Error(),
		Failure: &event.LogFailure{Kind: "sa-install", Local: true, Child: u.Name}}})
	if u.Kind == ike.Remove {
		return
	}
	spi := u.SPIs.In
	e.work.Go(func() {
		_ = e.do(e.run, func(now time.Time) ike.Output {
			if s := e.endpoint.Parent(spi); s != nil {
				return e.endpoint.Command(now, s, ike.DeleteChild{SPI: spi})
			}
			return ike.Output{}
		})
	})
}

// again sets a child up anew whose peer was lost, or has closed it.
func (e *Engine) again(a ike.Again) {
	if a.Action == ike.ActionTrap {
		e.hold(a)
		return
	}
	t := backend.Target{IKE: a.Connection.Name, Child: a.Child}
	if !a.Closed {
		e.persist(t, 0)
		return
	}
	// What closes it at once each time is not to be asked without a pause.
	e.log("%s was closed by the peer, and is to be up again", name(t))
	e.persist(t, e.options.Patience)
}

// tell tells an event to all who listen.
func (e *Engine) tell(ev *event.Event) {
	e.memory.add(ev)
	e.history.Add(ev)
	for s := range e.subscribers {
		s.push(ev)
	}
}

// failed gives the error of a step as a line of a log, with the SA that it is
// about where the step's events name one.
func (e *Engine) failed(o *ike.Output) *event.Event {
	f := &event.LogFailure{Kind: failureKind(o.Err), Local: !o.Err.Peer, Child: o.Err.Child}
	if o.Err.Notify != 0 {
		f.Notify = o.Err.Notify.String()
	}
	l := &event.Log{Group: "IKE", Level: 0, Text: o.Err.Error(), Failure: f}
	at := time.Now()
	for i := len(o.Events) - 1; i >= 0; i-- {
		ev := &o.Events[i]
		at = ev.Time
		var peer netip.Addr
		switch {
		case ev.Check != nil:
			l.SPIi, l.SPIr, peer = ev.Check.SPIi, ev.Check.SPIr, ev.Check.Peer
		case ev.Step != nil:
			l.SPIi, l.SPIr, peer = ev.Step.SPIi, ev.Step.SPIr, ev.Step.Peer
		default:
			continue
		}
		l.IKE, l.IKEID = e.ids.about(e.endpoint, l.SPIi, l.SPIr)
		l.OfPeer(peer)
		break
	}
	return &event.Event{Time: at, Log: l}
}

// failureKind gives the fixed word for a failure, by the notify that tells it.
func failureKind(f *ike.Failure) string {
	switch f.Notify {
	case wire.NotifyTSUnacceptable:
		return "ts-unacceptable"
	case 0:
		if f.RFC == "RFC 7296 2.4" {
			return "no-response"
		}
		return "engine"
	}
	return "notify"
}
