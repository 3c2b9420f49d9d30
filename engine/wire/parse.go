package wire

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Limits on what one message may hold. A message beyond them has a fatal
// problem; what lies before is returned.
const (
	maxPayloads         = 256
	maxProposals        = 256
	maxAttributes       = 256 // of one transform
	maxConfigAttributes = 1024
	maxDeleteSPIs       = 4096
	maxProblems         = 64 // beyond, only the first fatal one is still recorded
)

const payloadHeaderLength = 4

// ErrShortHeader says that there are fewer octets than an IKE header has.
var ErrShortHeader = errors.New("shorter than an IKE header of 28 octets")

// ParseHeader reads the IKE header (RFC 7296 3.1). It judges nothing: any 28
// octets are a header. The error is ErrShortHeader.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLength {
		return Header{}, fmt.Errorf("%d octets: %w", len(b), ErrShortHeader)
	}
	return Header{
		InitiatorSPI: SPI(binary.BigEndian.Uint64(b)),
		ResponderSPI: SPI(binary.BigEndian.Uint64(b[8:])),
		NextPayload:  PayloadType(b[16]),
		Version:      Version(b[17]),
		Exchange:     ExchangeType(b[18]),
		Flags:        Flags(b[19]),
		MessageID:    binary.BigEndian.Uint32(b[20:]),
		Length:       binary.BigEndian.Uint32(b[24:]),
	}, nil
}

// Parse reads one IKE message. The message is never nil: it holds all that was
// understood. The error is the first fatal Problem (errors.As gives it) or
// ErrShortHeader. Byte slices in the message alias b.
func Parse(b []byte) (*Message, error) {
	m := new(Message)
	m.presize(b)
	return m, m.Decode(b)
}

// presize makes room for the payloads of b, so that a message that is parsed
// once and kept takes no more memory than it needs. It believes nothing of b
// but the order of its payloads.
func (m *Message) presize(b []byte) {
	if len(b) < HeaderLength {
		return
	}
	var payloads, notifies, vendors int
	t := PayloadType(b[16])
	for off := HeaderLength; t != PayloadNone && payloads < maxPayloads && len(b)-off >= payloadHeaderLength; payloads++ {
		switch t {
		case PayloadNotify:
			notifies++
		case PayloadVendor, PayloadV1Vendor:
			vendors++
		}
		n := int(binary.BigEndian.Uint16(b[off+2:]))
		if n < payloadHeaderLength || t == PayloadSK || t == PayloadSKF {
			payloads++
			break
		}
		t = PayloadType(b[off])
		off += n
	}
	m.Payloads = make([]Payload, 0, payloads)
	if notifies > 0 {
		m.pools.notify = make([]Notify, 0, notifies)
	}
	if vendors > 0 {
		m.pools.vendor = make([]VendorID, 0, vendors)
	}
}

// Decode is Parse into m, reusing its memory: whatever an earlier Decode left
// in m, bodies included, is overwritten.
func (m *Message) Decode(b []byte) error {
	m.reset()
	h, err := ParseHeader(b)
	if err != nil {
		m.problem(Problem{Fatal: true, What: "the message is shorter than its header of 28 octets", RFC: "RFC 7296 3.1"})
		return err
	}
	m.Header = h
	end := len(b)
	switch {
	case h.Length < HeaderLength:
		m.problem(Problem{Offset: 24, Fatal: true, RFC: "RFC 7296 3.1", Notify: NotifyInvalidSyntax,
			What: fmt.Sprintf("length %d is shorter than the header", h.Length)})
	case uint64(h.Length) > uint64(len(b)):
		m.problem(Problem{Offset: 24, Fatal: true, RFC: "RFC 7296 3.1", Notify: NotifyInvalidSyntax,
			What: fmt.Sprintf("length says %d octets, %d are there", h.Length, len(b))})
	case int(h.Length) < len(b):
		end = int(h.Length)
		m.Trailing = b[end:]
		m.problem(Problem{Offset: end, RFC: "RFC 7296 3.1",
			What: fmt.Sprintf("%d octets behind the end of the message", len(b)-end)})
	}
	switch h.Version.Major() {
	case 2:
		if r := h.Flags &^ (FlagInitiator | FlagVersion | FlagResponse); r != 0 {
			m.problem(Problem{Offset: 19, RFC: "RFC 7296 3.1", What: fmt.Sprintf("reserved flags %#02x are set", uint8(r))})
		}
		m.chain(b[:end], HeaderLength, h.NextPayload, Version2)
	case 1:
		if h.Flags&FlagV1Encrypted != 0 {
			m.v1Encrypted(b[:end])
		} else {
			m.Padding = m.chain(b[:end], HeaderLength, h.NextPayload, Version1)
		}
	default:
		m.problem(Problem{Offset: 17, Fatal: true, RFC: "RFC 7296 2.5", Notify: NotifyInvalidMajorVersion,
			What: fmt.Sprintf("major version %d is neither 1 nor 2", h.Version.Major())})
	}
	return m.verdict()
}

// ParsePayloads reads a chain of payloads that stood inside an Encrypted
// payload, or (IKEv1) an encrypted message: b starts at the generic header of
// a payload of type first, and offsets count from there. For IKEv2 the padding
// must be cut off; for IKEv1 what follows the last payload is padding. The
// payloads are never nil: an empty chain, as liveness checks have, is a
// decrypted one.
func ParsePayloads(first PayloadType, v Version, b []byte) ([]Payload, []Problem) {
	m := Message{Payloads: []Payload{}}
	m.chain(b, 0, first, v)
	m.sortProblems()
	return m.Payloads, m.Problems
}

// FirstFatal gives the first fatal problem, nil where there is none.
func FirstFatal(ps []Problem) *Problem {
	for i := range ps {
		if ps[i].Fatal {
			p := ps[i]
			return &p
		}
	}
	return nil
}

func (m *Message) reset() {
	m.Header = Header{}
	m.Payloads = m.Payloads[:0]
	m.Problems = m.Problems[:0]
	m.Padding, m.Trailing = nil, nil
	m.pools.reset()
}

func (m *Message) problem(p Problem) {
	if len(m.Problems) < maxProblems || p.Fatal && FirstFatal(m.Problems) == nil {
		m.Problems = append(m.Problems, p)
	}
}

func (m *Message) sortProblems() {
	if len(m.Problems) > 1 {
		slices.SortStableFunc(m.Problems, func(a, b Problem) int { return cmp.Compare(a.Offset, b.Offset) })
	}
}

func (m *Message) verdict() error {
	m.sortProblems()
	if p := FirstFatal(m.Problems); p != nil {
		return fmt.Errorf("IKE message: %w", p)
	}
	return nil
}

// chain reads payloads from b[off:], the first of type t. It returns the
// octets behind the last payload.
func (m *Message) chain(b []byte, off int, t PayloadType, v Version) []byte {
	generic, answer := "RFC 7296 3.2", NotifyInvalidSyntax
	if v.Major() == 1 {
		generic, answer = "RFC 2408 3.2", 0
	}
	for t != PayloadNone {
		fatal := Problem{Offset: off, Payload: t, Fatal: true, RFC: generic, Notify: answer}
		left := len(b) - off
		if len(m.Payloads) == maxPayloads {
			fatal.What = fmt.Sprintf("more than %d payloads", maxPayloads)
			m.problem(fatal)
			return nil
		}
		if left < payloadHeaderLength {
			fatal.What = fmt.Sprintf("%d octets are left for a generic header of 4", left)
			m.problem(fatal)
			return nil
		}
		p := Payload{
			Type:     t,
			Next:     PayloadType(b[off]),
			Critical: b[off+1]&0x80 != 0,
			Reserved: b[off+1] & 0x7f,
			Offset:   off,
			Length:   int(binary.BigEndian.Uint16(b[off+2:])),
		}
		broken := p.Length < payloadHeaderLength || p.Length > left
		switch {
		case p.Length < payloadHeaderLength:
			fatal.What = fmt.Sprintf("payload length %d is shorter than its header", p.Length)
		case p.Length > left:
			fatal.What = fmt.Sprintf("payload length says %d octets, %d are left", p.Length, left)
		}
		if broken {
			m.problem(fatal)
			p.Length = left
		}
		before := len(m.Problems)
		m.body(&p, b, v)
		if broken {
			m.Problems = m.Problems[:before] // consequences of the wrong length
		}
		m.Payloads = append(m.Payloads, p)
		if broken {
			return nil
		}
		off += p.Length
		t = p.Next
		if v.Major() != 1 && (p.Type == PayloadSK || p.Type == PayloadSKF) {
			break // Next is the type of the first inner payload (RFC 7296 3.14)
		}
	}
	if v.Major() != 1 && off < len(b) {
		last := PayloadNone
		if n := len(m.Payloads); n > 0 {
			last = m.Payloads[n-1].Type
		}
		m.problem(Problem{Offset: off, Payload: last, Fatal: true, RFC: generic, Notify: answer,
			What: fmt.Sprintf("%d octets behind the last payload", len(b)-off)})
	}
	return b[off:]
}

// body reads the body of p, whose span lies inside b, and sets p.Body.
func (m *Message) body(p *Payload, b []byte, v Version) {
	r := &reader{m: m, b: b[p.Offset+payloadHeaderLength : p.Offset+p.Length],
		off: p.Offset + payloadHeaderLength, payload: p.Type, rfc: "RFC 7296 3.2", answer: NotifyInvalidSyntax}
	if v.Major() == 1 {
		r.answer = 0
		m.v1Body(r, p)
		return
	}
	if p.Reserved != 0 {
		m.problem(Problem{Offset: p.Offset + 1, Payload: p.Type, RFC: "RFC 7296 3.2",
			What: fmt.Sprintf("reserved bits %#02x are set", p.Reserved)})
	}
	switch p.Type {
	case PayloadSA:
		p.Body = r.sa()
	case PayloadKE:
		p.Body = r.ke()
	case PayloadIDi, PayloadIDr:
		p.Body = r.id()
	case PayloadCert:
		p.Body = r.cert()
	case PayloadCertReq:
		p.Body = r.certReq()
	case PayloadAuth:
		p.Body = r.auth()
	case PayloadNonce:
		p.Body = r.nonce()
	case PayloadNotify:
		p.Body = r.notify()
	case PayloadDelete:
		p.Body = r.delete()
	case PayloadVendor:
		vid := m.pools.vendor.take()
		vid.Data = r.b
		p.Body = vid
	case PayloadTSi, PayloadTSr:
		p.Body = r.ts()
	case PayloadSK:
		e := m.pools.encrypted.take()
		*e = Encrypted{First: p.Next, Data: r.b}
		p.Body = e
	case PayloadSKF:
		p.Body = r.fragment(p.Next)
	case PayloadCP:
		p.Body = r.config()
	case PayloadEAP:
		p.Body = r.eap()
	default:
		p.Body = &Unknown{Data: r.b}
		if p.Critical {
			m.problem(Problem{Offset: p.Offset, Payload: p.Type, Fatal: true, RFC: "RFC 7296 2.5",
				Notify: NotifyUnsupportedCriticalPayload,
				What:   fmt.Sprintf("payload type %d is marked critical and not supported", uint8(p.Type))})
		} else if p.Type.Version1() && p.Type < 33 {
			m.problem(Problem{Offset: p.Offset, Payload: p.Type, RFC: "RFC 7296 3.2",
				What: fmt.Sprintf("payload type %d belongs to IKEv1", uint8(p.Type))})
		}
	}
}
