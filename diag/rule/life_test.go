package rule_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func TestAPeerThatIsGoneIsNamedWithWhatWasLastHeardOfIt(t *testing.T) {
	tell(t, []story{
		{name: "probes without an answer", tell: func(s *scene) { s.tunnel().ping(5).sealed(ask, wire.ExchangeInformational, 2).again(backoff()...) },
			sealed: []string{"high dpd-timeout likely"}, sealedOnly: true, says: "192.0.2.1 sent a liveness probe 5 times over 47 s without an answer"},
		{name: "the responder asks in vain", tell: func(s *scene) { s.tunnel().ping(5).sealed(askR, wire.ExchangeInformational, 0).again(backoff()...) },
			sealed: []string{"high dpd-timeout likely"}, sealedOnly: true, says: "192.0.2.1 stopped answering"},
		{name: "its ESP goes on", tell: func(s *scene) {
			s.tunnel().ping(5).sealed(ask, wire.ExchangeInformational, 2).again(backoff()...)
			s.ping(5)
		}, sealed: []string{"high dpd-timeout likely"}, sealedOnly: true, says: "its ESP goes on"},
		{name: "and new attempts fail too", tell: func(s *scene) {
			s.tunnel().ping(5).sealed(ask, wire.ExchangeInformational, 2).again(backoff()...)
			s.anew().hello().again(backoff()...)
		}, sealed: []string{"high dpd-timeout likely > no-response-to-sa-init"}, sealedOnly: true},
		{name: "and comes back", tell: func(s *scene) {
			s.tunnel().ping(5).sealed(ask, wire.ExchangeInformational, 2).again(backoff()...)
			s.anew().tunnel()
		}, sealed: []string{"medium dpd-timeout likely"}, sealedOnly: true, says: "a new SA came up later"},
		{name: "after a move to another address", tell: func(s *scene) {
			s.tunnel().ping(5)
			s.a = carol
			s.sealed(ask, wire.ExchangeInformational, 2, append([]wire.Payload{notify(wire.NotifyUpdateSAAddresses)}, s.natd(ask, s.spiR)...)...).again(backoff()...)
		}, sealed: []string{"high mobike-address-change-failed likely > dpd-timeout"}, sealedOnly: true},
		{name: "the new address is refused", tell: func(s *scene) {
			s.tunnel().sealed(ask, wire.ExchangeInformational, 2, append([]wire.Payload{notify(wire.NotifyUpdateSAAddresses)}, s.natd(ask, s.spiR)...)...).sealed(answer, wire.ExchangeInformational, 2, notify(wire.NotifyUnacceptableAddresses))
		}, open: []string{"medium mobike-address-change-failed certain"}},
	})
}

func TestLifetimesAreTakenFromDeletesWithoutARekey(t *testing.T) {
	child := func(s *scene, id uint32) {
		s.sealed(ask, wire.ExchangeCreateChildSA, id, proposal(s.t, wire.ProtocolESP, goodESP), nonce(), ts(wire.PayloadTSi, "10.1.0.0-10.1.0.255"), ts(wire.PayloadTSr, "10.2.0.0-10.2.0.255")).
			wait(10*time.Millisecond).sealed(answer, wire.ExchangeCreateChildSA, id, proposal(s.t, wire.ProtocolESP, goodESP), nonce(), ts(wire.PayloadTSi, "10.1.0.0-10.1.0.255"), ts(wire.PayloadTSr, "10.2.0.0-10.2.0.255"))
	}
	ended := func(s *scene, ages ...time.Duration) {
		s.tunnel()
		for i, age := range ages {
			s.wait(age).sealed(askR, wire.ExchangeInformational, uint32(i), deletes(wire.ProtocolESP)).wait(10*time.Millisecond).sealed(answeR, wire.ExchangeInformational, uint32(i), deletes(wire.ProtocolESP))
			s.wait(time.Second)
			child(s, uint32(2+i))
		}
	}
	ikes := func(s *scene, age time.Duration, n int, w, r by) {
		for range n {
			s.tunnel().wait(age).sealed(w, wire.ExchangeInformational, 9, deletes(wire.ProtocolIKE)).wait(10*time.Millisecond).sealed(r, wire.ExchangeInformational, 9)
			s.wait(2 * time.Second).anew()
		}
		s.tunnel()
	}
	tell(t, []story{
		{name: "the same age again and again", tell: func(s *scene) { ended(s, 600*time.Second, 600*time.Second, 601*time.Second) },
			sealed: []string{"medium lifetime-mismatch likely"}, sealedOnly: true, says: "192.0.2.2 deletes the CHILD SA every 601 s instead of rekeying it (3 times here)"},
		{name: "ages of chance", tell: func(s *scene) { ended(s, 60*time.Second, 600*time.Second, 300*time.Second) }, sealedOnly: true},
		{name: "once", tell: func(s *scene) { ended(s, 600*time.Second) }, sealedOnly: true},
		{name: "IKE SAs that the other side has to begin anew", tell: func(s *scene) { ikes(s, time.Hour, 3, askR, answeR) },
			sealed: []string{"medium lifetime-mismatch likely"}, sealedOnly: true, says: "deletes the IKE SA every 3601 s"},
		{name: "reauthentication", tell: func(s *scene) { ikes(s, time.Hour, 3, ask, answer) },
			sealed: []string{"medium reauth-gap likely"}, sealedOnly: true, says: "an outage each time"},
		{name: "a short test, repeated", tell: func(s *scene) { ikes(s, time.Minute, 3, ask, answer) }, sealedOnly: true},
		{name: "deleted by the responder at once", tell: func(s *scene) {
			s.tunnel().sealed(askR, wire.ExchangeInformational, 0, deletes(wire.ProtocolIKE)).sealed(answeR, wire.ExchangeInformational, 0)
		}, sealed: []string{"low ike-delete-unexplained hint"}, sealedOnly: true},
	})
}

func TestNotifiesThatNameAFaultAreReported(t *testing.T) {
	status := func(s *scene, n wire.NotifyType, data ...byte) {
		s.tunnel().sealed(askR, wire.ExchangeInformational, 0, notify(n, data...)).sealed(answeR, wire.ExchangeInformational, 0)
	}
	unprotected := func(s *scene, n wire.NotifyType, times int) {
		s.tunnel().ping(3)
		for i := range times {
			s.spiI, s.spiR = wire.SPI(0x9000+i), wire.SPI(0x9100+i)
			s.clear(askR, wire.ExchangeInformational, 0, notify(n, 0xc0, 0, 0, 1)).wait(time.Second)
		}
	}
	tell(t, []story{
		{name: "a critical payload", tell: func(s *scene) {
			s.hello().clear(answer, wire.ExchangeIKESAInit, 0, notify(wire.NotifyUnsupportedCriticalPayload, 54))
		}, sealed: []string{"medium unsupported-critical-payload certain"}, sealedOnly: true, says: "the payload of type 54 (PS)"},
		{name: "bad syntax", tell: func(s *scene) { s.hello().clear(answer, wire.ExchangeIKESAInit, 0, notify(wire.NotifyInvalidSyntax)) },
			sealed: []string{"medium malformed-or-garbled-message certain"}, sealedOnly: true},
		{name: "an IKE SA that is gone", tell: func(s *scene) { unprotected(s, wire.NotifyInvalidIKESPI, 2) }, sealed: []string{"info invalid-ike-spi likely"}, sealedOnly: true},
		{name: "an ESP SA that is gone", tell: func(s *scene) { unprotected(s, wire.NotifyInvalidSPI, 1) }, sealed: []string{"info invalid-esp-spi-stale-sa likely"}, sealedOnly: true},
		{name: "a message ID out of step", tell: func(s *scene) { status(s, wire.NotifyInvalidMessageID, 0, 0, 0, 7) },
			open: []string{"medium message-id-desync certain"}, says: "message ID 7 outside its window"},
		{name: "a Windows status", tell: func(s *scene) { status(s, wire.NotifyMicrosoftStatus, 0, 0, 0x36, 0x2c) },
			open: []string{"medium windows-ms-status certain"}, says: "13868, POLICY_MATCH (no policy in common)"},
		{name: "a Windows status that is cut short", tell: func(s *scene) { status(s, wire.NotifyMicrosoftStatus, 1) },
			open: []string{"medium windows-ms-status certain"}, says: "a status without a code"},
	})
}

func TestESPThatGoesOneWayIsNamedFromTheInitiatorsSide(t *testing.T) {
	tell(t, []story{
		{name: "out", tell: func(s *scene) { s.tunnel().esp(s.a, s.b, 0xc0000002, 1, 10, time.Second) },
			sealed: []string{"high esp-one-way-out likely"}, sealedOnly: true, says: "10 ESP packets from 192.0.2.1 to 192.0.2.2 over 9.0 s, none the other way"},
		{name: "in", tell: func(s *scene) { s.tunnel().esp(s.b, s.a, 0xc0000001, 1, 10, time.Second) },
			sealed: []string{"high esp-one-way-in likely"}, sealedOnly: true},
		{name: "protocol 50 is refused", tell: func(s *scene) {
			s.tunnel().esp(s.a, s.b, 0xc0000002, 1, 1, time.Second).
				add(event.Event{ICMP: &event.ICMPError{From: carol, To: alice, Type: 3, Code: 13, What: "administratively prohibited", Src: alice, Dst: bob, Protocol: 50}})
			s.esp(s.a, s.b, 0xc0000002, 2, 9, time.Second)
		}, sealed: []string{"high esp-proto50-blocked likely > esp-one-way-out"}, sealedOnly: true, says: "192.0.2.3 refuses ESP"},
		{name: "the path loses packets", tell: func(s *scene) {
			s.tunnel()
			for seq := uint32(1); seq <= 200; seq++ {
				if seq%10 != 0 {
					s.espPacket(s.a, s.b, 0xc0000002, seq, 120)
				}
				s.espPacket(s.b, s.a, 0xc0000001, seq, 120)
			}
		}, sealed: []string{"medium esp-path-loss certain"}, sealedOnly: true, says: "from 192.0.2.1 to 192.0.2.2 do not get here: 19 of 199"},
		{name: "sequence numbers run out", tell: func(s *scene) {
			s.tunnel().ping(2).esp(s.a, s.b, 0xc0000009, 0xffff0000, 3, time.Second)
		}, sealed: []string{"low seq-exhaustion likely"}, sealedOnly: true},
	})
}

func TestDecryptedESPIsComparedWithItsSA(t *testing.T) {
	// inner sends a decrypted packet on the child's own SPI towards b.
	inner := func(s *scene, seq uint32, src, dst string) {
		s.add(event.Event{Packet: &event.Packet{Src: s.a, Dst: s.b, Proto: event.ESP, Encap: event.IP, Length: 120, ESP: &event.SecurityPacket{
			SPI: 0xc0000001, Seq: seq, Decrypted: true, ICVOK: true, Inner: &event.Inner{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Protocol: 1, Length: 84}}}})
	}
	damaged := func(s *scene, seq uint32) {
		s.add(event.Event{Packet: &event.Packet{Src: s.a, Dst: s.b, Proto: event.ESP, Encap: event.IP, Length: 120, ESP: &event.SecurityPacket{SPI: 0xc0000001, Seq: seq, DecryptError: "integrity check failed"}}})
	}
	tell(t, []story{
		{name: "an address inside the selectors", tell: func(s *scene) { s.tunnel(); inner(s, 1, "10.1.0.7", "10.2.0.9") }, onlyWithKey: true},
		{name: "an address outside the selectors", tell: func(s *scene) { s.tunnel(); inner(s, 1, "192.168.7.7", "10.2.0.9") },
			open: []string{"high inner-address-outside-ts certain"}, says: "192.168.7.7 is outside the selectors 10.1.0.0/24 === 10.2.0.0/24", onlyWithKey: true},
		{name: "packets damaged on the way", tell: func(s *scene) {
			s.tunnel()
			inner(s, 1, "10.1.0.7", "10.2.0.9")
			for i := range uint32(5) {
				damaged(s, 2+i)
			}
		}, open: []string{"medium esp-auth-failures likely"}, says: "5 of 6 ESP packets", onlyWithKey: true},
	})
}

func TestTruncatedSHA256IsReadFromPacketLengths(t *testing.T) {
	packets := func(s *scene, n, out, in int) {
		for i := range n {
			s.espPacket(s.a, s.b, 0xc0000001, uint32(i+1), out+16*(i%5))
			s.espPacket(s.b, s.a, 0xc0000001, uint32(i+1), in+16*(i%5))
			s.wait(time.Second)
		}
	}
	tell(t, []story{
		{name: "96 bit against 128", tell: func(s *scene) { s.initWith("aes256-sha256-modp2048"); s.authRequest(); packets(s, 30, 100, 104) },
			sealed: []string{"high sha256-96-truncation hint"}, sealedOnly: true, says: "192.0.2.1 truncates SHA2-256 to 96 bit"},
		{name: "the same both ways", tell: func(s *scene) { s.initWith("aes256-sha256-modp2048"); s.authRequest(); packets(s, 30, 104, 104) }, sealedOnly: true},
		{name: "a counter mode has any length", tell: func(s *scene) { s.tunnel(); packets(s, 30, 100, 104) }, sealedOnly: true},
	})
}

func TestNATIsToldFromForcedEncapsulationAsFarAsItShows(t *testing.T) {
	stranger := trace20()
	exchange := func(s *scene, srcPort uint16, i, r []wire.Payload) {
		base := func() []wire.Payload {
			return []wire.Payload{proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce()}
		}
		p := s.send(ask, &wire.Message{Header: wire.Header{InitiatorSPI: s.spiI, Version: wire.Version2, Exchange: wire.ExchangeIKESAInit}, Payloads: append(base(), i...)})
		p.SrcPort = srcPort
		s.add(event.Event{Packet: p})
		p = s.send(answer, &wire.Message{Header: wire.Header{InitiatorSPI: s.spiI, ResponderSPI: s.spiR, Version: wire.Version2, Exchange: wire.ExchangeIKESAInit}, Payloads: append(base(), r...)})
		p.DstPort = srcPort
		s.add(event.Event{Packet: p})
	}
	// fake replaces the source hash.
	fake := func(ps []wire.Payload) []wire.Payload {
		ps[0] = notify(wire.NotifyNATDetectionSourceIP, stranger...)
		return ps
	}
	tell(t, []story{
		{name: "a NAT that changes the port", tell: func(s *scene) {
			q := fake(s.natd(ask, 0))
			r := s.natd(answer, s.spiR)
			exchange(s, 500, q, r) // to warm up the same scene with a port that is kept
		}, sealed: []string{"info nat-detected-unexpectedly likely"}, sealedOnly: true, says: "forced by a false hash"},
		{name: "the port tells", tell: func(s *scene) {
			q := fake(s.natd(ask, 0))
			exchange(s, 1024, q, s.natd(answer, s.spiR)[:1])
		}, sealed: []string{"info nat-detected-unexpectedly certain"}, sealedOnly: true, says: "a NAT that made its port 1024"},
		{name: "the daemon says that its hash is false", tell: func(s *scene) {
			exchange(s, 1024, fake(s.natd(ask, 0)), s.natd(answer, s.spiR)[:1])
			s.add(event.Event{Table: &event.Table{First: true, SAs: []*engine.IKESA{{Name: "gw", UniqueID: 1, Version: 2, State: engine.IKEEstablished,
				InitiatorSPI: s.spiI, ResponderSPI: s.spiR, Initiator: engine.Some(true), Local: engine.Side{Host: s.a, Port: 1024},
				Remote: engine.Side{Host: s.b, Port: 500}, NAT: engine.NAT{Local: engine.Some(true), Fake: engine.Some(true)}}}}})
		}, sealedOnly: true},
		{name: "both claim one, nothing proves it", tell: func(s *scene) { exchange(s, 500, fake(s.natd(ask, 0)), fake(s.natd(answer, s.spiR))) },
			sealed: []string{"info nat-detected-unexpectedly hint"}, sealedOnly: true},
		{name: "both, and a port proves one", tell: func(s *scene) { exchange(s, 1024, fake(s.natd(ask, 0)), fake(s.natd(answer, s.spiR))) },
			sealed: []string{"info double-nat likely"}, sealedOnly: true},
		{name: "none", tell: func(s *scene) { exchange(s, 500, s.natd(ask, 0), s.natd(answer, s.spiR)) }, sealedOnly: true},
	})
}

func trace20() []byte { return []byte("twenty octets of hash")[:20] }

func TestESPCarriedTheWrongWayIsNamed(t *testing.T) {
	tell(t, []story{
		{name: "in UDP one way, native the other", tell: func(s *scene) {
			s.init()
			s.port = 4500
			s.authRequest().authResponse()
			for i := range uint32(5) {
				s.port = 4500
				s.espPacket(s.a, s.b, 0xc0000001, i+1, 120)
				s.port = 0
				s.espPacket(s.b, s.a, 0xc0000001, i+1, 120)
				s.wait(time.Second)
			}
		}, sealed: []string{"high encap-asymmetric certain"}, sealedOnly: true, says: "192.0.2.1 sends ESP in UDP, 192.0.2.2 sends it as IP protocol 50"},
		{name: "native ESP across a NAT", tell: func(s *scene) {
			s.a = netip.MustParseAddr("10.7.0.2")
			s.clear(ask, wire.ExchangeIKESAInit, 0, append([]wire.Payload{proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce()}, s.natd(ask, 0)...)...).
				clear(answer, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce())
			s.authRequest().authResponse().esp(s.a, s.b, 0xc0000001, 1, 10, time.Second)
		}, sealed: []string{"high natt-off-with-nat likely > esp-one-way-out"}, sealedOnly: true, says: "192.0.2.2 does not take part in NAT detection"},
		{name: "ESP from another port than IKE", tell: func(s *scene) {
			s.init()
			s.port = 4500
			s.authRequest().authResponse()
			for i := range uint32(10) {
				s.add(event.Event{Packet: &event.Packet{Src: s.a, Dst: s.b, SrcPort: 1029, DstPort: 4500, Proto: event.ESP, Encap: event.UDPNATT, Length: 120, ESP: &event.SecurityPacket{SPI: 0xc0000001, Seq: i + 1}}})
				s.wait(time.Second)
			}
		}, sealed: []string{"high nat-port-rebind-split likely > esp-one-way-out"}, sealedOnly: true, says: "IKE from port 4500 and ESP from port 1029"},
		{name: "a peer that forbids NAT", tell: func(s *scene) {
			s.tunnel().sealed(ask, wire.ExchangeInformational, 2).sealed(answer, wire.ExchangeInformational, 2, notify(wire.NotifyUnexpectedNATDetected))
		}, open: []string{"high natt-off-with-nat certain"}},
		{name: "a mapping that was forgotten", tell: func(s *scene) {
			s.init()
			s.port = 4500
			s.authRequest().authResponse().wait(5*time.Minute).sealed(askR, wire.ExchangeInformational, 0).again(4*time.Second, 7*time.Second)
			p := s.send(ask, &wire.Message{Header: wire.Header{InitiatorSPI: s.spiI, ResponderSPI: s.spiR, Version: wire.Version2, Exchange: wire.ExchangeInformational, MessageID: 2},
				Payloads: []wire.Payload{{Type: wire.PayloadSK, Body: &wire.Encrypted{Data: make([]byte, 29)}}}})
			p.SrcPort = 61001
			s.add(event.Event{Packet: p})
		}, sealed: []string{"high nat-mapping-timeout likely"}, sealedOnly: true},
	})
}
