package faults

import (
	"context"
	"crypto/elliptic"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
)

const (
	unheard  = "nothing of it reaches the responder"
	unspoken = "nothing is sent"
)

// silent is a fault that the responder hears nothing of.
func silent(id string) map[Source]string {
	m := everywhere(id)
	delete(m, VICIResponder)
	return m
}

// oneWay is silence for the initiator and its capture, while the responder
// answers again and again.
func oneWay(initiator, responder string) map[Source]string {
	m := everywhere(initiator)
	m[VICIResponder] = responder
	return m
}

// Hooks of a firewall before all other rules.
const (
	before  = "type filter hook prerouting priority -450;"
	leaving = "type filter hook output priority -450;"
)

// large has the ends send chains of certificates, some 3000 octets each way.
func large(a, r *lab.End) error {
	return lab.UseCertificates(a, r, lab.ECDSA(elliptic.P521()), 5)
}

// unsplit has them send those in one piece each, which IP then splits.
func unsplit(a, r *lab.End) error {
	a.Conn, r.Conn = append(a.Conn, "fragmentation = no"), append(r.Conn, "fragmentation = no")
	return large(a, r)
}

func pathFaults() []Fault {
	silence := func(name, rules, id string) Fault {
		return Fault{Name: name, Want: silent(id), Hidden: unheard, Upset: chain(atResponder, before, rules)}
	}
	return []Fault{
		silence("firewall drops UDP 500", "udp dport 500 drop", "no-response-to-sa-init"),
		silence("firewall drops everything of the peer", "ip saddr 192.0.2.1 drop", "no-response-to-sa-init"),
		silence("firewall drops UDP 4500", "udp dport 4500 drop", "udp4500-blocked"),
		{Name: "firewall drops the answers from UDP 500", Want: oneWay("no-response-to-sa-init", "sa-init-response-lost"), Upset: chain(atResponder, leaving, "udp sport 500 drop")},
		{Name: "firewall drops the answers from UDP 4500", Want: oneWay("udp4500-blocked", "udp4500-one-way"), Upset: chain(atResponder, leaving, "udp sport 4500 drop")},
		{Name: "large IKE messages get lost", Want: map[Source]string{VICIResponder: "ike-fragment-incomplete"}, Hidden: "to the initiator silence from a port is the same, whatever the reason", Ends: large,
			NoEngine: map[Source]string{EngineResponder: "it tells of messages that are whole"}, Upset: chain(atResponder, before, "udp length > 1000 drop")},
		{Name: "IP fragments get lost", Want: silent("ike-auth-ip-fragment-loss"), Hidden: unheard, Ends: unsplit, Upset: chain(atResponder, before, "ip frag-off & 0x3fff != 0 drop")},
		{Name: "every fifth ESP packet gets lost on the way to the initiator", Want: map[Source]string{Keyed: "esp-path-loss", Sealed: "esp-path-loss"}, Hidden: "daemons count packets, and not those that are missing",
			Upset: chain(atResponder, leaving, "udp sport 4500 @th,64,32 != 0 numgen inc mod 5 0 drop"), Act: manyPings},
		{Name: "nobody at the peer's address", Want: map[Source]string{VICIInitiator: "no-response-to-sa-init"}, Hidden: "no packet leaves: nobody answers for that address", Ends: initiator(func(e *lab.End) { e.RemoteAddrs = "192.0.2.99" })},
		{Name: "the peer's name does not resolve", Want: map[Source]string{VICIInitiator: "peer-dns-failed"}, Hidden: unspoken,
			NoEngine: noEngine("it looks names up when a connection is loaded, and refuses one that has no address"), Ends: initiator(func(e *lab.End) { e.RemoteAddrs = "no-such-host.invalid" })},
	}
}

// manyPings brings the child up and sends more than a few packets each way,
// of which some may be lost.
func manyPings(ctx context.Context, b *lab.Bench) error {
	if _, err := b.Initiate(ctx); err != nil {
		return err
	}
	_, err := lab.Ping(ctx, b.HostA, b.InnerA, b.InnerB, 100, 10*time.Millisecond)
	return err
}

// through is the hook of what a NAT box passes on.
const through = "type filter hook forward priority -10;"

// boxFaults are those of a NAT box between the ends.
func boxFaults() []Fault {
	drops := func(name, rules string, want map[Source]string, hidden string) Fault {
		return Fault{Name: name, Want: want, Hidden: hidden, NAT: true, Upset: chain(atBox, through, rules)}
	}
	fragments := drops("NAT box drops IP fragments", "", silent("ike-auth-ip-fragment-loss"), unheard)
	fragments.Upset = chain(atBox, before, "ip frag-off & 0x3fff != 0 drop")
	fragments.Ends = unsplit
	return []Fault{
		drops("NAT box drops UDP 500", "udp dport 500 drop", silent("no-response-to-sa-init"), unheard),
		drops("NAT box drops UDP 4500", "udp dport 4500 drop", silent("udp4500-blocked"), unheard),
		drops("NAT box drops the answers from UDP 500", `iifname "out" udp sport 500 drop`, oneWay("no-response-to-sa-init", "sa-init-response-lost"), ""),
		drops("NAT box drops the answers from UDP 4500", `iifname "out" udp sport 4500 drop`, oneWay("udp4500-blocked", "udp4500-one-way"), ""),
		fragments,
		{Name: "NAT box forgets the mapping at once", NAT: true, Want: map[Source]string{VICIResponder: "nat-mapping-timeout"}, Hidden: "what the responder sends ends at the box",
			Upset: sysctl(atBox, "net.netfilter.nf_conntrack_udp_timeout=1", "net.netfilter.nf_conntrack_udp_timeout_stream=1"),
			Ends:  responder(func(e *lab.End) { e.Conn = append(e.Conn, "dpd_delay = 3s") }), Act: idleAndBack},
	}
}

// idleAndBack brings the child up and leaves it alone: the responder asks in vain
// whether the initiator lives, then the initiator speaks by itself.
func idleAndBack(ctx context.Context, b *lab.Bench) error {
	if _, err := b.Initiate(ctx); err != nil {
		return err
	}
	time.Sleep(5 * time.Second)
	if out, err := b.A.Swanctl(ctx, "--rekey", "--child", "net"); err != nil {
		return &failed{out, err}
	}
	time.Sleep(time.Second) // the answer and the peer's next attempt
	return nil
}
