package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"
)

// IKEv1Cipher decrypts the messages of an ISAKMP SA (RFC 2409 appendix B), for
// reading captures: CBC whose IVs both sides infer, without integrity that
// could tell a wrong key.
type IKEv1Cipher struct {
	block cipher.Block
	hash  func() hash.Hash
}

// Values of the attribute Encryption Algorithm (RFC 2409 appendix A, RFC 3602 5.1).
const (
	ikev1DES  = 1
	ikev13DES = 5
	ikev1AES  = 7
)

// ikev1Hashes are the hash algorithms by their IKEv1 attribute value.
var ikev1Hashes = map[uint16]func() hash.Hash{
	1: md5.New, 2: sha1.New, 4: sha256.New, 5: sha512.New384, 6: sha512.New,
}

// NewIKEv1 makes the cipher of an ISAKMP SA from the values of its attributes
// Encryption Algorithm and Hash Algorithm. The key's length settles the key
// length of AES.
func NewIKEv1(encryption, hashID uint16, key Secret) (*IKEv1Cipher, error) {
	h := ikev1Hashes[hashID]
	if h == nil {
		return nil, fmt.Errorf("IKEv1 hash algorithm %d is not supported", hashID)
	}
	c := &IKEv1Cipher{hash: h}
	var err error
	switch encryption {
	case ikev1DES:
		c.block, err = des.NewCipher(key.view())
	case ikev13DES:
		c.block, err = des.NewTripleDESCipher(key.view())
	case ikev1AES:
		c.block, err = aes.NewCipher(key.view())
	default:
		return nil, fmt.Errorf("IKEv1 encryption algorithm %d is not supported", encryption)
	}
	if err != nil {
		return nil, &KeyError{"IKEv1 encryption key", fmt.Sprintf("%d octets do not fit the algorithm", key.Len())}
	}
	return c, nil
}

// Phase1IV gives the IV of the first encrypted message: a hash of both public
// values. Each later message of phase 1 takes the last ciphertext block of the
// one before.
func (c *IKEv1Cipher) Phase1IV(initiatorPublic, responderPublic []byte) []byte {
	return c.digest(initiatorPublic, responderPublic)
}

// Phase2IV gives the IV of the first message of a quick mode, informational or
// transaction exchange: a hash of the last ciphertext block of phase 1 and the
// message id.
func (c *IKEv1Cipher) Phase2IV(lastBlock []byte, messageID uint32) []byte {
	return c.digest(lastBlock, binary.BigEndian.AppendUint32(nil, messageID))
}

func (c *IKEv1Cipher) digest(parts ...[]byte) []byte {
	h := c.hash()
	for _, p := range parts {
		_, _ = h.Write(p) // a hash never fails
	}
	return h.Sum(nil)[:c.block.BlockSize()]
}

// Open decrypts what follows the header of an encrypted message and gives also
// the IV of the message after it. The padding stays: only the payload chain
// tells where it begins.
func (c *IKEv1Cipher) Open(iv, sealed []byte) (plain, nextIV []byte, err error) {
	n := c.block.BlockSize()
	if len(iv) != n {
		return nil, nil, &LengthError{"IV", len(iv), fmt.Sprintf("must be %d octets", n)}
	}
	if len(sealed) == 0 || len(sealed)%n != 0 {
		return nil, nil, &LengthError{"encrypted IKEv1 payloads", len(sealed), fmt.Sprintf("must be a multiple of the block of %d octets, and not empty", n)}
	}
	plain = make([]byte, len(sealed))
	cipher.NewCBCDecrypter(c.block, iv).CryptBlocks(plain, sealed)
	return plain, append([]byte(nil), sealed[len(sealed)-n:]...), nil
}
