package rule

import (
	"fmt"

	"github.com/cloudvlan/cvlanctl/diag"
)

// ladderRules read which other way to authenticate a peer takes, after it had
// refused the configured one without a reason.
var ladderRules = []diag.Rule{
	accepted("psk-mismatch", "psk", func(p *diag.Probe, t *diag.Try, d *diag.Finding) {
		d.Summary = fmt.Sprintf("%s takes %s: its key and ours differ in that", p.Remote, t.Says)
		d.Remedies = instead("psk-mismatch", nearRemedies(t.Near)...)
	}),
	accepted("responder-no-peer-config", "id", func(p *diag.Probe, t *diag.Try, d *diag.Finding) {
		d.Ownership = diag.LocalConfig
		d.Summary = fmt.Sprintf("%s takes %s: it knows us by that identity, and not by the configured one", p.Remote, t.Says)
		d.Remedies = []diag.Remedy{
			{Side: "local", Platform: "any", Change: "Configure the identity that the peer knows: " + t.Says},
			{Side: "remote", Platform: "strongswan", Change: "connections.<c>.remote.id = <the identity that is configured here>"},
		}
	}),
	accepted("id-type-mismatch", "id-type", func(p *diag.Probe, t *diag.Try, d *diag.Finding) {
		d.Summary = fmt.Sprintf("%s takes %s: the same words, and another type than the configured one", p.Remote, t.Says)
		d.Remedies = []diag.Remedy{
			{Side: "local", Platform: "any", Change: "Configure the identity that the peer knows, in that type: " + t.Says},
			{Side: "remote", Platform: "strongswan", Change: "connections.<c>.remote.id = <our identity, with its type before it: fqdn: email: keyid: asn1dn:>"},
		}
	}),
	accepted("idr-mismatch", "idr", func(p *diag.Probe, t *diag.Try, d *diag.Finding) {
		d.Summary = fmt.Sprintf("%s refuses when it is asked for the configured identity, and calls itself %s", p.Remote, short(t.PeerID))
		if id := quotable(t.PeerID); id != "" {
			d.Remedies = instead("idr-mismatch", swan("local", "connections.<c>.remote.id = %s", id), swan("remote", "connections.<c>.local.id = <the identity that is configured here>"))
		}
	}),
	accepted("auth-method-mismatch", "method", func(p *diag.Probe, t *diag.Try, d *diag.Finding) {
		d.Summary = fmt.Sprintf("%s lets us authenticate %s, and refuses the configured method", p.Remote, t.Says)
		if words := policyMethods[t.Near]; words[0] != "" {
			d.Remedies = instead("auth-method-mismatch",
				swan("local", "connections.<c>.local.auth = %s", t.Near), policyLine("peers.<p>.auth: %s", words[0]),
				swan("remote", "or connections.<c>.remote.auth = %s", words[1]))
		}
	}),
	accepted("auth-method-mismatch", "eap", func(p *diag.Probe, t *diag.Try, d *diag.Finding) {
		d.Summary = fmt.Sprintf("%s wants us to authenticate by EAP: without a proof of ours, %s", p.Remote, t.Answer)
		d.Remedies = instead("auth-method-mismatch",
			swan("local", "connections.<c>.local.auth = eap, local.eap_id = <user>; secrets.eap-<x> { id = <user>; secret = ... }"),
			swan("remote", "or connections.<c>.remote.auth = psk or pubkey, what is configured here"))
	}),
	accepted("sig-hash-mismatch", "signature", func(p *diag.Probe, t *diag.Try, d *diag.Finding) {
		d.Summary = fmt.Sprintf("%s takes %s, and not the one that it is sent as configured", p.Remote, t.Says)
		if t.Near != "" {
			d.Remedies = instead("sig-hash-mismatch",
				swan("local", "connections.<c>.local.auth = ike:%s", t.Near),
				swan("remote", "or connections.<c>.remote.auth = pubkey   (it takes every signature that is not weak)"))
		}
	}),
	accepted("cert-untrusted-issuer", "certificates", func(p *diag.Probe, t *diag.Try, d *diag.Finding) {
		d.Confidence, d.Surer = diag.Likely, "the responder's log"
		d.Summary = fmt.Sprintf("%s takes us %s: it has a certificate of ours of its own, and refuses the one that it is sent", p.Remote, t.Says)
	}),
	accepted("unique-policy-refused", "initial-contact", func(p *diag.Probe, t *diag.Try, d *diag.Finding) {
		d.Confidence, d.Surer = diag.Likely, "the responder's log"
		d.Summary = fmt.Sprintf("%s takes us %s: what stands with the same identity must not be replaced there", p.Remote, t.Says)
	}),
}

// policyMethods are what swanctl's methods are in a policy file, and what the
// other side has to want for the other one to be right.
var policyMethods = map[string][2]string{"psk": {"psk", "pubkey"}, "pubkey": {"cert", "psk"}}

// policyLine is a line of the policy file of this side.
func policyLine(format string, args ...any) diag.Remedy {
	return diag.Remedy{Side: "local", Platform: "any", Change: "In a policy file: " + fmt.Sprintf(format, args...)}
}

// accepted makes the rule that reads a try of a kind which the peer accepted.
func accepted(id, kind string, tell func(*diag.Probe, *diag.Try, *diag.Finding)) diag.Rule {
	return diag.Rule{ID: id, Needs: []string{"an active test that tries other ways to authenticate"}, Find: func(f *diag.Facts) []diag.Finding {
		if f.Probe == nil {
			return nil
		}
		for i := range f.Probe.Tries {
			t := &f.Probe.Tries[i]
			if t.Kind != kind || !t.Accepted {
				continue
			}
			d := probeFinding(f)
			// The try shows what was wrong since the test began.
			d.FirstSeen, d.LastSeen = f.Trace.First, t.Time
			d.Evidence = append(triesEvidence(f.Probe.Tries[:i]), seen("%s: accepted", t.Says))
			tell(f.Probe, t, &d)
			return []diag.Finding{d}
		}
		return nil
	}}
}

// triesEvidence tells how tries ended, the first few of them.
func triesEvidence(tries []diag.Try) []diag.Evidence {
	var list []diag.Evidence
	for i := range tries {
		if i == maxListed && len(tries) > maxListed+1 {
			list = append(list, seen("and %d other ways, each refused", len(tries)-i))
			break
		}
		answer := tries[i].Answer
		if answer == "" {
			answer = "no answer"
		}
		list = append(list, seen("%s: %s", tries[i].Says, answer))
	}
	return list
}
