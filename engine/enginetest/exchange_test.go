package enginetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
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

func TestChildCreateDuplicate(t *testing.T) { // child_create test_duplicate
	s := byHand(t)
	s.A.Command(s.One(s.A), ike.AddChild{Name: "net"})
	if len(s.Held()) > 0 {
		t.Errorf("a message was sent for a child that stands: %s", s.Held()[0].Label)
	}
	s.Agree(1, 1)
}

func secondChild(a, b *ike.Connection, _, _ *ike.Settings) {
	for i, c := range []*ike.Connection{a, b} {
		more := *c.Children[0]
		more.Name, more.Wait = "more", true
		more.LocalTS, more.RemoteTS = Selectors("10.3.0.0/16"), Selectors("10.4.0.0/16")
		if i == 1 {
			more.LocalTS, more.RemoteTS = more.RemoteTS, more.LocalTS
		}
		c.Children = append(c.Children, &more)
	}
}

func TestChildCreateCollisionIKERekey(t *testing.T) { // child_create test_collision_ike_rekey
	s := byHand(t, secondChild)
	s.A.Command(s.One(s.A), ike.AddChild{Name: "more"})
	s.rekeyIKE(s.B)
	s.deliver(s.A, "SA Nonce KE TSi")
	s.deliver(s.B, "SA Nonce KE")
	s.deliver(s.B, "TEMPORARY_FAILURE")
	s.deliver(s.A, "TEMPORARY_FAILURE")
	for _, h := range []*Host{s.A, s.B} {
		s.mustNote(h, "retry", "is tried again")
	}
	s.finish()
	s.Run(time.Minute) // both retry, and succeed
	s.Agree(1, 2)
	if s.A.Changes(event.IKERekey) != 1 || s.B.Changes(event.IKERekey) != 1 {
		t.Errorf("the IKE SA was not replaced")
	}
}

func TestChildDeleteRegular(t *testing.T) { // child_delete test_regular
	sides(t, func(t *testing.T, s *stepper, actor, other *Host) {
		s.deleteChild(actor)
		s.deliver(actor, "[Delete]")
		s.children(other, 0)
		s.deliver(other, "[Delete]")
		s.finish()
		s.Agree(1, 0)
	})
}

func TestChildDeleteCollision(t *testing.T) { // child_delete test_collision
	s := byHand(t)
	s.deleteChild(s.A)
	s.deleteChild(s.B)
	s.deliver(s.A, "request 2 [Delete]")
	s.deliver(s.B, "request 0 [Delete]")
	s.deliver(s.B, "response 2 []") // the answers name nothing
	s.deliver(s.A, "response 0 []")
	s.finish()
	s.Agree(1, 0)
}

func TestChildDeleteCollisionDrop(t *testing.T) { // child_delete test_collision_drop
	s := byHand(t)
	s.deleteChild(s.A)
	s.deleteChild(s.B)
	s.Discard(s.next(s.A))
	s.deliver(s.B, "[Delete]")
	s.deliver(s.A, "[]")
	s.children(s.B, 0)
	s.Run(5 * time.Second) // a repeats
	s.deliver(s.A, "request 2")
	s.deliver(s.B, "response 2 []")
	s.finish()
	s.Agree(1, 0)
}

func TestChildDeleteCollisionIKERekey(t *testing.T) { // child_delete test_collision_ike_rekey
	sides(t, func(t *testing.T, s *stepper, deleter, rekeyer *Host) {
		s.deleteChild(deleter)
		s.rekeyIKE(rekeyer)
		s.deliver(deleter, "[Delete]")
		s.deliver(rekeyer, "[SA Nonce KE]")
		s.deliver(rekeyer, "[Delete]")
		s.deliver(deleter, "TEMPORARY_FAILURE")
		s.finish()
		s.Agree(1, 0)
		s.Run(time.Minute)
		s.Agree(1, 0)
	})
}

func TestChildDeleteCollisionIKEDelete(t *testing.T) { // child_delete test_collision_ike_delete
	sides(t, func(t *testing.T, s *stepper, childDeleter, ikeDeleter *Host) {
		s.deleteChild(childDeleter)
		s.deleteIKE(ikeDeleter)
		s.deliver(childDeleter, "[Delete]")
		s.deliver(ikeDeleter, "request")
		s.deliver(ikeDeleter, "response")
		s.deliver(childDeleter, "response")
		s.finish()
		s.Agree(0, 0)
	})
}

func TestChildRekeyRegular(t *testing.T) { // child_rekey test_regular
	sides(t, func(t *testing.T, s *stepper, actor, other *Host) {
		old := s.only(actor)
		s.rekeyChild(actor)
		s.deliver(actor, "[N(REKEY_SA) SA Nonce KE TSi TSr]")
		s.children(other, 2)
		s.deliver(other, "[SA Nonce KE TSi TSr]")
		s.children(actor, 2)
		s.deliver(actor, "[Delete]")
		s.children(other, 1)
		s.deliver(other, "[Delete]")
		s.finish()
		s.Agree(1, 1)
		if s.only(actor) == old {
			t.Error("the old child still stands")
		}
		for _, h := range []*Host{actor, other} {
			if h.Changes(event.ChildRekey) != 1 || h.Changes(event.ChildDown) != 0 || h.Changes(event.ChildUp) != 1 {
				t.Errorf("%s: rekey %d, down %d, up %d; want 1, 0, 1", h.Name, h.Changes(event.ChildRekey), h.Changes(event.ChildDown), h.Changes(event.ChildUp))
			}
		}
	})
}

// otherChildGroup gives b's child another group than a would use, and lets both
// accept both.
func otherChildGroup(a, b *ike.Connection, _, _ *ike.Settings) {
	a.Children[0].Proposals = mustProposals(wire.ProtocolESP, "aes256gcm16-curve25519-ecp256")
	b.Children[0].Proposals = mustProposals(wire.ProtocolESP, "aes256gcm16-ecp256")
}

func mustProposals(p wire.ProtocolID, texts ...string) [][]wire.Transform {
	ps, err := ike.ParseProposals(p, texts...)
	if err != nil {
		panic(err)
	}
	return ps
}

func TestChildRekeyRegularKEInvalid(t *testing.T) { // child_rekey test_regular_ke_invalid
	for _, side := range []string{"initiator", "responder"} {
		t.Run(side, func(t *testing.T) {
			s := byHand(t, func(a, b *ike.Connection, sa, sb *ike.Settings) {
				if side == "initiator" {
					otherChildGroup(a, b, sa, sb)
				} else {
					otherChildGroup(b, a, sb, sa)
				}
			})
			actor, other := s.A, s.B
			if side == "responder" {
				actor, other = other, actor
			}
			s.rekeyChild(actor)
			s.deliver(actor, "REKEY_SA")
			s.deliver(other, "INVALID_KE_PAYLOAD")
			s.children(other, 1)
			s.deliver(actor, "REKEY_SA")
			s.deliver(other, "[SA Nonce KE TSi TSr]")
			s.finish()
			s.Agree(1, 1)
		})
	}
}

func TestChildRekeyRegularResponderIgnoreSoftExpire(t *testing.T) { // child_rekey test_regular_responder_ignore_soft_expire
	s := byHand(t)
	old := s.only(s.B)
	s.rekeyChild(s.A)
	s.deliver(s.A, "REKEY_SA")
	s.B.Command(s.One(s.B), ike.Expired{SPI: old})
	if n := len(s.Held()); n != 1 {
		t.Errorf("%d messages are held, want the answer only", n)
	}
	s.finish()
	s.Agree(1, 1)
}

func TestChildRekeyRegularResponderHandleHardExpire(t *testing.T) { // child_rekey test_regular_responder_handle_hard_expire
	s := byHand(t)
	old := s.only(s.B)
	s.rekeyChild(s.A)
	s.deliver(s.A, "REKEY_SA")
	s.B.Command(s.One(s.B), ike.Expired{SPI: old, Hard: true})
	s.deliver(s.B, "[SA Nonce KE TSi TSr]")
	s.deliver(s.B, "[Delete]")
	s.deliver(s.A, "[Delete]")
	s.finish()
	s.Agree(1, 1)
}

func TestChildRekeyRegularResponderDelete(t *testing.T) { // child_rekey test_regular_responder_delete
	s := byHand(t)
	old := s.only(s.B)
	s.rekeyChild(s.A)
	s.deliver(s.A, "REKEY_SA")
	for spi := range s.B.Plane.Children {
		if spi != old {
			s.B.Command(s.One(s.B), ike.DeleteChild{SPI: spi})
		}
	}
	s.deliver(s.B, "[SA Nonce KE TSi TSr]")
	s.deliver(s.B, "[Delete]")
	s.finish()
	s.Agree(1, 0)
}

func TestChildRekeyRegularDeleteTimeout(t *testing.T) { // child_rekey test_regular_delete_timeout
	s := byHand(t)
	s.rekeyChild(s.A)
	s.deliver(s.A, "REKEY_SA")
	s.deliver(s.B, "[SA Nonce KE TSi TSr]")
	s.Judge = func(*Packet) Fate { return Drop }
	s.Run(5 * time.Minute)
	if n := len(s.A.Established()); n != 0 {
		t.Errorf("a has %d IKE SAs after the deletion timed out", n)
	}
	if n := s.A.Changes(event.ChildDown); n != 1 {
		t.Errorf("child-down %d times, want once: for the new one", n)
	}
}

func TestChildRekeyCollision(t *testing.T) { // child_rekey test_collision
	collide(t, func(t *testing.T, s *stepper, winner, loser *Host) {
		old := s.only(s.A)
		s.rekeyChild(s.A)
		s.rekeyChild(s.B)
		s.deliver(s.A, "REKEY_SA")
		s.deliver(s.B, "REKEY_SA")
		s.children(s.A, 2)
		s.children(s.B, 2)
		s.deliver(s.B, "[SA Nonce KE TSi TSr]")
		s.deliver(s.A, "[SA Nonce KE TSi TSr]")
		s.mustNote(winner, "collision", "the peer's has the lowest nonce")
		s.mustNote(loser, "collision", "ours has the lowest nonce")
		s.deliver(s.A, "[Delete]")
		s.deliver(s.B, "[Delete]")
		s.finish()
		s.Agree(1, 1)
		if s.only(s.A) == old {
			t.Error("the old child still stands")
		}
		for _, h := range []*Host{s.A, s.B} {
			if n := h.Changes(event.ChildDown); n != 0 {
				t.Errorf("%s: child-down %d times, want never", h.Name, n)
			}
		}
	})
}

func TestChildRekeyCollisionDelayedResponse(t *testing.T) { // child_rekey test_collision_delayed_response
	collide(t, func(t *testing.T, s *stepper, _, _ *Host) {
		s.rekeyChild(s.A)
		s.rekeyChild(s.B)
		s.deliver(s.A, "REKEY_SA")
		s.deliver(s.B, "REKEY_SA")
		late := s.next(s.B) // the answer to a
		s.deliver(s.A, "[SA Nonce KE TSi TSr]")
		s.release(s.last(s.B), "[Delete]")
		s.deliver(s.A, "[Delete]")
		s.release(late, "[SA Nonce KE TSi TSr]")
		s.finish()
		s.Agree(1, 1)
	})
}

func TestChildRekeyCollisionDelayedResponseDelete(t *testing.T) { // child_rekey test_collision_delayed_response_delete
	collide(t, func(t *testing.T, s *stepper, winner, _ *Host) {
		s.rekeyChild(s.A)
		s.rekeyChild(s.B)
		s.deliver(s.A, "REKEY_SA")
		s.deliver(s.B, "REKEY_SA")
		late := s.next(s.B)
		s.deliver(s.A, "[SA Nonce KE TSi TSr]")
		s.release(s.last(s.B), "[Delete]")
		s.deliver(s.A, "[Delete]")
		// b also deletes the one that remains, before a has heard of it.
		for spi, u := range s.B.Plane.Children {
			if u.Outbound {
				s.B.Command(s.One(s.B), ike.DeleteChild{SPI: spi})
			}
		}
		s.release(s.last(s.B), "[Delete]")
		s.deliver(s.A, "INFORMATIONAL response")
		s.release(late, "[SA Nonce KE TSi TSr]")
		_ = winner
		s.finish()
		s.Run(10 * time.Minute)
		for _, f := range Disagreements(s.A, s.B) {
			t.Error(f)
		}
	})
}

func TestChildRekeyCollisionDelayedRequest(t *testing.T) { // child_rekey test_collision_delayed_request
	for _, row := range nonceRows {
		for _, early := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, refusal before the deletion %v", row.name, early), func(t *testing.T) {
				s := byHand(t)
				s.A.Source.NextNonces(row.aOwn, row.bPeer)
				s.B.Source.NextNonces(row.bOwn, row.aPeer)
				s.rekeyChild(s.A)
				late := s.next(s.A)
				s.rekeyChild(s.B)
				s.deliver(s.B, "REKEY_SA")
				s.release(s.last(s.A), "[SA Nonce KE TSi TSr]")
				deletion := s.next(s.B)
				s.release(late, "REKEY_SA")
				refusal := s.last(s.B)
				if early {
					s.release(refusal, "TEMPORARY_FAILURE")
					s.release(deletion, "[Delete]")
				} else {
					s.release(deletion, "[Delete]")
					s.deliver(s.A, "[Delete]")
					s.release(refusal, "TEMPORARY_FAILURE")
				}
				s.mustNote(s.A, "collision", "our own request is void")
				s.finish()
				s.Run(time.Minute)
				s.Agree(1, 1)
				if n := s.A.Changes(event.ChildRekey); n != 1 {
					t.Errorf("%d rekeyings, want 1", n)
				}
			})
		}
	}
}

func TestChildRekeyCollisionDelayedRequestMore(t *testing.T) { // child_rekey test_collision_delayed_request_more
	for _, also := range []bool{false, true} { // true: test_collision_delayed_request_more_delete
		t.Run(fmt.Sprintf("the new one is deleted too %v", also), func(t *testing.T) {
			s := byHand(t)
			s.rekeyChild(s.A)
			late := s.next(s.A)
			s.rekeyChild(s.B)
			s.deliver(s.B, "REKEY_SA")
			s.release(s.last(s.A), "[SA Nonce KE TSi TSr]")
			s.deliver(s.B, "[Delete]")
			s.release(s.last(s.A), "[Delete]")
			want := 1
			if also {
				want = 0
				s.deleteChild(s.B)
				s.deliver(s.B, "[Delete]")
				s.release(s.last(s.A), "[Delete]")
			}
			s.release(late, "REKEY_SA")
			s.deliver(s.B, "CHILD_SA_NOT_FOUND")
			s.mustNote(s.A, "collision", "our own request is void")
			s.finish()
			s.Agree(1, want)
		})
	}
}

func TestChildRekeyCollisionKEInvalid(t *testing.T) { // child_rekey test_collision_ke_invalid
	for _, row := range nonceRows {
		t.Run(row.name, func(t *testing.T) {
			s := byHand(t, func(a, b *ike.Connection, _, _ *ike.Settings) {
				// Each side begins with a group that the other does not want.
				a.Children[0].Proposals = mustProposals(wire.ProtocolESP, "aes256gcm16-curve25519-ecp256", "aes128gcm16-ecp384")
				b.Children[0].Proposals = mustProposals(wire.ProtocolESP, "aes128gcm16-ecp384", "aes256gcm16-ecp256")
			})
			s.A.Source.NextNonces(0x10, row.aOwn, row.bPeer)
			s.B.Source.NextNonces(0x10, row.bOwn, row.aPeer)
			s.rekeyChild(s.A)
			s.rekeyChild(s.B)
			s.deliver(s.A, "REKEY_SA")
			s.deliver(s.B, "REKEY_SA")
			s.finish()
			s.Run(time.Minute)
			s.Agree(1, 1)
		})
	}
}

func TestChildRekeyCollisionDelete(t *testing.T) { // child_rekey test_collision_delete
	sides(t, func(t *testing.T, s *stepper, rekeyer, deleter *Host) {
		s.rekeyChild(rekeyer)
		s.deleteChild(deleter)
		s.deliver(rekeyer, "REKEY_SA")
		s.deliver(deleter, "[Delete]")
		s.deliver(deleter, "TEMPORARY_FAILURE")
		s.deliver(rekeyer, "[Delete]")
		s.finish()
		s.Run(time.Minute)
		s.Agree(1, 0)
	})
}

func TestChildRekeyCollisionDeleteDropDelete(t *testing.T) { // child_rekey test_collision_delete_drop_delete
	sides(t, func(t *testing.T, s *stepper, rekeyer, deleter *Host) {
		s.rekeyChild(rekeyer)
		s.deleteChild(deleter)
		late := s.next(deleter)
		s.deliver(rekeyer, "REKEY_SA")
		s.release(s.last(deleter), "TEMPORARY_FAILURE")
		s.mustNote(rekeyer, "retry", "is tried again")
		s.release(late, "[Delete]")
		s.finish()
		s.Run(time.Minute)
		s.Agree(1, 0)
	})
}

func TestChildRekeyCollisionDeleteDropRekey(t *testing.T) { // child_rekey test_collision_delete_drop_rekey
	sides(t, func(t *testing.T, s *stepper, rekeyer, deleter *Host) {
		s.rekeyChild(rekeyer)
		late := s.next(rekeyer)
		s.deleteChild(deleter)
		s.deliver(deleter, "[Delete]")
		s.release(s.last(rekeyer), "[Delete]")
		s.release(late, "REKEY_SA")
		s.deliver(deleter, "CHILD_SA_NOT_FOUND")
		s.finish()
		s.Agree(1, 0)
	})
}

func TestChildRekeyCollisionDeleteDelayedResponse(t *testing.T) { // child_rekey test_collision_delete_delayed_response
	sides(t, func(t *testing.T, s *stepper, rekeyer, other *Host) {
		old := s.only(other)
		s.rekeyChild(rekeyer)
		s.deliver(rekeyer, "REKEY_SA")
		late := s.next(other)
		for spi := range other.Plane.Children {
			if spi != old {
				other.Command(s.One(other), ike.DeleteChild{SPI: spi})
			}
		}
		s.release(s.last(other), "[Delete]")
		s.deliver(rekeyer, "response")
		s.release(late, "[SA Nonce KE TSi TSr]")
		s.mustNote(rekeyer, "collision", "before its answer came")
		s.finish()
		s.Agree(1, 0)
	})
}

func TestChildRekeyCollisionIKERekey(t *testing.T) { // child_rekey test_collision_ike_rekey
	sides(t, func(t *testing.T, s *stepper, child, other *Host) {
		s.rekeyChild(child)
		s.rekeyIKE(other)
		s.deliver(child, "REKEY_SA")
		s.deliver(other, "[SA Nonce KE]")
		s.deliver(other, "TEMPORARY_FAILURE")
		s.deliver(child, "TEMPORARY_FAILURE")
		s.finish()
		s.Run(time.Minute)
		s.Agree(1, 1)
		if child.Changes(event.ChildRekey) != 1 || child.Changes(event.IKERekey) != 1 {
			t.Error("the retries did not replace both")
		}
	})
}

func TestChildRekeyCollisionIKEDelete(t *testing.T) { // child_rekey test_collision_ike_delete
	sides(t, func(t *testing.T, s *stepper, rekeyer, deleter *Host) {
		s.rekeyChild(rekeyer)
		s.deleteIKE(deleter)
		s.deliver(rekeyer, "REKEY_SA")
		s.deliver(deleter, "[Delete]")
		s.deliver(deleter, "TEMPORARY_FAILURE")
		s.deliver(rekeyer, "INFORMATIONAL response")
		s.finish()
		s.Agree(0, 0)
	})
}

func TestIKEDeleteRegular(t *testing.T) { // ike_delete test_regular
	sides(t, func(t *testing.T, s *stepper, actor, other *Host) {
		s.deleteIKE(actor)
		s.deliver(actor, "[Delete]")
		s.deliver(other, "response")
		s.finish()
		s.Agree(0, 0)
		if actor.Changes(event.IKEDown) != 1 || other.Changes(event.IKEDown) != 1 {
			t.Error("ike-down was not told once on each side")
		}
	})
}

func TestIKEDeleteCollision(t *testing.T) { // ike_delete test_collision
	s := byHand(t)
	s.deleteIKE(s.A)
	s.deleteIKE(s.B)
	s.deliver(s.A, "[Delete]")
	s.deliver(s.B, "[Delete]")
	s.finish()
	s.Agree(0, 0)
	s.Run(time.Minute)
	if n := len(s.A.Endpoint.SAs()) + len(s.B.Endpoint.SAs()); n != 0 {
		t.Errorf("%d SAs are kept", n)
	}
}

func TestIKERekeyRegular(t *testing.T) { // ike_rekey test_regular
	sides(t, func(t *testing.T, s *stepper, actor, other *Host) {
		s.rekeyIKE(actor)
		s.deliver(actor, "[SA Nonce KE]")
		s.deliver(other, "[SA Nonce KE]")
		s.deliver(actor, "[Delete]")
		s.deliver(other, "response")
		s.finish()
		s.Agree(1, 1)
		if sa := s.One(actor); !sa.Initiator() {
			t.Error("who replaces the IKE SA is not its initiator")
		}
		if n := actor.Changes(event.IKEDown) + other.Changes(event.IKEDown); n != 0 && actor.Changes(event.IKERekey) != 1 {
			t.Errorf("ike-down %d times", n)
		}
	})
}

func TestIKERekeyRegularKEInvalid(t *testing.T) { // ike_rekey test_regular_ke_invalid
	for _, side := range []string{"initiator", "responder"} {
		t.Run(side, func(t *testing.T) {
			s := byHand(t)
			actor, other := s.A, s.B
			if side == "responder" {
				actor, other = other, actor
			}
			// The policy has changed since the IKE SA was made.
			actor.conns[0].Proposals = mustProposals(wire.ProtocolIKE, "aes256gcm16-prfsha256-curve25519-ecp256")
			other.conns[0].Proposals = mustProposals(wire.ProtocolIKE, "aes256gcm16-prfsha256-ecp256")
			s.rekeyIKE(actor)
			s.deliver(actor, "[SA Nonce KE]")
			s.deliver(other, "INVALID_KE_PAYLOAD")
			s.deliver(actor, "[SA Nonce KE]")
			s.deliver(other, "[SA Nonce KE]")
			s.finish()
			s.Agree(1, 1)
		})
	}
}

func TestIKERekeyCollision(t *testing.T) { // ike_rekey test_collision
	collide(t, func(t *testing.T, s *stepper, winner, loser *Host) {
		s.rekeyIKE(s.A)
		s.rekeyIKE(s.B)
		s.deliver(s.A, "[SA Nonce KE]")
		s.deliver(s.B, "[SA Nonce KE]")
		s.deliver(s.B, "[SA Nonce KE]")
		s.deliver(s.A, "[SA Nonce KE]")
		s.mustNote(winner, "collision", "the peer's has the lowest nonce")
		s.mustNote(loser, "collision", "ours has the lowest nonce")
		s.finish()
		s.Agree(1, 1)
		if !s.One(winner).Initiator() {
			t.Error("the SA of the loser stands")
		}
		s.Run(10 * time.Minute)
		for _, h := range []*Host{s.A, s.B} {
			if n := len(h.Endpoint.SAs()); n != 1 {
				t.Errorf("%s keeps %d SAs, want 1", h.Name, n)
			}
		}
	})
}

func TestIKERekeyCollisionKEInvalid(t *testing.T) { // ike_rekey test_collision_ke_invalid
	for _, row := range nonceRows {
		t.Run(row.name, func(t *testing.T) {
			s := byHand(t)
			s.A.conns[0].Proposals = mustProposals(wire.ProtocolIKE, "aes256gcm16-prfsha256-curve25519-ecp256", "aes128gcm16-prfsha256-ecp384")
			s.B.conns[0].Proposals = mustProposals(wire.ProtocolIKE, "aes128gcm16-prfsha256-ecp384", "aes256gcm16-prfsha256-ecp256")
			s.A.Source.NextNonces(0x10, row.aOwn, row.bPeer)
			s.B.Source.NextNonces(0x10, row.bOwn, row.aPeer)
			s.rekeyIKE(s.A)
			s.rekeyIKE(s.B)
			s.finish()
			s.Run(10 * time.Minute)
			s.Agree(1, 1)
		})
	}
}

func TestIKERekeyCollisionDelayedResponse(t *testing.T) { // ike_rekey test_collision_delayed_response
	collide(t, func(t *testing.T, s *stepper, _, _ *Host) {
		s.rekeyIKE(s.A)
		s.rekeyIKE(s.B)
		s.deliver(s.A, "[SA Nonce KE]")
		s.deliver(s.B, "[SA Nonce KE]")
		late := s.next(s.B)
		s.deliver(s.A, "[SA Nonce KE]")
		s.release(s.last(s.B), "[Delete]")
		s.release(s.last(s.A), "INFORMATIONAL response")
		s.release(late, "[SA Nonce KE]")
		s.finish()
		s.Run(10 * time.Minute)
		s.Agree(1, 1)
		for _, h := range []*Host{s.A, s.B} {
			if n := len(h.Endpoint.SAs()); n != 1 {
				t.Errorf("%s keeps %d SAs, want 1", h.Name, n)
			}
		}
	})
}

func TestIKERekeyCollisionDroppedRequest(t *testing.T) { // ike_rekey test_collision_dropped_request
	for _, row := range nonceRows {
		t.Run(row.name, func(t *testing.T) {
			s := byHand(t)
			s.A.Source.NextNonces(row.aOwn, row.bPeer)
			s.B.Source.NextNonces(row.bOwn, row.aPeer)
			s.rekeyIKE(s.A)
			lost := s.next(s.A)
			s.rekeyIKE(s.B)
			s.deliver(s.B, "[SA Nonce KE]")
			s.release(s.last(s.A), "[SA Nonce KE]")
			s.deliver(s.B, "[Delete]")
			s.mustNote(s.A, "collision", "has finished it")
			s.release(s.last(s.A), "INFORMATIONAL response")
			s.release(lost, "[SA Nonce KE]") // the SA is gone
			s.finish()
			s.Agree(1, 1)
		})
	}
}

func TestIKERekeyCollisionDelayedRequest(t *testing.T) { // ike_rekey test_collision_delayed_request, test_collision_delayed_request_and_delete
	for _, early := range []bool{false, true} {
		t.Run(fmt.Sprintf("refusal before the deletion %v", early), func(t *testing.T) {
			s := byHand(t)
			s.rekeyIKE(s.A)
			late := s.next(s.A)
			s.rekeyIKE(s.B)
			s.deliver(s.B, "[SA Nonce KE]")
			s.release(s.last(s.A), "[SA Nonce KE]")
			deletion := s.next(s.B)
			s.release(late, "[SA Nonce KE]")
			refusal := s.last(s.B)
			if early {
				s.release(refusal, "TEMPORARY_FAILURE")
				s.release(deletion, "[Delete]")
			} else {
				s.release(deletion, "[Delete]")
				s.release(refusal, "TEMPORARY_FAILURE")
			}
			s.finish()
			s.Run(time.Minute)
			s.Agree(1, 1)
			if n := s.A.Changes(event.IKERekey); n != 1 {
				t.Errorf("%d rekeyings, want 1", n)
			}
		})
	}
}

func TestIKERekeyCollisionDelete(t *testing.T) { // ike_rekey test_collision_delete, test_collision_delete_drop_delete
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late deletion %v", late), func(t *testing.T) {
			sides(t, func(t *testing.T, s *stepper, rekeyer, deleter *Host) {
				s.rekeyIKE(rekeyer)
				s.deleteIKE(deleter)
				deletion := s.next(deleter)
				s.deliver(rekeyer, "[SA Nonce KE]")
				if late {
					s.release(s.last(deleter), "TEMPORARY_FAILURE")
					s.mustNote(rekeyer, "retry", "is tried again")
				}
				s.release(deletion, "[Delete]")
				s.finish()
				s.Run(time.Minute)
				s.Agree(0, 0)
			})
		})
	}
}

func TestChildlessRegular(t *testing.T) { // childless test_regular, test_regular_manual
	for _, manual := range []bool{false, true} {
		t.Run(fmt.Sprintf("manual %v", manual), func(t *testing.T) {
			p := NewPair(t, 1, func(a, _ *ike.Connection, _, _ *ike.Settings) {
				a.Childless = true
				a.Children[0].Wait = manual
			})
			sa, err := p.A.Initiate("gw")
			if err != nil {
				t.Fatal(err)
			}
			p.Run(time.Second)
			if sa.State() != engine.IKEEstablished {
				t.Fatalf("state %s", sa.State())
			}
			if manual {
				p.Agree(1, 0)
				p.A.Command(sa, ike.AddChild{Name: "net"})
				p.Run(time.Second)
			}
			p.Agree(1, 1)
			if !strings.Contains(p.Ladder.String(), "CREATE_CHILD_SA request 2 [SA Nonce KE TSi TSr]") {
				t.Error("the child came with IKE_AUTH")
			}
		})
	}
}
