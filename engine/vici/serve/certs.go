package serve

import (
	"context"
	"crypto/x509"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
)

// shortKinds are the names that stand for a type and a flag at once.
var shortKinds = map[string]struct{ kind, flag string }{
	"x509": {"X509", "NONE"}, "x509ca": {"X509", "CA"}, "x509ocsp": {"X509", "OCSP"}, "x509aa": {"X509", "AA"},
	"x509ac": {"X509_AC", ""}, "x509crl": {"X509_CRL", ""}, "ocsp": {"OCSP_RESPONSE", ""}, "pubkey": {"PUBKEY", ""},
}

// kindOf gives type and flag of a certificate, of which the type may be a short
// name.
func kindOf(kind, flag string) (string, string) {
	if s, found := shortKinds[kind]; found {
		return s.kind, s.flag
	}
	return strings.ToUpper(kind), strings.ToUpper(flag)
}

// listedKinds are the order in which strongSwan lists certificates.
var listedKinds = []struct{ kind, flag string }{
	{"PUBKEY", ""}, {"X509", "NONE"}, {"X509", "CA"}, {"X509", "AA"}, {"X509", "OCSP"},
	{"X509_AC", ""}, {"X509_CRL", ""}, {"OCSP_RESPONSE", ""},
}

func listCerts(ctx context.Context, r *request) ([]packet.Element, error) {
	list, err := r.backend.Certificates(ctx)
	if err != nil {
		return nil, err
	}
	kind, flag := kindOf(r.text("type"), r.text("flag"))
	subject := r.text("subject")
	for _, k := range listedKinds {
		for i := range list {
			c := &list[i]
			switch {
			case c.Type != k.kind || c.Type == "X509" && c.Flag != k.flag,
				kind != "" && kind != "ANY" && kind != c.Type,
				kind == "X509" && flag != "" && flag != "ANY" && flag != c.Flag,
				subject != "" && !names(c, subject):
				continue
			}
			m, err := r.exactly(certificate(c), c)
			if err != nil {
				return nil, err
			}
			if err := r.raise("list-cert", m...); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

// generalized is the time of a raw public key.
const generalized = "20060102150405Z"

func certificate(c *engine.Certificate) []packet.Element {
	var m entries
	m.text("type", c.Type)
	m.text("flag", c.Flag)
	if c.HasKey {
		m.text("has_privkey", "yes")
	}
	m.text("data", string(c.Data))
	if c.Type == "PUBKEY" {
		m.text("subject", c.Subject)
		if !c.NotBefore.IsZero() {
			m.text("not-before", c.NotBefore.UTC().Format(generalized))
		}
		if !c.NotAfter.IsZero() {
			m.text("not-after", c.NotAfter.UTC().Format(generalized))
		}
	}
	return m
}

// names says whether a certificate bears a name: its subject, or one of its
// alternative names.
func names(c *engine.Certificate, name string) bool {
	if strings.EqualFold(c.Subject, name) {
		return true
	}
	x, err := x509.ParseCertificate(c.Data)
	if err != nil {
		return false
	}
	all := append(append([]string{x.Subject.String()}, x.DNSNames...), x.EmailAddresses...)
	for _, ip := range x.IPAddresses {
		all = append(all, ip.String())
	}
	for _, n := range all {
		if strings.EqualFold(loose(n), loose(strings.TrimPrefix(name, "@"))) {
			return true
		}
	}
	return false
}

// loose leaves out what a distinguished name may be written with or without.
func loose(s string) string { return strings.ReplaceAll(s, ", ", ",") }
