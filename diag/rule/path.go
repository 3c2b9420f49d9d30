package rule

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// pathRules recognise what happens to packets between the two ends, and
// between the tunnel and the kernel.
var pathRules = []diag.Rule{
	{
		ID:    "ipsec-alg-passthrough",
		Needs: []string{natNeeds, "several IKE SAs from one address"},
		Find:  passthrough,
	},
	{
		ID:    "outbound-sa-not-installed",
		Needs: []string{"CREATE_CHILD_SA exchanges and the SPIs of ESP after them", "the kernel's SAs beside a daemon's"},
		Find:  both(staleOutbound, missingOutbound),
	},
	{
		ID:    "ipv6-extension-or-frag-drop",
		Needs: []string{"native ESP over IPv6 in both directions", "an active test of sizes over IPv6"},
		After: []string{"esp-proto50-blocked", "encap-asymmetric", "esp-auth-failures", "dpd-timeout"},
		Find:  both(oneWayOverIPv6, probed(largeLostOverIPv6)),
	},
	{
		ID:    "mtu-pmtu-blackhole",
		Needs: []string{"the lengths of ESP packets and what comes the other way after them", "ICMP errors of the path about them"},
		Find:  tooLarge,
	},
	{
		ID:    "cleartext-leak-when-down",
		Needs: []string{"connections, policies and SAs of a daemon", "the host's routes"},
		Find:  openWhileDown,
	},
	{
		ID:    "throughput-capped",
		Needs: []string{"the load of each processor core and the counters of XFRM states, looked at twice"},
		Find:  coreFull,
	},
	{
		ID:    "inner-icmp-error-not-in-policy",
		Needs: []string{"an active test: sizes outside and inside the tunnel", "the selectors of the CHILD SA"},
		Find:  probed(innerErrorLost),
	},
	{
		ID:    "ptb-arrives-one-packet-late",
		Needs: []string{"an active test: pings of one size, repeated"},
		Find:  probed(firstLargeLost),
	},
}

// passthrough looks for two hosts behind one NAT that keeps port 500 for both,
// as routers with "IPsec passthrough" do: they can send the answers to one of
// them only.
func passthrough(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	sas := v2(f)
	idx := byPeers(sas)
	for _, sa := range sas {
		if up(sa) || !keptPort500(sa) {
			continue
		}
		for _, o := range idx.of(sa) {
			a, b := sa.NATD.InitiatorInside, o.NATD.InitiatorInside
			known := a.IsValid() && b.IsValid()
			// One host that tries again has the same SPI, or comes up afterwards.
			together := o != sa && o.InitiatorSPI != sa.InitiatorSPI && end(o, trace.Initiator) == end(sa, trace.Initiator) && up(o) && keptPort500(o) &&
				(o.First.Before(sa.First) && !o.Last.Before(sa.First.Add(-settled)) || known && sa.First.Before(o.First))
			if !together || known && a.Addr() == b.Addr() {
				continue
			}
			d := about(sa)
			d.Confidence, d.Surer = diag.Hint, "a capture on both sides of the NAT: to which of the two hosts does it send the answers?"
			d.Evidence = []diag.Evidence{
				at(o.Init.Request, "IKE SA %s from %s, which a NAT translates and leaves port 500: it is up", o.InitiatorSPI, o.Init.Request.Src),
				at(sa.Init.Request, "IKE SA %s from the same address and port: it is not", sa.InitiatorSPI),
			}
			d.Summary = fmt.Sprintf("two hosts behind the NAT of %s call %s from port 500, and only one of them gets through", end(sa, trace.Initiator), end(sa, trace.Responder))
			found = append(found, span(d))
			break
		}
	}
	return found
}

// keptPort500 says that a NAT translates the initiator of an SA and leaves its
// port 500.
func keptPort500(sa *trace.IKESA) bool {
	q := &sa.NATD.Request
	return sa.Init != nil && sa.Init.Request != nil && q.Seen && q.Source == trace.MatchNo && q.SrcSeen.Port() == 500 && sa.Init.Request.Src.Port() == 500
}

// flowsOf gives the flows between the ends of each SA, those too of which keys
// do not know the SPI.
func flowsOf(f *diag.Facts) map[*trace.IKESA][]*trace.Flow {
	m := make(map[*trace.IKESA][]*trace.Flow, len(f.Trace.SAs))
	for _, fl := range f.Trace.Flows {
		if fl.SA != nil {
			m[fl.SA] = append(m[fl.SA], fl)
		}
	}
	return m
}

// lagging is how long after a rekeying a side may go on with its old SA.
const lagging = 30 * time.Second

// staleOutbound looks for ESP that goes on with the SPI from before a rekeying
// in one direction, while the other one changed to a new one.
func staleOutbound(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	flows := flowsOf(f)
	for _, sa := range v2(f) {
		var last *trace.Exchange
		for _, x := range exchanges(sa, wire.ExchangeCreateChildSA) {
			if rekeysChild(x) && succeeded(x) {
				last = x
			}
		}
		if last == nil {
			continue
		}
		when := last.Response.Time
		var fresh, old [2]*trace.Flow // by direction: from the initiator, towards it
		for _, fl := range flows[sa] {
			way := 0
			if fl.Dst.Addr() == sa.Local.Host {
				way = 1
			}
			switch {
			case !fl.First.Before(when.Add(-time.Second)):
				fresh[way] = fl
			case fl.Last.Sub(when) >= lagging:
				old[way] = fl
			}
		}
		for way := range fresh {
			stale, new := old[way], fresh[1-way]
			if fresh[way] != nil || stale == nil || new == nil || old[1-way] != nil || new.Last.Sub(when) < lagging {
				continue
			}
			d := about(sa)
			d.Confidence, d.Surer = diag.Likely, "the SAs in the kernel of "+host(stale.Src.Addr())+" (ip xfrm state)"
			d.Subject.ChildSPI = stale.SPI.String()
			d.Evidence = []diag.Evidence{
				at(last.Response, "the CHILD SA was rekeyed"), espEvidence(new, "new SA"),
				{Frame: stale.LastFrame, Time: stale.Last, What: fmt.Sprintf("%s still sends on SPI %s, %s after the rekeying", stale.Src.Addr(), stale.SPI, seconds(stale.Last.Sub(when)))},
			}
			d.Summary = fmt.Sprintf("after the rekeying %s uses the new SA and %s goes on with the old one (SPI %s), which its peer deletes", new.Src.Addr(), stale.Src.Addr(), stale.SPI)
			found = append(found, span(d))
		}
	}
	return found
}

// missingOutbound looks for a child that a daemon has installed and of which
// the kernel has the inbound SA only.
func missingOutbound(f *diag.Facts) []diag.Finding {
	if f.Host == nil || f.Host.States == nil {
		return nil
	}
	var found []diag.Finding
	for _, c := range children(f) {
		out, ok := c.SPIOut.Get()
		if !ok || !inKernel(f.Host, c) || !aged(f, c.Installed, 10*time.Second) ||
			slices.ContainsFunc(f.Host.States, func(s diag.HostState) bool { return s.SPI == out }) {
			continue
		}
		d := c.about(f)
		d.Confidence = diag.Certain
		d.Evidence = hostEvidence(f, "the kernel has the SA %s towards this host and none with %s, which child %s is to send on", d.Subject.ChildSPI, out, c.Name)
		d.Summary = fmt.Sprintf("child %s is INSTALLED, and the kernel has no SA to send on (SPI %s)", c.Name, out)
		d.Remedies = instead("outbound-sa-not-installed", swan("local", "swanctl --rekey --child %s   (heals it now)", c.Name))
		found = append(found, d)
	}
	return found
}

func oneWayOverIPv6(f *diag.Facts) []diag.Finding {
	var found []diag.Finding
	idx := byPeers(v2(f))
	flows, order := directions(f, event.ESP)
	for _, k := range order {
		way := flows[k]
		if !k[0].Is6() || flows[[2]netip.Addr{k[1], k[0]}] != nil || way.packets < oneWayPackets || way.last.Sub(way.first) < oneWaySpan ||
			slices.ContainsFunc(way.flows, func(fl *trace.Flow) bool { return fl.Encap != event.IP }) {
			continue
		}
		sa := owner(idx, k[0], k[1])
		if sa == nil {
			continue
		}
		d := about(sa)
		d.Confidence, d.Surer = diag.Hint, "a test with UDP encapsulation (encap = yes): does traffic pass then?"
		d.Evidence = []diag.Evidence{espEvidence(way.flows[0], "native ESP over IPv6")}
		d.Summary = fmt.Sprintf("IKE over IPv6 is answered between %s and %s, and native ESP goes one way only: next header 50 may be dropped on the way", k[0], k[1])
		found = append(found, span(d))
	}
	return found
}

func largeLostOverIPv6(p *diag.Probe, d diag.Finding) (diag.Finding, bool) {
	d, lost := largeLost(p, d)
	d.Severity = 0
	d.Confidence, d.Surer = diag.Likely, otherSideCapture+": do the fragments arrive?"
	d.Summary = fmt.Sprintf("over IPv6 requests to %s that do not need fragments are answered, and those that do are not: next header 44 is dropped on the way", p.Remote)
	if p.IKEFragments != nil && *p.IKEFragments {
		d.Severity = diag.Low // large messages then go in small packets
	}
	return d, lost && p.Remote.Is6() && !p.Remote.Is4In6()
}

// openWhileDown looks for children that are down, hold nothing back meanwhile,
// and whose destinations this host has a route to. Nothing has leaked that was
// seen: it is worth knowing, and no fault of the moment.
func openWhileDown(f *diag.Facts) []diag.Finding {
	if f.Host == nil || f.Host.Routes == nil || f.Policies == nil || !f.Trace.Daemon.Known {
		return nil
	}
	var found []diag.Finding
	for _, c := range f.Connections {
		for _, child := range c.Children {
			if strings.Contains(child.StartAction, "trap") || holdsBack(f, child) {
				continue
			}
			for _, ts := range prefixes(child.RemoteTS) {
				r := leaves(f.Host, ts)
				if ts.Bits() == 0 || r == nil {
					continue
				}
				d := diag.Finding{Confidence: diag.Hint, Severity: diag.Info, FirstSeen: now(f), LastSeen: now(f), Variant: c.Name + "/" + child.Name}
				d.Subject.Connection = c.Name
				d.Surer = fmt.Sprintf("a capture on %s: tcpdump -ni %s dst net %s", r.Dev, r.Dev, ts)
				d.Evidence = hostEvidence(f, "child %s is not up, no policy holds %s back, and a route leads there by %s", child.Name, ts, r.Dev)
				d.Summary = fmt.Sprintf("while child %s is down, packets to %s leave by %s in the clear", child.Name, ts, r.Dev)
				d.Remedies = holdBack(c.Name, child.Name, ts)
				found = append(found, d)
				break
			}
		}
	}
	return found
}

// holdBack is how to hold back what belongs into a child that is down.
func holdBack(conn, child string, to netip.Prefix) []diag.Remedy {
	all := instead("cleartext-leak-when-down", swan("local", "connections.%s.children.%s.start_action = trap", conn, child))
	fill := strings.NewReplacer("<remote_ts>", to.String())
	if to.Addr().Is6() {
		fill = strings.NewReplacer("<remote_ts>", to.String(), "iptables", "ip6tables")
	}
	for i := range all {
		all[i].Change = fill.Replace(all[i].Change)
	}
	return all
}

// holdsBack says that a child is up, or that some policy stands for it.
func holdsBack(f *diag.Facts, child *engine.ChildConfig) bool {
	covers := func(p netip.Prefix) bool { return slices.ContainsFunc(prefixes(child.RemoteTS), p.Overlaps) }
	return slices.ContainsFunc(children(f), func(c tunnelChild) bool {
		return c.Name == child.Name || slices.ContainsFunc(prefixes(c.RemoteTS), covers)
	}) ||
		slices.ContainsFunc(f.Policies, func(p engine.Policy) bool { return p.Child == child.Name }) ||
		slices.ContainsFunc(f.Host.Policies, func(p diag.HostPolicy) bool { return p.Dir == "out" && covers(p.Dst) })
}

// leaves gives the route by which packets to a network would leave this host,
// nil where none does or the closest one holds them back.
func leaves(h *diag.HostFacts, to netip.Prefix) *diag.HostRoute {
	var best *diag.HostRoute
	for i := range h.Routes {
		r := &h.Routes[i]
		if r.Dst.Addr().Is4() == to.Addr().Is4() && r.Dst.Bits() <= to.Bits() && r.Dst.Overlaps(to) && (best == nil || r.Dst.Bits() > best.Dst.Bits()) {
			best = r
		}
	}
	if best == nil || best.Type != "unicast" || best.Dev == "" || best.Dev == "lo" ||
		slices.ContainsFunc(h.Interfaces, func(i diag.HostInterface) bool {
			return i.Name == best.Dev && (i.IfID != 0 || slices.Contains([]string{"xfrm", "vti", "tun", "tuntap", "dummy"}, i.Kind))
		}) {
		return nil
	}
	return best
}

// Shares of a core's time between two looks at it.
const (
	fullShare = 0.95 // of one core: it cannot do more
	softShare = 0.60 // in packets: that is what it is busy with
	spareCore = 0.60 // another core is idle enough to help
)

// coreFull looks for the core that handles an SA alone and has no time left.
func coreFull(f *diag.Facts) []diag.Finding {
	if f.Host == nil || f.Host.StateGrowth == 0 {
		return nil
	}
	spare := slices.ContainsFunc(f.Host.Cores, func(c diag.HostCore) bool { return c.Busy <= spareCore })
	for _, c := range f.Host.Cores {
		if c.Busy < fullShare || c.Packets < softShare || !spare {
			continue
		}
		d := diag.Finding{Confidence: diag.Likely, Surer: "the same load over two CHILD SAs: does it carry more?", FirstSeen: f.Host.At, LastSeen: f.Host.At}
		if one := children(f); len(one) > 0 && sameSA(one) {
			d.Subject = about(one[0].sa).Subject
		}
		d.Evidence = hostEvidence(f, "core %d was busy for %.0f %% of the time, %.0f %% of it with packets, while others had time; %d octets went through IPsec", c.Number, c.Busy*100, c.Packets*100, f.Host.StateGrowth)
		d.Summary = fmt.Sprintf("core %d of this host does all the IPsec and has no time left: one SA is handled by one core", c.Number)
		return []diag.Finding{d}
	}
	return nil
}

// innerErrorLost is a path that carries large packets outside the tunnel, and
// a tunnel that does not carry them inside: what would tell the sender so does
// not come back.
func innerErrorLost(p *diag.Probe, d diag.Finding) (diag.Finding, bool) {
	small, lost, outside := 0, 0, 0
	for _, s := range p.Inner {
		if s.Answered > 0 {
			small = max(small, s.Octets)
		} else if lost == 0 || s.Octets < lost {
			lost = s.Octets
		}
		d.Evidence = append(d.Evidence, seen("pings through the tunnel of %d octets: %d of %d answered", s.Octets, s.Answered, s.Sent))
	}
	for _, s := range p.Sizes {
		if s.Answered > 0 {
			outside = max(outside, s.Octets)
		}
	}
	d.Evidence = append(d.Evidence, seen("outside the tunnel, packets of up to %d octets are answered", outside))
	d.Confidence, d.Surer = diag.Hint, "a capture behind the peer: does a router there send \"packet too big\", from an address outside the selectors?"
	d.Summary = fmt.Sprintf("the path to %s carries packets of %d octets, and the tunnel loses those of %d without an error: it may come from a router that the selectors leave out", p.Remote, outside, lost)
	return d, small > 0 && lost > small && outside >= lost+maxOverhead
}

// maxOverhead is the most that ESP in tunnel mode adds to a packet: IPv6 40,
// UDP 8, ESP 8, IV 16, padding 15 and its 2 octets, ICV 32 (RFC 4303 2).
const maxOverhead = 40 + 8 + 8 + 16 + 15 + 2 + 32

// firstLargeLost is a size of which the first ping was lost and a later one
// was answered, when smaller ones had passed already.
func firstLargeLost(p *diag.Probe, d diag.Finding) (diag.Finding, bool) {
	passed := false
	for _, s := range p.Inner {
		if passed && s.Answered > 0 && s.Sent > 1 {
			d.Confidence, d.Surer = diag.Hint, "the same size after ten minutes, when what was learned of the path is forgotten"
			d.Evidence = []diag.Evidence{seen("pings through the tunnel of %d octets: the first was lost, number %d was answered", s.Octets, s.Sent)}
			d.Summary = fmt.Sprintf("the first large packet through the tunnel to %s was lost and the next one passed: judge a path MTU by the second packet of a size", p.Remote)
			return d, true
		}
		passed = passed || s.Answered > 0 && s.Sent == 1
	}
	return d, false
}
