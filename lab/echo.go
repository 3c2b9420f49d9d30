package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// How Echo sends: so many requests and octets may be under way, and each is sent
// again so often, after so long. A full queue on the way loses packets that no
// tunnel is to blame for.
const (
	echoWindow = 32
	echoOctets = 48 << 10
	echoWait   = time.Second
	echoTries  = 10
)

// Echoes is what came of an Echo.
type Echoes struct {
	Answered  int
	Repeated  int // requests that were sent again
	Twice     int // answers to what was answered already, and never asked twice
	Malformed int // answers with other data than was sent
}

// echo is a request under way.
type echo struct {
	size, tries int
	sent        time.Time
}

// echoer pings from one socket.
type echoer struct {
	conn     *net.IPConn
	to       *net.IPAddr
	six      bool
	id       int
	sizes    []int
	next     int
	waiting  map[int]*echo // by sequence number, the index in sizes
	octets   int
	repeated map[int]bool
	report   Echoes
}

// Echo sends echo requests with data of each of these sizes, in octets, from an
// address in a namespace to another, many at a time, and compares the data of
// the answers. An error tells which sizes were never answered.
func Echo(ctx context.Context, from *NS, src, dst string, sizes []int) (Echoes, error) {
	if len(sizes) > 1<<16 {
		return Echoes{}, fmt.Errorf("%d pings; 65536 can be told apart", len(sizes))
	}
	local, err := netip.ParseAddr(src)
	if err != nil {
		return Echoes{}, err
	}
	remote, err := netip.ParseAddr(dst)
	if err != nil {
		return Echoes{}, err
	}
	network := "ip4:icmp"
	if local.Is6() {
		network = "ip6:ipv6-icmp"
	}
	e := &echoer{to: &net.IPAddr{IP: remote.AsSlice()}, six: local.Is6(), id: rand.IntN(1 << 16), sizes: sizes, waiting: map[int]*echo{}, repeated: map[int]bool{}}
	if err := from.Do(func() (err error) {
		e.conn, err = net.ListenIP(network, &net.IPAddr{IP: local.AsSlice()})
		return err
	}); err != nil {
		return Echoes{}, fmt.Errorf("socket for pings: %w", err)
	}
	defer func() { _ = e.conn.Close() }() // all that was to come has come
	_ = e.conn.SetReadBuffer(4 << 20)     // the more the better
	err = e.run(ctx)
	return e.report, err
}

func (e *echoer) run(ctx context.Context) error {
	b := make([]byte, 1<<16)
	for e.next < len(e.sizes) || len(e.waiting) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.send(); err != nil {
			return err
		}
		if err := e.conn.SetReadDeadline(time.Now().Add(echoWait / 5)); err != nil {
			return err
		}
		n, _, err := e.conn.ReadFromIP(b)
		switch {
		case err == nil:
			e.take(b[:n])
		case errors.Is(err, os.ErrDeadlineExceeded):
			if err := e.again(); err != nil {
				return err
			}
		default:
			return fmt.Errorf("pings: %w", err)
		}
	}
	return nil
}

// send sends as many requests as may be under way.
func (e *echoer) send() error {
	for e.next < len(e.sizes) && len(e.waiting) < echoWindow && (e.octets+e.sizes[e.next] <= echoOctets || len(e.waiting) == 0) {
		w := &echo{size: e.sizes[e.next]}
		if err := e.request(e.next, w); err != nil {
			return err
		}
		e.waiting[e.next] = w
		e.octets += w.size
		e.next++
	}
	return nil
}

// request sends one request.
func (e *echoer) request(seq int, w *echo) error {
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: e.id, Seq: seq, Data: pattern(w.size, seq)}}
	if e.six {
		m.Type = ipv6.ICMPTypeEchoRequest
	}
	b, err := m.Marshal(nil)
	if err != nil {
		return err
	}
	w.tries++
	w.sent = time.Now()
	// What cannot be sent now, for want of room or a path that is not known yet,
	// is sent again like what is lost.
	_, _ = e.conn.WriteToIP(b, e.to)
	return nil
}

// pattern is data that no other request has.
func pattern(size, seq int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + seq)
	}
	return b
}

// take looks at what came.
func (e *echoer) take(b []byte) {
	proto, kind := 1, icmp.Type(ipv4.ICMPTypeEchoReply)
	if e.six {
		proto, kind = 58, ipv6.ICMPTypeEchoReply
	}
	m, err := icmp.ParseMessage(proto, b)
	if err != nil || m.Type != kind {
		return
	}
	body, ok := m.Body.(*icmp.Echo)
	if !ok || body.ID != e.id || body.Seq >= e.next {
		return
	}
	w := e.waiting[body.Seq]
	switch {
	case w == nil && !e.repeated[body.Seq]:
		e.report.Twice++
	case w == nil:
	case !bytes.Equal(body.Data, pattern(w.size, body.Seq)):
		e.report.Malformed++
	default:
		delete(e.waiting, body.Seq)
		e.octets -= w.size
		e.report.Answered++
	}
}

// again repeats what has waited long enough.
func (e *echoer) again() error {
	var lost []int
	for seq, w := range e.waiting {
		if time.Since(w.sent) < echoWait {
			continue
		}
		if w.tries == echoTries {
			lost = append(lost, w.size)
			continue
		}
		e.report.Repeated++
		e.repeated[seq] = true
		if err := e.request(seq, w); err != nil {
			return err
		}
	}
	if len(lost) > 0 {
		return fmt.Errorf("pings with %v octets of data are not answered; %d were", lost, e.report.Answered)
	}
	return nil
}
