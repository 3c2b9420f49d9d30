package interop_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/internal/interop"
)

func sharedKey(s string) auth.SharedKeys {
	return auth.SharedKeys{{Key: suite.NewSecret([]byte(s))}}
}

// refused begins a tunnel that must not come up, and proves that the refusal
// was told and nothing is left of it.
func (tn *tunnel) refused(notify string) {
	tn.t.Helper()
	if tn.role == interop.Responder {
		err := tn.client.Up(tn.t.Context(), backend.Target{IKE: tn.name, Child: "net"}, backend.UpOptions{}, nil)
		if err == nil {
			tn.t.Fatal("the tunnel came up")
		}
	} else {
		tn.initiate()
	}
	tn.until("our refusal", func() bool {
		tn.mu.Lock()
		defer tn.mu.Unlock()
		return slices.ContainsFunc(tn.errs, func(s string) bool { return strings.Contains(s, notify) })
	})
	tn.gone()
}

func TestInteropCookiesWithStrongSwan(t *testing.T) {
	one := func(conn *ike.Connection, theirs *backend.Section) {}
	// The initiator's first group is not the one that the responder wants.
	two := func(weBegin bool) func(conn *ike.Connection, theirs *backend.Section) {
		return func(conn *ike.Connection, theirs *backend.Section) {
			ours, peers := "aes256gcm16-prfsha256-curve25519", "aes256gcm16-prfsha256-ecp256-curve25519"
			if weBegin {
				ours, peers = peers, ours
			}
			conn.Proposals = proposals(t, wire.ProtocolIKE, ours)
			theirs.SetList("proposals", peers)
		}
	}
	ours := newRig(t, ground{settings: ike.Settings{CookieThreshold: -1}})
	for feature, change := range map[string]func(*ike.Connection, *backend.Section){"COOKIE": one, "COOKIE and INVALID_KE_PAYLOAD": two(false)} {
		ours.as(t, interop.Responder, "negotiation: "+feature, func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("we demand it of every initiator")
			tn := ours.tunnel(t, role, settings{change: change})
			tn.up()
			tn.tookCookie()
		})
	}
	theirs := newRig(t, ground{daemon: []string{"cookie_threshold = 1", "cookie_threshold_ip = 1"}})
	for feature, change := range map[string]func(*ike.Connection, *backend.Section){"COOKIE": one, "COOKIE and INVALID_KE_PAYLOAD": two(true)} {
		theirs.as(t, interop.Initiator, "negotiation: "+feature, func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("the peer demands it from its first half-open SA on")
			tn := theirs.tunnel(t, role, settings{change: change})
			tn.halfOpen()
			tn.up()
			if !tn.stepped("cookie") {
				t.Error("the peer demanded no cookie")
			}
		})
	}
}

// halfOpen leaves the peer a half-open IKE SA, from a port of its own.
func (tn *tunnel) halfOpen() {
	tn.t.Helper()
	e := ike.NewEndpoint(ike.Settings{})
	// With the last group alone, which the peer has: a request with another is
	// refused, and leaves nothing half open.
	knocking := *tn.conn
	knocking.Proposals = [][]wire.Transform{slices.Clone(tn.conn.Proposals[0])}
	groups := 0
	for _, x := range knocking.Proposals[0] {
		if x.Type == wire.TransformKE {
			groups++
		}
	}
	knocking.Proposals[0] = slices.DeleteFunc(knocking.Proposals[0], func(x wire.Transform) bool {
		if x.Type != wire.TransformKE {
			return false
		}
		groups--
		return groups > 0
	})
	if err := e.Add(&knocking); err != nil {
		tn.t.Fatal(err)
	}
	_, out, err := e.Initiate(time.Now(), tn.name, netip.Addr{})
	if err != nil {
		tn.t.Fatal(err)
	}
	c, err := tn.ns.ListenUDP(netip.AddrPortFrom(tn.local, 5000).String())
	if err != nil {
		tn.t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // it has served
	if _, err := c.WriteToUDPAddrPort(out.Datagrams[0].Octets, netip.AddrPortFrom(tn.remote, 500)); err != nil {
		tn.t.Fatal(err)
	}
	tn.until("the peer's half-open SA", func() bool {
		return slices.ContainsFunc(tn.peersOrNone(), func(s string) bool { return s == "CONNECTING" })
	})
}

// peersOrNone gives the states of all IKE SAs of the peer.
func (tn *tunnel) peersOrNone() []string {
	list, err := tn.client.SAs(tn.t.Context(), backend.Filter{})
	if err != nil {
		return nil
	}
	var states []string
	for _, s := range list {
		states = append(states, string(s.State))
	}
	return states
}

func TestInteropGroupsAndProposalsWithStrongSwan(t *testing.T) {
	r := newRig(t, ground{})
	r.eachRole(t, "negotiation: INVALID_KE_PAYLOAD in IKE_SA_INIT", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("the initiator sends ecp256, the responder wants curve25519")
		tn := r.tunnel(t, role, settings{change: func(conn *ike.Connection, theirs *backend.Section) {
			both, one := "aes256gcm16-prfsha256-ecp256-curve25519", "aes256gcm16-prfsha256-curve25519"
			if role == interop.Responder {
				both, one = one, both
			}
			conn.Proposals = proposals(t, wire.ProtocolIKE, both)
			theirs.SetList("proposals", one)
		}})
		ours, _ := tn.up()
		if !strings.Contains(ours.Suite.Keyword, "curve25519") || len(tn.checks(event.CheckKE)) == 0 {
			t.Errorf("suite %s, checks %v", ours.Suite.Keyword, tn.checks(event.CheckKE))
		}
	})
	for _, who := range interop.Roles() {
		by := map[interop.Role]string{interop.Initiator: "we rekey", interop.Responder: "the peer rekeys"}[who]
		r.eachRole(t, "negotiation: INVALID_KE_PAYLOAD when "+by+" a child", func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("ecp256 is sent, modp2048 is wanted")
			tn := r.tunnel(t, role, settings{change: func(conn *ike.Connection, theirs *backend.Section) {
				both, one := "aes256gcm16-ecp256-modp2048", "aes256gcm16-modp2048"
				if who == interop.Responder {
					both, one = one, both
				}
				conn.Children[0].Proposals = proposals(t, wire.ProtocolESP, both)
				theirs.Sub("children").Sub("net").SetList("esp_proposals", one)
			}})
			tn.up()
			if ours := tn.rekeyChild(who); !strings.Contains(ours.Children[0].Suite.Keyword, "modp2048") {
				t.Errorf("the child has %s", ours.Children[0].Suite.Keyword)
			}
		})
	}
	r.eachRole(t, "negotiation: the second of two proposals", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("the initiator's first proposal suits nobody")
		tn := r.tunnel(t, role, settings{change: func(conn *ike.Connection, theirs *backend.Section) {
			first, second := "aes256-sha512-ecp256", "aes128gcm16-prfsha256-ecp256"
			firstESP, secondESP := "aes256-sha512", "aes128gcm16"
			if role == interop.Initiator {
				conn.Proposals = proposals(t, wire.ProtocolIKE, first, second)
				conn.Children[0].Proposals = proposals(t, wire.ProtocolESP, firstESP, secondESP)
				theirs.SetList("proposals", second)
				theirs.Sub("children").Sub("net").SetList("esp_proposals", secondESP)
				return
			}
			conn.Proposals = proposals(t, wire.ProtocolIKE, second)
			conn.Children[0].Proposals = proposals(t, wire.ProtocolESP, secondESP)
			theirs.SetList("proposals", first, second)
			theirs.Sub("children").Sub("net").SetList("esp_proposals", firstESP, secondESP)
		}})
		tn.up()
	})
	r.eachRole(t, "negotiation: no common IKE proposal is refused", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("NO_PROPOSAL_CHOSEN, and neither side has an SA")
		tn := r.tunnel(t, role, settings{change: func(_ *ike.Connection, theirs *backend.Section) {
			theirs.SetList("proposals", "aes128-sha256-modp3072")
		}})
		tn.refused("NO_PROPOSAL_CHOSEN")
	})
	r.eachRole(t, "negotiation: no common ESP proposal leaves the IKE SA", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("NO_PROPOSAL_CHOSEN in IKE_AUTH; a child with another one comes up after it")
		tn := r.tunnel(t, role, settings{change: func(_ *ike.Connection, theirs *backend.Section) {
			theirs.Sub("children").Sub("net").SetList("esp_proposals", "aes128-sha512")
		}})
		tn.childRefused("NO_PROPOSAL_CHOSEN")
	})
}

// childRefused begins a tunnel whose child is refused: the IKE SA stands.
func (tn *tunnel) childRefused(notify string) {
	tn.t.Helper()
	if tn.role == interop.Responder {
		if err := tn.client.Up(tn.t.Context(), backend.Target{IKE: tn.name, Child: "net"}, backend.UpOptions{}, nil); err == nil {
			tn.t.Fatal("the child came up")
		}
	} else {
		tn.initiate()
	}
	tn.until("the refusal", func() bool {
		tn.mu.Lock()
		defer tn.mu.Unlock()
		return slices.ContainsFunc(tn.errs, func(s string) bool { return strings.Contains(s, notify) })
	})
	tn.agree(0)
	tn.probe()
}

func TestInteropSelectorsWithStrongSwan(t *testing.T) {
	r := newRig(t, ground{})
	for _, row := range []struct {
		name            string
		ours, peers     []string // local_ts of either side, as it sees it
		oursOf, peersOf []string // remote_ts
		local, remote   []string // what comes of it, seen from us
	}{
		{"the peer's are narrower", []string{"10.1.0.0/16"}, []string{"10.2.3.0/24"}, []string{"10.2.0.0/16"}, []string{"10.1.2.0/24"},
			[]string{"10.1.2.0/24"}, []string{"10.2.3.0/24"}},
		{"ours are narrower", []string{"10.1.2.0/24"}, []string{"10.2.0.0/16"}, []string{"10.2.3.0/24"}, []string{"10.1.0.0/16"},
			[]string{"10.1.2.0/24"}, []string{"10.2.3.0/24"}},
		{"several, of which one is common", []string{"10.1.1.0/24", "10.1.2.0/24"}, []string{"10.2.1.0/24"}, []string{"10.2.1.0/24"},
			[]string{"10.1.2.0/24", "10.1.3.0/24"}, []string{"10.1.2.0/24"}, []string{"10.2.1.0/24"}},
		{"several, all common", []string{"10.1.1.0/24", "10.1.9.0/24"}, []string{"10.2.1.0/24", "10.2.9.0/24"}, []string{"10.2.1.0/24", "10.2.9.0/24"},
			[]string{"10.1.1.0/24", "10.1.9.0/24"}, []string{"10.1.1.0/24", "10.1.9.0/24"}, []string{"10.2.1.0/24", "10.2.9.0/24"}},
	} {
		r.eachRole(t, "negotiation: selectors, "+row.name, func(t *testing.T, role interop.Role, e *interop.Entry) {
			e.Detail("%s to %s", strings.Join(row.local, " "), strings.Join(row.remote, " "))
			tn := r.tunnel(t, role, settings{change: func(conn *ike.Connection, theirs *backend.Section) {
				conn.Children[0].LocalTS, conn.Children[0].RemoteTS = prefixes(row.ours...), prefixes(row.oursOf...)
				net := theirs.Sub("children").Sub("net")
				net.SetList("local_ts", row.peers...)
				net.SetList("remote_ts", row.peersOf...)
			}})
			ours, theirs := tn.up()
			o, p := ours.Children[0], theirs.Children[0]
			if !slices.Equal(o.LocalTS, row.local) || !slices.Equal(o.RemoteTS, row.remote) ||
				!slices.Equal(p.RemoteTS, row.local) || !slices.Equal(p.LocalTS, row.remote) {
				t.Errorf("selectors %v %v here, %v %v at the peer", o.LocalTS, o.RemoteTS, p.RemoteTS, p.LocalTS)
			}
			tn.rekeyChild(interop.Initiator)
			again := tn.rekeyChild(interop.Responder).Children[0]
			if !slices.Equal(again.LocalTS, row.local) || !slices.Equal(again.RemoteTS, row.remote) {
				t.Errorf("after rekeying the selectors are %v %v", again.LocalTS, again.RemoteTS)
			}
		})
	}
	r.eachRole(t, "negotiation: selectors with protocol and port", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("tcp/443 at the peer")
		tn := r.tunnel(t, role, settings{change: func(conn *ike.Connection, theirs *backend.Section) {
			conn.Children[0].LocalTS, conn.Children[0].RemoteTS = prefixes("10.1.0.0/24"), prefixes("10.2.0.0/24")
			conn.Children[0].LocalTS[0].Protocol, conn.Children[0].RemoteTS[0].Protocol = 6, 6
			conn.Children[0].RemoteTS[0].StartPort, conn.Children[0].RemoteTS[0].EndPort = 443, 443
			net := theirs.Sub("children").Sub("net")
			net.SetList("local_ts", "10.2.0.0/24[tcp/443]")
			net.SetList("remote_ts", "10.1.0.0/24[tcp]")
		}})
		tn.up()
		tn.rekeyChild(interop.Responder)
	})
	r.eachRole(t, "negotiation: selectors without anything in common leave the IKE SA", func(t *testing.T, role interop.Role, e *interop.Entry) {
		e.Detail("TS_UNACCEPTABLE")
		tn := r.tunnel(t, role, settings{change: func(_ *ike.Connection, theirs *backend.Section) {
			theirs.Sub("children").Sub("net").SetList("local_ts", "10.9.0.0/24")
		}})
		tn.childRefused("TS_UNACCEPTABLE")
	})
}
