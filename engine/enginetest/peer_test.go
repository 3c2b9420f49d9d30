package enginetest

import (
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func TestScriptedPeerSetsUpTunnelInEitherRole(t *testing.T) {
	for role, up := range peerRoles {
		t.Run(role, func(t *testing.T) {
			p := NewPeer(t)
			s := up(p)
			if n := len(p.Host.Plane.Children); n != 1 {
				t.Fatalf("%d children, want 1", n)
			}
			if a := p.Ask(s, wire.ExchangeInformational); len(a.Inner) != 0 {
				t.Errorf("the answer to an empty request holds %d payloads", len(a.Inner))
			}
		})
	}
}

// peerRoles are the two ways in which a Peer gets an IKE SA, by the role of the
// host under test.
var peerRoles = map[string]func(*Peer) *PeerSA{"host initiates": (*Peer).Respond, "host responds": (*Peer).Initiate}
