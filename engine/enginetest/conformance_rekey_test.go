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

// choice is what one side has to offer, and what the other takes of it.
type choice struct {
	offered []string
	number  uint8 // of the proposal taken
	taken   string
}

// espChoices and ikeChoices vary one transform type at a time, and then the
// proposals.
var (
	espChoices = []choice{
		{[]string{"aes128-aes256-sha256-noesn"}, 1, "aes256-sha256-noesn"},
		{[]string{"aes128-sha1-sha256-noesn"}, 1, "aes128-sha256-noesn"},
		{[]string{"aes128-sha256-noesn-esn"}, 1, "aes128-sha256-esn"},
	}
	espProposals = []choice{{[]string{"aes256gcm16-noesn", "aes128-sha256-noesn"}, 2, "aes128-sha256-noesn"}}
	ikeChoices   = []choice{
		{[]string{"aes128-aes256-sha256-prfsha256-curve25519"}, 1, "aes256-sha256-prfsha256-curve25519"},
		{[]string{"aes128-sha1-sha256-prfsha256-curve25519"}, 1, "aes128-sha256-prfsha256-curve25519"},
		{[]string{"aes128-sha256-prfsha1-prfsha256-curve25519"}, 1, "aes128-sha256-prfsha256-curve25519"},
		{[]string{"aes128-sha256-prfsha256-curve25519-ecp256"}, 1, "aes128-sha256-prfsha256-curve25519"},
	}
	ikeProposals = []choice{{[]string{"aes256gcm16-prfsha256-curve25519", "aes128-sha256-prfsha256-curve25519"}, 2, "aes128-sha256-prfsha256-curve25519"}}
)

func each(choices []choice, run func(*testing.T, choice)) func(*testing.T) {
	return func(t *testing.T) {
		for _, c := range choices {
			t.Run(c.taken+" of "+c.offered[0], func(t *testing.T) { run(t, c) })
		}
	}
}

// taken gives an SA payload that takes a choice.
func (p *Peer) taken(protocol wire.ProtocolID, spi []byte, c choice) *wire.SA {
	sa := p.Offer(protocol, spi, c.taken)
	sa.Proposals[0].Number = c.number
	return sa
}

// begun has the Host initiate a tunnel whose child takes a choice.
func (p *Peer) begun(c choice) *PeerSA {
	s, m := p.InitResponse(p.Begin())
	h := p.Responded(s, m)
	ps := p.AuthResponse(s)
	wire.First(ps, wire.PayloadSA).Body = p.taken(wire.ProtocolESP, spi32(PeerESPSPI), c)
	p.Answer(s, h, ps...)
	p.SA()
	return s
}

func spi32(s wire.ESPSPI) []byte { return binary.BigEndian.AppendUint32(nil, uint32(s)) }

// child gives the Host's child of an outbound SPI.
func (p *Peer) child(out wire.ESPSPI) *ike.Update {
	for _, u := range p.Host.Plane.Children {
		if u.SPIs.Out == out {
			return u
		}
	}
	return nil
}

// childRekeyOffers has the Host rekey a child: it offers all it has again, and
// takes what the peer chooses.
func childRekeyOffers(t *testing.T, c choice) {
	want := Proposals(t, wire.ProtocolESP, c.offered...)
	p := NewPeer(t, func(a, _ *ike.Connection, _, _ *ike.Settings) { a.Children[0].Proposals = want })
	s := p.begun(c)
	p.Host.Command(p.SA(), ike.RekeyChild{SPI: p.child(PeerESPSPI).SPIs.In})
	h := p.Take(s)
	offered(t, PayloadOf[*wire.SA](t, h.Inner, wire.PayloadSA), want)
	ps := append([]wire.Payload{Body(wire.PayloadNonce, &wire.Nonce{Data: nonceOf(9)})}, p.ChildPayloads(PeerESPSPI+9, false, c.taken)...)
	wire.First(ps, wire.PayloadSA).Body = p.taken(wire.ProtocolESP, spi32(PeerESPSPI+9), c)
	p.Answer(s, h, ps...)
	u := p.child(PeerESPSPI + 9)
	if u == nil || !u.Outbound {
		t.Fatalf("the replacement does not stand: %v", p.Host.Errs)
	}
	sameChildKeys(t, s, u, c.taken, PayloadOf[*wire.Nonce](t, h.Inner, wire.PayloadNonce).Data, nonceOf(9), true)
}

// sameChildKeys compares the keys of a child without PFS with the peer's own
// reckoning; asked says that the Host sent the request.
func sameChildKeys(t *testing.T, s *PeerSA, u *ike.Update, proposal string, ni, nr []byte, asked bool) {
	t.Helper()
	x := transformsOf(Proposals(t, wire.ProtocolESP, proposal)[0])
	keys, err := s.PRF.DeriveChild(s.Keys.D, noSecret, ni, nr, x.EncrID, x.EncrBits, x.IntegID)
	if err != nil {
		t.Fatal(err)
	}
	outEncr, outInteg, inEncr, inInteg := keys.EncrI, keys.IntegI, keys.EncrR, keys.IntegR
	if !asked {
		outEncr, outInteg, inEncr, inInteg = inEncr, inInteg, outEncr, outInteg
	}
	if !u.Out.Encr.Equal(outEncr) || !u.Out.Integ.Equal(outInteg) || !u.In.Encr.Equal(inEncr) || !u.In.Integ.Equal(inInteg) {
		t.Error("the two sides have other keys")
	}
}

// ikeRekeyOffers has the Host rekey the IKE SA.
func ikeRekeyOffers(t *testing.T, c choice) {
	want := Proposals(t, wire.ProtocolIKE, c.offered...)
	p := NewPeer(t, func(a, _ *ike.Connection, _, _ *ike.Settings) { a.Proposals = want })
	p.Proposal = Proposals(t, wire.ProtocolIKE, c.taken)[0]
	s, m := p.InitResponse(p.Begin())
	wire.First(m.Payloads, wire.PayloadSA).Body = p.taken(wire.ProtocolIKE, nil, c)
	p.Answer(s, p.Responded(s, m), p.AuthResponse(s)...)
	p.Host.Command(p.SA(), ike.RekeyIKE{})
	h := p.Take(s)
	offered(t, PayloadOf[*wire.SA](t, h.Inner, wire.PayloadSA), want)
	next := p.AnswerRekeyIKE(s, h, c.number, p.Proposal)
	p.Ask(next, wire.ExchangeInformational)
	p.SA()
}

// prfChanges replaces an IKE SA by one with another PRF.
func prfChanges(t *testing.T, byHost bool) {
	both := []string{"aes256gcm16-prfsha256-curve25519", "aes256gcm16-prfsha512-curve25519"}
	p := NewPeer(t, func(a, _ *ike.Connection, _, _ *ike.Settings) { a.Proposals = Proposals(t, wire.ProtocolIKE, both...) })
	var next *PeerSA
	if byHost {
		s := p.Respond()
		p.Host.Command(p.SA(), ike.RekeyIKE{})
		next = p.AnswerRekeyIKE(s, p.Take(s), 2, Proposals(t, wire.ProtocolIKE, both[1])[0])
	} else {
		s := p.Initiate()
		if next, _ = p.RekeyIKE(s, both[1]); next == nil {
			t.Fatal("the host refuses another PRF")
		}
		p.Ask(s, wire.ExchangeInformational, Body(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolIKE}))
	}
	p.Ask(next, wire.ExchangeInformational)
	p.SA()
}

// newChildOfTheHost has the Host create a further child, which sends at once
// and has the keys of its own nonces.
func newChildOfTheHost(t *testing.T) {
	p := NewPeer(t, withoutPFS, func(a, _ *ike.Connection, _, _ *ike.Settings) {
		further := *a.Children[0]
		further.Name = "further"
		a.Children = append(a.Children, &further)
	})
	s := p.Respond()
	p.Host.Command(p.SA(), ike.AddChild{Name: "further"})
	h := p.Take(s)
	p.Answer(s, h, append([]wire.Payload{Body(wire.PayloadNonce, &wire.Nonce{Data: nonceOf(9)})}, p.ChildPayloads(PeerESPSPI+9, false, "aes256gcm16-noesn")...)...)
	u := p.child(PeerESPSPI + 9)
	if u == nil || !u.Outbound || p.child(PeerESPSPI) == nil {
		t.Fatalf("%d children stand, want both", len(p.Host.Plane.Children))
	}
	sameChildKeys(t, s, u, "aes256gcm16-noesn", PayloadOf[*wire.Nonce](t, h.Inner, wire.PayloadNonce).Data, nonceOf(9), true)
}

// newestChildIsRekeyed has the peer rekey the child that came of a rekeying
// while the deletion of the old one is still on its way.
func newestChildIsRekeyed(t *testing.T) {
	p, s, h := rekeyedChild(t)
	p.Answer(s, h, append([]wire.Payload{Body(wire.PayloadNonce, &wire.Nonce{Data: nonceOf(9)})}, p.ChildPayloads(PeerESPSPI+9, false, "aes256gcm16-noesn")...)...)
	deletion := p.Take(s)
	again := append([]wire.Payload{Body(wire.PayloadNotify, &wire.Notify{Protocol: wire.ProtocolESP, SPI: spi32(PeerESPSPI + 9), Type: wire.NotifyRekeySA}),
		Body(wire.PayloadNonce, &wire.Nonce{Data: nonceOf(8)})}, p.ChildPayloads(PeerESPSPI+8, true, "aes256gcm16-noesn")...)
	if a := p.Ask(s, wire.ExchangeCreateChildSA, again...); a.Error() != 0 {
		t.Fatalf("the host refuses to replace the new child: %s", a.Error())
	}
	p.Answer(s, deletion, Body(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolESP, SPISize: 4, SPIs: [][]byte{spi32(PeerESPSPI)}}))
	p.Ask(s, wire.ExchangeInformational, Body(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolESP, SPISize: 4, SPIs: [][]byte{spi32(PeerESPSPI + 9)}}))
	p.Run(time.Minute)
	if p.SA(); len(p.Host.Plane.Children) != 1 || p.child(PeerESPSPI+8) == nil {
		t.Errorf("%d children stand, want the newest alone", len(p.Host.Plane.Children))
	}
}

func reservedInChildResponse(t *testing.T) {
	p, s, h := rekeyedChild(t)
	head := s.Header(h.Message.Exchange, h.Message.MessageID, true)
	head.Flags |= 0xc7
	ps := append([]wire.Payload{Body(wire.PayloadNonce, &wire.Nonce{Data: nonceOf(9)})}, p.ChildPayloads(PeerESPSPI+9, false, "aes256gcm16-noesn")...)
	p.Send(p.Octets(s, head, bentPayloads(ps)...))
	if p.SA(); p.child(PeerESPSPI+9) == nil {
		t.Errorf("no replacement: %v", p.Host.Errs)
	}
}

// cookieAndGroup has an initiator come with the wrong group to a Host that
// demands cookies. An initiator that keeps the cookie is let in at the third
// try, one that forgets it at the fourth (RFC 7296 2.6.1).
func cookieAndGroup(t *testing.T, keeps bool) {
	p := NewPeer(t, func(a, _ *ike.Connection, set, _ *ike.Settings) {
		set.CookieThreshold = -1
		a.Proposals = mustProposals(wire.ProtocolIKE, "aes256gcm16-prfsha256-ecp256")
	})
	offer := Proposals(t, wire.ProtocolIKE, "aes256gcm16-prfsha256-curve25519-ecp256")[0]
	p.Proposal = offer
	_, wrong := p.InitRequest()
	p.Group = wire.KEECP256
	s, right := p.InitRequest()
	cookie := func(m *wire.Message) []byte {
		t.Helper()
		p.Send(m.Append(nil))
		n := p.Take(nil).Notify(wire.NotifyCookie)
		if n == nil {
			t.Fatal("no cookie is demanded")
		}
		return n.Data
	}
	with := func(m *wire.Message, c []byte) *wire.Message {
		kept := *m
		kept.Payloads = append([]wire.Payload{Note(wire.NotifyCookie, c...)}, m.Payloads...)
		return &kept
	}
	first := cookie(wrong)
	p.Send(with(wrong, first).Append(nil))
	if n := p.Take(nil).Notify(wire.NotifyInvalidKEPayload); n == nil || !bytes.Equal(n.Data, []byte{0, uint8(wire.KEECP256)}) {
		t.Fatalf("answered with %+v, want INVALID_KE_PAYLOAD", n)
	}
	if !keeps {
		first = cookie(right)
	}
	p.Initiated(s, with(right, first))
	p.Ask(s, wire.ExchangeIKEAuth, p.AuthRequest(s)...)
	p.SA()
}

// authChildChoice sends IKE_AUTH with several things to choose from.
func authChildChoice(t *testing.T, c choice) {
	p := NewPeer(t, func(a, _ *ike.Connection, _, _ *ike.Settings) {
		a.Children[0].Proposals = mustProposals(wire.ProtocolESP, c.taken)
	})
	s, m := p.InitRequest()
	p.Initiated(s, m)
	ps := p.AuthRequest(s)
	wire.First(ps, wire.PayloadSA).Body = p.Offer(wire.ProtocolESP, spi32(PeerESPSPI), c.offered...)
	chosen(t, p.Ask(s, wire.ExchangeIKEAuth, ps...), wire.ProtocolESP, c)
}

// chosen fails the test where an answer does not take what it should.
func chosen(t *testing.T, h *Heard, protocol wire.ProtocolID, c choice) {
	t.Helper()
	if h.Error() != 0 {
		t.Fatalf("refused with %s", h.Error())
	}
	sa := PayloadOf[*wire.SA](t, h.Inner, wire.PayloadSA)
	if len(sa.Proposals) != 1 || sa.Proposals[0].Number != c.number {
		t.Fatalf("%d proposals, number %d; want one, number %d", len(sa.Proposals), sa.Proposals[0].Number, c.number)
	}
	sa.Proposals[0].Number = 1
	want := Proposals(t, protocol, c.taken)
	if offered(t, sa, want); len(sa.Proposals[0].Transforms) != len(want[0]) {
		t.Errorf("%d transforms in the answer, want %d", len(sa.Proposals[0].Transforms), len(want[0]))
	}
}

// childRekeyChoice has the peer rekey a child with several things to choose
// from.
func childRekeyChoice(t *testing.T, c choice) {
	p := NewPeer(t, func(a, _ *ike.Connection, _, _ *ike.Settings) {
		a.Children[0].Proposals = mustProposals(wire.ProtocolESP, "aes256gcm16-noesn", c.taken)
	})
	if c.offered[0] == "aes256gcm16-noesn" { // else the host would take that one
		p.Host.conns[0].Children[0].Proposals = mustProposals(wire.ProtocolESP, c.taken)
	}
	s, m := p.InitRequest()
	p.Initiated(s, m)
	ps := p.AuthRequest(s)
	wire.First(ps, wire.PayloadSA).Body = p.Offer(wire.ProtocolESP, spi32(PeerESPSPI), c.taken)
	p.Ask(s, wire.ExchangeIKEAuth, ps...)
	again := append([]wire.Payload{Body(wire.PayloadNotify, &wire.Notify{Protocol: wire.ProtocolESP, SPI: spi32(PeerESPSPI), Type: wire.NotifyRekeySA}),
		Body(wire.PayloadNonce, &wire.Nonce{Data: nonceOf(9)})}, p.ChildPayloads(PeerESPSPI+9, true, c.taken)...)
	wire.First(again, wire.PayloadSA).Body = p.Offer(wire.ProtocolESP, spi32(PeerESPSPI+9), c.offered...)
	h := p.Ask(s, wire.ExchangeCreateChildSA, again...)
	chosen(t, h, wire.ProtocolESP, c)
	sameChildKeys(t, s, p.child(PeerESPSPI+9), c.taken, nonceOf(9), PayloadOf[*wire.Nonce](t, h.Inner, wire.PayloadNonce).Data, false)
}

// oldIKESAIsUsed has the peer ask on an IKE SA that it has replaced and not
// deleted yet.
func oldIKESAIsUsed(t *testing.T) {
	p := NewPeer(t)
	s := p.Initiate()
	next, h := p.RekeyIKE(s, "aes256gcm16-prfsha256-curve25519")
	if next == nil {
		t.Fatalf("refused with %s", h.Error())
	}
	if h := p.Ask(s, wire.ExchangeInformational); len(h.Inner) != 0 {
		t.Errorf("the old IKE SA answers with %d payloads", len(h.Inner))
	}
	p.Ask(next, wire.ExchangeInformational)
}

// ikeRekeyChoice has the peer rekey the IKE SA with several things to choose
// from.
func ikeRekeyChoice(t *testing.T, c choice) {
	p := NewPeer(t, func(a, _ *ike.Connection, _, _ *ike.Settings) { a.Proposals = mustProposals(wire.ProtocolIKE, c.taken) })
	p.Proposal = Proposals(t, wire.ProtocolIKE, c.taken)[0]
	s := p.Initiate()
	next, h := p.RekeyIKE(s, c.offered...)
	chosen(t, h, wire.ProtocolIKE, c)
	p.Ask(next, wire.ExchangeInformational)
}

// ikeRekeyWithoutKE asks for an IKE SA without a key exchange, which none may be
// (RFC 7296 1.3.2): a proposal of the method NONE is not chosen, a request
// without a KE payload is malformed.
func ikeRekeyWithoutKE(t *testing.T) {
	for _, ke := range [][]wire.Payload{{Body(wire.PayloadKE, &wire.KE{Group: wire.KECurve25519, Data: nonceOf(9)})}, nil} {
		p := NewPeer(t)
		s := p.Initiate()
		none := slices.Clone(p.Proposal)
		for i := range none {
			if none[i].Type == wire.TransformKE {
				none[i].ID = wire.KENone
			}
		}
		h := p.Ask(s, wire.ExchangeCreateChildSA, append([]wire.Payload{
			Body(wire.PayloadSA, &wire.SA{Proposals: []wire.Proposal{{Number: 1, Protocol: wire.ProtocolIKE, SPI: spi64(peerRekeySPI), Transforms: none}}}),
			Body(wire.PayloadNonce, &wire.Nonce{Data: nonceOf(0x33)})}, ke...)...)
		if ke == nil {
			if h.Error() != wire.NotifyInvalidSyntax || len(p.Host.Established()) != 0 {
				t.Errorf("without KE: answered with %s, %d IKE SAs stand", h.Error(), len(p.Host.Established()))
			}
			continue
		}
		if h.Error() != wire.NotifyNoProposalChosen {
			t.Errorf("method NONE: answered with %s", h.Error())
		}
		p.Ask(s, wire.ExchangeInformational)
		p.SA()
	}
}

// ikeRekeyIsRefused offers what the Host does not have; the old IKE SA stands.
func ikeRekeyIsRefused(t *testing.T) {
	p := NewPeer(t)
	s := p.Initiate()
	next, h := p.RekeyIKE(s, "3des-sha1-prfsha1-curve25519")
	if next != nil || h.Error() != wire.NotifyNoProposalChosen {
		t.Errorf("answered with %s", h.Error())
	}
	p.Ask(s, wire.ExchangeInformational)
	p.SA()
}
