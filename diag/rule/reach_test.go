package rule_test

import (
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// hello sends an IKE_SA_INIT request.
func (s *scene) hello() *scene {
	return s.clear(ask, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce())
}

func TestSilenceToTheFirstMessageIsToldFromItsNeighbours(t *testing.T) {
	tell(t, []story{
		{name: "nothing answers", tell: func(s *scene) { s.hello().again(backoff()...) },
			sealed: []string{"high no-response-to-sa-init likely"}, sealedOnly: true, says: "192.0.2.1 sent IKE_SA_INIT 5 times to 192.0.2.2:500 over 47 s"},
		{name: "asked once and listened for long", tell: func(s *scene) { s.hello() }, afterwards: time.Minute,
			sealed: []string{"high no-response-to-sa-init likely"}, sealedOnly: true, says: "once to 192.0.2.2:500, no answer in the 60 s after it"},
		{name: "many attempts are one finding", tell: func(s *scene) {
			for range 3 {
				s.hello().again(backoff()...).wait(time.Minute).anew()
			}
		}, sealed: []string{"high no-response-to-sa-init likely"}, sealedOnly: true},
		{name: "a router refuses", tell: func(s *scene) {
			s.hello().add(event.Event{ICMP: &event.ICMPError{From: bob, To: alice, Type: 3, Code: 3, What: "port unreachable", Src: alice, Dst: bob, SrcPort: 500, DstPort: 500, Protocol: 17, SPI: s.spiI}})
			s.hello().again(backoff()...)
		}, sealed: []string{"high no-response-to-sa-init likely"}, sealedOnly: true, says: "port unreachable"},
		{name: "a later attempt succeeds", tell: func(s *scene) { s.hello().again(backoff()...).wait(time.Minute).anew().tunnel() },
			sealed: []string{"low no-response-to-sa-init likely"}, sealedOnly: true, says: "a later attempt succeeded"},
		{name: "the source lost packets itself", tell: func(s *scene) {
			s.hello().again(backoff()...).add(event.Event{Gap: &event.Gap{What: "dropped by the kernel", Dropped: 3}})
		}, sealed: []string{"high no-response-to-sa-init hint"}, sealedOnly: true},
		{name: "too large for one packet", tell: func(s *scene) {
			p := s.send(ask, &wire.Message{Header: wire.Header{InitiatorSPI: s.spiI, Version: wire.Version2, Exchange: wire.ExchangeIKESAInit},
				Payloads: []wire.Payload{proposal(s.t, wire.ProtocolIKE, goodIKE), {Type: wire.PayloadKE, Body: &wire.KE{Group: wire.KEMLKEM1024, Data: make([]byte, 1568)}}, nonce()}})
			p.IPFragments = []int64{2, 3}
			s.add(event.Event{Packet: p})
			s.again(4*time.Second, 7*time.Second, 13*time.Second)
		}, sealed: []string{"high pq-ke-too-large likely"}, sealedOnly: true},
		{name: "the answers do not come back", tell: func(s *scene) {
			s.hello()
			request := s.last
			s.wait(10*time.Millisecond).clear(answer, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce())
			response := s.last
			for _, d := range backoff() {
				s.wait(d).add(event.Event{Packet: request})
				s.add(event.Event{Packet: response})
			}
		}, sealed: []string{"high sa-init-response-lost certain"}, sealedOnly: true, says: "4 times after the first answer"},
		{name: "answers from another address", tell: func(s *scene) {
			s.hello()
			s.clear(answer, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce())
			s.anew().hello()
			request := s.last
			m := &wire.Message{Header: wire.Header{InitiatorSPI: s.spiI, ResponderSPI: s.spiR, Version: wire.Version2, Exchange: wire.ExchangeIKESAInit},
				Payloads: []wire.Payload{proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce()}}
			p := s.send(answer, m)
			p.Src = carol
			s.add(event.Event{Packet: p})
			s.wait(4 * time.Second).add(event.Event{Packet: request})
		}, sealed: []string{"high peer-replies-from-other-address certain"}, sealedOnly: true, says: "192.0.2.2:500 was asked and 192.0.2.3:500 answered"},
	})
}

func TestAPeerThatSpeaksIKEv1OnlyIsNamed(t *testing.T) {
	tell(t, []story{
		{name: "it says so", tell: func(s *scene) {
			s.hello().clear(answer, wire.ExchangeIKESAInit, 0, notify(wire.NotifyInvalidMajorVersion))
		}, sealed: []string{"medium ikev1-only-peer certain > vendor-lists-mismatch-after-planning"}, sealedOnly: true, says: "INVALID_MAJOR_VERSION"},
		{name: "it calls with main mode and leaves us unanswered", tell: func(s *scene) {
			s.hello().again(backoff()...)
			v1 := &wire.Message{Header: wire.Header{InitiatorSPI: 0xfe, Version: wire.Version1, Exchange: wire.ExchangeV1Main}}
			octets := v1.Append(nil)
			parsed, err := wire.Parse(octets)
			if err != nil {
				s.t.Fatal(err)
			}
			s.add(event.Event{Packet: &event.Packet{Src: bob, Dst: alice, SrcPort: 500, DstPort: 500, Proto: event.IKEv1, Encap: event.UDP, Length: len(octets), Octets: octets, IKE: &event.IKE{Message: parsed}}})
		}, sealed: []string{"high ikev1-only-peer likely > no-response-to-sa-init vendor-lists-mismatch-after-planning"}, sealedOnly: true, says: "main mode"},
	})
}

func TestSilenceToIKEAuthIsJudgedByPortAndSize(t *testing.T) {
	large := func(s *scene, fragments []int64) *event.Packet {
		data := make([]byte, 1800)
		p := s.send(ask, &wire.Message{Header: wire.Header{InitiatorSPI: s.spiI, ResponderSPI: s.spiR, Version: wire.Version2, Exchange: wire.ExchangeIKEAuth, MessageID: 1},
			Payloads: []wire.Payload{{Type: wire.PayloadSK, Next: wire.PayloadIDi, Body: &wire.Encrypted{First: wire.PayloadIDi, Data: data}}}})
		p.IPFragments = fragments
		return p
	}
	tell(t, []story{
		{name: "port 4500", tell: func(s *scene) { s.init(); s.port = 4500; s.authRequest().again(backoff()...) },
			sealed: []string{"high udp4500-blocked likely"}, sealedOnly: true, says: "IKE_AUTH to port 4500 gets no answer, sent 5 times"},
		{name: "the same port, small", tell: func(s *scene) { s.init().authRequest().again(backoff()...) },
			sealed: []string{"high auth-phase-silent likely"}, sealedOnly: true, says: "on the same port"},
		{name: "in IP fragments", tell: func(s *scene) {
			s.init()
			s.port = 4500
			s.add(event.Event{Packet: large(s, []int64{3, 4})})
			s.again(backoff()...)
		}, sealed: []string{"high ike-auth-ip-fragment-loss likely"}, sealedOnly: true, says: "2 IP fragments and gets no answer, sent 5 times; neither side announces IKE fragmentation"},
		{name: "large in one piece on a port that works", tell: func(s *scene) {
			s.init().add(event.Event{Packet: large(s, nil)})
			s.again(backoff()...)
		}, sealed: []string{"high ike-auth-ip-fragment-loss hint"}, sealedOnly: true},
		{name: "fragments of the answer arrive in part", tell: func(s *scene) {
			s.init()
			s.port = 4500
			s.authRequest().again(backoff()...)
			s.add(event.Event{Loss: &event.FragmentLoss{Src: bob, Dst: alice, SrcPort: 4500, DstPort: 4500, Protocol: 17, Have: 1, First: true, Frames: []int64{4}, SPI: s.spiI}})
		}, sealed: []string{"high ike-auth-ip-fragment-loss certain"}, sealedOnly: true, says: "IP fragments between 192.0.2.2 and 192.0.2.1 get lost"},
		{name: "the answers do not come back", tell: func(s *scene) {
			s.init()
			s.port = 4500
			s.authRequest()
			request := s.last
			s.authResponse()
			response := s.last
			for _, d := range backoff() {
				s.wait(d).add(event.Event{Packet: request})
				s.add(event.Event{Packet: response})
			}
		}, sealed: []string{"high udp4500-one-way certain"}, sealedOnly: true, says: "4 times after the first answer"},
		{name: "IKE fragments arrive in part", tell: func(s *scene) {
			s.init()
			s.port = 4500
			for range 3 {
				data := make([]byte, 1200)
				p := s.send(ask, &wire.Message{Header: wire.Header{InitiatorSPI: s.spiI, ResponderSPI: s.spiR, Version: wire.Version2, Exchange: wire.ExchangeIKEAuth, MessageID: 1},
					Payloads: []wire.Payload{{Type: wire.PayloadSKF, Next: wire.PayloadIDi, Body: &wire.Fragment{First: wire.PayloadIDi, Number: 1, Total: 3, Data: data}}}})
				p.IKE.Fragment = &event.Fragment{Number: 1, Total: 3}
				s.add(event.Event{Packet: p})
				s.wait(4 * time.Second)
			}
		}, sealed: []string{"high ike-fragment-incomplete certain > udp4500-blocked"}, sealedOnly: true, says: "of 3 IKE fragments of the IKE_AUTH request from 192.0.2.1 only 1 arrive"},
	})
}
