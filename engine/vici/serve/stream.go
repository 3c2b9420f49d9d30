package serve

import (
	"context"
	"errors"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
)

// streamedEvents happen by themselves; the others belong to commands.
var streamedEvents = []string{"log", "ike-updown", "ike-rekey", "ike-update", "child-updown", "child-rekey", "alert", packet.EventName}

// listedEvents are raised by commands, to the client that gave them.
var listedEvents = []string{"list-sa", "list-policy", "list-conn", "list-cert", "list-authority", "control-log", packet.EventPast, packet.EventRecall}

func streamed(name string) bool {
	for _, n := range streamedEvents {
		if n == name {
			return true
		}
	}
	return false
}

// known says whether there is an event of the name.
func known(name string) bool {
	for _, n := range listedEvents {
		if n == name {
			return true
		}
	}
	return streamed(name)
}

// stream is the reading of the backend's events that all clients share.
type stream struct {
	ready chan struct{} // closed when the first event is there, or none will be
	err   error         // why none will be; read after ready
}

// follow begins to read the backend's events, if nobody does yet, and waits
// until what happens from now on will be read.
func (s *Server) follow(ctx context.Context) error {
	s.mu.Lock()
	if s.ctx.Err() != nil {
		s.mu.Unlock()
		return s.ctx.Err()
	}
	f := s.stream
	if f == nil {
		f = &stream{ready: make(chan struct{})}
		s.stream = f
		s.work.Go(func() { s.run(f) })
	}
	s.mu.Unlock()
	select {
	case <-f.ready:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errNoEvents = errors.New("the backend tells no events")

// run hands the backend's events to the clients until they end. Then clients
// that follow them are cut off, so that they see the daemon go.
func (s *Server) run(f *stream) {
	ready := false
	for e, err := range s.backend.Events(s.ctx, backend.EventOptions{Every: -1}) {
		if err != nil {
			f.err = err
			break
		}
		if !ready {
			ready = true
			close(f.ready)
		}
		s.spread(e)
	}
	if f.err == nil && !ready {
		f.err = errNoEvents
	}
	if !ready {
		close(f.ready)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stream = nil
	for c := range s.clients {
		if c.follows() {
			c.cancel()
		}
	}
}

// follows says whether the client has registered for events that happen by
// themselves.
func (c *client) follows() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.events {
		if streamed(name) {
			return true
		}
	}
	return false
}

// spread hands one event to the clients that want it.
func (s *Server) spread(e *event.Event) {
	s.mu.Lock()
	var wanting []*client
	for c := range s.clients {
		if c.follows() {
			wanting = append(wanting, c)
		}
	}
	s.mu.Unlock()
	if len(wanting) == 0 {
		return
	}
	for _, m := range messages(e) {
		for _, c := range wanting {
			c.offer(m.name, m.segment)
		}
	}
}

// message is an event as it goes over the wire.
type message struct {
	name    string
	segment []byte
}

// messages gives the VICI events that tell an event: none, one, or several.
func messages(e *event.Event) []message {
	if e.Table != nil {
		return nil // who wants a table asks for it
	}
	var all []message
	add := func(name string, entries []packet.Element) {
		if entries == nil {
			return
		}
		if b, err := packet.Append(nil, packet.Event, name, entries); err == nil {
			all = append(all, message{name, b})
		}
	}
	switch {
	case e.Change != nil:
		name, entries := change(e.Change, e.Time)
		add(name, entries)
	case e.Alert != nil:
		add("alert", alert(e.Alert, e.Time))
	}
	if l := event.Line(e); l != nil && l.Level <= maxLogLevel {
		add("log", logLine(l, true))
	}
	if b, err := event.Encode(e); err == nil {
		add(packet.EventName, []packet.Element{packet.Pieces(b)})
	}
	return all
}
