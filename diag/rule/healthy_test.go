package rule_test

import (
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// TestWhatIsHealthyYieldsNothingAboveInfo tells stories in which nothing is
// wrong, however odd they look.
func TestWhatIsHealthyYieldsNothingAboveInfo(t *testing.T) {
	tell(t, []story{
		{name: "a tunnel with traffic", tell: func(s *scene) { s.tunnel().ping(20) }, sealedOnly: true},
		{name: "a tunnel without traffic", tell: func(s *scene) { s.tunnel() }, sealedOnly: true, afterwards: time.Hour},
		{name: "an IKE SA without a child, on purpose", tell: func(s *scene) {
			s.init().sealed(ask, wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDi, "a.example"), auth(wire.AuthSharedKey, 32)).wait(20*time.Millisecond).
				sealed(answer, wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDr, "b.example"), auth(wire.AuthSharedKey, 32))
		}, sealedOnly: true, afterwards: time.Minute},
		{name: "rekeys, probes and an orderly end", tell: func(s *scene) {
			s.tunnel().ping(3).rekey(2).wait(time.Minute).probe(4).rekey(5).wait(time.Minute).rekey(7)
			s.sealed(ask, wire.ExchangeInformational, 9, deletes(wire.ProtocolIKE)).wait(10*time.Millisecond).sealed(answer, wire.ExchangeInformational, 9)
		}, sealedOnly: true, afterwards: time.Hour},
		{name: "the last Delete is not answered any more", tell: func(s *scene) {
			s.tunnel().ping(3).sealed(ask, wire.ExchangeInformational, 2, deletes(wire.ProtocolIKE)).again(backoff()...)
		}, sealedOnly: true, afterwards: time.Minute},
		{name: "one COOKIE", tell: func(s *scene) {
			s.clear(ask, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce()).
				clear(answer, wire.ExchangeIKESAInit, 0, notify(wire.NotifyCookie, 1, 2, 3))
			s.clear(ask, wire.ExchangeIKESAInit, 0, notify(wire.NotifyCookie, 1, 2, 3), proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce()).
				clear(answer, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce())
			s.authRequest().authResponse()
		}, sealedOnly: true},
		{name: "one INVALID_KE_PAYLOAD", tell: func(s *scene) {
			both := proposal(s.t, wire.ProtocolIKE, "aes256gcm16-prfsha256-ecp256-curve25519")
			s.clear(ask, wire.ExchangeIKESAInit, 0, both, ke(wire.KEECP256), nonce()).
				clear(answer, wire.ExchangeIKESAInit, 0, notify(wire.NotifyInvalidKEPayload, u16(wire.KECurve25519)...))
			s.clear(ask, wire.ExchangeIKESAInit, 0, both, ke(wire.KECurve25519), nonce()).
				clear(answer, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, "aes256gcm16-prfsha256-curve25519"), ke(wire.KECurve25519), nonce())
			s.authRequest().authResponse()
		}, sealedOnly: true},
		{name: "lost requests, answered at the third attempt", tell: func(s *scene) {
			s.clear(ask, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce()).again(4*time.Second, 7*time.Second).
				clear(answer, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce())
			s.authRequest().again(4 * time.Second).authResponse()
			s.wait(time.Minute).sealed(ask, wire.ExchangeInformational, 2).again(4*time.Second, 7*time.Second).sealed(answer, wire.ExchangeInformational, 2)
		}, sealedOnly: true},
		{name: "the capture ends right after IKE_SA_INIT was sent", tell: func(s *scene) {
			s.clear(ask, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce())
		}, sealedOnly: true},
		{name: "the capture ends right after a retransmission", tell: func(s *scene) { s.init().authRequest().again(4 * time.Second) }, sealedOnly: true},
		{name: "the capture ends right after a probe", tell: func(s *scene) { s.tunnel().ping(3).sealed(ask, wire.ExchangeInformational, 2) }, sealedOnly: true},
		{name: "the capture begins in the middle", tell: func(s *scene) { s.ping(3).probe(17).ping(3).rekey(18) }, sealedOnly: true},
		{name: "the capture shows one direction only", tell: func(s *scene) {
			s.clear(ask, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce()).wait(20 * time.Millisecond)
			s.authRequest().wait(time.Minute)
			s.sealed(ask, wire.ExchangeInformational, 2).wait(time.Minute).sealed(ask, wire.ExchangeInformational, 3)
			s.esp(s.a, s.b, 0xc0000002, 1, 50, time.Second)
		}, sealedOnly: true},
		{name: "a few lost packets", tell: func(s *scene) {
			s.tunnel().esp(s.a, s.b, 0xc0000002, 1, 100, time.Millisecond).esp(s.a, s.b, 0xc0000002, 104, 300, time.Millisecond).esp(s.b, s.a, 0xc0000001, 1, 300, time.Millisecond)
		}, sealedOnly: true},
		{name: "packets out of order", tell: func(s *scene) {
			s.tunnel()
			for seq := uint32(1); seq < 400; seq += 4 {
				for _, n := range []uint32{3, 1, 0, 2} {
					s.espPacket(s.a, s.b, 0xc0000002, seq+n, 120)
					s.espPacket(s.b, s.a, 0xc0000001, seq+n, 120)
				}
			}
		}, sealedOnly: true},
		{name: "a handful of ESP packets one way", tell: func(s *scene) { s.tunnel().esp(s.a, s.b, 0xc0000002, 1, 3, time.Second) }, sealedOnly: true},
		{name: "rekeys that cross", tell: func(s *scene) {
			s.tunnel().ping(2)
			r := []wire.Payload{notify(wire.NotifyRekeySA), proposal(s.t, wire.ProtocolESP, goodESP), nonce(), ts(wire.PayloadTSi, "10.1.0.0-10.1.0.255"), ts(wire.PayloadTSr, "10.2.0.0-10.2.0.255")}
			s.sealed(ask, wire.ExchangeCreateChildSA, 2, r...).sealed(askR, wire.ExchangeCreateChildSA, 0, r...).wait(10 * time.Millisecond)
			s.sealed(answer, wire.ExchangeCreateChildSA, 2, r[1:]...).sealed(answeR, wire.ExchangeCreateChildSA, 0, r[1:]...)
		}, sealed: []string{"info rekey-collision certain"}, open: []string{"info rekey-collision certain"}},
		{name: "one TEMPORARY_FAILURE, and a rekey that succeeds", tell: func(s *scene) {
			s.tunnel().ping(2).sealed(ask, wire.ExchangeCreateChildSA, 2, notify(wire.NotifyRekeySA), proposal(s.t, wire.ProtocolESP, goodESP), nonce()).wait(10*time.Millisecond).
				sealed(answer, wire.ExchangeCreateChildSA, 2, notify(wire.NotifyTemporaryFailure))
			s.wait(10 * time.Second).rekey(3)
		}, sealedOnly: true},
		{name: "a child ended and begun again by hand", tell: func(s *scene) {
			s.tunnel().ping(20).sealed(ask, wire.ExchangeInformational, 2, deletes(wire.ProtocolESP)).wait(10*time.Millisecond).sealed(answer, wire.ExchangeInformational, 2, deletes(wire.ProtocolESP))
			s.wait(time.Second).sealed(ask, wire.ExchangeCreateChildSA, 3, proposal(s.t, wire.ProtocolESP, goodESP), nonce(), ts(wire.PayloadTSi, "10.1.0.0-10.1.0.255"), ts(wire.PayloadTSr, "10.2.0.0-10.2.0.255")).
				wait(10*time.Millisecond).sealed(answer, wire.ExchangeCreateChildSA, 3, proposal(s.t, wire.ProtocolESP, goodESP), nonce(), ts(wire.PayloadTSi, "10.1.0.0-10.1.0.255"), ts(wire.PayloadTSr, "10.2.0.0-10.2.0.255"))
		}, sealedOnly: true},
		{name: "a stray ICMP error", tell: func(s *scene) {
			s.tunnel().ping(3).add(event.Event{ICMP: &event.ICMPError{From: bob, To: alice, Type: 3, Code: 4, MTU: 1400, What: "fragmentation needed", Src: alice, Dst: bob, Protocol: 50}})
		}, sealedOnly: true},
		{name: "HMAC-SHA1, which is still allowed", tell: func(s *scene) {
			s.initWith("aes256-sha1-modp2048")
		}, sealed: []string{"info weak-crypto-negotiated certain"}, open: []string{"info weak-crypto-negotiated certain"}},
	})
}
