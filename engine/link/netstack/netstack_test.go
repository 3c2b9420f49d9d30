package netstack_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/link/netstack"
)

var _ link.Device = (*netstack.Stack)(nil)

// pair joins two stacks by a wire.
func pair(t *testing.T) (a, b *netstack.Stack) {
	t.Helper()
	make1 := func(addresses ...string) *netstack.Stack {
		var list []netip.Addr
		for _, s := range addresses {
			list = append(list, netip.MustParseAddr(s))
		}
		s, err := netstack.New(1400, list...)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b = make1("10.1.0.1", "fd00:1::1"), make1("10.2.0.1", "fd00:2::1")
	done := make(chan error, 2)
	wire := func(from, to *netstack.Stack) {
		bufs, sizes := make([][]byte, from.BatchSize()), make([]int, from.BatchSize())
		for i := range bufs {
			bufs[i] = make([]byte, 16+2000)
		}
		for {
			n, err := from.Read(bufs, sizes, 16)
			if err != nil {
				done <- err
				return
			}
			var out [][]byte
			for i := range n {
				out = append(out, bufs[i][:16+sizes[i]])
			}
			_, _ = to.Write(out, 16) // the other side may be closed already
		}
	}
	go wire(a, b)
	go wire(b, a)
	t.Cleanup(func() {
		if err := errors.Join(a.Close(), b.Close(), a.Close()); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := <-done; !errors.Is(err, os.ErrClosed) {
				t.Errorf("a closed stack says %v", err)
			}
		}
	})
	return a, b
}

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestPingsAreAnswered(t *testing.T) {
	a, b := pair(t)
	for _, n := range []int{0, 1, 56, 1352, 3000, 8000} {
		for to, from := range map[string]*netstack.Stack{"10.2.0.1": a, "fd00:2::1": a, "10.1.0.1": b, "fd00:1::1": b} {
			if rtt, err := from.Ping(limited(t), netip.MustParseAddr(to), n); err != nil || rtt <= 0 {
				t.Errorf("%d octets to %s: %s, %v", n, to, rtt, err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := a.Ping(ctx, netip.MustParseAddr("10.9.0.1"), 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody answers: %v", err)
	}
}

func TestTCPAndUDPGoThrough(t *testing.T) {
	a, b := pair(t)
	l, err := b.ListenTCP(netip.MustParseAddrPort("10.2.0.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 1<<20)
	_, _ = rand.Read(data)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	c, err := a.DialContext(limited(t), "tcp", "10.2.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = c.Write(data)
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
	}()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d octets came back, %v", len(got), len(data), err)
	}
	p, err := b.ListenUDP(netip.MustParseAddrPort("[fd00:2::1]:53"))
	if err != nil {
		t.Fatal(err)
	}
	u, err := a.DialContext(limited(t), "udp", "[fd00:2::1]:53")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write([]byte("a question")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, from, err := p.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "a question" {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	if _, err := p.WriteTo([]byte("an answer"), from); err != nil {
		t.Fatal(err)
	}
	if n, err := u.Read(buf); err != nil || string(buf[:n]) != "an answer" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	for _, wrong := range [][2]string{{"tcp", "nowhere"}, {"sctp", "10.2.0.1:80"}} {
		if _, err := a.DialContext(limited(t), wrong[0], wrong[1]); err == nil {
			t.Errorf("%v is dialled", wrong)
		}
	}
}

func TestAStackThatCannotBeIsRefused(t *testing.T) {
	for _, mtu := range []int{0, 1279, 70000} {
		if _, err := netstack.New(mtu); err == nil {
			t.Errorf("MTU %d is taken", mtu)
		}
	}
	s, err := netstack.New(1400, netip.MustParseAddr("10.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }() // nothing is in it
	if err := s.Add(netip.MustParseAddr("10.0.0.1")); err != nil {
		t.Errorf("an address that it has already: %v", err)
	}
	for _, a := range []netip.Addr{{}, netip.IPv4Unspecified(), netip.MustParseAddr("224.0.0.1")} {
		if err := s.Add(a); err == nil {
			t.Errorf("%s is taken as an address", a)
		}
	}
	if _, err := s.Ping(limited(t), netip.MustParseAddr("10.0.0.2"), 1<<20); err == nil {
		t.Error("a ping of a megabyte is sent")
	}
}
