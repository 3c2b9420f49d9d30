// Package serve shows any backend.Backend to programs that speak VICI, the
// control protocol of strongSwan: swanctl, and our own client in another
// process. It is the one place where the model becomes VICI's messages.
//
// What VICI has no words for travels beside them, to whoever asks with the key
// that package packet calls Exact: the model itself, as JSON; the event
// EventName, which carries any event of ours; and three commands more: a liveness
// check (CommandDPD), what is remembered of tunnels (CommandPast) and of what was told
// (CommandRecall).
//
// Contract: every client, message, queue and wait is bounded. A client that
// reads slowly delays its own commands and nobody else; events that find no
// room in its queue are dropped, and the next that does tells how many. A client
// that breaks the protocol, or takes nothing for a time, is cut off. Close ends
// all clients and waits for them. The backend is used and not closed.
package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
)

// The defaults of Options.
const (
	defaultClients = 64
	defaultQueue   = 4 << 20
	defaultPatient = 30 * time.Second
)

// Options bounds a server; zero fields stand for their defaults.
type Options struct {
	// Clients is how many may be connected at once, 64; more are cut off.
	Clients int
	// Queue is how many octets may wait for one client, 4 MiB; it is at least
	// two segments.
	Queue int
	// Patience is how long a client may take to read what waits for it, and to
	// send a message that it has begun: 30 s.
	Patience time.Duration
}

// Server serves one backend.
type Server struct {
	backend backend.Backend
	options Options
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	work    sync.WaitGroup

	mu        sync.Mutex
	clients   map[*client]struct{}
	listeners []net.Listener
	stream    *stream // of events, nil while nobody wants any
}

// New makes a server of a backend. It serves nobody yet.
func New(b backend.Backend, o Options) *Server {
	if o.Clients <= 0 {
		o.Clients = defaultClients
	}
	if o.Queue <= 0 {
		o.Queue = defaultQueue
	}
	o.Queue = max(o.Queue, minQueue)
	if o.Patience <= 0 {
		o.Patience = defaultPatient
	}
	s := &Server{backend: b, options: o, clients: make(map[*client]struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Serve takes the clients of a listener, which it closes at the end, until
// Close. The error is the listener's, nil after Close.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.ctx.Err() != nil {
		s.mu.Unlock()
		return errors.Join(errors.New("the server is closed"), l.Close())
	}
	s.listeners = append(s.listeners, l)
	s.work.Add(1)
	s.mu.Unlock()
	defer s.work.Done()
	for pause := time.Duration(0); ; {
		c, err := l.Accept()
		switch {
		case s.ctx.Err() != nil:
			if err == nil {
				_ = c.Close() // nobody is served any more
			}
			return nil
		case err == nil:
			pause = 0
			s.admit(c)
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("VICI socket: %w", err)
		default: // too many open files, and the like: it may pass
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
			case <-s.ctx.Done():
			}
		}
	}
}

// admit begins to serve a client, unless there are too many.
func (s *Server) admit(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.clients) >= s.options.Clients || s.ctx.Err() != nil {
		_ = conn.Close() // it sees the end, and that is all there is to tell
		return
	}
	c := newClient(s, conn)
	s.clients[c] = struct{}{}
	s.work.Go(func() {
		c.serve()
		s.mu.Lock()
		delete(s.clients, c)
		s.mu.Unlock()
	})
}

// Clients is how many are connected.
func (s *Server) Clients() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.clients)
}

// Close ends the listeners, the clients and all that they wait for.
func (s *Server) Close() error {
	s.mu.Lock()
	s.cancel()
	listeners := s.listeners
	s.listeners = nil
	s.mu.Unlock()
	var err error
	for _, l := range listeners {
		err = errors.Join(err, l.Close())
	}
	s.work.Wait()
	return err
}
