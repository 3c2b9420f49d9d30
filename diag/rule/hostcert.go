package rule

import (
	"fmt"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
)

// hostCertRules read the clock and the certificates that lie on the host.
var hostCertRules = []diag.Rule{
	{ID: "cert-expired", Needs: []string{"the host's certificate files and clock"}, Find: filesOutOfDate(false)},
	{ID: "cert-not-yet-valid", Needs: []string{"the host's certificate files and clock"}, Find: both(filesOutOfDate(true), clockBehind)},
	{ID: "private-key-missing", Needs: []string{"the host's certificate and key files"}, Find: keyless},
	{ID: "cert-untrusted-issuer", Needs: []string{"the host's certificate files"}, Find: withoutIssuer},
}

// files gives the host's readable certificate files.
func files(f *diag.Facts) []diag.HostCertificate {
	if f.Host == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(f.Host.Certificates), func(c diag.HostCertificate) bool { return c.Subject == "" && c.NotAfter.IsZero() })
}

// listed says that the daemon tells of a certificate itself.
func listed(f *diag.Facts, c *diag.HostCertificate) bool {
	return slices.ContainsFunc(f.Certificates, func(o engine.Certificate) bool {
		return o.NotBefore.Equal(c.NotBefore) && o.NotAfter.Equal(c.NotAfter)
	})
}

// ofFile begins a finding on a certificate file.
func ofFile(f *diag.Facts, c *diag.HostCertificate) diag.Finding {
	return diag.Finding{Confidence: diag.Certain, Ownership: diag.Credential, FirstSeen: f.Host.At, LastSeen: f.Host.At, Variant: c.Path,
		Evidence: hostEvidence(f, "%s: %q, valid from %s to %s", short(c.Path), short(c.Subject), c.NotBefore.UTC().Format(time.DateTime), c.NotAfter.UTC().Format(time.DateTime))}
}

// filesOutOfDate makes the rule on certificates that are too old or too new,
// for those that the daemon does not list itself.
func filesOutOfDate(early bool) func(*diag.Facts) []diag.Finding {
	return func(f *diag.Facts) []diag.Finding {
		var found []diag.Finding
		for _, c := range files(f) {
			at := f.Host.At
			if listed(f, &c) || !c.HasKey && !c.CA || early && !at.Before(c.NotBefore) || !early && !at.After(c.NotAfter) {
				continue
			}
			d := ofFile(f, &c)
			what := "our own certificate"
			if c.CA {
				what, d.Severity = "the trusted authority", diag.Medium // it concerns who it has certified
			}
			d.Summary = fmt.Sprintf("%s %s has expired on %s", what, short(c.Path), c.NotAfter.UTC().Format(time.DateTime))
			if early {
				d.Summary = fmt.Sprintf("%s %s is valid from %s only", what, short(c.Path), c.NotBefore.UTC().Format(time.DateTime))
				d.Evidence = append(d.Evidence, clockEvidence(f)...)
			}
			found = append(found, d)
		}
		return found
	}
}

// clockEvidence says what the kernel says of its clock, nil where it was not
// asked.
func clockEvidence(f *diag.Facts) []diag.Evidence {
	switch {
	case f.Host == nil || f.Host.Clock == nil:
		return nil
	case f.Host.Clock.Synchronised:
		return hostEvidence(f, "the clock of this host is held by another one, within %s", seconds(f.Host.Clock.MaxError))
	}
	return hostEvidence(f, "nothing holds the clock of this host right")
}

// clockSlack is what the clocks of two programs of one host may differ by.
const clockSlack = 2 * time.Minute

// clockBehind looks for a clock that has gone back: files of this host, or the
// beginnings of certificates that both sides accept, lie in its future.
func clockBehind(f *diag.Facts) []diag.Finding {
	if f.Host == nil || f.Host.Clock == nil || f.Host.Clock.Past.Sub(f.Host.At) < clockSlack {
		return nil
	}
	c := f.Host.Clock
	d := diag.Finding{Confidence: diag.Certain, Ownership: diag.Host, FirstSeen: f.Host.At, LastSeen: f.Host.At, Variant: "clock"}
	d.Evidence = append(hostEvidence(f, "this host's clock says %s; %s was written on %s", f.Host.At.UTC().Format(time.DateTime), c.PastFile, c.Past.UTC().Format(time.DateTime)), clockEvidence(f)...)
	d.Summary = fmt.Sprintf("the clock of this host is at least %s behind: certificates are judged by a wrong time", c.Past.Sub(f.Host.At).Round(time.Second))
	d.Remedies = []diag.Remedy{{Side: "local", Platform: "linux", Change: "timedatectl set-ntp true   (or: chronyc makestep)"}}
	return []diag.Finding{d}
}

// keyless looks for a certificate of ours without a key, where the daemon says
// that it misses one: elsewhere a certificate without a key is a peer's.
func keyless(f *diag.Facts) []diag.Finding {
	if !slices.ContainsFunc(failureFacts(f.Trace), func(k keyedFact) bool { return k.kind == "no-private-key" }) {
		return nil
	}
	var found []diag.Finding
	for _, c := range files(f) {
		if c.CA || c.HasKey {
			continue
		}
		d := ofFile(f, &c)
		d.Confidence, d.Surer = diag.Likely, "which certificate the connection names (local.certs)"
		d.Summary = fmt.Sprintf("no private key of this host fits the certificate %s", short(c.Path))
		found = append(found, d)
	}
	return found
}

// withoutIssuer looks for a certificate of ours whose issuer is not at hand:
// the chain that the peer may need cannot be sent. A peer that has the
// intermediate does without.
func withoutIssuer(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, c := range files(f) {
		if c.CA || !c.HasKey || c.Issued {
			continue
		}
		d := ofFile(f, &c)
		d.Severity, d.Confidence, d.Surer = diag.Info, diag.Hint, "whether the peer has the issuer's certificate"
		d.Summary = fmt.Sprintf("the issuer of our own certificate %s, %q, is not among the authorities here: it cannot be sent along", short(c.Path), short(c.Issuer))
		found = append(found, d)
	}
	return found
}
