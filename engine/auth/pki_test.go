package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// testTime is when the tests take place.
var testTime = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// keyKinds make keys of every kind that is supported.
var keyKinds = map[string]func() (crypto.Signer, error){
	"RSA 2048": func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) },
	"RSA 1024": func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 1024) },
	"P-224":    func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P224(), rand.Reader) },
	"P-256":    func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) },
	"P-384":    func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) },
	"P-521":    func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P521(), rand.Reader) },
	"Ed25519":  func() (crypto.Signer, error) { _, k, err := ed25519.GenerateKey(rand.Reader); return k, err },
}

var (
	keysMu sync.Mutex
	keys   = map[string]crypto.Signer{}
)

// testKey gives the one key of a kind, or another where the name has a "/".
func testKey(t testing.TB, name string) crypto.Signer {
	t.Helper()
	keysMu.Lock()
	defer keysMu.Unlock()
	if keys[name] == nil {
		kind, _, _ := strings.Cut(name, "/")
		k, err := keyKinds[kind]()
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = k
	}
	return keys[name]
}

// issuer is a certificate with its key.
type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

var serial int64

// issue makes a certificate for a key; change may alter it. Without a parent it
// signs itself.
func issue(t testing.TB, parent *issuer, key crypto.Signer, change func(*x509.Certificate)) *issuer {
	t.Helper()
	keysMu.Lock()
	serial++
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: testTime.Add(-30 * 24 * time.Hour), NotAfter: testTime.Add(300 * 24 * time.Hour),
		Subject: pkix.Name{Country: []string{"CH"}, Organization: []string{"Example"}, CommonName: "gate.example.org"}}
	keysMu.Unlock()
	change(tmpl)
	up, signer := tmpl, key
	if parent != nil {
		up, signer = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, up, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{cert, key}
}

// authority makes a certificate of an authority.
func authority(t testing.TB, parent *issuer, name, key string, changes ...func(*x509.Certificate)) *issuer {
	t.Helper()
	return issue(t, parent, testKey(t, key), func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: name}
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
		for _, f := range changes {
			f(c)
		}
	})
}

// leaf makes an end's certificate for gate.example.org, 192.0.2.1 and
// gate@example.org.
func leaf(t testing.TB, parent *issuer, key string, changes ...func(*x509.Certificate)) *issuer {
	t.Helper()
	return issue(t, parent, testKey(t, key), func(c *x509.Certificate) {
		c.KeyUsage = x509.KeyUsageDigitalSignature
		c.DNSNames, c.EmailAddresses = []string{"gate.example.org"}, []string{"gate@example.org"}
		c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1), net.ParseIP("2001:db8::1")}
		for _, f := range changes {
			f(c)
		}
	})
}

func privateKey(t testing.TB, k crypto.Signer) *PrivateKey {
	t.Helper()
	p, err := NewPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// pair makes a key pair of a certificate and those above it.
func pair(t testing.TB, of *issuer, above ...*issuer) *KeyPair {
	t.Helper()
	certs := []*x509.Certificate{of.cert}
	for _, a := range above {
		certs = append(certs, a.cert)
	}
	p, err := NewKeyPair(privateKey(t, of.key), certs...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func identity(t testing.TB, s string) wire.ID {
	t.Helper()
	id, err := ParseID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// statement is one about gate.example.org.
func statement(t testing.TB, hs ...wire.HashAlgorithm) *Statement {
	t.Helper()
	return &Statement{Prover: identity(t, "gate.example.org"), Verifier: identity(t, "other.example.org"), Signed: []byte("what is signed"), Hashes: hs}
}

// prove makes a proof that must succeed.
func prove(t testing.TB, c Credentials, s *Statement) *Proof {
	t.Helper()
	p, err := c.Prove(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wantChecks fails where a verdict has no failed check of the kind with the
// words, or the error is not that of the first failed check.
func wantRefusal(t testing.TB, v *Verdict, kind event.CheckKind, words ...string) {
	t.Helper()
	if v.Err == nil {
		t.Fatalf("accepted: %+v", v.Checks)
	}
	if v.Err.Kind != kind {
		t.Errorf("refused for %s: %v, want %s", v.Err.Kind, v.Err, kind)
	}
	for _, w := range words {
		if !strings.Contains(v.Err.What, w) {
			t.Errorf("the reason %q does not say %q", v.Err.What, w)
		}
	}
	explained(t, v)
}

// explained fails where a refusal has no check that failed, or a check is
// without the values of both sides.
func explained(t testing.TB, v *Verdict) {
	t.Helper()
	failed := false
	for _, c := range v.Checks {
		if c.What == "" || c.Local == "" || c.Remote == "" || c.RFC == "" {
			t.Errorf("a check without both sides' values: %+v", c)
		}
		failed = failed || !c.OK
	}
	if !failed {
		t.Error("no check failed")
	}
}

// wantAccepted fails where a verdict is a refusal or a check failed.
func wantAccepted(t testing.TB, v *Verdict) {
	t.Helper()
	if v.Err != nil {
		t.Fatalf("refused: %v", v.Err)
	}
	for _, c := range v.Checks {
		if !c.OK || c.What == "" || c.Local == "" || c.Remote == "" || c.RFC == "" {
			t.Errorf("check %+v", c)
		}
	}
}

func bigRSA(t testing.TB, bits uint, e int) *rsa.PublicKey {
	t.Helper()
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: e}
}

func emptyRSA() *rsa.PublicKey { return &rsa.PublicKey{} }

func shortEd() ed25519.PublicKey { return make([]byte, 31) }
