package rule

import (
	"bytes"
	"crypto/sha1" // CERTREQ names authorities by it
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// trustRules read which authorities a side asks for certificates of: those that it
// trusts (RFC 7296 3.7).
var trustRules = []diag.Rule{
	{
		ID: "cert-untrusted-issuer",
		Needs: []string{"CERTREQ of the side that refuses", "CERT payloads of the other one, opened",
			"its certificates, where the authorities above its own are not sent"},
		After: []string{"cert-expired", "cert-not-yet-valid", "cert-san-mismatch", "sig-hash-mismatch"},
		Find:  notAskedFor,
	},
}

// maxAuthorities bounds how many authorities of a CERTREQ are looked at, and how
// long a chain is followed.
const maxAuthorities = 256

// askedFor gives the hashes of the authorities that a message asks for
// certificates of; not ok where it asks for none.
func askedFor(m *trace.Message) (list [][]byte, ok bool) {
	if m == nil {
		return nil, false
	}
	for i := range m.Payloads {
		c, is := m.Payloads[i].Body.(*wire.CertReq)
		if !is || c.Encoding != wire.CertX509Signature {
			continue
		}
		ok = true
		for b := c.Authority; len(b) >= sha1.Size && len(list) < maxAuthorities; b = b[sha1.Size:] {
			list = append(list, b[:sha1.Size])
		}
	}
	return list, ok
}

// asking gives the message in which the other side says whom it trusts: a
// responder in its answer to IKE_SA_INIT, an initiator with IKE_AUTH.
func asking(sa *trace.IKESA, who trace.Origin) *trace.Message {
	switch {
	case who == trace.Initiator && sa.Init != nil:
		return sa.Init.Response
	case who == trace.Responder && len(sa.Auth) > 0:
		return sa.Auth[0].Request
	}
	return nil
}

// isAmong says that an authority is among those that were asked for.
func isAmong(list [][]byte, c *x509.Certificate) bool {
	h := sha1.Sum(c.RawSubjectPublicKeyInfo)
	return slices.ContainsFunc(list, func(b []byte) bool { return bytes.Equal(b, h[:]) })
}

// knownAuthorities are the authorities that a source has, and those that a side
// sent.
func knownAuthorities(f *diag.Facts, sent []certificate) []*x509.Certificate {
	var list []*x509.Certificate
	for i := range f.Certificates {
		if c := &f.Certificates[i]; c.Type == "X509" && len(c.Data) <= maxCertificate && len(list) < maxAuthorities {
			if x, err := x509.ParseCertificate(c.Data); err == nil && x.IsCA {
				list = append(list, x)
			}
		}
	}
	for _, c := range sent {
		if c.IsCA {
			list = append(list, c.Certificate)
		}
	}
	return list
}

// upwards follows a certificate to the authorities above it, itself first.
func upwards(leaf *x509.Certificate, known []*x509.Certificate) []*x509.Certificate {
	chain := []*x509.Certificate{leaf}
	for at := leaf; !bytes.Equal(at.RawSubject, at.RawIssuer) && len(chain) < 16; at = chain[len(chain)-1] {
		i := slices.IndexFunc(known, func(a *x509.Certificate) bool {
			return bytes.Equal(a.RawSubject, at.RawIssuer) && at.CheckSignatureFrom(a) == nil
		})
		if i < 0 || slices.Contains(chain, known[i]) {
			break
		}
		chain = append(chain, known[i])
	}
	return chain
}

// notAskedFor finds a certificate that is refused without a reason, and that no
// authority vouches for which the other side named. A responder's is looked at
// only where it is the source's own: else it is the source that refuses, and
// knows better why.
func notAskedFor(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		claim, verdict, who := refused(sa)
		if !signature(claim) || verdict.Notify(wire.NotifyAuthenticationFailed) == nil || otherwiseTaken(f) {
			continue
		}
		asks := asking(sa, who)
		asked, ok := askedFor(asks)
		sent := slices.DeleteFunc(certificates(sa), func(c certificate) bool { return c.message != claim })
		if !ok || len(asked) == 0 || len(sent) == 0 || who == trace.Responder && !has(f, sent[0].Raw) {
			continue
		}
		known := knownAuthorities(f, sent)
		chain := upwards(sent[0].Certificate, known)
		if slices.ContainsFunc(chain, func(c *x509.Certificate) bool { return isAmong(asked, c) }) {
			continue
		}
		d := about(sa)
		var names []string
		for _, h := range asked {
			name := "key " + hex.EncodeToString(h)
			if i := slices.IndexFunc(known, func(c *x509.Certificate) bool { return isAmong([][]byte{h}, c) }); i >= 0 {
				name = short(known[i].Subject.String())
			}
			names = append(names, name)
		}
		d.Evidence = []diag.Evidence{
			at(asks, "CERTREQ: %s takes certificates of %d %s: %s", asks.Src.Addr(), len(asked), authoritiesWord(len(asked)), short(join(names))),
			at(claim, "CERT: %s, issued by %s", short(chain[0].Subject.String()), short(chain[0].Issuer.String())),
			at(verdict, "N(AUTHENTICATION_FAILED)"),
		}
		if untrusted(&d, claim, who, asked, known, chain, names) {
			found = append(found, d)
		}
	}
	return found
}

// has says that a source has the private key of a certificate.
func has(f *diag.Facts, der []byte) bool {
	return slices.ContainsFunc(f.Certificates, func(c engine.Certificate) bool { return c.HasKey && bytes.Equal(c.Data, der) })
}

// otherwiseTaken says that another way to authenticate is known to have been
// taken: then that one says what was wrong.
func otherwiseTaken(f *diag.Facts) bool {
	return f.Probe != nil && slices.ContainsFunc(f.Probe.Tries, func(t diag.Try) bool { return t.Accepted })
}

// untrusted says what is missing between a chain and the authorities that were
// asked for; false where that is not known.
func untrusted(d *diag.Finding, m *trace.Message, who trace.Origin, asked [][]byte, known, chain []*x509.Certificate, names []string) bool {
	d.Confidence, d.Surer = diag.Likely, "the log of the side that refuses; an authority may be trusted there and not be named"
	mine, theirs := "initiator", "responder"
	if who == trace.Responder {
		mine, theirs = theirs, mine
	}
	top := chain[len(chain)-1]
	if bytes.Equal(top.RawSubject, top.RawIssuer) {
		d.Summary = fmt.Sprintf("%s does not ask for certificates of %s, the authority of the certificate that %s sends: it does not trust it",
			m.Dst.Addr(), short(top.Subject.String()), m.Src.Addr())
		d.Remedies = instead("cert-untrusted-issuer",
			swan(theirs, "put the certificate of %s into /etc/swanctl/x509ca/, then swanctl --load-creds", short(top.Subject.String())),
			diag.Remedy{Side: mine, Platform: "any", Change: "Or use a certificate of an authority that the other side trusts: " + short(join(names))})
		return true
	}
	// The way up ends at an authority that is not known. Where one that the
	// other side trusts is known, what is missing is the way between the two.
	i := slices.IndexFunc(known, func(c *x509.Certificate) bool { return isAmong(asked, c) })
	if i < 0 {
		return false
	}
	issuer, root := short(top.Issuer.String()), short(known[i].Subject.String())
	d.Summary = fmt.Sprintf("%s trusts %s; the certificate of %s is issued by %s, and nothing that is sent leads from there to it",
		m.Dst.Addr(), root, m.Src.Addr(), issuer)
	d.Remedies = instead("cert-untrusted-issuer",
		swan(mine, "is it an intermediate: put the certificate of %s into /etc/swanctl/x509ca/, it is sent along then", issuer),
		diag.Remedy{Side: mine, Platform: "any", Change: "In a policy file: node.intermediates: [<the file of that certificate>]"},
		swan(theirs, "else put the certificate of %s into /etc/swanctl/x509ca/, then swanctl --load-creds", issuer))
	return true
}

func authoritiesWord(n int) string {
	if n == 1 {
		return "authority"
	}
	return "authorities"
}

// trustEvidence tells what a responder's CERTREQ, or its absence, says of the way
// in which it wants to be shown who calls.
func trustEvidence(sa *trace.IKESA, x *trace.Exchange) []diag.Evidence {
	if !opened(x.Request) || sa.Init == nil || sa.Init.Response == nil || len(sa.Init.Response.Payloads) == 0 {
		return nil
	}
	asked, ok := askedFor(sa.Init.Response)
	switch sealed := authMethod(x.Request) == "shared key"; {
	case sealed && ok && len(asked) > 0:
		return []diag.Evidence{at(sa.Init.Response, "CERTREQ: the responder takes certificates, of %d %s; it may want one here", len(asked), authoritiesWord(len(asked)))}
	case signature(x.Request) && !ok:
		return []diag.Evidence{at(sa.Init.Response, "no CERTREQ: the responder asks for no certificate; it may want a preshared key")}
	}
	return nil
}
