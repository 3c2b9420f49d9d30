package enginetest

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var responderScenarios = map[string]func(*testing.T){
	"1.1.1.1": initResponseIsWellFormed, "1.1.1.2": authResponseIsWellFormed, "1.1.1.3": func(t *testing.T) { childKeysAreTheSame(t, (*Peer).Initiate) },
	"1.1.2.1": func(t *testing.T) { repeatedRequestGetsTheSameAnswer(t, "init") }, "1.1.2.2": func(t *testing.T) { repeatedRequestGetsTheSameAnswer(t, "auth") },
	"1.1.3.2": func(t *testing.T) { clearMessagesEndNothing(t, (*Peer).Initiate) }, "1.1.3.3": func(t *testing.T) { initialContactEndsTheOld(t, (*Peer).Initiate) },
	"1.1.3.4": emptyRequestIsAnswered, "1.1.3.5": ikeDeletionIsAnswered, "1.1.3.6": childDeletionIsAnswered,
	"1.1.4.1": func(t *testing.T) { bentInitRequest(t, 0, func(m *wire.Message) { m.Version = 0x21 }) },
	"1.1.4.2": func(t *testing.T) {
		bentInitRequest(t, wire.NotifyInvalidMajorVersion, func(m *wire.Message) { m.Version = 0x30 })
	},
	"1.1.4.3": func(t *testing.T) { unknownPayloadInRequests(t, false) }, "1.1.4.4": func(t *testing.T) { unknownPayloadInRequests(t, true) },
	"1.1.4.5": func(t *testing.T) {
		bentInitRequest(t, 0, func(m *wire.Message) { slices.Reverse(m.Payloads) })
	},
	"1.1.5.1": func(t *testing.T) { cookieIsDemanded(t, false) }, "1.1.5.2": func(t *testing.T) { cookieIsDemanded(t, true) },
	"1.1.5.3": func(t *testing.T) { cookieAndGroup(t, true) }, "1.1.5.4": func(t *testing.T) { cookieAndGroup(t, false) },
	"1.1.6.5": each(espChoices, authChildChoice), "1.1.6.6": each(espProposals, authChildChoice),
	"1.1.6.1": func(t *testing.T) { ikeAlgorithms(t, (*Peer).Initiate) }, "1.1.6.2": func(t *testing.T) { espAlgorithms(t, true) },
	"1.1.6.3": func(t *testing.T) {
		choosesIKE(t, "aes256-sha256-prfsha256-curve25519", "aes128-aes256-sha1-sha256-prfsha1-prfsha256-curve25519")
	},
	"1.1.6.4": func(t *testing.T) {
		choosesIKE(t, "aes256gcm16-prfsha256-curve25519", "3des-sha1-prfsha1-curve25519", "aes256gcm16-prfsha256-curve25519")
	},
	"1.1.6.7": childKEOfAnotherGroup, "1.1.6.8": func(t *testing.T) {
		bentInitRequest(t, wire.NotifyInvalidKEPayload, func(m *wire.Message) {
			wire.First(m.Payloads, wire.PayloadKE).Body = &wire.KE{Group: wire.KEECP256, Data: make([]byte, 64)}
		})
	},
	"1.1.6.9": func(t *testing.T) {
		authChild(t, wire.NotifyNoProposalChosen, func(p *Peer, ps []wire.Payload) {
			wire.First(ps, wire.PayloadSA).Body = p.ChildPayloads(PeerESPSPI, true, "3des-sha1-noesn")[0].Body
		})
	},
	"1.1.7.1": TestSelectorsAreNarrowedToWhatBothHave, "1.1.7.2": func(t *testing.T) {
		authChild(t, wire.NotifyTSUnacceptable, func(_ *Peer, ps []wire.Payload) {
			wire.First(ps, wire.PayloadTSr).Body = &wire.TS{Selectors: Selectors("198.51.100.0/24")}
		})
	},
	"1.1.7.3": func(t *testing.T) {
		authChild(t, 0, func(_ *Peer, ps []wire.Payload) {
			wire.First(ps, wire.PayloadTSr).Body = &wire.TS{Selectors: Selectors("10.1.7.0/24", "198.51.100.0/24")}
		})
	},
	"1.1.8.1": unknownSPIIsTold, "1.1.8.2": malformedRequestIsRefused,
	"1.1.8.3":  func(t *testing.T) { errorsInInformational(t, (*Peer).Initiate, wire.NotifyInvalidSelectors) },
	"1.1.10.1": certificatesOfTheResponder, "1.1.10.2": certificatesOfTheResponder, "1.1.10.3": certificatesOfTheResponder,
	"1.1.10.4": binaryKey((*Peer).Initiate),
	"1.1.11.1": func(t *testing.T) { bentInitRequest(t, 0, bend) }, "1.1.11.2": reservedInAuthRequest,
	"1.1.11.3": func(t *testing.T) { bentInitRequest(t, 0, func(m *wire.Message) { m.Flags |= wire.FlagVersion }) },
	"1.1.11.4": responseBitIsIgnored,
	"1.1.11.5": func(t *testing.T) {
		errorsInInformational(t, (*Peer).Initiate, 8191)
		errorsInInformational(t, (*Peer).Initiate, 40959)
	},
	"1.2.1.1": newChildIsAnswered, "1.2.2.1": func(t *testing.T) { repeatedRequestGetsTheSameAnswer(t, "child") },
	"1.2.3.1": severalChildrenAreDeleted, "1.2.4.1": newChildIsRefused,
	"1.2.5.1": TestChildRekeyRegular, "1.2.5.2": TestChildRekeyRegular, "1.2.5.5": TestChildRekeyRegular, "1.2.5.6": TestChildRekeyRegular,
	"1.2.5.3": each(espChoices, childRekeyChoice), "1.2.5.4": each(espProposals, childRekeyChoice),
	"1.2.6.2": oldIKESAIsUsed, "1.2.6.5": each(ikeChoices, ikeRekeyChoice), "1.2.6.6": each(ikeProposals, ikeRekeyChoice),
	"1.2.6.7": func(t *testing.T) { prfChanges(t, false) }, "1.2.6.8": ikeRekeyWithoutKE, "1.2.6.9": ikeRekeyIsRefused,
	"1.2.6.1": TestIKERekeyRegular, "1.2.6.3": TestIKERekeyRegular, "1.2.6.4": TestIKERekeyRegular, "1.2.7.1": TestChildlessRegular,
	"1.2.8.1": wrongProofIsRefused, "1.2.9.1": newChildIsAnswered, "1.3.1.1": emptyRequestIsAnswered,
	"1.3.2.1": func(t *testing.T) { repeatedRequestGetsTheSameAnswer(t, "informational") }, "1.3.3.1": reservedInAuthRequest,
	"2.1.1.1": authResponseIsWellFormed, "2.1.1.2": func(t *testing.T) { childKeysAreTheSame(t, (*Peer).Initiate) },
}

func initResponseIsWellFormed(t *testing.T) {
	p := NewPeer(t)
	s, m := p.InitRequest()
	p.Send(m.Append(nil))
	h := p.Take(nil)
	header(t, h, wire.ExchangeIKESAInit, 0, wire.FlagResponse)
	holds(t, h, wire.PayloadSA, wire.PayloadKE, wire.PayloadNonce)
	if sa := PayloadOf[*wire.SA](t, h.Inner, wire.PayloadSA); h.Message.ResponderSPI == 0 || h.Message.InitiatorSPI != s.SPIi || len(sa.Proposals) != 1 || len(sa.Proposals[0].SPI) != 0 {
		t.Errorf("SPI %s, proposals %+v", h.Message.ResponderSPI, sa.Proposals)
	}
}

func authResponseIsWellFormed(t *testing.T) {
	p := NewPeer(t)
	s, m := p.InitRequest()
	p.Initiated(s, m)
	h := p.Ask(s, wire.ExchangeIKEAuth, p.AuthRequest(s)...)
	header(t, h, wire.ExchangeIKEAuth, 1, wire.FlagResponse)
	holds(t, h, wire.PayloadIDr, wire.PayloadAuth, wire.PayloadSA, wire.PayloadTSi, wire.PayloadTSr)
	provenBy(t, p, s, h, wire.PayloadIDr, s.Init[1], s.Ni, s.Keys.PR)
}

func repeatedRequestGetsTheSameAnswer(t *testing.T, what string) {
	p := NewPeer(t)
	var octets []byte
	s, m := p.InitRequest()
	switch what {
	case "init":
		octets = m.Append(nil)
	case "auth":
		p.Initiated(s, m)
		octets = p.Octets(s, s.Header(wire.ExchangeIKEAuth, 1, false), p.AuthRequest(s)...)
	case "child":
		s = p.Initiate()
		octets = p.Octets(s, s.Header(wire.ExchangeCreateChildSA, 2, false), p.newChild(2)...)
	default:
		s = p.Initiate()
		octets = p.Octets(s, s.Header(wire.ExchangeInformational, 2, false))
	}
	p.Send(octets)
	first := p.Take(nil)
	p.Run(2 * time.Second)
	p.Send(octets)
	if second := p.Take(nil); !bytes.Equal(first.Raw, second.Raw) {
		t.Error("the answer to a repeated request is another")
	}
}

// newChild is a request for a further child without PFS.
func (p *Peer) newChild(n byte) []wire.Payload {
	return append([]wire.Payload{Body(wire.PayloadNonce, &wire.Nonce{Data: nonceOf(n)})}, p.ChildPayloads(PeerESPSPI+wire.ESPSPI(n), true, "aes256gcm16-noesn")...)
}

func withoutPFS(a, _ *ike.Connection, _, _ *ike.Settings) {
	a.Children[0].Proposals = mustProposals(wire.ProtocolESP, "aes256gcm16-noesn")
}

func newChildIsAnswered(t *testing.T) {
	p := NewPeer(t, withoutPFS)
	s := p.Initiate()
	h := p.Ask(s, wire.ExchangeCreateChildSA, bentPayloads(p.newChild(3))...)
	header(t, h, wire.ExchangeCreateChildSA, 2, wire.FlagResponse)
	holds(t, h, wire.PayloadSA, wire.PayloadNonce, wire.PayloadTSi, wire.PayloadTSr)
	keys, err := s.PRF.DeriveChild(s.Keys.D, noSecret, nonceOf(3), PayloadOf[*wire.Nonce](t, h.Inner, wire.PayloadNonce).Data, wire.EncrAESGCM16, 256, wire.IntegNone)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, u := range p.Host.Plane.Children {
		found = found || u.SPIs.Out == PeerESPSPI+3 && u.In.Encr.Equal(keys.EncrI) && u.Out.Encr.Equal(keys.EncrR)
	}
	if !found {
		t.Errorf("no child of the right keys among %d", len(p.Host.Plane.Children))
	}
}

func severalChildrenAreDeleted(t *testing.T) {
	p := NewPeer(t, withoutPFS)
	s := p.Initiate()
	p.Ask(s, wire.ExchangeCreateChildSA, p.newChild(3)...)
	spis := [][]byte{binary.BigEndian.AppendUint32(nil, uint32(PeerESPSPI)), binary.BigEndian.AppendUint32(nil, uint32(PeerESPSPI+3))}
	h := p.Ask(s, wire.ExchangeInformational, Body(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolESP, SPISize: 4, SPIs: spis}))
	if d := PayloadOf[*wire.Delete](t, h.Inner, wire.PayloadDelete); len(d.SPIs) != 2 || len(p.Host.Plane.Children) != 0 {
		t.Errorf("%d SPIs in the answer, %d children stand", len(d.SPIs), len(p.Host.Plane.Children))
	}
}

func newChildIsRefused(t *testing.T) {
	p := NewPeer(t, withoutPFS)
	s := p.Initiate()
	ps := append([]wire.Payload{Body(wire.PayloadNonce, &wire.Nonce{Data: nonceOf(3)})}, p.ChildPayloads(PeerESPSPI+3, true, "3des-sha1-noesn")...)
	if h := p.Ask(s, wire.ExchangeCreateChildSA, ps...); h.Error() != wire.NotifyNoProposalChosen {
		t.Errorf("answered with %s", h.Error())
	}
	p.SA()
}

func childKEOfAnotherGroup(t *testing.T) {
	p := NewPeer(t)
	s := p.Initiate()
	ps := append([]wire.Payload{Body(wire.PayloadNonce, &wire.Nonce{Data: nonceOf(3)}), Body(wire.PayloadKE, &wire.KE{Group: wire.KEModp2048, Data: make([]byte, 256)})},
		p.ChildPayloads(PeerESPSPI+3, true, "aes256gcm16-modp2048-curve25519")...)
	h := p.Ask(s, wire.ExchangeCreateChildSA, ps...)
	if n := h.Notify(wire.NotifyInvalidKEPayload); n == nil || !bytes.Equal(n.Data, []byte{0, uint8(wire.KECurve25519)}) {
		t.Errorf("answered with %s", h.Error())
	}
	p.SA()
}

func emptyRequestIsAnswered(t *testing.T) {
	p := NewPeer(t)
	s := p.Initiate()
	h := p.Ask(s, wire.ExchangeInformational)
	header(t, h, wire.ExchangeInformational, 2, wire.FlagResponse)
	if len(h.Inner) != 0 || !h.Sealed {
		t.Errorf("the answer holds %d payloads", len(h.Inner))
	}
}

func ikeDeletionIsAnswered(t *testing.T) {
	p := NewPeer(t)
	s := p.Initiate()
	h := p.Ask(s, wire.ExchangeInformational, Body(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolIKE}))
	if len(h.Inner) != 0 || len(p.Host.Established()) != 0 || len(p.Host.Plane.Children) != 0 {
		t.Errorf("%d payloads in the answer, %d IKE SAs", len(h.Inner), len(p.Host.Established()))
	}
}

func childDeletionIsAnswered(t *testing.T) {
	p := NewPeer(t)
	s := p.Initiate()
	var own wire.ESPSPI
	for own = range p.Host.Plane.Children {
	}
	h := p.Ask(s, wire.ExchangeInformational, Body(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolESP, SPISize: 4,
		SPIs: [][]byte{binary.BigEndian.AppendUint32(nil, uint32(PeerESPSPI))}}))
	if d := PayloadOf[*wire.Delete](t, h.Inner, wire.PayloadDelete); len(d.SPIs) != 1 || !bytes.Equal(d.SPIs[0], binary.BigEndian.AppendUint32(nil, uint32(own))) {
		t.Errorf("the answer deletes %x, the host's SPI is %s", d.SPIs, own)
	}
	if p.SA(); len(p.Host.Plane.Children) != 0 {
		t.Error("the child stands")
	}
}

// bentInitRequest sends a bent IKE_SA_INIT request; want is 0 where it is to be
// taken, and the IKE SA to come of it.
func bentInitRequest(t *testing.T, want wire.NotifyType, alter func(*wire.Message)) {
	p := NewPeer(t)
	s, m := p.InitRequest()
	alter(m)
	if want == 0 {
		p.Initiated(s, m)
		p.Ask(s, wire.ExchangeIKEAuth, p.AuthRequest(s)...)
		p.SA()
		return
	}
	p.Send(m.Append(nil))
	h := p.Take(nil)
	if h.Error() != want || len(p.Host.Endpoint.SAs()) != 0 {
		t.Errorf("answered with %s, %d SAs are kept; want %s", h.Error(), len(p.Host.Endpoint.SAs()), want)
	}
	if n := h.Notify(wire.NotifyInvalidKEPayload); n != nil && !bytes.Equal(n.Data, []byte{0, uint8(wire.KECurve25519)}) {
		t.Errorf("the group wanted is %x", n.Data)
	}
}

func unknownPayloadInRequests(t *testing.T, critical bool) {
	for _, number := range []wire.PayloadType{60, 99, 127, 255} {
		extra := wire.Payload{Type: number, Critical: critical, Body: &wire.Unknown{Data: []byte{1, 2, 3}}}
		check := func(what string, h *Heard) {
			n := h.Notify(wire.NotifyUnsupportedCriticalPayload)
			if (n != nil) != critical || n != nil && !bytes.Equal(n.Data, []byte{uint8(number)}) {
				t.Errorf("payload type %d, critical %v, in %s: answered with %s", number, critical, what, h.Error())
			}
		}
		p := NewPeer(t)
		_, m := p.InitRequest()
		m.Payloads = append(m.Payloads, extra)
		p.Send(m.Append(nil))
		check("IKE_SA_INIT", p.Take(nil))
		p = NewPeer(t)
		s, m := p.InitRequest()
		p.Initiated(s, m)
		check("IKE_AUTH", p.Ask(s, wire.ExchangeIKEAuth, append(p.AuthRequest(s), extra)...))
		p = NewPeer(t, withoutPFS)
		s = p.Initiate()
		check("CREATE_CHILD_SA", p.Ask(s, wire.ExchangeCreateChildSA, append(p.newChild(2), extra)...))
		check("INFORMATIONAL", p.Ask(s, wire.ExchangeInformational, extra))
		p.SA()
	}
}

func cookieIsDemanded(t *testing.T, wrong bool) {
	p := NewPeer(t, func(_, _ *ike.Connection, a, _ *ike.Settings) { a.CookieThreshold = -1 })
	s, m := p.InitRequest()
	p.Send(m.Append(nil))
	h := p.Take(nil)
	n := h.Notify(wire.NotifyCookie)
	if n == nil || len(n.Data) == 0 || len(n.Data) > 64 || h.Message.ResponderSPI != 0 || len(p.Host.Endpoint.SAs()) != 0 {
		t.Fatalf("cookie %+v, responder's SPI %s, %d SAs", n, h.Message.ResponderSPI, len(p.Host.Endpoint.SAs()))
	}
	cookie := slices.Clone(n.Data)
	if wrong {
		cookie[len(cookie)-1] ^= 1
	}
	m.Payloads = append([]wire.Payload{Note(wire.NotifyCookie, cookie...)}, m.Payloads...)
	if wrong {
		p.Send(m.Append(nil))
		if p.Take(nil).Notify(wire.NotifyCookie) == nil || len(p.Host.Endpoint.SAs()) != 0 {
			t.Error("a wrong cookie is taken")
		}
		return
	}
	p.Initiated(s, m)
	p.Ask(s, wire.ExchangeIKEAuth, p.AuthRequest(s)...)
	p.SA()
}

func choosesIKE(t *testing.T, own string, offered ...string) {
	want := Proposals(t, wire.ProtocolIKE, own)[0]
	p := NewPeer(t, func(a, _ *ike.Connection, _, _ *ike.Settings) { a.Proposals = [][]wire.Transform{want} })
	s, m := p.InitRequest()
	sa := &wire.SA{}
	for i, ts := range Proposals(t, wire.ProtocolIKE, offered...) {
		sa.Proposals = append(sa.Proposals, wire.Proposal{Number: uint8(i + 1), Protocol: wire.ProtocolIKE, Transforms: ts})
	}
	wire.First(m.Payloads, wire.PayloadSA).Body = sa
	p.Initiated(s, m)
	p.Ask(s, wire.ExchangeIKEAuth, p.AuthRequest(s)...)
	if p.SA(); s.Transforms != transformsOf(want) {
		t.Errorf("the host chose %+v", s.Transforms)
	}
}

// authChild sends IKE_AUTH with a bent child.
func authChild(t *testing.T, want wire.NotifyType, alter func(*Peer, []wire.Payload)) {
	p := NewPeer(t)
	s, m := p.InitRequest()
	p.Initiated(s, m)
	ps := p.AuthRequest(s)
	alter(p, ps)
	h := p.Ask(s, wire.ExchangeIKEAuth, ps...)
	if h.Error() != want {
		t.Errorf("answered with %s, want %s", h.Error(), want)
	}
	if p.SA(); (len(p.Host.Plane.Children) == 1) != (want == 0) {
		t.Errorf("%d children", len(p.Host.Plane.Children))
	}
}

func unknownSPIIsTold(t *testing.T) {
	p := NewPeer(t)
	s := p.Initiate()
	h := s.Header(wire.ExchangeInformational, 2, false)
	h.ResponderSPI++
	p.Send(p.Octets(s, h))
	if a := p.Take(nil); a.Notify(wire.NotifyInvalidIKESPI) == nil || a.Sealed || a.Message.ResponderSPI != h.ResponderSPI {
		t.Errorf("answered with %s", a.Error())
	}
	p.SA()
}

func malformedRequestIsRefused(t *testing.T) {
	p := NewPeer(t)
	s := p.Initiate()
	b, err := s.Seal(s.Header(wire.ExchangeInformational, 2, false), wire.PayloadNotify, []byte{0, 0, 0xff, 0xff, 1, 2, 3, 4})
	if err != nil {
		t.Fatal(err)
	}
	p.Send(b)
	if a := p.Take(s); a.Error() != wire.NotifyInvalidSyntax || len(p.Host.Established()) != 0 {
		t.Errorf("answered with %s, %d IKE SAs stand", a.Error(), len(p.Host.Established()))
	}
}

func reservedInAuthRequest(t *testing.T) {
	p := NewPeer(t)
	s, m := p.InitRequest()
	p.Initiated(s, m)
	h := s.Header(wire.ExchangeIKEAuth, 1, false)
	h.Flags |= 0xc7
	p.Send(p.Octets(s, h, bentPayloads(p.AuthRequest(s))...))
	p.Take(s)
	p.SA()
	h = s.Header(wire.ExchangeInformational, 2, false)
	h.Flags |= 0xd7
	p.Send(p.Octets(s, h))
	p.Take(s)
	p.SA()
}

func responseBitIsIgnored(t *testing.T) {
	p := NewPeer(t)
	s := p.Initiate()
	p.Send(p.Octets(s, s.Header(wire.ExchangeInformational, 2, true), Body(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolIKE})))
	p.Silent()
	p.Ask(s, wire.ExchangeInformational)
	p.SA()
}

func wrongProofIsRefused(t *testing.T) {
	p := NewPeer(t)
	s, m := p.InitRequest()
	p.Initiated(s, m)
	ps := p.AuthRequest(s)
	wire.First(ps, wire.PayloadAuth).Body.(*wire.Auth).Data[0] ^= 1
	if h := p.Ask(s, wire.ExchangeIKEAuth, ps...); h.Error() != wire.NotifyAuthenticationFailed || len(p.Host.Established()) != 0 {
		t.Errorf("answered with %s, %d IKE SAs stand", h.Error(), len(p.Host.Established()))
	}
}
