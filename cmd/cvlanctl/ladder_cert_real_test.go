package main

import (
	"crypto/elliptic"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/lab"
)

// fewRungs are the reasons of the ordinary test; -every-fault tries all.
var fewRungs = []string{"nothing wrong, RSA", "the peer wants SHA2-384", "the peer wants ECDSA with SHA2-384", "the peer trusts another authority",
	"an intermediate is not sent", "the peer knows us by another name of our certificate", "our certificate does not have our identity",
	"the peer wants a preshared key, that of another peer", "the peer wants EAP"}

// certSite is both sides of a tunnel with certificates, of which our policy file
// holds what it says here.
type certSite struct {
	root, other   *lab.Identity // the authority of both sides, and another one
	ours          *lab.Identity
	ourID         string
	intermediates bool   // that of ours is sent along
	auth          string // of our peer entry, in the policy's words
	elsewhere     string // further peers and tunnels, in the policy's words
	theirs        *lab.End
}

// write makes the policy file.
func (s *certSite) write(t *testing.T, b *lab.Bench) string {
	t.Helper()
	dir := t.TempDir()
	put := func(name string, b []byte) string {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	key, err := s.ours.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	put("me.pem", s.ours.CertPEM())
	put("me.key", key)
	put("root.pem", s.root.CertPEM())
	put("psk", []byte("lab only: never use this\n"))
	node := fmt.Sprintf("identity: %q, addresses: %s, certificate: me.pem, key: {file: me.key}", s.ourID, b.OuterA)
	if s.intermediates {
		put("mid.pem", s.ours.Issuer.CertPEM())
		node += ", intermediates: [mid.pem]"
	}
	return put("site.yaml", []byte(fmt.Sprintf(`version: 1
node: {%s}
authorities:
  root: {certificate: root.pem}
peers:
  gw: {addresses: %s, identity: responder.lab, %s}
%stunnels:
  net: {peer: gw, local: %s/32, remote: %s/32, start: none, esp: {proposals: aes256gcm16}}
`, node, b.OuterB, s.auth, s.elsewhere, b.InnerA, b.InnerB)))
}

// TestTheLadderNamesWhyAPeerRefusesACertificateWithoutAReason has a real
// strongSwan refuse our certificate for one reason after another, of which it
// tells none.
func TestTheLadderNamesWhyAPeerRefusesACertificateWithoutAReason(t *testing.T) {
	b := bench(t)
	binary := program(t)
	var table []string
	type row = struct {
		name   string
		kind   lab.KeyKind
		change func(t *testing.T, s *certSite)
		id     string
		says   string // of the try that is accepted, "" where none is
		do     string // in the remedies
	}
	rsa, ecdsa := lab.RSA(2048), lab.ECDSA(elliptic.P256())
	leaf := func(t *testing.T, ca *lab.Identity, kind lab.KeyKind, shape func(*x509.Certificate)) *lab.Identity {
		t.Helper()
		id, err := ca.NewShaped("initiator.lab", false, kind, shape)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	none := func(*x509.Certificate) {}
	wants := func(auth string) func(*testing.T, *certSite) {
		return func(_ *testing.T, s *certSite) { s.theirs.Remote.Method = auth }
	}
	for _, x := range []row{
		{"nothing wrong, RSA", rsa, func(*testing.T, *certSite) {}, "", "", ""},
		{"nothing wrong, ECDSA", ecdsa, func(*testing.T, *certSite) {}, "", "", ""},
		{"the peer wants RSASSA-PKCS1-v1_5", rsa, wants("ike:rsa-sha256"), "sig-hash-mismatch", "RSASSA-PKCS1-v1_5 with SHA2-256", "local.auth = ike:rsa-sha256"},
		{"the peer wants SHA2-384", rsa, wants("ike:pubkey-sha384"), "sig-hash-mismatch", "RSASSA-PKCS1-v1_5 with SHA2-384", "local.auth = ike:rsa-sha384"},
		{"the peer wants SHA2-512", rsa, wants("ike:rsa-sha512"), "sig-hash-mismatch", "RSASSA-PKCS1-v1_5 with SHA2-512", "local.auth = ike:rsa-sha512"},
		{"the peer wants RSASSA-PSS with SHA2-384", rsa, wants("ike:rsa/pss-sha384"), "sig-hash-mismatch", "RSASSA-PSS with SHA2-384", "local.auth = ike:rsa/pss-sha384"},
		{"the peer wants RSASSA-PSS with SHA2-512", rsa, wants("ike:rsa/pss-sha512"), "sig-hash-mismatch", "RSASSA-PSS with SHA2-512", "local.auth = ike:rsa/pss-sha512"},
		{"the peer wants ECDSA with SHA2-384", ecdsa, wants("ike:ecdsa-sha384"), "sig-hash-mismatch", "ECDSA with SHA2-384", "local.auth = ike:ecdsa-sha384"},
		{"the peer wants longer keys", rsa, wants("rsa-4096"), "auth-failed-opaque", "", ""},
		{"the peer trusts another authority", rsa, func(t *testing.T, s *certSite) { s.theirs.Trust(s.other) }, "cert-untrusted-issuer", "", "put the certificate of CN=Lab Root CA"},
		{"the peer trusts another authority, and wants a preshared key", rsa, func(t *testing.T, s *certSite) {
			s.theirs.Trust(s.other)
			s.theirs.Remote.Method = "psk"
			s.theirs.Secrets = []string{"ike-lab {\nsecret = \"lab only: never use this\"\n}"}
			s.elsewhere = "  branch: {addresses: 198.51.100.9, identity: branch.lab, auth: psk, psk: {file: psk}}\n"
		}, "auth-method-mismatch", "by a preshared key", "peers.<p>.auth: psk"},
		{"an intermediate is not sent", rsa, func(t *testing.T, s *certSite) {
			mid, err := s.root.NewIntermediate("Lab Intermediate CA", rsa)
			if err != nil {
				t.Fatal(err)
			}
			s.ours = leaf(t, mid, rsa, none)
		}, "cert-untrusted-issuer", "", "node.intermediates"},
		{"an intermediate is sent", rsa, func(t *testing.T, s *certSite) {
			mid, err := s.root.NewIntermediate("Lab Intermediate CA", rsa)
			if err != nil {
				t.Fatal(err)
			}
			s.ours, s.intermediates = leaf(t, mid, rsa, none), true
		}, "", "", ""},
		{"the peer knows us by another name of our certificate", rsa, func(t *testing.T, s *certSite) {
			s.ours = leaf(t, s.root, rsa, func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "gw7.lab") })
			s.theirs.Remote.ID = "gw7.lab"
		}, "responder-no-peer-config", "gw7.lab as ID_FQDN", "gw7.lab"},
		{"the peer knows us by the subject of our certificate", rsa, func(t *testing.T, s *certSite) {
			s.theirs.Remote.ID = "O=cvlanctl lab, CN=initiator.lab"
		}, "responder-no-peer-config", "CN=initiator.lab", ""},
		{"our certificate does not have our identity", rsa, func(t *testing.T, s *certSite) { s.ourID = "somebody.lab" }, "cert-san-mismatch", "", "local.id = <a name that the certificate holds>"},
		{"our certificate is over", rsa, func(t *testing.T, s *certSite) {
			var err error
			if s.ours, err = s.root.NewExpiredLeaf("initiator.lab", rsa); err != nil {
				t.Fatal(err)
			}
		}, "cert-expired", "", ""},
		{"the peer is called otherwise", rsa, func(t *testing.T, s *certSite) {
			own, err := s.root.NewLeaf("other.lab", rsa)
			if err != nil {
				t.Fatal(err)
			}
			s.theirs.Local.ID, s.theirs.Local.Lines = "other.lab", nil
			if err := s.theirs.Present(own); err != nil {
				t.Fatal(err)
			}
		}, "idr-mismatch", "without asking", "other.lab"},
		{"the peer wants a preshared key, that of another peer", rsa, func(t *testing.T, s *certSite) {
			s.theirs.Remote.Method = "psk"
			s.theirs.Secrets = []string{"ike-lab {\nsecret = \"lab only: never use this\"\n}"}
			s.elsewhere = "  branch: {addresses: 198.51.100.9, identity: branch.lab, auth: psk, psk: {file: psk}}\n"
		}, "auth-method-mismatch", "by a preshared key", "peers.<p>.auth: psk"},
		{"the peer wants a preshared key, and there is none", rsa, func(t *testing.T, s *certSite) {
			s.theirs.Remote.Method = "psk"
			s.theirs.Secrets = []string{"ike-lab {\nsecret = \"lab only: never use this\"\n}"}
		}, "auth-failed-opaque", "", ""},
		{"the peer wants our certificate, and gets a preshared key", rsa, func(t *testing.T, s *certSite) {
			s.auth = "auth: psk, psk: {file: psk}"
			s.elsewhere = "  branch: {addresses: 198.51.100.9, identity: branch.lab, auth: cert}\n"
		}, "auth-method-mismatch", "by a certificate", "peers.<p>.auth: cert"},
		{"the peer has another certificate of ours", rsa, func(t *testing.T, s *certSite) {
			own, err := s.root.NewLeaf("initiator.lab", rsa)
			if err != nil {
				t.Fatal(err)
			}
			s.theirs.Pin(own)
		}, "auth-failed-opaque", "", ""},
		{"the peer wants EAP", rsa, func(t *testing.T, s *certSite) {
			s.theirs.Remote.Method = "eap-mschapv2"
			s.theirs.Remote.Lines = append(s.theirs.Remote.Lines, "eap_id = carol")
			s.theirs.Secrets = []string{"eap-carol {\nid = carol\nsecret = \"lab only password\"\n}"}
		}, "auth-method-mismatch", "asking for EAP", "local.auth = eap"},
	} {
		if !*everyFault && !slices.Contains(fewRungs, x.name) {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			if x.id != "" {
				defer func() { table = append(table, ladderRow(t, x.name, x.says, x.id)) }()
			}
			ctx := t.Context()
			s := &certSite{ourID: "initiator.lab", auth: "auth: cert"}
			var err error
			if s.root, err = lab.NewRoot("Lab Root CA", x.kind); err != nil {
				t.Fatal(err)
			}
			if s.other, err = lab.NewRoot("Another Root CA", x.kind); err != nil {
				t.Fatal(err)
			}
			_, theirs := lab.Ends(b.OuterA, b.OuterB, b.InnerA+"/32", b.InnerB+"/32")
			s.theirs, theirs.ESP, theirs.Secrets = &theirs, "aes256gcm16", nil
			s.theirs.Remote.Method = "pubkey"
			own, err := s.root.NewLeaf("responder.lab", x.kind)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.theirs.Present(own); err != nil {
				t.Fatal(err)
			}
			s.theirs.Trust(s.root)
			s.ours = leaf(t, s.root, x.kind, none)
			x.change(t, s)
			if err := b.B.Restage(ctx, s.theirs); err != nil {
				t.Fatal(err)
			}
			file := s.write(t, b)
			d, code, _ := testPeer(t, b, binary, "net", "--config", file, "--ladder", "--pace", "50ms")
			first := ""
			if len(d.Findings) > 0 {
				first = d.Findings[0].ID
			}
			if x.id == "" {
				if code != 0 || d.Status == "fail" {
					t.Errorf("exit code %d, findings %v", code, d.Findings)
				}
				return
			}
			if code == 0 || first != x.id {
				t.Errorf("exit code %d, findings %v, want %s first", code, d.Findings, x.id)
			}
			if x.do != "" && !slices.ContainsFunc(d.Findings[0].Remedies, func(r remedy) bool { return strings.Contains(r.Change, x.do) }) {
				t.Errorf("%q is not among what to change: %v", x.do, d.Findings[0].Remedies)
			}
			for _, st := range d.Steps {
				if st.Step != "authentication" {
					continue
				}
				if x.says != "" && (len(st.Tries) == 0 || !strings.Contains(st.Tries[len(st.Tries)-1].Change, x.says)) {
					t.Errorf("want %q accepted", x.says)
				}
			}
		})
	}
	ladderTable(t, table)
}

// ladderRows are those of the tests of the ladder, which run one after the other.
var ladderRows []string

func ladderRow(t *testing.T, fault, accepted, id string) string {
	if accepted == "" {
		accepted = "none"
	}
	return fmt.Sprintf("| %s | %s | `%s` | %s |\n", fault, accepted, id, right(t))
}

// ladderTable adds rows to the ladder's table.
func ladderTable(t *testing.T, rows []string) {
	ladderRows = append(ladderRows, rows...)
	section(t, "The ladder", "| what is wrong | way that is accepted | finding | right |\n|---|---|---|---|\n"+strings.Join(ladderRows, ""))
}
