package auth

import (
	"slices"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Rules say which signatures and certificates are good enough. The zero value
// takes what RFC 8247 and RFC 5280 recommend.
type Rules struct {
	// Hashes are for the signatures of both sides, best first; nil for
	// SHA2-256, SHA2-384, SHA2-512 and Identity (Ed25519). An ECDSA key signs
	// with the one of its own strength where that is among them.
	Hashes []wire.HashAlgorithm
	// SHA1 allows signatures with SHA-1 by the older method 1, which is all
	// that a peer without RFC 7427 has for RSA keys. It is never announced.
	SHA1 bool
	// OlderOnly does without RFC 7427: no hashes are announced, and the methods
	// of RFC 7296 and RFC 4754 used.
	OlderOnly bool
	// PKCS1 signs with RSASSA-PKCS1-v1_5 under RFC 7427, for peers that do not
	// know RSASSA-PSS. Both are always accepted.
	PKCS1 bool
	// MinRSA is the least size of RSA keys in bits, of the peer and of the
	// authorities above it: 0 for 2048, at least 1024.
	MinRSA int
	// IKEUsage refuses certificates whose extended key usage does not name IKE
	// or any usage (RFC 4945 5.1.3.12). Else those of TLS do too, and none.
	IKEUsage bool
	// AddressAsName takes an address that the certificate has as a domain name
	// for one, as Windows wants it.
	AddressAsName bool
}

var defaultHashes = []wire.HashAlgorithm{wire.HashSHA256, wire.HashSHA384, wire.HashSHA512, wire.HashIdentity}

// hashes are those to announce: what is not supported, and SHA-1, left out.
func (r *Rules) hashes() []wire.HashAlgorithm {
	if r.Hashes == nil {
		return slices.Clone(defaultHashes)
	}
	var out []wire.HashAlgorithm
	for _, h := range r.Hashes {
		if slices.Contains(defaultHashes, h) && !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out
}

// allows says whether a signature with a hash is good enough.
func (r *Rules) allows(h wire.HashAlgorithm) bool {
	return h == wire.HashSHA1 && r.SHA1 || slices.Contains(r.hashes(), h)
}

func (r *Rules) minRSA() int {
	if r.MinRSA == 0 {
		return defaultMinRSA
	}
	return max(r.MinRSA, floorRSA)
}
