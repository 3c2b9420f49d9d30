package rule_test

import (
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func TestARefusedChildIsNamedAndWithoutKeysBothReasonsAre(t *testing.T) {
	either := []string{"high no-proposal-child-initial hint", "high ts-unacceptable hint"}
	refused := func(n wire.NotifyType) func(*scene) {
		return func(s *scene) {
			s.init().authRequest().wait(20*time.Millisecond).sealed(answer, wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDr, "b.example"), auth(wire.AuthSharedKey, 32), notify(n))
		}
	}
	tell(t, []story{
		{name: "proposals", tell: refused(wire.NotifyNoProposalChosen), sealed: either, open: []string{"high no-proposal-child-initial certain"}, says: "refuses the ESP proposals aes256gcm16"},
		{name: "selectors", tell: refused(wire.NotifyTSUnacceptable), sealed: either, open: []string{"high ts-unacceptable certain"}, says: "10.1.0.0/24 === 10.2.0.0/24"},
		{name: "no address", tell: refused(wire.NotifyInternalAddressFailure), sealed: either, open: []string{"high internal-address-failure certain"}},
		{name: "an address is a must", tell: refused(wire.NotifyFailedCPRequired), sealed: either, open: []string{"high cp-required-or-missing certain"}},
		{name: "one pair only", tell: refused(wire.NotifySinglePairRequired), sealed: either, open: []string{"high ts-multi-subnet-unsupported certain"}},
		{name: "together with the IKE SA", tell: func(s *scene) {
			s.init().authRequest().wait(20*time.Millisecond).sealed(answer, wire.ExchangeIKEAuth, 1, notify(wire.NotifyNoProposalChosen))
		}, sealed: []string{"high auth-failed-opaque likely"}, open: []string{"high no-proposal-child-initial certain"}, says: "and the IKE SA with it"},
		{name: "no further child", tell: func(s *scene) {
			s.tunnel().sealed(ask, wire.ExchangeCreateChildSA, 2, proposal(s.t, wire.ProtocolESP, goodESP), nonce(), ts(wire.PayloadTSi, "10.3.0.0-10.3.0.255"), ts(wire.PayloadTSr, "10.4.0.0-10.4.0.255")).
				sealed(answer, wire.ExchangeCreateChildSA, 2, notify(wire.NotifyNoAdditionalSAs))
		}, open: []string{"medium no-additional-sas certain"}},
		{name: "refused, and agreed later", tell: func(s *scene) {
			refused(wire.NotifyNoProposalChosen)(s)
			s.wait(time.Second).rekey(2)
		}, sealed: []string{"low no-proposal-child-initial hint", "low ts-unacceptable hint"}, open: []string{"low no-proposal-child-initial certain"}},
	})
}

func TestWhatTheResponderMadeOfTheRequestIsCompared(t *testing.T) {
	granted := func(s *scene, extra []wire.Payload, mode []wire.Payload, i, r string) {
		inner := append([]wire.Payload{fqdn(wire.PayloadIDi, "a.example"), auth(wire.AuthSharedKey, 32)}, extra...)
		inner = append(inner, mode...)
		inner = append(inner, proposal(s.t, wire.ProtocolESP, goodESP), ts(wire.PayloadTSi, "10.1.0.0-10.1.0.255"), ts(wire.PayloadTSr, "10.2.0.0-10.2.255.255"))
		s.init().sealed(ask, wire.ExchangeIKEAuth, 1, inner...).
			sealed(answer, wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDr, "b.example"), auth(wire.AuthSharedKey, 32), proposal(s.t, wire.ProtocolESP, goodESP), ts(wire.PayloadTSi, i), ts(wire.PayloadTSr, r))
	}
	const all, wide, narrow = "10.1.0.0-10.1.0.255", "10.2.0.0-10.2.255.255", "10.2.7.0-10.2.7.255"
	tell(t, []story{
		{name: "all of it", tell: func(s *scene) { granted(s, nil, nil, all, wide) }, sealedOnly: true},
		{name: "less of it", tell: func(s *scene) { granted(s, nil, nil, all, narrow) }, open: []string{"info ts-narrowed-surprise certain"}, says: "10.2.0.0/16 became 10.2.7.0/24"},
		{name: "less of it, for a client with a virtual IP", tell: func(s *scene) {
			granted(s, []wire.Payload{{Type: wire.PayloadCP, Body: &wire.Config{Type: wire.ConfigRequest, Attributes: []wire.ConfigAttribute{{Type: wire.ConfigInternalIP4Address}}}}}, nil, "10.1.0.7-10.1.0.7", wide)
		}, sealedOnly: true},
		{name: "transport mode becomes tunnel mode", tell: func(s *scene) { granted(s, nil, []wire.Payload{notify(wire.NotifyUseTransportMode)}, all, wide) },
			open: []string{"high transport-tunnel-mode-mismatch certain"}},
	})
}

func TestRekeysThatAreRefusedAreNamed(t *testing.T) {
	attempt := func(s *scene, id uint32, reply wire.Payload) *scene {
		return s.wait(time.Minute).sealed(ask, wire.ExchangeCreateChildSA, id, notify(wire.NotifyRekeySA), proposal(s.t, wire.ProtocolESP, goodESP), nonce(),
			ts(wire.PayloadTSi, "10.1.0.0-10.1.0.255"), ts(wire.PayloadTSr, "10.2.0.0-10.2.0.255")).
			wait(10*time.Millisecond).sealed(answer, wire.ExchangeCreateChildSA, id, reply)
	}
	no, busy := notify(wire.NotifyNoProposalChosen), notify(wire.NotifyTemporaryFailure)
	tell(t, []story{
		{name: "twice", tell: func(s *scene) { s.tunnel(); attempt(s, 2, no); attempt(s, 3, no) },
			sealed: []string{"high pfs-mismatch-at-rekey likely"}, open: []string{"high pfs-mismatch-at-rekey certain"}, says: "refuses to rekey the CHILD SA, twice"},
		{name: "once", tell: func(s *scene) { s.tunnel(); attempt(s, 2, no) },
			sealed: []string{"info pfs-mismatch-at-rekey hint"}, open: []string{"high pfs-mismatch-at-rekey certain"}},
		{name: "busy all the time", tell: func(s *scene) { s.tunnel(); attempt(s, 2, busy); attempt(s, 3, busy); attempt(s, 4, busy) },
			sealed: []string{"high pfs-mismatch-at-rekey likely"}, open: []string{"medium temporary-failure-storm certain"}, says: "TEMPORARY_FAILURE 3 times"},
		{name: "of an SA that the peer forgot", tell: func(s *scene) {
			lost := wire.Payload{Type: wire.PayloadNotify, Body: &wire.Notify{Protocol: wire.ProtocolESP, SPI: []byte{1, 2, 3, 4}, Type: wire.NotifyChildSANotFound}}
			s.tunnel()
			attempt(s, 2, lost)
			attempt(s, 3, lost)
		}, open: []string{"medium child-sa-not-found certain"}},
		{name: "of the IKE SA", tell: func(s *scene) {
			offer := proposal(s.t, wire.ProtocolIKE, goodIKE)
			offer.Body.(*wire.SA).Proposals[0].SPI = make([]byte, 8)
			s.tunnel().sealed(ask, wire.ExchangeCreateChildSA, 2, offer, nonce(), ke(wire.KEECP256)).sealed(answer, wire.ExchangeCreateChildSA, 2, no)
		}, open: []string{"high ike-rekey-ke-mismatch certain"}},
		{name: "groups in turn", tell: func(s *scene) {
			offer := func() wire.Payload { return proposal(s.t, wire.ProtocolESP, "aes256gcm16-ecp256-curve25519") }
			s.tunnel()
			for i, g := range []wire.KEMethod{wire.KECurve25519, wire.KEECP256} {
				s.sealed(ask, wire.ExchangeCreateChildSA, uint32(2+i), notify(wire.NotifyRekeySA), offer(), nonce(), ke(wire.KEECP256),
					ts(wire.PayloadTSi, "10.1.0.0-10.1.0.255"), ts(wire.PayloadTSr, "10.2.0.0-10.2.0.255")).
					sealed(answer, wire.ExchangeCreateChildSA, uint32(2+i), notify(wire.NotifyInvalidKEPayload, u16(uint16(g))...))
			}
		}, sealed: []string{"high pfs-mismatch-at-rekey likely"}, open: []string{"high invalid-ke-loop certain"}},
	})
}
