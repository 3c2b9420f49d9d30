package faults

import (
	"context"
	"errors"
	"path/filepath"

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
		return Fault{Name: name, Want: map[Source]string{VICIInitiator: id}, NoEngine: noEngine("the same as with any firewall, and its host is not looked at"),
			Hidden: "the same as any firewall", Upset: chain(atInitiator, hook, rules)}
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

// restored starts the initiator's daemon anew in the end.
func restored(_ context.Context, b *lab.Bench) (func(context.Context) error, error) {
	return func(ctx context.Context) error { return errors.Join(b.A.Stop(), b.A.Start(ctx)) }, nil
}
