// Package packet is the wire format of VICI: segments of a packet type, a name
// and a message, and messages of values, lists and sections. It is what our own
// server speaks, and the server that clients are tested with; the client has
// govici's reading of the format instead, so that each is tested against
// another.
//
// Contract: it opens nothing. What it reads is hostile: a segment is at most
// MaxSegment octets, sections nest at most MaxDepth deep, a message has at most
// MaxEntries entries, and nothing panics. What it writes another side can read:
// names and values that do not fit are an error, never cut.
package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The bounds of what is read and written.
const (
	MaxSegment = 512 << 10 // octets of a segment, VICI's own bound
	MaxDepth   = 16        // sections within one another
	MaxEntries = 20_000    // values, lists, items of lists and sections of a message
	MaxName    = 255       // octets
	MaxValue   = 65535     // octets
)

// Kind is the type of a packet.
type Kind byte

// The packets of VICI.
const (
	Request      Kind = 0
	Response     Kind = 1
	Unknown      Kind = 2 // no such command
	Register     Kind = 3 // for an event
	Unregister   Kind = 4
	Confirm      Kind = 5 // of a registration
	EventUnknown Kind = 6 // no such event
	Event        Kind = 7
)

// named says whether packets of the type have a name.
func (k Kind) named() bool {
	return k == Request || k == Register || k == Unregister || k == Event
}

// The errors of what is read and written.
var (
	ErrMalformed = errors.New("malformed message")
	ErrTooLong   = errors.New("message too long")
)

// Append appends a whole segment: length, type, name where the type has one,
// entries. On an error dst is given back as it was.
func Append(dst []byte, kind Kind, name string, entries []Element) ([]byte, error) {
	b := append(dst, 0, 0, 0, 0, byte(kind))
	var err error
	if kind.named() {
		b, err = appendName(b, name)
	}
	if err == nil {
		b, err = AppendMessage(b, entries)
	}
	n := len(b) - len(dst) - 4
	if err == nil && n > MaxSegment {
		err = fmt.Errorf("%w: %d octets, at most %d are possible", ErrTooLong, n, MaxSegment)
	}
	if err != nil {
		return dst, err
	}
	binary.BigEndian.PutUint32(b[len(dst):], uint32(n))
	return b, nil
}

// Packet is one segment as it was read.
type Packet struct {
	Kind    Kind
	Name    string // of a request, a registration or an event
	Entries []Element
}

// Read reads one segment. An end of r between two segments is io.EOF.
func Read(r io.Reader) (Packet, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Packet{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > MaxSegment {
		return Packet{}, fmt.Errorf("%w: a segment of %d octets, 1 to %d are possible", ErrTooLong, n, MaxSegment)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Packet{}, err
	}
	return Parse(b)
}

// Parse reads a segment without its length.
func Parse(b []byte) (Packet, error) {
	if len(b) == 0 {
		return Packet{}, fmt.Errorf("%w: an empty segment", ErrMalformed)
	}
	p := Packet{Kind: Kind(b[0])}
	r := reader{b: b[1:]}
	if p.Kind > Event {
		return p, fmt.Errorf("%w: packet of type %d", ErrMalformed, p.Kind)
	}
	if p.Kind.named() {
		if p.Name = r.text(1); r.err == nil && p.Name == "" {
			return p, fmt.Errorf("%w: a packet of type %d without a name", ErrMalformed, p.Kind)
		}
	}
	p.Entries = r.message(0)
	return p, r.err
}
