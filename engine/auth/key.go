package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// The bounds of RSA moduli in bits. The least is a rule, see Rules.MinRSA.
const (
	maxRSA        = 16384
	defaultMinRSA = 2048
	floorRSA      = 1024 // crypto/rsa refuses smaller ones
)

// PrivateKey signs: RSA, ECDSA on P-256, P-384 and P-521, or Ed25519. However
// it is printed, it says only its kind and size.
type PrivateKey struct {
	_   [0]func() // no ==, which would compare pointers
	box *keyBox
}

// keyBox keeps fmt, which follows one pointer at most, from the key.
type keyBox struct{ signer *crypto.Signer }

// NewPrivateKey takes a key, which may also live in a smartcard.
func NewPrivateKey(signer crypto.Signer) (*PrivateKey, error) {
	if signer == nil {
		return nil, errors.New("no private key")
	}
	if err := checkKey(signer.Public(), floorRSA); err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return &PrivateKey{box: &keyBox{&signer}}, nil
}

func (k *PrivateKey) signer() crypto.Signer { return *k.box.signer }

// Public is the public key that belongs to it.
func (k *PrivateKey) Public() crypto.PublicKey { return k.signer().Public() }

// String gives kind and size: "RSA 2048 bits".
func (k *PrivateKey) String() string {
	if k == nil || k.box == nil {
		return "no key"
	}
	return keyText(k.Public())
}

// Format gives kind and size, for every verb.
func (k *PrivateKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }

// MarshalText gives kind and size; so does JSON, which uses it.
func (k *PrivateKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// keyText names kind and size of a public key.
func keyText(key crypto.PublicKey) string {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d bits", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return fmt.Sprintf("of an unsupported kind (%T)", key)
}

// checkKey says why a public key cannot be used, nil where it can.
func checkKey(key crypto.PublicKey, minRSA int) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k == nil || k.N == nil {
			return errors.New("an empty RSA key")
		}
		n := k.N.BitLen()
		switch {
		case n < minRSA:
			return fmt.Errorf("RSA of %d bits is too small, at least %d are wanted", n, minRSA)
		case n > maxRSA:
			return fmt.Errorf("RSA of %d bits is too big, at most %d are taken", n, maxRSA)
		case k.E < 3 || k.E&1 == 0:
			return fmt.Errorf("RSA with the public exponent %d", k.E)
		}
	case *ecdsa.PublicKey:
		if k == nil || curveOf(k) == nil {
			return errors.New("ECDSA on a curve other than P-256, P-384 and P-521")
		}
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return fmt.Errorf("an Ed25519 key of %d octets", len(k))
		}
	default:
		return fmt.Errorf("a key %s", keyText(key))
	}
	return nil
}

// curveOf finds what RFC 4754 says of a key's curve, nil where it is none of
// the three.
func curveOf(k *ecdsa.PublicKey) *fixedCurve {
	for i := range fixedCurves {
		if f := &fixedCurves[i]; elliptic.Curve(f.curve) == k.Curve {
			return f
		}
	}
	return nil
}

// KeyPair is a certificate of this side, with its private key and the
// authorities to send along.
type KeyPair struct {
	Cert  *x509.Certificate
	Chain []*x509.Certificate // intermediates, in no particular order
	Key   *PrivateKey
}

// NewKeyPair finds the certificate of a private key among those given; the
// others are its chain.
func NewKeyPair(key *PrivateKey, certs ...*x509.Certificate) (*KeyPair, error) {
	if key == nil || key.box == nil {
		return nil, errors.New("no private key")
	}
	pair := &KeyPair{Key: key}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	for _, c := range certs {
		if ok && pair.Cert == nil && public.Equal(c.PublicKey) {
			pair.Cert = c
		} else {
			pair.Chain = append(pair.Chain, c)
		}
	}
	switch {
	case pair.Cert != nil:
		return pair, nil
	case len(certs) == 0:
		return nil, errors.New("no certificate")
	}
	return nil, fmt.Errorf("the private key (%s) does not fit the certificate: that of %s has a key that is %s", key, subject(certs[0]), keyText(certs[0].PublicKey))
}

// list joins words by commas, no more than eight of n.
func list(n int, word func(int) string) string {
	const most = 8
	var words []string
	for i := range min(n, most) {
		words = append(words, word(i))
	}
	if n > most {
		words = append(words, fmt.Sprintf("%d more", n-most))
	}
	return strings.Join(words, ", ")
}
