package probe

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// swanctl lays out a folder as swanctl has it.
type swanctl struct {
	t      *testing.T
	dir    string
	serial int64
}

func (s *swanctl) file(path string, mode os.FileMode, b []byte) {
	path = filepath.Join(s.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, b, mode); err != nil {
		s.t.Fatal(err)
	}
}

func (s *swanctl) issue(name string, ca *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	s.serial++
	c := &x509.Certificate{SerialNumber: big.NewInt(s.serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: ca == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	if ca == nil {
		ca, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, ca, key.Public(), by)
	if err != nil {
		s.t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		s.t.Fatal(err)
	}
	return c, key
}

func cert(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func TestCertificateFilesAreSeenWithTheirKeysAndIssuersAndNoKeyIsKept(t *testing.T) {
	s := &swanctl{t: t, dir: t.TempDir()}
	ca, caKey := s.issue("lab root", nil, nil)
	other, otherKey := s.issue("unknown root", nil, nil)
	own, ownKey := s.issue("gw.lab", ca, caKey)
	stray, _ := s.issue("stray.lab", other, otherKey)
	der, err := x509.MarshalECPrivateKey(ownKey)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(otherKey)
	if err != nil {
		t.Fatal(err)
	}
	s.file("x509ca/ca.pem", 0o644, cert(ca))
	s.file("x509/gw.pem", 0o644, cert(own))
	s.file("x509/stray.der", 0o644, stray.Raw)
	s.file("x509/chain.pem", 0o644, append(cert(own), cert(ca)...))
	s.file("x509/broken.pem", 0o644, []byte("no certificate"))
	s.file("ecdsa/gw.pem", 0o644, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
	s.file("private/other.pem", 0o600, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	s.file("private/garbage.pem", 0o600, []byte{0x30, 0x82, 0xff, 0xff})

	h := Host(context.Background(), Options{Certificates: true, Swanctl: s.dir})
	got := map[string]string{}
	for _, c := range h.Certificates {
		state := []string{}
		for word, is := range map[string]bool{"1ca": c.CA, "2key": c.HasKey, "3issued": c.Issued, "4problem": c.Problem != ""} {
			if is {
				state = append(state, word)
			}
		}
		got[filepath.Base(c.Path)] = strings.Join(slices.Sorted(slices.Values(state)), " ")
	}
	for name, want := range map[string]string{"ca.pem": "1ca 3issued", "gw.pem": "2key 3issued", "stray.der": "", "chain.pem": "2key 3issued 4problem", "broken.pem": "4problem"} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	notes := strings.Join(h.Notes, "\n")
	if !strings.Contains(notes, "ecdsa/gw.pem (mode 0644)") || !strings.Contains(notes, "private/other.pem fits none") || strings.Contains(notes, "ecdsa/gw.pem fits none") {
		t.Errorf("notes: %s", notes)
	}
	b, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	secrets := [][]byte{der, pkcs8}
	for _, k := range []*ecdsa.PrivateKey{ownKey, otherKey} {
		scalar, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, scalar)
	}
	for _, secret := range secrets {
		if strings.Contains(string(b), base64.StdEncoding.EncodeToString(secret)) || strings.Contains(string(b), string(secret)) {
			t.Error("a private key stands in the facts")
		}
	}
	if h = Host(context.Background(), Options{Certificates: true, Swanctl: filepath.Join(s.dir, "nowhere")}); len(h.Unseen) == 0 || h.Unseen[len(h.Unseen)-1].What != "certificates" {
		t.Errorf("a folder that is not there: %+v", h.Unseen)
	}
}
