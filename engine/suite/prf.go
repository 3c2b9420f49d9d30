package suite

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// PRF is a pseudorandom function (RFC 7296 2.13, transform type PRF). It is a
// value without state: any number of goroutines may use it.
type PRF struct {
	id   uint16
	size int
	hash func() hash.Hash // of an HMAC
	// Of a PRF made from a block cipher. They take keys of any length for
	// pre-shared keys, but 16 octets are their own length.
	blockMAC func(key []byte) (hash.Hash, error)
}

var prfs = map[uint16]PRF{
	wire.PRFHMACMD5:    {size: 16, hash: md5.New},
	wire.PRFHMACSHA1:   {size: 20, hash: sha1.New},
	wire.PRFHMACSHA256: {size: 32, hash: sha256.New},
	wire.PRFHMACSHA384: {size: 48, hash: sha512.New384},
	wire.PRFHMACSHA512: {size: 64, hash: sha512.New},
	wire.PRFAES128XCBC: {size: 16, blockMAC: newXCBC},
	wire.PRFAES128CMAC: {size: 16, blockMAC: newCMAC},
}

// NewPRF finds a pseudorandom function by its transform id.
func NewPRF(id uint16) (PRF, error) {
	p, ok := prfs[id]
	if !ok {
		return PRF{}, &AlgorithmError{wire.TransformPRF, id, 0, "not supported"}
	}
	p.id = id
	return p, nil
}

// ID is the transform id.
func (p PRF) ID() uint16 { return p.id }

// Size is the length of the output in octets, which is also the preferred
// length of the key.
func (p PRF) Size() int { return p.size }

// new makes the function with its key.
func (p PRF) new(key []byte) hash.Hash {
	if p.hash != nil {
		return hmac.New(p.hash, key)
	}
	m, err := p.blockMAC(p.fixedKey(key))
	if err != nil {
		panic("suite: AES refuses a key of 16 octets: " + err.Error())
	}
	return m
}

// fixedKey brings a key to the 16 octets that a PRF made from AES takes: by
// zeros where it is shorter and the PRF is XCBC (RFC 4434 2), else by the
// function itself with a key of zeros (RFC 4434 2, RFC 4615 3).
func (p PRF) fixedKey(key []byte) []byte {
	switch {
	case len(key) == 16:
		return key
	case len(key) < 16 && p.id == wire.PRFAES128XCBC:
		return append(append(make([]byte, 0, 16), key...), make([]byte, 16-len(key))...)
	}
	h := p.new(make([]byte, 16))
	_, _ = h.Write(key) // a hash never fails
	return h.Sum(nil)
}

// Sum gives prf(key, data), the data concatenated.
func (p PRF) Sum(key Secret, data ...[]byte) []byte {
	h := p.new(key.view())
	for _, d := range data {
		_, _ = h.Write(d) // a hash never fails
	}
	return h.Sum(make([]byte, 0, p.size))
}

// Plus gives n octets of prf+(key, seed) (RFC 7296 2.13). n may be up to 255
// times Size.
func (p PRF) Plus(key Secret, n int, seed ...[]byte) (Secret, error) {
	if n < 0 || n > 255*p.size {
		return Secret{}, fmt.Errorf("prf+ gives up to %d octets with %s, not %d", 255*p.size, wire.TransformName(wire.TransformPRF, p.id), n)
	}
	out := make([]byte, 0, n+p.size)
	h := p.new(key.view())
	var t []byte
	for i := byte(1); len(out) < n; i++ {
		h.Reset()
		_, _ = h.Write(t)
		for _, s := range seed {
			_, _ = h.Write(s)
		}
		_, _ = h.Write([]byte{i})
		out = h.Sum(out)
		t = out[len(out)-p.size:]
	}
	clear(out[n:])
	return ownSecret(out[:n:n]), nil
}
