package scan

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// maxAgain bounds how often one question is repeated for a cookie or another
// group.
const maxAgain = 4

// propose asks whether the host takes something of an offer.
func (s *scanner) propose(name string, o offer) (Question, error) {
	ps := o.proposals()
	return s.ask(Question{Name: name, Offer: text(ps)}, func(q *Question) error {
		if err := s.init(q, ps, 0); err != nil || q.Outcome != OutcomeSilence {
			return err
		}
		return s.still()
	})
}

// still makes sure that silence is a refusal, of a host that drops what it does
// not accept, by asking again what was accepted before.
func (s *scanner) still() error {
	for _, suite := range s.result.Suites {
		ts, err := wire.ParseProposal(wire.ProtocolIKE, suite)
		if err != nil {
			continue // of an older file
		}
		o := offerOf(ts)
		if len(o.prf) == 1 && s.deaf[o.prf[0].ID] {
			continue // each leaves something half open
		}
		q := Question{Name: "still there"}
		if err := s.init(&q, o.proposals(), 0); err != nil {
			return err
		}
		if q.Outcome == OutcomeSilence {
			return ErrQuiet
		}
		return nil
	}
	return nil
}

// attempt is one IKE_SA_INIT request of ours and what is needed to go on from
// its answer.
type attempt struct {
	spi       wire.SPI
	nonce     []byte
	ke        suite.KeyExchange
	proposals []wire.Proposal
	pad       int // octets that the IP packet is to have at least
}

// init asks with IKE_SA_INIT until the host accepts or refuses, repeating the
// request with a cookie or for another group where the host wants that. The
// request is padded to pad octets of IP packet where it is smaller.
func (s *scanner) init(q *Question, ps []wire.Proposal, pad int) error {
	a := &attempt{spi: randomSPI(), nonce: randomOctets(32), proposals: ps, pad: pad}
	group := value(ps)
	for range maxAgain {
		if a.ke == nil || a.ke.Method() != group {
			var err error
			if a.ke, err = suite.NewKeyExchange(group); err != nil {
				return fmt.Errorf("%s: %w", q.Name, err)
			}
		}
		q.Requests++
		m, raw, err := s.exchange(q, s.initRequest(q, a, nil), func(m *wire.Message) bool {
			return m.Version.Major() == 2 && m.InitiatorSPI == a.spi && m.Exchange == wire.ExchangeIKESAInit && m.Response()
		})
		if err != nil || m == nil {
			return err
		}
		if n := wire.FindNotify(m.Payloads, wire.NotifyCookie); n != nil && m.First(wire.PayloadSA) == nil && len(n.Data) > 0 && len(n.Data) <= 64 {
			q.Cookie, q.Outcome = true, n.Type.String()
			s.cookie = bytes.Clone(n.Data)
			continue
		}
		if n := wire.FindNotify(m.Payloads, wire.NotifyInvalidKEPayload); n != nil {
			q.Outcome = n.Type.String()
			want, ok := n.AcceptedGroup()
			if !ok {
				return nil
			}
			q.Group = want.String()
			if !has(ps, Accepted{Type: wire.TransformKE, ID: uint16(want)}) {
				return nil
			}
			s.result.accept(Accepted{Type: wire.TransformKE, ID: uint16(want)})
			if !suite.CanExchange(want) || want == group {
				return nil
			}
			group = want
			continue
		}
		return s.answered(q, a, m, raw)
	}
	return nil
}

// has says whether proposals hold an algorithm.
func has(ps []wire.Proposal, a Accepted) bool {
	return slices.ContainsFunc(ps, func(p wire.Proposal) bool { return holds(&p, a) })
}

func holds(p *wire.Proposal, a Accepted) bool {
	return slices.ContainsFunc(p.Transforms, func(x wire.Transform) bool {
		return a.same(Accepted{Type: x.Type, ID: x.ID, Bits: x.KeyLength()})
	})
}

// unoffered says how a choice is none of what was offered: one transform of
// each kind, all of one proposal; "" where it is one (RFC 7296 2.7).
func unoffered(ps []wire.Proposal, chosen *wire.Proposal) string {
	seen := map[wire.TransformType]bool{}
	for i := range chosen.Transforms {
		t := &chosen.Transforms[i]
		a := Accepted{Type: t.Type, ID: t.ID, Bits: t.KeyLength()}
		switch {
		case !has(ps, a):
			return fmt.Sprintf("accepted %s, which was not offered", t.Keyword())
		case seen[t.Type]:
			return fmt.Sprintf("accepted more than one %s at once", t.Type)
		}
		seen[t.Type] = true
	}
	whole := func(p wire.Proposal) bool {
		return !slices.ContainsFunc(chosen.Transforms, func(t wire.Transform) bool {
			return !holds(&p, Accepted{Type: t.Type, ID: t.ID, Bits: t.KeyLength()})
		})
	}
	if !slices.ContainsFunc(ps, whole) {
		return "accepted a mixture of two proposals"
	}
	return ""
}

// initRequest makes the request; more goes in front of the SA payload.
func (s *scanner) initRequest(q *Question, a *attempt, more []wire.Payload) []byte {
	local, remote := s.line.Ends(q.Marked || s.result.OnlyNATT)
	notify := func(t wire.NotifyType, data []byte) wire.Payload {
		return wire.Payload{Type: wire.PayloadNotify, Body: &wire.Notify{Type: t, Data: data}}
	}
	var ps []wire.Payload
	if s.cookie != nil {
		ps = append(ps, notify(wire.NotifyCookie, s.cookie))
	}
	ps = append(ps, more...)
	ps = append(ps,
		wire.Payload{Type: wire.PayloadSA, Body: &wire.SA{Proposals: a.proposals}},
		wire.Payload{Type: wire.PayloadKE, Body: &wire.KE{Group: a.ke.Method(), Data: a.ke.Public()}},
		wire.Payload{Type: wire.PayloadNonce, Body: &wire.Nonce{Data: a.nonce}},
		notify(wire.NotifyNATDetectionSourceIP, engine.NATHash(a.spi, 0, local)),
		notify(wire.NotifyNATDetectionDestinationIP, engine.NATHash(a.spi, 0, remote)),
		notify(wire.NotifyFragmentationSupported, nil),
		notify(wire.NotifySignatureHashAlgorithms, []byte{0, 2, 0, 3, 0, 4, 0, 5}),
		notify(wire.NotifyRedirectSupported, nil),
	)
	m := wire.Message{Header: wire.Header{InitiatorSPI: a.spi, Version: wire.Version2, Exchange: wire.ExchangeIKESAInit,
		Flags: wire.FlagInitiator}, Payloads: ps}
	b := m.Append(nil)
	if short := a.pad - packetLength(remote.Addr(), len(b)) - genericHeader; a.pad > 0 && short > 0 {
		m.Payloads = append(m.Payloads, wire.Payload{Type: wire.PayloadVendor, Body: &wire.VendorID{Data: make([]byte, short)}})
		b = m.Append(nil)
	}
	return b
}

// genericHeader is the length in octets of what stands before a payload.
const genericHeader = 4

// packetLength gives the octets of the IP packet that carries a UDP payload.
func packetLength(to netip.Addr, payload int) int {
	if to.Is4() {
		return payload + 20 + 8
	}
	return payload + 40 + 8
}

// answered reads the answer that ends a question.
func (s *scanner) answered(q *Question, a *attempt, m *wire.Message, raw []byte) error {
	s.describe(q, m, q.Marked || s.result.OnlyNATT)
	sa, _ := body[*wire.SA](m, wire.PayloadSA)
	if sa == nil || len(sa.Proposals) != 1 {
		q.Outcome = "no answer to the question"
		for i := range m.Payloads {
			if n, ok := m.Payloads[i].Body.(*wire.Notify); ok && n.Type < 16384 {
				q.Outcome = n.Type.String()
				break
			}
		}
		return nil
	}
	chosen := &sa.Proposals[0]
	if words := unoffered(a.proposals, chosen); words != "" {
		q.Outcome = words
		return nil
	}
	q.Outcome, q.Suite = OutcomeAccepted, wire.FormatProposal(wire.ProtocolIKE, chosen.Transforms)
	// What is half open there is closed, as far as we can compute its keys.
	err := s.end(q, a, m, raw, chosen)
	var algorithm *suite.AlgorithmError
	var key *suite.KeyError
	if errors.As(err, &algorithm) || errors.As(err, &key) {
		return nil
	}
	return err
}

// describe notes what an IKE_SA_INIT response says of its sender.
func (s *scanner) describe(q *Question, m *wire.Message, marked bool) {
	local, remote := s.line.Ends(marked)
	source, same := false, false
	for i := range m.Payloads {
		switch b := m.Payloads[i].Body.(type) {
		case *wire.VendorID:
			q.Vendors = append(q.Vendors, bytes.Clone(b.Data))
		case *wire.Notify:
			q.Notifies = append(q.Notifies, b.Type.String())
			switch b.Type {
			case wire.NotifyNATDetectionSourceIP:
				source = true
				same = same || bytes.Equal(b.Data, engine.NATHash(m.InitiatorSPI, m.ResponderSPI, remote))
			case wire.NotifyNATDetectionDestinationIP:
				behind := !bytes.Equal(b.Data, engine.NATHash(m.InitiatorSPI, m.ResponderSPI, local))
				q.NATLocal = &behind
			case wire.NotifySignatureHashAlgorithms:
				hashes, _ := b.HashAlgorithms()
				for _, h := range hashes {
					q.Hashes = append(q.Hashes, h.String())
				}
			}
		}
	}
	if source {
		behind := !same
		q.NATRemote = &behind
	}
}

func body[T wire.Body](m *wire.Message, t wire.PayloadType) (T, bool) {
	var none T
	p := m.First(t)
	if p == nil {
		return none, false
	}
	b, ok := p.Body.(T)
	return b, ok
}

// end closes the IKE SA that the host has half set up, by an IKE_AUTH that
// nobody can accept. That it is not answered does no harm: the SA then ends by
// the host's own time limit.
func (s *scanner) end(q *Question, a *attempt, m *wire.Message, raw []byte, chosen *wire.Proposal) error {
	ke, _ := body[*wire.KE](m, wire.PayloadKE)
	nonce, _ := body[*wire.Nonce](m, wire.PayloadNonce)
	if ke == nil || nonce == nil || ke.Group != a.ke.Method() || m.ResponderSPI == 0 {
		return nil
	}
	var ts suite.IKETransforms
	for i := range chosen.Transforms {
		switch t := &chosen.Transforms[i]; t.Type {
		case wire.TransformEncr:
			ts.EncrID, ts.EncrBits = t.ID, t.KeyLength()
		case wire.TransformPRF:
			ts.PRFID = t.ID
		case wire.TransformInteg:
			ts.IntegID = t.ID
		}
	}
	if s.deaf[ts.PRFID] {
		return nil // it was not answered before
	}
	prf, err := suite.NewPRF(ts.PRFID)
	if err != nil {
		return err
	}
	shared, err := a.ke.Shared(ke.Data)
	if err != nil {
		return err
	}
	keys, err := suite.DeriveIKE(ts, prf.SKEYSEED(a.nonce, nonce.Data, shared), a.nonce, nonce.Data, a.spi, m.ResponderSPI)
	if err != nil {
		return err
	}
	defer keys.Wipe()
	seal, _, err := keys.Ciphers(ts)
	if err != nil {
		return err
	}
	request, err := s.closing(a.spi, m.ResponderSPI, seal)
	if err != nil {
		return err
	}
	closing := Question{Name: "closing", Marked: q.Marked}
	end, _, err := s.exchange(&closing, request, func(answer *wire.Message) bool {
		return answer.InitiatorSPI == a.spi && answer.ResponderSPI == m.ResponderSPI && answer.MessageID == 1 && answer.Response()
	})
	if err != nil {
		return err
	}
	closed := end != nil
	q.Closed, s.deaf[ts.PRFID] = &closed, !closed
	return nil
}

// closing makes an IKE_AUTH request with a preshared key that is none.
func (s *scanner) closing(spiI, spiR wire.SPI, seal *suite.IKECipher) ([]byte, error) {
	any4 := wire.TrafficSelector{Type: wire.TSIPv4AddrRange, EndPort: 65535, Start: v4(0), End: v4(255)}
	esp := wire.Proposal{Number: 1, Protocol: wire.ProtocolESP, SPI: randomOctets(4)}
	var err error
	if esp.Transforms, err = wire.ParseProposal(wire.ProtocolESP, "aes256gcm16"); err != nil {
		return nil, err
	}
	inner := wire.AppendPayloads(nil, []wire.Payload{
		{Type: wire.PayloadIDi, Body: &wire.ID{Type: wire.IDKeyID, Data: []byte("cvlanctl scan")}},
		{Type: wire.PayloadAuth, Body: &wire.Auth{Method: wire.AuthSharedKey, Data: randomOctets(32)}},
		{Type: wire.PayloadSA, Body: &wire.SA{Proposals: []wire.Proposal{esp}}},
		{Type: wire.PayloadTSi, Body: &wire.TS{Selectors: []wire.TrafficSelector{any4}}},
		{Type: wire.PayloadTSr, Body: &wire.TS{Selectors: []wire.TrafficSelector{any4}}},
	})
	m := wire.Message{Header: wire.Header{InitiatorSPI: spiI, ResponderSPI: spiR, Version: wire.Version2, Exchange: wire.ExchangeIKEAuth,
		Flags: wire.FlagInitiator, MessageID: 1},
		Payloads: []wire.Payload{{Type: wire.PayloadSK, Body: &wire.Encrypted{First: wire.PayloadIDi, Data: make([]byte, seal.SealedLen(len(inner)))}}}}
	b := m.Append(nil)
	return seal.Seal(b[:len(b)-seal.SealedLen(len(inner))], b[:len(b)-seal.SealedLen(len(inner))], inner)
}
