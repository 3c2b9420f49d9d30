package rule

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

const hostNeeds = "the host: sysctls, routes, firewall, XFRM policies, states and statistics, sockets"

// hostRules read the host that a tunnel ends on.
var hostRules = []diag.Rule{
	{ID: "forwarding-firewall-rpfilter", Needs: []string{hostNeeds}, Find: forwarding},
	{ID: "snat-before-ipsec", Needs: []string{hostNeeds}, Find: sourceNAT},
	{ID: "stale-policy-claims-traffic", Needs: []string{hostNeeds, "what a daemon has configured"}, Find: stalePolicy},
	{ID: "replay-drops", Needs: []string{"XfrmInStateSeqError"}, Find: counter("XfrmInStateSeqError", "packets come too late or twice for the replay window")},
	{ID: "mtu-pmtu-blackhole", Needs: []string{"XfrmOutStateModeError", "an active test: pings through the tunnel of several sizes"}, Find: both(probed(innerLost), counter("XfrmOutStateModeError", "packets do not fit into the tunnel"))},
	{ID: "policy-or-if-id-missing", Needs: []string{hostNeeds}, Find: missingInterface},
	{ID: "route-missing", Needs: []string{hostNeeds}, Find: missingRoute},
	{ID: "daemon-socket-bind-failed", Needs: []string{hostNeeds}, Find: noSocket},
	{ID: "udp4500-blocked", Needs: []string{hostNeeds}, Find: blockedHere("udp", 4500, false)},
	{ID: "no-response-to-sa-init", Needs: []string{hostNeeds}, Find: blockedHere("udp", 500, true)},
	{ID: "esp-proto50-blocked", Needs: []string{hostNeeds}, Find: blockedHere("esp", 0, false)},
	{ID: "esp-auth-failures", Needs: []string{"XfrmInStateProtoError"}, Find: counter("XfrmInStateProtoError", "packets fail their integrity check, or are damaged")},
	{ID: "inner-address-outside-ts", Needs: []string{"XfrmInTmplMismatch"}, Find: counter("XfrmInTmplMismatch", "packets come out of a tunnel that no policy lets them come by")},
	{ID: "invalid-esp-spi-stale-sa", Needs: []string{"XfrmInNoStates"}, Find: counter("XfrmInNoStates", "ESP arrives for SAs that are not here")},
	{ID: "seq-exhaustion", Needs: []string{"XfrmOutStateSeqError"}, Find: counter("XfrmOutStateSeqError", "the sequence numbers of an SA are used up")},
}

// children gives the CHILD SAs that a daemon has installed now.
func children(f *diag.Facts) []tunnelChild {
	var l []tunnelChild
	for _, sa := range f.Trace.SAs {
		if sa.State != engine.IKEEstablished || sa.Ended != "" {
			continue
		}
		for _, c := range sa.Children {
			if c.State == engine.ChildInstalled {
				l = append(l, tunnelChild{sa, c})
			}
		}
	}
	return l
}

type tunnelChild struct {
	sa *trace.IKESA
	*engine.ChildSA
}

// about begins a finding on a CHILD SA.
func (c *tunnelChild) about(f *diag.Facts) diag.Finding {
	d := about(c.sa)
	if spi, ok := c.SPIIn.Get(); ok {
		d.Subject.ChildSPI = spi.String()
	}
	d.FirstSeen, d.LastSeen = now(f), now(f)
	d.Variant = c.Name
	return d
}

func (c *tunnelChild) tunnel() bool { return c.Mode == "TUNNEL" || c.Mode == "" }

// beyond says that a child serves more than addresses of this host.
func (c *tunnelChild) beyond(h *diag.HostFacts) bool {
	for _, p := range prefixes(c.LocalTS) {
		if !p.IsSingleIP() {
			return true
		}
		if !slices.ContainsFunc(h.Interfaces, func(i diag.HostInterface) bool {
			return slices.ContainsFunc(i.Prefixes, func(own netip.Prefix) bool { return own.Addr() == p.Addr() })
		}) {
			return true
		}
	}
	return false
}

// prefixes reads selectors as the daemons write them: "10.1.0.0/24",
// "10.1.0.0/24[tcp/80]"; ranges and names are left out.
func prefixes(ts []string) []netip.Prefix {
	var l []netip.Prefix
	for _, s := range ts {
		s, _, _ = strings.Cut(s, "[")
		if p, err := netip.ParsePrefix(s); err == nil {
			l = append(l, p.Masked())
		} else if a, err := netip.ParseAddr(s); err == nil {
			l = append(l, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return l
}

// oneWay says that packets come in by a child and none go out, certain where
// both are counted.
func (c *tunnelChild) oneWay() bool {
	in, okIn := c.PacketsIn.Get()
	out, okOut := c.PacketsOut.Get()
	return okIn && okOut && in > 0 && out == 0
}

func (c *tunnelChild) flows() bool {
	in, _ := c.PacketsIn.Get()
	out, _ := c.PacketsOut.Get()
	return in > 0 && out > 0
}

func hostEvidence(f *diag.Facts, format string, args ...any) []diag.Evidence {
	return []diag.Evidence{{Time: f.Host.At, What: fmt.Sprintf(format, args...)}}
}

func forwarding(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	if f.Host == nil {
		return nil
	}
	for _, c := range children(f) {
		if !c.tunnel() || !c.beyond(f.Host) || c.flows() {
			continue
		}
		d := c.about(f)
		d.Confidence = diag.Certain
		v6 := slices.ContainsFunc(prefixes(c.LocalTS), func(p netip.Prefix) bool { return p.Addr().Is6() })
		name := "net.ipv4.ip_forward"
		if v6 {
			name = "net.ipv6.conf.all.forwarding"
		}
		switch chain := closedForward(f.Host); {
		case f.Host.Sysctls[name] == "0":
			d.Evidence = hostEvidence(f, "%s = 0; child %s serves %s", name, c.Name, join(c.LocalTS))
			d.Summary = fmt.Sprintf("this host does not forward packets (%s = 0), and the tunnel serves %s behind it", name, join(c.LocalTS))
			d.Remedies = []diag.Remedy{{Side: "local", Platform: "linux", Change: "sysctl -w " + name + "=1"}}
		case chain != nil:
			d.Confidence, d.Surer = diag.Likely, "the counters of the firewall's rules while a packet is sent"
			d.Evidence = hostEvidence(f, "chain %s %s: policy drop and no rule that lets IPsec through", chain.Table, chain.Name)
			d.Summary = fmt.Sprintf("the firewall of this host does not let the tunnel's packets through (chain %s %s)", chain.Table, chain.Name)
		default:
			continue
		}
		if c.oneWay() {
			d.Evidence = append(d.Evidence, diag.Evidence{Time: now(f), What: fmt.Sprintf("child %s: %d packets in, none out", c.Name, c.PacketsIn.Or(0))})
		}
		found = append(found, d)
	}
	return found
}

// closedForward gives a chain that drops what is forwarded, nil where there is
// none or where some rule accepts.
func closedForward(h *diag.HostFacts) *diag.HostChain {
	for i := range h.Chains {
		c := &h.Chains[i]
		if c.Hook == "forward" && c.Policy == "drop" && !slices.ContainsFunc(c.Rules, func(r diag.HostRule) bool {
			return r.Verdict == "accept" && !strings.Contains(r.Text, "state") || r.Verdict == "jump" || r.Verdict == "goto"
		}) {
			return c
		}
	}
	return nil
}

func sourceNAT(f *diag.Facts) []diag.Finding {
	if f.Host == nil {
		return nil
	}
	var found []diag.Finding
	for _, c := range children(f) {
		if !c.tunnel() || c.flows() {
			continue
		}
		for i := range f.Host.Chains {
			chain := &f.Host.Chains[i]
			r := translates(chain, prefixes(c.LocalTS), prefixes(c.RemoteTS))
			if r == nil {
				continue
			}
			d := c.about(f)
			d.Confidence, d.Surer = diag.Likely, "a packet from "+join(c.LocalTS)+" and the counter of that rule"
			if c.oneWay() && !r.Narrow {
				d.Confidence, d.Surer = diag.Certain, ""
			}
			d.Evidence = hostEvidence(f, "chain %s %s: %s, and no exception for IPsec before it", chain.Table, chain.Name, short(r.Text))
			d.Summary = fmt.Sprintf("source NAT on this host changes packets from %s before they reach the tunnel to %s", join(c.LocalTS), join(c.RemoteTS))
			found = append(found, d)
			break
		}
	}
	return found
}

// translates gives the rule that changes the source of packets from local to
// remote addresses, nil where none does or an exception comes before it.
func translates(c *diag.HostChain, local, remote []netip.Prefix) *diag.HostRule {
	if c.Hook != "postrouting" {
		return nil
	}
	for i := range c.Rules {
		r := &c.Rules[i]
		fits := concerns(r.Src, local) && concerns(r.Dst, remote) && (r.Protocol == "" || r.Protocol == "ip")
		switch {
		case !fits:
		case r.IPsec:
			return nil
		case (r.Verdict == "accept" || r.Verdict == "return") && (!r.Narrow || r.Dst.IsValid()):
			return nil
		case r.Verdict == "masquerade" || r.Verdict == "snat":
			return r
		}
	}
	return nil
}

// concerns says that a rule's prefix meets one of the prefixes; the invalid
// one meets all.
func concerns(p netip.Prefix, list []netip.Prefix) bool {
	return !p.IsValid() || slices.ContainsFunc(list, p.Overlaps)
}

func stalePolicy(f *diag.Facts) []diag.Finding {
	if f.Host == nil || f.Host.Policies == nil || f.Connections == nil {
		return nil
	}
	known := map[string]bool{}
	add := func(list []string) {
		for _, p := range prefixes(list) {
			known[p.String()] = true
		}
	}
	for _, c := range f.Connections {
		for _, child := range c.Children {
			add(child.RemoteTS)
		}
		if slices.ContainsFunc(c.Children, func(x *engine.ChildConfig) bool { return slices.Contains(x.RemoteTS, "dynamic") }) {
			return nil // it may be any address
		}
	}
	for _, sa := range f.Trace.SAs {
		for _, c := range sa.Children {
			add(c.RemoteTS)
		}
	}
	var found []diag.Finding
	for i := range f.Host.Policies {
		p := &f.Host.Policies[i]
		if p.Dir != "out" || !p.Tunnel || p.Block || known[p.Dst.Masked().String()] {
			continue
		}
		d := diag.Finding{Confidence: diag.Likely, Surer: "which program installed the policy: strongSwan does not know it", FirstSeen: f.Host.At, LastSeen: f.Host.At, Variant: p.Dst.String()}
		claims := ""
		for _, c := range children(f) {
			if slices.ContainsFunc(prefixes(c.RemoteTS), p.Dst.Overlaps) {
				d.Confidence, d.Surer = diag.Certain, ""
				d.Subject = about(c.sa).Subject
				claims = fmt.Sprintf(" and claims traffic of child %s", c.Name)
				break
			}
		}
		if claims == "" {
			d.Severity = diag.Info // it concerns no tunnel that is up
		}
		d.Evidence = hostEvidence(f, "xfrm policy out %s to %s, reqid %d, priority %d", p.Src, p.Dst, p.Reqid, p.Priority)
		d.Summary = fmt.Sprintf("an IPsec policy from %s to %s belongs to no configured child%s", p.Src, p.Dst, claims)
		if d.Severity != diag.Info {
			d.Remedies = instead("stale-policy-claims-traffic", diag.Remedy{Side: "local", Platform: "linux", Change: fmt.Sprintf("ip xfrm policy delete dir out src %s dst %s", p.Src, p.Dst)})
		}
		found = append(found, d)
	}
	return found
}

// counter makes the rule on a counter of the kernel. Only growth while it was
// looked at is a fault of now; what was counted before may be long mended.
func counter(name, what string) func(*diag.Facts) []diag.Finding {
	return func(f *diag.Facts) []diag.Finding {
		if f.Host == nil {
			return nil
		}
		n, grows := f.Host.Stat(name)
		if n == 0 {
			return nil
		}
		d := diag.Finding{FirstSeen: f.Host.At, LastSeen: f.Host.At, Confidence: diag.Likely, Surer: "which SA: the counter is of the whole host; ip -s xfrm state tells each SA's"}
		if one := children(f); len(one) > 0 && one[0].sa.Remote.Host.IsValid() && sameSA(one) {
			d.Subject = about(one[0].sa).Subject
		}
		d.Evidence = hostEvidence(f, "%s is %d", name, f.Host.XfrmStat[name])
		d.Summary = fmt.Sprintf("%s: %s is at %d since the host's start", what, name, n)
		if !grows {
			d.Severity, d.Confidence = diag.Info, diag.Hint
			return []diag.Finding{d}
		}
		d.Evidence = hostEvidence(f, "%s grew by %d while it was looked at", name, n)
		d.Summary = fmt.Sprintf("%s: %s grows (%d while it was looked at)", what, name, n)
		if name == "XfrmInNoStates" && n < 10 {
			d.Severity = diag.Info // strangers on the internet do that
		}
		return []diag.Finding{d}
	}
}

func sameSA(l []tunnelChild) bool {
	return !slices.ContainsFunc(l, func(c tunnelChild) bool { return c.sa != l[0].sa })
}

func missingInterface(f *diag.Facts) []diag.Finding {
	if f.Host == nil || f.Host.Interfaces == nil {
		return nil
	}
	var found []diag.Finding
	for _, c := range children(f) {
		id := c.IfIDOut.Or(0)
		switch d := c.about(f); {
		case id != 0 && !slices.ContainsFunc(f.Host.Interfaces, func(i diag.HostInterface) bool { return i.IfID == id }):
			d.Confidence = diag.Certain
			d.Evidence = hostEvidence(f, "child %s has if_id %d; no interface of this host has it", c.Name, id)
			d.Summary = fmt.Sprintf("child %s belongs to the XFRM interface with if_id %d, which does not exist", c.Name, id)
			d.Remedies = instead("policy-or-if-id-missing", diag.Remedy{Side: "local", Platform: "linux", Change: fmt.Sprintf("ip link add ipsec0 type xfrm dev <outer interface> if_id %d; ip link set ipsec0 up", id)})
			found = append(found, d)
		case inKernel(f.Host, c) && f.Host.Policies != nil && !hasPolicy(f.Host, c):
			d.Confidence = diag.Certain
			d.Evidence = hostEvidence(f, "the kernel has the SA %s of child %s and no policy to %s", d.Subject.ChildSPI, c.Name, join(c.RemoteTS))
			d.Summary = fmt.Sprintf("child %s has its SA in the kernel and no policy: traffic to %s goes past the tunnel", c.Name, join(c.RemoteTS))
			found = append(found, d)
		}
	}
	return found
}

// inKernel says that the kernel itself has a child's SA; a daemon that does
// ESP itself installs none.
func inKernel(h *diag.HostFacts, c tunnelChild) bool {
	spi, ok := c.SPIIn.Get()
	return ok && slices.ContainsFunc(h.States, func(s diag.HostState) bool { return s.SPI == spi })
}

func hasPolicy(h *diag.HostFacts, c tunnelChild) bool {
	for _, p := range h.Policies {
		if p.Dir == "out" && p.Tunnel && slices.ContainsFunc(prefixes(c.RemoteTS), func(ts netip.Prefix) bool { return ts.Overlaps(p.Dst) }) {
			return true
		}
	}
	return len(prefixes(c.RemoteTS)) == 0
}

func missingRoute(f *diag.Facts) []diag.Finding {
	if f.Host == nil || f.Host.Routes == nil {
		return nil
	}
	var found []diag.Finding
	for _, sa := range v2(f) {
		peer := sa.Remote.Host
		if !peer.IsValid() || up(sa) || sa.Ended == trace.EndDeleted || reaches(f.Host, peer) {
			continue
		}
		d := about(sa)
		d.Confidence = diag.Certain
		d.Evidence = hostEvidence(f, "no route of any table leads to %s", peer)
		d.Summary = fmt.Sprintf("this host has no route to %s", peer)
		d.Remedies = []diag.Remedy{{Side: "local", Platform: "linux", Change: fmt.Sprintf("ip route add %s via <gateway>", peer)}}
		found = append(found, d)
	}
	for _, c := range children(f) {
		id := c.IfIDOut.Or(0)
		dev := ""
		for _, i := range f.Host.Interfaces {
			if id != 0 && i.IfID == id {
				dev = i.Name
			}
		}
		for _, ts := range prefixes(c.RemoteTS) {
			if dev == "" || ts.Bits() == 0 || slices.ContainsFunc(f.Host.Routes, func(r diag.HostRoute) bool { return r.Dev == dev && r.Dst.Overlaps(ts) }) {
				continue
			}
			d := c.about(f)
			d.Confidence = diag.Certain
			d.Evidence = hostEvidence(f, "no route to %s by %s", ts, dev)
			d.Summary = fmt.Sprintf("no route leads %s into the tunnel's interface %s", ts, dev)
			d.Remedies = []diag.Remedy{{Side: "local", Platform: "linux", Change: fmt.Sprintf("ip route add %s dev %s", ts, dev)}}
			found = append(found, d)
			break
		}
	}
	return found
}

// reaches says that a route leads to an address: one of any table, or a
// network of an interface.
func reaches(h *diag.HostFacts, a netip.Addr) bool {
	for _, r := range h.Routes {
		if r.Type == "unicast" && r.Dst.Contains(a) {
			return true
		}
	}
	for _, i := range h.Interfaces {
		if slices.ContainsFunc(i.Prefixes, func(p netip.Prefix) bool { return p.Contains(a) }) {
			return true
		}
	}
	return false
}

func noSocket(f *diag.Facts) []diag.Finding {
	if f.Host == nil || f.Host.Sockets == nil || !f.Trace.Daemon.Connected || len(f.Trace.SAs) == 0 {
		return nil
	}
	for _, s := range f.Host.Sockets {
		if s.Addr.Port() == 500 || s.Addr.Port() == 4500 {
			return nil
		}
	}
	if slices.ContainsFunc(f.Trace.SAs, func(sa *trace.IKESA) bool {
		return up(sa) || sa.Local.Port != 0 && sa.Local.Port != 500 && sa.Local.Port != 4500
	}) {
		return nil // it works, or by ports of its own choice
	}
	d := diag.Finding{Confidence: diag.Likely, Surer: "the daemon's log at its start", FirstSeen: f.Host.At, LastSeen: f.Host.At}
	d.Evidence = hostEvidence(f, "nobody listens on UDP ports 500 and 4500")
	d.Summary = "nobody listens on UDP ports 500 and 4500 of this host, and the daemon has no tunnel up"
	return []diag.Finding{d}
}

// blockedHere makes the rule on a firewall of this host that drops what an SA
// in trouble needs: IKE of a port, or ESP.
func blockedHere(protocol string, port uint16, init bool) func(*diag.Facts) []diag.Finding {
	return func(f *diag.Facts) []diag.Finding {
		if f.Host == nil {
			return nil
		}
		chain, r := dropping(f.Host, protocol, port)
		if chain == nil {
			return nil
		}
		what := "policy drop and no rule that accepts it"
		if r != nil {
			what = short(r.Text)
		}
		name := fmt.Sprintf("UDP port %d", port)
		accept := fmt.Sprintf("udp dport %d accept", port)
		if protocol == "esp" {
			name, accept = "ESP", "meta l4proto esp accept"
		}
		blocked := func(d diag.Finding) diag.Finding {
			d.Confidence, d.Ownership = diag.Certain, diag.Host
			d.Evidence = hostEvidence(f, "chain %s %s: %s", chain.Table, chain.Name, what)
			d.Summary = fmt.Sprintf("the firewall of this host drops %s (chain %s %s)", name, chain.Table, chain.Name)
			d.Remedies = []diag.Remedy{{Side: "local", Platform: "linux", Change: fmt.Sprintf("nft insert rule %s %s %s", chain.Table, chain.Name, accept)}}
			return d
		}
		var found []diag.Finding
		if p := f.Probe; p != nil {
			reach := p.NATT
			if init {
				reach = p.Plain
			}
			if protocol == "udp" && (reach == diag.ReachSilent || reach == diag.ReachRefused) {
				found = append(found, blocked(probeFinding(f)))
			}
			return found
		}
		for _, sa := range v2(f) {
			switch {
			case protocol == "esp":
				if !up(sa) || !slices.ContainsFunc(sa.Children, func(c *engine.ChildSA) bool {
					return c.State == engine.ChildInstalled && !c.Encap.Or(true) && c.PacketsIn.Or(0) == 0
				}) {
					continue
				}
			case up(sa) || init != (sa.ResponderSPI == 0):
				continue
			}
			found = append(found, blocked(about(sa)))
		}
		return found
	}
}

// dropping gives the chain and the rule, nil for the chain's policy, by which
// this host drops a protocol or port.
func dropping(h *diag.HostFacts, protocol string, port uint16) (*diag.HostChain, *diag.HostRule) {
	for i := range h.Chains {
		c := &h.Chains[i]
		if c.Hook != "input" && c.Hook != "output" {
			continue
		}
		decided := false
		for j := range c.Rules {
			r := &c.Rules[j]
			fits := (r.Protocol == "" || r.Protocol == protocol || r.Protocol == "50" && protocol == "esp") && (r.Ports == nil || slices.Contains(r.Ports, port))
			if !fits || r.IPsec {
				continue
			}
			switch r.Verdict {
			case "drop", "reject":
				if !r.Narrow && (r.Protocol != "" || r.Ports != nil) {
					return c, r
				}
				decided = true
			case "accept":
				if !r.Narrow || r.Ports != nil {
					decided = true
				}
			case "jump", "goto", "queue":
				decided = true // what comes there is not looked at
			}
			if decided {
				break
			}
		}
		if !decided && c.Policy == "drop" {
			return c, nil
		}
	}
	return nil, nil
}

// aged says that something is older than a moment of change takes.
func aged(f *diag.Facts, since time.Time, d time.Duration) bool {
	return !since.IsZero() && now(f).Sub(since) >= d
}
