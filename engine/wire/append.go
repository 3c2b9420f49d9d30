package wire

import (
	"encoding/binary"
	"net/netip"
)

// Append appends the message to dst: the header with Length and NextPayload
// computed from the payloads (both fields of m are ignored, except that an
// IKEv1 message whose body is encrypted keeps its NextPayload), the payloads
// with their chain and lengths, then Padding and Trailing. For every message
// that Parse accepts the result is what was parsed. Lengths that do not fit
// their field are the caller's mistake: keep a payload under 65536 octets.
func (m *Message) Append(dst []byte) []byte {
	start := len(dst)
	next := m.NextPayload
	if len(m.Payloads) > 0 {
		next = m.Payloads[0].Type
	} else if m.Version.Major() != 1 {
		next = PayloadNone
	}
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.InitiatorSPI))
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.ResponderSPI))
	dst = append(dst, uint8(next), uint8(m.Version), uint8(m.Exchange), uint8(m.Flags))
	dst = binary.BigEndian.AppendUint32(dst, m.MessageID)
	dst = append(dst, 0, 0, 0, 0)
	if e, ok := m.v1Sealed(); ok {
		dst = append(dst, e.Data...)
	} else {
		dst = AppendPayloads(dst, m.Payloads)
	}
	dst = append(dst, m.Padding...)
	binary.BigEndian.PutUint32(dst[start+24:], uint32(len(dst)-start))
	return append(dst, m.Trailing...)
}

// AppendPayloads appends a chain of payloads, each with its generic header.
// Next Payload fields are computed: the type of the payload that follows, 0
// for the last, and for SK and SKF their First. Offset, Length and Next of the
// payloads are ignored.
func AppendPayloads(dst []byte, ps []Payload) []byte {
	for i := range ps {
		p := &ps[i]
		next := PayloadNone
		if i+1 < len(ps) {
			next = ps[i+1].Type
		}
		switch body := p.Body.(type) {
		case *Encrypted:
			next = body.First
		case *Fragment:
			next = body.First
		}
		flags := p.Reserved & 0x7f
		if p.Critical {
			flags |= 0x80
		}
		start := len(dst)
		dst = append(dst, uint8(next), flags, 0, 0)
		if p.Body != nil {
			dst = p.Body.appendBody(dst)
		}
		binary.BigEndian.PutUint16(dst[start+2:], uint16(len(dst)-start))
	}
	return dst
}

// AppendBody appends a payload's octets behind its generic header, the form
// that AUTH is computed over for IDi and IDr (RFC 7296 2.15).
func AppendBody(dst []byte, b Body) []byte { return b.appendBody(dst) }

func (s *SA) appendBody(b []byte) []byte {
	for i := range s.Proposals {
		p := &s.Proposals[i]
		start := len(b)
		last := uint8(moreProposals)
		if i == len(s.Proposals)-1 {
			last = 0
		}
		b = append(b, last, p.Reserved, 0, 0, p.Number, uint8(p.Protocol), uint8(len(p.SPI)), uint8(len(p.Transforms)))
		b = append(b, p.SPI...)
		for j := range p.Transforms {
			b = p.Transforms[j].append(b, j == len(p.Transforms)-1)
		}
		binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	}
	return b
}

func (t *Transform) append(b []byte, isLast bool) []byte {
	start := len(b)
	last := uint8(moreTransforms)
	if isLast {
		last = 0
	}
	b = append(b, last, t.Reserved1, 0, 0, uint8(t.Type), t.Reserved2)
	b = binary.BigEndian.AppendUint16(b, t.ID)
	for i := range t.Attributes {
		b = t.Attributes[i].append(b)
	}
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	return b
}

func (a *Attribute) append(b []byte) []byte {
	if a.Short {
		b = binary.BigEndian.AppendUint16(b, a.Type|0x8000)
		return binary.BigEndian.AppendUint16(b, a.Value)
	}
	b = binary.BigEndian.AppendUint16(b, a.Type&^0x8000)
	b = binary.BigEndian.AppendUint16(b, uint16(len(a.Data)))
	return append(b, a.Data...)
}

func (k *KE) appendBody(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(k.Group))
	b = binary.BigEndian.AppendUint16(b, k.Reserved)
	return append(b, k.Data...)
}

func (i *ID) appendBody(b []byte) []byte {
	b = append(b, uint8(i.Type))
	b = append(b, i.Reserved[:]...)
	return append(b, i.Data...)
}

func (c *Cert) appendBody(b []byte) []byte {
	return append(append(b, uint8(c.Encoding)), c.Data...)
}

func (c *CertReq) appendBody(b []byte) []byte {
	return append(append(b, uint8(c.Encoding)), c.Authority...)
}

func (a *Auth) appendBody(b []byte) []byte {
	b = append(b, uint8(a.Method))
	b = append(b, a.Reserved[:]...)
	return append(b, a.Data...)
}

func (n *Nonce) appendBody(b []byte) []byte { return append(b, n.Data...) }

func (n *Notify) appendBody(b []byte) []byte {
	b = append(b, uint8(n.Protocol), uint8(len(n.SPI)))
	b = binary.BigEndian.AppendUint16(b, uint16(n.Type))
	b = append(b, n.SPI...)
	return append(b, n.Data...)
}

func (d *Delete) appendBody(b []byte) []byte {
	count := d.Count
	if d.SPISize != 0 {
		count = uint16(len(d.SPIs))
	}
	b = append(b, uint8(d.Protocol), d.SPISize)
	b = binary.BigEndian.AppendUint16(b, count)
	for _, spi := range d.SPIs {
		b = append(b, spi...)
	}
	return b
}

func (v *VendorID) appendBody(b []byte) []byte { return append(b, v.Data...) }

func (t *TS) appendBody(b []byte) []byte {
	b = append(b, uint8(len(t.Selectors)))
	b = append(b, t.Reserved[:]...)
	for i := range t.Selectors {
		b = t.Selectors[i].append(b)
	}
	return b
}

func (s *TrafficSelector) append(b []byte) []byte {
	start := len(b)
	b = append(b, uint8(s.Type), s.Protocol, 0, 0)
	if s.Start.IsValid() {
		b = binary.BigEndian.AppendUint16(b, s.StartPort)
		b = binary.BigEndian.AppendUint16(b, s.EndPort)
		b = appendAddr(b, s.Start)
		b = appendAddr(b, s.End)
	} else {
		b = append(b, s.Data...)
	}
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	return b
}

// appendAddr appends 4 or 16 octets, nothing for the zero Addr.
func appendAddr(b []byte, a netip.Addr) []byte {
	switch {
	case a.Is4():
		v := a.As4()
		return append(b, v[:]...)
	case a.Is6():
		v := a.As16()
		return append(b, v[:]...)
	}
	return b
}

func (e *Encrypted) appendBody(b []byte) []byte { return append(b, e.Data...) }

func (f *Fragment) appendBody(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, f.Number)
	b = binary.BigEndian.AppendUint16(b, f.Total)
	return append(b, f.Data...)
}

func (c *Config) appendBody(b []byte) []byte {
	b = append(b, uint8(c.Type))
	b = append(b, c.Reserved[:]...)
	for i := range c.Attributes {
		a := &c.Attributes[i]
		t := uint16(a.Type) &^ 0x8000
		if a.Reserved {
			t |= 0x8000
		}
		b = binary.BigEndian.AppendUint16(b, t)
		b = binary.BigEndian.AppendUint16(b, uint16(len(a.Data)))
		b = append(b, a.Data...)
	}
	return b
}

func (e *EAP) appendBody(b []byte) []byte {
	length := 4 + len(e.Data)
	if e.HasType {
		length++
	}
	b = append(b, uint8(e.Code), e.Identifier)
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	if e.HasType {
		b = append(b, uint8(e.Type))
	}
	return append(b, e.Data...)
}

func (u *Unknown) appendBody(b []byte) []byte { return append(b, u.Data...) }
