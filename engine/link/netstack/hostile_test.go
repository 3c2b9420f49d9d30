package netstack_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/link/netstack"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var _ link.Router = (*netstack.Stack)(nil)

const offset = 64

func one(t *testing.T, own ...string) *netstack.Stack {
	t.Helper()
	var list []netip.Addr
	for _, a := range own {
		list = append(list, netip.MustParseAddr(a))
	}
	s, err := netstack.New(1400, list...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// next gives the next packet that a stack sends.
func next(t *testing.T, s *netstack.Stack) []byte {
	t.Helper()
	bufs, sizes := [][]byte{make([]byte, offset+2000)}, []int{0}
	if n, err := s.Read(bufs, sizes, offset); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	return bufs[0][:offset+sizes[0]]
}

func subnet(text string) wire.TrafficSelector {
	p := netip.MustParsePrefix(text)
	ts := wire.TrafficSelector{Type: wire.TSIPv4AddrRange, EndPort: 65535, Start: p.Addr(), End: p.Addr()}
	end := p.Addr().AsSlice()
	for i := p.Bits(); i < len(end)*8; i++ {
		end[i/8] |= 1 << (7 - i%8)
	}
	ts.End, _ = netip.AddrFromSlice(end)
	if p.Addr().Is6() {
		ts.Type = wire.TSIPv6AddrRange
	}
	return ts
}

func selectors(texts ...string) []wire.TrafficSelector {
	var all []wire.TrafficSelector
	for _, text := range texts {
		all = append(all, subnet(text))
	}
	return all
}

func TestAStackReachesEachTunnelFromAnAddressWithinItsSelectors(t *testing.T) {
	s := one(t, "172.16.0.1", "10.1.3.77")
	for _, row := range []struct{ name, local, remote, to, want string }{
		{"one address", "10.1.1.9/32", "10.2.1.0/24", "10.2.1.4", "10.1.1.9"},
		{"the first of a subnet", "10.1.2.0/24", "10.2.2.0/24", "10.2.2.4", "10.1.2.1"},
		{"its own where that is inside", "10.1.3.0/24", "10.2.3.0/24", "10.2.3.4", "10.1.3.77"},
		{"IPv6", "fd00:1::/64", "fd00:2::/64", "fd00:2::5", "fd00:1::1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			local, remote := selectors(row.local), selectors(row.remote)
			if err := s.Route(local, remote, netip.Addr{}); err != nil {
				t.Fatal(err)
			}
			for _, send := range []func(context.Context){
				func(ctx context.Context) { _, _ = s.Ping(ctx, netip.MustParseAddr(row.to), 8) },
				func(ctx context.Context) { _, _ = s.DialContext(ctx, "tcp", net.JoinHostPort(row.to, "80")) },
			} {
				ctx, cancel := context.WithCancel(t.Context())
				var work sync.WaitGroup
				work.Go(func() { send(ctx) })
				p := next(t, s)[offset:]
				from, _ := netip.AddrFromSlice(p[12:16])
				if p[0]>>4 == 6 {
					from, _ = netip.AddrFromSlice(p[8:24])
				}
				if from.String() != row.want {
					t.Errorf("a packet to %s comes from %s, want %s", row.to, from, row.want)
				}
				cancel()
				work.Wait()
			}
			if err := s.Unroute(local, remote); err != nil {
				t.Error(err)
			}
			if err := s.Unroute(local, remote); err == nil {
				t.Error("a tunnel was taken back twice")
			}
		})
	}
	if err := s.Route(selectors("0.0.0.0/0"), selectors("10.0.0.0/8"), netip.Addr{}); err != nil {
		t.Errorf("any address of a stack that has one: %v", err)
	}
	if err := one(t).Route(selectors("0.0.0.0/0"), selectors("10.0.0.0/8"), netip.Addr{}); err == nil || !strings.Contains(err.Error(), "must be said") {
		t.Errorf("any address: %v", err)
	}
}

// TestAStackThatNobodyReadsDropsAndDoesNotWait proves that the answers to a
// flood of echo requests stay within the queue.
func TestAStackThatNobodyReadsDropsAndDoesNotWait(t *testing.T) {
	a, b := one(t, "10.1.0.1"), one(t, "10.2.0.1")
	ctx, cancel := context.WithCancel(t.Context())
	var ping sync.WaitGroup
	ping.Go(func() { _, _ = a.Ping(ctx, netip.MustParseAddr("10.2.0.1"), 56) })
	request := next(t, a)
	cancel()
	ping.Wait()
	for range 5000 {
		if _, err := b.Write([][]byte{request}, offset); err != nil {
			t.Fatal(err)
		}
	}
	next(t, b)
}

// TestAStackBearsWhatIsNoPacket proves it of every cut of a packet, and of one
// with each of its octets spoilt.
func TestAStackBearsWhatIsNoPacket(t *testing.T) {
	a, b := one(t, "10.1.0.1", "fd00:1::1"), one(t, "10.2.0.1", "fd00:2::1")
	for _, to := range []string{"10.2.0.1", "fd00:2::1"} {
		ctx, cancel := context.WithCancel(t.Context())
		var dial sync.WaitGroup
		dial.Go(func() {
			if c, err := a.DialContext(ctx, "tcp", net.JoinHostPort(to, "80")); err == nil {
				_ = c.Close()
			}
		})
		packet := next(t, a)
		for i := offset; i < len(packet); i++ {
			spoilt := bytes.Clone(packet)
			spoilt[i] ^= 0xff
			if _, err := b.Write([][]byte{packet[:i], spoilt}, offset); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		dial.Wait()
	}
	if _, err := b.Write([][]byte{append(make([]byte, offset), 0x55, 1, 2)}, offset); err != nil {
		t.Error(err)
	}
}

func TestACloseEndsEverythingAndLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	a := one(t, "10.1.0.1")
	l, err := a.ListenTCP(netip.MustParseAddrPort("10.1.0.1:80"))
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		if c, err := l.Accept(); err == nil {
			_ = c.Close()
			t.Error("a connection came from nowhere")
		}
	})
	work.Go(func() {
		if _, err := a.Ping(t.Context(), netip.MustParseAddr("10.2.0.1"), 8); !errors.Is(err, os.ErrClosed) {
			t.Errorf("a ping that waits: %v", err)
		}
	})
	next(t, a)
	for range 2 {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	_ = l.Close()
	work.Wait()
	if _, err := a.Read([][]byte{make([]byte, 2000)}, []int{0}, 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	if _, err := a.Write([][]byte{{0x45}}, 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write: %v", err)
	}
	if _, err := a.DialContext(t.Context(), "tcp", "10.2.0.1:80"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("dial: %v", err)
	}
	for deadline := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}
