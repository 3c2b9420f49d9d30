package suite

import (
	"errors"
	"fmt"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// ErrIntegrity says that the integrity check value does not fit the octets:
// the key is a wrong one or the octets were damaged.
var ErrIntegrity = errors.New("integrity check failed: wrong key, or the octets were changed on the way")

// LengthError is about octets whose length or padding no key could make right.
type LengthError struct {
	What string // "encrypted payload", "ESP packet", "padding"
	Have int    // octets
	Rule string // what it has to be: "at least 25 octets"
}

// Error says what is how long, and what was needed.
func (e *LengthError) Error() string {
	return fmt.Sprintf("%s of %d octets: %s", e.What, e.Have, e.Rule)
}

// AlgorithmError is about a transform that this package does not have, or not
// for the purpose.
type AlgorithmError struct {
	Type    wire.TransformType
	ID      uint16
	KeyBits int    // of encryption algorithms with a variable key, else 0
	Why     string // "not supported", "the key length must be 128, 192 or 256 bits, not 0"
}

// Error names the transform and says why.
func (e *AlgorithmError) Error() string {
	return fmt.Sprintf("%s %s: %s", e.Type, wire.TransformName(e.Type, e.ID), e.Why)
}

// KeyError is about a key, or a public value of a key exchange, of a form that
// its algorithm does not take.
type KeyError struct {
	What string // "encryption key of AES_CBC", "public value for ECP_256"
	Why  string // "16 octets where 32 are needed"
}

// Error says which key, and why.
func (e *KeyError) Error() string { return e.What + ": " + e.Why }
