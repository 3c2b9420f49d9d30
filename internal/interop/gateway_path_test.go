package interop_test

import (
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/internal/interop"
	"github.com/cloudvlan/cvlanctl/lab"
)

// behindNAT gives a place behind a masquerading box on the segment.
func behindNAT(t *testing.T, segment *lab.Segment) place {
	t.Helper()
	const outside, inside, gateway = "192.0.2.7", "10.77.0.2", "10.77.0.1"
	ctx := t.Context()
	box, err := segment.Neighbour(ctx, "nat", outside+"/24")
	if err != nil {
		t.Fatal(err)
	}
	ns, err := lab.NewNS(ctx, "behind")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ns.Delete(); err != nil {
			t.Error(err)
		}
	})
	for _, step := range []func() error{
		func() error { return lab.Join(ctx, ns, "eth0", box, "in") },
		func() error { return lab.Address(ctx, ns, "eth0", inside+"/24") },
		func() error { return lab.Address(ctx, box, "in", gateway+"/24") },
		func() error { return lab.Route(ctx, ns, gateway) },
		func() error {
			_, err := box.Exec(ctx, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
			return err
		},
		func() error {
			return box.NFT(ctx, "table ip nat {\nchain post {\ntype nat hook postrouting priority srcnat\noifname \"eth0\" ip protocol udp masquerade to :20000-59999 random\n}\n}\n")
		},
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return place{ns: ns, local: inside, remote: lab.GuestIPv4, seen: outside}
}

// paths tries what is between us and a gateway, each with our engine in another
// place.
func paths(t *testing.T, gw lab.Gateway, segment *lab.Segment, ns *lab.NS) {
	t.Run("behind a NAT box", func(t *testing.T) {
		r := newGatewayRig(t, segment.Guest, gw, behindNAT(t, segment), ike.Settings{})
		r.as(t, interop.Initiator, "path: a NAT box in front of us", func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("masquerading, with ports of its own; ESP in UDP; both rekeyings by us, a liveness check, delete")
			p := r.pair(t, role, nil)
			if ours := p.up(); !ours.NAT.Local.Or(false) || ours.NAT.Remote.Or(true) || ours.Remote.Port != 4500 {
				t.Errorf("NAT %v, port %d", ours.NAT, ours.Remote.Port)
			}
			p.whole()
		})
	})
	t.Run("IPv6", func(t *testing.T) {
		r := newGatewayRig(t, segment.Guest, gw, place{ns: ns, local: lab.NeighbourIPv6, remote: lab.GuestIPv6, seen: lab.NeighbourIPv6}, ike.Settings{})
		r.eachRole(t, "path: IPv6 outside, IPv4 inside", func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("both rekeyings by us, a liveness check, delete")
			p := r.pair(t, role, nil)
			p.up()
			p.whole()
		})
		r.eachRole(t, "path: IPv6 outside and inside", func(t *testing.T, role interop.Role, e *interop.Entry) {
			p := r.pair(t, role, func(p *pairing) {
				p.conn.Children[0].LocalTS, p.conn.Children[0].RemoteTS = prefixes("fd00:1::/64"), prefixes("fd00:2::/64")
				p.theirs.LocalTS, p.theirs.RemoteTS = []string{"fd00:2::/64"}, []string{"fd00:1::/64"}
			})
			p.up()
		})
	})
	t.Run("cookies", func(t *testing.T) {
		r := newGatewayRig(t, segment.Guest, gw, beside(ns), ike.Settings{CookieThreshold: -1})
		r.as(t, interop.Responder, "negotiation: COOKIE", func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("we demand it of every initiator")
			p := r.pair(t, role, nil)
			p.up()
			p.tookCookie()
		})
	})
}

// whole is what happens to a tunnel that is up: both rekeyings by us, a
// liveness check, our delete.
func (p *pair) whole() {
	p.t.Helper()
	p.rekeyChild(interop.Initiator)
	p.rekeyIKE(interop.Initiator)
	p.probe()
	p.deleteIKE()
}

// encapsulation tries ESP in UDP without a NAT, and the transport mode.
func (r *gatewayRig) encapsulation(t *testing.T) {
	r.eachRole(t, "path: UDP encapsulation forced by us", func(t *testing.T, role interop.Role, e *interop.Entry) {
		p := r.pair(t, role, func(p *pairing) { p.conn.ForceEncap = true })
		p.up()
		p.encapsulated()
		p.rekeyChild(interop.Initiator)
		p.encapsulated()
	})
	const byPeer = "path: UDP encapsulation forced by the peer"
	if r.gateway.Software() == lab.OpenIKED {
		for _, role := range interop.Roles() {
			r.rec.Lacks(role, byPeer, "OpenIKED cannot be made to encapsulate in UDP without a NAT")
		}
	} else {
		r.forcedByPeer(t, byPeer)
	}
	r.eachRole(t, "child SAs: transport mode", func(t *testing.T, role interop.Role, e *interop.Entry) {
		p := r.pair(t, role, func(p *pairing) {
			p.conn.Children[0].Transport, p.theirs.Transport = true, true
			p.conn.Children[0].LocalTS, p.conn.Children[0].RemoteTS = nil, nil
			if role == interop.Responder {
				p.conn.Children[0].LocalTS, p.conn.Children[0].RemoteTS = prefixes(r.local.String()+"/32"), prefixes(r.remote.String()+"/32")
			}
			p.theirs.LocalTS, p.theirs.RemoteTS = nil, nil
		})
		ours := p.up()
		if c := ours.Children[0]; c.Mode != "TRANSPORT" {
			t.Errorf("the child is in mode %q", c.Mode)
		}
		p.rekeyChild(interop.Initiator)
	})
}

// forcedByPeer has the gateway claim a NAT.
func (r *gatewayRig) forcedByPeer(t *testing.T, feature string) {
	r.eachRole(t, feature, func(t *testing.T, role interop.Role, e *interop.Entry) {
		p := r.pair(t, role, func(p *pairing) { p.theirs.ForceEncap = true })
		p.up()
		p.encapsulated()
	})
}

// encapsulated proves that the child's ESP goes in UDP; agree has compared it
// with the guest's kernel.
func (p *pair) encapsulated() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.children {
		if !u.Encap {
			p.t.Error("ESP goes without UDP")
		}
	}
}

// fragmentation tries certificates that do not fit into one packet.
func (r *gatewayRig) fragmentation(t *testing.T) {
	const feature = "path: IKE fragments with big certificates"
	depth := 4
	if r.ignoresChains() { // and sends one authority beside its own certificate
		depth = 1
	}
	h := newHierarchy(t, lab.RSA(2048), depth)
	r.eachRole(t, feature, func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("RSA 2048 below four authorities; IKE_AUTH in fragments both ways")
		if r.ignoresChains() {
			e.Detail("RSA 2048, the peer's below one authority, of which it sends no more; IKE_AUTH in fragments from the peer")
		}
		p := r.pair(t, role, func(p *pairing) {
			p.certify(t, h, signatures[0].signBy[r.gateway.Software()], auth.Rules{PKCS1: r.gateway.Software() != lab.Libreswan})
		})
		p.up()
		sent, taken := p.fragments()
		if taken == 0 || sent == 0 && !r.ignoresChains() {
			t.Errorf("%d fragments sent, %d taken", sent, taken)
		}
	})
}

// fragments counts the messages that we sent and took in IKE fragments.
func (p *pair) fragments() (sent, taken int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.events {
		k := p.events[i].Packet
		switch {
		case k == nil || k.IKE == nil || k.IKE.Message == nil || k.IKE.Message.NextPayload != wire.PayloadSKF:
		case k.Dst == p.local:
			taken++
		default:
			sent++
		}
	}
	return sent, taken
}

// weFallSilent has the gateway find that we are gone.
func (r *gatewayRig) weFallSilent(t *testing.T) {
	const feature = "liveness: we fall silent"
	if !r.checksSoon() {
		for _, role := range interop.Roles() {
			r.rec.Lacks(role, feature, "on Linux OpenIKED asks for no sign of life")
		}
		return
	}
	r.eachRole(t, feature, func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("the peer's checks go unanswered: it drops IKE SA and child, and takes a new one afterwards")
		p := r.pair(t, role, func(p *pairing) { p.theirs.DPDDelay, p.theirs.DPDTimeout = time.Second, 5*time.Second })
		p.up()
		if err := r.ns.NFT(t.Context(), "table inet silence {\nchain in {\ntype filter hook input priority 0\nudp dport { 500, 4500 } drop\n}\n}\n"); err != nil {
			t.Fatal(err)
		}
		gone := lab.Eventually(t.Context(), guestPatience, "the peer to notice", func() bool {
			states, err := p.kernel(t.Context())
			return err == nil && len(states) == 0
		})
		if err := r.ns.NFT(t.Context(), "delete table inet silence\n"); err != nil {
			t.Fatal(err)
		}
		if gone != nil {
			t.Fatal(gone)
		}
		p.command(ike.DeleteIKE{})
		p.until("our side to end", func() bool { return len(p.ours()) == 0 })
		if role == interop.Initiator || r.gateway.Software() != lab.Libreswan { // which begins anew by itself
			p.initiate()
		}
		p.until("a new tunnel", func() bool { return len(p.ours()) > 0 })
		p.agree(1)
	})
}
