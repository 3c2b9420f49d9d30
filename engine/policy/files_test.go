package policy_test

import (
	"crypto/elliptic"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/lab"
)

// TestFilesOfAPolicyAreLookedAt proves that a missing file, an open secret, a
// key of another certificate, an authority that is none, a certificate that
// has ended, and an identity that is not in the certificate are found.
func TestFilesOfAPolicyAreLookedAt(t *testing.T) {
	root, err := lab.NewRoot("Root", lab.ECDSA(elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	s := &side{dir: t.TempDir()}
	s.credentials(t, root, "a.example.org", lab.ECDSA(elliptic.P256()))
	other, err := root.NewLeaf("other", lab.ECDSA(elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	key, err := other.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	s.put(t, "other.key", key)
	s.put(t, "junk", []byte("no certificate"))
	s.put(t, "open", []byte("secret"))
	if err := os.Chmod(filepath.Join(s.dir, "open"), 0o644); err != nil {
		t.Fatal(err)
	}
	const good = `version: 1
node: {identity: a.example.org, certificate: own.crt, key: {file: own.key}}
authorities: {root: {certificate: root.crt}}
peers: {hub: {addresses: 192.0.2.1, identity: b, auth: cert}}
tunnels: {t: {peer: hub}}
`
	for name, c := range map[string]struct {
		change []string
		later  time.Duration
		code   string
		severe policy.Severity
	}{
		"all is well":                   {},
		"a certificate is missing":      {change: []string{"own.crt", "none.crt"}, code: "missing-file", severe: policy.Error},
		"a key is missing":              {change: []string{"own.key", "none.key"}, code: "missing-file", severe: policy.Error},
		"a certificate is none":         {change: []string{"own.crt", "junk"}, code: "bad-file", severe: policy.Error},
		"a key is none":                 {change: []string{"own.key", "junk"}, code: "bad-file", severe: policy.Error},
		"the key is another's":          {change: []string{"own.key", "other.key"}, code: "key-mismatch", severe: policy.Error},
		"the authority is none":         {change: []string{"root.crt", "own.crt"}, code: "no-authority", severe: policy.Error},
		"the identity is not there":     {change: []string{"identity: a.example.org", "identity: c.example.org"}, code: "identity-not-in-certificate", severe: policy.Warning},
		"the certificate has ended":     {later: 30 * 365 * 24 * time.Hour, code: "certificate-dates", severe: policy.Warning},
		"everybody can read the secret": {change: []string{"auth: cert", "auth: psk, psk: {file: open}"}, code: "open-secret", severe: policy.Warning},
		"a secret's file is the folder": {change: []string{"auth: cert", "auth: psk, psk: {file: .}"}, code: "bad-file", severe: policy.Error},
	} {
		t.Run(name, func(t *testing.T) {
			text := good
			if c.change != nil {
				text = strings.Replace(good, c.change[0], c.change[1], 1)
			}
			p, findings := policy.Parse(t.Context(), "policy.yaml", []byte(text), policy.Options{Dir: s.dir, Now: time.Now().Add(c.later)})
			found := false
			for _, f := range findings {
				found = found || f.Code == c.code && f.Severity == c.severe && f.Line > 0 && f.Column > 0
			}
			if c.code == "" && len(findings) > 0 || c.code != "" && !found || (p == nil) != (c.severe == policy.Error) {
				t.Errorf("policy: %t, findings: %v", p != nil, findings)
			}
		})
	}
}
