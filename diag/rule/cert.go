package rule

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// maxCertificate bounds what is handed to the certificate parser.
const maxCertificate = 64 << 10

var certRules = []diag.Rule{
	{
		ID:    "cert-expired",
		Needs: []string{"with keys: CERT payloads", "the time of the packet"},
		Find:  certDates("cert-expired"),
	},
	{
		ID:    "cert-not-yet-valid",
		Needs: []string{"with keys: CERT payloads", "the time of the packet"},
		Find:  certDates("cert-not-yet-valid"),
	},
	{
		ID:    "cert-not-sent",
		Needs: []string{"with keys: AUTH and CERT payloads", "the outcome of IKE_AUTH"},
		Find:  certNotSent,
	},
	{
		ID:    "cert-san-mismatch",
		Needs: []string{"with keys: ID and CERT payloads", "the outcome of IKE_AUTH"},
		After: []string{"cert-expired", "cert-not-yet-valid"},
		Find:  certNames,
	},
	{
		ID:    "sig-hash-mismatch",
		Needs: []string{"SIGNATURE_HASH_ALGORITHMS of both IKE_SA_INIT messages", "the outcome of IKE_AUTH"},
		Find:  hashMismatch,
	},
}

// certificate is one that a message carries.
type certificate struct {
	*x509.Certificate
	message *trace.Message
	by      trace.Origin
}

// certificates gives the X.509 certificates that an SA's ends presented, the
// end's own first, as far as keys show them and they can be parsed.
func certificates(sa *trace.IKESA) []certificate {
	var list []certificate
	for _, x := range sa.Auth {
		for i, m := range []*trace.Message{x.Request, x.Response} {
			if !opened(m) {
				continue
			}
			for j := range m.Payloads {
				c, ok := m.Payloads[j].Body.(*wire.Cert)
				if !ok || c.Encoding != wire.CertX509Signature || len(c.Data) > maxCertificate {
					continue
				}
				if parsed, err := x509.ParseCertificate(c.Data); err == nil {
					list = append(list, certificate{parsed, m, []trace.Origin{trace.Initiator, trace.Responder}[i]})
				}
			}
		}
	}
	return list
}

// presented says that an end presented a certificate: then its dates are judged
// there.
func presented(f *diag.Facts, der []byte) bool {
	return slices.ContainsFunc(v2(f), func(sa *trace.IKESA) bool {
		return slices.ContainsFunc(certificates(sa), func(c certificate) bool { return bytes.Equal(c.Raw, der) })
	})
}

func certDates(id string) func(*diag.Facts) []diag.Finding {
	return func(f *diag.Facts) []diag.Finding {
		var found []diag.Finding
		for _, sa := range v2(f) {
			for _, c := range certificates(sa) {
				d := about(sa)
				d.Confidence = diag.Certain
				when := c.message.Time
				subject := short(c.Subject.String())
				switch {
				case id == "cert-expired" && when.After(c.NotAfter):
					d.Summary = fmt.Sprintf("the certificate %s of %s expired on %s", subject, end(sa, c.by), day(c.NotAfter))
				case id == "cert-not-yet-valid" && when.Before(c.NotBefore):
					d.Summary = fmt.Sprintf("the certificate %s of %s is valid from %s only; the clock here said %s", subject, end(sa, c.by), day(c.NotBefore), day(when))
				default:
					continue
				}
				d.Evidence = []diag.Evidence{at(c.message, "CERT %s, valid from %s to %s", subject, day(c.NotBefore), day(c.NotAfter))}
				if up(sa) {
					// The other side does not mind: it will one day.
					d.Severity = diag.Low
					d.Summary += "; the peer accepts it all the same"
				}
				d.Variant = subject
				found = append(found, span(d))
			}
		}
		return found
	}
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

// signature says that an opened message authenticates by a signature.
func signature(m *trace.Message) bool {
	if !opened(m) {
		return false
	}
	a, ok := body[*wire.Auth](m)
	return ok && a.Method != wire.AuthSharedKey && a.Method != wire.AuthNull && a.Method != wire.AuthGSPM
}

// refused gives who refused whom in IKE_AUTH: the message of the side that
// was refused and the one that refuses.
func refused(sa *trace.IKESA) (claim, verdict *trace.Message, who trace.Origin) {
	if x := refusedAuth(sa); x != nil && x.Request != nil {
		return x.Request, x.Response, trace.Initiator
	}
	if x := rejectedPeer(sa); x != nil {
		return sa.Auth[len(sa.Auth)-1].Response, x.Request, trace.Responder
	}
	return nil, nil, trace.Nobody
}

func certNotSent(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		claim, verdict, who := refused(sa)
		if !signature(claim) || wire.First(claim.Payloads, wire.PayloadCert) != nil {
			continue
		}
		d := about(sa)
		d.Confidence = diag.Likely
		d.Evidence = []diag.Evidence{
			at(claim, "AUTH by %s and no CERT in the message", authMethod(claim)),
			at(verdict, "refused"),
		}
		d.Summary = fmt.Sprintf("%s signs (%s) and sends no certificate, and the other side refuses", end(sa, who), authMethod(claim))
		d.Surer = "whether the other side has that certificate already"
		found = append(found, span(d))
	}
	return found
}

func certNames(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		claim, verdict, who := refused(sa)
		if !signature(claim) {
			continue
		}
		typ := wire.PayloadIDi
		if who == trace.Responder {
			typ = wire.PayloadIDr
		}
		p := wire.First(claim.Payloads, typ)
		if p == nil {
			continue
		}
		id, ok := p.Body.(*wire.ID)
		if !ok {
			continue
		}
		for _, c := range certificates(sa) {
			if c.message != claim {
				continue
			}
			// The first certificate is the end's own (RFC 7296 3.6).
			if confirms(c.Certificate, id) {
				break
			}
			d := about(sa)
			d.Confidence = diag.Likely
			d.Evidence = []diag.Evidence{
				at(claim, "%s (%s), certificate %s with the names %s", short(id.String()), id.Type, short(c.Subject.String()), names(c.Certificate)),
				at(verdict, "refused"),
			}
			d.Summary = fmt.Sprintf("%s says it is %s, and its certificate does not hold that name (it holds %s)", end(sa, who), short(id.String()), names(c.Certificate))
			d.Surer = "the log of the side that refuses"
			found = append(found, span(d))
			break
		}
	}
	return found
}

// confirms says whether a certificate holds an identity: its subject as a
// whole, or a subjectAltName of the same type.
func confirms(c *x509.Certificate, id *wire.ID) bool {
	switch id.Type {
	case wire.IDDERASN1DN:
		if slices.Equal(c.RawSubject, id.Data) {
			return true
		}
		// The same names in strings of other types are for most the same.
		var names pkix.RDNSequence
		rest, err := asn1.Unmarshal(id.Data, &names)
		return err == nil && len(rest) == 0 && names.String() == c.Subject.ToRDNSequence().String()
	case wire.IDFQDN:
		return slices.Contains(c.DNSNames, string(id.Data))
	case wire.IDRFC822Addr:
		return slices.Contains(c.EmailAddresses, string(id.Data))
	case wire.IDIPv4Addr, wire.IDIPv6Addr:
		for _, a := range c.IPAddresses {
			if a.Equal(id.Data) {
				return true
			}
		}
		return false
	}
	return true // a key id is nothing that a certificate could hold
}

func names(c *x509.Certificate) string {
	list := slices.Concat(c.DNSNames, c.EmailAddresses)
	for _, a := range c.IPAddresses {
		list = append(list, a.String())
	}
	if len(list) == 0 {
		return "no subjectAltName"
	}
	return short(join(list))
}

// hashes gives the set of SIGNATURE_HASH_ALGORITHMS; not ok where the notify
// is missing.
func hashes(m *trace.Message) (set []string, ok bool) {
	n := m.Notify(wire.NotifySignatureHashAlgorithms)
	if n == nil {
		return nil, false
	}
	for b := n.Data; len(b) >= 2 && len(set) < 32; b = b[2:] {
		set = append(set, wire.HashAlgorithm(binary.BigEndian.Uint16(b)).String())
	}
	return set, true
}

func hashMismatch(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, sa := range v2(f) {
		if sa.Init == nil || sa.Init.Request == nil || sa.Init.Response == nil {
			continue
		}
		claim, verdict, _ := refused(sa)
		if claim == nil || opened(claim) && !signature(claim) {
			continue
		}
		i, okI := hashes(sa.Init.Request)
		r, okR := hashes(sa.Init.Response)
		if !okI || !okR || slices.ContainsFunc(i, func(h string) bool { return slices.Contains(r, h) }) {
			continue
		}
		d := about(sa)
		d.Confidence, d.Surer = diag.Likely, "keys of the SA (--keys): are certificates used at all?"
		if opened(claim) {
			d.Confidence, d.Surer = diag.Certain, ""
		}
		d.Evidence = []diag.Evidence{
			at(sa.Init.Request, "the initiator accepts %s", join(i)), at(sa.Init.Response, "the responder accepts %s", join(r)),
			at(verdict, "authentication refused"),
		}
		d.Summary = fmt.Sprintf("no signature hash in common: %s accepts %s, %s accepts %s", end(sa, trace.Initiator), join(i), end(sa, trace.Responder), join(r))
		found = append(found, span(d))
	}
	return found
}
