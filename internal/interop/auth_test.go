package interop_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/internal/interop"
	"github.com/cloudvlan/cvlanctl/lab"
)

func ed25519Key() (crypto.Signer, error) {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	return k, err
}

// hierarchy is a root, and below it authorities of either side.
type hierarchy struct {
	kind        lab.KeyKind
	root        *lab.Identity
	ours, peers []*lab.Identity // from the root down
}

// hierarchies counts them, so that each has a name of its own.
var hierarchies atomic.Int64

func newHierarchy(t *testing.T, kind lab.KeyKind, depth int) *hierarchy {
	t.Helper()
	must := mustIdentity(t)
	// libreswan keeps all that it was given, and finds an issuer by its name.
	number := hierarchies.Add(1)
	h := &hierarchy{kind: kind, root: must(lab.NewRoot(fmt.Sprintf("Root %d", number), kind))}
	ours, peers := h.root, h.root
	for n := range depth {
		ours = must(ours.NewIntermediate(fmt.Sprintf("Authority %d.%d of ours", number, n+1), kind))
		peers = must(peers.NewIntermediate(fmt.Sprintf("Authority %d.%d of the peer", number, n+1), kind))
		h.ours, h.peers = append(h.ours, ours), append(h.peers, peers)
	}
	return h
}

func mustIdentity(t *testing.T) func(*lab.Identity, error) *lab.Identity {
	return func(id *lab.Identity, err error) *lab.Identity {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
}

// certify has both sides of a connection prove themselves by certificates of a
// hierarchy: method is how the peer is to sign.
func (r *rig) certify(t *testing.T, h *hierarchy, conn *ike.Connection, theirs *backend.Section, method string, rules auth.Rules) {
	t.Helper()
	must := mustIdentity(t)
	above := func(list []*lab.Identity) *lab.Identity {
		if len(list) == 0 {
			return h.root
		}
		return list[len(list)-1]
	}
	ours := must(above(h.ours).NewLeaf(conn.LocalID.String(), h.kind))
	peer := must(above(h.peers).NewLeaf(theirs.Sub("local").Get("id").Value, h.kind))
	key, err := auth.NewPrivateKey(ours.Key)
	if err != nil {
		t.Fatal(err)
	}
	var chain []*x509.Certificate
	for n := len(h.ours) - 1; n >= 0; n-- {
		chain = append(chain, h.ours[n].Cert)
	}
	pair, err := auth.NewKeyPair(key, append([]*x509.Certificate{ours.Cert}, chain...)...)
	if err != nil {
		t.Fatal(err)
	}
	conn.Credentials = &auth.Certificates{Own: []*auth.KeyPair{pair}, Trusted: []*x509.Certificate{h.root.Cert}, Rules: rules}

	pem, err := peer.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // other rows have other keys, and the shared one
		if err := r.reset(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if _, err := r.client.LoadKey(t.Context(), backend.KeyData{Data: pem}); err != nil {
		t.Fatal(err)
	}
	if err := r.client.LoadCertificate(t.Context(), backend.CertificateData{Flag: "CA", Data: h.root.Cert.Raw}); err != nil {
		t.Fatal(err)
	}
	for _, ca := range h.peers {
		if err := r.client.LoadCertificate(t.Context(), backend.CertificateData{Data: ca.Cert.Raw}); err != nil {
			t.Fatal(err)
		}
	}
	local, remote := theirs.Sub("local"), theirs.Sub("remote")
	local.Set("auth", method)
	local.SetList("certs", string(peer.Cert.Raw))
	remote.Set("auth", "pubkey")
}

func TestInteropAuthenticationWithStrongSwan(t *testing.T) {
	r := newRig(t, ground{})
	rows := []struct {
		name   string
		kind   lab.KeyKind
		peer   string // the peer's word for how it signs
		verify string // how the peer signed
		rules  auth.Rules
	}{
		{"RSA PKCS #1 v1.5", lab.RSA(2048), "pubkey", "RSASSA-PKCS1-v1_5 with SHA2-256", auth.Rules{PKCS1: true}},
		{"RSA-PSS", lab.RSA(3072), "rsa/pss-sha512", "RSASSA-PSS with SHA2-512", auth.Rules{}},
		{"ECDSA P-256", lab.ECDSA(elliptic.P256()), "pubkey", "ECDSA with SHA2-256", auth.Rules{}},
		{"ECDSA P-384", lab.ECDSA(elliptic.P384()), "pubkey", "ECDSA with SHA2-384", auth.Rules{}},
		{"ECDSA P-521", lab.ECDSA(elliptic.P521()), "pubkey", "ECDSA with SHA2-512", auth.Rules{}},
		{"Ed25519", ed25519Key, "pubkey", "Ed25519", auth.Rules{}},
		{"RSA with SHA-1, method 1", lab.RSA(2048), "pubkey", "RSASSA-PKCS1-v1_5 with SHA1", auth.Rules{SHA1: true, OlderOnly: true}},
		{"ECDSA P-256, method 9", lab.ECDSA(elliptic.P256()), "pubkey", "ECDSA with SHA2-256", auth.Rules{OlderOnly: true}},
		{"ECDSA P-384, method 10", lab.ECDSA(elliptic.P384()), "pubkey", "ECDSA with SHA2-384", auth.Rules{OlderOnly: true}},
		{"ECDSA P-521, method 11", lab.ECDSA(elliptic.P521()), "pubkey", "ECDSA with SHA2-512", auth.Rules{OlderOnly: true}},
	}
	for _, row := range rows {
		for _, depth := range []int{0, 2} {
			if depth == 0 && !interop.Full() {
				continue
			}
			name := fmt.Sprintf("authentication: %s, below %d intermediate authorities", row.name, depth)
			if depth == 0 {
				name = fmt.Sprintf("authentication: %s, below the root", row.name)
			}
			h := newHierarchy(t, row.kind, depth)
			r.eachRole(t, name, func(t *testing.T, role interop.Role, e *interop.Entry) {
				e.Detail("the peer signs by %s", row.verify)
				tn := r.tunnel(t, role, settings{change: func(conn *ike.Connection, theirs *backend.Section) {
					r.certify(t, h, conn, theirs, row.peer, row.rules)
				}})
				tn.up()
				if got := tn.signature(); got != row.verify {
					t.Errorf("the peer signed by %q, want %q", got, row.verify)
				}
				for _, c := range tn.checks(event.CheckMethod) {
					if row.rules.OlderOnly && c.Remote == wire.AuthDigitalSignature.String() {
						t.Errorf("the peer signed by %s though no hashes were announced", c.Remote)
					}
				}
			})
		}
	}
}

func TestInteropMixedAuthenticationWithStrongSwan(t *testing.T) {
	r := newRig(t, ground{})
	h := newHierarchy(t, lab.ECDSA(elliptic.P256()), 1)
	for _, weSign := range []bool{true, false} {
		name := map[bool]string{true: "we by certificate, the peer by PSK", false: "we by PSK, the peer by certificate"}[weSign]
		r.eachRole(t, "authentication: "+name, func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("ECDSA P-256 below one intermediate authority")
			tn := r.tunnel(t, role, settings{change: func(conn *ike.Connection, theirs *backend.Section) {
				psk := conn.Credentials
				r.certify(t, h, conn, theirs, "pubkey", auth.Rules{})
				if weSign {
					conn.Credentials = auth.Split{Own: conn.Credentials, Peer: psk}
					theirs.Sub("local").Set("auth", "psk")
					return
				}
				conn.Credentials = auth.Split{Own: psk, Peer: conn.Credentials}
				theirs.Sub("remote").Set("auth", "psk")
			}})
			tn.up()
			tn.rekeyIKE(role)
		})
	}
}

func TestInteropIdentitiesWithStrongSwan(t *testing.T) {
	r := newRig(t, ground{})
	for _, row := range []struct{ name, ours, peer string }{
		{"domain name", "ours.example.org", "peer.example.org"},
		{"e-mail address", "we@example.org", "they@example.org"},
		{"IPv4 address", r.local.String(), r.remote.String()},
		{"IPv6 address", "2001:db8::a", "2001:db8::b"},
		{"distinguished name", "C=CH, O=ours, CN=left", "C=CH, O=theirs, CN=right"},
		{"key id", "@#" + hex.EncodeToString([]byte("ours")), "@#" + hex.EncodeToString([]byte("peer"))},
	} {
		r.eachRole(t, "authentication: PSK, identities of type "+row.name, func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("%s and %s", row.ours, row.peer)
			tn := r.tunnel(t, role, settings{change: func(conn *ike.Connection, theirs *backend.Section) {
				conn.LocalID, conn.RemoteID = id(t, row.ours), auth.Exactly(id(t, row.peer))
				theirs.Sub("local").Set("id", row.peer)
				theirs.Sub("remote").Set("id", row.ours)
			}})
			tn.up()
		})
	}
}

func TestInteropRefusedAuthenticationWithStrongSwan(t *testing.T) {
	r := newRig(t, ground{})
	r.eachRole(t, "authentication: a wrong PSK is refused", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("AUTHENTICATION_FAILED, and neither side has an SA")
		tn := r.tunnel(t, role, settings{change: func(conn *ike.Connection, _ *backend.Section) {
			conn.Credentials = sharedKey("another key")
		}})
		tn.refused("AUTHENTICATION_FAILED")
		if role == interop.Responder && len(tn.checks(event.CheckMAC)) == 0 {
			t.Error("our side does not say that the MAC is wrong")
		}
	})
	r.eachRole(t, "authentication: an unknown identity is refused", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("AUTHENTICATION_FAILED, and neither side has an SA")
		tn := r.tunnel(t, role, settings{change: func(conn *ike.Connection, _ *backend.Section) {
			conn.RemoteID = auth.Exactly(id(t, "somebody.else"))
			if role == interop.Initiator {
				conn.LocalID = id(t, "stranger.lab")
			}
		}})
		tn.refused("AUTHENTICATION_FAILED")
	})
}
