package demo

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/link/relay"
)

// The traffic of the demo: pings for a while, and a transfer, then silence, in
// which liveness checks are to be seen.
const (
	busy       = 3 * time.Second
	silent     = 3 * time.Second
	pingEvery  = 200 * time.Millisecond
	pingWait   = time.Second
	echoPort   = 7
	transfer   = 128 << 10 // octets there, and back
	transferIn = 5 * time.Second
)

// Traffic is what went through the tunnels so far.
type Traffic struct {
	Pings, Answered int // since the first that was answered
	Least, Most     time.Duration
	sum             time.Duration
	Transfers       int // TCP, there and back
	Failed          int
	Octets          int64 // that transfers have brought back
}

// Mean is the mean round trip of the pings, 0 without any.
func (t *Traffic) Mean() time.Duration {
	if t.Answered == 0 {
		return 0
	}
	return t.sum / time.Duration(t.Answered)
}

// traffic counts it.
type traffic struct {
	mu sync.Mutex
	t  Traffic
}

func (t *traffic) ping(rtt time.Duration, answered bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !answered {
		if t.t.Answered > 0 {
			t.t.Pings++
		}
		return
	}
	t.t.Pings++
	if t.t.Answered++; t.t.Answered == 1 || rtt < t.t.Least {
		t.t.Least = rtt
	}
	t.t.Most = max(t.t.Most, rtt)
	t.t.sum += rtt
}

func (t *traffic) moved(octets int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.t.Octets += octets
	if ok {
		t.t.Transfers++
	} else {
		t.t.Failed++
	}
}

func (t *traffic) read() Traffic {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.t
}

// Traffic tells what went through the tunnels so far.
func (d *Demo) Traffic() Traffic { return d.traffic.read() }

// NAT tells what the NAT did so far.
func (d *Demo) NAT() relay.Counts { return d.nat.Counts() }

// serve has the hub echo what comes to its TCP port.
func (d *Demo) serve() error {
	for _, a := range hubLAN {
		l, err := d.hub.stack.ListenTCP(netip.AddrPortFrom(a, echoPort))
		if err != nil {
			return err
		}
		d.work.Go(func() {
			<-d.run.Done()
			_ = l.Close() // nobody connects any more
		})
		d.work.Go(func() { d.accept(l) })
	}
	return nil
}

// maxEchoes bounds the connections that the hub echoes at a time.
const maxEchoes = 16

func (d *Demo) accept(l net.Listener) {
	room := make(chan struct{}, maxEchoes)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		select {
		case room <- struct{}{}:
		default:
			_ = c.Close()
			continue
		}
		d.work.Go(func() {
			defer func() { <-room }()
			defer context.AfterFunc(d.run, func() { _ = c.Close() })()
			_ = c.SetDeadline(time.Now().Add(transferIn))
			_, _ = io.Copy(c, c)
			_ = c.Close()
		})
	}
}

// talk makes traffic until the demo ends.
func (d *Demo) talk() {
	for n := 0; ; n++ {
		d.work.Go(func() { d.move(hubLAN[n%len(hubLAN)]) })
		for i := range int(busy / pingEvery) {
			d.work.Go(func() { d.ping(hubLAN[i%len(hubLAN)]) })
			if !pause(d.run, pingEvery) {
				return
			}
		}
		if !pause(d.run, silent) {
			return
		}
	}
}

func (d *Demo) ping(to netip.Addr) {
	ctx, cancel := context.WithTimeout(d.run, pingWait)
	defer cancel()
	rtt, err := d.branch.stack.Ping(ctx, to, 56)
	if d.run.Err() == nil {
		d.traffic.ping(rtt, err == nil)
	}
}

// move sends octets through the tunnel and has them come back.
func (d *Demo) move(to netip.Addr) {
	ctx, cancel := context.WithTimeout(d.run, transferIn)
	defer cancel()
	n, err := d.echoed(ctx, netip.AddrPortFrom(to, echoPort))
	if d.run.Err() == nil {
		d.traffic.moved(n, err == nil)
	}
}

func (d *Demo) echoed(ctx context.Context, to netip.AddrPort) (int64, error) {
	c, err := d.branch.stack.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }() // what was to be said is said
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, transfer))
		if w, ok := c.(interface{ CloseWrite() error }); ok && err == nil {
			err = w.CloseWrite()
		}
		sent <- err
	}()
	n, err := io.Copy(io.Discard, c)
	_ = c.Close() // so that the sender ends
	err = errors.Join(err, <-sent)
	if err == nil && n != transfer {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
