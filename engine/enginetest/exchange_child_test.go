package enginetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

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
		s.children(loser, 3) // until the winner shows that it knows
		s.deliver(winner, "INFORMATIONAL request")
		s.deliver(loser, "INFORMATIONAL response")
		s.deliver(loser, "INFORMATIONAL request")
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
	collide(t, func(t *testing.T, s *stepper, winner, _ *Host) {
		s.rekeyChild(s.A)
		s.rekeyChild(s.B)
		s.deliver(s.A, "REKEY_SA")
		s.deliver(s.B, "REKEY_SA")
		late := s.next(s.B) // the answer to a
		s.deliver(s.A, "[SA Nonce KE TSi TSr]")
		if winner == s.B { // the loser waits
			s.release(s.last(s.B), "[Delete]")
			s.deliver(s.A, "[Delete]")
		}
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
		if winner == s.B { // the loser waits
			s.release(s.last(s.B), "[Delete]")
			s.deliver(s.A, "[Delete]")
		}
		// b also deletes the one that remains, before a has heard of it.
		for _, c := range s.One(s.B).Model().Children {
			if c.State == engine.ChildInstalled {
				s.B.Command(s.One(s.B), ike.DeleteChild{SPI: c.SPIIn.Or(0)})
			}
		}
		s.release(s.last(s.B), "[Delete]")
		s.deliver(s.A, "INFORMATIONAL response")
		s.release(late, "[SA Nonce KE TSi TSr]")
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
