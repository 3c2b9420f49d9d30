package rule

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// settled is how long a state lasts before it is no passing one: a rekeying or
// a new beginning is over by then.
const settled = time.Minute

// daemonRules read what a daemon has now: its SAs with their counters, and
// what it has configured.
var daemonRules = []diag.Rule{
	{ID: "dpd-off-stale-tunnel", Needs: []string{"connections and SAs of a daemon"}, Find: noDPD},
	{ID: "duplicate-ike-sa", Needs: []string{"SAs of a daemon"}, Find: twins},
	{ID: "duplicate-child-sa", Needs: []string{"SAs of a daemon"}, After: []string{"duplicate-ike-sa"}, Find: twinChildren},
	{ID: "on-demand-never-triggered", Needs: []string{"connections and policies of a daemon"}, Find: untriggered},
	{ID: "half-open-responder", Needs: []string{"statistics of a daemon"}, Find: halfOpen},
	{ID: "esp-no-traffic-both", Needs: []string{"counters of CHILD SAs"}, Find: idle},
	{ID: "esp-one-way-in", Needs: []string{"counters of CHILD SAs"}, Find: countedOneWay(true)},
	{ID: "esp-one-way-out", Needs: []string{"counters of CHILD SAs"}, Find: countedOneWay(false)},
	{ID: "ts-overlap-route-conflict", Needs: []string{"SAs of a daemon"}, After: []string{"duplicate-ike-sa", "duplicate-child-sa"}, Find: overlap},
	{ID: "works-one-direction-only", Needs: []string{"SAs of both roles"}, After: []string{"proposal-list-truncated-by-peer", "no-proposal-ike"}, Find: oneRole},
	{ID: "cert-expired", Needs: []string{"certificates of a daemon"}, Find: ownCertificates},
	{ID: "cert-not-yet-valid", Needs: []string{"certificates of a daemon"}, Find: futureCertificates},
}

// standing gives the IKE SAs of a daemon that are up now.
func standing(f *diag.Facts) []*trace.IKESA {
	if !f.Trace.Daemon.Known {
		return nil
	}
	var l []*trace.IKESA
	for _, sa := range f.Trace.SAs {
		if sa.State == engine.IKEEstablished && sa.Ended == "" {
			l = append(l, sa)
		}
	}
	return l
}

func state(f *diag.Facts, format string, args ...any) []diag.Evidence {
	at := f.Trace.Daemon.AsOf
	if at.IsZero() {
		at = now(f)
	}
	return []diag.Evidence{{Time: at, What: fmt.Sprintf(format, args...)}}
}

func noDPD(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, c := range f.Connections {
		if d, ok := c.DPDDelay.Get(); ok && d > 0 {
			continue
		}
		for _, sa := range standing(f) {
			if sa.Name != c.Name || sa.Version != 2 {
				continue
			}
			for _, child := range sa.Children {
				in, out := child.LastIn, child.LastOut
				sends := !out.IsZero() && !aged(f, out, settled)
				if child.State != engine.ChildInstalled || !sends || child.PacketsOut.Or(0) < 5 || !in.IsZero() && !aged(f, in, 2*settled) || !aged(f, child.Installed, 2*settled) {
					continue
				}
				d := (&tunnelChild{sa, child}).about(f)
				d.Confidence, d.Surer = diag.Likely, "cvlanctl ipsec dpd "+c.Name
				last := "never"
				if !in.IsZero() {
					last = seconds(now(f).Sub(in)) + " ago"
				}
				d.Evidence = state(f, "no dpd_delay; child %s sends, and last heard something %s", child.Name, last)
				d.Summary = fmt.Sprintf("%s sends into the tunnel and hears nothing, and no liveness check would notice that %s is gone", host(sa.Local.Host), host(sa.Remote.Host))
				found = append(found, d)
			}
		}
	}
	return found
}

func twins(f *diag.Facts) []diag.Finding {
	type pair struct{ name, local, remote, host string }
	first := map[pair]*trace.IKESA{}
	var found []diag.Finding
	for _, sa := range standing(f) {
		k := pair{sa.Name, sa.Local.ID, sa.Remote.ID, host(sa.Remote.Host)}
		o := first[k]
		if o == nil || sa.Remote.ID == "" {
			first[k] = sa
			continue
		}
		// Two that follow one another are a rekeying or a reauthentication.
		if !aged(f, sa.Established, settled) || !aged(f, o.Established, settled) || sa.Predecessor == o || o.Predecessor == sa {
			continue
		}
		d := about(sa)
		d.Confidence = diag.Certain
		d.Evidence = append(state(f, "IKE SA %s, number %d, up since %s", o.InitiatorSPI, o.UniqueID, o.Established.UTC().Format(time.TimeOnly)),
			state(f, "IKE SA %s, number %d, up since %s", sa.InitiatorSPI, sa.UniqueID, sa.Established.UTC().Format(time.TimeOnly))...)
		d.FirstSeen, d.LastSeen = now(f), now(f)
		d.Summary = fmt.Sprintf("two IKE SAs stand with %s (%s) at the same time", host(sa.Remote.Host), short(sa.Remote.ID))
		found = append(found, d)
	}
	return found
}

func twinChildren(f *diag.Facts) []diag.Finding {
	first := map[string]tunnelChild{}
	var found []diag.Finding
	for _, c := range daemonChildren(f) {
		k := strings.Join([]string{c.sa.Name, c.Name, host(c.sa.Remote.Host), join(c.LocalTS), join(c.RemoteTS)}, "|")
		o, ok := first[k]
		if !ok {
			first[k] = c
			continue
		}
		if !aged(f, c.Installed, settled) || !aged(f, o.Installed, settled) {
			continue
		}
		d := c.about(f)
		d.Confidence = diag.Certain
		d.Evidence = state(f, "child %s, numbers %d and %d, both INSTALLED with %s === %s", c.Name, o.UniqueID, c.UniqueID, join(c.LocalTS), join(c.RemoteTS))
		d.Summary = fmt.Sprintf("child %s stands more than once with the same selectors", c.Name)
		found = append(found, d)
	}
	return found
}

// daemonChildren gives the installed children of a daemon: on a capture their
// state is what the exchanges say, and not what a kernel has.
func daemonChildren(f *diag.Facts) []tunnelChild {
	if !f.Trace.Daemon.Known {
		return nil
	}
	return children(f)
}

func untriggered(f *diag.Facts) []diag.Finding {
	if f.Policies == nil {
		return nil
	}
	var found []diag.Finding
	for _, c := range f.Connections {
		for _, child := range c.Children {
			if !strings.Contains(child.StartAction, "trap") && child.StartAction != "hold" || carried(f, c.Name, child.Name) {
				continue
			}
			d := diag.Finding{Confidence: diag.Certain, FirstSeen: now(f), LastSeen: now(f), Variant: child.Name}
			d.Subject.Connection = c.Name
			trapped := slices.ContainsFunc(f.Policies, func(p engine.Policy) bool {
				return p.Child == child.Name && (p.Connection == "" || p.Connection == c.Name)
			})
			if trapped {
				// Waiting is what it is for.
				d.Severity, d.Confidence, d.Surer = diag.Info, diag.Hint, "a ping from an address in "+join(child.LocalTS)
				d.Evidence = state(f, "child %s: a trap for %s, and no IKE SA", child.Name, join(child.RemoteTS))
				d.Summary = fmt.Sprintf("child %s waits for traffic from %s to %s, and none has come", child.Name, join(child.LocalTS), join(child.RemoteTS))
			} else {
				d.Ownership = diag.LocalConfig
				d.Evidence = state(f, "child %s: start_action trap, and no trap is installed", child.Name)
				d.Summary = fmt.Sprintf("child %s is to come up by traffic, and no trap for it is installed", child.Name)
				d.Remedies = []diag.Remedy{swan("local", "swanctl --install --child %s", child.Name)}
			}
			found = append(found, d)
		}
	}
	return found
}

// carried says that a child has been up as far as the trace goes back.
func carried(f *diag.Facts, connection, child string) bool {
	return slices.ContainsFunc(f.Trace.SAs, func(sa *trace.IKESA) bool {
		return sa.Name == connection && (len(sa.Children) == 0 || slices.ContainsFunc(sa.Children, func(c *engine.ChildSA) bool { return c.Name == child }))
	})
}

func halfOpen(f *diag.Facts) []diag.Finding {
	if f.Stats == nil || f.Stats.HalfOpen.Or(0) < 10 {
		return nil
	}
	n := f.Stats.HalfOpen.Or(0)
	d := diag.Finding{Confidence: diag.Hint, FirstSeen: now(f), LastSeen: now(f), Surer: "a capture: who begins and does not go on"}
	d.Evidence = state(f, "%d half-open IKE SAs", n)
	d.Summary = fmt.Sprintf("%d IKE SAs have begun and not got further", n)
	return []diag.Finding{d}
}

func idle(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	for _, c := range daemonChildren(f) {
		in, okIn := c.PacketsIn.Get()
		out, okOut := c.PacketsOut.Get()
		if !okIn || !okOut || in+out > 0 || !aged(f, c.Installed, settled) {
			continue
		}
		d := c.about(f)
		// Nobody may want anything of it: that alone is no fault.
		d.Severity, d.Confidence, d.Surer = diag.Info, diag.Hint, "a ping from an address in "+join(c.LocalTS)+" to one in "+join(c.RemoteTS)
		d.Evidence = state(f, "child %s: no packet in either direction since %s", c.Name, seconds(now(f).Sub(c.Installed)))
		d.Summary = fmt.Sprintf("child %s is up and has carried nothing", c.Name)
		found = append(found, d)
	}
	return found
}

// countedOneWay makes the rule on the counters of one direction.
func countedOneWay(inbound bool) func(*diag.Facts) []diag.Finding {
	return func(f *diag.Facts) []diag.Finding {
		var found []diag.Finding
		for _, c := range daemonChildren(f) {
			in, okIn := c.PacketsIn.Get()
			out, okOut := c.PacketsOut.Get()
			if !okIn || !okOut || !aged(f, c.Installed, 10*time.Second) {
				continue
			}
			there, back := in, out
			if !inbound {
				there, back = out, in
			}
			if there < 5 || back > 0 {
				continue
			}
			d := c.about(f)
			d.Confidence, d.Surer = diag.Likely, "a capture on the outer interface of both sides"
			d.Evidence = state(f, "child %s: %d packets in, %d out", c.Name, in, out)
			if inbound {
				d.Summary = fmt.Sprintf("%d packets have come out of the tunnel from %s and none has gone back", in, host(c.sa.Remote.Host))
			} else {
				d.Summary = fmt.Sprintf("%d packets have gone into the tunnel to %s and none has come back", out, host(c.sa.Remote.Host))
			}
			found = append(found, d)
		}
		return found
	}
}

func overlap(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	l := daemonChildren(f)
	l = l[:min(len(l), maxSearched)]
	for i := range l {
		for j := range l[:i] {
			a, b := l[i], l[j]
			if a.sa.Name == b.sa.Name || a.IfIDOut.Or(0) != b.IfIDOut.Or(0) || !a.tunnel() || !b.tunnel() {
				continue
			}
			for _, p := range prefixes(a.RemoteTS) {
				if p.Bits() == 0 || !slices.ContainsFunc(prefixes(b.RemoteTS), p.Overlaps) || slices.ContainsFunc(prefixes(b.RemoteTS), func(q netip.Prefix) bool { return q.Bits() == 0 }) {
					continue
				}
				d := a.about(f)
				d.Confidence, d.Surer = diag.Likely, "ip route get, or ip xfrm policy, for an address in both"
				d.Evidence = state(f, "children %s/%s (%s) and %s/%s (%s) are up", a.sa.Name, a.Name, join(a.RemoteTS), b.sa.Name, b.Name, join(b.RemoteTS))
				d.Summary = fmt.Sprintf("two tunnels lead to %s: %s/%s and %s/%s", p, a.sa.Name, a.Name, b.sa.Name, b.Name)
				found = append(found, d)
				break
			}
		}
	}
	return found
}

func oneRole(f *diag.Facts) []diag.Finding {
	if !f.Trace.Daemon.Known {
		return nil
	}
	var found []diag.Finding
	idx := byPeers(v2(f))
	for _, sa := range v2(f) {
		initiator, known := sa.IKESA.Initiator.Get()
		if !known || !initiator || up(sa) || sa.Ended == "" {
			continue
		}
		for _, o := range idx.of(sa) {
			if theirs, ok := o.IKESA.Initiator.Get(); ok && !theirs && up(o) {
				d := about(sa)
				d.Confidence, d.Surer, d.Severity = diag.Hint, "a capture of both attempts: what differs in the first messages", diag.Low
				d.Evidence = state(f, "our own attempt failed, and the peer's to us (IKE SA %s) is up", o.InitiatorSPI)
				d.Summary = fmt.Sprintf("the tunnel with %s comes up only when the peer begins", host(sa.Remote.Host))
				found = append(found, d)
				break
			}
		}
	}
	return found
}

func ownCertificates(f *diag.Facts) []diag.Finding {
	return datedCertificates(f, func(c *engine.Certificate) string {
		if !c.NotAfter.IsZero() && now(f).After(c.NotAfter) {
			return fmt.Sprintf("has expired on %s", c.NotAfter.UTC().Format(time.DateTime))
		}
		return ""
	})
}

func futureCertificates(f *diag.Facts) []diag.Finding {
	return datedCertificates(f, func(c *engine.Certificate) string {
		if !c.NotBefore.IsZero() && now(f).Before(c.NotBefore) {
			return fmt.Sprintf("is valid from %s only", c.NotBefore.UTC().Format(time.DateTime))
		}
		return ""
	})
}

// dated gives a certificate with its subject and dates: a daemon may list its
// octets only.
func dated(c *engine.Certificate) *engine.Certificate {
	if !c.NotAfter.IsZero() || c.Type != "X509" {
		return c
	}
	x, err := x509.ParseCertificate(c.Data)
	if err != nil {
		return c
	}
	whole := *c
	whole.Subject, whole.NotBefore, whole.NotAfter = x.Subject.String(), x.NotBefore, x.NotAfter
	return &whole
}

func datedCertificates(f *diag.Facts, wrong func(*engine.Certificate) string) []diag.Finding {
	var found []diag.Finding
	for i := range f.Certificates {
		c := dated(&f.Certificates[i])
		w := wrong(c)
		if w == "" || c.Type != "X509" || !c.HasKey && c.Flag != "CA" || presented(f, c.Data) {
			continue
		}
		// It was so before anything that failed for it.
		d := diag.Finding{Confidence: diag.Certain, Ownership: diag.Credential, FirstSeen: f.Trace.First, LastSeen: now(f), Variant: c.Subject}
		if d.FirstSeen.IsZero() || c.NotAfter.After(d.FirstSeen) && c.NotAfter.Before(d.LastSeen) {
			d.FirstSeen = d.LastSeen
			if c.NotAfter.Before(d.LastSeen) {
				d.FirstSeen = c.NotAfter
			}
		}
		what := "our own certificate"
		if c.Flag == "CA" {
			what = "the trusted authority"
			d.Severity = diag.Medium // it concerns who it has certified
		}
		d.Evidence = append([]diag.Evidence{{Time: now(f), What: fmt.Sprintf("%s %q", what, short(c.Subject))}}, clockEvidence(f)...)
		d.Summary = fmt.Sprintf("%s %q %s", what, short(c.Subject), w)
		found = append(found, d)
	}
	return found
}
