package enginetest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// initiatorScenarios are the tests of the IPv6 Ready list for end nodes, by their ids
// without the common beginning. Where a simulated pair of two engines shows
// the same, it is that test.
var initiatorScenarios = map[string]func(*testing.T){
	"1.1.1.1": initRequestIsWellFormed, "1.1.1.2": authRequestIsWellFormed, "1.1.1.3": func(t *testing.T) { childKeysAreTheSame(t, (*Peer).Respond) },
	"1.1.2.1": func(t *testing.T) { requestIsRepeated(t, "init") }, "1.1.2.2": func(t *testing.T) { answerStopsRepetition(t, "init") },
	"1.1.2.3": func(t *testing.T) { requestIsRepeated(t, "auth") }, "1.1.2.4": func(t *testing.T) { answerStopsRepetition(t, "auth") },
	"1.1.3.2": func(t *testing.T) { clearMessagesEndNothing(t, (*Peer).Respond) }, "1.1.3.3": silentPeerIsGivenUp,
	"1.1.3.4": func(t *testing.T) { initialContactEndsTheOld(t, (*Peer).Respond) }, "1.1.3.5": func(t *testing.T) { livenessIsProbed(t, false) },
	"1.1.3.6": ikeDeletionIsWellFormed, "1.1.3.7": childDeletionIsWellFormed, "1.1.3.8": func(t *testing.T) { livenessIsProbed(t, true) },
	"1.1.4.1": func(t *testing.T) { unknownPayloadInResponses(t, false) }, "1.1.4.2": func(t *testing.T) { unknownPayloadInResponses(t, true) },
	"1.1.5.1": func(t *testing.T) { cookieIsReturned(t, "cookie") }, "1.1.5.2": func(t *testing.T) { cookieIsReturned(t, "cookie ke") },
	"1.1.5.3": func(t *testing.T) { cookieIsReturned(t, "cookie ke cookie") },
	"1.1.6.1": func(t *testing.T) { ikeAlgorithms(t, (*Peer).Respond) }, "1.1.6.2": func(t *testing.T) { espAlgorithms(t, false) },
	"1.1.6.3": func(t *testing.T) { offersIKE(t, "aes128-aes256-sha1-sha256-prfsha1-prfsha256-curve25519-ecp256") },
	"1.1.6.4": func(t *testing.T) { offersIKE(t, "aes256gcm16-prfsha256-curve25519", "aes128-sha256-prfsha256-ecp256") },
	"1.1.6.5": func(t *testing.T) { offersESP(t, "aes128-aes256-sha1-sha256-noesn") },
	"1.1.6.6": func(t *testing.T) { offersESP(t, "aes256gcm16-noesn", "aes128-sha256-noesn") },
	"1.1.6.7": TestChildRekeyRegularKEInvalid, "1.1.6.8": noProposalEndsTheAttempt,
	"1.1.6.9": inconsistentIKEChoice, "1.1.6.10": inconsistentChildChoice, "1.1.6.11": func(t *testing.T) { cookieIsReturned(t, "ke") },
	"1.1.6.12": ikeStandsWithoutChild, "1.1.7.1": narrowedAnswerIsTaken,
	"1.1.8.1":  func(t *testing.T) { clearMessagesEndNothing(t, (*Peer).Respond) },
	"1.1.8.2":  func(t *testing.T) { errorsInInformational(t, (*Peer).Respond, wire.NotifyInvalidSelectors) },
	"1.1.10.1": certificatesOfTheInitiator, "1.1.10.2": certificatesOfTheInitiator, "1.1.10.3": certificatesOfTheInitiator,
	"1.1.10.4": binaryKey((*Peer).Respond),
	"1.1.11.1": func(t *testing.T) { reservedInResponses(t, "init") }, "1.1.11.2": func(t *testing.T) { reservedInResponses(t, "auth") },
	"1.1.11.3": func(t *testing.T) { reservedInResponses(t, "version") },
	"1.1.11.4": func(t *testing.T) { errorsInInformational(t, (*Peer).Respond, 8191) },
	"1.1.11.5": func(t *testing.T) { errorsInInformational(t, (*Peer).Respond, 40959) },
	"1.2.1.1":  childRequestIsWellFormed, "1.2.2.1": func(t *testing.T) { requestIsRepeated(t, "child") },
	"1.2.2.2": func(t *testing.T) { answerStopsRepetition(t, "child") }, "1.2.3.1": TestChildRekeyRegular, "1.2.3.2": TestChildRekeyRegular,
	"1.2.3.3": TestLifetimesReplaceAndEndSAs, "1.2.3.4": each(espChoices, childRekeyOffers), "1.2.3.5": each(espProposals, childRekeyOffers),
	"1.2.3.6": childRekeyRefusedIsRetried, "1.2.3.7": TestChildRekeyRegular, "1.2.3.8": TestChildRekeyRegular,
	"1.2.4.1": TestIKERekeyRegular, "1.2.4.2": TestIKERekeyRegular, "1.2.4.3": TestLifetimesReplaceAndEndSAs, "1.2.4.6": TestIKERekeyRegular,
	"1.2.4.4": each(ikeChoices, ikeRekeyOffers), "1.2.4.5": each(ikeProposals, ikeRekeyOffers), "1.2.4.7": func(t *testing.T) { prfChanges(t, true) },
	"1.2.5.1": TestChildlessRegular, "1.2.5.2": newChildOfTheHost, "1.2.6.9": newestChildIsRekeyed, "1.2.7.1": reservedInChildResponse,
	"1.2.6.1": TestChildDeleteCollision, "1.2.6.2": TestIKEDeleteCollision, "1.2.6.3": TestChildRekeyCollision,
	"1.2.6.4": TestChildRekeyCollisionDelayedRequest, "1.2.6.5": TestIKERekeyCollision, "1.2.6.6": TestIKERekeyCollisionDroppedRequest,
	"1.2.6.7": TestChildRekeyCollisionDelete, "1.2.6.8": TestChildRekeyCollisionDeleteDelayedResponse,
	"1.2.6.10": TestChildCreateCollisionIKERekey, "1.2.6.11": TestChildRekeyCollisionIKERekey,
	"1.2.6.12": TestChildDeleteCollisionIKERekey, "1.2.6.13": TestChildDeleteCollisionIKERekey, "1.2.6.14": TestIKERekeyCollisionDelete, "1.2.6.15": TestIKERekeyCollisionDelete,
	"1.3.1.1": probeIsWellFormed, "1.3.2.1": func(t *testing.T) { requestIsRepeated(t, "probe") },
	"1.3.2.2": func(t *testing.T) { answerStopsRepetition(t, "probe") }, "1.3.3.1": func(t *testing.T) { reservedInResponses(t, "informational") },
	"1.3.4.1": func(t *testing.T) { errorsInInformational(t, (*Peer).Respond, wire.NotifyInvalidSPI) },
	"2.1.1.1": authRequestIsWellFormed, "2.1.1.2": func(t *testing.T) { childKeysAreTheSame(t, (*Peer).Respond) },
}

// header fails the test where a message of the host's has another header.
func header(t *testing.T, h *Heard, x wire.ExchangeType, id uint32, flags wire.Flags) {
	t.Helper()
	m := h.Message
	if m.Exchange != x || m.MessageID != id || m.Flags != flags || m.Version != wire.Version2 || int(m.Length) != len(h.Raw) || m.InitiatorSPI == 0 {
		t.Errorf("header %+v of %d octets, want %s %d with flags %02x", m.Header, len(h.Raw), x, id, flags)
	}
	for _, p := range m.Problems {
		t.Errorf("the host sends what is not as it should be: %s", p.What)
	}
}

// holds fails the test where a message has not these payloads.
func holds(t *testing.T, h *Heard, types ...wire.PayloadType) {
	t.Helper()
	for _, want := range types {
		if wire.First(h.Inner, want) == nil {
			t.Errorf("%s has no %s payload", h.Message.Exchange, want)
		}
	}
}

func initRequestIsWellFormed(t *testing.T) {
	p := NewPeer(t)
	h := p.Begin()
	header(t, h, wire.ExchangeIKESAInit, 0, wire.FlagInitiator)
	holds(t, h, wire.PayloadSA, wire.PayloadKE, wire.PayloadNonce)
	sa := PayloadOf[*wire.SA](t, h.Inner, wire.PayloadSA)
	nonce := PayloadOf[*wire.Nonce](t, h.Inner, wire.PayloadNonce)
	ke := PayloadOf[*wire.KE](t, h.Inner, wire.PayloadKE)
	if h.Message.ResponderSPI != 0 || sa.Proposals[0].Number != 1 || sa.Proposals[0].Protocol != wire.ProtocolIKE || len(sa.Proposals[0].SPI) != 0 ||
		len(nonce.Data) < 16 || len(nonce.Data) > 256 || ke.Group != wire.KECurve25519 || len(ke.Data) != 32 {
		t.Errorf("SPI %s, proposal %+v, nonce of %d octets, KE %s of %d", h.Message.ResponderSPI, sa.Proposals[0], len(nonce.Data), ke.Group, len(ke.Data))
	}
}

func authRequestIsWellFormed(t *testing.T) {
	p := NewPeer(t)
	s, m := p.InitResponse(p.Begin())
	h := p.Responded(s, m)
	header(t, h, wire.ExchangeIKEAuth, 1, wire.FlagInitiator)
	holds(t, h, wire.PayloadIDi, wire.PayloadAuth, wire.PayloadSA, wire.PayloadTSi, wire.PayloadTSr)
	provenBy(t, p, s, h, wire.PayloadIDi, s.Init[0], s.Nr, s.Keys.PI)
	child := PayloadOf[*wire.SA](t, h.Inner, wire.PayloadSA).Proposals[0]
	if child.Protocol != wire.ProtocolESP || len(child.SPI) != 4 || slices.ContainsFunc(child.Transforms, func(x wire.Transform) bool { return x.Type == wire.TransformKE }) {
		t.Errorf("the child's proposal is %+v", child)
	}
}

// provenBy checks the host's AUTH payload by the peer's own reckoning.
func provenBy(t *testing.T, p *Peer, s *PeerSA, h *Heard, id wire.PayloadType, message, nonce []byte, key suite.Secret) {
	t.Helper()
	own := PayloadOf[*wire.ID](t, h.Inner, id)
	proof := PayloadOf[*wire.Auth](t, h.Inner, wire.PayloadAuth)
	want := s.PRF.SharedKeyAuth(p.Key, s.PRF.SignedOctets(message, nonce, key, wire.AppendBody(nil, own)))
	if proof.Method != wire.AuthSharedKey || !bytes.Equal(proof.Data, want) || own.String() != p.HostID.String() {
		t.Errorf("%s proves itself by method %s wrongly", own, proof.Method)
	}
}

func childKeysAreTheSame(t *testing.T, up func(*Peer) *PeerSA) {
	p := NewPeer(t)
	s := up(p)
	keys, err := s.PRF.DeriveChild(s.Keys.D, noSecret, s.Ni, s.Nr, wire.EncrAESGCM16, 256, wire.IntegNone)
	if err != nil {
		t.Fatal(err)
	}
	out, in := keys.EncrI, keys.EncrR
	if s.Initiator {
		out, in = in, out
	}
	for _, u := range p.Host.Plane.Children {
		if !u.Outbound || u.SPIs.Out != PeerESPSPI || !u.Out.Encr.Equal(out) || !u.In.Encr.Equal(in) {
			t.Errorf("the host's child %+v has other keys", u.SPIs)
		}
	}
}

// stage brings a host up to the point at which it has a request on its way and
// gives the request and what answers it.
func stage(t *testing.T, what string) (p *Peer, request *Heard, answer func()) {
	t.Helper()
	p = NewPeer(t)
	if what == "init" || what == "auth" {
		request = p.Begin()
		s, m := p.InitResponse(request)
		if what == "init" {
			return p, request, func() { p.Responded(s, m) }
		}
		request = p.Responded(s, m)
		return p, request, func() { p.Answer(s, request, p.AuthResponse(s)...) }
	}
	s := p.Respond()
	if what == "probe" {
		p.Host.Command(p.SA(), ike.Probe{})
		request = p.Take(s)
		return p, request, func() { p.Answer(s, request) }
	}
	for spi := range p.Host.Plane.Children {
		p.Host.Command(p.SA(), ike.RekeyChild{SPI: spi})
	}
	request = p.Take(s)
	return p, request, func() { p.Answer(s, request, Note(wire.NotifyNoProposalChosen)) }
}

func requestIsRepeated(t *testing.T, what string) {
	p, request, _ := stage(t, what)
	p.Run(5 * time.Second)
	if again := p.Take(nil); !bytes.Equal(again.Raw, request.Raw) || again.At.Sub(request.At) < time.Second {
		t.Errorf("the request comes again after %s, the same: %v", again.At.Sub(request.At), bytes.Equal(again.Raw, request.Raw))
	}
}

func answerStopsRepetition(t *testing.T, what string) {
	p, request, answer := stage(t, what)
	answer()
	p.Run(9 * time.Second)
	for _, h := range p.Inbox {
		if bytes.Equal(h.Raw, request.Raw) {
			t.Error("an answered request came again")
		}
	}
}

func silentPeerIsGivenUp(t *testing.T) {
	p := NewPeer(t)
	p.Respond()
	p.Host.Command(p.SA(), ike.Probe{})
	p.Run(10 * time.Minute)
	if n := len(p.Inbox); n != 6 || len(p.Host.Established()) != 0 || len(p.Host.Plane.Children) != 0 || p.Host.Changes(event.IKEDown) != 1 {
		t.Errorf("%d requests, %d IKE SAs, %d children", n, len(p.Host.Established()), len(p.Host.Plane.Children))
	}
}

func livenessIsProbed(t *testing.T, noise bool) {
	p := NewPeer(t, func(a, _ *ike.Connection, _, _ *ike.Settings) { a.DPDDelay = 30 * time.Second })
	s := p.Respond()
	for range 4 {
		p.Run(8 * time.Second)
		if noise { // in the clear: no sign of life
			m := wire.Message{Header: s.Header(wire.ExchangeInformational, 0, false)}
			p.Send(m.Append(nil))
		}
	}
	h := p.Take(s)
	header(t, h, wire.ExchangeInformational, 2, wire.FlagInitiator)
	if len(h.Inner) != 0 {
		t.Errorf("the probe holds %d payloads", len(h.Inner))
	}
}

func probeIsWellFormed(t *testing.T) {
	_, h, _ := stage(t, "probe")
	header(t, h, wire.ExchangeInformational, 2, wire.FlagInitiator)
	if len(h.Inner) != 0 || !h.Sealed {
		t.Errorf("the probe holds %d payloads", len(h.Inner))
	}
}

func ikeDeletionIsWellFormed(t *testing.T) {
	p := NewPeer(t)
	s := p.Respond()
	p.Host.Command(p.SA(), ike.DeleteIKE{})
	h := p.Take(s)
	header(t, h, wire.ExchangeInformational, 2, wire.FlagInitiator)
	if d := PayloadOf[*wire.Delete](t, h.Inner, wire.PayloadDelete); d.Protocol != wire.ProtocolIKE || d.SPISize != 0 || len(d.SPIs) != 0 {
		t.Errorf("deletion %+v", d)
	}
	p.Answer(s, h)
	if len(p.Host.Established()) != 0 {
		t.Error("the IKE SA stands")
	}
}

func childDeletionIsWellFormed(t *testing.T) {
	p := NewPeer(t)
	s := p.Respond()
	for spi := range p.Host.Plane.Children {
		p.Host.Command(p.SA(), ike.DeleteChild{SPI: spi})
		h := p.Take(s)
		if d := PayloadOf[*wire.Delete](t, h.Inner, wire.PayloadDelete); d.Protocol != wire.ProtocolESP || d.SPISize != 4 || len(d.SPIs) != 1 ||
			fmt.Sprintf("%x", d.SPIs[0]) != spi.String() {
			t.Errorf("deletion %+v of child %s", d, spi)
		}
		p.Answer(s, h, Body(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolESP, SPISize: 4, SPIs: [][]byte{{0xc0, 0xff, 0xee, 1}}}))
	}
	if p.SA(); len(p.Host.Plane.Children) != 0 {
		t.Error("the child stands")
	}
}

func unknownPayloadInResponses(t *testing.T, critical bool) {
	for _, number := range []wire.PayloadType{60, 99, 127, 255} {
		extra := wire.Payload{Type: number, Critical: critical, Body: &wire.Unknown{Data: []byte{1, 2, 3}}}
		p := NewPeer(t)
		s, m := p.InitResponse(p.Begin())
		good := *m
		m.Payloads = append(slices.Clone(m.Payloads), extra)
		p.Send(m.Append(nil))
		if critical {
			p.Silent() // and the true answer is still taken
			m = &good
			p.Send(m.Append(nil))
		}
		s.Init[1] = m.Append(nil)
		request := p.Take(s)
		p.Answer(s, request, append(p.AuthResponse(s), extra)...)
		if got := len(p.Host.Established()); (got == 1) == critical {
			t.Errorf("payload type %d, critical %v, in IKE_AUTH: %d IKE SAs stand", number, critical, got)
		}
	}
}

func cookieIsReturned(t *testing.T, script string) {
	p := NewPeer(t, func(a, _ *ike.Connection, _, _ *ike.Settings) {
		a.Proposals = mustProposals(wire.ProtocolIKE, "aes256gcm16-prfsha256-curve25519-ecp256")
	})
	h := p.Begin()
	for i, word := range bytes.Fields([]byte(script)) {
		before := h
		note := Note(wire.NotifyCookie, byte(i), 2, 3, 4)
		if string(word) == "ke" {
			note = Note(wire.NotifyInvalidKEPayload, 0, uint8(wire.KEECP256))
			p.Proposal = Proposals(t, wire.ProtocolIKE, "aes256gcm16-prfsha256-ecp256")[0]
		}
		m := wire.Message{Header: wire.Header{InitiatorSPI: h.Message.InitiatorSPI, Version: wire.Version2, Exchange: wire.ExchangeIKESAInit,
			Flags: wire.FlagResponse}, Payloads: []wire.Payload{note}}
		p.Send(m.Append(nil))
		h = p.Take(nil)
		header(t, h, wire.ExchangeIKESAInit, 0, wire.FlagInitiator)
		ke := PayloadOf[*wire.KE](t, h.Inner, wire.PayloadKE)
		if string(word) == "ke" {
			if ke.Group != wire.KEECP256 {
				t.Errorf("the group is %s", ke.Group)
			}
			continue
		}
		n, first := h.Notify(wire.NotifyCookie), h.Inner[0].Type
		if n == nil || !bytes.Equal(n.Data, []byte{byte(i), 2, 3, 4}) || first != wire.PayloadNotify {
			t.Fatalf("the cookie does not come back as the first payload: %s, %+v", first, n)
		}
		nonce := func(h *Heard) []byte { return PayloadOf[*wire.Nonce](t, h.Inner, wire.PayloadNonce).Data }
		if !bytes.Equal(nonce(h), nonce(before)) || !bytes.Equal(ke.Data, PayloadOf[*wire.KE](t, before.Inner, wire.PayloadKE).Data) {
			t.Error("more than the cookie has changed")
		}
	}
	s, m := p.InitResponse(h)
	request := p.Responded(s, m)
	p.Answer(s, request, p.AuthResponse(s)...)
	p.SA()
}

var ikeSuites = []string{"aes128-sha1-prfsha1-modp2048", "aes256-sha256-prfsha256-modp2048", "aes128ctr-sha256-prfsha256-ecp256",
	"aes256-sha384-prfsha384-ecp384", "aes256-sha512-prfsha512-ecp521", "aes128gcm16-prfsha256-modp3072", "chacha20poly1305-prfsha512-curve25519",
	"aes128-sha256-prfsha256-modp4096", "3des-sha1-prfsha1-modp1024", "aes128-aesxcbc-prfaesxcbc-modp2048"}

func ikeAlgorithms(t *testing.T, up func(*Peer) *PeerSA) {
	for _, text := range ikeSuites {
		t.Run(text, func(t *testing.T) {
			p := NewPeer(t, func(a, _ *ike.Connection, _, _ *ike.Settings) { a.Proposals = mustProposals(wire.ProtocolIKE, text) })
			p.Proposal = Proposals(t, wire.ProtocolIKE, text)[0]
			for _, x := range p.Proposal {
				if x.Type == wire.TransformKE {
					p.Group = wire.KEMethod(x.ID)
				}
			}
			s := up(p)
			p.Ask(s, wire.ExchangeInformational)
		})
	}
}

func espAlgorithms(t *testing.T, responder bool) {
	for _, text := range []string{"aes128-sha1-noesn", "aes256-sha256-noesn", "aes128ctr-sha256-noesn", "aes256-sha512-esn", "aes128gcm16-noesn",
		"chacha20poly1305-noesn", "3des-sha1-noesn", "null-sha256-noesn"} {
		t.Run(text, func(t *testing.T) {
			p := NewPeer(t, func(a, _ *ike.Connection, _, _ *ike.Settings) {
				a.Children[0].Proposals = mustProposals(wire.ProtocolESP, text)
			})
			var s *PeerSA
			if responder {
				var m *wire.Message
				s, m = p.InitRequest()
				p.Initiated(s, m)
				p.Ask(s, wire.ExchangeIKEAuth, append([]wire.Payload{Body(wire.PayloadIDi, &p.ID), p.Proof(s)}, p.ChildPayloads(PeerESPSPI, true, text)...)...)
			} else {
				var m *wire.Message
				s, m = p.InitResponse(p.Begin())
				h := p.Responded(s, m)
				p.Answer(s, h, append([]wire.Payload{Body(wire.PayloadIDr, &p.ID), p.Proof(s)}, p.ChildPayloads(PeerESPSPI, false, text)...)...)
			}
			if p.SA(); len(p.Host.Plane.Children) != 1 {
				t.Errorf("no child with %s: %v", text, p.Host.Errs)
			}
		})
	}
}
