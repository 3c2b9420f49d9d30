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
	settle     = 300 * time.Millisecond // into the silence, when it is none yet
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
	// Sizes are how the last pings of each size went, and Quiet how the hub's
	// went that came to the branch after a silence: none until there are enough
	// to judge by.
	Sizes []Outcome
	Quiet []Outcome
}

// Outcome is how the last pings of one kind went.
type Outcome struct {
	Octets         int           // of the inner packet
	Silence        time.Duration // before them
	Sent, Answered int
}

// recent are the last outcomes of one kind, the oldest overwritten.
type recent struct {
	enough int // how many there have to be, at most 16
	list   [16]bool
	n      int
}

func (r *recent) add(answered bool) {
	r.list[r.n%r.enough] = answered
	r.n++
}

// outcome gives them, false while they are too few.
func (r *recent) outcome(o Outcome) (Outcome, bool) {
	if r.n < r.enough {
		return o, false
	}
	for _, ok := range r.list[:r.enough] {
		o.Sent++
		if ok {
			o.Answered++
		}
	}
	return o, true
}

// The two sizes of the pings' data in octets, and of the inner packets that
// they make over IPv4.
const (
	smallPing, largePing = 56, 1200
	pingHeaders          = 28
)

// Mean is the mean round trip of the pings, 0 without any.
func (t *Traffic) Mean() time.Duration {
	if t.Answered == 0 {
		return 0
	}
	return t.sum / time.Duration(t.Answered)
}

// traffic counts it.
type traffic struct {
	mu           sync.Mutex
	t            Traffic
	small, large recent
	soon, late   recent // into the silence, and at its end
}

// forget has what the pings found last judged anew.
func (t *traffic) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.small, t.large, t.soon, t.late = recent{enough: 10}, recent{enough: 10}, recent{enough: 3}, recent{enough: 3}
}

func (t *traffic) quiet(of *recent, answered bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of.add(answered)
}

func (t *traffic) ping(size int, rtt time.Duration, answered bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if size == largePing {
		t.large.add(answered)
		return
	}
	t.small.add(answered)
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
	out := t.t
	small, enough := t.small.outcome(Outcome{Octets: smallPing + pingHeaders})
	large, both := t.large.outcome(Outcome{Octets: largePing + pingHeaders})
	if enough && both {
		out.Sizes = []Outcome{small, large}
	}
	soon, enough := t.soon.outcome(Outcome{Silence: settle})
	late, both := t.late.outcome(Outcome{Silence: silent})
	if enough && both {
		out.Quiet = []Outcome{soon, late}
	}
	return out
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
			for _, size := range []int{smallPing, largePing} {
				d.work.Go(func() { d.ping(hubLAN[i%len(hubLAN)], size) })
			}
			if !pause(d.run, pingEvery) {
				return
			}
		}
		if !pause(d.run, settle) {
			return
		}
		d.work.Go(func() { d.knock(&d.traffic.soon) })
		if !pause(d.run, silent-settle) {
			return
		}
		d.knock(&d.traffic.late)
	}
}

func (d *Demo) ping(to netip.Addr, size int) {
	ctx, cancel := context.WithTimeout(d.run, pingWait)
	defer cancel()
	rtt, err := d.branch.stack.Ping(ctx, to, size)
	if d.run.Err() == nil {
		d.traffic.ping(size, rtt, err == nil)
	}
}

// knock has the hub ping the branch, which has been silent for a while.
func (d *Demo) knock(of *recent) {
	if d.Traffic().Answered == 0 {
		return // there is no tunnel yet
	}
	ctx, cancel := context.WithTimeout(d.run, pingWait/2)
	defer cancel()
	_, err := d.hub.stack.Ping(ctx, branchLAN[0], smallPing)
	if d.run.Err() == nil {
		d.traffic.quiet(of, err == nil)
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
