package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/enginetest"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/suite"
)

func p256() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func TestPairComesUpWithCertificatesOfEveryKind(t *testing.T) {
	kinds := map[string]func() (crypto.Signer, error){
		"RSA":     func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) },
		"P-256":   p256,
		"P-384":   func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) },
		"P-521":   func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P521(), rand.Reader) },
		"Ed25519": func() (crypto.Signer, error) { _, k, err := ed25519.GenerateKey(rand.Reader); return k, err },
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			own, peer := enginetest.NewCertified(t, kind)
			p := enginetest.NewPair(t, 1, func(a, b *ike.Connection, _, _ *ike.Settings) { a.Credentials, b.Credentials = own, peer })
			p.Up()
			p.Agree(1, 1)
			for _, h := range []*enginetest.Host{p.A, p.B} {
				if len(h.Checks(event.CheckSignature, true)) == 0 || len(h.Checks(event.CheckCertificate, true)) < 4 {
					t.Errorf("%s tells no checks of the peer's certificate and signature", h.Name)
				}
			}
		})
	}
}

func TestPairComesUpWithCertificateOnOneSideAndSharedKeyOnTheOther(t *testing.T) {
	own, peer := enginetest.NewCertified(t, p256)
	key := auth.SharedKeys{{Key: suite.NewSecret([]byte("a shared key"))}}
	p := enginetest.NewPair(t, 1, func(a, b *ike.Connection, _, _ *ike.Settings) {
		a.Credentials, b.Credentials = auth.Split{Own: key, Peer: own}, auth.Split{Own: peer, Peer: key}
	})
	p.Up()
	p.Agree(1, 1)
	if len(p.A.Checks(event.CheckSignature, true)) == 0 || len(p.B.Checks(event.CheckMAC, true)) == 0 {
		t.Error("the initiator did not check a signature, or the responder no MAC")
	}
}

func TestPairWithStrangersCertificateFailsAndTellsWhy(t *testing.T) {
	for _, refuses := range []string{"responder", "initiator"} {
		t.Run(refuses, func(t *testing.T) {
			own, trusted := enginetest.NewCertified(t, p256)
			_, stranger := enginetest.NewCertified(t, p256)
			p := enginetest.NewPair(t, 1, func(a, b *ike.Connection, _, _ *ike.Settings) {
				a.Credentials, b.Credentials = own, stranger
				if refuses == "initiator" { // the responder knows the initiator, and not the other way round
					b.Credentials = auth.Split{Own: stranger, Peer: trusted}
				}
			})
			if _, err := p.A.Initiate("gw"); err != nil {
				t.Fatal(err)
			}
			p.Run(time.Minute)
			p.Agree(0, 0)
			host := map[string]*enginetest.Host{"responder": p.B, "initiator": p.A}[refuses]
			failed := host.Checks(event.CheckCertificate, false)
			if len(failed) != 1 || !strings.Contains(failed[0].Why, "did not sign") || !strings.Contains(failed[0].Local, "trusted are") || failed[0].Remote == "" {
				t.Errorf("the %s tells %v", refuses, failed)
			}
		})
	}
}
