package suite

import (
	"encoding/binary"
	"fmt"
)

// espHeader is the length of SPI and sequence number.
const espHeader = 8

// ESPCipher protects the packets of one ESP SA (RFC 4303): with encryption and
// integrity apart, or as an AEAD (RFC 4106, 4309, 7634), GMAC (RFC 4543) and
// implicit IVs (RFC 8750) included.
//
// Any number of goroutines may use one at once. Make one ESPCipher for a key
// that seals, and no second: counter modes number their IVs from zero in each.
type ESPCipher struct {
	p   *protection
	esn bool
}

// NewESP makes the cipher of one ESP SA from the transform ids of its proposal.
// bits is the Key Length attribute, 0 where there is none. encrKey is as cut
// from KEYMAT, with the salt at its end; integKey is empty for an AEAD. esn
// says whether sequence numbers have 64 bits.
//
// An SA without any integrity can be made, to read captures of one.
func NewESP(encrID uint16, bits int, integID uint16, encrKey, integKey Secret, esn bool) (*ESPCipher, error) {
	p, err := newProtection(encrID, bits, integID, encrKey, integKey)
	if err != nil {
		return nil, err
	}
	return &ESPCipher{p, esn}, nil
}

// Sizes gives the lengths that the algorithms put on the wire.
func (c *ESPCipher) Sizes() Sizes { return c.p.Sizes() }

// ESN says whether sequence numbers have 64 bits.
func (c *ESPCipher) ESN() bool { return c.esn }

// align is what payload, padding, pad length and next header together are a
// multiple of (RFC 4303 2.4).
func (c *ESPCipher) align() int { return max(4, c.p.enc.block) }

// HeaderLen is how many octets of a packet stand in front of the ciphertext:
// SPI, sequence number and IV. A payload that already lies there in dst is
// sealed without being moved.
func (c *ESPCipher) HeaderLen() int { return espHeader + c.p.enc.iv }

// PacketLen gives the length of the ESP packet that carries a payload of n
// octets.
func (c *ESPCipher) PacketLen(n int) int {
	return c.HeaderLen() + roundUp(n+2, c.align()) + c.p.integ.icv
}

// MaxPayload gives the longest payload that fits an ESP packet of room octets;
// it is negative where not even an empty one fits.
func (c *ESPCipher) MaxPayload(room int) int {
	room -= c.HeaderLen() + c.p.integ.icv
	return room - max(room, 0)%c.align() - 2
}

// Seal appends to dst the ESP packet that carries payload: SPI, the low half of
// seq, IV, ciphertext, ICV. nextHeader is the payload's IP protocol number.
// TFC padding (RFC 4303 2.7) is the caller's to add behind the payload.
// Without ESN seq must fit 32 bits.
func (c *ESPCipher) Seal(dst []byte, spi uint32, seq uint64, payload []byte, nextHeader uint8) ([]byte, error) {
	return c.seal(dst, spi, seq, payload, nextHeader, nil)
}

func (c *ESPCipher) seal(dst []byte, spi uint32, seq uint64, payload []byte, nextHeader uint8, iv []byte) ([]byte, error) {
	if !c.esn && seq>>32 != 0 {
		return nil, fmt.Errorf("sequence number %d needs extended sequence numbers, which this SA does not have", seq)
	}
	ivLen, icv := c.p.enc.iv, c.p.integ.icv
	n := roundUp(len(payload)+2, c.align())
	out, tail := grow(dst, espHeader+ivLen+n+icv)
	head := tail[:espHeader]
	k := packet{prefix: head, iv: tail[espHeader : espHeader+ivLen], text: tail[espHeader+ivLen : espHeader+ivLen+n], icv: tail[espHeader+ivLen+n:], seq: seq, extended: c.esn}
	copy(k.text, payload)
	pad := n - 2 - len(payload)
	for i := range pad {
		k.text[len(payload)+i] = byte(i + 1)
	}
	k.text[n-2], k.text[n-1] = byte(pad), nextHeader
	binary.BigEndian.PutUint32(head, spi)
	binary.BigEndian.PutUint32(head[4:], uint32(seq))
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

// Open checks and decrypts an ESP packet and appends its payload to dst,
// without padding but with TFC padding where there is some. high is the high
// half of the sequence number, which the receiver has to infer (RFC 4303 A2);
// it is ignored without ESN. dst must not overlap packet, or be exactly its
// part behind HeaderLen. The SPI is the caller's to have looked at.
//
// It gives ErrIntegrity for a wrong key or a changed packet, a *LengthError for
// one that cannot have been made with these algorithms. Where there is no
// integrity to check, padding of another form than RFC 4303's own counts as
// ErrIntegrity, which finds most wrong keys.
func (c *ESPCipher) Open(dst, esp []byte, high uint32) (payload []byte, nextHeader uint8, err error) {
	header, icv, align := c.HeaderLen(), c.p.integ.icv, c.p.enc.block
	n := len(esp) - header - icv
	if n < max(2, align) {
		return nil, 0, &LengthError{"ESP packet", len(esp), fmt.Sprintf("at least %d octets of header, IV, ciphertext and ICV are needed", header+max(4, align)+icv)}
	}
	if n%align != 0 {
		return nil, 0, &LengthError{"ciphertext", n, fmt.Sprintf("not a multiple of the block of %d octets", align)}
	}
	k := packet{prefix: esp[:espHeader], iv: esp[espHeader:header], text: esp[header : header+n], icv: esp[header+n:], extended: c.esn}
	k.seq = uint64(binary.BigEndian.Uint32(esp[4:]))
	if c.esn {
		k.seq |= uint64(high) << 32
	}
	out, tail := grow(dst, n)
	if err := c.p.open(tail, &k); err != nil {
		return nil, 0, err
	}
	pad, nextHeader := int(tail[n-2]), tail[n-1]
	checked := c.p.enc.aead() || (icv > 0 && !c.p.integ.unchecked)
	if pad+2 > n {
		if !checked {
			return nil, 0, ErrIntegrity
		}
		return nil, 0, &LengthError{"padding", pad, fmt.Sprintf("only %d octets were decrypted", n)}
	}
	if !checked {
		for i, b := range tail[n-2-pad : n-2] {
			if b != byte(i+1) {
				return nil, 0, ErrIntegrity
			}
		}
	}
	return out[:len(out)-pad-2], nextHeader, nil
}
