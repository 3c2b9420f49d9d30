package ike

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// message is one message of the peer's, opened.
type message struct {
	id       uint32
	exchange wire.ExchangeType
	response bool
	first    wire.PayloadType
	payloads []wire.Payload
	raw      []byte // as it came, of the last fragment
	identity []byte // what a repetition has to be equal to: raw, or fragment 1
	path     path
	told     *event.Packet // the report of it, nil where none is wanted
	rtt      time.Duration // of a response
	repeated bool          // its request was sent more than once

	notify wire.NotifyType // the problem with it, 0 for none: answered with this
	data   []byte
	fault  *Failure
}

// find gives the body of the first payload of a type, nil where there is none.
func find[B wire.Body](m *message, t wire.PayloadType) B {
	var none B
	if p := wire.First(m.payloads, t); p != nil {
		if b, ok := p.Body.(B); ok {
			return b
		}
	}
	return none
}

func (m *message) has(t wire.NotifyType) *wire.Notify { return wire.FindNotify(m.payloads, t) }

// refusal gives the first error notify, nil where there is none.
func (m *message) refusal() *wire.Notify {
	for i := range m.payloads {
		if n, ok := m.payloads[i].Body.(*wire.Notify); ok && n.Type.Error() {
			return n
		}
	}
	return nil
}

// datagram takes one datagram.
func (s *SA) datagram(d *Datagram) {
	octets := d.Octets
	if d.Marked {
		kind, rest := wire.ClassifyUDP(octets, true)
		if kind != wire.UDPIKEMarked {
			return
		}
		octets = rest
	}
	p := path{local: d.Local, remote: d.Remote, marked: d.Marked}
	if s.ended() {
		if h, err := wire.ParseHeader(octets); err == nil && !h.Response() && !s.repeat(h.MessageID, octets, p) {
			s.check(event.Check{Kind: event.CheckMessage, RFC: "RFC 7296 1.4.1", What: "message for an IKE SA that has ended",
				Local: s.why, Remote: fmt.Sprintf("%s request %d", h.Exchange, h.MessageID)})
		}
		return
	}
	s.receive(octets, p)
}

// receive takes one IKE message.
func (s *SA) receive(raw []byte, p path) {
	parsed, err := wire.Parse(raw)
	var problem *wire.Problem
	if err != nil && !errors.As(err, &problem) {
		s.ignore(event.Check{Kind: event.CheckMessage, RFC: "RFC 7296 3.1", What: "message", Local: "an IKE message",
			Remote: fmt.Sprintf("%d octets", len(raw)), Why: err.Error()}, err.Error())
		return
	}
	h := &parsed.Header
	if h.Initiator() == s.initiator || h.InitiatorSPI != s.spiI || h.ResponderSPI != s.spiR && s.spiR != 0 &&
		h.Exchange != wire.ExchangeIKESAInit {
		own := s.header(h.Exchange, h.MessageID, h.Response())
		own.Flags ^= wire.FlagInitiator
		s.ignore(event.Check{Kind: event.CheckMessage, RFC: "RFC 7296 3.1", What: fmt.Sprintf("header of %s message %d", h.Exchange, h.MessageID),
			Local: headerWords(&own), Remote: headerWords(h)}, "not for this SA: wrong SPIs or initiator flag")
		return
	}
	m := &message{id: h.MessageID, exchange: h.Exchange, response: h.Response(), raw: raw, identity: raw, path: p}
	if h.Exchange == wire.ExchangeIKESAInit {
		m.payloads = parsed.Payloads
		m.told = s.packet(false, p, raw, parsed, nil, nil)
		s.initMessage(m, parsed, problem)
		return
	}
	s.prepare()
	if _, sealed := parsed.Sealed(); !sealed || s.open == nil {
		// Nothing in the clear is believed once there are keys (RFC 7296 2.21.3).
		c := event.Check{Kind: event.CheckMessage, RFC: "RFC 7296 2.21", What: fmt.Sprintf("protection of %s message %d", h.Exchange, h.MessageID),
			Local: "an SK payload under the keys of this IKE SA", Remote: "in the clear: " + payloadNames(parsed.Payloads)}
		if s.open == nil {
			c.Local = "nothing but IKE_SA_INIT, before there are keys"
		}
		s.ignore(c, fmt.Sprintf("%s in the clear is ignored", h.Exchange))
		return
	}
	// The window comes before the effort.
	if !s.timely(m) {
		return
	}
	if problem != nil {
		s.ignore(event.Check{Kind: event.CheckMessage, RFC: problem.RFC, What: fmt.Sprintf("form of %s message %d", m.exchange, m.id),
			Local: "well-formed payloads", Remote: payloadNames(parsed.Payloads), Why: problem.What}, problem.What)
		return
	}
	plain, first, part, err := s.unseal(raw, parsed)
	if err != nil {
		s.ignore(event.Check{Kind: event.CheckIntegrity, RFC: "RFC 7296 3.14", Local: "the keys of this IKE SA", Why: err.Error(),
			What: fmt.Sprintf("%s message %d", m.exchange, m.id), Remote: fmt.Sprintf("%d octets from %s", len(raw), p.remote)}, err.Error())
		return
	}
	m.first = first
	if part != nil {
		whole, f := s.collect(m, part, first, plain, raw)
		if f != nil {
			s.fail(f)
		}
		if whole == nil {
			return
		}
		plain = whole
	}
	s.authentic(m, parsed, plain)
}

// timely says whether a message is within the window: an answer that is waited
// for, or a request that is new. One that came before gets its answer again.
func (s *SA) timely(m *message) bool {
	if m.response {
		if !s.expectsAnswer(m.id) {
			return s.check(event.Check{Kind: event.CheckMessage, RFC: "RFC 7296 2.1", What: fmt.Sprintf("message id of an answer to %s", m.exchange),
				Local: s.requestIDs(), Remote: fmt.Sprint(m.id), Why: "late, or repeated"})
		}
		return true
	}
	if s.repeat(m.id, m.raw, m.path) {
		return false
	}
	if !s.in.expects(m.id, s.set.Window) && s.in.answered(m.id) == nil {
		s.ignore(event.Check{Kind: event.CheckMessageID, What: fmt.Sprintf("message id of a request %s", m.exchange),
			Local: fmt.Sprintf("%d", s.in.next), Remote: fmt.Sprintf("%d", m.id), RFC: "RFC 7296 2.3"},
			fmt.Sprintf("request %d is outside the window, which begins at %d", m.id, s.in.next))
		return false
	}
	return true
}

func (s *SA) expectsAnswer(id uint32) bool {
	for _, r := range s.out.requests {
		if r.id == id {
			return true
		}
	}
	return false
}

// authentic takes a message that the keys have opened.
func (s *SA) authentic(m *message, parsed *wire.Message, plain []byte) {
	s.hear()
	if a := s.in.answered(m.id); !m.response && a != nil {
		s.note("repeat", "", "request %d came again, with other octets; its answer goes again", m.id)
		s.transmit(m.path, a.wire...)
		return
	}
	s.follow(m.path)
	inner, problems := wire.ParsePayloads(m.first, wire.Version2, plain)
	m.payloads = inner
	m.told = s.packet(false, m.path, m.raw, parsed, inner, plain)
	problem := wire.FirstFatal(problems)
	var form *wire.Form
	if problem == nil {
		head := *parsed
		var wrong []wire.Problem
		form, wrong = wire.Match(&head, inner)
		problem = wire.FirstFatal(wrong)
	}
	if problem != nil {
		m.notify = problem.Notify
		if problem.Notify == wire.NotifyUnsupportedCriticalPayload {
			m.data = []byte{uint8(problem.Payload)}
		}
		m.fault = s.malformed(problem.Payload, problem.RFC, fmt.Sprintf("%s message %d", m.exchange, m.id), formWords(form), inner, problem.What)
		m.fault.Notify = problem.Notify
	}
	if m.response {
		if m.fault != nil {
			s.badResponse(m)
			return
		}
		s.response(m)
		return
	}
	if s.initiator && !s.authenticated {
		// It overtook the answer to IKE_AUTH; the peer will repeat it.
		s.ignore(event.Check{Kind: event.CheckMessage, RFC: "RFC 7296 2.21.2", What: fmt.Sprintf("%s request %d", m.exchange, m.id),
			Local: "the answer to IKE_AUTH comes first", Remote: payloadNames(inner)}, fmt.Sprintf("%s request before the answer to IKE_AUTH", m.exchange))
		return
	}
	s.request(m)
}

// badResponse takes an authentic response that makes no sense: nothing can be
// built on it (RFC 7296 2.21.3).
func (s *SA) badResponse(m *message) {
	s.fail(m.fault)
	for _, r := range s.out.requests {
		if r.id == m.id {
			s.end(engine.IKEFailed, fmt.Sprintf("the answer to %s is malformed: %s", r.task.name(), m.fault.Text), false)
			return
		}
	}
}

// request answers an authentic request.
func (s *SA) request(m *message) {
	var ps []wire.Payload
	switch {
	case m.fault != nil:
		m.fault.Survived = m.notify == wire.NotifyUnsupportedCriticalPayload && s.authenticated
		s.fail(m.fault)
		if m.notify == 0 {
			m.notify = wire.NotifyInvalidSyntax
		}
		ps = notify(m.notify, m.data)
		if !m.fault.Survived {
			s.over, s.why = true, "the peer's request is malformed: "+m.fault.Text
		}
	case m.exchange == wire.ExchangeIKEAuth && !s.authenticated && !s.initiator:
		ps = s.answerAuth(m)
	case !s.authenticated:
		s.fail(s.malformed(0, "RFC 7296 2.21.2", fmt.Sprintf("%s request %d", m.exchange, m.id), "IKE_AUTH comes first", m.payloads,
			fmt.Sprintf("%s before IKE_AUTH", m.exchange)))
		ps = notify(wire.NotifyInvalidSyntax, nil)
		s.over, s.why = true, fmt.Sprintf("the peer sent %s before IKE_AUTH", m.exchange)
	case m.exchange == wire.ExchangeCreateChildSA:
		ps = s.answerCreate(m)
	case m.exchange == wire.ExchangeInformational:
		ps = s.answerInformational(m)
	default:
		s.fail(s.malformed(0, "RFC 7296 3.1", fmt.Sprintf("%s request %d", m.exchange, m.id), "CREATE_CHILD_SA or INFORMATIONAL", m.payloads,
			fmt.Sprintf("%s has no place here", m.exchange)))
		ps = notify(wire.NotifyInvalidSyntax, nil)
	}
	if n := wire.FindNotify(ps, wire.NotifyInvalidSyntax); n != nil && !s.over {
		// It ends the IKE SA on both sides (RFC 7296 2.21.3).
		s.over, s.why = true, "the peer's request makes no sense"
		if s.res.Err != nil {
			s.res.Err.Survived = false
			s.why += ": " + s.res.Err.Text
		}
	}
	s.reply(m, ps)
}

// reply sends, and keeps, the answer to a request.
func (s *SA) reply(m *message, ps []wire.Payload) {
	octets, err := s.protect(m.exchange, m.id, true, ps)
	if err != nil {
		s.fail(&Failure{Text: err.Error()})
		s.end(engine.IKEFailed, err.Error(), false)
		return
	}
	a := answer{id: m.id, digest: sha256.Sum256(m.identity), wire: octets}
	if m.exchange != wire.ExchangeIKESAInit { // which is reported as it comes
		a.asked = m.told
	}
	if n := len(s.res.Events); m.told != nil && n > 0 {
		a.told = s.res.Events[n-1].Packet // protect has just reported it
	}
	s.in.keep(a, s.set.Window)
	s.transmit(m.path, octets...)
	if s.over {
		s.over = false
		state, why := engine.IKEFailed, s.why
		if s.state == engine.IKEDeleting {
			state = engine.IKEDeleted
		}
		s.why = ""
		s.end(state, why, true)
	}
}

// notify makes a chain of one notify.
func notify(t wire.NotifyType, data []byte) []wire.Payload {
	return []wire.Payload{{Type: wire.PayloadNotify, Body: &wire.Notify{Type: t, Data: data}}}
}

func payload(t wire.PayloadType, b wire.Body) wire.Payload { return wire.Payload{Type: t, Body: b} }

// payloadNames lists payloads as people read them.
func payloadNames(ps []wire.Payload) string {
	text := ""
	for i := range ps {
		if i == 16 {
			return text + " ..."
		}
		if i > 0 {
			text += " "
		}
		text += ps[i].Type.String()
	}
	if text == "" {
		return "no payloads"
	}
	return text
}

// packet reports a message as it goes or comes, where that is wanted, and gives
// the report.
func (s *SA) packet(sent bool, p path, raw []byte, m *wire.Message, inner []wire.Payload, plain []byte) *event.Packet {
	if !s.set.Packets {
		return nil
	}
	if m == nil {
		m, _ = wire.Parse(raw)
	}
	src, dst := p.remote, p.local
	if sent {
		src, dst = dst, src
	}
	encap := event.UDP
	if p.marked {
		encap = event.UDPNATT
	}
	e := &event.Packet{Src: src.Addr(), Dst: dst.Addr(), SrcPort: src.Port(), DstPort: dst.Port(), Proto: event.IKEv2,
		Encap: encap, Length: len(raw), Octets: raw, IKE: &event.IKE{Message: m}}
	if _, sealed := m.Sealed(); sealed {
		e.IKE.Decrypted, e.IKE.Inner, e.IKE.Plain = true, inner, plain
		if sent { // parsed, for the offsets
			first := wire.PayloadNone
			if len(inner) > 0 {
				first = inner[0].Type
			}
			e.IKE.Inner, e.IKE.InnerProblems = wire.ParsePayloads(first, wire.Version2, plain)
		}
	}
	s.emit(event.Event{Packet: e})
	return e
}
