package link_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/link"
)

// trapped is a pair whose first plane waits for traffic.
func trapped(t *testing.T) (p [2]*side, trap link.Trap) {
	t.Helper()
	p = pair(t, link.PlaneOptions{})
	trap = link.Trap{Connection: "gw", Child: "net", Local: network("10.1.0.0/16"), Remote: network("10.2.0.0/16"), Peer: p[1].addr.Addr()}
	if err := p[0].SetTraps([]link.Trap{trap}); err != nil {
		t.Fatal(err)
	}
	return p, trap
}

// asked gives how often a tunnel was asked for.
func (s *side) asked(t *testing.T) int {
	t.Helper()
	s.told.mu.Lock()
	defer s.told.mu.Unlock()
	if i := slices.IndexFunc(s.told.asked, func(name string) bool { return name != "gw/net" }); i >= 0 {
		t.Errorf("asked for %s", s.told.asked[i])
	}
	return len(s.told.asked)
}

// looked sends a packet of no tunnel and no trap and waits until it is counted:
// then all that came before it were looked at.
func (s *side) looked(t *testing.T) {
	t.Helper()
	before := s.Drops().NoPolicy
	elsewhere := datagram(1, 10, false)
	elsewhere[17] = 99
	s.device.in <- elsewhere
	wait(t, "the packets to be looked at", func() bool { return s.Drops().NoPolicy > before })
}

// comes wants packets of these numbers to come out, in this order.
func (s *side) comes(t *testing.T, numbers ...uint32) {
	t.Helper()
	for _, n := range numbers {
		if got := binary.BigEndian.Uint32(s.device.next(t)[28:]); got != n {
			t.Fatalf("packet %d came, not %d", got, n)
		}
	}
}

func TestPacketsThatSpringATrapAreSentOnceTheirTunnelStands(t *testing.T) {
	p, _ := trapped(t)
	began := time.Now()
	for n := range uint32(100) {
		p[0].device.in <- datagram(n, 10, false)
	}
	p[0].device.in <- datagram(100, 3000, false) // to be taken apart
	p[0].looked(t)
	if n := p[0].asked(t); n < 1 || n > 2+int(time.Since(began).Seconds()) {
		t.Errorf("101 packets asked %d times", n)
	}
	u := orders(p, 1)
	u[0].Outbound = false // the peer is not known to be ready
	install(t, p, u)
	p[0].looked(t)
	if c := traffic(t, p[0], u[0].SPIs); c.Out.Packets != 0 {
		t.Fatalf("%d packets were sent early", c.Out.Packets)
	}
	before := p[0].asked(t)
	if err := p[0].Update(&ike.Update{Kind: ike.Switch, SPIs: u[0].SPIs}); err != nil {
		t.Fatal(err)
	}
	for n := range uint32(101) {
		p[1].comes(t, n)
	}
	for range 2 { // the rest of the fragments
		p[1].device.next(t)
	}
	p[0].device.in <- datagram(101, 10, false)
	p[1].comes(t, 101)
	if n := p[0].asked(t); n != before {
		t.Error("a tunnel that is up was asked for")
	}
	if d := p[0].Drops(); d != (link.Drops{NoPolicy: d.NoPolicy}) {
		t.Errorf("dropped: %+v", d)
	}
}

func TestWhatWaitsForATunnelIsBounded(t *testing.T) {
	unclaimed := func(t *testing.T, s *side, n int) {
		t.Helper()
		s.looked(t)
		if d := s.Drops(); d.Unclaimed != uint64(n) {
			t.Fatalf("dropped: %+v, of those that waited %d were to be", d, n)
		}
	}
	t.Run("in number: the oldest go", func(t *testing.T) {
		p, _ := trapped(t)
		for n := range uint32(link.HoldPackets + 3) {
			p[0].device.in <- datagram(n, 10, false)
		}
		unclaimed(t, p[0], 3)
		install(t, p, orders(p, 1))
		for n := range uint32(link.HoldPackets) {
			p[1].comes(t, n+3)
		}
	})
	t.Run("in octets of a trap", func(t *testing.T) {
		p, _ := trapped(t)
		for n := range uint32(10) {
			p[0].device.in <- datagram(n, 50_000, false)
		}
		unclaimed(t, p[0], 5)
	})
	t.Run("in octets of all traps", func(t *testing.T) {
		p, trap := trapped(t)
		var list []link.Trap
		for n := range 20 {
			trap.Child, trap.Remote = fmt.Sprint(n), network(fmt.Sprintf("10.2.%d.0/24", n))
			list = append(list, trap)
		}
		if err := p[0].SetTraps(list); err != nil {
			t.Fatal(err)
		}
		b := datagram(1, 50_000, false)
		for n := range 100 {
			packet := slices.Clone(b)
			packet[18] = byte(n % 20)
			p[0].device.in <- packet
		}
		unclaimed(t, p[0], 100-link.HoldTotal/len(b))
	})
	t.Run("in time", func(t *testing.T) {
		p, _ := trapped(t)
		now := time.Now().Unix()
		p[0].Second(now)
		p[0].device.in <- datagram(1, 10, false)
		p[0].looked(t)
		p[0].Second(now + link.HoldSeconds - 1)
		unclaimed(t, p[0], 0)
		p[0].Second(now + link.HoldSeconds + 60)
		unclaimed(t, p[0], 1)
	})
	t.Run("by its trap", func(t *testing.T) {
		p, trap := trapped(t)
		p[0].device.in <- datagram(1, 10, false)
		p[0].looked(t)
		if err := p[0].SetTraps([]link.Trap{trap}); err != nil {
			t.Fatal(err)
		}
		unclaimed(t, p[0], 0)
		if err := p[0].SetTraps(nil); err != nil {
			t.Fatal(err)
		}
		unclaimed(t, p[0], 1)
	})
}

func TestTheTrafficOfTrapsIsLedToTheDevice(t *testing.T) {
	d := &routed{memory: newMemory()}
	p, err := link.NewPlane(d, link.PlaneOptions{})
	if err != nil {
		t.Fatal(err)
	}
	trap := link.Trap{Connection: "gw", Child: "net", Local: network("10.1.0.0/16"), Remote: network("10.2.0.0/16")}
	if err := p.SetTraps([]link.Trap{trap, trap}); err != nil || d.routes != 2 {
		t.Errorf("%d routes, %v", d.routes, err)
	}
	d.refuse = true
	if err := p.SetTraps([]link.Trap{trap}); err == nil || d.routes != 2 {
		t.Errorf("refused: %d routes, %v", d.routes, err)
	}
	if err := p.Close(); err != nil || d.routes != 0 {
		t.Errorf("closed: %d routes, %v", d.routes, err)
	}
}
