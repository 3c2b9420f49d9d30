package link_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/lab"
)

// certified gives both sides a certificate below an authority of their own,
// which one root signed.
func certified(t *testing.T, kind lab.KeyKind, theirs *lab.End, conn *ike.Connection) *auth.Certificates {
	t.Helper()
	must := func(id *lab.Identity, err error) *lab.Identity {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	root := must(lab.NewRoot("Root", kind))
	inter := must(root.NewIntermediate("Authority of ours", kind))
	ours := must(inter.NewLeaf(conn.LocalID.String(), kind))
	peer := must(must(root.NewIntermediate("Authority of the peer", kind)).NewLeaf(theirs.Local.ID, kind))
	if err := theirs.Present(peer); err != nil {
		t.Fatal(err)
	}
	theirs.Trust(root)
	theirs.Remote.Method = "pubkey"
	key, err := auth.NewPrivateKey(ours.Key)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := auth.NewKeyPair(key, ours.Cert, inter.Cert)
	if err != nil {
		t.Fatal(err)
	}
	c := &auth.Certificates{Own: []*auth.KeyPair{pair}, Trusted: []*x509.Certificate{root.Cert}}
	conn.Credentials = c
	return c
}

func TestCertificatesWithStrongSwanInBothRoles(t *testing.T) {
	ed := func() (crypto.Signer, error) {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return k, err
	}
	rows := []struct {
		name   string
		kind   lab.KeyKind
		peer   string // the peer's word for how it signs
		verify string // how the peer signed
		rules  auth.Rules
	}{
		{"RSA PKCS #1", lab.RSA(2048), "pubkey", "RSASSA-PKCS1-v1_5 with SHA2-256", auth.Rules{PKCS1: true}},
		{"RSA-PSS", lab.RSA(3072), "rsa/pss-sha512", "RSASSA-PSS with SHA2-512", auth.Rules{}},
		{"ECDSA P-256", lab.ECDSA(elliptic.P256()), "pubkey", "ECDSA with SHA2-256", auth.Rules{}},
		{"ECDSA P-384", lab.ECDSA(elliptic.P384()), "pubkey", "ECDSA with SHA2-384", auth.Rules{}},
		{"ECDSA P-521", lab.ECDSA(elliptic.P521()), "pubkey", "ECDSA with SHA2-512", auth.Rules{}},
		{"Ed25519", ed, "pubkey", "Ed25519", auth.Rules{}},
	}
	for _, r := range rows {
		for _, initiator := range []bool{true, false} {
			t.Run(r.name+map[bool]string{true: " as initiator", false: " as responder"}[initiator], func(t *testing.T) {
				var creds *auth.Certificates
				e := strongSwan(t, initiator, suiteIKE, suiteESP, func(theirs *lab.End, conn *ike.Connection) {
					creds = certified(t, r.kind, theirs, conn)
					creds.Rules, theirs.Local.Method = r.rules, r.peer
				})
				e.up(initiator)
				if got := e.signature(); got != r.verify {
					t.Errorf("the peer signed by %q, want %q", got, r.verify)
				}
			})
		}
	}
}

func TestOlderSignaturesWithStrongSwanInBothRoles(t *testing.T) {
	rows := []struct {
		name string
		kind lab.KeyKind
		want string
	}{
		{"RSA with SHA-1", lab.RSA(2048), "RSASSA-PKCS1-v1_5 with SHA1"},
		{"ECDSA P-256", lab.ECDSA(elliptic.P256()), "ECDSA with SHA2-256"},
		{"ECDSA P-384", lab.ECDSA(elliptic.P384()), "ECDSA with SHA2-384"},
		{"ECDSA P-521", lab.ECDSA(elliptic.P521()), "ECDSA with SHA2-512"},
	}
	for _, r := range rows {
		for _, initiator := range []bool{true, false} {
			t.Run(r.name+map[bool]string{true: " as initiator", false: " as responder"}[initiator], func(t *testing.T) {
				e := strongSwan(t, initiator, suiteIKE, suiteESP, func(theirs *lab.End, conn *ike.Connection) {
					certified(t, r.kind, theirs, conn).Rules = auth.Rules{SHA1: true, OlderOnly: true}
				})
				e.up(initiator)
				if got := e.signature(); got != r.want {
					t.Errorf("the peer signed by %q, want %q", got, r.want)
				}
				e.mu.Lock()
				defer e.mu.Unlock()
				for i := range e.events {
					if c := e.events[i].Check; c != nil && c.Kind == event.CheckMethod && c.Remote == wire.AuthDigitalSignature.String() {
						t.Errorf("the peer signed by %s though no hashes were announced", c.Remote)
					}
				}
			})
		}
	}
}

// signature gives how the peer signed, by the check of its signature.
func (e *end) signature() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.events {
		if c := e.events[i].Check; c != nil && c.Kind == event.CheckSignature && c.OK && c.RFC != "RFC 7427 4" {
			for n := range c.Remote {
				if c.Remote[n] == ',' {
					return c.Remote[:n]
				}
			}
		}
	}
	return "no signature"
}
