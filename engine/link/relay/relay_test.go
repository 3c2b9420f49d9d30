package relay_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/link/relay"
)

// patience bounds every wait of these tests.
const patience = time.Minute

// hosts are two hosts and the NAT between them.
type hosts struct {
	*relay.Relay
	inside, outside *net.UDPConn
	front           netip.AddrPort
}

func between(t *testing.T, timeout time.Duration) *hosts {
	t.Helper()
	loopback := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	h := &hosts{}
	var err error
	if h.outside, err = relay.Listen(loopback); err != nil {
		t.Fatal(err)
	}
	if h.inside, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(loopback)); err != nil {
		t.Fatal(err)
	}
	if h.Relay, err = relay.New(relay.Options{Outside: loopback.Addr(), Timeout: timeout,
		Ways: []relay.Way{{Inside: at(h.inside), Outside: at(h.outside)}}}); err != nil {
		t.Fatal(err)
	}
	h.front = h.Front(0)
	t.Cleanup(func() {
		if err := errors.Join(h.Close(), h.inside.Close(), h.outside.Close()); err != nil {
			t.Error(err)
		}
	})
	return h
}

func at(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// heard gives the next datagram of a socket and where it came from; nothing
// within a wait gives "".
func heard(t *testing.T, c *net.UDPConn, wait time.Duration) (string, netip.AddrPort) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2000)
	n, from, err := c.ReadFromUDPAddrPort(buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "", netip.AddrPort{}
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n]), netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

func say(t *testing.T, c *net.UDPConn, to netip.AddrPort, text string) {
	t.Helper()
	if _, err := c.WriteToUDPAddrPort([]byte(text), to); err != nil {
		t.Fatal(err)
	}
}

// talk sends a datagram out and an answer back, and gives the mapped address.
func (h *hosts) talk(t *testing.T) netip.AddrPort {
	t.Helper()
	say(t, h.inside, h.front, "out")
	text, mapped := heard(t, h.outside, patience)
	if text != "out" || mapped == at(h.inside) {
		t.Fatalf("outside heard %q from %s", text, mapped)
	}
	say(t, h.outside, mapped, "back")
	if text, from := heard(t, h.inside, patience); text != "back" || from != h.front {
		t.Fatalf("inside heard %q from %s, want from %s", text, from, h.front)
	}
	return mapped
}

func TestTheOutsideSeesTheNATsAddressAndTheInsideItsPeers(t *testing.T) {
	h := between(t, 0)
	if runtime.GOOS == "linux" && h.front != at(h.outside) {
		t.Errorf("the inside speaks to %s, not to its peer's %s", h.front, at(h.outside))
	}
	first, second := h.talk(t), h.talk(t)
	if first != second {
		t.Errorf("one conversation was mapped to %s and then %s", first, second)
	}
	if list := h.Mappings(); len(list) != 1 || list[0].Inside != at(h.inside) || list[0].Mapped != first || list[0].Outside != at(h.outside) {
		t.Errorf("mappings %+v, want one from %s by %s to %s", list, at(h.inside), first, at(h.outside))
	}
	h.counted(t, relay.Counts{Out: 2, In: 2, Mappings: 1})
}

// counted waits for counts: a datagram is counted when it has been sent, which
// its receiver may notice first.
func (h *hosts) counted(t *testing.T, want relay.Counts) {
	t.Helper()
	for deadline := time.Now().Add(patience); h.Counts() != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("counts %+v, want %+v", h.Counts(), want)
		}
	}
}

func TestARebindingGivesAnotherPortAndForgetsTheOld(t *testing.T) {
	h := between(t, 0)
	first := h.talk(t)
	h.Rebind()
	if list := h.Mappings(); len(list) != 0 {
		t.Errorf("mappings %+v", list)
	}
	second := h.talk(t)
	if first == second {
		t.Errorf("still mapped to %s", first)
	}
	say(t, h.outside, first, "to the old port")
	say(t, h.outside, second, "to the new port")
	if text, _ := heard(t, h.inside, patience); text != "to the new port" {
		t.Errorf("inside heard %q", text)
	}
}

func TestAnIdleMappingIsForgotten(t *testing.T) {
	h := between(t, 200*time.Millisecond)
	h.talk(t)
	for deadline := time.Now().Add(patience); len(h.Mappings()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("mappings %+v", h.Mappings())
		}
	}
	h.talk(t)
	if c := h.Counts(); c.Mappings != 2 {
		t.Errorf("counts %+v", c)
	}
}

func TestStrangersDoNotGetThrough(t *testing.T) {
	h := between(t, 0)
	mapped := h.talk(t)
	stranger, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(mapped.Addr(), 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Close() }()
	say(t, stranger, mapped, "from a stranger")
	say(t, h.outside, mapped, "from the peer")
	if text, _ := heard(t, h.inside, patience); text != "from the peer" {
		t.Errorf("inside heard %q", text)
	}
}

func TestAJudgeDropsWhatItWants(t *testing.T) {
	h := between(t, 0)
	mapped := h.talk(t)
	h.SetJudge(func(p relay.Packet) bool { return p.Way == 0 && string(p.Octets) != "bad" })
	say(t, h.inside, h.front, "bad")
	say(t, h.inside, h.front, "good")
	if text, _ := heard(t, h.outside, patience); text != "good" {
		t.Errorf("outside heard %q", text)
	}
	say(t, h.outside, mapped, "bad")
	say(t, h.outside, mapped, "good")
	if text, _ := heard(t, h.inside, patience); text != "good" {
		t.Errorf("inside heard %q", text)
	}
	if c := h.Counts(); c.Dropped != 2 {
		t.Errorf("counts %+v", c)
	}
	h.SetJudge(nil)
	say(t, h.inside, h.front, "bad")
	if text, _ := heard(t, h.outside, patience); text != "bad" {
		t.Errorf("outside heard %q", text)
	}
}

func TestAClosedRelayLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	h := between(t, 0)
	h.talk(t)
	for range 2 {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
	if list := h.Mappings(); len(list) != 0 {
		t.Errorf("mappings %+v", list)
	}
}
