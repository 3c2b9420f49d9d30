package enginetest

import (
	"encoding/binary"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// peerRekeySPI is the SPI that the Peer chooses for an IKE SA that replaces
// another.
const peerRekeySPI wire.SPI = 0x0102030405060708

// Offer gives an SA payload with a proposal for each text, in order.
func (p *Peer) Offer(protocol wire.ProtocolID, spi []byte, texts ...string) *wire.SA {
	p.tb.Helper()
	sa := &wire.SA{}
	for i, ts := range Proposals(p.tb, protocol, texts...) {
		sa.Proposals = append(sa.Proposals, wire.Proposal{Number: uint8(i + 1), Protocol: protocol, SPI: spi, Transforms: ts})
	}
	return sa
}

// RekeyIKE asks for an IKE SA in place of s. next is nil where the Host
// refuses it.
func (p *Peer) RekeyIKE(s *PeerSA, texts ...string) (next *PeerSA, answer *Heard) {
	p.tb.Helper()
	ke, err := suite.NewKeyExchange(p.Group)
	if err != nil {
		p.tb.Fatalf("%v", err)
	}
	next = &PeerSA{Initiator: true, SPIi: peerRekeySPI, Ni: nonceOf(0x33)}
	answer = p.Ask(s, wire.ExchangeCreateChildSA, Body(wire.PayloadSA, p.Offer(wire.ProtocolIKE, spi64(next.SPIi), texts...)),
		Body(wire.PayloadNonce, &wire.Nonce{Data: next.Ni}), Body(wire.PayloadKE, &wire.KE{Group: p.Group, Data: ke.Public()}))
	if answer.Error() != 0 {
		return nil, answer
	}
	chosen := PayloadOf[*wire.SA](p.tb, answer.Inner, wire.PayloadSA).Proposals[0]
	next.SPIr = wire.SPI(binary.BigEndian.Uint64(chosen.SPI))
	next.Nr = PayloadOf[*wire.Nonce](p.tb, answer.Inner, wire.PayloadNonce).Data
	shared, err := ke.Shared(PayloadOf[*wire.KE](p.tb, answer.Inner, wire.PayloadKE).Data)
	if err != nil {
		p.tb.Fatalf("%v", err)
	}
	p.replace(s, next, chosen.Transforms, shared)
	return next, answer
}

// AnswerRekeyIKE takes the proposal of a number, with these of its transforms,
// from the Host's request to replace s, and answers the deletion of s that
// follows.
func (p *Peer) AnswerRekeyIKE(s *PeerSA, request *Heard, number uint8, ts []wire.Transform) *PeerSA {
	p.tb.Helper()
	next := p.acceptRekeyIKE(s, request, number, ts)
	last := p.Take(s)
	if d := PayloadOf[*wire.Delete](p.tb, last.Inner, wire.PayloadDelete); d.Protocol != wire.ProtocolIKE {
		p.tb.Fatalf("the host deletes %s, want the old IKE SA", d.Protocol)
	}
	p.Answer(s, last)
	return next
}

// acceptRekeyIKE is AnswerRekeyIKE without what follows.
func (p *Peer) acceptRekeyIKE(s *PeerSA, request *Heard, number uint8, ts []wire.Transform) *PeerSA {
	p.tb.Helper()
	offer := PayloadOf[*wire.SA](p.tb, request.Inner, wire.PayloadSA)
	theirs := PayloadOf[*wire.KE](p.tb, request.Inner, wire.PayloadKE)
	public, shared, err := suite.Respond(theirs.Group, theirs.Data)
	if err != nil {
		p.tb.Fatalf("%v", err)
	}
	next := &PeerSA{SPIi: wire.SPI(binary.BigEndian.Uint64(offer.Proposals[number-1].SPI)), SPIr: peerRekeySPI,
		Ni: PayloadOf[*wire.Nonce](p.tb, request.Inner, wire.PayloadNonce).Data, Nr: nonceOf(0x44)}
	p.replace(s, next, ts, shared)
	p.Answer(s, request, Body(wire.PayloadSA, &wire.SA{Proposals: []wire.Proposal{{Number: number, Protocol: wire.ProtocolIKE,
		SPI: spi64(next.SPIr), Transforms: ts}}}),
		Body(wire.PayloadNonce, &wire.Nonce{Data: next.Nr}), Body(wire.PayloadKE, &wire.KE{Group: theirs.Group, Data: public}))
	return next
}

// replace makes the keys of an IKE SA out of those of the one it replaces: the
// seed comes of the old PRF, the keys of the new one (RFC 7296 2.18).
func (p *Peer) replace(old, next *PeerSA, ts []wire.Transform, shared suite.Secret) {
	p.tb.Helper()
	p.derive(next, ts, func(suite.PRF) suite.Secret { return old.PRF.RekeySKEYSEED(old.Keys.D, shared, next.Ni, next.Nr) })
}

func spi64(s wire.SPI) []byte { return binary.BigEndian.AppendUint64(nil, uint64(s)) }
