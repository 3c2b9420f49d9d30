package policy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// maxCertificate is the largest certificate or key file in octets.
const maxCertificate = 64 << 10

// ReadCertificate reads the first certificate of a file, PEM or DER.
func ReadCertificate(path string) (*x509.Certificate, error) {
	b, err := readFile(path, maxCertificate)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(b); block != nil {
		b = block.Bytes
	}
	return x509.ParseCertificate(b)
}

// parseKey reads a private key, PEM or DER, in the forms that strongSwan reads.
func parseKey(b []byte) (crypto.Signer, error) {
	if block, _ := pem.Decode(b); block != nil {
		if strings.Contains(block.Type, "ENCRYPTED") || block.Headers["DEK-Info"] != "" {
			return nil, errors.New("it is encrypted; a policy takes keys without a passphrase")
		}
		b = block.Bytes
	}
	if k, err := x509.ParsePKCS8PrivateKey(b); err == nil {
		if s, ok := k.(crypto.Signer); ok {
			return s, nil
		}
		return nil, errors.New("a key that cannot sign")
	}
	if k, err := x509.ParsePKCS1PrivateKey(b); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(b); err == nil {
		return k, nil
	}
	return nil, errors.New("no private key in a form that is known (PKCS #8, PKCS #1, SEC 1; PEM or DER)")
}

// fileError reports a file that cannot be read.
func (b *builder) fileError(n *node, at string, err error) {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		code := "unreadable-file"
		if missing(err) {
			code = "missing-file"
		}
		b.report.at(n, Error, code, at, "%s: %v", pathErr.Path, pathErr.Err)
		return
	}
	b.report.at(n, Error, "bad-file", at, "%v", err)
}

// checkCertificate reads a certificate and looks at its dates.
func (b *builder) checkCertificate(n *node, path, at string) *x509.Certificate {
	if n == nil || path == "" || b.options.NoFiles {
		return nil
	}
	c, err := ReadCertificate(path)
	if err != nil {
		if !missing(err) && !errors.Is(err, os.ErrPermission) {
			err = fmt.Errorf("%s: no certificate: %w", path, err)
		}
		b.fileError(n, at, err)
		return nil
	}
	now := b.options.Now
	switch {
	case now.IsZero():
	case now.Before(c.NotBefore):
		b.report.at(n, Warning, "certificate-dates", at, "the certificate is valid only from %s", c.NotBefore.UTC().Format(time.DateTime))
	case now.After(c.NotAfter):
		b.report.at(n, Warning, "certificate-dates", at, "the certificate ended on %s", c.NotAfter.UTC().Format(time.DateTime))
	}
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			b.report.at(n, Warning, "weak-algorithm", at, "an RSA key of %d bits; want 2048 or more", k.N.BitLen())
		}
	case *ecdsa.PublicKey:
		if k.Curve.Params().BitSize < 256 {
			b.report.at(n, Warning, "weak-algorithm", at, "an elliptic curve of %d bits", k.Curve.Params().BitSize)
		}
	}
	return c
}

// checkAuthority wants a certificate that may sign others.
func (b *builder) checkAuthority(n *node, path, at string) {
	if c := b.checkCertificate(n, path, at); c != nil && !c.IsCA {
		b.report.at(n, Error, "no-authority", at, "the certificate of %s is not that of an authority", quoted(c.Subject.String()))
	}
}

// checkOwn looks at this node's certificate and key: that they belong
// together.
func (b *builder) checkOwn(n *node, at string) {
	certificate := b.checkCertificate(n.get("certificate"), b.file(n, "certificate", at), at+".certificate")
	ref := b.secret(n, "key", at)
	if ref.File == "" || b.options.NoFiles {
		return // what a command prints is not asked for before it is needed
	}
	where := n.get("key").get("file")
	data, err := readFile(ref.File, maxCertificate)
	if err != nil {
		return // checkSecretFile has said so
	}
	defer clear(data)
	key, err := parseKey(data)
	if err != nil {
		b.report.at(where, Error, "bad-file", at+".key", "%s: %v", ref.File, err)
		return
	}
	if certificate == nil {
		return
	}
	have, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if ok && !have.Equal(certificate.PublicKey) {
		b.report.at(where, Error, "key-mismatch", at+".key", "the key is not that of the certificate %s", quoted(certificate.Subject.String()))
	}
}

// checkSecretFile wants the file of a secret to be there and closed to others.
func (b *builder) checkSecretFile(n *node, path, at string) {
	if n == nil || b.options.NoFiles {
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		b.fileError(n, at, err)
	case info.IsDir():
		b.report.at(n, Error, "bad-file", at, "%s is a folder", path)
	case info.Mode().IsRegular() && info.Size() == 0:
		b.report.at(n, Error, "bad-file", at, "%s is empty", path)
	case runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&0o007 != 0:
		b.report.at(n, Warning, "open-secret", at, "every user can read or write %s (mode %04o); want 0600", path, info.Mode().Perm())
	}
}

// checkIdentity warns where the certificate does not bear the identity:
// strongSwan then uses the certificate's subject instead.
func (b *builder) checkIdentity(n *node, at, id, path string) {
	if n == nil || path == "" || b.options.NoFiles || strings.Contains(id, "=") {
		return // names in parts are compared by the daemon: their spelling varies
	}
	c, err := ReadCertificate(path)
	if err != nil {
		return
	}
	for _, name := range append(append([]string{}, c.DNSNames...), c.EmailAddresses...) {
		if strings.EqualFold(name, strings.TrimPrefix(id, "@")) {
			return
		}
	}
	for _, ip := range c.IPAddresses {
		if ip.String() == id {
			return
		}
	}
	names := append(append([]string{}, c.DNSNames...), c.EmailAddresses...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	b.report.add(Finding{Line: n.line, Column: n.column, Severity: Warning, Code: "identity-not-in-certificate", Path: at,
		Message: fmt.Sprintf("%s is no alternative name of %s: strongSwan would use the certificate's subject instead", quoted(id), path), Allowed: names})
}
