package probe

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/cloudvlan/cvlanctl/diag"
)

// Bounds of what is read of a daemon's certificates.
const (
	maxCertFiles = 512      // of one folder
	maxCertFile  = 64 << 10 // octets of one file
)

// keyFolders are where swanctl looks for private keys.
var keyFolders = []string{"private", "rsa", "ecdsa", "pkcs8"}

// certificates reads the certificates that lie where the daemon looks for
// them. Of private keys only the public half is kept, to tell which
// certificate it fits, and whether others may read the file.
func certificates(h *diag.HostFacts, o Options) error {
	dir, err := swanctlDir(o)
	if dir == "" {
		return err
	}
	own, errOwn := readCerts(filepath.Join(dir, "x509"), false)
	authorities, errCA := readCerts(filepath.Join(dir, "x509ca"), true)
	keys, notes, errKeys := readKeys(dir)
	h.Notes = append(h.Notes, notes...)
	h.Certificates = []diag.HostCertificate{}
	for _, c := range append(own, authorities...) {
		if c.parsed != nil {
			c.HasKey = fits(c.parsed, keys)
			c.Issued = issued(c.parsed, authorities)
		}
		h.Certificates = append(h.Certificates, c.HostCertificate)
	}
	for _, k := range keys {
		if !k.fitsAny(own) && len(own) > 0 {
			h.Notes = append(h.Notes, fmt.Sprintf("the private key %s fits none of the certificates in %s", k.path, filepath.Join(dir, "x509")))
		}
	}
	return errors.Join(errOwn, errCA, errKeys)
}

// swanctlDir gives the first folder that is there, "" where none is. One that
// was named has to be.
func swanctlDir(o Options) (string, error) {
	if o.Swanctl != "" {
		_, err := os.Stat(o.Swanctl)
		if err != nil {
			return "", err
		}
		return o.Swanctl, nil
	}
	root := rootOf(o.PID)
	for _, dir := range append(swanctlOf(o.PID), "/etc/swanctl", "/usr/local/etc/swanctl", "/etc/strongswan/swanctl") {
		at := filepath.Join(root, dir)
		switch i, err := os.Stat(at); {
		case err == nil && i.IsDir():
			return at, nil
		case err != nil && !errors.Is(err, os.ErrNotExist):
			return "", err
		}
	}
	return "", nil // it has none, which is no fault
}

type certFile struct {
	diag.HostCertificate
	parsed *x509.Certificate
}

// readCerts reads the certificates of a folder; one that is not there holds
// none.
func readCerts(dir string, authority bool) ([]certFile, error) {
	var l []certFile
	err := eachFile(dir, func(path string, b []byte, _ os.FileMode) {
		c := certFile{HostCertificate: diag.HostCertificate{Path: path, CA: authority}}
		if p, rest := pem.Decode(b); p != nil {
			b = p.Bytes
			if more, _ := pem.Decode(rest); more != nil && more.Type == "CERTIFICATE" {
				c.Problem = "more than one certificate is in the file: the daemon reads the first one only"
			}
		}
		parsed, err := x509.ParseCertificate(b)
		if err != nil {
			c.Problem = err.Error()
		} else {
			c.parsed = parsed
			c.Subject, c.Issuer, c.NotBefore, c.NotAfter = parsed.Subject.String(), parsed.Issuer.String(), parsed.NotBefore, parsed.NotAfter
		}
		l = append(l, c)
	})
	return l, err
}

type keyFile struct {
	path   string
	public crypto.PublicKey
}

func (k *keyFile) fitsAny(certs []certFile) bool {
	for i := range certs {
		if certs[i].parsed != nil && samePublic(certs[i].parsed.PublicKey, k.public) {
			return true
		}
	}
	return false
}

func readKeys(dir string) (keys []keyFile, notes []string, err error) {
	for _, folder := range keyFolders {
		err = errors.Join(err, eachFile(filepath.Join(dir, folder), func(path string, b []byte, mode os.FileMode) {
			if mode.Perm()&0o077 != 0 {
				notes = append(notes, fmt.Sprintf("others than its owner may use the private key %s (mode %04o): chmod 600", path, mode.Perm()))
			}
			if public := publicOf(b); public != nil {
				keys = append(keys, keyFile{path, public})
			}
		}))
	}
	return keys, notes, err
}

// publicOf gives the public half of a private key, nil where that cannot be
// read: it may be encrypted. What was read of the private one is overwritten.
func publicOf(b []byte) crypto.PublicKey {
	defer clear(b)
	if p, _ := pem.Decode(b); p != nil {
		defer clear(p.Bytes)
		b = p.Bytes
	}
	if k, err := x509.ParsePKCS8PrivateKey(b); err == nil {
		if s, ok := k.(crypto.Signer); ok {
			return s.Public()
		}
		return nil
	}
	if k, err := x509.ParsePKCS1PrivateKey(b); err == nil {
		return k.Public()
	}
	if k, err := x509.ParseECPrivateKey(b); err == nil {
		return k.Public()
	}
	return nil
}

func samePublic(a, b crypto.PublicKey) bool {
	switch k := a.(type) {
	case *rsa.PublicKey:
		return k.Equal(b)
	case *ecdsa.PublicKey:
		return k.Equal(b)
	case ed25519.PublicKey:
		return k.Equal(b)
	}
	return false
}

func fits(c *x509.Certificate, keys []keyFile) bool {
	for i := range keys {
		if samePublic(c.PublicKey, keys[i].public) {
			return true
		}
	}
	return false
}

// issued says that an authority at hand has signed a certificate, or that it
// signs itself.
func issued(c *x509.Certificate, authorities []certFile) bool {
	if bytes.Equal(c.RawIssuer, c.RawSubject) {
		return true
	}
	for i := range authorities {
		if a := authorities[i].parsed; a != nil && bytes.Equal(a.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(a) == nil {
			return true
		}
	}
	return false
}

func readCertFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxCertFile))
	return b, errors.Join(err, f.Close())
}

// eachFile calls f with every file of a folder, and its octets.
func eachFile(dir string, f func(path string, b []byte, mode os.FileMode)) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var failed []error
	for _, e := range entries[:min(len(entries), maxCertFiles)] {
		path := filepath.Join(dir, e.Name())
		i, err := os.Stat(path) // of what a link leads to
		if err != nil || !i.Mode().IsRegular() || strings.HasPrefix(e.Name(), ".") || i.Size() > maxCertFile {
			continue
		}
		b, err := readCertFile(path)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		f(path, b, i.Mode())
	}
	if len(failed) > 4 {
		failed = append(failed[:4], fmt.Errorf("and %d more", len(failed)-4))
	}
	return errors.Join(append(failed, err)...)
}
