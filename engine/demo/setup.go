package demo

import (
	"net/netip"
	"runtime"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/ike"
)

// The addresses on loopback. Some systems have but one.
var branchAddr, natAddr, hubAddr = addresses()

func addresses() (branch, nat, hub netip.Addr) {
	at := func(n byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, n, 1}) }
	if runtime.GOOS == "linux" {
		return at(1), at(2), at(3)
	}
	return at(0), at(0), at(0)
}

// The ways through the NAT.
const (
	wayPlain = iota // IKE alone
	wayNATT         // IKE and ESP in UDP
)

// child is a tunnel of the demo.
type child struct {
	name, branch, hub string // and the networks of its ends
	rekey             string
}

// children are the tunnels.
var children = []child{
	{"lan", "10.1.0.0/24", "10.2.0.0/24", "4s"},
	{"lan6", "fd00:1::/64", "fd00:2::/64", "6s"},
}

// The algorithms of both ends, where no fault changes them.
const (
	ikeProposal = "aes256gcm16-prfsha256-x25519"
	espProposal = "aes256gcm16"
)

// setup is what the two ends are told; faults change it.
type setup struct {
	branch, hub *backend.Section // settings of the connection, as in swanctl.conf
	settings    ike.Settings     // of the branch
	hubSecret   string           // what the hub's secret has more than the branch's
	mapping     time.Duration    // until the NAT forgets
}

// retransmission gives a peer up within four seconds.
func retransmission() ike.Retransmission {
	return ike.Retransmission{Timeout: 300 * time.Millisecond, Base: 1.5, Tries: 4}
}

func newSetup(faults []*Fault) *setup {
	s := &setup{branch: settings(branchID, hubID), hub: settings(hubID, branchID), mapping: 10 * time.Second,
		settings: ike.Settings{Retransmit: retransmission(), Keepalive: 2 * time.Second, RetryDelay: time.Second, Packets: true}}
	s.branch.Set("rekey_time", "9s")
	s.branch.Set("over_time", "30s")
	s.branch.Set("rand_time", "1s")
	s.branch.Set("dpd_delay", "1s")
	s.hub.Set("rekey_time", "0")
	for _, c := range children {
		b, h := s.child(s.branch, c.name), s.child(s.hub, c.name)
		b.Set("local_ts", c.branch)
		b.Set("remote_ts", c.hub)
		b.Set("rekey_time", c.rekey)
		b.Set("life_time", "30s")
		b.Set("rand_time", "1s")
		b.Set("dpd_action", "restart")
		h.Set("local_ts", c.hub)
		h.Set("remote_ts", c.branch)
		h.Set("rekey_time", "0")
		for _, x := range []*backend.Section{b, h} {
			x.Set("esp_proposals", espProposal)
		}
	}
	for _, f := range faults {
		if f.setup != nil {
			f.setup(s)
		}
	}
	return s
}

// settings are those that both ends have alike.
func settings(own, other string) *backend.Section {
	s := &backend.Section{}
	s.Set("proposals", ikeProposal)
	for name, id := range map[string]string{"local": own, "remote": other} {
		s.Sub(name).Set("auth", "psk")
		s.Sub(name).Set("id", id)
	}
	return s
}

// child gives the settings of a child.
func (s *setup) child(of *backend.Section, name string) *backend.Section {
	return of.Sub("children").Sub(name)
}
