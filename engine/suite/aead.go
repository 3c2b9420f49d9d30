package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
)

// newAEAD makes the AEAD of an encryption algorithm; its nonce is the salt
// followed by eight octets of IV.
func newAEAD(e *encryption, key []byte) (cipher.AEAD, error) {
	if e.mode == modeChaCha {
		return chacha20poly1305.New(key)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if e.mode == modeCCM {
		return &ccm{block: block, tag: e.icv}, nil
	}
	if e.icv == 8 {
		full, err := cipher.NewGCM(block)
		return &gcm8{full: full}, err
	}
	return cipher.NewGCMWithTagSize(block, e.icv)
}

// gcm8 is AES-GCM with its tag cut to 8 octets (RFC 4106 6), which
// crypto/cipher does not offer. As GCM encrypts by XOR with a key stream that
// depends on the nonce only, sealing a ciphertext gives its plaintext, and
// sealing that the full tag to compare with.
type gcm8 struct {
	full    cipher.AEAD
	scratch sync.Pool // of *[]byte
}

func (*gcm8) NonceSize() int { return 12 }
func (*gcm8) Overhead() int  { return 8 }

func (g *gcm8) borrow(n int) *[]byte {
	b, _ := g.scratch.Get().(*[]byte)
	if b == nil {
		b = new([]byte)
	}
	if cap(*b) < n {
		*b = make([]byte, 0, n)
	}
	return b
}

func (g *gcm8) giveBack(b *[]byte) {
	clear((*b)[:cap(*b)])
	g.scratch.Put(b)
}

func (g *gcm8) Seal(dst, nonce, plain, aad []byte) []byte {
	b := g.borrow(len(plain) + 16)
	defer g.giveBack(b)
	sealed := g.full.Seal((*b)[:0], nonce, plain, aad)
	return append(dst, sealed[:len(plain)+8]...)
}

func (g *gcm8) Open(dst, nonce, sealed, aad []byte) ([]byte, error) {
	n := len(sealed) - 8
	if n < 0 {
		return nil, ErrIntegrity
	}
	b := g.borrow(2 * (n + 16))
	defer g.giveBack(b)
	plain := g.full.Seal((*b)[:0], nonce, sealed[:n], nil)[:n]
	again := g.full.Seal((*b)[n+16:n+16], nonce, plain, aad)
	if subtle.ConstantTimeCompare(again[n:n+8], sealed[n:]) != 1 {
		return nil, ErrIntegrity
	}
	return append(dst, plain...), nil
}

// ccm is AES-CCM (RFC 3610) as IPsec uses it: a nonce of 11 octets, so lengths
// of 4 octets, and a tag of 8, 12 or 16 (RFC 4309, RFC 5282 4).
type ccm struct {
	block cipher.Block
	tag   int
}

func (*ccm) NonceSize() int  { return 11 }
func (c *ccm) Overhead() int { return c.tag }

// ccmState is the chain of the CBC-MAC.
type ccmState struct {
	x [16]byte
	n int
}

// absorb adds octets to the CBC-MAC.
func (s *ccmState) absorb(b cipher.Block, p []byte) {
	for len(p) > 0 {
		c := subtle.XORBytes(s.x[s.n:], s.x[s.n:], p)
		s.n += c
		p = p[c:]
		if s.n == 16 {
			s.pad(b)
		}
	}
}

// pad ends a block with zeros.
func (s *ccmState) pad(b cipher.Block) {
	if s.n > 0 {
		b.Encrypt(s.x[:], s.x[:])
		s.n = 0
	}
}

// start gives a state that has absorbed everything in front of the message:
// B_0 and the AAD with its length (RFC 3610 2.2).
func (c *ccm) start(s *ccmState, nonce []byte, length int, aad []byte) {
	s.x[0] = byte((c.tag-2)/2<<3 | (4 - 1))
	copy(s.x[1:12], nonce)
	binary.BigEndian.PutUint32(s.x[12:], uint32(length))
	if len(aad) > 0 {
		s.x[0] |= 0x40
	}
	s.n = 16
	s.pad(c.block)
	if len(aad) == 0 {
		return
	}
	var l [6]byte
	switch {
	case len(aad) < 0xff00:
		binary.BigEndian.PutUint16(l[:], uint16(len(aad)))
		s.absorb(c.block, l[:2])
	default:
		l[0], l[1] = 0xff, 0xfe
		binary.BigEndian.PutUint32(l[2:], uint32(len(aad)))
		s.absorb(c.block, l[:])
	}
	s.absorb(c.block, aad)
	s.pad(c.block)
}

// stream gives the key stream for the message; first encrypts the tag.
func (c *ccm) stream(nonce []byte, first *[16]byte) cipher.Stream {
	first[0] = 4 - 1
	copy(first[1:12], nonce)
	s := cipher.NewCTR(c.block, first[:])
	clear(first[:])
	s.XORKeyStream(first[:], first[:])
	return s
}

func (c *ccm) Seal(dst, nonce, plain, aad []byte) []byte {
	var s struct {
		mac ccmState
		s0  [16]byte
	}
	c.start(&s.mac, nonce, len(plain), aad)
	s.mac.absorb(c.block, plain)
	s.mac.pad(c.block)
	stream := c.stream(nonce, &s.s0)
	dst, out := grow(dst, len(plain)+c.tag)
	stream.XORKeyStream(out[:len(plain)], plain)
	subtle.XORBytes(out[len(plain):], s.mac.x[:c.tag], s.s0[:c.tag])
	return dst
}

func (c *ccm) Open(dst, nonce, sealed, aad []byte) ([]byte, error) {
	n := len(sealed) - c.tag
	if n < 0 {
		return nil, ErrIntegrity
	}
	var s struct {
		mac ccmState
		s0  [16]byte
		tag [16]byte
	}
	stream := c.stream(nonce, &s.s0)
	subtle.XORBytes(s.tag[:], sealed[n:], s.s0[:c.tag])
	dst, out := grow(dst, n)
	stream.XORKeyStream(out, sealed[:n])
	c.start(&s.mac, nonce, n, aad)
	s.mac.absorb(c.block, out)
	s.mac.pad(c.block)
	if subtle.ConstantTimeCompare(s.mac.x[:c.tag], s.tag[:c.tag]) != 1 {
		clear(out)
		return nil, ErrIntegrity
	}
	return dst, nil
}

// grow lengthens b by n octets and gives them, not cleared, as tail.
func grow(b []byte, n int) (all, tail []byte) {
	if len(b)+n <= cap(b) {
		all = b[:len(b)+n]
	} else {
		all = append(b, make([]byte, n)...)
	}
	return all, all[len(b):]
}
