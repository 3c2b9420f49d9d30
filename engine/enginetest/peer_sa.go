package enginetest

import (
	"encoding/binary"
	"slices"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// nonceOf gives a nonce of the Peer's: what it is does not matter.
func nonceOf(b byte) []byte { return slices.Repeat([]byte{b}, 32) }

// transformsOf gives what keys are made of.
func transformsOf(ts []wire.Transform) suite.IKETransforms {
	var t suite.IKETransforms
	for i := range ts {
		switch ts[i].Type {
		case wire.TransformEncr:
			t.EncrID, t.EncrBits = ts[i].ID, ts[i].KeyLength()
		case wire.TransformInteg:
			t.IntegID = ts[i].ID
		case wire.TransformPRF:
			t.PRFID = ts[i].ID
		}
	}
	return t
}

// derive makes the keys of an SA from SKEYSEED.
func (p *Peer) derive(s *PeerSA, ts []wire.Transform, seed func(suite.PRF) suite.Secret) {
	p.tb.Helper()
	s.Transforms = transformsOf(ts)
	prf, err := suite.NewPRF(s.Transforms.PRFID)
	if err != nil {
		p.tb.Fatalf("%v", err)
	}
	s.PRF = prf
	if s.Keys, err = suite.DeriveIKE(s.Transforms, seed(prf), s.Ni, s.Nr, s.SPIi, s.SPIr); err != nil {
		p.tb.Fatalf("%v", err)
	}
	i, r, err := s.Keys.Ciphers(s.Transforms)
	if err != nil {
		p.tb.Fatalf("%v", err)
	}
	s.seal, s.open = r, i
	if s.Initiator {
		s.seal, s.open = i, r
	}
}

// InitRequest makes the IKE_SA_INIT request of a new SA of the Peer's.
func (p *Peer) InitRequest() (*PeerSA, *wire.Message) {
	p.tb.Helper()
	ke, err := suite.NewKeyExchange(p.Group)
	if err != nil {
		p.tb.Fatalf("%v", err)
	}
	s := &PeerSA{Initiator: true, SPIi: 0x1122334455667788, Ni: nonceOf(0x11), ke: ke}
	m := &wire.Message{Header: s.Header(wire.ExchangeIKESAInit, 0, false), Payloads: []wire.Payload{
		Body(wire.PayloadSA, &wire.SA{Proposals: []wire.Proposal{{Number: 1, Protocol: wire.ProtocolIKE, Transforms: p.Proposal}}}),
		Body(wire.PayloadKE, &wire.KE{Group: p.Group, Data: ke.Public()}),
		Body(wire.PayloadNonce, &wire.Nonce{Data: s.Ni})}}
	return s, m
}

// Initiated sends the request of InitRequest, takes the answer and makes the
// keys.
func (p *Peer) Initiated(s *PeerSA, request *wire.Message) {
	p.tb.Helper()
	s.Init[0] = request.Append(nil)
	p.Send(s.Init[0])
	a := p.Take(nil)
	if e := a.Error(); e != 0 {
		p.tb.Fatalf("the host refuses IKE_SA_INIT: %s", e)
	}
	s.Init[1], s.SPIr = a.Raw, a.Message.ResponderSPI
	s.Nr = PayloadOf[*wire.Nonce](p.tb, a.Inner, wire.PayloadNonce).Data
	shared, err := s.ke.Shared(PayloadOf[*wire.KE](p.tb, a.Inner, wire.PayloadKE).Data)
	if err != nil {
		p.tb.Fatalf("%v", err)
	}
	chosen := PayloadOf[*wire.SA](p.tb, a.Inner, wire.PayloadSA)
	p.derive(s, chosen.Proposals[0].Transforms, func(prf suite.PRF) suite.Secret { return prf.SKEYSEED(s.Ni, s.Nr, shared) })
	s.Next = 1
}

// Proof gives the Peer's AUTH payload.
func (p *Peer) Proof(s *PeerSA) wire.Payload {
	own, nonce, key := s.Init[1], s.Ni, s.Keys.PR
	if s.Initiator {
		own, nonce, key = s.Init[0], s.Nr, s.Keys.PI
	}
	signed := s.PRF.SignedOctets(own, nonce, key, wire.AppendBody(nil, &p.ID))
	return Body(wire.PayloadAuth, &wire.Auth{Method: wire.AuthSharedKey, Data: s.PRF.SharedKeyAuth(p.Key, signed)})
}

// ChildPayloads gives SA, TSi and TSr of a CHILD SA, the Peer's own net first
// where it asks.
func (p *Peer) ChildPayloads(spi wire.ESPSPI, asks bool, proposal string) []wire.Payload {
	p.tb.Helper()
	ts := Proposals(p.tb, wire.ProtocolESP, proposal)[0]
	own, host := Selectors("10.2.0.0/16"), Selectors("10.1.0.0/16")
	if !asks {
		own, host = host, own
	}
	return []wire.Payload{
		Body(wire.PayloadSA, &wire.SA{Proposals: []wire.Proposal{{Number: 1, Protocol: wire.ProtocolESP,
			SPI: binary.BigEndian.AppendUint32(nil, uint32(spi)), Transforms: ts}}}),
		Body(wire.PayloadTSi, &wire.TS{Selectors: own}), Body(wire.PayloadTSr, &wire.TS{Selectors: host})}
}

// AuthRequest gives the payloads of IKE_AUTH of the Peer as initiator.
func (p *Peer) AuthRequest(s *PeerSA) []wire.Payload {
	p.tb.Helper()
	return append([]wire.Payload{Body(wire.PayloadIDi, &p.ID), p.Proof(s)}, p.ChildPayloads(PeerESPSPI, true, "aes256gcm16-noesn")...)
}

// Initiate sets up an IKE SA with a child, the Peer being the initiator.
func (p *Peer) Initiate() *PeerSA {
	p.tb.Helper()
	s, m := p.InitRequest()
	p.Initiated(s, m)
	if a := p.Ask(s, wire.ExchangeIKEAuth, p.AuthRequest(s)...); a.Error() != 0 {
		p.tb.Fatalf("the host refuses IKE_AUTH: %s", a.Error())
	}
	p.SA()
	return s
}

// InitResponse gives the Peer's answer to the Host's IKE_SA_INIT request, and
// the SA that comes of it once Responded has been called.
func (p *Peer) InitResponse(request *Heard) (*PeerSA, *wire.Message) {
	p.tb.Helper()
	s := &PeerSA{SPIi: request.Message.InitiatorSPI, SPIr: 0x8877665544332211, Nr: nonceOf(0x22),
		Ni: PayloadOf[*wire.Nonce](p.tb, request.Inner, wire.PayloadNonce).Data}
	s.Init[0] = request.Raw
	ke := PayloadOf[*wire.KE](p.tb, request.Inner, wire.PayloadKE)
	public, shared, err := suite.Respond(ke.Group, ke.Data)
	if err != nil {
		p.tb.Fatalf("%v", err)
	}
	p.derive(s, p.Proposal, func(prf suite.PRF) suite.Secret { return prf.SKEYSEED(s.Ni, s.Nr, shared) })
	return s, &wire.Message{Header: s.Header(wire.ExchangeIKESAInit, 0, true), Payloads: []wire.Payload{
		Body(wire.PayloadSA, &wire.SA{Proposals: []wire.Proposal{{Number: 1, Protocol: wire.ProtocolIKE, Transforms: p.Proposal}}}),
		Body(wire.PayloadKE, &wire.KE{Group: ke.Group, Data: public}),
		Body(wire.PayloadNonce, &wire.Nonce{Data: s.Nr})}}
}

// Responded sends the answer of InitResponse and gives the Host's IKE_AUTH
// request.
func (p *Peer) Responded(s *PeerSA, response *wire.Message) *Heard {
	p.tb.Helper()
	s.Init[1] = response.Append(nil)
	p.Send(s.Init[1])
	return p.Take(s)
}

// AuthResponse gives the payloads of IKE_AUTH of the Peer as responder.
func (p *Peer) AuthResponse(s *PeerSA) []wire.Payload {
	p.tb.Helper()
	return append([]wire.Payload{Body(wire.PayloadIDr, &p.ID), p.Proof(s)}, p.ChildPayloads(PeerESPSPI, false, "aes256gcm16-noesn")...)
}

// Begin has the Host initiate and gives its IKE_SA_INIT request.
func (p *Peer) Begin() *Heard {
	p.tb.Helper()
	if _, err := p.Host.Initiate("gw"); err != nil {
		p.tb.Fatalf("initiate: %v", err)
	}
	return p.Take(nil)
}

// Respond sets up an IKE SA with a child, the Host being the initiator.
func (p *Peer) Respond() *PeerSA {
	p.tb.Helper()
	s, m := p.InitResponse(p.Begin())
	request := p.Responded(s, m)
	p.Answer(s, request, p.AuthResponse(s)...)
	p.SA()
	return s
}
