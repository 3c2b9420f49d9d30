package lab

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// KeyKind makes private keys of one kind.
type KeyKind func() (crypto.Signer, error)

// RSA makes RSA keys of that many bits.
func RSA(bits int) KeyKind {
	return func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, bits) }
}

// ECDSA makes keys on a curve.
func ECDSA(curve elliptic.Curve) KeyKind {
	return func() (crypto.Signer, error) { return ecdsa.GenerateKey(curve, rand.Reader) }
}

// Identity is a certificate with its private key, and its issuer.
type Identity struct {
	Cert   *x509.Certificate
	Key    crypto.Signer
	Issuer *Identity // nil for a root
}

// certLife is long enough for captures to be looked at for years.
const certLife = 20 * 365 * 24 * time.Hour

// NewRoot makes a self-signed authority.
func NewRoot(name string, kind KeyKind) (*Identity, error) {
	return issue(nil, name, true, kind)
}

// NewIntermediate makes an authority below this one.
func (ca *Identity) NewIntermediate(name string, kind KeyKind) (*Identity, error) {
	return issue(ca, name, true, kind)
}

// NewLeaf makes an end's certificate; the name is its DNS alternative name.
func (ca *Identity) NewLeaf(name string, kind KeyKind) (*Identity, error) {
	return issue(ca, name, false, kind)
}

// NewExpiredLeaf makes an end's certificate whose time is over.
func (ca *Identity) NewExpiredLeaf(name string, kind KeyKind) (*Identity, error) {
	now := time.Now()
	return issueFor(ca, name, false, kind, span{name: "over", from: now.Add(-48 * time.Hour), to: now.Add(-24 * time.Hour)})
}

// NewEarlyLeaf makes an end's certificate whose time is to come.
func (ca *Identity) NewEarlyLeaf(name string, kind KeyKind) (*Identity, error) {
	now := time.Now()
	return issueFor(ca, name, false, kind, span{name: "early", from: now.Add(24 * time.Hour), to: now.Add(certLife)})
}

// NewShaped makes a certificate below this one, or a root where ca is nil, whose
// template is changed before it is signed.
func (ca *Identity) NewShaped(name string, authority bool, kind KeyKind, shape func(*x509.Certificate)) (*Identity, error) {
	now := time.Now()
	return issueFor(ca, name, authority, kind, span{from: now.Add(-time.Hour), to: now.Add(certLife), shape: shape})
}

func issue(ca *Identity, name string, authority bool, kind KeyKind) (*Identity, error) {
	now := time.Now()
	return issueFor(ca, name, authority, kind, span{from: now.Add(-time.Hour), to: now.Add(certLife)})
}

// span is a time of validity. Where it has a name, the subject has it as its
// unit: stores that go by subjects keep such a certificate apart.
type span struct {
	name     string
	from, to time.Time
	shape    func(*x509.Certificate) // changes the rest, nil for nothing
}

func issueFor(ca *Identity, name string, authority bool, kind KeyKind, life span) (*Identity, error) {
	key, err := kind()
	if err != nil {
		return nil, fmt.Errorf("key of %s: %w", name, err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, fmt.Errorf("serial of %s: %w", name, err)
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{Organization: []string{"cvlanctl lab"}, CommonName: name},
		NotBefore: life.from, NotAfter: life.to,
		BasicConstraintsValid: true, IsCA: authority,
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if life.name != "" {
		t.Subject.OrganizationalUnit = []string{life.name}
	}
	if authority {
		t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	} else {
		t.DNSNames = []string{name}
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	if life.shape != nil {
		life.shape(t)
	}
	parent, signer := t, key
	if ca != nil {
		parent, signer = ca.Cert, ca.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", name, err)
	}
	return &Identity{Cert: cert, Key: key, Issuer: ca}, nil
}

// CertPEM is the certificate in PEM.
func (id *Identity) CertPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Cert.Raw})
}

// KeyPEM is the private key as PKCS #8 in PEM.
func (id *Identity) KeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(id.Key)
	if err != nil {
		return nil, fmt.Errorf("key of %s: %w", id.Cert.Subject.CommonName, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// root is the authority at the top of the chain.
func (id *Identity) root() *Identity {
	for id.Issuer != nil {
		id = id.Issuer
	}
	return id
}

// Trust has an end believe a root and nothing else.
func (e *End) Trust(root *Identity) {
	e.put("x509ca/"+e.nameOr("root")+".pem", root.CertPEM())
}

// Revoke gives an end a list of revoked certificates that an authority signed.
func (e *End) Revoke(ca *Identity, revoked ...*Identity) error {
	now := time.Now()
	l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(certLife)}
	for _, r := range revoked {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: r.Cert.SerialNumber, RevocationTime: now.Add(-time.Minute), ReasonCode: 1})
	}
	der, err := x509.CreateRevocationList(rand.Reader, l, ca.Cert, ca.Key)
	if err != nil {
		return fmt.Errorf("revocation list of %s: %w", ca.Cert.Subject.CommonName, err)
	}
	e.put("x509crl/"+e.nameOr("root")+".crl", pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
	return nil
}

// Pin has an end take no certificate of the other but one.
func (e *End) Pin(id *Identity) {
	name := e.nameOr("pinned") + ".pem"
	e.put("x509/"+name, id.CertPEM())
	e.Remote.Lines = append(e.Remote.Lines, "certs = "+name)
}

// LoseKeys takes the private keys of an end's certificates away.
func (e *End) LoseKeys() {
	for name := range e.certPEM {
		if strings.HasPrefix(name, "private/") {
			delete(e.certPEM, name)
		}
	}
}

// Present gives an end a certificate, its key and the authorities between it
// and its root, and has it authenticate by signature.
func (e *End) Present(id *Identity) error {
	key, err := id.KeyPEM()
	if err != nil {
		return err
	}
	me := e.nameOr("me") + ".pem"
	e.put("x509/"+me, id.CertPEM())
	e.put("private/"+me, key)
	for n, ca := 1, id.Issuer; ca != nil && ca.Issuer != nil; n, ca = n+1, ca.Issuer {
		e.put(fmt.Sprintf("x509/%s-%d.pem", e.nameOr("intermediate"), n), ca.CertPEM())
	}
	e.Local.Method = "pubkey"
	e.Local.Lines = append(e.Local.Lines, "certs = "+me)
	return nil
}

func (e *End) put(name string, pem []byte) {
	if e.certPEM == nil {
		e.certPEM = map[string][]byte{}
	}
	e.certPEM[name] = pem
}

// UseCertificates has both ends authenticate by signature, each with a chain
// of depth authorities: 1 means that the root signed the end's certificate.
func UseCertificates(a, b *End, kind KeyKind, depth int) error {
	root, err := NewRoot("Lab Root CA", kind)
	if err != nil {
		return err
	}
	for _, end := range []*End{a, b} {
		ca := root
		for n := 1; n < depth; n++ {
			if ca, err = ca.NewIntermediate(fmt.Sprintf("Lab Intermediate CA %d of %s", n, end.Local.ID), kind); err != nil {
				return err
			}
		}
		leaf, err := ca.NewLeaf(end.Local.ID, kind)
		if err != nil {
			return err
		}
		if err := end.Present(leaf); err != nil {
			return err
		}
		end.Trust(leaf.root())
		end.Remote.Method = "pubkey"
	}
	return nil
}
