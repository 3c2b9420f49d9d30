package interop_test

import (
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/internal/interop"
	"github.com/cloudvlan/cvlanctl/lab"
)

// whole is the short life of a tunnel: both rekeyings by either side, a
// liveness check, deletion by the side that did not begin.
func (tn *tunnel) whole() {
	tn.t.Helper()
	tn.up()
	for _, who := range interop.Roles() {
		tn.rekeyChild(who)
		tn.rekeyIKE(who)
	}
	tn.probe()
	if tn.role == interop.Initiator {
		tn.peerDeletes("")
	} else {
		tn.command(ike.DeleteIKE{})
	}
	tn.gone()
}

func TestInteropPathsWithStrongSwan(t *testing.T) {
	for _, row := range []struct {
		name   string
		nat    lab.NAT
		weAre  interop.Role
		detail string
	}{
		{"path: a NAT box in front of us", lab.NATInitiator, interop.Initiator, "masquerading, with ports of its own"},
		{"path: a NAT box in front of the peer", lab.NATInitiator, interop.Responder, "masquerading, with ports of its own"},
		{"path: a NAT box in front of either side", lab.NATBoth, interop.Initiator, "the peer's box forwards ports 500 and 4500"},
		{"path: a NAT box in front of either side", lab.NATBoth, interop.Responder, "our box forwards ports 500 and 4500"},
	} {
		r := newRig(t, ground{scenario: lab.Scenario{NAT: row.nat}, weAre: row.weAre})
		r.as(t, row.weAre, row.name, func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("%s; life of the tunnel: rekeying by either side, liveness check, delete", row.detail)
			tn := r.tunnel(t, role, settings{})
			ours, theirs := tn.up()
			behind := role == interop.Initiator || row.nat == lab.NATBoth
			if got := ours.NAT.Local.Or(!behind); got != behind {
				t.Errorf("our side says of a NAT in front of it %v", got)
			}
			if !ours.NAT.Remote.Or(false) {
				t.Error("our side sees no NAT in front of the peer")
			}
			if ours.Remote.Port == 500 || theirs.Remote.Port == 500 {
				t.Errorf("ports %d here, %d at the peer", ours.Remote.Port, theirs.Remote.Port)
			}
			if role == interop.Initiator && theirs.Remote.Port == 4500 {
				t.Error("the NAT box did not change our port: the test proves nothing")
			}
			tn.command(ike.DeleteIKE{})
			tn.gone()
			tn.whole()
		})
	}
}

func TestInteropIPv6WithStrongSwan(t *testing.T) {
	r := newRig(t, ground{scenario: lab.Scenario{IPv6: true}})
	r.eachRole(t, "path: IPv6 outside and inside", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("life of the tunnel: rekeying by either side, liveness check, delete")
		tn := r.tunnel(t, role, settings{change: func(conn *ike.Connection, theirs *backend.Section) {
			conn.Children[0].LocalTS, conn.Children[0].RemoteTS = prefixes("fd00:1::1/128"), prefixes("fd00:2::/64")
			net := theirs.Sub("children").Sub("net")
			net.SetList("local_ts", "fd00:2::/64")
			net.SetList("remote_ts", "fd00:1::1/128")
		}})
		tn.whole()
	})
	r.eachRole(t, "path: IPv6 outside, IPv4 inside", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("tunnel up")
		r.tunnel(t, role, settings{}).up()
	})
	r.fragmented(t, "path: IKE fragments over IPv6")
}

func TestInteropWithoutNATWithStrongSwan(t *testing.T) {
	r := newRig(t, ground{kernelESP: true})
	r.eachRole(t, "path: no NAT, port 500 throughout", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("IKE SA without a child (RFC 6023), both rekeyings, delete")
		tn := r.tunnel(t, role, settings{change: func(conn *ike.Connection, theirs *backend.Section) {
			conn.Childless = true
			conn.Children[0].Wait = true
			theirs.Set("childless", "force")
			theirs.Set("mobike", "no") // which would go to port 4500
		}})
		if role == interop.Initiator {
			tn.initiate()
		} else {
			tn.peerUp("")
		}
		ours, theirs := tn.agree(0)
		if ours.Remote.Port != 500 || theirs.Remote.Port != 500 || ours.NAT.Any.Or(true) || theirs.NAT.Any.Or(true) {
			t.Errorf("ports %d and %d, NAT %v and %v", ours.Remote.Port, theirs.Remote.Port, ours.NAT, theirs.NAT)
		}
		for _, who := range interop.Roles() {
			tn.rekeyIKE(who)
		}
		tn.command(ike.DeleteIKE{})
		tn.gone()
	})
}

func TestInteropFragmentationWithStrongSwan(t *testing.T) {
	r := newRig(t, ground{})
	r.fragmented(t, "path: IKE fragments with big certificates")
	h := newHierarchy(t, lab.RSA(2048), 4)
	r.eachRole(t, "path: big certificates without IKE fragmentation", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("RSA 2048 below four authorities; the IP layer fragments")
		tn := r.tunnel(t, role, settings{change: func(conn *ike.Connection, theirs *backend.Section) {
			r.certify(t, h, conn, theirs, "pubkey", auth.Rules{})
			conn.NoFragmentation = true
			theirs.Set("fragmentation", "no")
		}})
		tn.up()
		if tn.logged("splitting IKE message") || tn.logged("received fragment #") {
			t.Error("IKE fragments were sent though nobody offers them")
		}
	})
}

// fragmented proves that both sides send IKE_AUTH in fragments and take them.
func (r *rig) fragmented(t *testing.T, feature string) {
	h := newHierarchy(t, lab.RSA(2048), 4)
	r.eachRole(t, feature, func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("RSA 2048 below four authorities; IKE_AUTH in fragments both ways")
		tn := r.tunnel(t, role, settings{change: func(conn *ike.Connection, theirs *backend.Section) {
			r.certify(t, h, conn, theirs, "pubkey", auth.Rules{})
			if strings.Contains(feature, "IPv6") {
				conn.Children[0].LocalTS, conn.Children[0].RemoteTS = prefixes("fd00:1::1/128"), prefixes("fd00:2::1/128")
				net := theirs.Sub("children").Sub("net")
				net.SetList("local_ts", "fd00:2::1/128")
				net.SetList("remote_ts", "fd00:1::1/128")
			}
		}})
		tn.up()
		for _, text := range []string{"splitting IKE message", "received fragment #"} {
			if !tn.logged(text) {
				t.Errorf("the peer's log has no %q", text)
			}
		}
	})
}
