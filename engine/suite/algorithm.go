package suite

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Integrity algorithms outside IANA's registry, in its private use range.
const (
	// IntegSHA256_96 is HMAC-SHA2-256 cut to 96 bits, as Linux kernels before
	// 2.6.33 and some vendors have it in ESP. The number is strongSwan's.
	IntegSHA256_96 uint16 = 1026

	// IntegUnchecked plus a number of octets (1 to 64) stands for an unknown
	// integrity algorithm with a checksum of that length: it is cut off and
	// not checked. Only for reading captures; Seal refuses it.
	IntegUnchecked uint16 = 0xff00
)

const maxUnchecked = 64

type mode uint8

const (
	modeNull mode = iota
	modeCBC
	modeCTR
	modeGCM
	modeCCM
	modeChaCha
	modeGMAC
)

// encryption is an encryption algorithm with its key length settled. Lengths
// are in octets.
type encryption struct {
	id    uint16
	mode  mode
	key   int
	salt  int // the implicit part of the nonce, the last octets of the keying material
	iv    int // on the wire
	block int // plaintext is padded to a multiple of it
	icv   int // of an AEAD, else 0
	// The IV is the sequence number and not on the wire (RFC 8750).
	implicitIV bool
}

func (e *encryption) aead() bool { return e.icv > 0 }

// protectsIKE says whether the algorithm exists in IKE: one that encrypts, with
// its IV on the wire.
func (e *encryption) protectsIKE() bool {
	return e.mode != modeNull && e.mode != modeGMAC && !e.implicitIV
}

// material is how much keying material the algorithm takes, salt included.
func (e *encryption) material() int { return e.key + e.salt }

var encryptions = map[uint16]encryption{
	wire.EncrNull:                {mode: modeNull, block: 1},
	wire.EncrDES:                 {mode: modeCBC, key: 8, iv: 8, block: 8},
	wire.Encr3DES:                {mode: modeCBC, key: 24, iv: 8, block: 8},
	wire.EncrAESCBC:              {mode: modeCBC, iv: 16, block: 16},
	wire.EncrAESCTR:              {mode: modeCTR, salt: 4, iv: 8, block: 1},
	wire.EncrAESCCM8:             {mode: modeCCM, salt: 3, iv: 8, block: 1, icv: 8},
	wire.EncrAESCCM12:            {mode: modeCCM, salt: 3, iv: 8, block: 1, icv: 12},
	wire.EncrAESCCM16:            {mode: modeCCM, salt: 3, iv: 8, block: 1, icv: 16},
	wire.EncrAESGCM8:             {mode: modeGCM, salt: 4, iv: 8, block: 1, icv: 8},
	wire.EncrAESGCM12:            {mode: modeGCM, salt: 4, iv: 8, block: 1, icv: 12},
	wire.EncrAESGCM16:            {mode: modeGCM, salt: 4, iv: 8, block: 1, icv: 16},
	wire.EncrNullAuthAESGMAC:     {mode: modeGMAC, salt: 4, iv: 8, block: 1, icv: 16},
	wire.EncrChaCha20Poly1305:    {mode: modeChaCha, key: 32, salt: 4, iv: 8, block: 1, icv: 16},
	wire.EncrAESCCM8IIV:          {mode: modeCCM, salt: 3, block: 1, icv: 8, implicitIV: true},
	wire.EncrAESGCM16IIV:         {mode: modeGCM, salt: 4, block: 1, icv: 16, implicitIV: true},
	wire.EncrChaCha20Poly1305IIV: {mode: modeChaCha, key: 32, salt: 4, block: 1, icv: 16, implicitIV: true},
}

// encryptionOf finds an encryption algorithm. bits is the Key Length attribute
// (RFC 7296 3.3.5): required for AES, 0 or the one possible length elsewhere.
func encryptionOf(id uint16, bits int) (encryption, error) {
	e, ok := encryptions[id]
	if !ok {
		return e, &AlgorithmError{wire.TransformEncr, id, bits, "not supported"}
	}
	e.id = id
	switch {
	case e.mode == modeNull:
		if bits != 0 {
			return e, &AlgorithmError{wire.TransformEncr, id, bits, fmt.Sprintf("it has no key, yet a key length of %d bits is given", bits)}
		}
	case e.key == 0: // AES
		if bits != 128 && bits != 192 && bits != 256 {
			return e, &AlgorithmError{wire.TransformEncr, id, bits, fmt.Sprintf("the key length must be 128, 192 or 256 bits, not %d", bits)}
		}
		e.key = bits / 8
	default:
		if bits != 0 && bits != e.key*8 {
			return e, &AlgorithmError{wire.TransformEncr, id, bits, fmt.Sprintf("the key length is fixed to %d bits, not %d", e.key*8, bits)}
		}
	}
	return e, nil
}

// integrity is an integrity algorithm. Lengths are in octets.
type integrity struct {
	id        uint16
	key       int
	icv       int
	hash      func() hash.Hash                    // of an HMAC
	blockMAC  func(key []byte) (hash.Hash, error) // of a MAC made from a block cipher
	unchecked bool
}

var integrities = map[uint16]integrity{
	wire.IntegNone:      {},
	wire.IntegMD5_96:    {key: 16, icv: 12, hash: md5.New},
	wire.IntegSHA1_96:   {key: 20, icv: 12, hash: sha1.New},
	wire.IntegAESXCBC96: {key: 16, icv: 12, blockMAC: newXCBC},
	wire.IntegMD5_128:   {key: 16, icv: 16, hash: md5.New},
	wire.IntegSHA1_160:  {key: 20, icv: 20, hash: sha1.New},
	wire.IntegAESCMAC96: {key: 16, icv: 12, blockMAC: newCMAC},
	wire.IntegSHA256128: {key: 32, icv: 16, hash: sha256.New},
	wire.IntegSHA384192: {key: 48, icv: 24, hash: sha512.New384},
	wire.IntegSHA512256: {key: 64, icv: 32, hash: sha512.New},
	IntegSHA256_96:      {key: 32, icv: 12, hash: sha256.New},
}

func integrityOf(id uint16) (integrity, error) {
	if n := int(id) - int(IntegUnchecked); n >= 1 && n <= maxUnchecked {
		return integrity{id: id, icv: n, unchecked: true}, nil
	}
	a, ok := integrities[id]
	if !ok {
		return a, &AlgorithmError{wire.TransformInteg, id, 0, "not supported"}
	}
	a.id = id
	return a, nil
}

// Sizes are the lengths, in octets, that an encryption algorithm together with
// an integrity algorithm puts on the wire.
type Sizes struct {
	IV    int // in front of the ciphertext
	Block int // the ciphertext is a multiple of it, 1 where it need not be
	ICV   int // behind the ciphertext
}

// KeyLengths gives how many octets of keying material an encryption and an
// integrity algorithm take in each direction; the salt of a counter mode counts
// to the encryption key (RFC 5282 7.1, RFC 4106 8.1). bits is the Key Length
// attribute, 0 where there is none. The integrity key of an AEAD is empty.
func KeyLengths(encrID uint16, bits int, integID uint16) (encr, integ int, err error) {
	e, err := encryptionOf(encrID, bits)
	if err != nil {
		return 0, 0, err
	}
	if e.aead() {
		return e.material(), 0, nil
	}
	a, err := integrityOf(integID)
	if err != nil {
		return 0, 0, err
	}
	return e.material(), a.key, nil
}

// AEAD says whether an encryption algorithm brings its own integrity, so that a
// proposal needs no integrity algorithm beside it.
func AEAD(encrID uint16) bool {
	e := encryptions[encrID]
	return e.icv > 0
}
