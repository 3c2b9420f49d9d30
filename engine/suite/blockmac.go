package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"hash"
)

// blockMAC is a MAC that chains AES over the message and treats the last block
// apart: AES-XCBC-MAC (RFC 3566) and AES-CMAC (RFC 4493) differ only in where
// its three keys come from.
type blockMAC struct {
	block   cipher.Block
	full    [16]byte // joins a last block that is whole
	partial [16]byte // joins a last block that had to be padded
	x       [16]byte // the chain
	buf     [16]byte // input not yet in the chain; a whole last block waits here
	n       int
}

// newXCBC makes AES-XCBC-MAC with a key of 16 octets.
func newXCBC(key []byte) (hash.Hash, error) {
	outer, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	var k [3][16]byte
	for i := range k {
		for j := range k[i] {
			k[i][j] = byte(i + 1)
		}
		outer.Encrypt(k[i][:], k[i][:])
	}
	m := &blockMAC{full: k[1], partial: k[2]}
	m.block, err = aes.NewCipher(k[0][:])
	return m, err
}

// newCMAC makes AES-CMAC with a key of 16, 24 or 32 octets.
func newCMAC(key []byte) (hash.Hash, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	m := &blockMAC{block: b}
	var l [16]byte
	b.Encrypt(l[:], l[:])
	m.full = double(l)
	m.partial = double(m.full)
	return m, nil
}

// double multiplies by x in the field of 128 bits of RFC 4493 2.3.
func double(b [16]byte) (d [16]byte) {
	for i := range 15 {
		d[i] = b[i]<<1 | b[i+1]>>7
	}
	d[15] = b[15]<<1 ^ b[0]>>7*0x87
	return d
}

func (m *blockMAC) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if m.n == 16 {
			m.chain()
		}
		c := copy(m.buf[m.n:], p)
		m.n += c
		p = p[c:]
	}
	return n, nil
}

func (m *blockMAC) chain() {
	for i := range m.x {
		m.x[i] ^= m.buf[i]
	}
	m.block.Encrypt(m.x[:], m.x[:])
	m.n = 0
}

// Sum appends the MAC, 16 octets. It may be called once between Resets.
func (m *blockMAC) Sum(b []byte) []byte {
	last := &m.full
	if m.n < 16 {
		m.buf[m.n] = 0x80
		clear(m.buf[m.n+1:])
		last = &m.partial
	}
	for i := range m.buf {
		m.buf[i] ^= last[i]
	}
	m.chain()
	return append(b, m.x[:]...)
}

func (m *blockMAC) Reset()         { m.x, m.n = [16]byte{}, 0 }
func (m *blockMAC) Size() int      { return 16 }
func (m *blockMAC) BlockSize() int { return 16 }
