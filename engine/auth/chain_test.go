package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// attempt is one proof and what it is checked with; rows change it.
type attempt struct {
	us, them *Certificates
	s        *Statement
	now      time.Time
}

// TestEveryRefusalOfACertificateNamesItsCause has a row for each cause.
func TestEveryRefusalOfACertificateNamesItsCause(t *testing.T) {
	root := authority(t, nil, "Root", "P-256/ca")
	inter := authority(t, root, "Inter", "P-256/inter")
	day := 24 * time.Hour
	use := func(a *attempt, l *issuer, above ...*issuer) { a.us.Own = []*KeyPair{pair(t, l, above...)} }
	rows := []struct {
		name string
		kind event.CheckKind
		set  func(a *attempt)
		says []string
	}{
		{"untrusted issuer, not sent", event.CheckCertificate, func(a *attempt) { use(a, leaf(t, inter, "P-256")) },
			[]string{"untrusted issuer: CN=Inter of C=CH, O=Example, CN=gate.example.org was neither sent nor is it known", "trusted are CN=Root"}},
		{"untrusted root", event.CheckCertificate, func(a *attempt) {
			other := authority(t, nil, "Other Root", "P-384")
			use(a, leaf(t, authority(t, other, "Below", "P-521"), "P-256"), authority(t, other, "Below", "P-521"))
		}, []string{"untrusted issuer: CN=Other Root of CN=Below"}},
		{"untrusted root that was sent", event.CheckCertificate, func(a *attempt) {
			other := authority(t, nil, "Other Root", "P-384")
			use(a, leaf(t, other, "P-256"))
			a.them.Intermediates = []*x509.Certificate{other.cert}
		}, []string{"CN=Other Root is at the top and not trusted"}},
		{"an authority of the same name with another key", event.CheckCertificate, func(a *attempt) { use(a, leaf(t, authority(t, nil, "Root", "P-384"), "P-256")) },
			[]string{"CN=Root did not sign C=CH, O=Example, CN=gate.example.org"}},
		{"self-signed", event.CheckCertificate, func(a *attempt) { use(a, leaf(t, nil, "P-256")) }, []string{"self-signed and not trusted"}},
		{"nobody is trusted", event.CheckCertificate, func(a *attempt) { a.them.Trusted = nil }, []string{"nobody is trusted"}},
		{"expired", event.CheckCertificate, func(a *attempt) { a.now = testTime.Add(310 * day) },
			[]string{"expired 10 days ago", "it is 2027-03-07T12:00:00Z", "valid 2026-04-01T12:00:00Z to 2027-02-25T12:00:00Z"}},
		{"not valid yet", event.CheckCertificate, func(a *attempt) { a.now = testTime.Add(-30*day - time.Hour) }, []string{"not valid yet: its time begins in 1h0m0s", "clock of this side is slow"}},
		{"intermediate expired", event.CheckCertificate, func(a *attempt) {
			old := authority(t, root, "Old", "P-521", func(c *x509.Certificate) { c.NotAfter = testTime.Add(-72 * time.Hour) })
			use(a, leaf(t, old, "P-256"), old)
		}, []string{"CN=Old, valid", "expired 3 days ago"}},
		{"root expired", event.CheckCertificate, func(a *attempt) {
			old := authority(t, nil, "Old", "P-521", func(c *x509.Certificate) { c.NotAfter = testTime.Add(-72 * time.Hour) })
			use(a, leaf(t, old, "P-256"))
			a.them.Trusted = []*x509.Certificate{old.cert}
		}, []string{"CN=Old, valid", "expired 3 days ago"}},
		{"an end's certificate as authority", event.CheckCertificate, func(a *attempt) {
			no := authority(t, root, "No Authority", "P-521", func(c *x509.Certificate) { c.IsCA = false })
			use(a, leaf(t, no, "P-256"))
			a.them.Intermediates = []*x509.Certificate{no.cert}
		}, []string{"CN=No Authority is no authority"}},
		{"an authority whose key may not sign certificates", event.CheckCertificate, func(a *attempt) {
			no := authority(t, root, "No Signer", "P-521", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })
			use(a, leaf(t, no, "P-256"))
			a.them.Intermediates = []*x509.Certificate{no.cert}
		}, []string{"CN=No Signer is no authority"}},
		{"path length", event.CheckCertificate, func(a *attempt) {
			short := authority(t, root, "Short", "P-521", func(c *x509.Certificate) { c.MaxPathLenZero = true })
			below := authority(t, short, "Below", "P-384")
			use(a, leaf(t, below, "P-256"), short, below)
		}, []string{"path length that CN=Short allows is exceeded"}},
		{"name constraints", event.CheckCertificate, func(a *attempt) {
			bound := authority(t, root, "Bound", "P-521", func(c *x509.Certificate) {
				c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"example.net"}, true
			})
			use(a, leaf(t, bound, "P-256"), bound)
		}, []string{"may not vouch for it by its name constraints", "\"gate.example.org\" is not permitted"}},
		{"critical extension", event.CheckCertificate, func(a *attempt) {
			use(a, leaf(t, root, "P-256", func(c *x509.Certificate) {
				c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
			}))
		}, []string{"critical extension"}},
		{"key of the intermediate too small", event.CheckCertificate, func(a *attempt) {
			weak := authority(t, root, "Weak", "RSA 1024")
			use(a, leaf(t, weak, "P-256"))
			a.them.Intermediates = []*x509.Certificate{weak.cert}
		}, []string{"key of CN=Weak: RSA of 1024 bits is too small"}},
		{"key too small", event.CheckCertificate, func(a *attempt) { use(a, leaf(t, root, "RSA 1024")); a.us.Rules.MinRSA = 1024 },
			[]string{"RSA of 1024 bits is too small, at least 2048 are wanted"}},
		{"key usage", event.CheckCertificate, func(a *attempt) {
			use(a, leaf(t, root, "P-256", func(c *x509.Certificate) {
				c.KeyUsage = x509.KeyUsageKeyAgreement | x509.KeyUsageKeyEncipherment
			}))
		}, []string{"the key is not for signatures", "local digitalSignature or nonRepudiation", "remote keyEncipherment, keyAgreement"}},
		{"extended key usage", event.CheckCertificate, func(a *attempt) {
			use(a, leaf(t, root, "P-256", func(c *x509.Certificate) {
				c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning, x509.ExtKeyUsageMicrosoftKernelCodeSigning}
				c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3, 4}}
			}))
		}, []string{"not for IKE", "codeSigning, usage", "1.2.3.4"}},
		{"extended key usage, strict", event.CheckCertificate, func(a *attempt) {
			use(a, leaf(t, root, "P-256", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }))
			a.them.Rules.IKEUsage = true
		}, []string{"local IKE or any", "remote serverAuth"}},
		{"no extended key usage, strict", event.CheckCertificate, func(a *attempt) { a.them.Rules.IKEUsage = true }, []string{"none named"}},
		{"revoked", event.CheckCertificate, func(a *attempt) {
			a.them.Revocation = func(chain []*x509.Certificate, now time.Time) []event.Check {
				if len(chain) != 2 || chain[1] != nil && !chain[1].Equal(root.cert) || !now.Equal(testTime) {
					t.Errorf("asked for %d certificates at %s", len(chain), now)
				}
				return []event.Check{{Kind: event.CheckCertificate, What: "revocation", Local: "a list", Remote: "serial 7", Why: "revoked", RFC: "RFC 5280 6.3"}}
			}
		}, []string{"revoked"}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			a := &attempt{us: &Certificates{}, them: &Certificates{Trusted: []*x509.Certificate{root.cert}}, s: statement(t, everyHash...), now: testTime}
			use(a, leaf(t, root, "P-256"))
			r.set(a)
			v := a.them.Verify(a.s, prove(t, a.us, a.s), a.now)
			wantRefusal(t, v, r.kind, r.says...)
		})
	}
}

func TestCertificatesThatAreGoodAreAccepted(t *testing.T) {
	root := authority(t, nil, "Root", "RSA 2048/ca")
	inter := authority(t, root, "Inter", "P-384/inter")
	self := leaf(t, nil, "P-256")
	rows := []struct {
		name string
		set  func(a *attempt)
	}{
		{"below an intermediate that is sent", func(a *attempt) { a.us.Own = []*KeyPair{pair(t, leaf(t, inter, "P-256"), root, inter)} }},
		{"below an intermediate that both know", func(a *attempt) {
			a.us.Own = []*KeyPair{pair(t, leaf(t, inter, "P-256"))}
			a.them.Intermediates = []*x509.Certificate{inter.cert}
		}},
		{"an intermediate is trusted itself", func(a *attempt) {
			a.us.Own = []*KeyPair{pair(t, leaf(t, inter, "P-256"))}
			a.them.Trusted = []*x509.Certificate{inter.cert}
		}},
		{"self-signed and trusted as it is", func(a *attempt) {
			a.us.Own, a.them.Trusted = []*KeyPair{pair(t, self)}, []*x509.Certificate{self.cert}
		}},
		{"no key usage, extended for TLS", func(a *attempt) {
			a.us.Own = []*KeyPair{pair(t, leaf(t, root, "P-256", func(c *x509.Certificate) {
				c.KeyUsage, c.ExtKeyUsage = 0, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			}))}
		}},
		{"nonRepudiation, extended for IKE", func(a *attempt) {
			a.us.Own = []*KeyPair{pair(t, leaf(t, root, "P-256", func(c *x509.Certificate) {
				c.KeyUsage, c.UnknownExtKeyUsage = x509.KeyUsageContentCommitment, []asn1.ObjectIdentifier{oidIKE}
			}))}
			a.them.Rules.IKEUsage = true
		}},
		{"extended for IKE by the older identifier", func(a *attempt) {
			a.us.Own = []*KeyPair{pair(t, leaf(t, root, "P-256", func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{oidIKEIntermediate} }))}
			a.them.Rules.IKEUsage = true
		}},
		{"no certificate sent, but known", func(a *attempt) { a.them.Peers = []*x509.Certificate{a.us.Own[0].Cert} }},
		{"revocation has nothing against it", func(a *attempt) {
			a.them.Revocation = func([]*x509.Certificate, time.Time) []event.Check {
				return []event.Check{{Kind: event.CheckCertificate, What: "revocation", Local: "a list", Remote: "serial 7", OK: true, RFC: "RFC 5280 6.3"}}
			}
		}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			a := &attempt{us: &Certificates{Own: []*KeyPair{pair(t, leaf(t, root, "P-256"))}}, them: &Certificates{Trusted: []*x509.Certificate{root.cert}}, s: statement(t, everyHash...)}
			r.set(a)
			p := prove(t, a.us, a.s)
			if a.them.Peers != nil {
				p.Certs = nil
			}
			wantAccepted(t, a.them.Verify(a.s, p, testTime))
		})
	}
}

func TestIdentityIsComparedWithTheNamesOfTheCertificate(t *testing.T) {
	root := authority(t, nil, "Root", "P-256/ca")
	l := leaf(t, root, "P-256", func(c *x509.Certificate) {
		c.DNSNames = append(c.DNSNames, "*.wild.example.org", "192.0.2.9")
	})
	us, them := &Certificates{Own: []*KeyPair{pair(t, l)}}, &Certificates{Trusted: []*x509.Certificate{root.cert}}
	proof := prove(t, us, statement(t, everyHash...))
	rows := []struct {
		id    string
		rules Rules
		ok    bool
		says  string // why, or what is confirmed instead
	}{
		{"gate.example.org", Rules{}, true, ""},
		{"GATE.example.ORG", Rules{}, true, ""},
		{"gate@example.org", Rules{}, true, ""},
		{"192.0.2.1", Rules{}, true, ""},
		{"2001:db8::1", Rules{}, true, ""},
		{"C=CH, O=Example, CN=gate.example.org", Rules{}, true, ""},
		{"C=CH, O=example, CN=Gate.example.org", Rules{}, true, "other string types, case or space"},
		{"O=Example, C=CH, CN=gate.example.org", Rules{}, false, "the same parts in another order"},
		{"C=CH, O=Example, CN=other", Rules{}, false, "subject C=CH, O=Example, CN=gate.example.org"},
		{"CN=gate.example.org", Rules{}, false, "does not confirm"},
		{"other.example.org", Rules{}, false, "DNS gate.example.org, DNS *.wild.example.org, DNS 192.0.2.9, IP 192.0.2.1, IP 2001:db8::1, mail gate@example.org; subject"},
		{"a.wild.example.org", Rules{}, false, "a wildcard of a certificate confirms no identity"},
		{"192.0.2.9", Rules{}, false, "the address stands as a domain name"},
		{"192.0.2.9", Rules{AddressAsName: true}, true, "the address stands as a domain name"},
		{"192.0.2.2", Rules{AddressAsName: true}, false, "claimed 192.0.2.2"},
		{"other@example.org", Rules{}, false, "claimed other@example.org"},
		{"@gate@example.org", Rules{}, false, "it stands as a mail address"},
		{"@#6761746500", Rules{}, false, "no certificate confirms an identity of type"},
	}
	for _, r := range rows {
		t.Run(r.id, func(t *testing.T) {
			s := statement(t)
			s.Prover, them.Rules = identity(t, r.id), r.rules
			v := them.Verify(s, proof, testTime)
			if r.ok {
				wantAccepted(t, v)
				if why := find(v, event.CheckIdentity).Why; !strings.Contains(why, r.says) {
					t.Errorf("accepted because %q, want %q", why, r.says)
				}
				return
			}
			wantRefusal(t, v, event.CheckIdentity, r.says)
		})
	}
	s := statement(t)
	s.Prover = wire.ID{Type: wire.IDRFC822Addr, Data: []byte("gate.example.org")}
	wantRefusal(t, them.Verify(s, proof, testTime), event.CheckIdentity, "it stands as a domain name")
	s.Prover = wire.ID{Type: wire.IDIPv4Addr, Data: []byte{1}}
	wantRefusal(t, them.Verify(s, proof, testTime), event.CheckIdentity, "malformed address")

	plain := leaf(t, root, "P-256", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses, c.EmailAddresses = nil, []net.IP{}, nil })
	s.Prover = identity(t, "gate.example.org")
	proof.Certs[0].Data = plain.cert.Raw
	wantRefusal(t, them.Verify(s, proof, testTime), event.CheckIdentity, "in the common name only", "no alternative names; subject")
	if got := dnText([]byte{0x30, 0}); got != "an empty name" {
		t.Errorf("an empty name is written %q", got)
	}
	if reorderedDN([]byte{1}, []byte{1}) {
		t.Error("garbage is a name")
	}
}

// find gives the first check of a kind.
func find(v *Verdict, kind event.CheckKind) event.Check {
	for _, c := range v.Checks {
		if c.Kind == kind {
			return c
		}
	}
	return event.Check{}
}

func TestCertPayloadsThatAreNoneAreToldApart(t *testing.T) {
	root := authority(t, nil, "Root", "P-256/ca")
	them := &Certificates{Trusted: []*x509.Certificate{root.cert}}
	us := &Certificates{Own: []*KeyPair{pair(t, leaf(t, root, "P-256"))}}
	s := statement(t, everyHash...)
	good := prove(t, us, s)
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	odd := issue(t, root, p224, func(*x509.Certificate) {})
	rows := []struct {
		name  string
		certs []wire.Cert
		says  string
	}{
		{"none", nil, "the peer sent no certificate, and none is known of it"},
		{"only an URL", []wire.Cert{{Encoding: wire.CertHashURLX509, Data: []byte("x")}}, "is passed over"},
		{"garbage", []wire.Cert{{Encoding: wire.CertX509Signature, Data: []byte("garbage")}}, "no certificate: x509"},
		{"nothing", []wire.Cert{{Encoding: wire.CertX509Signature}}, "no certificate: x509"},
		{"huge", []wire.Cert{{Encoding: wire.CertX509Signature, Data: make([]byte, maxCertSize+1)}}, "16385 octets, at most 16384"},
		{"an odd curve", []wire.Cert{{Encoding: wire.CertX509Signature, Data: odd.cert.Raw}}, "ECDSA on a curve other than"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			p := &Proof{Auth: good.Auth, Certs: r.certs}
			wantRefusal(t, them.Verify(s, p, testTime), event.CheckCertificate, r.says)
		})
	}
	more := *good
	for range 100 {
		more.Certs = append(more.Certs, wire.Cert{Encoding: wire.CertX509Signature, Data: []byte("garbage")}, wire.Cert{Encoding: wire.CertX509Signature, Data: odd.cert.Raw})
	}
	v := them.Verify(s, &more, testTime)
	wantAccepted(t, v)
	if n := len(v.Checks); n > maxCerts+10 {
		t.Errorf("%d checks: the certificates looked at are not bounded", n)
	}
}

func TestTheCertificateIsChosenByIdentityAndRequest(t *testing.T) {
	one, two := authority(t, nil, "One", "P-256/one"), authority(t, nil, "Two", "P-256/two")
	below := authority(t, two, "Below", "P-256/below")
	other := leaf(t, one, "P-384", func(c *x509.Certificate) { c.DNSNames = []string{"else.example.org"} })
	first, second := leaf(t, one, "P-256"), leaf(t, below, "P-521")
	us := &Certificates{Own: []*KeyPair{pair(t, other), pair(t, first), pair(t, second)}, Intermediates: []*x509.Certificate{below.cert, two.cert}}
	rows := []struct {
		name      string
		requested []*issuer
		want      *issuer
		sent      int
	}{
		{"nothing requested", nil, first, 1},
		{"its authority requested", []*issuer{one}, first, 1},
		{"the other's root requested", []*issuer{two}, second, 2},
		{"the other's intermediate requested", []*issuer{below}, second, 2},
		{"nobody's authority requested", []*issuer{other}, first, 1},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			s := statement(t, everyHash...)
			for _, i := range r.requested {
				s.Requested = append(s.Requested, (&Certificates{Trusted: []*x509.Certificate{i.cert}}).Authorities()...)
			}
			if p := prove(t, us, s); !bytes.Equal(p.Certs[0].Data, r.want.cert.Raw) || len(p.Certs) != r.sent {
				t.Errorf("%d certificates, the first of another authority or key", len(p.Certs))
			}
		})
	}
	s := statement(t)
	s.Prover = identity(t, "nobody.example.org")
	_, err := us.Prove(s)
	if e, ok := err.(*Error); !ok || e.Kind != event.CheckCertificate || !strings.Contains(e.What, "DNS else.example.org") {
		t.Errorf("%v", err)
	}
	if _, err := (&Certificates{}).Prove(s); err == nil || !strings.Contains(err.Error(), "there is no certificate") {
		t.Errorf("%v", err)
	}
	if n := len((&Certificates{Trusted: []*x509.Certificate{first.cert}}).Authorities()); n != 0 {
		t.Errorf("%d authorities requested for a peer's certificate, want none", n)
	}
}

func TestAuthoritiesThatCostTooMuchArePassedOver(t *testing.T) {
	c := &Certificates{}
	for _, r := range []struct {
		bits uint
		e    int
		ok   bool
	}{{8192, 65537, true}, {8200, 65537, false}, {2048, 65539, false}, {1024, 3, false}} {
		if err := c.checkSent(&x509.Certificate{PublicKey: bigRSA(t, r.bits, r.e)}); (err == nil) != r.ok {
			t.Errorf("%d bits with exponent %d: %v", r.bits, r.e, err)
		}
	}
}
