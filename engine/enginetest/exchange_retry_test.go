package enginetest

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// retryRows say which nonce is the lowest of those of the second tries: a's
// own, b's own, or that of a's answer to b.
var retryRows = []struct {
	name                string
	aOwn, bOwn, aAnswer byte
}{
	{"lowest is a's own", 0x00, 0xff, 0xff},
	{"lowest is b's own", 0xff, 0x00, 0xff},
	{"lowest is in the answer to b", 0xff, 0xff, 0x00},
}

// lateRetry has both sides rekey with a group that the other does not want; the
// second try of a comes after that of b is through.
func lateRetry(t *testing.T, s *stepper, rekey func(*Host), request, answer string) {
	t.Helper()
	rekey(s.A)
	rekey(s.B)
	s.deliver(s.A, request)
	s.deliver(s.B, request)
	s.deliver(s.B, "INVALID_KE_PAYLOAD")
	s.deliver(s.A, "INVALID_KE_PAYLOAD")
	late := s.next(s.A)
	s.deliver(s.B, request)
	s.release(s.last(s.A), answer)
	s.release(late, request)
	s.deliver(s.B, "[Delete]")
	s.deliver(s.B, "TEMPORARY_FAILURE")
	s.finish()
	s.Run(10 * time.Minute)
	s.Agree(1, 1)
}

func TestChildRekeyCollisionKEInvalidDelayedRetry(t *testing.T) { // child_rekey test_collision_ke_invalid_delayed_retry
	for _, row := range retryRows {
		t.Run(row.name, func(t *testing.T) {
			s := byHand(t, func(a, b *ike.Connection, _, _ *ike.Settings) {
				a.Children[0].Proposals = mustProposals(wire.ProtocolESP, "aes256gcm16-curve25519-ecp256", "aes128gcm16-ecp384")
				b.Children[0].Proposals = mustProposals(wire.ProtocolESP, "aes128gcm16-ecp384", "aes256gcm16-ecp256")
			})
			s.A.Source.NextNonces(0x10, row.aOwn, row.aAnswer)
			s.B.Source.NextNonces(0x10, row.bOwn)
			lateRetry(t, s, s.rekeyChild, "REKEY_SA", "[SA Nonce KE TSi TSr]")
			for _, h := range []*Host{s.A, s.B} {
				if n := h.Changes(event.ChildRekey); n != 1 {
					t.Errorf("%s rekeyed the child %d times, want once", h.Name, n)
				}
			}
		})
	}
}

func TestIKERekeyCollisionKEInvalidDelayedRetry(t *testing.T) { // ike_rekey test_collision_ke_invalid_delayed_retry
	for _, row := range retryRows {
		t.Run(row.name, func(t *testing.T) {
			s := byHand(t)
			s.A.conns[0].Proposals = mustProposals(wire.ProtocolIKE, "aes256gcm16-prfsha256-curve25519-ecp256", "aes128gcm16-prfsha256-ecp384")
			s.B.conns[0].Proposals = mustProposals(wire.ProtocolIKE, "aes128gcm16-prfsha256-ecp384", "aes256gcm16-prfsha256-ecp256")
			s.A.Source.NextNonces(0x10, row.aOwn, row.aAnswer)
			s.B.Source.NextNonces(0x10, row.bOwn)
			lateRetry(t, s, s.rekeyIKE, "[SA Nonce KE]", "[SA Nonce KE]")
			for _, h := range []*Host{s.A, s.B} {
				if n := h.Changes(event.IKERekey); n != 1 {
					t.Errorf("%s rekeyed the IKE SA %d times, want once", h.Name, n)
				}
			}
		})
	}
}

func TestChildRekeyCollisionResponderIncorrectDelete(t *testing.T) { // child_rekey test_collision_responder_incorrect_delete
	p, s, request := rekeyedChild(t)
	spi := func(n wire.ESPSPI) []byte { return binary.BigEndian.AppendUint32(nil, uint32(PeerESPSPI+n)) }
	remove := func(n wire.ESPSPI) wire.Payload {
		return Body(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolESP, SPISize: 4, SPIs: [][]byte{spi(n)}})
	}
	// The peer rekeys the same child with the lowest nonce, so that its
	// replacement is the one to go, and it takes that away again.
	again := append([]wire.Payload{
		Body(wire.PayloadNotify, &wire.Notify{Protocol: wire.ProtocolESP, SPI: spi(0), Type: wire.NotifyRekeySA}),
		Body(wire.PayloadNonce, &wire.Nonce{Data: nonceOf(0)})}, p.ChildPayloads(PeerESPSPI+5, true, "aes256gcm16-noesn")...)
	if h := p.Ask(s, wire.ExchangeCreateChildSA, again...); h.Error() != 0 {
		t.Fatalf("the host refuses the crossing rekey: %s", h.Error())
	}
	p.Ask(s, wire.ExchangeInformational, remove(5))
	p.Ask(s, wire.ExchangeInformational, remove(0)) // the old one, which is the host's to delete
	p.Answer(s, request, append([]wire.Payload{Body(wire.PayloadNonce, &wire.Nonce{Data: nonceOf(9)})}, p.ChildPayloads(PeerESPSPI+9, false, "aes256gcm16-noesn")...)...)
	for len(p.Inbox) > 0 {
		p.Answer(s, p.Take(s))
	}
	p.Run(time.Minute)
	p.SA()
	for _, u := range p.Host.Plane.Children {
		if u.SPIs.Out != PeerESPSPI+9 || !u.Outbound {
			t.Errorf("child %s stands, sending %v", u.SPIs.Out, u.Outbound)
		}
	}
	if len(p.Host.Plane.Children) != 1 {
		t.Errorf("%d children, want 1", len(p.Host.Plane.Children))
	}
}
