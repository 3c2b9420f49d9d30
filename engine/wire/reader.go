package wire

import (
	"encoding/binary"
	"fmt"
)

// reader takes fields from the front of a payload's body and notes problems
// at their place. Once a field is missing it yields zero values and stays bad,
// so a body is read in one run and shows what was there.
type reader struct {
	m       *Message
	b       []byte // not yet taken
	off     int    // of b[0] in the message
	payload PayloadType
	rfc     string
	answer  NotifyType // to a fatal problem, 0 for IKEv1
	bad     bool
}

// note records a deviation at offset off that an engine may overlook.
func (r *reader) note(off int, rfc, format string, a ...any) {
	r.m.problem(Problem{Offset: off, Payload: r.payload, RFC: rfc, What: fmt.Sprintf(format, a...)})
}

// fail records a deviation at offset off for which the message must be
// refused and behind which the body makes no sense.
func (r *reader) fail(off int, rfc, format string, a ...any) {
	r.bad = true
	r.refuse(off, rfc, format, a...)
}

// refuse records a deviation at offset off for which the message must be
// refused, although the rest of the body can be read.
func (r *reader) refuse(off int, rfc, format string, a ...any) {
	r.m.problem(Problem{Offset: off, Payload: r.payload, Fatal: true, RFC: rfc, Notify: r.answer,
		What: fmt.Sprintf(format, a...)})
}

// take gives the next n octets, nil and a problem where there are fewer.
func (r *reader) take(n int, what string) []byte {
	if r.bad {
		return nil
	}
	if n > len(r.b) {
		r.fail(r.off, r.rfc, "%s needs %d octets, %d are left", what, n, len(r.b))
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	r.off += n
	return v
}

func (r *reader) uint8(what string) uint8 {
	if v := r.take(1, what); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) uint16(what string) uint16 {
	if v := r.take(2, what); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (r *reader) uint32(what string) uint32 {
	if v := r.take(4, what); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

// reserved3 takes three reserved octets, which are kept and noted unless zero.
func (r *reader) reserved3() (v [3]uint8) {
	off := r.off
	copy(v[:], r.take(3, "reserved octets"))
	if v != [3]uint8{} {
		r.note(off, r.rfc, "reserved octets %x are not zero", v[:])
	}
	return v
}

// rest gives all that is left.
func (r *reader) rest() []byte {
	if r.bad {
		return nil
	}
	v := r.b
	r.off += len(v)
	r.b = nil
	return v
}

// sub gives a reader for the next n octets, which must be there.
func (r *reader) sub(n int) reader {
	s := *r
	s.b = r.b[:n:n]
	r.b = r.b[n:]
	r.off += n
	return s
}
