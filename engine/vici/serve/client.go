package serve

import (
	"bufio"
	"context"
	"net"
	"sync"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
)

const (
	// waiting is how many requests a client may send ahead.
	waiting = 4
	// minQueue has room for a segment beside another.
	minQueue = 2 * (packet.MaxSegment + 4)
	// maxBatch is how many octets are written in one piece.
	maxBatch = 64 << 10
)

// client is one connection.
type client struct {
	server *Server
	conn   net.Conn
	ctx    context.Context // ends with the connection
	cancel context.CancelFunc

	mu      sync.Mutex
	changed sync.Cond
	events  map[string]bool // that it has registered for
	queue   [][]byte        // segments for it
	size    int             // octets in the queue
	dropped uint64          // events since the last notice of that
	ended   bool
}

func newClient(s *Server, conn net.Conn) *client {
	c := &client{server: s, conn: conn, events: make(map[string]bool)}
	c.changed.L = &c.mu
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	return c
}

// serve answers the client's requests, one after the other, until it goes.
func (c *client) serve() {
	defer c.cancel()
	stop := context.AfterFunc(c.ctx, c.end)
	defer stop()
	requests := make(chan packet.Packet, waiting)
	var work sync.WaitGroup
	work.Go(func() { c.read(requests) })
	work.Go(c.write)
	for p := range requests {
		if !c.take(&p) {
			break
		}
	}
	c.drain()
	c.cancel()
	work.Wait()
}

// end lets whoever waits for the connection go.
func (c *client) end() {
	c.mu.Lock()
	c.ended = true
	c.changed.Broadcast()
	c.mu.Unlock()
	_ = c.conn.Close() // what was lost, the client does not want any more
}

// read takes requests off the connection. That the client is gone ends what
// runs for it.
func (c *client) read(requests chan<- packet.Packet) {
	defer close(requests)
	r := bufio.NewReader(c.conn)
	for {
		// A client may be silent as long as it likes, but not within a message.
		if _, err := r.Peek(1); err != nil {
			c.cancel()
			return
		}
		_ = c.conn.SetReadDeadline(time.Now().Add(c.server.options.Patience)) // where there is none, it waits
		p, err := packet.Read(r)
		if err != nil {
			return // what it asked before is still answered
		}
		_ = c.conn.SetReadDeadline(time.Time{}) // as above
		select {
		case requests <- p:
		case <-c.ctx.Done():
			return
		}
	}
}

// write sends what is queued.
func (c *client) write() {
	defer c.cancel()
	var batch []byte
	for {
		c.mu.Lock()
		for len(c.queue) == 0 && !c.ended {
			c.changed.Wait()
		}
		if c.ended {
			c.mu.Unlock()
			return
		}
		batch = batch[:0]
		n := 0
		for n < len(c.queue) && (n == 0 || len(batch)+len(c.queue[n]) <= maxBatch) {
			batch = append(batch, c.queue[n]...)
			n++
		}
		c.mu.Unlock()
		_ = c.conn.SetWriteDeadline(time.Now().Add(c.server.options.Patience)) // where there is none, it waits
		if _, err := c.conn.Write(batch); err != nil {
			return
		}
		c.mu.Lock()
		clear(c.queue[:n])
		c.queue = c.queue[n:]
		c.size -= len(batch)
		c.changed.Broadcast()
		c.mu.Unlock()
		if cap(batch) > maxBatch {
			batch = nil
		}
	}
}

// drain waits until all is sent that is queued, or the connection ends.
func (c *client) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) > 0 && !c.ended {
		c.changed.Wait()
	}
}

// send queues a segment and waits for room, which only the client's own command
// does. It says whether the client is still there.
func (c *client) send(segment []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.size+len(segment) > c.server.options.Queue && !c.ended {
		c.changed.Wait()
	}
	if c.ended {
		return false
	}
	c.push(segment)
	return true
}

func (c *client) push(segment []byte) {
	c.queue = append(c.queue, segment)
	c.size += len(segment)
	c.changed.Broadcast()
}

// offer queues an event if there is room for it, and counts it if there is not.
// A part of the queue is kept for answers.
func (c *client) offer(name string, segment []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.events[name] || c.ended {
		return
	}
	limit := c.server.options.Queue - packet.MaxSegment - 4
	if c.size+len(segment) > limit {
		c.dropped++
		return
	}
	if c.dropped > 0 {
		gap := &event.Event{Time: time.Now(), Gap: &event.Gap{What: "events that this client did not read in time", Dropped: c.dropped}}
		c.dropped = 0
		for _, m := range messages(gap) {
			if c.events[m.name] {
				c.push(m.segment)
			}
		}
	}
	c.push(segment)
}

// subscribed says whether the client has registered for an event.
func (c *client) subscribed(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.events[name]
}

// take answers one packet. It says whether the client may go on.
func (c *client) take(p *packet.Packet) bool {
	switch p.Kind {
	case packet.Request:
		return c.request(p)
	case packet.Register:
		return c.register(p.Name)
	case packet.Unregister:
		if !known(p.Name) {
			return c.reply(packet.EventUnknown, nil)
		}
		c.mu.Lock()
		delete(c.events, p.Name)
		c.mu.Unlock()
		return c.reply(packet.Confirm, nil)
	}
	return false // a packet that only servers send
}

// register confirms a registration. Events that happen after the confirmation
// are sent.
func (c *client) register(name string) bool {
	if !known(name) {
		return c.reply(packet.EventUnknown, nil)
	}
	if streamed(name) {
		if err := c.server.follow(c.ctx); err != nil {
			return false
		}
	}
	c.mu.Lock()
	c.events[name] = true
	c.mu.Unlock()
	return c.reply(packet.Confirm, nil)
}

// reply sends an answer. One that does not fit into a segment becomes one that
// says so.
func (c *client) reply(kind packet.Kind, entries []packet.Element) bool {
	b, err := packet.Append(nil, kind, "", entries)
	if err != nil {
		b, err = packet.Append(nil, kind, "", refusal(err, false))
	}
	return err == nil && c.send(b)
}
