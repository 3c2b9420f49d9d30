package faults

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/cloudvlan/cvlanctl/lab"
)

// onHost is a fault that the initiator's host alone shows.
func onHost(id string) map[Source]string {
	return map[Source]string{Host: id}
}

const untold = "a setting of the host: nothing but the host tells it"

// hostFaults are those of a host set wrong, the initiator's.
func hostFaults() []Fault {
	network := func(a, r *lab.End) error {
		a.LocalTS, r.RemoteTS = "10.1.0.0/24", "10.1.0.0/24"
		return nil
	}
	network6 := func(a, r *lab.End) error {
		a.LocalTS, a.RemoteTS = "fd00:1::/64", "fd00:2::1/128"
		r.LocalTS, r.RemoteTS = a.RemoteTS, a.LocalTS
		return nil
	}
	forwards := sysctl(atInitiator, "net.ipv4.ip_forward=1")
	behind := func(name, id string, u Upset) Fault {
		return Fault{Name: name, Want: onHost(id), Hidden: untold, Ends: network, Upset: u}
	}
	own := func(name, hook, rules, id string) Fault {
		return Fault{Name: name, Want: map[Source]string{VICIInitiator: id}, NoEngine: map[Source]string{EngineResponder: unheard},
			Hidden: "the same as any firewall", Upset: chain(atInitiator, hook, rules)}
	}
	// After the child is up something changes, until ask has looked.
	later := func(change Upset) func(context.Context, *lab.Bench) error {
		return func(ctx context.Context, b *lab.Bench) error {
			if err := upAndPinged(ctx, b); err != nil {
				return err
			}
			_, err := change(ctx, b) // the next fault's taking down cleans it up
			return err
		}
	}
	return []Fault{
		behind("the host does not forward", "forwarding-firewall-rpfilter", sysctl(atInitiator, "net.ipv4.ip_forward=0")),
		{Name: "the host does not forward IPv6", Want: onHost("forwarding-firewall-rpfilter"), Hidden: untold, Ends: network6, Upset: sysctl(atInitiator, "net.ipv6.conf.all.forwarding=0")},
		behind("the host's firewall forwards nothing", "forwarding-firewall-rpfilter", all(forwards, chain(atInitiator, "type filter hook forward priority 0; policy drop;", ""))),
		behind("the host masquerades what belongs into the tunnel", "snat-before-ipsec", all(forwards, chain(atInitiator, "type nat hook postrouting priority srcnat;", "ip saddr 10.1.0.0/24 masquerade"))),
		behind("the host gives another source to what belongs into the tunnel", "snat-before-ipsec", all(forwards, chain(atInitiator, "type nat hook postrouting priority srcnat;", "ip saddr 10.1.0.0/16 snat ip to 192.0.2.1"))),
		behind("a policy is left over from another program", "stale-policy-claims-traffic", all(forwards,
			added(atInitiator, "xfrm policy %s src 10.1.0.0/24 dst 10.2.0.0/16 dir out", "tmpl src 192.0.2.1 dst 192.0.2.9 proto esp mode tunnel reqid 77"))),
		own("the host's firewall lets no IKE in", "type filter hook input priority 0;", "udp dport 500 drop", "no-response-to-sa-init"),
		own("the host's firewall lets no IKE out", "type filter hook output priority 0;", "udp dport 500 drop", "no-response-to-sa-init"),
		own("the host's firewall lets no UDP 4500 in", "type filter hook input priority 0;", "udp dport 4500 drop", "udp4500-blocked"),
		own("the host's firewall lets no UDP 4500 out", "type filter hook output priority 0;", "udp dport 4500 drop", "udp4500-blocked"),
		own("the host's firewall lets nothing in by default", "type filter hook input priority 0; policy drop;", "iifname \"lo\" accept\nct state established tcp dport 22 accept", "no-response-to-sa-init"),
		{Name: "strict rp_filter, and the peer's packets come by another interface", Want: map[Source]string{VICIInitiator: "no-response-to-sa-init", Host: "forwarding-firewall-rpfilter"},
			NoEngine: map[Source]string{EngineResponder: "it hears what comes, and its answers are not missed by it"}, Hidden: "at the initiator every answer is on the wire, but on another interface", Upset: otherWay},
		{Name: "the tunnel's route is gone", Want: onHost("route-missing"), Hidden: untold, Act: later(tunnelRouteGone)},
		{Name: "the XFRM interface of a child is missing", Want: onHost("policy-or-if-id-missing"), Hidden: untold, NoEngine: noEngine("it has no XFRM interfaces"),
			Ends: initiator(func(e *lab.End) { e.Child = append(e.Child, "if_id_in = 42", "if_id_out = 42") })},
		{Name: "the host has no route to the peer", Want: map[Source]string{VICIInitiator: "route-missing"}, Hidden: unspoken, Ends: initiator(func(e *lab.End) { e.RemoteAddrs = "203.0.113.9"; e.LocalAddrs = "" }),
			NoEngine: noEngine("it ends with the error of the system, before any SA"),
			Upset:    removed(atInitiator, "route %s default via 192.0.2.2")},
		{Name: "another program has the port 4500", Want: map[Source]string{VICIInitiator: "daemon-socket-bind-failed"}, Hidden: unspoken, NoEngine: noEngine("it does not start then, and says why"),
			Upset: restored, Act: portTaken},
	}
}

// portTaken starts the initiator's daemon anew while another program has its
// port.
func portTaken(ctx context.Context, b *lab.Bench) (err error) {
	if err := b.A.Stop(); err != nil {
		return err
	}
	c, err := b.NSA.ListenUDP("0.0.0.0:4500")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := b.A.Start(ctx); err != nil {
		return err
	}
	if _, err := b.A.Swanctl(ctx, "--load-all", "--file", filepath.Join(b.A.Dir, "swanctl.conf")); err != nil {
		return err
	}
	_, _ = b.Initiate(ctx) // it fails; the sources tell how
	return nil
}

// otherWay has the responder's packets come in by a second cable, at a host
// that takes them by the first only.
func otherWay(ctx context.Context, b *lab.Bench) (func(context.Context) error, error) {
	if err := lab.Join(ctx, b.NSA, "eth1", b.NSB, "eth1"); err != nil {
		return nil, err
	}
	strict, err := sysctl(atInitiator, "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.eth0.rp_filter=1", "net.ipv4.conf.eth1.rp_filter=1")(ctx, b)
	back := func(ctx context.Context) error {
		var err error
		if strict != nil {
			err = strict(ctx)
		}
		return errors.Join(err, b.NSA.IP(ctx, "link", "delete", "eth1")) // the route goes with it
	}
	var mac string
	if err == nil {
		err = lab.Address(ctx, b.NSA, "eth1", "198.51.100.1/24")
	}
	if err == nil {
		mac, err = b.NSA.Exec(ctx, "cat", "/sys/class/net/eth1/address")
	}
	if err == nil { // such a host does not answer ARP there either
		err = b.NSB.IP(ctx, "neighbour", "add", b.OuterA, "lladdr", strings.TrimSpace(mac), "dev", "eth1")
	}
	if err == nil {
		err = b.NSB.IP(ctx, "route", "add", b.OuterA+"/32", "dev", "eth1", "src", b.OuterB)
	}
	if err != nil {
		return nil, errors.Join(err, back(ctx))
	}
	return back, nil
}

// tunnelRouteGone removes the route into the TUN device that the initiator's
// ESP goes by.
func tunnelRouteGone(ctx context.Context, b *lab.Bench) (func(context.Context) error, error) {
	out, err := b.NSA.Exec(ctx, "ip", "route", "show", "table", "all", b.InnerB)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(out) {
		if !strings.Contains(line, "dev ipsec") && !strings.Contains(line, "dev cvl") {
			continue
		}
		if err := b.NSA.IP(ctx, append([]string{"route", "delete"}, strings.Fields(line)...)...); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// restored starts the initiator's daemon anew in the end.
func restored(_ context.Context, b *lab.Bench) (func(context.Context) error, error) {
	return func(ctx context.Context) error { return errors.Join(b.A.Stop(), b.A.Start(ctx)) }, nil
}
