package wire

import "encoding/binary"

const (
	proposalHeaderLength  = 8
	transformHeaderLength = 8
	moreProposals         = 2
	moreTransforms        = 3
	maxTransforms         = 256 // one more than the count octet can say
)

// sa reads the proposals of an SA payload (RFC 7296 3.3).
func (r *reader) sa() *SA {
	const rfc = "RFC 7296 3.3.1"
	sa := r.m.pools.sa.take()
	ps := sa.Proposals[:0]
	more := true
	for len(r.b) > 0 && !r.bad {
		if !more {
			r.refuse(r.off, rfc, "%d octets behind the proposal that is marked as the last", len(r.b))
		}
		if len(ps) == maxProposals {
			r.fail(r.off, rfc, "more than %d proposals", maxProposals)
			break
		}
		if len(r.b) < proposalHeaderLength {
			r.fail(r.off, rfc, "%d octets are left for a proposal's header of 8", len(r.b))
			break
		}
		last, length := r.b[0], int(binary.BigEndian.Uint16(r.b[2:]))
		if last != 0 && last != moreProposals {
			r.refuse(r.off, rfc, "last-substructure octet is %d, neither 0 nor 2", last)
		}
		more = last != 0
		whole := true
		if length < proposalHeaderLength || length > len(r.b) {
			r.refuse(r.off+2, rfc, "proposal length says %d octets, %d are left", length, len(r.b))
			whole, length = false, len(r.b)
		}
		if len(ps) < cap(ps) {
			ps = ps[:len(ps)+1]
		} else {
			ps = append(ps, Proposal{})
		}
		s := r.sub(length)
		s.proposal(&ps[len(ps)-1])
		r.bad = s.bad || !whole
	}
	if !r.bad && more {
		if len(ps) == 0 {
			r.refuse(r.off, "RFC 7296 3.3", "no proposal")
		} else {
			r.refuse(ps[len(ps)-1].Offset, rfc, "the last proposal is marked as followed by another")
		}
	}
	sa.Proposals = ps
	return sa
}

// proposal reads one proposal, whose octets r holds, at least a header.
func (r *reader) proposal(p *Proposal) {
	r.rfc = "RFC 7296 3.3.1"
	ts := p.Transforms[:0]
	*p = Proposal{Reserved: r.b[1], Number: r.b[4], Protocol: ProtocolID(r.b[5]), Offset: r.off, Length: len(r.b)}
	spiSize, count := int(r.b[6]), int(r.b[7])
	if p.Reserved != 0 {
		r.note(r.off+1, r.rfc, "reserved octet %#02x is not zero", p.Reserved)
	}
	r.take(proposalHeaderLength, "")
	p.SPI = r.take(spiSize, "SPI")
	if n := min(count, len(r.b)/transformHeaderLength); cap(ts) < n {
		ts = make([]Transform, 0, n)
	}
	more := count > 0
	for len(r.b) > 0 && !r.bad && len(ts) < maxTransforms {
		if !more && count > 0 {
			r.refuse(r.off, "RFC 7296 3.3.2", "%d octets behind the transform that is marked as the last", len(r.b))
		}
		if len(ts) < cap(ts) {
			ts = ts[:len(ts)+1]
		} else {
			ts = append(ts, Transform{})
		}
		more = r.transform(&ts[len(ts)-1])
	}
	p.Transforms = ts
	switch {
	case r.bad:
	case len(ts) != count:
		r.refuse(p.Offset+7, r.rfc, "%d transforms are announced, %d are there", count, len(ts))
	case more:
		r.refuse(ts[len(ts)-1].Offset, "RFC 7296 3.3.2", "the last transform is marked as followed by another")
	}
}

// transform reads one transform from the front of r and says whether it is
// marked as followed by another.
func (r *reader) transform(t *Transform) (more bool) {
	const rfc = "RFC 7296 3.3.2"
	as := t.Attributes[:0]
	*t = Transform{Attributes: as, Offset: r.off}
	if len(r.b) < transformHeaderLength {
		t.Length = len(r.b)
		r.fail(r.off, rfc, "%d octets are left for a transform's header of 8", len(r.b))
		return false
	}
	last, length := r.b[0], int(binary.BigEndian.Uint16(r.b[2:]))
	t.Reserved1, t.Type, t.Reserved2 = r.b[1], TransformType(r.b[4]), r.b[5]
	t.ID = binary.BigEndian.Uint16(r.b[6:])
	t.Length = min(length, len(r.b))
	if last != 0 && last != moreTransforms {
		r.refuse(r.off, rfc, "last-substructure octet is %d, neither 0 nor 3", last)
	}
	if length < transformHeaderLength || length > len(r.b) {
		t.Length = len(r.b)
		r.fail(r.off+2, rfc, "transform length says %d octets, %d are left", length, len(r.b))
		return false
	}
	if t.Reserved1 != 0 || t.Reserved2 != 0 {
		r.note(r.off+1, rfc, "reserved octets %#02x and %#02x are not zero", t.Reserved1, t.Reserved2)
	}
	s := r.sub(length)
	s.take(transformHeaderLength, "")
	s.rfc = "RFC 7296 3.3.5"
	t.Attributes = s.attributes(as)
	r.bad = s.bad
	return last != 0
}

// attributes reads data attributes to the end of r, appending to as.
func (r *reader) attributes(as []Attribute) []Attribute {
	for len(r.b) > 0 && !r.bad {
		if len(as) == maxAttributes {
			r.fail(r.off, r.rfc, "more than %d attributes", maxAttributes)
			break
		}
		t := r.uint16("attribute type")
		a := Attribute{Type: t &^ 0x8000, Short: t&0x8000 != 0}
		if a.Short {
			a.Value = r.uint16("attribute value")
		} else {
			n := r.uint16("attribute length")
			a.Data = r.take(int(n), "attribute value")
		}
		as = append(as, a)
	}
	return as
}
