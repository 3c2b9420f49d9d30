package suite

import (
	"fmt"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// IKECipher protects the SK and SKF payloads that one side of an IKE SA sends
// (RFC 7296 3.14, RFC 7383 2.5): with encryption and integrity apart, or as an
// AEAD (RFC 5282, RFC 7634).
//
// Any number of goroutines may use one at once. Make one IKECipher for a key
// that seals, and no second: counter modes number their IVs from zero in each.
type IKECipher struct{ p *protection }

// NewIKE makes the cipher of one direction of an IKE SA from the transform ids
// of its proposal. bits is the Key Length attribute, 0 where there is none.
// encrKey is SK_ei or SK_er as derived, with the salt at its end; integKey is
// SK_ai or SK_ar, empty for an AEAD. ENCR_NULL, GMAC and implicit IVs do not
// exist in IKE and are refused.
func NewIKE(encrID uint16, bits int, integID uint16, encrKey, integKey Secret) (*IKECipher, error) {
	p, err := newProtection(encrID, bits, integID, encrKey, integKey)
	if err != nil {
		return nil, err
	}
	if !p.enc.protectsIKE() {
		return nil, &AlgorithmError{wire.TransformEncr, encrID, bits, "does not exist in IKE"}
	}
	if p.integ.icv == 0 {
		return nil, &AlgorithmError{wire.TransformInteg, integID, 0, "IKE needs an integrity algorithm beside " + wire.TransformName(wire.TransformEncr, encrID)}
	}
	return &IKECipher{p}, nil
}

// Sizes gives the lengths that the algorithms put on the wire.
func (c *IKECipher) Sizes() Sizes { return c.p.Sizes() }

// SealedLen gives how many octets n octets of inner payloads become: what
// follows the generic header of SK, or the fragment numbers of SKF.
func (c *IKECipher) SealedLen(n int) int {
	z := c.Sizes()
	return z.IV + roundUp(n+1, z.Block) + z.ICV
}

// MaxPlain gives how many octets of inner payloads fit where room octets are
// left for the sealed data; it is negative where not even none fit.
func (c *IKECipher) MaxPlain(room int) int {
	z := c.Sizes()
	room -= z.IV + z.ICV
	return room - max(room, 0)%z.Block - 1
}

func roundUp(n, multiple int) int { return (n + multiple - 1) / multiple * multiple }

// Seal encrypts inner payloads and appends IV, ciphertext with its padding, and
// ICV to dst. aad is everything in front of the IV, with its length fields
// already right: the IKE header, payloads in the clear, and the generic header
// of SK or SKF (RFC 5282 5.1, RFC 7383 2.5); it may be dst itself.
func (c *IKECipher) Seal(dst, aad, plain []byte) ([]byte, error) { return c.seal(dst, aad, plain, nil) }

func (c *IKECipher) seal(dst, aad, plain, iv []byte) ([]byte, error) {
	z := c.Sizes()
	n := roundUp(len(plain)+1, z.Block)
	out, tail := grow(dst, z.IV+n+z.ICV)
	k := packet{prefix: aad, iv: tail[:z.IV], text: tail[z.IV : z.IV+n], icv: tail[z.IV+n:]}
	copy(k.text, plain)
	clear(k.text[len(plain):])
	k.text[n-1] = byte(n - 1 - len(plain))
	if iv != nil {
		copy(k.iv, iv)
	} else {
		c.p.fillIV(k.iv)
	}
	if err := c.p.seal(&k); err != nil {
		return nil, err
	}
	return out, nil
}

// Open checks and decrypts what follows the generic header of an SK payload, or
// the fragment numbers of SKF, and appends the inner payloads, without padding,
// to dst. aad is everything in front of it. dst must not overlap sealed, or be
// exactly its part behind the IV.
//
// It gives ErrIntegrity for a wrong key or a changed message, a *LengthError
// for one that cannot have been made with these algorithms.
func (c *IKECipher) Open(dst, aad, sealed []byte) ([]byte, error) {
	z := c.Sizes()
	n := len(sealed) - z.IV - z.ICV
	if n < z.Block {
		return nil, &LengthError{"encrypted payload", len(sealed), fmt.Sprintf("at least %d octets of IV, ciphertext and ICV are needed", z.IV+z.Block+z.ICV)}
	}
	if n%z.Block != 0 {
		return nil, &LengthError{"ciphertext", n, fmt.Sprintf("not a multiple of the block of %d octets", z.Block)}
	}
	out, tail := grow(dst, n)
	k := packet{prefix: aad, iv: sealed[:z.IV], text: sealed[z.IV : z.IV+n], icv: sealed[z.IV+n:]}
	if err := c.p.open(tail, &k); err != nil {
		return nil, err
	}
	pad := int(tail[n-1])
	if pad+1 > n {
		return nil, &LengthError{"padding", pad, fmt.Sprintf("only %d octets were decrypted", n)}
	}
	return out[:len(out)-pad-1], nil
}
