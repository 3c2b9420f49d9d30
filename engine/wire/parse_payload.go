package wire

import (
	"encoding/binary"
	"net/netip"
)

func (r *reader) ke() *KE {
	r.rfc = "RFC 7296 3.4"
	k := r.m.pools.ke.take()
	k.Group = KEMethod(r.uint16("group"))
	k.Reserved = r.uint16("reserved octets")
	if k.Reserved != 0 {
		r.note(r.off-2, r.rfc, "reserved octets %#04x are not zero", k.Reserved)
	}
	k.Data = r.rest()
	return k
}

func (r *reader) id() *ID {
	r.rfc = "RFC 7296 3.5"
	id := &ID{Type: IDType(r.uint8("type")), Reserved: r.reserved3()}
	off := r.off
	id.Data = r.rest()
	switch {
	case r.bad:
	case id.Type == IDIPv4Addr && len(id.Data) != 4:
		r.fail(off, r.rfc, "an IPv4 address of %d octets", len(id.Data))
	case id.Type == IDIPv6Addr && len(id.Data) != 16:
		r.fail(off, r.rfc, "an IPv6 address of %d octets", len(id.Data))
	}
	return id
}

func (r *reader) cert() *Cert {
	r.rfc = "RFC 7296 3.6"
	return &Cert{Encoding: CertEncoding(r.uint8("encoding")), Data: r.rest()}
}

func (r *reader) certReq() *CertReq {
	r.rfc = "RFC 7296 3.7"
	c := &CertReq{Encoding: CertEncoding(r.uint8("encoding"))}
	off := r.off
	c.Authority = r.rest()
	if c.Encoding == CertX509Signature && len(c.Authority)%20 != 0 {
		r.note(off, r.rfc, "%d octets are no list of 20-octet hashes", len(c.Authority))
	}
	return c
}

func (r *reader) auth() *Auth {
	r.rfc = "RFC 7296 3.8"
	a := &Auth{Method: AuthMethod(r.uint8("method")), Reserved: r.reserved3()}
	off := r.off
	a.Data = r.rest()
	if a.Method == AuthDigitalSignature && !r.bad {
		if _, _, ok := a.Signature(); !ok {
			r.fail(off, "RFC 7427 3", "the algorithm identifier does not fit into the %d octets", len(a.Data))
		}
	}
	return a
}

func (r *reader) nonce() *Nonce {
	n := r.m.pools.nonce.take()
	off := r.off
	n.Data = r.rest()
	if len(n.Data) < 16 || len(n.Data) > 256 {
		r.fail(off, "RFC 7296 3.9", "a nonce of %d octets, not of 16 to 256", len(n.Data))
	}
	return n
}

func (r *reader) notify() *Notify {
	r.rfc = "RFC 7296 3.10"
	n := r.m.pools.notify.take()
	n.Protocol = ProtocolID(r.uint8("protocol"))
	size := r.uint8("SPI size")
	n.Type = NotifyType(r.uint16("type"))
	n.SPI = r.take(int(size), "SPI")
	n.Data = r.rest()
	return n
}

func (r *reader) delete() *Delete {
	r.rfc = "RFC 7296 3.11"
	off := r.off
	d := &Delete{Protocol: ProtocolID(r.uint8("protocol")), SPISize: r.uint8("SPI size")}
	count := r.uint16("number of SPIs")
	d.SPIs, d.Count = r.spis(off, int(d.SPISize), count)
	return d
}

// spis reads count SPIs of size octets to the end of r; off is where the
// payload's body starts. The number is given back where size is 0.
func (r *reader) spis(off, size int, count uint16) (spis [][]byte, empty uint16) {
	switch {
	case r.bad:
		return nil, 0
	case int(count)*size != len(r.b):
		r.fail(off+1, r.rfc, "%d SPIs of %d octets are announced, %d octets are there", count, size, len(r.b))
		count = uint16(min(int(count), len(r.b)/max(size, 1), maxDeleteSPIs))
		r.bad = false
		defer func() { r.bad = true }()
	case size == 0:
		return nil, count
	case count > maxDeleteSPIs:
		r.fail(off+2, r.rfc, "more than %d SPIs", maxDeleteSPIs)
		count = maxDeleteSPIs
		r.bad = false
		defer func() { r.bad = true }()
	}
	if size == 0 || count == 0 {
		return nil, 0
	}
	spis = make([][]byte, 0, count)
	for range count {
		spis = append(spis, r.take(size, "SPI"))
	}
	return spis, 0
}

func (r *reader) ts() *TS {
	r.rfc = "RFC 7296 3.13"
	off := r.off
	count := int(r.uint8("number of selectors"))
	ts := &TS{Reserved: r.reserved3()}
	r.rfc = "RFC 7296 3.13.1"
	for len(r.b) > 0 && !r.bad && len(ts.Selectors) < count {
		var s TrafficSelector
		r.selector(&s)
		ts.Selectors = append(ts.Selectors, s)
	}
	if !r.bad && (len(r.b) > 0 || len(ts.Selectors) != count) {
		r.fail(off, "RFC 7296 3.13", "%d selectors are announced, %d are there with %d octets behind them",
			count, len(ts.Selectors), len(r.b))
	}
	if !r.bad && count == 0 {
		r.note(off, "RFC 7296 3.13", "no selector")
	}
	return ts
}

// selector reads one traffic selector from the front of r.
func (r *reader) selector(s *TrafficSelector) {
	s.Offset = r.off
	s.Length = len(r.b)
	if len(r.b) < 4 {
		r.fail(r.off, r.rfc, "%d octets are left for a selector's header of 4", len(r.b))
		return
	}
	s.Type, s.Protocol = TSType(r.b[0]), r.b[1]
	length := int(binary.BigEndian.Uint16(r.b[2:]))
	if length < 4 || length > len(r.b) {
		r.fail(r.off+2, r.rfc, "selector length says %d octets, %d are left", length, len(r.b))
		return
	}
	s.Length = length
	b := r.take(length, "selector")
	size := 0
	switch s.Type {
	case TSIPv4AddrRange:
		size = 4
	case TSIPv6AddrRange:
		size = 16
	default:
		s.Data = b[4:]
		return
	}
	if length != 8+2*size {
		s.Data = b[4:]
		r.fail(s.Offset+2, r.rfc, "a selector of type %s has %d octets, not %d", s.Type, length, 8+2*size)
		return
	}
	s.StartPort = binary.BigEndian.Uint16(b[4:])
	s.EndPort = binary.BigEndian.Uint16(b[6:])
	s.Start, _ = netip.AddrFromSlice(b[8 : 8+size])
	s.End, _ = netip.AddrFromSlice(b[8+size:])
	if s.End.Less(s.Start) {
		r.note(s.Offset+8, r.rfc, "the range ends at %s, before its start %s", s.End, s.Start)
	}
}

func (r *reader) fragment(first PayloadType) *Fragment {
	r.rfc = "RFC 7383 2.5"
	off := r.off
	f := r.m.pools.fragment.take()
	*f = Fragment{First: first, Number: r.uint16("fragment number"), Total: r.uint16("total fragments")}
	f.Data = r.rest()
	if !r.bad && (f.Number == 0 || f.Number > f.Total) {
		r.fail(off, r.rfc, "fragment %d of %d", f.Number, f.Total)
	}
	if !r.bad && f.Number > 1 && first != PayloadNone {
		r.note(off-payloadHeaderLength, r.rfc, "next payload is %s in fragment %d, not NONE", first, f.Number)
	}
	return f
}

func (r *reader) config() *Config {
	r.rfc = "RFC 7296 3.15"
	c := &Config{Type: ConfigType(r.uint8("type")), Reserved: r.reserved3()}
	r.rfc = "RFC 7296 3.15.1"
	for len(r.b) > 0 && !r.bad {
		if len(c.Attributes) == maxConfigAttributes {
			r.fail(r.off, r.rfc, "more than %d attributes", maxConfigAttributes)
			break
		}
		t := r.uint16("attribute type")
		n := r.uint16("attribute length")
		c.Attributes = append(c.Attributes, ConfigAttribute{
			Type:     ConfigAttributeType(t &^ 0x8000),
			Reserved: t&0x8000 != 0,
			Data:     r.take(int(n), "attribute value"),
		})
	}
	return c
}

func (r *reader) eap() *EAP {
	r.rfc = "RFC 3748 4"
	total := len(r.b)
	off := r.off
	e := &EAP{Code: EAPCode(r.uint8("code")), Identifier: r.uint8("identifier")}
	n := int(r.uint16("length"))
	if !r.bad && n != total {
		r.fail(off+2, r.rfc, "length says %d octets, %d are there", n, total)
		r.bad = false
		defer func() { r.bad = true }()
	}
	if (e.Code == EAPRequest || e.Code == EAPResponse) && len(r.b) > 0 {
		e.Type, e.HasType = EAPType(r.uint8("type")), true
	}
	e.Data = r.rest()
	return e
}
