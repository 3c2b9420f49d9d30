package main

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
)

// fewCalls are the certificates of the ordinary test; -every-fault has all.
var fewCalls = []string{"nothing wrong, RSA", "a certificate of another authority", "a certificate that is over", "a preshared key where a certificate is wanted",
	"a certificate that we are not believed for"}

// certCall is both sides of a tunnel that the peer begins: theirs, and what the
// policy file of ours says.
type certCall struct {
	root, other *lab.Identity
	kind        lab.KeyKind
	theirs      *lab.End
	auth        string // of the peer, in the policy's words
}

// present gives the peer another certificate.
func (c *certCall) present(t *testing.T, id *lab.Identity, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	c.theirs.Local.Lines = nil
	if err := c.theirs.Present(id); err != nil {
		t.Fatal(err)
	}
}

// TestAPeerThatCallsWithACertificateIsToldWhatIsWrongWithIt has a real strongSwan
// call with a certificate, with one thing set wrong after another.
func TestAPeerThatCallsWithACertificateIsToldWhatIsWrongWithIt(t *testing.T) {
	b := calling(t)
	binary := program(t)
	var table []string
	rsa, ecdsa := lab.RSA(2048), lab.ECDSA(elliptic.P256())
	const auth = "authentication"
	for _, x := range []struct {
		name   string
		kind   lab.KeyKind
		change func(t *testing.T, c *certCall)
		step   string // that fails; "" for none
		id     string
		says   string // in the step's words
	}{
		{"nothing wrong, RSA", rsa, func(*testing.T, *certCall) {}, "", "", ""},
		{"nothing wrong, ECDSA", ecdsa, func(*testing.T, *certCall) {}, "", "", ""},
		{"a certificate of another authority", rsa, func(t *testing.T, c *certCall) {
			id, err := c.other.NewLeaf("initiator.lab", rsa)
			c.present(t, id, err)
		}, auth, "cert-untrusted-issuer", "Another Root CA"},
		{"a certificate whose intermediate is not sent", rsa, func(t *testing.T, c *certCall) {
			mid, err := c.root.NewIntermediate("Lab Intermediate CA", rsa)
			if err != nil {
				t.Fatal(err)
			}
			id, err := mid.NewLeaf("initiator.lab", rsa)
			id.Issuer = nil // it does not have it either
			c.present(t, id, err)
		}, auth, "cert-untrusted-issuer", "Lab Intermediate CA"},
		{"a certificate with its intermediate", rsa, func(t *testing.T, c *certCall) {
			mid, err := c.root.NewIntermediate("Lab Intermediate CA", rsa)
			if err != nil {
				t.Fatal(err)
			}
			id, err := mid.NewLeaf("initiator.lab", rsa)
			c.present(t, id, err)
		}, "", "", ""},
		{"a certificate that is over", rsa, func(t *testing.T, c *certCall) {
			id, err := c.root.NewExpiredLeaf("initiator.lab", rsa)
			c.present(t, id, err)
		}, auth, "cert-expired", "expired"},
		{"a certificate of tomorrow", rsa, func(t *testing.T, c *certCall) {
			id, err := c.root.NewEarlyLeaf("initiator.lab", rsa)
			c.present(t, id, err)
		}, auth, "cert-not-yet-valid", "not valid yet"},
		{"a certificate without the identity", rsa, func(t *testing.T, c *certCall) {
			id, err := c.root.NewLeaf("stranger.lab", rsa)
			c.present(t, id, err)
		}, auth, "cert-san-mismatch", "stranger.lab"},
		{"a certificate that is not for signatures", rsa, func(t *testing.T, c *certCall) {
			id, err := c.root.NewShaped("initiator.lab", false, rsa, func(x *x509.Certificate) { x.KeyUsage = x509.KeyUsageKeyEncipherment })
			c.present(t, id, err)
		}, auth, "cert-eku-or-keyusage", "keyEncipherment"},
		{"a certificate with a short key", lab.RSA(1024), func(*testing.T, *certCall) {}, auth, "cert-path-policy", "1024"},
		{"no certificate", rsa, func(_ *testing.T, c *certCall) { c.theirs.Conn = append(c.theirs.Conn, "send_cert = never") }, auth, "cert-not-sent", "sent no certificate"},
		{"a preshared key where a certificate is wanted", rsa, func(_ *testing.T, c *certCall) {
			c.theirs.Local.Method, c.theirs.Local.Lines = "psk", nil
			c.theirs.Secrets = []string{"ike-lab {\nsecret = \"lab only: never use this\"\n}"}
		}, auth, "auth-method-mismatch", "Shared Key"},
		{"a certificate where a preshared key is wanted", rsa, func(_ *testing.T, c *certCall) { c.auth = "auth: psk, psk: {file: psk}" }, auth, "auth-method-mismatch", "Shared Key Message Integrity Code here"},
		{"a signature with SHA-1", rsa, func(_ *testing.T, c *certCall) { c.theirs.Local.Method = "ike:rsa-sha1" }, "identities", "", "no signature with a hash that is taken here"},
		{"a certificate that we are not believed for", rsa, func(_ *testing.T, c *certCall) { c.theirs.Trust(c.other) }, auth, "cert-untrusted-issuer", "refuses ours"},
	} {
		if !*everyFault && !slices.Contains(fewCalls, x.name) {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			theirs, _ := lab.Ends(b.OuterA, b.OuterB, b.InnerA+"/32", b.InnerB+"/32")
			theirs.ESP, theirs.Secrets, theirs.Remote.Method = "aes256gcm16", nil, "pubkey"
			c := &certCall{kind: x.kind, theirs: &theirs, auth: "auth: cert"}
			var err error
			for name, root := range map[string]**lab.Identity{"Lab Root CA": &c.root, "Another Root CA": &c.other} {
				if *root, err = lab.NewRoot(name, rsa); err != nil {
					t.Fatal(err)
				}
			}
			id, err := c.root.NewLeaf("initiator.lab", x.kind)
			c.present(t, id, err)
			theirs.Trust(c.root)
			x.change(t, c)
			if err := b.A.Restage(ctx, &theirs); err != nil {
				t.Fatal(err)
			}
			judgeCall(t, called(ctx, t, b, binary, c.write(t, b)), x.step, x.id, x.says)
			table = append(table, callRow(t, x.name, x.step, x.id))
		})
	}
	callTable(t, table)
}

// write makes the policy file of our side.
func (c *certCall) write(t *testing.T, b *lab.Bench) string {
	t.Helper()
	dir := t.TempDir()
	own, err := c.root.NewLeaf("responder.lab", lab.RSA(2048))
	if err != nil {
		t.Fatal(err)
	}
	key, err := own.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`version: 1
node: {identity: responder.lab, addresses: %s, certificate: me.pem, key: {file: me.key}}
authorities:
  root: {certificate: root.pem}
peers:
  gw: {addresses: %s, identity: initiator.lab, %s}
tunnels:
  net: {peer: gw, local: %s/32, remote: %s/32, start: none, esp: {proposals: aes256gcm16}}
`, b.OuterB, b.OuterA, c.auth, b.InnerB, b.InnerA)
	for name, content := range map[string][]byte{"site.yaml": []byte(text), "me.pem": own.CertPEM(), "me.key": key, "root.pem": c.root.CertPEM(),
		"psk": []byte("lab only: never use this\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "site.yaml")
}
