package rule

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/cloudvlan/cvlanctl/diag"
)

// hostPathRules read by which interfaces of this host packets come and go.
var hostPathRules = []diag.Rule{
	{ID: "forwarding-firewall-rpfilter", Needs: []string{"rp_filter of each interface and IPReversePathFilter"}, Find: reversePath},
	{ID: "route-missing", Needs: []string{"the routes into a TUN device of the daemon's own ESP"}, Find: strayRoute},
	{ID: "policy-or-if-id-missing", Needs: []string{"disable_xfrm and disable_policy, of all interfaces and of the outer one"}, Find: xfrmOff},
}

// reversePath looks for a strict reverse path filter that has dropped packets,
// while a tunnel of this host hears nothing.
func reversePath(f *diag.Facts) []diag.Finding {
	if f.Host == nil || f.Host.PathFiltered == 0 {
		return nil
	}
	var strict []string
	for _, i := range f.Host.Interfaces {
		if i.RPFilter == 1 && i.Up && i.Name != "lo" {
			strict = append(strict, i.Name)
		}
	}
	if len(strict) < 2 {
		return nil // with one interface there is no other way to come by
	}
	var found []diag.Finding
	for _, sa := range v2(f) {
		deaf := !up(sa) && sa.Ended == "" || !up(sa) && sa.ResponderSPI == 0
		for _, c := range children(f) {
			deaf = deaf || c.sa == sa && c.PacketsIn.Or(1) == 0 && c.PacketsOut.Or(0) > 0
		}
		if !deaf {
			continue
		}
		d := about(sa)
		d.Confidence, d.Surer = diag.Likely, "whether it grows while the peer sends: nstat -az TcpExtIPReversePathFilter"
		d.FirstSeen, d.LastSeen = sa.First, now(f)
		d.Evidence = hostEvidence(f, "rp_filter = 1 on %s; %d packets were dropped for coming in by another interface than the route back (IPReversePathFilter)",
			join(strict), f.Host.PathFiltered)
		d.Summary = fmt.Sprintf("this host drops packets that come in by another interface than its route back to them (strict rp_filter), and hears nothing of %s", sa.Remote.Host)
		d.Remedies = []diag.Remedy{{Side: "local", Platform: "linux", Change: fmt.Sprintf("sysctl -w net.ipv4.conf.%s.rp_filter=2   (and net.ipv4.conf.all.rp_filter=2)", strict[len(strict)-1])}}
		found = append(found, d)
	}
	return found
}

// tunnels are the kinds of interface that a daemon which does ESP itself uses.
var tunnels = []string{"tun", "tuntap"}

// strayRoute looks for children of a daemon that does ESP itself, by a TUN
// device, whose destinations are routed elsewhere.
func strayRoute(f *diag.Facts) []diag.Finding {
	if f.Host == nil || f.Host.Routes == nil || f.Host.States == nil {
		return nil
	}
	var devs []string
	for _, i := range f.Host.Interfaces {
		if slices.Contains(tunnels, i.Kind) {
			devs = append(devs, i.Name)
		}
	}
	if len(devs) == 0 {
		return nil
	}
	var found []diag.Finding
	for _, c := range daemonChildren(f) {
		if c.IfIDOut.Or(0) != 0 || inKernel(f.Host, c) || hasPolicy(f.Host, c) || !c.tunnel() {
			continue
		}
		for _, ts := range prefixes(c.RemoteTS) {
			inside := func(r diag.HostRoute) bool { return slices.Contains(devs, r.Dev) && r.Dst.Overlaps(ts) }
			r := leaves(f.Host, ts)
			if ts.Bits() == 0 || r == nil || slices.ContainsFunc(f.Host.Routes, inside) {
				continue
			}
			d := c.about(f)
			d.Confidence = diag.Certain
			d.Evidence = hostEvidence(f, "no route to %s by %s; the route %s by %s takes it", ts, join(devs), r.Dst, r.Dev)
			d.Summary = fmt.Sprintf("packets to %s leave by %s and not by the tunnel: its route is missing", ts, r.Dev)
			d.Remedies = []diag.Remedy{{Side: "local", Platform: "linux", Change: fmt.Sprintf("ip route add %s dev %s", ts, devs[0])}}
			found = append(found, d)
			break
		}
	}
	return found
}

// xfrmOff looks for the switches that have the kernel pass its policies by, of all
// interfaces or of the one that a child's packets come and go by.
func xfrmOff(f *diag.Facts) []diag.Finding {
	if f.Host == nil {
		return nil
	}
	var found []diag.Finding
	for _, c := range daemonChildren(f) {
		if !inKernel(f.Host, c) || !slices.ContainsFunc(prefixes(c.LocalTS), func(p netip.Prefix) bool { return p.Addr().Is4() }) {
			continue
		}
		d := c.about(f)
		d.Confidence = diag.Certain
		dev := outerDevice(f.Host, c)
		name := switched(f.Host, dev, "disable_xfrm")
		if name != "" {
			d.Summary = fmt.Sprintf("the kernel applies no IPsec policy to what leaves (%s = 1): traffic to %s goes past the tunnel", name, join(c.RemoteTS))
		} else if name = switched(f.Host, dev, "disable_policy"); name != "" {
			// It carries; what comes in the clear is taken as well.
			d.Severity = diag.Medium
			d.Summary = fmt.Sprintf("the kernel takes packets from %s that come without the tunnel (%s = 1)", join(c.RemoteTS), name)
		} else {
			continue
		}
		d.Evidence = hostEvidence(f, "%s = 1", name)
		d.Remedies = []diag.Remedy{{Side: "local", Platform: "linux", Change: "sysctl -w " + name + "=0"}}
		found = append(found, d)
	}
	return found
}

// switched gives the name under which a switch of IPv4 is on, for an interface or
// for all; "" where it is off.
func switched(h *diag.HostFacts, dev, what string) string {
	for _, of := range []string{"all", dev} {
		if name := "net.ipv4.conf." + of + "." + what; h.Sysctls[name] == "1" {
			return name
		}
	}
	return ""
}

// outerDevice is the interface by which a child's packets leave where no XFRM
// interface has them: that of the route to its destinations, or else the one with
// the SA's own address.
func outerDevice(h *diag.HostFacts, c tunnelChild) string {
	for _, ts := range prefixes(c.RemoteTS) {
		if r := leaves(h, ts); r != nil {
			return r.Dev
		}
	}
	for _, i := range h.Interfaces {
		if slices.ContainsFunc(i.Prefixes, func(p netip.Prefix) bool { return p.Addr() == c.sa.Local.Host }) {
			return i.Name
		}
	}
	return ""
}
