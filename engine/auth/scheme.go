package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

const (
	rfcSignature = "RFC 7427 3"
	rfcHashes    = "RFC 7427 4"
	rfcMethod    = "RFC 7296 3.8"
	rfcECDSA     = "RFC 4754 3"
)

// family is a signature algorithm without its hash.
type family uint8

const (
	pkcs1 family = iota + 1 // RSASSA-PKCS1-v1_5
	pss                     // RSASSA-PSS
	ecdsaSig
	ed25519Sig
)

// scheme is a signature algorithm with its parameters.
type scheme struct {
	family family
	hash   wire.HashAlgorithm
	salt   int // octets, of RSASSA-PSS
}

// String names the scheme: "RSASSA-PSS with SHA2-256", "Ed25519".
func (s scheme) String() string {
	switch s.family {
	case pkcs1:
		return "RSASSA-PKCS1-v1_5 with " + s.hash.String()
	case pss:
		return "RSASSA-PSS with " + s.hash.String()
	case ecdsaSig:
		return "ECDSA with " + s.hash.String()
	}
	return "Ed25519"
}

// hashes are the hash functions of signatures. Identity is none.
var hashes = map[wire.HashAlgorithm]crypto.Hash{
	wire.HashSHA1: crypto.SHA1, wire.HashSHA256: crypto.SHA256, wire.HashSHA384: crypto.SHA384, wire.HashSHA512: crypto.SHA512,
}

// digest hashes what is signed; the whole of it for Ed25519 (RFC 8420 2).
func (s scheme) digest(signed []byte) []byte {
	if s.family == ed25519Sig {
		return signed
	}
	h := hashes[s.hash].New()
	_, _ = h.Write(signed) // a hash never fails
	return h.Sum(nil)
}

// options are what a crypto.Signer needs to know.
func (s scheme) options() crypto.SignerOpts {
	switch s.family {
	case pss:
		return &rsa.PSSOptions{SaltLength: s.salt, Hash: hashes[s.hash]}
	case ed25519Sig:
		return crypto.Hash(0)
	}
	return hashes[s.hash]
}

// sign makes a signature: of ECDSA in DER.
func (s scheme) sign(key crypto.Signer, signed []byte) ([]byte, error) {
	return key.Sign(rand.Reader, s.digest(signed), s.options())
}

var errSignature = errors.New("the signature does not hold")

// verify checks a signature, of ECDSA in DER. The key is one that checkKey
// accepted.
func (s scheme) verify(key crypto.PublicKey, signed, sig []byte) error {
	ok := false
	switch k := key.(type) {
	case *rsa.PublicKey:
		switch s.family {
		case pkcs1:
			ok = rsa.VerifyPKCS1v15(k, hashes[s.hash], s.digest(signed), sig) == nil
		case pss:
			// A salt of 0 has the library find the length, which is then bound by
			// the signature itself.
			ok = rsa.VerifyPSS(k, hashes[s.hash], s.digest(signed), sig, &rsa.PSSOptions{SaltLength: s.salt}) == nil
		default:
			return s.misfit(key)
		}
	case *ecdsa.PublicKey:
		if s.family != ecdsaSig {
			return s.misfit(key)
		}
		ok = ecdsa.VerifyASN1(k, s.digest(signed), sig)
	case ed25519.PublicKey:
		if s.family != ed25519Sig {
			return s.misfit(key)
		}
		ok = ed25519.Verify(k, signed, sig)
	}
	if !ok {
		return errSignature
	}
	return nil
}

func (s scheme) misfit(key crypto.PublicKey) error {
	return fmt.Errorf("%s cannot be made with the certificate's key, which is %s", s, keyText(key))
}

// fixedCurve is what a method of RFC 4754 binds together.
type fixedCurve struct {
	method wire.AuthMethod
	curve  elliptic.Curve
	hash   wire.HashAlgorithm
}

var fixedCurves = []fixedCurve{
	{wire.AuthECDSA256, elliptic.P256(), wire.HashSHA256},
	{wire.AuthECDSA384, elliptic.P384(), wire.HashSHA384},
	{wire.AuthECDSA521, elliptic.P521(), wire.HashSHA512},
}

// size is the length of r and of s, in octets.
func (f *fixedCurve) size() int { return (f.curve.Params().BitSize + 7) / 8 }

// ecdsaValue is Ecdsa-Sig-Value (RFC 3279 2.2.3).
type ecdsaValue struct{ R, S *big.Int }

// fixed turns a signature in DER to r and s behind each other (RFC 4754 7).
func (f *fixedCurve) fixed(der []byte) ([]byte, error) {
	var v ecdsaValue
	if _, err := asn1.Unmarshal(der, &v); err != nil {
		return nil, fmt.Errorf("signature of our own key: %w", err)
	}
	n := f.size()
	if v.R == nil || v.S == nil || v.R.Sign() < 0 || v.S.Sign() < 0 || v.R.BitLen() > 8*n || v.S.BitLen() > 8*n {
		return nil, errors.New("signature of our own key: out of range")
	}
	out := make([]byte, 2*n)
	v.R.FillBytes(out[:n])
	v.S.FillBytes(out[n:])
	return out, nil
}

// der turns r and s behind each other to DER.
func (f *fixedCurve) der(sig []byte) ([]byte, error) {
	n := f.size()
	if len(sig) != 2*n {
		return nil, fmt.Errorf("a signature by %s has %d octets, not %d", f.method, 2*n, len(sig))
	}
	return asn1.Marshal(ecdsaValue{new(big.Int).SetBytes(sig[:n]), new(big.Int).SetBytes(sig[n:])})
}

// choose finds the method and scheme to sign with: by RFC 7427 where the peer
// announced hashes, best of the rules first, else by the older methods.
func (r *Rules) choose(key crypto.PublicKey, peer []wire.HashAlgorithm) (wire.AuthMethod, scheme, *Error) {
	if r.OlderOnly { // RFC 7427 needs an announcement of both sides
		peer = nil
	}
	common := r.common(key, peer)
	switch k := key.(type) {
	case *rsa.PublicKey:
		switch {
		case len(peer) == 0 && r.SHA1:
			return wire.AuthRSA, scheme{family: pkcs1, hash: wire.HashSHA1}, nil
		case len(peer) == 0:
			return 0, scheme{}, &Error{Kind: event.CheckSignature, RFC: rfcHashes,
				What: "without signature hashes announced by both sides an RSA key has only the older method with SHA1, and that is not allowed"}
		case common == 0:
		case r.PKCS1:
			return wire.AuthDigitalSignature, scheme{family: pkcs1, hash: common}, nil
		default:
			return wire.AuthDigitalSignature, scheme{family: pss, hash: common, salt: hashes[common].Size()}, nil
		}
	case *ecdsa.PublicKey:
		f := curveOf(k)
		switch {
		case len(peer) == 0 && r.allows(f.hash):
			return f.method, scheme{family: ecdsaSig, hash: f.hash}, nil
		case len(peer) == 0:
			return 0, scheme{}, &Error{Kind: event.CheckSignature, RFC: rfcECDSA,
				What: fmt.Sprintf("without signature hashes announced by both sides the key has only %s with %s; allowed are %s", f.method, f.hash, hashText(r.hashes()))}
		case common != 0:
			return wire.AuthDigitalSignature, scheme{family: ecdsaSig, hash: common}, nil
		}
	default:
		if common != 0 {
			return wire.AuthDigitalSignature, scheme{family: ed25519Sig, hash: common}, nil
		}
	}
	return 0, scheme{}, &Error{Kind: event.CheckSignature, RFC: rfcHashes,
		What: fmt.Sprintf("no signature hash in common for a key that is %s (local %s, remote %s)", keyText(key), hashText(r.hashes()), hashText(peer))}
}

// common gives the hash to use with a key, 0 where there is none. An ECDSA key
// prefers the one of its own strength.
func (r *Rules) common(key crypto.PublicKey, peer []wire.HashAlgorithm) wire.HashAlgorithm {
	order := r.hashes()
	if k, ok := key.(*ecdsa.PublicKey); ok {
		if f := curveOf(k); slices.Contains(order, f.hash) {
			order = append([]wire.HashAlgorithm{f.hash}, order...)
		}
	}
	_, pure := key.(ed25519.PublicKey)
	for _, h := range order {
		if (h == wire.HashIdentity) == pure && slices.Contains(peer, h) {
			return h
		}
	}
	return 0
}

// hashText lists hashes.
func hashText(hs []wire.HashAlgorithm) string {
	if len(hs) == 0 {
		return "none announced"
	}
	return list(len(hs), func(i int) string { return hs[i].String() })
}
