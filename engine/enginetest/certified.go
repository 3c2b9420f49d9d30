package enginetest

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/auth"
)

// Certified is the credential of one side of a Pair, or of a Peer: a
// certificate of its identity below an intermediate authority of its own, which
// is below an authority that both sides trust.
type Certified struct {
	*auth.Certificates
	Leaf, Intermediate, Root *x509.Certificate
	Signer                   crypto.Signer // of Leaf
}

// NewCertified makes the credentials of both sides of a Pair, with a key each
// for every certificate.
func NewCertified(tb TB, key func() (crypto.Signer, error)) (a, b Certified) {
	tb.Helper()
	serial := int64(0)
	issue := func(name string, ca bool, parent *x509.Certificate, signer crypto.Signer) (*x509.Certificate, crypto.Signer) {
		tb.Helper()
		own, err := key()
		if err != nil {
			tb.Fatalf("key: %v", err)
		}
		serial++
		// The simulation's clock begins at a date of its own.
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
			IsCA: ca, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature}
		if ca {
			tmpl.KeyUsage = x509.KeyUsageCertSign
		} else {
			tmpl.DNSNames = []string{name}
		}
		if parent == nil {
			parent, signer = tmpl, own
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, own.Public(), signer)
		if err != nil {
			tb.Fatalf("certificate: %v", err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			tb.Fatalf("certificate: %v", err)
		}
		return c, own
	}
	root, rootKey := issue("Root", true, nil, nil)
	side := func(name string) Certified {
		c := Certified{Root: root}
		var above crypto.Signer
		c.Intermediate, above = issue("Authority of "+name, true, root, rootKey)
		c.Leaf, c.Signer = issue(name, false, c.Intermediate, above)
		private, err := auth.NewPrivateKey(c.Signer)
		if err != nil {
			tb.Fatalf("key: %v", err)
		}
		pair, err := auth.NewKeyPair(private, c.Leaf, c.Intermediate)
		if err != nil {
			tb.Fatalf("key pair: %v", err)
		}
		c.Certificates = &auth.Certificates{Own: []*auth.KeyPair{pair}, Trusted: []*x509.Certificate{root}}
		return c
	}
	return side("a.example.org"), side("b.example.org")
}
