package vici

import (
	"encoding/binary"
	"fmt"
)

// The elements of a VICI message.
const (
	sectionStart = 1
	sectionEnd   = 2
	keyValue     = 3
	listStart    = 4
	listItem     = 5
	listEnd      = 6
)

// checkSegment proves a packet from the server well-formed: a known type, a
// name where the type has one, elements that nest and end where they must. It
// keeps its place in a loop, so that depth costs nothing.
func checkSegment(b []byte) error {
	r := elements{data: b, at: 1}
	switch b[0] {
	case packetUnknown, packetConfirm, packetEventUnknown:
		// charon sends these without a message.
	case packetResponse:
	case packetEvent:
		if len(r.short()) == 0 {
			return fmt.Errorf("%w: an event without a name", errMalformed)
		}
	default:
		return fmt.Errorf("%w (%d)", errPacketType, b[0])
	}
	depth, list := 0, false
	for r.at < len(b) && !r.bad {
		element := b[r.at]
		r.at++
		switch {
		case list && element == listItem:
			r.long()
		case list && element == listEnd:
			list = false
		case list:
			return fmt.Errorf("%w: element %d within a list, at octet %d", errMalformed, element, r.at-1)
		case element == sectionStart:
			r.short()
			if depth++; depth > maxDepth {
				return fmt.Errorf("%w: sections nested deeper than %d", errMalformed, maxDepth)
			}
		case element == sectionEnd && depth > 0:
			depth--
		case element == keyValue:
			r.short()
			r.long()
		case element == listStart:
			r.short()
			list = true
		default:
			return fmt.Errorf("%w: element %d at octet %d", errMalformed, element, r.at-1)
		}
	}
	if r.bad || list || depth > 0 {
		return fmt.Errorf("%w: it ends within an element", errMalformed)
	}
	return nil
}

// elements reads names and values; bad says that one reached past the end.
type elements struct {
	data []byte
	at   int
	bad  bool
}

// short reads what has one octet of length: a name.
func (r *elements) short() []byte {
	if r.at >= len(r.data) {
		r.bad = true
		return nil
	}
	n := int(r.data[r.at])
	r.at++
	return r.take(n)
}

// long reads what has two octets of length: a value.
func (r *elements) long() []byte {
	if r.at+2 > len(r.data) {
		r.bad = true
		return nil
	}
	n := int(binary.BigEndian.Uint16(r.data[r.at:]))
	r.at += 2
	return r.take(n)
}

func (r *elements) take(n int) []byte {
	if r.bad || n > len(r.data)-r.at {
		r.bad = true
		return nil
	}
	b := r.data[r.at : r.at+n]
	r.at += n
	return b
}
