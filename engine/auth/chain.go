package auth

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
)

const (
	rfcPath  = "RFC 5280 6.1"
	rfcDates = "RFC 5280 4.1.2.5"
	rfcUsage = "RFC 4945 5.1.3.2"
	rfcEKU   = "RFC 4945 5.1.3.12"
)

// dates says why a certificate is not valid at a time, "" where it is.
func dates(c *x509.Certificate, now time.Time) string {
	switch {
	case now.Before(c.NotBefore):
		return "not valid yet: its time begins in " + span(c.NotBefore.Sub(now)) + "; or the clock of this side is slow"
	case now.After(c.NotAfter):
		return "expired " + span(now.Sub(c.NotAfter)) + " ago"
	}
	return ""
}

// span writes a duration by its greatest units: "3 days", "5h2m0s".
func span(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day {
		return fmt.Sprintf("%d days", d/day)
	}
	return d.Round(time.Second).String()
}

func period(c *x509.Certificate) string {
	return c.NotBefore.UTC().Format(time.RFC3339) + " to " + c.NotAfter.UTC().Format(time.RFC3339)
}

func (c *Certificates) checkDates(v *verdict, leaf *x509.Certificate, now time.Time) {
	why := dates(leaf, now)
	v.check(event.Check{Kind: event.CheckCertificate, RFC: rfcDates, What: "dates of " + subject(leaf), OK: why == "", Why: why,
		Local: "it is " + now.UTC().Format(time.RFC3339), Remote: "valid " + period(leaf)})
}

var usageNames = []string{"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement", "keyCertSign", "cRLSign", "encipherOnly", "decipherOnly"}

// The extended key usages of IKE that crypto/x509 has no name for: that of
// RFC 4945, and the one of the drafts before it, which Apple's systems want.
var (
	oidIKE             = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 17}
	oidIKEIntermediate = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 8, 2, 2}
)

var extendedNames = map[x509.ExtKeyUsage]string{
	x509.ExtKeyUsageAny: "anyExtendedKeyUsage", x509.ExtKeyUsageServerAuth: "serverAuth", x509.ExtKeyUsageClientAuth: "clientAuth",
	x509.ExtKeyUsageCodeSigning: "codeSigning", x509.ExtKeyUsageEmailProtection: "emailProtection", x509.ExtKeyUsageTimeStamping: "timeStamping",
	x509.ExtKeyUsageOCSPSigning: "OCSPSigning", x509.ExtKeyUsageIPSECEndSystem: "ipsecEndSystem", x509.ExtKeyUsageIPSECTunnel: "ipsecTunnel",
	x509.ExtKeyUsageIPSECUser: "ipsecUser",
}

// checkUsage checks what the certificate's key is for (RFC 4945 5.1.3.2 and
// 5.1.3.12).
func (c *Certificates) checkUsage(v *verdict, leaf *x509.Certificate) {
	check := event.Check{Kind: event.CheckCertificate, RFC: rfcUsage, What: "key usage of " + subject(leaf), Local: "digitalSignature or nonRepudiation", Remote: "any"}
	check.OK = leaf.KeyUsage == 0 || leaf.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) != 0
	if leaf.KeyUsage != 0 {
		var has []string
		for i, n := range usageNames {
			if leaf.KeyUsage&(1<<i) != 0 {
				has = append(has, n)
			}
		}
		check.Remote = list(len(has), func(i int) string { return has[i] })
	}
	if !check.OK {
		check.Why = "the key is not for signatures"
	}
	v.check(check)

	check = event.Check{Kind: event.CheckCertificate, RFC: rfcEKU, What: "extended key usage of " + subject(leaf), Local: "IKE, serverAuth, clientAuth, any, or none named", Remote: "none named"}
	allowed := []x509.ExtKeyUsage{x509.ExtKeyUsageAny, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth,
		x509.ExtKeyUsageIPSECEndSystem, x509.ExtKeyUsageIPSECTunnel, x509.ExtKeyUsageIPSECUser}
	if c.Rules.IKEUsage {
		check.Local, allowed = "IKE or any", allowed[:1]
	}
	var has []string
	for _, u := range leaf.ExtKeyUsage {
		name := extendedNames[u]
		if name == "" {
			name = fmt.Sprintf("usage %d", u)
		}
		has = append(has, name)
		check.OK = check.OK || slices.Contains(allowed, u)
	}
	for _, o := range leaf.UnknownExtKeyUsage {
		switch {
		case o.Equal(oidIKE):
			has, check.OK = append(has, "ipsecIKE"), true
		case o.Equal(oidIKEIntermediate):
			has, check.OK = append(has, "iKEIntermediate"), true
		default:
			has = append(has, o.String())
		}
	}
	if len(has) > 0 {
		check.Remote = list(len(has), func(i int) string { return has[i] })
	} else {
		check.OK = !c.Rules.IKEUsage
	}
	if !check.OK {
		check.Why = "the certificate is not for IKE"
	}
	v.check(check)
}

// checkChain finds a chain from the peer's certificate to a trusted one, the
// peer's first; nil where there is none.
func (c *Certificates) checkChain(v *verdict, leaf *x509.Certificate, sent []*x509.Certificate, now time.Time) []*x509.Certificate {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, a := range c.Trusted {
		roots.AddCert(a)
	}
	for _, a := range slices.Concat(c.Intermediates, sent) {
		between.AddCert(a)
	}
	check := event.Check{Kind: event.CheckCertificate, RFC: rfcPath, What: "chain of " + subject(leaf), Local: "nobody is trusted", Remote: subject(leaf) + ", issued by " + dnText(leaf.RawIssuer)}
	if len(c.Trusted) > 0 {
		check.Local = "trusted are " + list(len(c.Trusted), func(i int) string { return subject(c.Trusted[i]) })
	}
	chains, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		check.Why = c.whyNoChain(err, leaf, sent, now)
		v.check(check)
		return nil
	}
	for _, chain := range chains {
		if check.Why = c.weak(chain); check.Why != "" {
			continue
		}
		check.OK = true
		check.Remote = list(len(chain), func(i int) string { return subject(chain[i]) })
		v.check(check)
		return chain
	}
	v.check(check)
	return nil
}

// weak says which authority of a chain has a key that is not good enough.
func (c *Certificates) weak(chain []*x509.Certificate) string {
	for _, a := range chain[1:] {
		if err := checkKey(a.PublicKey, c.Rules.minRSA()); err != nil {
			return "key of " + subject(a) + ": " + err.Error()
		}
	}
	return ""
}

// whyNoChain says in words what stands in the way of a chain.
func (c *Certificates) whyNoChain(err error, leaf *x509.Certificate, sent []*x509.Certificate, now time.Time) string {
	var invalid x509.CertificateInvalidError
	var critical x509.UnhandledCriticalExtension
	switch {
	case errors.As(err, &invalid) && invalid.Cert != nil:
		name := subject(invalid.Cert)
		switch invalid.Reason {
		case x509.Expired:
			return fmt.Sprintf("%s, valid %s: %s", name, period(invalid.Cert), dates(invalid.Cert, now))
		case x509.NotAuthorizedToSign:
			return name + " is no authority by its basic constraints"
		case x509.TooManyIntermediates:
			return "the path length that " + name + " allows is exceeded"
		case x509.CANotAuthorizedForThisName:
			return "an authority above " + name + " may not vouch for it by its name constraints: " + invalid.Detail
		}
		return name + ": " + err.Error()
	case errors.As(err, &critical):
		return "a certificate has a critical extension that is not understood"
	}
	return c.gap(leaf, sent, now)
}

// maxTries bounds the signatures that are checked for a diagnosis alone.
const maxTries = 32

// gap follows the issuers as far as they are known and says where it ends.
func (c *Certificates) gap(leaf *x509.Certificate, sent []*x509.Certificate, now time.Time) string {
	known := slices.Concat(c.Trusted, c.Intermediates, sent)
	at, tries := leaf, 0
	for range maxCerts {
		if selfIssued(at) {
			if at == leaf {
				return "the certificate is self-signed and not trusted"
			}
			return "untrusted issuer: " + subject(at) + " is at the top and not trusted"
		}
		var next *x509.Certificate
		trouble := ""
		for _, a := range known {
			if !bytes.Equal(a.RawSubject, at.RawIssuer) || tries == maxTries {
				continue
			}
			tries++
			err := at.CheckSignatureFrom(a)
			if err == nil {
				next = a
				break
			}
			trouble = fmt.Sprintf("%s did not sign %s: %v", subject(a), subject(at), err)
			var unsigned x509.ConstraintViolationError
			if errors.As(err, &unsigned) {
				trouble = subject(a) + " is no authority: its key is not for signing certificates"
			}
		}
		switch {
		case next == nil && trouble != "":
			return trouble
		case next == nil:
			return fmt.Sprintf("untrusted issuer: %s of %s was neither sent nor is it known here", dnText(at.RawIssuer), subject(at))
		}
		if why := dates(next, now); why != "" {
			return subject(next) + ", valid " + period(next) + ": " + why
		}
		at = next
	}
	return fmt.Sprintf("no trusted authority within %d steps", maxCerts)
}
