package wire

import (
	"encoding/binary"
	"net/netip"
)

// v1Encrypted keeps all behind the header of b as one opaque payload.
func (m *Message) v1Encrypted(b []byte) {
	data := b[HeaderLength:]
	m.Payloads = append(m.Payloads, Payload{
		Type:   m.NextPayload,
		Offset: HeaderLength,
		Length: len(data),
		Body:   &V1Encrypted{First: m.NextPayload, Data: data},
	})
	if len(data) == 0 {
		m.problem(Problem{Offset: HeaderLength, Payload: m.NextPayload, Fatal: true, RFC: "RFC 2408 3.1",
			What: "the encryption flag is set and nothing follows the header"})
	}
}

// v1Body reads the body of an IKEv1 payload and sets p.Body.
func (m *Message) v1Body(r *reader, p *Payload) {
	r.rfc = "RFC 2408 3.2"
	if p.Reserved != 0 || p.Critical {
		r.note(p.Offset+1, r.rfc, "the reserved octet is not zero")
	}
	raw := r.b
	switch p.Type {
	case PayloadV1SA:
		sa := r.v1SA()
		sa.raw = raw
		p.Body = sa
	case PayloadV1KE:
		p.Body = &V1KE{Data: raw}
	case PayloadV1ID:
		r.rfc = "RFC 2407 4.6.2"
		p.Body = &V1ID{Type: V1IDType(r.uint8("type")), Protocol: r.uint8("protocol"),
			Port: r.uint16("port"), Data: r.rest(), raw: raw}
	case PayloadV1Cert:
		r.rfc = "RFC 2408 3.9"
		p.Body = &V1Cert{Encoding: CertEncoding(r.uint8("encoding")), Data: r.rest(), raw: raw}
	case PayloadV1CertReq:
		r.rfc = "RFC 2408 3.10"
		p.Body = &V1CertReq{Encoding: CertEncoding(r.uint8("encoding")), Authority: r.rest(), raw: raw}
	case PayloadV1Hash:
		p.Body = &V1Hash{Data: raw}
	case PayloadV1Sig:
		p.Body = &V1Sig{Data: raw}
	case PayloadV1Nonce:
		n := m.pools.nonce.take()
		n.Data = raw
		p.Body = n
		if len(raw) < 8 || len(raw) > 256 {
			r.note(r.off, "RFC 2409 5", "a nonce of %d octets, not of 8 to 256", len(raw))
		}
	case PayloadV1Notify:
		n := r.v1Notify()
		n.raw = raw
		p.Body = n
	case PayloadV1Delete:
		r.rfc = "RFC 2408 3.15"
		d := &V1Delete{DOI: V1DOI(r.uint32("DOI")), raw: raw}
		off := r.off
		d.Protocol = V1ProtocolID(r.uint8("protocol"))
		d.SPISize = r.uint8("SPI size")
		d.SPIs, _ = r.spis(off, int(d.SPISize), r.uint16("number of SPIs"))
		p.Body = d
	case PayloadV1Vendor:
		vid := m.pools.vendor.take()
		vid.Data = raw
		p.Body = vid
	case PayloadV1Attributes:
		r.rfc = "RFC 2408 3.3"
		a := &V1Attributes{Type: ConfigType(r.uint8("type")), raw: raw}
		r.take(1, "reserved octet")
		a.Identifier = r.uint16("identifier")
		a.Attributes = r.attributes(nil)
		p.Body = a
	case PayloadV1NATD, PayloadV1NATDDraft:
		p.Body = &V1NATD{Data: raw}
	case PayloadV1NATOA, PayloadV1NATOADraft:
		o := r.v1NATOA()
		o.raw = raw
		p.Body = o
	case PayloadV1Fragment:
		r.rfc = "no RFC, vendors' IKE fragmentation"
		p.Body = &V1Fragment{ID: r.uint16("fragment id"), Number: r.uint8("fragment number"),
			Last: r.uint8("flags")&1 != 0, Data: r.rest(), raw: raw}
	default:
		p.Body = &Unknown{Data: raw}
		if p.Type >= 33 && p.Type < 128 {
			r.note(p.Offset, "RFC 2408 3.1", "payload type %d is not one of IKEv1", uint8(p.Type))
		}
	}
}

func (r *reader) v1SA() *V1SA {
	r.rfc = "RFC 2408 3.4"
	sa := &V1SA{DOI: V1DOI(r.uint32("DOI"))}
	if !r.bad && sa.DOI != V1DOIIPsec && sa.DOI != V1DOIISAKMP {
		r.note(r.off-4, r.rfc, "DOI %d is not read", uint32(sa.DOI))
		return sa
	}
	sa.Situation = r.uint32("situation")
	if !r.bad && sa.Situation&(V1SituationSecrecy|V1SituationIntegrity) != 0 {
		r.note(r.off-4, "RFC 2407 4.2", "a labelled situation is not read")
		return sa
	}
	more := true
	for more && len(r.b) > 0 && !r.bad {
		if len(sa.Proposals) == maxProposals {
			r.fail(r.off, r.rfc, "more than %d proposals", maxProposals)
			break
		}
		s, next, ok := r.v1Sub(PayloadV1Proposal)
		if !ok {
			break
		}
		var p V1Proposal
		s.v1Proposal(&p)
		sa.Proposals = append(sa.Proposals, p)
		r.bad = s.bad
		more = next == PayloadV1Proposal
	}
	if !r.bad && (len(r.b) > 0 || more) {
		r.fail(r.off, r.rfc, "the chain of proposals does not end with the payload")
	}
	return sa
}

// v1Sub takes a Proposal or Transform payload with its generic header from the
// front of r; the reader that it gives still has the header in front.
func (r *reader) v1Sub(want PayloadType) (s reader, next PayloadType, ok bool) {
	if len(r.b) < payloadHeaderLength {
		r.fail(r.off, "RFC 2408 3.2", "%d octets are left for a generic header of 4", len(r.b))
		return s, 0, false
	}
	next = PayloadType(r.b[0])
	n := int(binary.BigEndian.Uint16(r.b[2:]))
	switch {
	case n < payloadHeaderLength || n > len(r.b):
		r.fail(r.off+2, "RFC 2408 3.2", "%s length says %d octets, %d are left", want, n, len(r.b))
		return s, 0, false
	case next != PayloadNone && next != want:
		r.fail(r.off, "RFC 2408 3.5", "next payload %d behind a %s", uint8(next), want)
		return s, 0, false
	}
	return r.sub(n), next, true
}

func (r *reader) v1Proposal(p *V1Proposal) {
	r.rfc = "RFC 2408 3.5"
	p.Offset, p.Length = r.off, len(r.b)
	r.take(payloadHeaderLength, "generic header")
	p.Number = r.uint8("number")
	p.Protocol = V1ProtocolID(r.uint8("protocol"))
	size := r.uint8("SPI size")
	count := int(r.uint8("number of transforms"))
	p.SPI = r.take(int(size), "SPI")
	more := count > 0
	for more && len(r.b) > 0 && !r.bad {
		s, next, ok := r.v1Sub(PayloadV1Transform)
		if !ok {
			break
		}
		s.rfc = "RFC 2408 3.6"
		t := V1Transform{Offset: s.off, Length: len(s.b)}
		s.take(payloadHeaderLength, "generic header")
		t.Number = s.uint8("number")
		t.ID = s.uint8("id")
		s.uint16("reserved octets")
		s.rfc = "RFC 2408 3.3"
		t.Attributes = s.attributes(nil)
		p.Transforms = append(p.Transforms, t)
		r.bad = s.bad
		more = next == PayloadV1Transform
	}
	if !r.bad && (len(p.Transforms) != count || len(r.b) > 0) {
		r.fail(p.Offset+7, r.rfc, "%d transforms are announced, %d are there with %d octets behind them",
			count, len(p.Transforms), len(r.b))
	}
}

func (r *reader) v1Notify() *V1Notify {
	r.rfc = "RFC 2408 3.14"
	n := &V1Notify{DOI: V1DOI(r.uint32("DOI")), Protocol: V1ProtocolID(r.uint8("protocol"))}
	size := r.uint8("SPI size")
	n.Type = V1NotifyType(r.uint16("type"))
	n.SPI = r.take(int(size), "SPI")
	n.Data = r.rest()
	return n
}

func (r *reader) v1NATOA() *V1NATOA {
	r.rfc = "RFC 3947 5.2"
	o := &V1NATOA{Type: V1IDType(r.uint8("type"))}
	r.take(3, "reserved octets")
	off := r.off
	data := r.rest()
	if r.bad {
		return o
	}
	a, ok := netip.AddrFromSlice(data)
	if ok && (o.Type == V1IDIPv4Addr && a.Is4() || o.Type == V1IDIPv6Addr && a.Is6()) {
		o.Address = a
	} else {
		r.note(off, r.rfc, "%d octets of type %s are no address", len(data), o.Type)
	}
	return o
}
