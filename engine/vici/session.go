package vici

import (
	"context"
	"errors"
	"net"

	govici "github.com/strongswan/govici/vici"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
)

// session is one connection to the daemon. It ends when its context does.
type session struct {
	ctx    context.Context
	addr   Addr
	guard  *guard
	vici   *govici.Session
	events chan govici.Event
	stop   func() bool
}

// eventRoom is how many events govici may hold for us.
const eventRoom = 64

// open connects. The session must be closed.
func open(ctx context.Context, a Addr, op string) (*session, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, a.Network, a.Address)
	if err != nil {
		return nil, &Error{backend.ErrUnreachable, op, a, err}
	}
	s := &session{ctx: ctx, addr: a, guard: newGuard(conn), events: make(chan govici.Event, eventRoom)}
	s.guard.room = func() bool { return len(s.events) < cap(s.events) }
	dial := func(context.Context, string, string) (net.Conn, error) { return s.guard, nil }
	if s.vici, err = govici.NewSession(govici.WithDialContext(dial)); err != nil {
		return nil, errors.Join(&Error{backend.ErrUnreachable, op, a, err}, s.guard.Close())
	}
	s.vici.NotifyEvents(s.events)
	s.stop = context.AfterFunc(ctx, func() { _ = s.guard.Close() }) // its error is ctx's
	return s, nil
}

// close ends the session and all that it runs.
func (s *session) close() {
	s.stop()
	_ = s.guard.Close() // nothing was written that could be lost
}

// subscribe asks for events. They arrive at s.events.
func (s *session) subscribe(names ...string) error {
	s.guard.hold()
	defer s.guard.release()
	for _, name := range names {
		if err := s.vici.Subscribe(name); err != nil {
			if s.ctx.Err() == nil && s.guard.cause() == nil && s.guard.last.Load() == packetEventUnknown {
				return &Error{backend.ErrUnsupported, "subscribe " + name, s.addr, nil}
			}
			if s.ctx.Err() == nil && s.guard.cause() == nil && s.guard.last.Load() == packetResponse {
				return &Error{backend.ErrProtocol, "subscribe " + name, s.addr, errWrongAnswer}
			}
			return classify(s.ctx, "subscribe "+name, s.addr, err, s.guard.cause())
		}
	}
	return nil
}

// call gives one command and waits for the answer. An answer that says "no" is
// an error of kind ErrRefused, beside the answer.
func (s *session) call(op string, in *govici.Message) (section, error) {
	out, err := s.vici.Call(s.ctx, op, in)
	switch {
	case err == nil:
		return section{out}, nil
	case out != nil && s.guard.last.Load() == packetResponse:
		why := section{out}.text("errmsg")
		if why == "" {
			why = "the daemon says no and gives no reason"
		}
		kind := backend.ErrRefused
		switch (section{out}).text(packet.KindKey) {
		case "unsupported":
			kind = backend.ErrUnsupported
		case "unreachable":
			kind = backend.ErrUnreachable
		}
		return section{out}, &Error{kind, op, s.addr, errors.New(why)}
	case s.ctx.Err() == nil && s.guard.cause() == nil && s.guard.last.Load() == packetUnknown:
		return section{}, &Error{backend.ErrUnsupported, op, s.addr, nil}
	case s.ctx.Err() == nil && s.guard.cause() == nil && (s.guard.last.Load() == packetConfirm || s.guard.last.Load() == packetEventUnknown):
		return section{}, &Error{backend.ErrProtocol, op, s.addr, errWrongAnswer}
	}
	return section{}, classify(s.ctx, op, s.addr, err, s.guard.cause())
}

// maxListing is how many octets one listing may have: some 100,000 SAs.
const maxListing = 128 << 20

// ask opens a session for one command.
func ask(ctx context.Context, a Addr, op string, in *govici.Message) (section, error) {
	s, err := open(ctx, a, op)
	if err != nil {
		return section{}, err
	}
	defer s.close()
	return s.call(op, in)
}

// list opens a session for one command that answers in events, and calls each
// for every one, on one goroutine, in order.
func list(ctx context.Context, a Addr, op, name string, in *govici.Message, each func(section)) (section, error) {
	s, err := open(ctx, a, op)
	if err != nil {
		return section{}, err
	}
	defer s.close()
	s.guard.budget = maxListing
	if err := s.subscribe(name); err != nil {
		return section{}, err
	}
	type outcome struct {
		answer section
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		answer, err := s.call(op, in)
		done <- outcome{answer, err}
	}()
	take := func(e govici.Event) {
		s.guard.wake()
		if e.Name == name {
			each(section{e.Message})
		}
	}
	var end outcome
	for running := true; running; {
		select {
		case e, ok := <-s.events:
			if !ok { // the connection has ended
				end = <-done
				return end.answer, end.err
			}
			take(e)
		case end = <-done:
			running = false
		}
	}
	// govici has handed on every event that came before the answer.
	for {
		select {
		case e, ok := <-s.events:
			if !ok {
				return end.answer, end.err
			}
			take(e)
		default:
			return end.answer, end.err
		}
	}
}
