package enginetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

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
		for _, h := range []*Host{actor, other} {
			if h.Changes(event.IKERekey) != 1 || h.Changes(event.IKEDown) != 0 || h.Changes(event.IKEUp) != 1 {
				t.Errorf("%s: rekey %d, down %d, up %d; want 1, 0, 1", h.Name, h.Changes(event.IKERekey), h.Changes(event.IKEDown), h.Changes(event.IKEUp))
			}
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
	collide(t, func(t *testing.T, s *stepper, winner, _ *Host) {
		s.rekeyIKE(s.A)
		s.rekeyIKE(s.B)
		s.deliver(s.A, "[SA Nonce KE]")
		s.deliver(s.B, "[SA Nonce KE]")
		late := s.next(s.B)
		s.deliver(s.A, "[SA Nonce KE]")
		if winner == s.B { // the loser waits
			s.release(s.last(s.B), "[Delete]")
			s.release(s.last(s.A), "INFORMATIONAL response")
		}
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
