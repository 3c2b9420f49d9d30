package vici

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
)

// The packets of VICI.
const (
	noPacket           = -1
	packetResponse     = 1
	packetUnknown      = 2 // no such command
	packetConfirm      = 5
	packetEventUnknown = 6
	packetEvent        = 7
)

// Limits on what a server may send.
const (
	maxSegment   = 512 << 10 // VICI's own limit
	maxDepth     = 32        // of nested sections; charon uses 4
	maxReadAhead = 4 << 20   // octets read and not yet taken by govici
)

// guard stands between the socket and govici. It takes whole segments off the
// socket, refuses what is too long or malformed, and hands them on one by one.
//
// Two weaknesses of govici v0.8.2 are made up for here: it allocates what a
// length field says, and its Subscribe deadlocks when an event arrives before
// the confirmation, which the guard avoids by holding events back meanwhile. It
// also drops events that find no room in their channel; the guard hands an
// event on only when room says that there is some.
type guard struct {
	net.Conn
	requests atomic.Int64 // requests sent and not yet answered
	last     atomic.Int32 // type of the last packet that was an answer

	mu      sync.Mutex
	changed sync.Cond
	queue   [][]byte // whole segments, with their length, for govici
	size    int      // octets in it
	holding bool
	reading bool // govici waits in Read: it is dispatching nothing
	room    func() bool
	budget  int    // octets of events that may still come; negative: any number
	current []byte // what Read is handing out
	err     error  // why the pump ended
	closed  bool
	ended   chan struct{} // the pump has ended
}

func newGuard(c net.Conn) *guard {
	g := &guard{Conn: c, room: func() bool { return true }, budget: -1, ended: make(chan struct{})}
	g.changed.L = &g.mu
	go g.pump()
	return g
}

// Close closes the connection and waits for the pump.
func (g *guard) Close() error {
	g.mu.Lock()
	g.closed = true
	g.changed.Broadcast()
	g.mu.Unlock()
	err := g.Conn.Close()
	<-g.ended
	return err
}

// Write sends one packet: govici writes each in one piece.
func (g *guard) Write(b []byte) (int, error) {
	g.requests.Add(1)
	g.last.Store(noPacket)
	return g.Conn.Write(b)
}

// Read hands segments on to govici.
func (g *guard) Read(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reading = true
	g.changed.Broadcast()
	defer func() { g.reading = false }()
	for len(g.current) == 0 {
		next := g.deliverable()
		switch {
		case g.closed:
			return 0, net.ErrClosed
		case next >= 0:
			g.current = g.queue[next]
			g.queue = slices.Delete(g.queue, next, next+1)
			g.size -= len(g.current)
			g.changed.Broadcast()
		case g.err != nil && (len(g.queue) == 0 || g.holding):
			return 0, g.err
		default:
			g.changed.Wait()
		}
	}
	n := copy(b, g.current)
	g.current = g.current[n:]
	return n, nil
}

// deliverable gives the index of the next segment that govici may have now, -1
// where there is none: while a subscription is made, no event, and else the
// first, if it is no event or there is room for one.
func (g *guard) deliverable() int {
	if g.holding {
		return slices.IndexFunc(g.queue, func(s []byte) bool { return s[4] != packetEvent })
	}
	if len(g.queue) > 0 && (g.queue[0][4] != packetEvent || g.room()) {
		return 0
	}
	return -1
}

// wake has Read ask room again.
func (g *guard) wake() {
	g.mu.Lock()
	g.changed.Broadcast()
	g.mu.Unlock()
}

// hold keeps events back until release. It returns once govici waits for
// octets and so is handing no event on.
func (g *guard) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holding = true
	for !g.closed && g.err == nil && (!g.reading || len(g.current) > 0) {
		g.changed.Wait()
	}
}

// release lets events go again.
func (g *guard) release() {
	g.mu.Lock()
	g.holding = false
	g.changed.Broadcast()
	g.mu.Unlock()
}

// cause gives why the connection ended, nil while it is well.
func (g *guard) cause() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed && !protocolError(g.err) {
		return nil
	}
	return g.err
}

// pump reads segments until the connection ends or is closed.
func (g *guard) pump() {
	defer close(g.ended)
	var err error
	for err == nil {
		var segment []byte
		if segment, err = readSegment(g.Conn); err == nil {
			err = g.accept(segment)
		}
	}
	if errors.Is(err, io.EOF) {
		err = errClosed
	}
	g.mu.Lock()
	g.err = err
	g.changed.Broadcast()
	g.mu.Unlock()
}

// accept checks a segment and queues it.
func (g *guard) accept(segment []byte) error {
	if err := checkSegment(segment[4:]); err != nil {
		return err
	}
	kind := segment[4]
	if kind != packetEvent {
		if g.requests.Add(-1) < 0 {
			return errUnasked
		}
		g.last.Store(int32(kind))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.size > maxReadAhead && !g.closed && !g.holding {
		g.changed.Wait()
	}
	if g.holding && g.size > 2*maxReadAhead {
		return fmt.Errorf("%w: events before a subscription was confirmed", errTooMuch)
	}
	if kind == packetEvent && g.budget >= 0 {
		if len(segment) > g.budget {
			return fmt.Errorf("%w: a listing of more than %d MiB", errTooMuch, maxListing>>20)
		}
		g.budget -= len(segment)
	}
	if g.closed {
		return net.ErrClosed
	}
	g.queue = append(g.queue, segment)
	g.size += len(segment)
	g.changed.Broadcast()
	return nil
}

// readSegment reads one segment with its length. An end of the connection
// between two segments is io.EOF.
func readSegment(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errCutShort
		}
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	switch {
	case n == 0:
		return nil, errEmpty
	case n > maxSegment:
		return nil, fmt.Errorf("%w (%d octets)", errTooLong, n)
	}
	segment := make([]byte, 4+n)
	copy(segment, head[:])
	if _, err := io.ReadFull(r, segment[4:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return nil, errCutShort
		}
		return nil, err
	}
	return segment, nil
}
