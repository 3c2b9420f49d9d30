package rule_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var carol = bob.Next()

// cert makes a CERT payload of a certificate for one DNS name.
func cert(t *testing.T, name string, from, to time.Time) wire.Payload {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "cn of " + name}, DNSNames: []string{name}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Payload{Type: wire.PayloadCert, Body: &wire.Cert{Encoding: wire.CertX509Signature, Data: der}}
}

var (
	lastYear = begin.AddDate(-1, 0, 0)
	nextYear = begin.AddDate(1, 0, 0)
	failed   = notify(wire.NotifyAuthenticationFailed)
)

// refuses answers IKE_AUTH with AUTHENTICATION_FAILED.
func (s *scene) refuses() *scene {
	return s.wait(10*time.Millisecond).sealed(answer, wire.ExchangeIKEAuth, 1, failed)
}

// rejects has the initiator refuse the responder.
func (s *scene) rejects() *scene {
	return s.wait(10*time.Millisecond).sealed(ask, wire.ExchangeInformational, 2, failed)
}

func TestARefusedAuthenticationSaysWhoSaidNo(t *testing.T) {
	tell(t, []story{
		{name: "they said no", tell: func(s *scene) { s.init().authRequest().refuses() },
			sealed: []string{"high auth-failed-opaque likely"}, open: []string{"high auth-failed-opaque certain"}, says: "192.0.2.2 refused the authentication of 192.0.2.1 (a.example) by shared key"},
		{name: "we said no: another identity", tell: func(s *scene) {
			s.init().authRequest().wait(10*time.Millisecond).sealed(answer, wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDr, "other.example"), auth(wire.AuthSharedKey, 32),
				proposal(s.t, wire.ProtocolESP, goodESP), ts(wire.PayloadTSi, "10.1.0.0-10.1.0.255"), ts(wire.PayloadTSr, "10.2.0.0-10.2.0.255"))
			s.rejects()
		}, sealed: []string{"high idr-mismatch hint"}, open: []string{"high idr-mismatch certain"}, says: "192.0.2.1 wants b.example (ID_FQDN), and 192.0.2.2 says it is other.example"},
		{name: "we said no, for a reason that does not show", tell: func(s *scene) { s.tunnel().rejects() },
			sealed: []string{"high idr-mismatch hint"}, open: []string{"high idr-mismatch likely"}},
		{name: "a refused IKE_AUTH that was tried again and succeeded", tell: func(s *scene) { s.init().authRequest().refuses().wait(time.Minute).anew().tunnel() },
			sealed: []string{"high auth-failed-opaque likely"}, open: []string{"high auth-failed-opaque certain"}},
		{name: "a PPK on one side", tell: func(s *scene) {
			s.clear(ask, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce(), notify(wire.NotifyUsePPK)).
				clear(answer, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce())
			s.authRequest().refuses()
		}, sealed: []string{"high ppk-mismatch likely > auth-failed-opaque"}, open: []string{"high ppk-mismatch likely > auth-failed-opaque"}},
		{name: "EAP asked for and refused at once", tell: func(s *scene) {
			s.init().sealed(ask, wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDi, "a.example"), proposal(s.t, wire.ProtocolESP, goodESP)).refuses()
		}, sealed: []string{"high auth-failed-opaque likely"}, open: []string{"high auth-method-mismatch hint > auth-failed-opaque"}},
		{name: "a shared key against a certificate", tell: func(s *scene) {
			s.init().authRequest().wait(10*time.Millisecond).sealed(answer, wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDr, "b.example"), auth(wire.AuthRSA, 256),
				proposal(s.t, wire.ProtocolESP, goodESP), ts(wire.PayloadTSi, "10.1.0.0-10.1.0.255"), ts(wire.PayloadTSr, "10.2.0.0-10.2.0.255"))
			s.rejects()
		}, sealed: []string{"high idr-mismatch hint"}, open: []string{"high auth-method-mismatch likely > idr-mismatch", "high cert-not-sent likely"}},
	})
}

func TestCertificatesExplainARefusal(t *testing.T) {
	// presents has the initiator sign with a certificate.
	presents := func(s *scene, certs ...wire.Payload) *scene {
		inner := append([]wire.Payload{fqdn(wire.PayloadIDi, "a.example")}, certs...)
		inner = append(inner, auth(wire.AuthDigitalSignature, 80), proposal(s.t, wire.ProtocolESP, goodESP), ts(wire.PayloadTSi, "10.1.0.0-10.1.0.255"), ts(wire.PayloadTSr, "10.2.0.0-10.2.0.255"))
		return s.sealed(ask, wire.ExchangeIKEAuth, 1, inner...)
	}
	opaque := []string{"high auth-failed-opaque likely"}
	hashed := func(s *scene, i, r []byte) {
		s.clear(ask, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce(), notify(wire.NotifySignatureHashAlgorithms, i...)).
			clear(answer, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce(), notify(wire.NotifySignatureHashAlgorithms, r...))
	}
	asked := func(s *scene, hashes []byte) {
		s.clear(ask, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce()).
			clear(answer, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce(),
				wire.Payload{Type: wire.PayloadCertReq, Body: &wire.CertReq{Encoding: wire.CertX509Signature, Authority: hashes}})
	}
	tell(t, []story{
		{name: "expired", tell: func(s *scene) {
			presents(s.init(), cert(s.t, "a.example", lastYear, begin.AddDate(0, 0, -1))).refuses()
		},
			sealed: opaque, open: []string{"critical cert-expired certain > auth-failed-opaque"}, says: "expired on 2026-02-28"},
		{name: "expired, and nobody minds", tell: func(s *scene) {
			presents(s.init(), cert(s.t, "a.example", lastYear, begin.AddDate(0, 0, -1))).authResponse()
		}, open: []string{"low cert-expired certain"}},
		{name: "not valid yet", tell: func(s *scene) { presents(s.init(), cert(s.t, "a.example", begin.AddDate(0, 0, 1), nextYear)).refuses() },
			sealed: opaque, open: []string{"high cert-not-yet-valid certain > auth-failed-opaque"}},
		{name: "for another name", tell: func(s *scene) { presents(s.init(), cert(s.t, "www.example", lastYear, nextYear)).refuses() },
			sealed: opaque, open: []string{"high cert-san-mismatch likely > auth-failed-opaque"}, says: "(it holds www.example)"},
		{name: "for the right name", tell: func(s *scene) { presents(s.init(), cert(s.t, "a.example", lastYear, nextYear)).refuses() },
			sealed: opaque, open: []string{"high auth-failed-opaque certain"}},
		{name: "not sent", tell: func(s *scene) { presents(s.init()).refuses() }, sealed: opaque, open: []string{"high cert-not-sent likely > auth-failed-opaque"}},
		{name: "garbage in place of a certificate", tell: func(s *scene) {
			presents(s.init(), wire.Payload{Type: wire.PayloadCert, Body: &wire.Cert{Encoding: wire.CertX509Signature, Data: []byte{0x30, 0x82, 0xff}}}).refuses()
		}, sealed: opaque, open: []string{"high auth-failed-opaque certain"}},
		{name: "no signature hash in common", tell: func(s *scene) {
			hashed(s, []byte{0, 1}, []byte{0, 2, 0, 3})
			presents(s, cert(s.t, "a.example", lastYear, nextYear)).refuses()
		}, sealed: []string{"high sig-hash-mismatch likely > auth-failed-opaque"}, open: []string{"high sig-hash-mismatch certain > auth-failed-opaque"}, says: "192.0.2.1 accepts SHA1, 192.0.2.2 accepts SHA2-256 and SHA2-384"},
		{name: "of an authority that the responder does not ask for", tell: func(s *scene) {
			asked(s, bytes.Repeat([]byte{7}, 20))
			presents(s, cert(s.t, "a.example", lastYear, nextYear)).refuses()
		}, sealed: opaque, open: []string{"high cert-untrusted-issuer likely > auth-failed-opaque"}, says: "192.0.2.2 does not ask for certificates of CN=cn of a.example"},
		{name: "of an authority that the responder asks for", tell: func(s *scene) {
			own := cert(s.t, "a.example", lastYear, nextYear)
			x, err := x509.ParseCertificate(own.Body.(*wire.Cert).Data)
			if err != nil {
				s.t.Fatal(err)
			}
			hash := sha1.Sum(x.RawSubjectPublicKeyInfo)
			asked(s, slices.Concat(bytes.Repeat([]byte{7}, 20), hash[:]))
			presents(s, own).refuses()
		}, sealed: opaque, open: []string{"high auth-failed-opaque certain"}},
		{name: "an authority asked for does not matter to a shared key", tell: func(s *scene) {
			asked(s, bytes.Repeat([]byte{7}, 20))
			s.authRequest().refuses()
		}, sealed: opaque, open: []string{"high auth-failed-opaque certain"}},
		{name: "no hash in common does not matter to a shared key", tell: func(s *scene) {
			hashed(s, []byte{0, 1}, []byte{0, 2})
			s.authRequest().authResponse()
		}},
	})
}

func TestEAPSaysWhatItDidNotLike(t *testing.T) {
	// asks begins EAP with a method.
	asks := func(s *scene, typ wire.EAPType) *scene {
		return s.init().sealed(ask, wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDi, "a.example"), proposal(s.t, wire.ProtocolESP, goodESP)).
			sealed(answer, wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDr, "b.example"), auth(wire.AuthRSA, 256), eap(wire.EAPRequest, typ, make([]byte, 30)...))
	}
	failure := eap(wire.EAPFailure, 0)
	tell(t, []story{
		{name: "another method", tell: func(s *scene) {
			asks(s, wire.EAPTLS).sealed(ask, wire.ExchangeIKEAuth, 2, eap(wire.EAPResponse, wire.EAPNak, byte(wire.EAPMSCHAPv2))).sealed(answer, wire.ExchangeIKEAuth, 2, failure)
		}, afterwards: time.Minute, sealed: []string{"high auth-failed-opaque likely"}, open: []string{"high eap-method-mismatch certain > auth-failed-opaque"}, says: "192.0.2.2 asks for EAP-TLS, 192.0.2.1 wants EAP-MSCHAPv2"},
		{name: "a wrong password", tell: func(s *scene) {
			asks(s, wire.EAPMSCHAPv2).sealed(ask, wire.ExchangeIKEAuth, 2, eap(wire.EAPResponse, wire.EAPMSCHAPv2, make([]byte, 50)...)).
				sealed(answer, wire.ExchangeIKEAuth, 2, eap(wire.EAPRequest, wire.EAPMSCHAPv2, append([]byte{4, 1, 0, 0}, "E=691 R=0 C=00 V=3 M=Authentication failed"...)...)).
				sealed(ask, wire.ExchangeIKEAuth, 3, eap(wire.EAPResponse, wire.EAPMSCHAPv2, 4)).sealed(answer, wire.ExchangeIKEAuth, 3, failure)
		}, afterwards: time.Minute, sealed: []string{"high auth-failed-opaque likely"}, open: []string{"high mschapv2-bad-password certain > auth-failed-opaque"}, says: "wrong user name or password (E=691)"},
		{name: "the capture ends after the last EAP message", tell: func(s *scene) {
			asks(s, wire.EAPTLS).sealed(ask, wire.ExchangeIKEAuth, 2, eap(wire.EAPResponse, wire.EAPTLS, 1)).sealed(answer, wire.ExchangeIKEAuth, 2, eap(wire.EAPSuccess, 0))
		}, sealedOnly: true},
	})
}
