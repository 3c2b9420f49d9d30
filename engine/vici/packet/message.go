package packet

import (
	"encoding/binary"
	"fmt"
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

// List makes an entry with a list; one without items is a list too.
func List(name string, values ...string) Element {
	return Element{Name: name, List: append([]string{}, values...)}
}

// Sub makes a section.
func Sub(name string, entries ...Element) Element {
	return Element{Name: name, Section: append([]Element{}, entries...)}
}

// Get gives the first entry of a name, nil where there is none.
func Get(entries []Element, name string) *Element {
	for i := range entries {
		if entries[i].Name == name {
			return &entries[i]
		}
	}
	return nil
}

// Find gives an entry's value, "" where there is none.
func Find(entries []Element, name string) string {
	if e := Get(entries, name); e != nil {
		return e.Value
	}
	return ""
}

// AppendMessage appends the wire form of entries.
func AppendMessage(b []byte, entries []Element) ([]byte, error) {
	var err error
	for i := range entries {
		if b, err = appendElement(b, &entries[i]); err != nil {
			return b, err
		}
	}
	return b, nil
}

func appendElement(b []byte, e *Element) ([]byte, error) {
	var err error
	switch {
	case e.Section != nil:
		if b, err = appendName(append(b, sectionStart), e.Name); err == nil {
			b, err = AppendMessage(b, e.Section)
		}
		return append(b, sectionEnd), err
	case e.List != nil:
		b, err = appendName(append(b, listStart), e.Name)
		for _, v := range e.List {
			if err == nil {
				b, err = appendValue(append(b, listItem), v)
			}
		}
		return append(b, listEnd), err
	}
	if b, err = appendName(append(b, keyValue), e.Name); err != nil {
		return b, err
	}
	return appendValue(b, e.Value)
}

func appendName(b []byte, s string) ([]byte, error) {
	if len(s) > MaxName { // none is possible: the counters of all connections have it
		return b, fmt.Errorf("%w: a name of %d octets, at most %d are possible", ErrTooLong, len(s), MaxName)
	}
	return append(append(b, byte(len(s))), s...), nil
}

func appendValue(b []byte, s string) ([]byte, error) {
	if len(s) > MaxValue {
		return b, fmt.Errorf("%w: a value of %d octets, at most %d are possible", ErrTooLong, len(s), MaxValue)
	}
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...), nil
}

// reader takes a message apart; after an error it stays where it is.
type reader struct {
	b     []byte
	count int
	err   error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
	r.b = nil
}

func (r *reader) octet() byte {
	if len(r.b) == 0 {
		r.fail("it ends within an element")
		return 0
	}
	o := r.b[0]
	r.b = r.b[1:]
	return o
}

// text reads a text behind a length of one or two octets.
func (r *reader) text(octets int) string {
	n := int(r.octet())
	if octets == 2 {
		n = n<<8 | int(r.octet())
	}
	if n > len(r.b) {
		r.fail("a text of %d octets where %d are left", n, len(r.b))
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// message reads entries up to the end, or to the end of the section that they
// are in.
func (r *reader) message(depth int) []Element {
	var entries []Element
	for len(r.b) > 0 {
		kind := r.octet()
		if kind == sectionEnd {
			if depth == 0 {
				r.fail("the end of no section")
			}
			return entries
		}
		if r.count++; r.count > MaxEntries {
			r.fail("more than %d entries", MaxEntries)
			return nil
		}
		e := Element{Name: r.text(1)}
		switch {
		case r.err != nil:
			return nil
		case kind == keyValue:
			e.Value = r.text(2)
		case kind == sectionStart && depth < MaxDepth:
			e.Section = append([]Element{}, r.message(depth+1)...)
		case kind == sectionStart:
			r.fail("sections nested deeper than %d", MaxDepth)
		case kind == listStart:
			e.List = r.list()
		default:
			r.fail("an element of type %d", kind)
		}
		if r.err != nil {
			return nil
		}
		entries = append(entries, e)
	}
	if depth > 0 {
		r.fail("an open section")
	}
	return entries
}

// list reads the items of a list.
func (r *reader) list() []string {
	items := []string{}
	for r.err == nil {
		switch kind := r.octet(); {
		case r.err != nil:
		case kind == listEnd:
			return items
		case kind != listItem:
			r.fail("an element of type %d within a list", kind)
		default:
			if r.count++; r.count > MaxEntries {
				r.fail("more than %d entries", MaxEntries)
				return nil
			}
			items = append(items, r.text(2))
		}
	}
	return nil
}
