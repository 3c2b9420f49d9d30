package suite

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// Secret holds key material. However it is printed, logged or marshalled, it
// says only how long it is: "[32 octets]". The zero value is an empty secret.
// Copies share their octets, so Wipe reaches all of them.
type Secret struct {
	_ [0]func() // no ==, which would compare pointers

	// fmt may not call the methods of a Secret in an unexported field, so it
	// walks into it, and follows one pointer where the verb does not fit. Two
	// pointers stop it at an address.
	box *box
}

type box struct{ octets *[]byte }

// NewSecret makes a Secret of a copy of b.
func NewSecret(b []byte) Secret {
	if len(b) == 0 {
		return Secret{}
	}
	return ownSecret(append([]byte(nil), b...))
}

// ownSecret makes a Secret of b itself.
func ownSecret(b []byte) Secret { return Secret{box: &box{&b}} }

// view gives the octets themselves, for use within the package.
func (s Secret) view() []byte {
	if s.box == nil {
		return nil
	}
	return *s.box.octets
}

// Len is the length in octets.
func (s Secret) Len() int { return len(s.view()) }

// Reveal gives a copy of the octets: the one way to take key material out of
// the program's keeping. Whoever calls it answers for where the copy goes.
func (s Secret) Reveal() []byte { return append([]byte(nil), s.view()...) }

// Wipe overwrites the octets with zeros, in every copy of the Secret. The
// length stays. Ciphers made from it before keep working.
func (s Secret) Wipe() { clear(s.view()) }

// Equal compares in time that depends on the lengths only.
func (s Secret) Equal(o Secret) bool { return subtle.ConstantTimeCompare(s.view(), o.view()) == 1 }

// String gives the length only.
func (s Secret) String() string { return fmt.Sprintf("[%d octets]", s.Len()) }

// GoString gives the length only.
func (s Secret) GoString() string { return s.String() }

// Format gives the length only, for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText gives the length only; so do JSON and YAML, which use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON gives the length only.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// LogValue gives the length only.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
