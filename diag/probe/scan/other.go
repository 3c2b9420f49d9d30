package scan

import (
	"encoding/binary"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// future asks with a header of major version 3: whoever runs IKEv2 and answers
// strangers says INVALID_MAJOR_VERSION (RFC 7296 2.5). It tells a host that is
// there from one that no proposal reaches.
func (s *scanner) future(q *Question) error {
	spi := randomSPI()
	m := wire.Message{Header: wire.Header{InitiatorSPI: spi, Version: 0x30, Exchange: wire.ExchangeIKESAInit, Flags: wire.FlagInitiator}}
	return s.simple(q, m.Append(nil), func(m *wire.Message) bool { return m.InitiatorSPI == spi && m.Version.Major() == 2 })
}

// privateCritical is a payload type that nobody has registered (private use).
const privateCritical wire.PayloadType = 200

// unknownPayload asks with a critical payload that the host cannot know; it
// must say UNSUPPORTED_CRITICAL_PAYLOAD (RFC 7296 2.5).
func (s *scanner) unknownPayload(q *Question) error {
	ke, err := suite.NewKeyExchange(wire.KEECP256)
	if err != nil {
		return err
	}
	all := everything()
	a := &attempt{spi: randomSPI(), nonce: randomOctets(32), proposals: all.proposals(), ke: ke}
	request := s.initRequest(q, a, []wire.Payload{{Type: privateCritical, Critical: true, Body: &wire.Unknown{}}})
	return s.simple(q, request, func(m *wire.Message) bool {
		return m.InitiatorSPI == a.spi && m.Exchange == wire.ExchangeIKESAInit && m.Response()
	})
}

// simple asks once and names the notify that answers, or says that something
// did.
func (s *scanner) simple(q *Question, request []byte, fits func(*wire.Message) bool) error {
	q.Requests++
	m, _, err := s.exchange(q, request, fits)
	if err != nil || m == nil {
		return err
	}
	q.Outcome = OutcomeAccepted
	for i := range m.Payloads {
		switch n := m.Payloads[i].Body.(type) {
		case *wire.Notify:
			if n.Type < 16384 || n.Type == wire.NotifyCookie {
				q.Outcome = n.Type.String()
				return nil
			}
		case *wire.V1Notify:
			q.Outcome = n.Type.String()
			return nil
		case *wire.VendorID:
			q.Vendors = append(q.Vendors, append([]byte(nil), n.Data...))
		}
	}
	return nil
}

// v1Transforms are what an IKEv1 responder of the last thirty years takes, in
// attributes of RFC 2409 appendix A: cipher, key length, hash, method, group.
var v1Transforms = [][5]uint16{
	{7, 256, 4, 1, 14}, {7, 256, 2, 1, 14}, {7, 256, 2, 3, 14}, {7, 256, 4, 3, 14}, {7, 128, 2, 1, 2}, {7, 256, 2, 1, 5}, {7, 256, 4, 1, 19},
	{5, 0, 2, 1, 2}, {5, 0, 2, 1, 14}, {5, 0, 1, 1, 2}, {5, 0, 2, 3, 2}, {5, 0, 2, 65001, 2}, {7, 256, 2, 65001, 14}, {1, 0, 1, 1, 1},
}

// v1SA makes the body of an SA payload of IKEv1 (RFC 2408 3.4 to 3.6).
func v1SA(transforms [][5]uint16) []byte {
	var ts []byte
	for i, t := range transforms {
		var attributes []byte
		add := func(kind, value uint16) {
			attributes = binary.BigEndian.AppendUint16(attributes, 0x8000|kind)
			attributes = binary.BigEndian.AppendUint16(attributes, value)
		}
		add(1, t[0])
		if t[1] > 0 {
			add(14, t[1])
		}
		add(2, t[2])
		add(3, t[3])
		add(4, t[4])
		add(11, 1)
		add(12, 28800)
		next := byte(3)
		if i == len(transforms)-1 {
			next = 0
		}
		ts = append(ts, next, 0)
		ts = binary.BigEndian.AppendUint16(ts, uint16(8+len(attributes)))
		ts = append(ts, byte(i+1), wire.V1KeyIKE, 0, 0)
		ts = append(ts, attributes...)
	}
	b := []byte{0, 0, 0, 1, 0, 0, 0, 1, 0, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(ts)))
	b = append(b, 1, 1, 0, byte(len(transforms)))
	return append(b, ts...)
}

func (s *scanner) v1(q *Question, exchange wire.ExchangeType, ps ...wire.Payload) error {
	cookie := randomSPI()
	m := wire.Message{Header: wire.Header{InitiatorSPI: cookie, Version: wire.Version1, Exchange: exchange}, Payloads: ps}
	return s.simple(q, m.Append(nil), func(m *wire.Message) bool { return m.InitiatorSPI == cookie && m.Version.Major() == 1 })
}

// mainMode asks whether anybody speaks IKEv1.
func (s *scanner) mainMode(q *Question) error {
	return s.v1(q, wire.ExchangeV1Main, wire.Payload{Type: wire.PayloadV1SA, Body: &wire.Unknown{Data: v1SA(v1Transforms)}})
}

// aggressive asks whether IKEv1's aggressive mode is on, which gives a hash
// over the preshared key to whoever asks.
func (s *scanner) aggressive(q *Question) error {
	ke, err := suite.NewKeyExchange(wire.KEModp1024)
	if err != nil {
		return err
	}
	var group2 [][5]uint16
	for _, t := range v1Transforms {
		if t[4] == 2 && t[3] == 1 {
			group2 = append(group2, t)
		}
	}
	id := append([]byte{byte(wire.IDKeyID), 0, 0, 0}, "cvlanctl scan"...)
	return s.v1(q, wire.ExchangeV1Aggressive,
		wire.Payload{Type: wire.PayloadV1SA, Body: &wire.Unknown{Data: v1SA(group2)}},
		wire.Payload{Type: wire.PayloadV1KE, Body: &wire.Unknown{Data: ke.Public()}},
		wire.Payload{Type: wire.PayloadV1Nonce, Body: &wire.Unknown{Data: randomOctets(20)}},
		wire.Payload{Type: wire.PayloadV1ID, Body: &wire.Unknown{Data: id}})
}
