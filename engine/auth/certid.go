package auth

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

const rfcCertID = "RFC 4945 3.1"

// subject names whom a certificate is for.
func subject(c *x509.Certificate) string { return dnText(c.RawSubject) }

func dnText(der []byte) string {
	s, _ := wire.DNText(der)
	if s == "" {
		return "an empty name"
	}
	return s
}

// certNames lists the identities that a certificate confirms.
func certNames(c *x509.Certificate) string {
	names := make([]string, 0, 8)
	for _, d := range c.DNSNames {
		names = append(names, "DNS "+wire.Escape([]byte(d)))
	}
	for _, ip := range c.IPAddresses {
		names = append(names, "IP "+ip.String())
	}
	for _, m := range c.EmailAddresses {
		names = append(names, "mail "+wire.Escape([]byte(m)))
	}
	if len(names) == 0 {
		names = append(names, "no alternative names")
	}
	text := list(len(names), func(i int) string { return names[i] })
	return text + "; subject " + subject(c)
}

// confirms says whether a certificate confirms an identity (RFC 4945 3.1). why
// tells a near miss, or with what latitude it does.
func (r *Rules) confirms(c *x509.Certificate, id *wire.ID) (ok bool, why string) {
	text := string(id.Data)
	has := func(names []string) bool {
		return text != "" && slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, text) })
	}
	switch id.Type {
	case wire.IDFQDN:
		switch {
		case has(c.DNSNames):
			return true, ""
		case has(c.EmailAddresses):
			return false, "it stands as a mail address, the identity is a domain name"
		case slices.ContainsFunc(c.DNSNames, func(n string) bool { return wildcard(n, text) }):
			return false, "a wildcard of a certificate confirms no identity of IKE"
		case strings.EqualFold(c.Subject.CommonName, text):
			return false, "it stands in the common name only, and not among the alternative names"
		}
	case wire.IDRFC822Addr:
		if has(c.EmailAddresses) {
			return true, ""
		}
		if has(c.DNSNames) {
			return false, "it stands as a domain name, the identity is a mail address"
		}
	case wire.IDIPv4Addr, wire.IDIPv6Addr:
		return r.confirmsAddress(c, id)
	case wire.IDDERASN1DN:
		switch {
		case bytes.Equal(c.RawSubject, id.Data):
			return true, ""
		case sameDN(c.RawSubject, id.Data):
			return true, "the same name with other string types, case or space"
		case reorderedDN(c.RawSubject, id.Data):
			return false, "the same parts in another order"
		}
	default:
		return false, fmt.Sprintf("no certificate confirms an identity of type %s", id.Type)
	}
	return false, ""
}

func (r *Rules) confirmsAddress(c *x509.Certificate, id *wire.ID) (ok bool, why string) {
	a, valid := netip.AddrFromSlice(id.Data)
	if !valid || a.Is4() != (id.Type == wire.IDIPv4Addr) {
		return false, "malformed address"
	}
	for _, ip := range c.IPAddresses {
		if have, ok := netip.AddrFromSlice(ip); ok && have.Unmap() == a.Unmap() {
			return true, ""
		}
	}
	for _, n := range c.DNSNames {
		if have, err := netip.ParseAddr(n); err == nil && have == a {
			return r.AddressAsName, "the address stands as a domain name, and not as an address"
		}
	}
	return false, ""
}

// wildcard says whether a name with "*" as its first label would cover text.
func wildcard(name, text string) bool {
	rest, ok := strings.CutPrefix(name, "*.")
	_, domain, cut := strings.Cut(text, ".")
	return ok && cut && strings.EqualFold(rest, domain)
}

// reorderedDN says whether two names have the same parts in any order.
func reorderedDN(a, b []byte) bool {
	x, okX := parseDN(a)
	y, okY := parseDN(b)
	if !okX || !okY || len(x) != len(y) {
		return false
	}
	for i := range x {
		at := slices.IndexFunc(y, func(o rawRDN) bool {
			return o.Type.Equal(x[i].Type) && bytes.EqualFold(bytes.TrimSpace(o.Value.Bytes), bytes.TrimSpace(x[i].Value.Bytes))
		})
		if at < 0 {
			return false
		}
		y = slices.Delete(y, at, at+1)
	}
	return true
}

// checkIdentity records whether the certificate is the prover's.
func (r *Rules) checkIdentity(v *verdict, c *x509.Certificate, id *wire.ID) {
	ok, why := r.confirms(c, id)
	if !ok && why == "" {
		why = "the certificate does not confirm the identity"
	}
	v.check(event.Check{Kind: event.CheckIdentity, RFC: rfcCertID, What: "identity of the peer against its certificate", OK: ok, Why: why,
		Local: "claimed " + idText(id), Remote: certNames(c)})
}
