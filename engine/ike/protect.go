package ike

import (
	"encoding/binary"
	"fmt"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

const (
	genericHeader  = 4 // octets of a payload's header (RFC 7296 3.2)
	fragmentHeader = 4 // octets of the fragment numbers (RFC 7383 2.5)
	maxFragments   = 128
	maxReassembled = 65535 // octets of the payloads of one message
)

// header gives the header of a message of ours.
func (s *SA) header(x wire.ExchangeType, id uint32, response bool) wire.Header {
	h := wire.Header{InitiatorSPI: s.spiI, ResponderSPI: s.spiR, Version: wire.Version2, Exchange: x, MessageID: id}
	if s.initiator {
		h.Flags |= wire.FlagInitiator
	}
	if response {
		h.Flags |= wire.FlagResponse
	}
	return h
}

// protect makes the octets of a message: in the clear for IKE_SA_INIT, else in
// an SK payload (RFC 7296 3.14), and in SKF payloads where it is too long for
// one packet and the peer takes fragments (RFC 7383).
func (s *SA) protect(x wire.ExchangeType, id uint32, response bool, ps []wire.Payload) ([][]byte, error) {
	h := s.header(x, id, response)
	if x == wire.ExchangeIKESAInit {
		m := wire.Message{Header: h, Payloads: ps}
		b := m.Append(nil)
		s.packet(true, s.path, b, &m, nil, nil)
		return [][]byte{b}, nil
	}
	plain := wire.AppendPayloads(nil, ps)
	first := wire.PayloadNone
	if len(ps) > 0 {
		first = ps[0].Type
	}
	room := s.fragmentRoom()
	if !s.peerFragments || wire.HeaderLength+genericHeader+s.seal.SealedLen(len(plain)) <= room {
		b, err := s.sealed(h, wire.PayloadSK, first, nil, plain)
		if err == nil {
			s.packet(true, s.path, b, nil, ps, plain)
		}
		return [][]byte{b}, err
	}
	chunk := s.seal.MaxPlain(room - wire.HeaderLength - genericHeader - fragmentHeader)
	if chunk <= 0 {
		return nil, fmt.Errorf("packets of %d octets have no room for an IKE fragment", s.fragmentSize)
	}
	total := (len(plain) + chunk - 1) / chunk
	if total > maxFragments {
		return nil, fmt.Errorf("a message of %d octets needs %d fragments, at most %d are possible", len(plain), total, maxFragments)
	}
	var out [][]byte
	for n := 1; n <= total; n++ {
		part := plain[(n-1)*chunk : min(n*chunk, len(plain))]
		numbers := binary.BigEndian.AppendUint16(nil, uint16(n))
		numbers = binary.BigEndian.AppendUint16(numbers, uint16(total))
		b, err := s.sealed(h, wire.PayloadSKF, first, numbers, part)
		if err != nil {
			return nil, err
		}
		first = wire.PayloadNone // only fragment 1 names it
		out = append(out, b)
	}
	s.packet(true, s.path, out[0], nil, ps, plain)
	return out, nil
}

// fragmentRoom gives the octets of an IKE message that fit a packet.
func (s *SA) fragmentRoom() int {
	room := s.set.FragmentSize - 20 - 8
	if s.path.remote.Addr().Is6() && !s.path.remote.Addr().Is4In6() {
		room -= 20
	}
	if s.path.marked {
		room -= wire.NonESPMarkerLength
	}
	return room
}

// sealed makes one message with one encrypted payload.
func (s *SA) sealed(h wire.Header, t, first wire.PayloadType, numbers, plain []byte) ([]byte, error) {
	body := len(numbers) + s.seal.SealedLen(len(plain))
	if body+genericHeader > 65535 {
		return nil, fmt.Errorf("payloads of %d octets do not fit an encrypted payload", len(plain))
	}
	m := wire.Message{Header: h}
	b := m.Append(make([]byte, 0, wire.HeaderLength+genericHeader+body))
	b[16] = uint8(t)
	binary.BigEndian.PutUint32(b[24:], uint32(wire.HeaderLength+genericHeader+body))
	b = append(b, uint8(first), 0)
	b = binary.BigEndian.AppendUint16(b, uint16(genericHeader+body))
	b = append(b, numbers...)
	return s.seal.Seal(b, b, plain)
}

// unseal opens the encrypted payload of a parsed message. For a fragment it
// gives its part of the payloads.
func (s *SA) unseal(raw []byte, m *wire.Message) (plain []byte, first wire.PayloadType, part *wire.Fragment, err error) {
	p := &m.Payloads[len(m.Payloads)-1]
	start := p.Offset + genericHeader
	var data []byte
	switch body := p.Body.(type) {
	case *wire.Encrypted:
		data, first = body.Data, body.First
	case *wire.Fragment:
		data, first, part = body.Data, body.First, body
		start += fragmentHeader
	default:
		return nil, 0, nil, fmt.Errorf("the last payload is no encrypted one")
	}
	plain, err = s.open.Open(nil, raw[:start], data)
	return plain, first, part, err
}

// fragments is a message that comes in pieces (RFC 7383 2.6).
type fragments struct {
	id       uint32
	response bool
	total    uint16
	have     int
	octets   int
	first    wire.PayloadType
	firstRaw []byte // fragment 1 as it came: a repeated one asks for the answer again
	parts    [][]byte
}

// collect adds an authentic fragment and gives the whole chain when it is
// complete.
func (s *SA) collect(m *message, part *wire.Fragment, first wire.PayloadType, plain, raw []byte) ([]byte, *Failure) {
	refused := func(kind event.CheckKind, rfc, local, text string) *Failure {
		f := s.refused(wire.PayloadSKF, event.Check{Kind: kind, RFC: rfc, What: fmt.Sprintf("fragments of message %d", m.id), Local: local, Why: text,
			Remote: fmt.Sprintf("fragment %d of %d, %d octets", part.Number, part.Total, len(plain))}, text)
		f.Survived = true
		return f
	}
	switch {
	case part.Number == 0 || part.Number > part.Total:
		return nil, refused(event.CheckGrammar, "RFC 7383 2.6", "fragments are numbered from 1 to their total",
			fmt.Sprintf("fragment %d of %d does not exist", part.Number, part.Total))
	case part.Total > maxFragments:
		return nil, refused(event.CheckLimit, "RFC 7383 2.6", fmt.Sprintf("at most %d", maxFragments),
			fmt.Sprintf("%d fragments, at most %d are taken", part.Total, maxFragments))
	case !s.ownFragments():
		return nil, refused(event.CheckGrammar, "RFC 7383 2.3", "no fragmentation was agreed", "a fragment, although fragmentation was not agreed")
	}
	f := s.in.parts
	// More fragments than before: the sender tries smaller ones. Fewer: an old
	// set that is late.
	if f == nil || f.id != m.id || f.response != m.response || part.Total > f.total {
		f = &fragments{id: m.id, response: m.response, total: part.Total, parts: make([][]byte, part.Total)}
		s.in.parts = f
		s.start(TimerFragments, s.set.HalfOpen)
	}
	if part.Total < f.total || f.parts[part.Number-1] != nil {
		return nil, nil
	}
	if f.octets+len(plain) > maxReassembled {
		s.dropFragments()
		return nil, refused(event.CheckLimit, "RFC 7383 2.6", fmt.Sprintf("at most %d octets together", maxReassembled),
			fmt.Sprintf("fragments of more than %d octets together", maxReassembled))
	}
	if part.Number == 1 {
		f.first, f.firstRaw = first, append([]byte(nil), raw...)
	}
	f.parts[part.Number-1] = append(make([]byte, 0, len(plain)), plain...)
	f.octets += len(plain)
	f.have++
	if f.have < int(f.total) {
		return nil, nil
	}
	whole := make([]byte, 0, f.octets)
	for _, p := range f.parts {
		whole = append(whole, p...)
	}
	m.first, m.identity = f.first, f.firstRaw
	s.in.parts = nil
	s.stop(TimerFragments)
	return whole, nil
}

// ownFragments says whether this side has offered fragmentation.
func (s *SA) ownFragments() bool { return s.peerFragments }

// dropFragments gives an incomplete set up.
func (s *SA) dropFragments() {
	s.stop(TimerFragments)
	s.in.parts = nil
}

// lateFragments gives up a set of which the rest did not come in time.
func (s *SA) lateFragments() {
	if f := s.in.parts; f != nil {
		s.check(event.Check{Kind: event.CheckLimit, RFC: "RFC 7383 2.6", What: fmt.Sprintf("fragments of message %d", f.id),
			Local: fmt.Sprintf("all %d within %s", f.total, s.set.HalfOpen), Remote: fmt.Sprintf("%d of %d", f.have, f.total),
			Why: "the rest did not come in time"})
	}
	s.dropFragments()
}
