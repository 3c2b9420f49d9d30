package vici

import (
	"fmt"
	"strconv"
	"time"

	govici "github.com/strongswan/govici/vici"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// section reads a message or a section of one. What is not there, or is not of
// the kind that is asked for, reads as absent.
type section struct{ m *govici.Message }

// names gives the names of all entries in order.
func (s section) names() []string {
	if s.m == nil {
		return nil
	}
	return s.m.Keys()
}

func (s section) get(name string) any {
	if s.m == nil {
		return nil
	}
	return s.m.Get(name)
}

func (s section) text(name string) string {
	v, _ := s.get(name).(string)
	return v
}

// list gives a list; charon sends some lists of one as a value.
func (s section) list(name string) []string {
	switch v := s.get(name).(type) {
	case []string:
		return v
	case string:
		if v != "" {
			return []string{v}
		}
	}
	return nil
}

func (s section) sub(name string) section {
	m, _ := s.get(name).(*govici.Message)
	return section{m}
}

// each calls f for every sub-section in order.
func (s section) each(f func(name string, sub section)) {
	for _, name := range s.names() {
		if m, ok := s.m.Get(name).(*govici.Message); ok {
			f(name, section{m})
		}
	}
}

// number reads a decimal number that fits into bits.
func number[T uint16 | uint32 | uint64 | int](s section, name string) engine.Opt[T] {
	bits := 64
	switch any(T(0)).(type) {
	case uint16:
		bits = 16
	case uint32:
		bits = 32
	case int:
		bits = 31
	}
	v, err := strconv.ParseUint(s.text(name), 10, bits)
	if err != nil {
		return engine.Opt[T]{}
	}
	return engine.Some(T(v))
}

// hexNumber reads a hexadecimal number that fits into bits.
func hexNumber(s section, name string, bits int) (uint64, bool) {
	v, err := strconv.ParseUint(s.text(name), 16, bits)
	return v, err == nil
}

func espSPI(s section, name string) engine.Opt[wire.ESPSPI] {
	v, ok := hexNumber(s, name, 32)
	if !ok {
		return engine.Opt[wire.ESPSPI]{}
	}
	return engine.Some(wire.ESPSPI(v))
}

// yes reads charon's conditions: present as "yes", or absent. Absent is a
// known no, because charon leaves a condition out that does not hold.
func (s section) yes(name string) bool { return s.text(name) == "yes" }

// maxSeconds keeps arithmetic on times from overflowing: some 100 years.
const maxSeconds = 100 * 365 * 24 * 3600

// seconds reads a number of seconds.
func (s section) seconds(name string) engine.Opt[time.Duration] {
	v, err := strconv.ParseUint(s.text(name), 10, 63)
	if err != nil {
		return engine.Opt[time.Duration]{}
	}
	return engine.Some(time.Duration(min(v, maxSeconds)) * time.Second)
}

// before gives the time that lies the seconds of an entry before at, zero
// where there is none.
func (s section) before(name string, at time.Time) time.Time {
	d, ok := s.seconds(name).Get()
	if !ok {
		return time.Time{}
	}
	return at.Add(-d)
}

// due gives the timer of an entry that says how many seconds are left.
func (s section) due(timers []engine.Timer, entry, name string, at time.Time) []engine.Timer {
	v := s.text(entry)
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return timers
	}
	n = max(min(n, maxSeconds), -maxSeconds)
	return append(timers, engine.Timer{Name: name, Due: at.Add(time.Duration(n) * time.Second)})
}

// message writes settings as a VICI message.
func message(s *backend.Section) (*govici.Message, error) {
	m := govici.NewMessage()
	if s == nil {
		return m, nil
	}
	for i := range s.Items {
		item := &s.Items[i]
		var err error
		switch {
		case item.Name == "" || len(item.Name) > 255:
			err = fmt.Errorf("setting %q: a name has 1 to 255 octets", item.Name)
		case item.Section != nil:
			var sub *govici.Message
			if sub, err = message(item.Section); err == nil {
				err = m.Set(item.Name, sub)
			}
		case item.List != nil:
			err = m.Set(item.Name, item.List)
		default:
			err = m.Set(item.Name, item.Value)
		}
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

// values makes a message from names and values; empty values are left out.
func values(pairs ...string) *govici.Message {
	m := govici.NewMessage()
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			_ = m.Set(pairs[i], pairs[i+1]) // a string cannot fail
		}
	}
	return m
}

// id writes a unique id, "" for none.
func id(n uint32) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(n), 10)
}
