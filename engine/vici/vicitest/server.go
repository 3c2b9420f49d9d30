package vicitest

import (
	"fmt"
	"net"
	"sync"

	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
)

// Server is a VICI server.
type Server struct {
	commands map[string]Command
	events   map[string]bool
	raw      func(net.Conn) // takes a connection over, nil for the protocol

	listener net.Listener
	wg       sync.WaitGroup

	mu     sync.Mutex
	conns  map[*conn]bool
	closed bool
}

// Command answers one command; what it returns is the response. It may raise
// events on the connection before that.
type Command func(c *Call) []packet.Element

// Call is one command as it came.
type Call struct {
	Name string
	In   []packet.Element
	conn *conn
}

// Raise sends an event to the client that gave the command, if it has
// subscribed.
func (c *Call) Raise(event string, entries ...packet.Element) { c.conn.raise(event, entries) }

// RaisePacket sends an event whose whole segment was made before.
func (c *Call) RaisePacket(event string, segment []byte) {
	if c.conn.subscribed(event) {
		c.conn.write(segment)
	}
}

// Hang ends the connection without an answer.
func (c *Call) Hang() { _ = c.conn.Close() }

// NewServer makes a server that knows some commands and events.
func NewServer(commands map[string]Command, events ...string) *Server {
	s := &Server{commands: commands, events: make(map[string]bool), conns: make(map[*conn]bool)}
	for _, e := range events {
		s.events[e] = true
	}
	return s
}

// NewRaw makes a server that hands every connection to f, which need not
// close it.
func NewRaw(f func(net.Conn)) *Server {
	s := NewServer(nil)
	s.raw = f
	return s
}

// Listen starts the server at an address, "unix" and a path or "tcp" and
// "127.0.0.1:0".
func (s *Server) Listen(network, address string) error {
	l, err := net.Listen(network, address)
	if err != nil {
		return fmt.Errorf("server for tests: %w", err)
	}
	s.listener = l
	s.wg.Add(1)
	go s.accept()
	return nil
}

// Address is where the server listens.
func (s *Server) Address() net.Addr { return s.listener.Addr() }

// Close ends the server and its connections and waits for them.
func (s *Server) Close() error {
	err := s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close() // the client sees it end, which is what is wanted
	}
	s.mu.Unlock()
	s.wg.Wait()
	return err
}

// Drop ends every connection and goes on listening, as a daemon that crashed
// and is back.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close() // as above
	}
}

// Raise sends an event to every client that has subscribed.
func (s *Server) Raise(event string, entries ...packet.Element) {
	s.mu.Lock()
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.raise(event, entries)
	}
}

// Subscribers counts the connections that have subscribed to an event.
func (s *Server) Subscribers(event string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for c := range s.conns {
		if c.subscribed(event) {
			n++
		}
	}
	return n
}

func (s *Server) accept() {
	defer s.wg.Done()
	for {
		nc, err := s.listener.Accept()
		if err != nil {
			return
		}
		c := &conn{Conn: nc, events: make(map[string]bool)}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			_ = nc.Close() // nobody is told anything any more
			return
		}
		s.conns[c] = true
		s.wg.Add(1)
		s.mu.Unlock()
		go s.serve(c)
	}
}

func (s *Server) serve(c *conn) {
	defer s.wg.Done()
	defer func() {
		_ = c.Close() // may be closed already
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	if s.raw != nil {
		s.raw(c.Conn)
		return
	}
	for {
		p, err := packet.Read(c)
		if err != nil {
			return
		}
		switch p.Kind {
		case packet.Request:
			command := s.commands[p.Name]
			if command == nil {
				c.send(packet.Unknown, "", nil)
				continue
			}
			c.send(packet.Response, "", command(&Call{Name: p.Name, In: p.Entries, conn: c}))
		case packet.Register, packet.Unregister:
			if !s.events[p.Name] {
				c.send(packet.EventUnknown, "", nil)
				continue
			}
			c.mu.Lock()
			c.events[p.Name] = p.Kind == packet.Register
			c.mu.Unlock()
			c.send(packet.Confirm, "", nil)
		default:
			return
		}
	}
}

// conn is one client.
type conn struct {
	net.Conn
	mu     sync.Mutex
	events map[string]bool
	out    sync.Mutex // a packet is written whole
}

func (c *conn) subscribed(event string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.events[event]
}

func (c *conn) raise(event string, entries []packet.Element) {
	if c.subscribed(event) {
		c.send(packet.Event, event, entries)
	}
}

func (c *conn) send(kind packet.Kind, name string, entries []packet.Element) {
	c.write(AppendPacket(nil, kind, name, entries))
}

func (c *conn) write(segment []byte) {
	c.out.Lock()
	defer c.out.Unlock()
	if _, err := c.Conn.Write(segment); err != nil {
		_ = c.Close() // the reading side ends the rest
	}
}
