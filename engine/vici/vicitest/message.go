// Package vicitest is a VICI server for tests: it speaks the protocol's wire
// format on its own, without govici, so that a client is tested against another
// reading of the protocol than its own. It can be a daemon of any size
// (NewDaemon), answer commands by functions, and misbehave in every way that a
// client has to survive (Misbehaviours).
//
// Contract: a Server runs until Close, which ends its connections and waits
// for them; it is safe for concurrent use once it has been started.
package vicitest

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The packets of VICI.
const (
	PacketRequest      = 0
	PacketResponse     = 1
	PacketUnknown      = 2
	PacketRegister     = 3
	PacketUnregister   = 4
	PacketConfirm      = 5
	PacketEventUnknown = 6
	PacketEvent        = 7
)

// The elements of a message.
const (
	sectionStart = 1
	sectionEnd   = 2
	keyValue     = 3
	listStart    = 4
	listItem     = 5
	listEnd      = 6
)

// Element is one entry of a message: a value, a list or a section.
type Element struct {
	Name    string
	Value   string
	List    []string  // not nil for a list
	Section []Element // not nil for a section
}

// Value makes an entry with a value.
func Value(name, value string) Element { return Element{Name: name, Value: value} }

// List makes an entry with a list.
func List(name string, values ...string) Element {
	return Element{Name: name, List: append([]string{}, values...)}
}

// Sub makes a section.
func Sub(name string, entries ...Element) Element {
	return Element{Name: name, Section: append([]Element{}, entries...)}
}

// Find gives an entry's value, "" where there is none.
func Find(entries []Element, name string) string {
	for i := range entries {
		if entries[i].Name == name {
			return entries[i].Value
		}
	}
	return ""
}

// AppendMessage appends the wire form of entries.
func AppendMessage(b []byte, entries []Element) []byte {
	for i := range entries {
		e := &entries[i]
		switch {
		case e.Section != nil:
			b = appendName(append(b, sectionStart), e.Name)
			b = append(AppendMessage(b, e.Section), sectionEnd)
		case e.List != nil:
			b = appendName(append(b, listStart), e.Name)
			for _, v := range e.List {
				b = appendValue(append(b, listItem), v)
			}
			b = append(b, listEnd)
		default:
			b = appendName(append(b, keyValue), e.Name)
			b = appendValue(b, e.Value)
		}
	}
	return b
}

// appendName cuts at 255 octets, and appendValue at 65,535: no more fits.
func appendName(b []byte, s string) []byte {
	s = s[:min(len(s), 255)]
	return append(append(b, byte(len(s))), s...)
}

func appendValue(b []byte, s string) []byte {
	s = s[:min(len(s), 65535)]
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// AppendPacket appends a whole segment: length, type, name where the type has
// one, entries.
func AppendPacket(b []byte, kind byte, name string, entries []Element) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, kind)
	switch kind {
	case PacketRequest, PacketRegister, PacketUnregister, PacketEvent:
		b = appendName(b, name)
	}
	b = AppendMessage(b, entries)
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

var errMessage = errors.New("malformed message")

// parseMessage reads entries up to the end of b, or of the section that they
// are in.
func parseMessage(b []byte, depth int) (entries []Element, rest []byte, err error) {
	for len(b) > 0 {
		kind := b[0]
		b = b[1:]
		if kind == sectionEnd {
			if depth == 0 {
				return nil, nil, fmt.Errorf("%w: the end of no section", errMessage)
			}
			return entries, b, nil
		}
		e := Element{}
		if e.Name, b, err = take(b, 1); err != nil {
			return nil, nil, err
		}
		switch {
		case kind == keyValue:
			if e.Value, b, err = take(b, 2); err != nil {
				return nil, nil, err
			}
		case kind == sectionStart && depth < 16:
			if e.Section, b, err = parseMessage(b, depth+1); err != nil {
				return nil, nil, err
			}
		case kind == listStart:
			e.List = []string{}
			for {
				if len(b) == 0 {
					return nil, nil, errMessage
				}
				item := b[0]
				b = b[1:]
				if item == listEnd {
					break
				}
				var v string
				if v, b, err = take(b, 2); err != nil || item != listItem {
					return nil, nil, errMessage
				}
				e.List = append(e.List, v)
			}
		default:
			return nil, nil, fmt.Errorf("%w: element %d", errMessage, kind)
		}
		entries = append(entries, e)
	}
	if depth > 0 {
		return nil, nil, fmt.Errorf("%w: an open section", errMessage)
	}
	return entries, nil, nil
}

// take reads a text behind a length of one or two octets.
func take(b []byte, octets int) (string, []byte, error) {
	if len(b) < octets {
		return "", nil, errMessage
	}
	n := int(b[0])
	if octets == 2 {
		n = int(binary.BigEndian.Uint16(b))
	}
	b = b[octets:]
	if len(b) < n {
		return "", nil, errMessage
	}
	return string(b[:n]), b[n:], nil
}
