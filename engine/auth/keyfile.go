package auth

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/cloudvlan/cvlanctl/engine/suite"
)

// The bounds of files with keys and certificates.
const (
	maxKeyFile    = 1 << 20 // octets
	maxFileCerts  = 1024    // certificates of one file
	maxIterations = 10_000_000
)

// ParsePrivateKey reads a private key: PKCS #1, SEC 1 or PKCS #8, in PEM or in
// DER. The passphrase is for an encrypted PKCS #8 key and may be empty
// otherwise.
func ParsePrivateKey(data []byte, passphrase suite.Secret) (*PrivateKey, error) {
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("private key of %d octets, at most %d are read", len(data), maxKeyFile)
	}
	der, kind := data, ""
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type == "EC PARAMETERS" || b.Type == "CERTIFICATE" {
			continue
		}
		if b.Headers["DEK-Info"] != "" {
			return nil, errors.New("private key encrypted in the old form of PEM, whose passphrase is easily found: convert it with openssl pkcs8 -topk8")
		}
		der, kind = b.Bytes, b.Type
		break
	}
	if kind == "ENCRYPTED PRIVATE KEY" || kind == "" {
		plain, is, err := decryptPKCS8(der, passphrase)
		if err != nil {
			return nil, fmt.Errorf("private key: %w", err)
		}
		if is {
			der = plain
			defer clear(plain)
		}
	}
	signer, err := parseKeyDER(der)
	if err != nil {
		return nil, err
	}
	return NewPrivateKey(signer)
}

// parseKeyDER tries the three forms of private keys. Its errors do not quote
// the key.
func parseKeyDER(der []byte) (crypto.Signer, error) {
	var key any
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		if rsaKey, e := x509.ParsePKCS1PrivateKey(der); e == nil {
			key, err = rsaKey, nil
		} else if ecKey, e := x509.ParseECPrivateKey(der); e == nil {
			key, err = ecKey, nil
		}
	}
	if err != nil {
		return nil, errors.New("no private key in PKCS #1, SEC 1 or PKCS #8, or one of a kind that is not supported")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a private key that cannot sign (%T)", key)
	}
	return signer, nil
}

// ParseCertificates reads all certificates of a PEM file, or the one of a DER
// file.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("certificates of %d octets, at most %d are read", len(data), maxKeyFile)
	}
	var certs []*x509.Certificate
	found := false
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		found = true
		if b.Type != "CERTIFICATE" {
			continue
		}
		if len(certs) == maxFileCerts {
			return nil, fmt.Errorf("more than %d certificates in one file", maxFileCerts)
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(certs)+1, err)
		}
		certs = append(certs, c)
	}
	if !found {
		c, err := x509.ParseCertificate(data)
		if err != nil {
			return nil, fmt.Errorf("no certificate in PEM or DER: %w", err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, errors.New("no certificate in the file")
	}
	return certs, nil
}

// ParsePKCS12 reads a private key with its certificate and chain from a PKCS
// #12 file (RFC 7292). Authorities of the chain that signed themselves are in
// Chain too; trusting them is up to the caller.
func ParsePKCS12(data []byte, passphrase suite.Secret) (*KeyPair, error) {
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("PKCS #12 file of %d octets, at most %d are read", len(data), maxKeyFile)
	}
	if err := checkMAC(data); err != nil {
		return nil, fmt.Errorf("PKCS #12 file: %w", err)
	}
	plain := passphrase.Reveal()
	defer clear(plain)
	raw, cert, chain, err := pkcs12.DecodeChain(data, string(plain))
	if err != nil {
		return nil, fmt.Errorf("PKCS #12 file: %w", err)
	}
	signer, ok := raw.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("PKCS #12 file: a private key that cannot sign (%T)", raw)
	}
	key, err := NewPrivateKey(signer)
	if err != nil {
		return nil, fmt.Errorf("PKCS #12 file: %w", err)
	}
	pair, err := NewKeyPair(key, append([]*x509.Certificate{cert}, chain...)...)
	if err != nil {
		return nil, fmt.Errorf("PKCS #12 file: %w", err)
	}
	return pair, nil
}

// checkMAC refuses a file whose integrity would take hours to check. What lies
// within is counted as the passphrase owner's.
func checkMAC(data []byte) error {
	var pfx struct {
		Version int
		Safe    asn1.RawValue
		MAC     asn1.RawValue `asn1:"optional"`
	}
	if rest, err := asn1.Unmarshal(data, &pfx); err != nil || len(rest) > 0 {
		return errors.New("not in DER")
	}
	if len(pfx.MAC.FullBytes) == 0 {
		return errors.New("without a MAC, so anybody may have altered it")
	}
	return boundIntegers(pfx.MAC.Bytes, 0)
}

// boundIntegers refuses integers over the bound of iterations.
func boundIntegers(der []byte, depth int) error {
	for len(der) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil || depth > 16 {
			return errors.New("malformed MAC")
		}
		der = rest
		if v.IsCompound {
			if err := boundIntegers(v.Bytes, depth+1); err != nil {
				return err
			}
		} else if v.Class == asn1.ClassUniversal && v.Tag == asn1.TagInteger &&
			(len(v.Bytes) > 8 || new(big.Int).SetBytes(v.Bytes).Cmp(big.NewInt(maxIterations)) > 0) {
			return fmt.Errorf("more than %d iterations", maxIterations)
		}
	}
	return nil
}
