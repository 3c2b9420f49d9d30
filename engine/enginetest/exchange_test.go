package enginetest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// The names in this file are those of strongSwan's own exchange tests: suite
// and test, so that the two lists can be held against each other.

// stepper is a pair whose every packet waits to be delivered by hand.
type stepper struct {
	*Pair
	t *testing.T
}

// byHand brings a pair up and from there on holds every packet.
func byHand(t *testing.T, changes ...Change) *stepper {
	t.Helper()
	p := NewPair(t, 1, changes...)
	p.Up()
	p.Judge = func(*Packet) Fate { return Hold }
	return &stepper{p, t}
}

// next finds the oldest held packet of a host.
func (s *stepper) next(from *Host) *Packet {
	s.t.Helper()
	for _, p := range s.Held() {
		if p.From == from {
			return p
		}
	}
	s.t.Fatalf("%s has sent nothing", from.Name)
	return nil
}

// deliver delivers the oldest held packet of a host, which must have a text in
// its label.
func (s *stepper) deliver(from *Host, want string) {
	s.t.Helper()
	s.release(s.next(from), want)
}

// last takes the newest held packet of a host, to be delivered later.
func (s *stepper) last(from *Host) *Packet {
	s.t.Helper()
	held := s.Held()
	for i := len(held) - 1; i >= 0; i-- {
		if held[i].From == from {
			return held[i]
		}
	}
	s.t.Fatalf("%s has sent nothing", from.Name)
	return nil
}

func (s *stepper) release(p *Packet, want string) {
	s.t.Helper()
	if !strings.Contains(p.Label, want) {
		s.t.Fatalf("%s has sent %q, want %q", p.From.Name, p.Label, want)
	}
	s.Release(p)
}

// finish lets everything that is held, and all that follows, go through.
func (s *stepper) finish() {
	s.t.Helper()
	s.Judge = nil
	for len(s.Held()) > 0 {
		s.Release(s.Held()[0])
	}
	s.Run(2 * time.Second)
}

// only gives the one child of a host's data plane.
func (s *stepper) only(h *Host) wire.ESPSPI {
	s.t.Helper()
	if len(h.Plane.Children) != 1 {
		s.t.Fatalf("%s has %d children, want 1", h.Name, len(h.Plane.Children))
	}
	for spi := range h.Plane.Children {
		return spi
	}
	return 0
}

func (s *stepper) rekeyChild(h *Host) {
	s.t.Helper()
	h.Command(s.One(h), ike.RekeyChild{SPI: s.only(h)})
}
func (s *stepper) deleteChild(h *Host) {
	s.t.Helper()
	h.Command(s.One(h), ike.DeleteChild{SPI: s.only(h)})
}
func (s *stepper) rekeyIKE(h *Host)  { s.t.Helper(); h.Command(s.One(h), ike.RekeyIKE{}) }
func (s *stepper) deleteIKE(h *Host) { s.t.Helper(); h.Command(s.One(h), ike.DeleteIKE{}) }

// children gives how many children a host has, and whether the old one is among
// them.
func (s *stepper) children(h *Host, want int) {
	s.t.Helper()
	if n := len(h.Plane.Children); n != want {
		s.t.Errorf("%s has %d children, want %d", h.Name, n, want)
	}
}

// noted says whether a host has told of something.
func noted(h *Host, kind, text string) bool {
	return slices.ContainsFunc(h.Events, func(e event.Event) bool {
		return e.Step != nil && e.Step.Kind == kind && strings.Contains(e.Step.Text, text)
	})
}

func (s *stepper) mustNote(h *Host, kind, text string) {
	s.t.Helper()
	if !noted(h, kind, text) {
		s.t.Errorf("%s told of no %s: %s", h.Name, kind, text)
	}
}

// sides runs a test with either side as the actor.
func sides(t *testing.T, test func(t *testing.T, s *stepper, actor, other *Host), changes ...Change) {
	t.Helper()
	for _, name := range []string{"initiator", "responder"} {
		t.Run(name, func(t *testing.T) {
			s := byHand(t, changes...)
			if name == "initiator" {
				test(t, s, s.A, s.B)
			} else {
				test(t, s, s.B, s.A)
			}
		})
	}
}

// nonceRows are the four ways in which the lowest of four nonces can stand: the
// first two octets are of a's exchange (its own, the peer's), the others of b's.
var nonceRows = []struct {
	name                     string
	aOwn, aPeer, bOwn, bPeer byte
	aWins                    bool
}{
	{"lowest is a's own", 0x00, 0xff, 0x88, 0xff, false},
	{"lowest is in the answer to a", 0xff, 0x00, 0x88, 0xff, false},
	{"lowest is b's own", 0x88, 0xff, 0x00, 0xff, true},
	{"lowest is in the answer to b", 0x88, 0xff, 0xff, 0x00, true},
}

// collide runs a test for each row: nonces are set, and winner and loser of the
// collision named.
func collide(t *testing.T, test func(t *testing.T, s *stepper, winner, loser *Host), changes ...Change) {
	t.Helper()
	for _, row := range nonceRows {
		t.Run(row.name, func(t *testing.T) {
			s := byHand(t, changes...)
			// Each side first draws its own nonce, then the one of its answer.
			s.A.Source.NextNonces(row.aOwn, row.bPeer)
			s.B.Source.NextNonces(row.bOwn, row.aPeer)
			if row.aWins {
				test(t, s, s.A, s.B)
			} else {
				test(t, s, s.B, s.A)
			}
		})
	}
}
