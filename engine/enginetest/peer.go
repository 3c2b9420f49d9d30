package enginetest

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Peer is the other end of a Host, played from a script: it sends what it is
// told to, octet for octet, and holds the keys of its IKE SAs by its own
// reckoning (package suite, not package ike). It answers nothing by itself and
// has no timers.
//
// It is at AddrB as initiator or responder; the Host under test is at AddrA.
type Peer struct {
	Host *Host
	// Inbox holds what the Host has sent and the script has not taken yet.
	Inbox []*Heard
	// Group and Proposal are what the Peer uses for the IKE SA.
	Group    wire.KEMethod
	Proposal []wire.Transform
	Key      suite.Secret // the shared key
	ID       wire.ID      // of the Peer
	HostID   wire.ID

	tb  TB
	net *Net
}

// Heard is one message of the Host's, opened where the Peer has the keys.
type Heard struct {
	At       time.Time
	Datagram ike.Datagram
	Raw      []byte // of the IKE message
	Message  *wire.Message
	Inner    []wire.Payload // what was encrypted, or the payloads in the clear
	Sealed   bool
}

// Notify gives the first notify of a type in a message, nil where there is none.
func (h *Heard) Notify(t wire.NotifyType) *wire.Notify { return wire.FindNotify(h.Inner, t) }

// Error gives the first error that a message tells, 0 for none.
func (h *Heard) Error() wire.NotifyType {
	for i := range h.Inner {
		if n, ok := h.Inner[i].Body.(*wire.Notify); ok && n.Type.Error() {
			return n.Type
		}
	}
	return 0
}

// PeerSA is an IKE SA as the Peer holds it.
type PeerSA struct {
	Initiator  bool // the Peer is the original initiator
	SPIi, SPIr wire.SPI
	Ni, Nr     []byte
	Init       [2][]byte // the IKE_SA_INIT request and response that AUTH covers
	Transforms suite.IKETransforms
	PRF        suite.PRF
	Keys       *suite.IKEKeys
	Next       uint32 // message id of the Peer's next request

	seal, open *suite.IKECipher
	ke         suite.KeyExchange
}

// PeerESPSPI is the SPI that the Peer chooses for its first CHILD SA.
const PeerESPSPI wire.ESPSPI = 0xc0ffee01

// NewPeer makes a Peer of the PSK connection "gw", and the Host under test,
// which has the settings of side a of a Pair.
func NewPeer(tb TB, changes ...Change) *Peer {
	tb.Helper()
	p := &Peer{tb: tb, net: New(1), Key: suite.NewSecret([]byte("a shared key of the simulation")), Group: wire.KECurve25519,
		Proposal: Proposals(tb, wire.ProtocolIKE, "aes256gcm16-prfsha256-curve25519")[0],
		ID:       ID(tb, "b.example.org"), HostID: ID(tb, "a.example.org")}
	a, b := PSKConnections(tb)
	var setA, setB ike.Settings
	for _, c := range changes {
		c(a, b, &setA, &setB)
	}
	var err error
	if p.Host, err = p.net.AddHost("a", AddrA, setA, a); err != nil {
		tb.Fatalf("host: %v", err)
	}
	p.net.Judge = func(k *Packet) Fate {
		p.hear(k)
		return Drop
	}
	tb.Cleanup(func() { p.net.finish(tb) })
	return p
}

// hear keeps a datagram of the Host's.
func (p *Peer) hear(k *Packet) {
	h := &Heard{At: p.net.now, Datagram: ike.Datagram{Local: k.Src, Remote: k.Dst, Marked: k.Marked, Octets: k.Octets}}
	kind, raw := wire.ClassifyUDP(k.Octets, k.Marked)
	if kind == wire.UDPKeepalive {
		return
	}
	h.Raw = raw
	m, err := wire.Parse(raw)
	if err != nil {
		p.tb.Errorf("the host sends what does not parse: %v", err)
		return
	}
	h.Message, h.Inner = m, m.Payloads
	_, h.Sealed = m.Sealed()
	p.Inbox = append(p.Inbox, h)
}

// Run lets virtual time pass for the Host.
func (p *Peer) Run(d time.Duration) { p.net.Run(d) }

// Now is the virtual time.
func (p *Peer) Now() time.Time { return p.net.now }

// Send hands octets to the Host, from the Peer's address and port 500.
func (p *Peer) Send(octets []byte) { p.SendFrom(netip.AddrPortFrom(AddrB, wire.PortIKE), octets) }

// SendFrom hands octets to the Host's port 500 from any address.
func (p *Peer) SendFrom(from netip.AddrPort, octets []byte) {
	p.net.Ladder.note(p.net.now, fmt.Sprintf("peer sends %s", label(ike.Datagram{Octets: octets}, nil)))
	p.net.step(p.Host, ike.Input{Datagram: &ike.Datagram{
		Local: netip.AddrPortFrom(AddrA, wire.PortIKE), Remote: from, Octets: slices.Clone(octets)}})
}

// Take gives the oldest message of the Host's, opened with the keys of an SA
// where one is given, and fails the test where there is none.
func (p *Peer) Take(s *PeerSA) *Heard {
	p.tb.Helper()
	if len(p.Inbox) == 0 {
		p.tb.Fatalf("the host has sent nothing")
	}
	h := p.Inbox[0]
	p.Inbox = p.Inbox[1:]
	if s != nil && h.Sealed {
		inner, err := s.Open(h.Raw, h.Message)
		if err != nil {
			p.tb.Fatalf("the host's message does not open: %v", err)
		}
		h.Inner = inner
	}
	return h
}

// Silent fails the test where the Host has sent anything.
func (p *Peer) Silent() {
	p.tb.Helper()
	for _, h := range p.Inbox {
		p.tb.Errorf("the host sent %s %d, want silence", h.Message.Exchange, h.Message.MessageID)
	}
	p.Inbox = nil
}

// SA gives the one IKE SA that stands on the Host.
func (p *Peer) SA() *ike.SA {
	p.tb.Helper()
	list := p.Host.Established()
	if len(list) != 1 {
		p.tb.Fatalf("the host has %d IKE SAs, want 1: %v", len(list), p.Host.Errs)
	}
	return list[0]
}

// Header gives the header of a message of the Peer's for an SA.
func (s *PeerSA) Header(x wire.ExchangeType, id uint32, response bool) wire.Header {
	h := wire.Header{InitiatorSPI: s.SPIi, ResponderSPI: s.SPIr, Version: wire.Version2, Exchange: x, MessageID: id}
	if s.Initiator {
		h.Flags |= wire.FlagInitiator
	}
	if response {
		h.Flags |= wire.FlagResponse
	}
	return h
}

// Seal makes a message with an encrypted payload from any header and any
// octets as its inner payloads.
func (s *PeerSA) Seal(h wire.Header, first wire.PayloadType, plain []byte) ([]byte, error) {
	m := wire.Message{Header: h}
	b := m.Append(nil)
	body := wire.HeaderLength + 4 + s.seal.SealedLen(len(plain))
	b[16] = uint8(wire.PayloadSK)
	binary.BigEndian.PutUint32(b[24:], uint32(body))
	b = append(b, uint8(first), 0)
	b = binary.BigEndian.AppendUint16(b, uint16(body-wire.HeaderLength))
	return s.seal.Seal(b, b, plain)
}

// Open gives the inner payloads of a message of the Host's.
func (s *PeerSA) Open(raw []byte, m *wire.Message) ([]wire.Payload, error) {
	last := &m.Payloads[len(m.Payloads)-1]
	e, ok := last.Body.(*wire.Encrypted)
	if !ok {
		return nil, fmt.Errorf("the last payload is %s", last.Type)
	}
	plain, err := s.open.Open(nil, raw[:last.Offset+4], e.Data)
	if err != nil {
		return nil, err
	}
	ps, problems := wire.ParsePayloads(e.First, wire.Version2, plain)
	if fatal := wire.FirstFatal(problems); fatal != nil {
		return nil, fatal
	}
	return ps, nil
}

// Octets makes a sealed message of payloads.
func (p *Peer) Octets(s *PeerSA, h wire.Header, ps ...wire.Payload) []byte {
	p.tb.Helper()
	first := wire.PayloadNone
	if len(ps) > 0 {
		first = ps[0].Type
	}
	b, err := s.Seal(h, first, wire.AppendPayloads(nil, ps))
	if err != nil {
		p.tb.Fatalf("%v", err)
	}
	return b
}

// Ask sends a request and gives the Host's answer.
func (p *Peer) Ask(s *PeerSA, x wire.ExchangeType, ps ...wire.Payload) *Heard {
	p.tb.Helper()
	h := s.Header(x, s.Next, false)
	s.Next++
	p.Send(p.Octets(s, h, ps...))
	a := p.Take(s)
	if !a.Message.Response() || a.Message.MessageID != h.MessageID || a.Message.Exchange != x {
		p.tb.Fatalf("the host's answer to %s %d is %s %d", x, h.MessageID, a.Message.Exchange, a.Message.MessageID)
	}
	return a
}

// Answer sends the answer to a request of the Host's.
func (p *Peer) Answer(s *PeerSA, request *Heard, ps ...wire.Payload) {
	p.tb.Helper()
	p.Send(p.Octets(s, s.Header(request.Message.Exchange, request.Message.MessageID, true), ps...))
}

// Body wraps a body into a payload.
func Body(t wire.PayloadType, b wire.Body) wire.Payload { return wire.Payload{Type: t, Body: b} }

// Note makes a Notify payload.
func Note(t wire.NotifyType, data ...byte) wire.Payload {
	return Body(wire.PayloadNotify, &wire.Notify{Type: t, Data: data})
}

// PayloadOf gives the body of the first payload of a type.
func PayloadOf[B wire.Body](tb TB, ps []wire.Payload, t wire.PayloadType) B {
	tb.Helper()
	p := wire.First(ps, t)
	if p == nil {
		tb.Fatalf("there is no %s payload", t)
	}
	b, ok := p.Body.(B)
	if !ok {
		tb.Fatalf("the %s payload is %T", t, p.Body)
	}
	return b
}
