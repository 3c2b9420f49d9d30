// Package link is where the engine meets the world: UDP sockets for IKE and for
// ESP in UDP.
//
// Contract: the engine's packages open nothing; whoever runs them hands them
// datagrams and the time. A Pump does that for one ike.Endpoint, on one
// goroutine that alone touches it.
package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

const maxDatagram = 65535

// Pump joins an ike.Endpoint to two UDP sockets: one for plain IKE (port 500),
// one for IKE and ESP in UDP (port 4500). Both must be bound to an address: one
// socket cannot tell which of several addresses a datagram came to.
type Pump struct {
	endpoint    *ike.Endpoint
	plain, natt *net.UDPConn  // up to Run
	conns       [2]*batchConn // of these
	take        func(ike.Output)
	esp         func([]ESPPacket)
	in          *inbox
	do          chan order

	// Seen, where it is set before Run, is told each datagram before a step
	// takes it, on the pump's goroutine.
	Seen func(*ike.Datagram)

	// Before, where it is set before Run, gets the output of every step before
	// its datagrams are sent: a peer that has an answer may send ESP at once,
	// and what it names has to stand by then.
	Before func(*ike.Output)
}

// order is something to be done by the goroutine that owns the Endpoint.
type order struct {
	f    func(now time.Time, e *ike.Endpoint) ike.Output
	done chan struct{}
}

// NewPump makes a pump. take gets the output of every step, on the pump's
// goroutine; its datagrams are sent by the pump. esp gets the ESP packets that
// came in UDP and may be nil; it is called on a goroutine of its own and must
// not keep the packets.
func NewPump(e *ike.Endpoint, plain, natt *net.UDPConn, take func(ike.Output), esp func([]ESPPacket)) (*Pump, error) {
	for _, c := range []*net.UDPConn{plain, natt} {
		if a, err := localAddr(c); err != nil || a.Addr().IsUnspecified() {
			return nil, fmt.Errorf("socket %v is not bound to one address", c.LocalAddr())
		}
	}
	return &Pump{endpoint: e, plain: plain, natt: natt, take: take, esp: esp, in: newInbox(), do: make(chan order)}, nil
}

func localAddr(c *net.UDPConn) (netip.AddrPort, error) {
	a, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("socket %v has no UDP address", c.LocalAddr())
	}
	p := a.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port()), nil
}

// Run pumps until the context ends, closes the sockets, and gives the error of
// a socket that failed before that.
func (p *Pump) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	errs := make(chan error, 2)
	var readers sync.WaitGroup
	conns := [2]*batchConn{}
	var err error
	for i, c := range []*net.UDPConn{p.plain, p.natt} {
		var failed error
		conns[i], failed = takeConn(c)
		err = errors.Join(err, failed)
	}
	if err == nil {
		p.conns = conns
		for _, c := range conns {
			readers.Go(func() {
				if err := p.read(ctx, c, c == conns[1]); err != nil {
					errs <- err
					cancel()
				}
			})
		}
		p.loop(ctx)
	}
	cancel()
	for _, c := range conns {
		if c != nil {
			err = errors.Join(err, c.close())
		}
	}
	readers.Wait()
	close(errs)
	for e := range errs {
		err = errors.Join(err, e)
	}
	return err
}

// loop is the goroutine that owns the Endpoint.
func (p *Pump) loop(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		// What was asked is answered.
		p.endpoint.Prepare()
		if due := p.endpoint.Deadline(); due.IsZero() {
			timer.Reset(time.Hour)
		} else {
			timer.Reset(time.Until(due))
		}
		queues := p.in.ready()
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			p.out(p.endpoint.Step(time.Now(), ike.Input{}))
		case d := <-queues[ofSAs]:
			p.step(ofSAs, &d)
		case d := <-queues[returning]:
			p.step(returning, &d)
		case d := <-queues[strange]:
			p.step(strange, &d)
		case o := <-p.do:
			p.out(o.f(time.Now(), p.endpoint))
			close(o.done)
		}
	}
}

// step gives the Endpoint a datagram.
func (p *Pump) step(u urgency, d *ike.Datagram) {
	p.in.taken(u, d)
	if p.Seen != nil {
		p.Seen(d)
	}
	p.out(p.endpoint.Step(time.Now(), ike.Input{Datagram: d}))
}

// Do has something done with the Endpoint on the goroutine that owns it, and
// waits for it.
func (p *Pump) Do(ctx context.Context, f func(now time.Time, e *ike.Endpoint) ike.Output) error {
	o := order{f: f, done: make(chan struct{})}
	select {
	case p.do <- o:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-o.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// out sends the datagrams of a step and hands the rest on. A datagram that
// cannot be sent is lost like one that the network drops: it is repeated.
func (p *Pump) out(o ike.Output) {
	if p.Before != nil {
		p.Before(&o)
	}
	for i := range o.Datagrams {
		d := &o.Datagrams[i]
		c := p.conns[0]
		if d.Marked {
			c = p.conns[1]
		}
		_ = c.send(d.Octets, d.Remote)
	}
	p.take(o)
}

// read hands the datagrams of one socket to the engine, and the ESP packets
// among them to the data plane.
func (p *Pump) read(ctx context.Context, c *batchConn, marked bool) error {
	var packets []ESPPacket
	var turn shift
	for {
		turn.pause()
		batch, err := c.read()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if gone(err) {
				return nil
			}
			var e net.Error
			if errors.As(err, &e) && !e.Timeout() {
				// ICMP errors come as errors of the next read.
				continue
			}
			return fmt.Errorf("read of %s: %w", c.local, err)
		}
		packets = packets[:0]
		for i := range batch {
			if kind, packet := wire.ClassifyUDP(batch[i].Octets, marked); marked && kind == wire.UDPESP {
				batch[i].Octets = packet
				packets = append(packets, batch[i])
				continue
			}
			p.in.put(ike.Datagram{Local: c.local, Remote: batch[i].Remote, Marked: marked, Octets: append([]byte(nil), batch[i].Octets...)})
		}
		if len(packets) < len(batch) {
			// The engine's goroutine goes on here and now. A read that waits in
			// the kernel would keep this thread, and another one had to be woken.
			runtime.Gosched()
		}
		if p.esp != nil && len(packets) > 0 {
			p.esp(packets)
		}
	}
}
