package wire

import (
	"fmt"
	"strings"
)

// Field is one readable field with the octets that it stands in. The children
// of a field lie inside its span.
type Field struct {
	Name     string
	Value    string // free of control characters, whatever the wire held
	Offset   int    // octets from the start of the message or decrypted chain
	Length   int    // octets; 0 for what stands nowhere on the wire
	Children []Field
}

// Tree gives a parsed message as readable fields: the header, each payload,
// and what lies behind the last. It is nil for a message whose header could
// not be read.
func (m *Message) Tree() []Field {
	if m.Header == (Header{}) {
		return nil
	}
	fs := []Field{m.headerTree()}
	end := HeaderLength
	for i := range m.Payloads {
		f := m.Payloads[i].Tree()
		fs = append(fs, f)
		end = f.Offset + f.Length
	}
	if n := len(m.Padding); n > 0 {
		fs = append(fs, Field{Name: "padding", Value: hexText(m.Padding), Offset: end, Length: n})
		end += n
	}
	if n := len(m.Trailing); n > 0 {
		// Octets between the last payload and the stated length belong to neither.
		fs = append(fs, Field{Name: "behind the message", Value: hexText(m.Trailing), Offset: max(end, int(m.Length)), Length: n})
	}
	return fs
}

func (m *Message) headerTree() Field {
	h := &m.Header
	return Field{Name: "header", Value: fmt.Sprintf("%s %s, message id %s", h.Exchange, h.Role(), h.MessageIDText()), Length: HeaderLength,
		Children: []Field{
			{Name: "initiator SPI", Value: h.InitiatorSPI.String(), Offset: 0, Length: 8},
			{Name: "responder SPI", Value: h.ResponderSPI.String(), Offset: 8, Length: 8},
			{Name: "next payload", Value: numbered(h.NextPayload, int(h.NextPayload)), Offset: 16, Length: 1},
			{Name: "version", Value: h.Version.String(), Offset: 17, Length: 1},
			{Name: "exchange type", Value: numbered(h.Exchange, int(h.Exchange)), Offset: 18, Length: 1},
			{Name: "flags", Value: h.FlagsText(), Offset: 19, Length: 1},
			{Name: "message id", Value: h.MessageIDText(), Offset: 20, Length: 4},
			{Name: "length", Value: fmt.Sprint(h.Length), Offset: 24, Length: 4},
		}}
}

// Role says "request" or "response" for IKEv2, and whether the message is
// encrypted for IKEv1, whose header does not tell requests from responses.
func (h *Header) Role() string {
	switch {
	case h.Version.Major() == 1 && h.Flags&FlagV1Encrypted != 0:
		return "encrypted"
	case h.Version.Major() == 1:
		return "in the clear"
	case h.Response():
		return "response"
	}
	return "request"
}

// MessageIDText gives the message id: a counter in IKEv2, a random number in
// IKEv1, written as 8 hexadecimal digits.
func (h *Header) MessageIDText() string {
	if h.Version.Major() == 1 {
		return fmt.Sprintf("%08x", h.MessageID)
	}
	return fmt.Sprint(h.MessageID)
}

// FlagsText gives the flags by name, "initiator response", "none".
func (h *Header) FlagsText() string {
	names := []struct {
		bit  Flags
		name string
	}{{FlagInitiator, "initiator"}, {FlagVersion, "version"}, {FlagResponse, "response"}}
	if h.Version.Major() == 1 {
		names = names[:0]
		names = append(names, []struct {
			bit  Flags
			name string
		}{{FlagV1Encrypted, "encrypted"}, {FlagV1Commit, "commit"}, {FlagV1AuthOnly, "authentication only"}}...)
	}
	var s []string
	left := h.Flags
	for _, n := range names {
		if h.Flags&n.bit != 0 {
			s = append(s, n.name)
			left &^= n.bit
		}
	}
	if left != 0 {
		s = append(s, fmt.Sprintf("reserved %#02x", uint8(left)))
	}
	if len(s) == 0 {
		return "none"
	}
	return strings.Join(s, ", ")
}

// Tree gives the payload as a readable field with its parts.
func (p *Payload) Tree() Field {
	f := Field{Name: p.Type.String(), Value: p.Summary(), Offset: p.Offset, Length: p.Length}
	off := p.Offset + payloadHeaderLength
	if _, sealed := p.Body.(*V1Encrypted); sealed { // has no generic header
		f.Name = "encrypted"
		return f
	}
	f.Children = []Field{
		{Name: "next payload", Value: numbered(p.Next, int(p.Next)), Offset: p.Offset, Length: 1},
		{Name: "critical", Value: yesNo(p.Critical), Offset: p.Offset + 1, Length: 1},
		{Name: "length", Value: fmt.Sprint(p.Length), Offset: p.Offset + 2, Length: 2},
	}
	f.Children = append(f.Children, p.bodyTree(off)...)
	f.clamp()
	return f
}

// clamp cuts the children of f to its span: a payload that ends early holds
// only some of its fields.
func (f *Field) clamp() {
	end := f.Offset + f.Length
	kept := f.Children[:0]
	for _, c := range f.Children {
		if c.Offset < f.Offset || c.Offset > end || c.Offset == end && c.Length > 0 {
			continue
		}
		c.Length = min(c.Length, end-c.Offset)
		c.clamp()
		kept = append(kept, c)
	}
	f.Children = kept
}

func numbered(name fmt.Stringer, n int) string { return fmt.Sprintf("%s (%d)", name, n) }

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// fields builds a row of fields that follow one another on the wire.
type fields struct {
	list []Field
	off  int
}

func (f *fields) add(length int, name, value string, children ...Field) {
	f.list = append(f.list, Field{Name: name, Value: value, Offset: f.off, Length: length, Children: children})
	f.off += length
}

// bytes adds a field of raw octets, unless it is empty.
func (f *fields) bytes(name string, b []byte) {
	if len(b) > 0 {
		f.add(len(b), name, hexText(b))
	}
}

func (f *fields) skip(n int) { f.off += n }

// bodyTree gives the fields of the body, which starts at off.
func (p *Payload) bodyTree(off int) []Field {
	f := &fields{off: off}
	switch b := p.Body.(type) {
	case *SA:
		for i := range b.Proposals {
			f.list = append(f.list, b.Proposals[i].tree())
		}
	case *KE:
		f.add(2, "group", numbered(b.Group, int(b.Group)))
		f.skip(2)
		f.bytes("key exchange data", b.Data)
	case *ID:
		f.add(1, "type", numbered(b.Type, int(b.Type)))
		f.skip(3)
		f.add(len(b.Data), "identity", cut(b.String()))
	case *Cert:
		f.add(1, "encoding", numbered(b.Encoding, int(b.Encoding)))
		f.certificate(b.Encoding, b.Data)
	case *CertReq:
		f.add(1, "encoding", numbered(b.Encoding, int(b.Encoding)))
		if b.Encoding != CertX509Signature || len(b.Authority)%20 != 0 {
			f.bytes("authority", b.Authority)
			break
		}
		for a := b.Authority; len(a) > 0; a = a[20:] {
			f.bytes("authority key hash", a[:20])
		}
	case *Auth:
		f.add(1, "method", numbered(b.Method, int(b.Method)))
		f.skip(3)
		if alg, sig, ok := b.Signature(); ok {
			f.add(1, "algorithm length", fmt.Sprint(len(alg)))
			f.add(len(alg), "algorithm", SignatureAlgorithmName(alg))
			f.bytes("signature", sig)
		} else {
			f.bytes("authentication data", b.Data)
		}
	case *Nonce:
		f.bytes("nonce", b.Data)
	case *Notify:
		f.add(1, "protocol", numbered(b.Protocol, int(b.Protocol)))
		f.add(1, "SPI size", fmt.Sprint(len(b.SPI)))
		f.add(2, "type", numbered(b.Type, int(b.Type)))
		f.bytes("SPI", b.SPI)
		f.list = append(f.list, b.Details(f.off)...)
	case *Delete:
		f.add(1, "protocol", numbered(b.Protocol, int(b.Protocol)))
		f.spis(b.SPISize, b.SPIs)
	case *VendorID:
		f.add(len(b.Data), "vendor id", hexText(b.Data))
	case *TS:
		f.add(1, "selectors", fmt.Sprint(len(b.Selectors)))
		for i := range b.Selectors {
			f.list = append(f.list, b.Selectors[i].tree())
		}
	case *Encrypted:
		f.bytes("encrypted data", b.Data)
	case *Fragment:
		f.add(2, "fragment number", fmt.Sprint(b.Number))
		f.add(2, "total fragments", fmt.Sprint(b.Total))
		f.bytes("encrypted data", b.Data)
	case *Config:
		f.add(1, "type", numbered(b.Type, int(b.Type)))
		f.skip(3)
		for i := range b.Attributes {
			a := &b.Attributes[i]
			f.add(4+len(a.Data), numbered(a.Type, int(a.Type)), a.Text())
		}
	case *EAP:
		f.add(1, "code", numbered(b.Code, int(b.Code)))
		f.add(1, "identifier", fmt.Sprint(b.Identifier))
		f.skip(2)
		if b.HasType {
			f.add(1, "type", numbered(b.Type, int(b.Type)))
		}
		switch {
		case b.HasType && (b.Type == EAPIdentity || b.Type == EAPNotification):
			f.add(len(b.Data), "text", cut(Escape(b.Data)))
		case b.Code == EAPResponse && (b.Type == EAPGTC || b.Type == EAPOTP): // a password in the clear
			f.add(len(b.Data), "data", fmt.Sprintf("[%d octets]", len(b.Data)))
		default:
			f.bytes("data", b.Data)
		}
	case *Unknown:
		f.bytes("data", b.Data)
	default:
		f.v1Body(p.Body)
	}
	return f.list
}

func (f *fields) spis(size uint8, spis [][]byte) {
	f.add(1, "SPI size", fmt.Sprint(size))
	f.add(2, "SPIs", fmt.Sprint(len(spis)))
	for _, spi := range spis {
		f.bytes("SPI", spi)
	}
}

func (f *fields) certificate(e CertEncoding, data []byte) {
	if e == CertX509Signature || e == CertX509KeyExchange {
		if issuer, subject, ok := CertNames(data); ok {
			n := len(data)
			f.add(n, "certificate", octets(n),
				Field{Name: "subject", Value: cut(subject), Offset: f.off},
				Field{Name: "issuer", Value: cut(issuer), Offset: f.off})
			return
		}
	}
	if (e == CertHashURLX509 || e == CertHashURLX509Bundle) && len(data) > 20 {
		f.bytes("hash", data[:20])
		f.add(len(data)-20, "URL", cut(Escape(data[20:])))
		return
	}
	f.bytes("certificate data", data)
}

func (p *Proposal) tree() Field {
	f := &fields{off: p.Offset + 4}
	f.add(1, "number", fmt.Sprint(p.Number))
	f.add(1, "protocol", numbered(p.Protocol, int(p.Protocol)))
	f.add(1, "SPI size", fmt.Sprint(len(p.SPI)))
	f.add(1, "transforms", fmt.Sprint(len(p.Transforms)))
	f.bytes("SPI", p.SPI)
	for i := range p.Transforms {
		f.list = append(f.list, p.Transforms[i].tree())
	}
	return Field{Name: fmt.Sprintf("proposal %d", p.Number),
		Value:  p.Protocol.String() + " " + cut(FormatProposal(p.Protocol, p.Transforms)),
		Offset: p.Offset, Length: p.Length, Children: f.list}
}

func (t *Transform) tree() Field {
	value := t.Name()
	if n := t.KeyLength(); n != 0 {
		value += fmt.Sprintf("_%d", n)
	}
	f := &fields{off: t.Offset + 4}
	f.add(1, "type", numbered(t.Type, int(t.Type)))
	f.skip(1)
	f.add(2, "id", fmt.Sprintf("%s (%d)", t.Name(), t.ID))
	for i := range t.Attributes {
		a := &t.Attributes[i]
		f.attribute(a, AttributeName(a.Type), "")
	}
	return Field{Name: "transform " + t.Type.String(), Value: value, Offset: t.Offset, Length: t.Length, Children: f.list}
}

// attribute adds a data attribute; meaning says what a short value stands for.
func (f *fields) attribute(a *Attribute, name, meaning string) {
	name = fmt.Sprintf("%s (%d)", name, a.Type)
	switch {
	case a.Short && meaning != "":
		f.add(4, name, fmt.Sprintf("%s (%d)", meaning, a.Value))
	case a.Short:
		f.add(4, name, fmt.Sprint(a.Value))
	default:
		f.add(4+len(a.Data), name, hexText(a.Data))
	}
}

func (s *TrafficSelector) tree() Field {
	f := &fields{off: s.Offset}
	f.add(1, "type", numbered(s.Type, int(s.Type)))
	if s.Start.IsValid() {
		f.add(1, "IP protocol", fmt.Sprint(s.Protocol))
		f.skip(2)
		f.add(2, "start port", fmt.Sprint(s.StartPort))
		f.add(2, "end port", fmt.Sprint(s.EndPort))
		f.add(s.Start.BitLen()/8, "start address", s.Start.String())
		f.add(s.End.BitLen()/8, "end address", s.End.String())
	} else {
		f.skip(3)
		f.bytes("data", s.Data)
	}
	return Field{Name: "selector", Value: s.String(), Offset: s.Offset, Length: s.Length, Children: f.list}
}
