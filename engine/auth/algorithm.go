package auth

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var (
	oidPSS  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
)

// algorithms are the AlgorithmIdentifiers of RFC 7427 appendix A and RFC 8420
// that name their hash. RSASSA-PSS stands apart.
var algorithms = []struct {
	oid asn1.ObjectIdentifier
	scheme
}{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, scheme{family: pkcs1, hash: wire.HashSHA1}},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, scheme{family: pkcs1, hash: wire.HashSHA256}},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, scheme{family: pkcs1, hash: wire.HashSHA384}},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, scheme{family: pkcs1, hash: wire.HashSHA512}},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}, scheme{family: ecdsaSig, hash: wire.HashSHA1}},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, scheme{family: ecdsaSig, hash: wire.HashSHA256}},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, scheme{family: ecdsaSig, hash: wire.HashSHA384}},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, scheme{family: ecdsaSig, hash: wire.HashSHA512}},
	{asn1.ObjectIdentifier{1, 3, 101, 112}, scheme{family: ed25519Sig, hash: wire.HashIdentity}},
}

// hashOIDs are the hashes within the parameters of RSASSA-PSS (RFC 4055 2.1).
var hashOIDs = []struct {
	oid  asn1.ObjectIdentifier
	hash wire.HashAlgorithm
}{
	{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, wire.HashSHA1},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, wire.HashSHA256},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, wire.HashSHA384},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, wire.HashSHA512},
}

// pssParameters is RSASSA-PSS-params (RFC 4055 3.1), whose defaults are all
// for SHA-1.
type pssParameters struct {
	Hash    pkix.AlgorithmIdentifier `asn1:"explicit,optional,tag:0"`
	MGF     pkix.AlgorithmIdentifier `asn1:"explicit,optional,tag:1"`
	Salt    int                      `asn1:"explicit,optional,tag:2,default:20"`
	Trailer int                      `asn1:"explicit,optional,tag:3,default:1"`
}

// identifier gives the AlgorithmIdentifier in DER, without the defaults, which
// is the form that peers compare octet for octet.
func (s scheme) identifier() ([]byte, error) {
	if s.family == pss {
		var hash pkix.AlgorithmIdentifier
		for _, h := range hashOIDs {
			if h.hash == s.hash {
				hash = pkix.AlgorithmIdentifier{Algorithm: h.oid, Parameters: asn1.NullRawValue}
			}
		}
		inner, err := asn1.Marshal(hash)
		if err != nil {
			return nil, fmt.Errorf("hash of %s: %w", s, err)
		}
		params, err := asn1.Marshal(pssParameters{Hash: hash, Salt: s.salt, Trailer: 1,
			MGF: pkix.AlgorithmIdentifier{Algorithm: oidMGF1, Parameters: asn1.RawValue{FullBytes: inner}}})
		if err != nil {
			return nil, fmt.Errorf("parameters of %s: %w", s, err)
		}
		return asn1.Marshal(pkix.AlgorithmIdentifier{Algorithm: oidPSS, Parameters: asn1.RawValue{FullBytes: params}})
	}
	for i := range algorithms {
		if a := &algorithms[i]; a.scheme == s {
			id := pkix.AlgorithmIdentifier{Algorithm: a.oid}
			if s.family == pkcs1 {
				id.Parameters = asn1.NullRawValue
			}
			return asn1.Marshal(id)
		}
	}
	return nil, fmt.Errorf("%s has no algorithm identifier", s)
}

// parseAlgorithm reads an AlgorithmIdentifier of at most 255 octets. The error
// says what of it is not supported.
func parseAlgorithm(der []byte) (scheme, error) {
	var id pkix.AlgorithmIdentifier
	if rest, err := asn1.Unmarshal(der, &id); err != nil || len(rest) > 0 {
		return scheme{}, errors.New("no algorithm identifier in DER")
	}
	if id.Algorithm.Equal(oidPSS) {
		return parsePSS(id.Parameters.FullBytes)
	}
	for i := range algorithms {
		if a := &algorithms[i]; a.oid.Equal(id.Algorithm) {
			if p := id.Parameters; len(p.FullBytes) > 0 && (p.Tag != asn1.TagNull || p.Class != asn1.ClassUniversal || len(p.Bytes) > 0) {
				return scheme{}, fmt.Errorf("parameters where %s has none", a.scheme)
			}
			return a.scheme, nil
		}
	}
	return scheme{}, fmt.Errorf("algorithm %s is not supported", id.Algorithm)
}

// maxSalt bounds the salt of RSASSA-PSS in octets: no key holds more.
const maxSalt = maxRSA / 8

func parsePSS(der []byte) (scheme, error) {
	p := pssParameters{Salt: 20, Trailer: 1}
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) > 0 {
		return scheme{}, errors.New("malformed parameters of RSASSA-PSS")
	}
	hash, err := hashOf(p.Hash)
	if err != nil {
		return scheme{}, err
	}
	mask := wire.HashSHA1
	if len(p.MGF.Algorithm) > 0 {
		var inner pkix.AlgorithmIdentifier
		if rest, err := asn1.Unmarshal(p.MGF.Parameters.FullBytes, &inner); err != nil || len(rest) > 0 || !p.MGF.Algorithm.Equal(oidMGF1) {
			return scheme{}, errors.New("RSASSA-PSS without MGF1")
		}
		if mask, err = hashOf(inner); err != nil {
			return scheme{}, err
		}
	}
	switch {
	case mask != hash:
		return scheme{}, fmt.Errorf("RSASSA-PSS with %s but MGF1 with %s", hash, mask)
	case p.Trailer != 1:
		return scheme{}, fmt.Errorf("RSASSA-PSS with trailer field %d, only 1 is known", p.Trailer)
	case p.Salt < 0 || p.Salt > maxSalt:
		return scheme{}, fmt.Errorf("RSASSA-PSS with a salt of %d octets", p.Salt)
	}
	return scheme{family: pss, hash: hash, salt: p.Salt}, nil
}

// hashOf gives the hash of an identifier within the parameters of RSASSA-PSS.
// None stands for SHA-1.
func hashOf(id pkix.AlgorithmIdentifier) (wire.HashAlgorithm, error) {
	if len(id.Algorithm) == 0 {
		return wire.HashSHA1, nil
	}
	for _, h := range hashOIDs {
		if h.oid.Equal(id.Algorithm) {
			return h.hash, nil
		}
	}
	return 0, fmt.Errorf("RSASSA-PSS with hash %s is not supported", id.Algorithm)
}
