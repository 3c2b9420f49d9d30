package rule

import (
	"fmt"
	"strings"

	"github.com/cloudvlan/cvlanctl/diag"
)

// probeRules read what only an active test finds. Others read it beside what a
// source shows: see both.
var probeRules = []diag.Rule{
	{ID: "peer-dns-failed", Needs: []string{"an active test that resolves the peer's name"}, Find: probed(unresolved)},
	{ID: "no-ike-config-for-peer", Needs: []string{"an active test that asks in major version 3 too"}, Find: probed(ignored)},
}

// probed makes a rule of one that looks at an active test.
func probed(find func(*diag.Probe, diag.Finding) (diag.Finding, bool)) func(*diag.Facts) []diag.Finding {
	return func(f *diag.Facts) []diag.Finding {
		if f.Probe == nil {
			return nil
		}
		if d, found := find(f.Probe, probeFinding(f)); found {
			return []diag.Finding{d}
		}
		return nil
	}
}

// probeFinding begins a finding on what an active test asked.
func probeFinding(f *diag.Facts) diag.Finding {
	return diag.Finding{Confidence: diag.Certain, FirstSeen: f.Now, LastSeen: f.Now,
		Subject: diag.Subject{Local: host(f.Probe.Local), Remote: host(f.Probe.Remote), Connection: f.Probe.Connection}}
}

// seen is evidence without a packet.
func seen(format string, args ...any) diag.Evidence {
	return diag.Evidence{What: fmt.Sprintf(format, args...)}
}

func unresolved(p *diag.Probe, d diag.Finding) (diag.Finding, bool) {
	d.Summary = fmt.Sprintf("the peer's name %s has no address here", short(p.Host))
	d.Evidence = []diag.Evidence{seen("%s", short(p.ResolveError))}
	return d, p.ResolveError != ""
}

// reachEvidence tells how the ports took requests.
func reachEvidence(p *diag.Probe) []diag.Evidence {
	words := map[diag.Reach]string{diag.ReachAnswers: "answers", diag.ReachSilent: "no answer", diag.ReachRefused: "ICMP: port unreachable"}
	list := []diag.Evidence{seen("UDP port %d: %s", p.PlainPort, words[p.Plain])}
	if p.NATT != diag.ReachUnknown {
		list = append(list, seen("UDP port %d: %s", p.NATTPort, words[p.NATT]))
	}
	if p.Stranger != diag.ReachUnknown {
		list = append(list, seen("a request of IKE version 3, which every IKEv2 daemon refuses: %s", words[p.Stranger]))
	}
	return list
}

func unreachable(p *diag.Probe, d diag.Finding) (diag.Finding, bool) {
	if p.Plain == diag.ReachUnknown || p.Plain == diag.ReachAnswers || p.Stranger == diag.ReachAnswers {
		return d, false
	}
	d.Evidence = reachEvidence(p)
	switch {
	case p.NATT == diag.ReachAnswers:
		d.Summary = fmt.Sprintf("%s answers on UDP port %d and not on port %d: port %d is filtered on the way", p.Remote, p.NATTPort, p.PlainPort, p.PlainPort)
	case p.Plain == diag.ReachRefused:
		d.Summary = fmt.Sprintf("%s is there and refuses UDP port %d: no IKE daemon listens", p.Remote, p.PlainPort)
		d.Ownership = diag.PeerConfig
		d.Remedies = []diag.Remedy{{Side: "remote", Platform: "any", Change: "Start the IKE daemon, or let it listen on this address: `ss -ulpn 'sport = :500'` shows who does."}}
	default:
		d.Confidence = diag.Likely
		d.Summary = fmt.Sprintf("%s answers neither on UDP port %d nor on port %d", p.Remote, p.PlainPort, p.NATTPort)
		d.Surer = otherSideCapture + ": does the request arrive?"
	}
	return d, true
}

// ignored is a daemon that is there and does not answer us.
func ignored(p *diag.Probe, d diag.Finding) (diag.Finding, bool) {
	if p.Plain == diag.ReachAnswers || p.Plain == diag.ReachUnknown || p.Stranger != diag.ReachAnswers {
		return d, false
	}
	d.Evidence = reachEvidence(p)
	d.Summary = fmt.Sprintf("%s runs IKEv2 and ignores requests from %s: it has no connection for this address, or counts too many half-open ones from it", p.Remote, p.Local)
	return d, true
}

func blocked4500(p *diag.Probe, d diag.Finding) (diag.Finding, bool) {
	if p.Plain != diag.ReachAnswers || p.NATT != diag.ReachSilent && p.NATT != diag.ReachRefused {
		return d, false
	}
	d.Evidence = reachEvidence(p)
	d.Summary = fmt.Sprintf("%s answers on UDP port %d and not on port %d", p.Remote, p.PlainPort, p.NATTPort)
	return d, true
}

// largeLost is a path that small requests pass and large ones do not.
func largeLost(p *diag.Probe, d diag.Finding) (diag.Finding, bool) {
	passed, lost := 0, 0
	for _, s := range p.Sizes {
		switch {
		case s.Answered > 0:
			passed = max(passed, s.Octets)
		case lost == 0 || s.Octets < lost:
			lost = s.Octets
		}
		d.Evidence = append(d.Evidence, seen("packets of %d octets: %d of %d answered", s.Octets, s.Answered, s.Sent))
	}
	if passed == 0 || lost < passed || lost == 0 {
		return d, false
	}
	d.Summary = fmt.Sprintf("requests of up to %d octets are answered by %s, of %d octets and more they are not", passed, p.Remote, lost)
	if p.IKEFragments != nil && *p.IKEFragments {
		// Large messages then go in small packets.
		d.Severity = diag.Low
		d.Summary += "; IKE fragmentation, which the peer takes, avoids it"
	}
	return d, true
}

// innerLost is a tunnel that small packets pass and full ones do not.
func innerLost(p *diag.Probe, d diag.Finding) (diag.Finding, bool) {
	passed, lost := 0, 0
	for _, s := range p.Inner {
		if s.Answered > 0 {
			passed = max(passed, s.Octets)
		} else {
			lost = s.Octets
		}
		d.Evidence = append(d.Evidence, seen("pings through the tunnel of %d octets: %d of %d answered", s.Octets, s.Answered, s.Sent))
	}
	d.Confidence = diag.Likely
	d.Summary = fmt.Sprintf("packets of up to %d octets pass through the tunnel to %s, of %d octets they do not", passed, p.Remote, lost)
	d.Surer = otherSideCapture + ": do the large packets arrive?"
	return d, passed > 0 && lost > passed
}

func refusedProposals(p *diag.Probe, d diag.Finding) (diag.Finding, bool) {
	if p.Refusal != "NO_PROPOSAL_CHOSEN" {
		return d, false
	}
	d.Summary = fmt.Sprintf("%s accepts none of the IKE proposals of %s: %s", p.Remote, p.Local, strings.Join(p.Offered, ", "))
	d.Evidence = []diag.Evidence{seen("offered: %s", strings.Join(p.Offered, ", ")), seen("N(NO_PROPOSAL_CHOSEN)")}
	if len(p.Accepts) > 0 {
		d.Evidence = append(d.Evidence, seen("asked for others, it took: %s", strings.Join(p.Accepts, ", ")))
		d.Remedies = []diag.Remedy{
			swan("local", "connections.<c>.proposals = %s", strings.Join(p.Accepts, ",")),
			swan("remote", "connections.<c>.proposals = %s", strings.Join(p.Offered, ",")),
		}
	} else {
		d.Confidence = diag.Likely
		d.Surer = "the responder's log: it may have no connection for this address, and say the same"
	}
	return d, true
}
