package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// The bounds of what a peer sends.
const (
	maxCerts     = 16    // certificates that are looked at
	maxCertSize  = 16384 // octets of one certificate
	maxSignature = maxRSA / 8
	// of the keys of authorities, in bits
	maxSentRSA      = 8192
	maxSentExponent = 65537
)

// Certificates are credentials by certificates and digital signatures (RFC
// 7427, RFC 7296 2.15, RFC 4754, RFC 8420). They must not be changed while IKE
// SAs use them.
type Certificates struct {
	Own           []*KeyPair          // of this side; the first that fits best is taken
	Trusted       []*x509.Certificate // authorities, and certificates of peers that are trusted as they are
	Intermediates []*x509.Certificate // authorities that peers and this side may leave out
	// Peers are certificates of peers that send none. They still need to be
	// confirmed by an authority.
	Peers []*x509.Certificate
	Rules Rules
	// Revocation gives what is known about the revocation of the certificates
	// of a chain, the peer's own first and the trusted authority last. A check
	// that is not OK refuses the peer. nil asks nobody.
	Revocation func(chain []*x509.Certificate, now time.Time) []event.Check
}

// Hashes are those of the rules: what SIGNATURE_HASH_ALGORITHMS announces.
func (c *Certificates) Hashes() []wire.HashAlgorithm {
	if c.Rules.OlderOnly {
		return nil
	}
	return c.Rules.hashes()
}

// Authorities are the SHA-1 hashes of the trusted authorities' public keys.
func (c *Certificates) Authorities() [][]byte {
	var out [][]byte
	for _, a := range c.Trusted {
		if a.IsCA || a.Version == 1 { // one of version 1 cannot say that it is an authority
			out = append(out, keyHash(a))
		}
	}
	return out
}

// keyHash is what CERTREQ names an authority by (RFC 7296 3.7).
func keyHash(c *x509.Certificate) []byte {
	h := sha1.Sum(c.RawSubjectPublicKeyInfo)
	return h[:]
}

// above gives the authorities over a certificate of this side, the nearest
// first, as far as they are known.
func (c *Certificates) above(pair *KeyPair) []*x509.Certificate {
	known := slices.Concat(pair.Chain, c.Intermediates, c.Trusted)
	var out []*x509.Certificate
	for at := pair.Cert; len(out) < maxCerts && !selfIssued(at); at = out[len(out)-1] {
		i := slices.IndexFunc(known, func(a *x509.Certificate) bool {
			return bytes.Equal(a.RawSubject, at.RawIssuer) && at.CheckSignatureFrom(a) == nil
		})
		if i < 0 || slices.Contains(out, known[i]) {
			break
		}
		out = append(out, known[i])
	}
	return out
}

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

// pair finds the certificate for an identity; of several the first of those
// that an authority asked for vouches for, else the first.
func (c *Certificates) pair(id *wire.ID, requested [][]byte) *KeyPair {
	var first *KeyPair
	for _, p := range c.Own {
		if ok, _ := c.Rules.confirms(p.Cert, id); !ok {
			continue
		}
		if first == nil {
			first = p
		}
		for _, a := range append(c.above(p), p.Cert) {
			if slices.ContainsFunc(requested, func(h []byte) bool { return bytes.Equal(h, keyHash(a)) }) {
				return p
			}
		}
	}
	return first
}

// Prove signs with the key of a certificate that confirms the identity.
func (c *Certificates) Prove(s *Statement) (*Proof, error) {
	pair := c.pair(&s.Prover, s.Requested)
	if pair == nil {
		have := "there is no certificate"
		if len(c.Own) > 0 {
			have = "there are those of " + list(len(c.Own), func(i int) string { return certNames(c.Own[i].Cert) })
		}
		return nil, &Error{Kind: event.CheckCertificate, RFC: rfcCertID,
			What: fmt.Sprintf("no own certificate confirms %s: %s", idText(&s.Prover), have)}
	}
	method, sch, refused := c.Rules.choose(pair.Key.Public(), s.Hashes)
	if refused != nil {
		return nil, refused
	}
	proof := &Proof{Auth: wire.Auth{Method: method}}
	sig, err := sch.sign(pair.Key.signer(), s.Signed)
	if err == nil {
		proof.Auth.Data, err = pack(method, sch, sig)
	}
	if err != nil {
		return nil, &Error{Kind: event.CheckSignature, RFC: rfcSignature, What: fmt.Sprintf("signing by %s with a key that is %s: %v", sch, pair.Key, err)}
	}
	proof.Certs = []wire.Cert{{Encoding: wire.CertX509Signature, Data: pair.Cert.Raw}}
	for _, a := range c.above(pair) {
		if !selfIssued(a) && len(proof.Certs) < maxCerts {
			proof.Certs = append(proof.Certs, wire.Cert{Encoding: wire.CertX509Signature, Data: a.Raw})
		}
	}
	return proof, nil
}

// pack puts a signature into the form of its method.
func pack(method wire.AuthMethod, sch scheme, sig []byte) ([]byte, error) {
	if method == wire.AuthDigitalSignature {
		id, err := sch.identifier()
		if err != nil {
			return nil, err
		}
		return slices.Concat([]byte{uint8(len(id))}, id, sig), nil
	}
	for i := range fixedCurves {
		if f := &fixedCurves[i]; f.method == method {
			return f.fixed(sig)
		}
	}
	return sig, nil
}

// Verify checks the peer's certificate, that it is the prover's, and the
// signature with its key. After a failure it goes on with what can still be
// compared, so that the checks show all that is wrong.
func (c *Certificates) Verify(s *Statement, p *Proof, now time.Time) *Verdict {
	v := &verdict{Verdict{Method: p.Auth.Method.String()}}
	signs := slices.Contains([]wire.AuthMethod{wire.AuthRSA, wire.AuthECDSA256, wire.AuthECDSA384, wire.AuthECDSA521, wire.AuthDigitalSignature}, p.Auth.Method)
	if !v.check(event.Check{Kind: event.CheckMethod, What: "authentication method of " + idText(&s.Prover), RFC: rfcMethod,
		Local: "a digital signature", Remote: p.Auth.Method.String(), OK: signs}) {
		return &v.Verdict
	}
	leaf, others := c.received(v, s, p)
	if leaf == nil {
		return &v.Verdict
	}
	if !c.checkLeafKey(v, leaf) {
		return &v.Verdict
	}
	c.Rules.checkIdentity(v, leaf, &s.Prover)
	c.checkDates(v, leaf, now)
	c.checkUsage(v, leaf)
	chain := c.checkChain(v, leaf, others, now)
	if chain != nil && c.Revocation != nil {
		for _, check := range c.Revocation(chain, now) {
			v.check(check)
		}
	}
	c.checkSignature(v, leaf, s, p)
	return &v.Verdict
}

// received reads the peer's certificates: its own, and the others.
func (c *Certificates) received(v *verdict, s *Statement, p *Proof) (leaf *x509.Certificate, others []*x509.Certificate) {
	ders := make([][]byte, 0, maxCerts)
	odd := ""
	for i := range p.Certs {
		switch e := p.Certs[i].Encoding; {
		case e != wire.CertX509Signature:
			odd = "a CERT payload of encoding " + e.String() + " is passed over"
		case len(ders) < maxCerts:
			ders = append(ders, p.Certs[i].Data)
		}
	}
	check := event.Check{Kind: event.CheckCertificate, RFC: "RFC 7296 3.6", What: "certificate of " + idText(&s.Prover), Local: "wanted", Why: odd}
	if len(ders) == 0 {
		check.Remote = "none sent"
		for _, known := range c.Peers {
			if ok, _ := c.Rules.confirms(known, &s.Prover); ok {
				check.OK, check.Local = true, "known already: "+subject(known)
				v.check(check)
				return known, nil
			}
		}
		if check.Why == "" {
			check.Why = "the peer sent no certificate, and none is known of it"
		}
		v.check(check)
		return nil, nil
	}
	leaf, err := parseCert(ders[0])
	if err != nil {
		check.Remote, check.Why = fmt.Sprintf("%d octets", len(ders[0])), err.Error()
		v.check(check)
		return nil, nil
	}
	check.OK, check.Remote = true, fmt.Sprintf("%s, issued by %s, key %s", subject(leaf), dnText(leaf.RawIssuer), keyText(leaf.PublicKey))
	v.check(check)
	for i, der := range ders[1:] {
		cert, err := parseCert(der)
		if err == nil {
			err = c.checkSent(cert)
		}
		if err != nil { // it cannot help; that the chain has a gap shows later
			v.check(event.Check{Kind: event.CheckCertificate, RFC: "RFC 7296 3.6", What: fmt.Sprintf("certificate %d of the peer's", i+2),
				Local: "an authority", Remote: fmt.Sprintf("%d octets, passed over", len(der)), OK: true, Why: err.Error()})
			continue
		}
		others = append(others, cert)
	}
	return leaf, others
}

// checkSent says why an authority that the peer sent cannot be used. Anybody
// may send them, and each may cost many checks of signatures.
func (c *Certificates) checkSent(a *x509.Certificate) error {
	if k, ok := a.PublicKey.(*rsa.PublicKey); ok && (k.N.BitLen() > maxSentRSA || k.E > maxSentExponent) {
		return fmt.Errorf("RSA of %d bits with exponent %d costs too much, at most %d and %d are taken of authorities that a peer sends",
			k.N.BitLen(), k.E, maxSentRSA, maxSentExponent)
	}
	return checkKey(a.PublicKey, c.Rules.minRSA())
}

func parseCert(der []byte) (*x509.Certificate, error) {
	if len(der) > maxCertSize {
		return nil, fmt.Errorf("a certificate of %d octets, at most %d are read", len(der), maxCertSize)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("no certificate: %w", err)
	}
	return c, nil
}

func (c *Certificates) checkLeafKey(v *verdict, leaf *x509.Certificate) bool {
	check := event.Check{Kind: event.CheckCertificate, RFC: "RFC 8247 4.1", What: "key of " + subject(leaf), OK: true,
		Local: fmt.Sprintf("RSA of %d to %d bits, ECDSA on P-256, P-384 or P-521, or Ed25519", c.Rules.minRSA(), maxRSA), Remote: keyText(leaf.PublicKey)}
	if err := checkKey(leaf.PublicKey, c.Rules.minRSA()); err != nil {
		check.OK, check.Why = false, err.Error()
	}
	return v.check(check)
}

// checkSignature checks the hash against the rules, and the signature.
func (c *Certificates) checkSignature(v *verdict, leaf *x509.Certificate, s *Statement, p *Proof) {
	sch, sig, err := c.scheme(leaf, s, p)
	what := "AUTH of " + idText(&s.Prover)
	if err != nil {
		v.fail(event.CheckSignature, rfcSignature, "a key that is "+keyText(leaf.PublicKey), p.Auth.Method.String(), what, err.Error())
		return
	}
	v.Method = sch.String()
	check := event.Check{Kind: event.CheckSignature, RFC: rfcHashes, What: "signature hash of " + idText(&s.Prover),
		Local: hashText(c.Rules.hashes()), Remote: sch.hash.String(), OK: c.Rules.allows(sch.hash)}
	if sch.hash == wire.HashSHA1 && c.Rules.SHA1 {
		check.Local += ", SHA1"
		// Announcing SHA-1 is never done, so only the older method may use it.
		check.OK = p.Auth.Method == wire.AuthRSA
	}
	if !check.OK {
		check.Why = "the hash is not one that was announced or is allowed"
	}
	if !v.check(check) {
		return
	}
	check = event.Check{Kind: event.CheckSignature, RFC: rfcSignature, What: what, OK: true,
		Local: "the key of " + subject(leaf) + ", " + keyText(leaf.PublicKey), Remote: fmt.Sprintf("%s, %d octets", sch, len(sig))}
	if p.Auth.Method != wire.AuthDigitalSignature {
		check.RFC = rfcMethod
	}
	if err := sch.verify(leaf.PublicKey, s.Signed, sig); err != nil {
		check.OK, check.Why = false, err.Error()
		if errors.Is(err, errSignature) {
			check.Why += ": the private key does not fit the certificate, or the sides have not the same view of the first messages and identities"
		}
	}
	v.check(check)
}

// scheme finds out how the peer signed, and the signature, of ECDSA in DER.
func (c *Certificates) scheme(leaf *x509.Certificate, s *Statement, p *Proof) (scheme, []byte, error) {
	if len(p.Auth.Data) > maxSignature+256 {
		return scheme{}, nil, fmt.Errorf("a signature of %d octets", len(p.Auth.Data))
	}
	switch p.Auth.Method {
	case wire.AuthDigitalSignature:
		alg, sig, ok := p.Auth.Signature()
		if !ok {
			return scheme{}, nil, errors.New("no algorithm identifier stands before the signature")
		}
		sch, err := parseAlgorithm(alg)
		if err != nil {
			err = fmt.Errorf("%s: %w", wire.SignatureAlgorithmName(alg), err)
		}
		return sch, sig, err
	case wire.AuthRSA:
		if _, ok := leaf.PublicKey.(*rsa.PublicKey); !ok {
			return scheme{}, nil, scheme{family: pkcs1, hash: wire.HashSHA1}.misfit(leaf.PublicKey)
		}
		// The hash stands within the signature only (RFC 7296 3.8).
		for _, h := range []wire.HashAlgorithm{wire.HashSHA1, wire.HashSHA256, wire.HashSHA384, wire.HashSHA512} {
			if sch := (scheme{family: pkcs1, hash: h}); sch.verify(leaf.PublicKey, s.Signed, p.Auth.Data) == nil {
				return sch, p.Auth.Data, nil
			}
		}
		return scheme{}, nil, fmt.Errorf("%w with any hash: the private key does not fit the certificate, or the sides have not the same view of the first messages and identities", errSignature)
	}
	for i := range fixedCurves {
		f := &fixedCurves[i]
		if f.method != p.Auth.Method {
			continue
		}
		if k, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || curveOf(k) != f {
			return scheme{}, nil, fmt.Errorf("%s needs ECDSA %s, the certificate's key is %s", f.method, f.curve.Params().Name, keyText(leaf.PublicKey))
		}
		sig, err := f.der(p.Auth.Data)
		return scheme{family: ecdsaSig, hash: f.hash}, sig, err
	}
	return scheme{}, nil, fmt.Errorf("method %s is not supported", p.Auth.Method)
}
