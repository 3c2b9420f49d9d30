package rule

import (
	"bytes"
	"crypto/sha1" // CERTREQ names authorities by it
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// trustRules read which authorities a responder asks for certificates of: those
// that it trusts (RFC 7296 3.7).
var trustRules = []diag.Rule{
	{
		ID: "cert-untrusted-issuer",
		Needs: []string{"CERTREQ of the IKE_SA_INIT response", "CERT payloads of the request after it, opened",
			"the certificates of the initiator, where the authorities above its own are not sent"},
		After: []string{"cert-expired", "cert-not-yet-valid", "cert-san-mismatch", "sig-hash-mismatch"},
		Find:  notAskedFor,
	},
}

// maxAuthorities bounds how many authorities of a CERTREQ are looked at, and how
// long a chain is followed.
const maxAuthorities = 256

// askedFor gives the hashes of the authorities that an IKE_SA_INIT response asks
// for certificates of; not ok where it asks for none.
func askedFor(sa *trace.IKESA) (list [][]byte, ok bool) {
	if sa.Init == nil || sa.Init.Response == nil {
		return nil, false
	}
	for i := range sa.Init.Response.Payloads {
		c, is := sa.Init.Response.Payloads[i].Body.(*wire.CertReq)
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

func asks(list [][]byte, c *x509.Certificate) bool {
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
// authority vouches for which the responder named.
func notAskedFor(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		x := refusedAuth(sa)
		if x == nil || !signature(x.Request) || x.Response.Notify(wire.NotifyAuthenticationFailed) == nil || otherwiseTaken(f) {
			continue
		}
		asked, ok := askedFor(sa)
		sent := slices.DeleteFunc(certificates(sa), func(c certificate) bool { return c.message != x.Request })
		if !ok || len(asked) == 0 || len(sent) == 0 {
			continue
		}
		known := knownAuthorities(f, sent)
		chain := upwards(sent[0].Certificate, known)
		if slices.ContainsFunc(chain, func(c *x509.Certificate) bool { return asks(asked, c) }) {
			continue
		}
		if d, ok := untrusted(sa, x, asked, known, chain); ok {
			found = append(found, d)
		}
	}
	return found
}

// otherwiseTaken says that another way to authenticate is known to have been
// taken: then that one says what was wrong.
func otherwiseTaken(f *diag.Facts) bool {
	return f.Probe != nil && slices.ContainsFunc(f.Probe.Tries, func(t diag.Try) bool { return t.Accepted })
}

func untrusted(sa *trace.IKESA, x *trace.Exchange, asked [][]byte, known, chain []*x509.Certificate) (diag.Finding, bool) {
	d := about(sa)
	d.Confidence, d.Surer = diag.Likely, "the responder's log; an authority may be trusted there and not be named"
	m := x.Request
	top := chain[len(chain)-1]
	var names []string
	for _, h := range asked {
		name := "key " + hex.EncodeToString(h)
		if i := slices.IndexFunc(known, func(c *x509.Certificate) bool { return asks([][]byte{h}, c) }); i >= 0 {
			name = short(known[i].Subject.String())
		}
		names = append(names, name)
	}
	d.Evidence = []diag.Evidence{
		at(sa.Init.Response, "CERTREQ: %s takes certificates of %d %s: %s", m.Dst.Addr(), len(asked), authoritiesWord(len(asked)), short(join(names))),
		at(m, "CERT: %s, issued by %s", short(chain[0].Subject.String()), short(chain[0].Issuer.String())),
		at(x.Response, "N(AUTHENTICATION_FAILED)"),
	}
	if bytes.Equal(top.RawSubject, top.RawIssuer) {
		d.Summary = fmt.Sprintf("%s does not ask for certificates of %s, the authority of the certificate that %s sends: it does not trust it",
			m.Dst.Addr(), short(top.Subject.String()), m.Src.Addr())
		d.Remedies = instead("cert-untrusted-issuer",
			swan("responder", "put the certificate of %s into /etc/swanctl/x509ca/, then swanctl --load-creds", short(top.Subject.String())),
			diag.Remedy{Side: "initiator", Platform: "any", Change: "Or use a certificate of an authority that the responder trusts: " + short(join(names))})
		return d, true
	}
	// The way up ends at an authority that is not known. Where one that the
	// responder trusts is known, what is missing is the way between the two.
	i := slices.IndexFunc(known, func(c *x509.Certificate) bool { return asks(asked, c) })
	if i < 0 {
		return d, false
	}
	issuer, root := short(top.Issuer.String()), short(known[i].Subject.String())
	d.Summary = fmt.Sprintf("%s trusts %s; the certificate of %s is issued by %s, and nothing that is sent leads from there to it",
		m.Dst.Addr(), root, m.Src.Addr(), issuer)
	d.Remedies = instead("cert-untrusted-issuer",
		swan("initiator", "is it an intermediate: put the certificate of %s into /etc/swanctl/x509ca/, it is sent along then", issuer),
		diag.Remedy{Side: "initiator", Platform: "any", Change: "In a policy file: node.intermediates: [<the file of that certificate>]"},
		swan("responder", "else put the certificate of %s into /etc/swanctl/x509ca/, then swanctl --load-creds", issuer))
	return d, true
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
	asked, ok := askedFor(sa)
	switch sealed := authMethod(x.Request) == "shared key"; {
	case sealed && ok && len(asked) > 0:
		return []diag.Evidence{at(sa.Init.Response, "CERTREQ: the responder takes certificates, of %d %s; it may want one here", len(asked), authoritiesWord(len(asked)))}
	case signature(x.Request) && !ok:
		return []diag.Evidence{at(sa.Init.Response, "no CERTREQ: the responder asks for no certificate; it may want a preshared key")}
	}
	return nil
}
