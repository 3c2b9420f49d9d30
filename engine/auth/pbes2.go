package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"

	"github.com/cloudvlan/cvlanctl/engine/suite"
)

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
)

// keyPRFs are the functions of PBKDF2 (RFC 8018 B.1).
var keyPRFs = []struct {
	oid asn1.ObjectIdentifier
	new func() hash.Hash
}{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}, sha1.New},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, sha256.New},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}, sha512.New384},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}, sha512.New},
}

// keyCiphers are AES-CBC with its key lengths in octets.
var keyCiphers = []struct {
	oid  asn1.ObjectIdentifier
	size int
}{
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}, 16},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}, 24},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, 32},
}

type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2Parameters struct {
	Derivation, Encryption pkix.AlgorithmIdentifier
}

type pbkdf2Parameters struct {
	Salt       []byte
	Iterations int
	Length     int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// decryptPKCS8 opens an EncryptedPrivateKeyInfo (RFC 5958 3) made with PBES2,
// PBKDF2 and AES-CBC (RFC 8018). is tells whether der is one at all.
func decryptPKCS8(der []byte, passphrase suite.Secret) (plain []byte, is bool, err error) {
	var k encryptedKey
	if rest, err := asn1.Unmarshal(der, &k); err != nil || len(rest) > 0 {
		return nil, false, nil
	}
	scheme, err := readPBES2(&k.Algorithm)
	if err != nil {
		return nil, true, err
	}
	if n := len(k.Data); n == 0 || n%aes.BlockSize != 0 {
		return nil, true, fmt.Errorf("encrypted data of %d octets, which is no number of blocks", n)
	}
	if passphrase.Len() == 0 {
		return nil, true, errors.New("it is encrypted, and no passphrase is given")
	}
	plain, err = scheme.decrypt(k.Data, passphrase)
	return plain, true, err
}

// pbes2 is how a key is encrypted: by AES-CBC, with a key of so many octets
// that PBKDF2 makes of a passphrase.
type pbes2 struct {
	prf        func() hash.Hash
	salt       []byte
	iterations int
	keySize    int
	iv         []byte
}

// readPBES2 reads the parameters of PBES2 (RFC 8018 A.4) and of the schemes
// within. All comes from a file that anybody may have made.
func readPBES2(a *pkix.AlgorithmIdentifier) (*pbes2, error) {
	var p pbes2Parameters
	var d pbkdf2Parameters
	if !a.Algorithm.Equal(oidPBES2) {
		return nil, fmt.Errorf("encrypted by %s; only PBES2 is supported", a.Algorithm)
	}
	if rest, err := asn1.Unmarshal(a.Parameters.FullBytes, &p); err != nil || len(rest) > 0 {
		return nil, errors.New("malformed parameters of PBES2")
	}
	if !p.Derivation.Algorithm.Equal(oidPBKDF2) {
		return nil, fmt.Errorf("encrypted by a key derived with %s; only PBKDF2 is supported", p.Derivation.Algorithm)
	}
	if rest, err := asn1.Unmarshal(p.Derivation.Parameters.FullBytes, &d); err != nil || len(rest) > 0 {
		return nil, errors.New("malformed parameters of PBKDF2")
	}
	if d.Iterations < 1 || d.Iterations > maxIterations {
		return nil, fmt.Errorf("PBKDF2 with %d iterations, 1 to %d are possible", d.Iterations, maxIterations)
	}
	s := &pbes2{salt: d.Salt, iterations: d.Iterations}
	if len(d.PRF.Algorithm) == 0 {
		s.prf = sha1.New
	}
	for _, f := range keyPRFs {
		if f.oid.Equal(d.PRF.Algorithm) {
			s.prf = f.new
		}
	}
	for _, c := range keyCiphers {
		if c.oid.Equal(p.Encryption.Algorithm) {
			s.keySize = c.size
		}
	}
	rest, err := asn1.Unmarshal(p.Encryption.Parameters.FullBytes, &s.iv)
	if err != nil || len(rest) > 0 || len(s.iv) != aes.BlockSize || s.prf == nil || s.keySize == 0 {
		return nil, errors.New("encrypted by something else than PBKDF2 with HMAC-SHA and AES-CBC")
	}
	return s, nil
}

// decrypt gives what was encrypted, without its padding. Data are whole blocks,
// at least one. A wrong passphrase is noticed by the padding, but for one in some
// 256.
func (s *pbes2) decrypt(data []byte, passphrase suite.Secret) ([]byte, error) {
	pass := passphrase.Reveal()
	defer clear(pass)
	key, err := pbkdf2.Key(s.prf, string(pass), s.salt, s.iterations, s.keySize)
	if err != nil {
		return nil, fmt.Errorf("PBKDF2: %w", err)
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("AES: %w", err)
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, s.iv).CryptBlocks(plain, data)
	pad := int(plain[len(plain)-1])
	if pad < 1 || pad > aes.BlockSize {
		return nil, errors.New("the passphrase is wrong")
	}
	for _, c := range plain[len(plain)-pad:] {
		if int(c) != pad {
			return nil, errors.New("the passphrase is wrong")
		}
	}
	return plain[:len(plain)-pad], nil
}
