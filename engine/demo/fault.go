package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/link/relay"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Fault is something that can be wrong in the demo's world.
type Fault struct {
	// ID is that of the diagnosis it leads to, where the catalogue has one.
	ID   string
	What string // in words: what is made wrong

	setup   func(*setup)                 // nil where no setting is wrong
	network func(context.Context, *Demo) // nil where the network is sound; it ends with the context
}

// Faults are all faults that can be made.
var Faults = []*Fault{
	{ID: "psk-mismatch", What: "the hub has another preshared key",
		setup: func(s *setup) { s.hubSecret = " and more" }},
	{ID: "no-proposal-ike", What: "the hub takes aes128-sha256-modp2048 for IKE alone",
		setup: func(s *setup) { s.hub.Set("proposals", "aes128-sha256-modp2048") }},
	{ID: "responder-no-peer-config", What: "the hub expects another identity of the branch",
		setup: func(s *setup) { s.hub.Sub("remote").Set("id", "office.demo") }},
	{ID: "idr-mismatch", What: "the branch expects another identity of the hub",
		setup: func(s *setup) { s.branch.Sub("remote").Set("id", "*.gateway.demo") }},
	{ID: "no-proposal-child-initial", What: "the hub takes aes128-sha256 for ESP alone",
		setup: func(s *setup) { s.child(s.hub, "lan").Set("esp_proposals", "aes128-sha256") }},
	{ID: "ts-unacceptable", What: "the hub has another network behind it than the branch believes",
		setup: func(s *setup) { s.child(s.hub, "lan").Set("local_ts", "10.9.0.0/24") }},
	{ID: "ts-narrowed-surprise", What: "the hub gives a part of the network that the branch wants",
		setup: func(s *setup) { s.child(s.hub, "lan").Set("local_ts", "10.2.0.0/28") }},
	{ID: "pfs-mismatch-at-rekey", What: "the branch wants a key exchange for each child, the hub has none: it shows at the first rekeying",
		setup: func(s *setup) { s.child(s.branch, "lan").Set("esp_proposals", espProposal+"-x25519") }},
	{ID: "no-response-to-sa-init", What: "nothing gets through to the hub",
		network: judged(func(relay.Packet) bool { return false })},
	{ID: "udp4500-blocked", What: "only the port for plain IKE gets through",
		network: judged(func(p relay.Packet) bool { return p.Way != wayNATT })},
	{ID: "esp-one-way-out", What: "ESP gets through to the hub, and none comes back (it takes 10 s to be sure)",
		setup:   longLived, // a CHILD SA has to live as long
		network: judged(func(p relay.Packet) bool { return p.Out || !isESP(p) })},
	{ID: "esp-path-loss", What: "one packet of five is lost on the path",
		setup:   longLived, // so that there is something to count
		network: judged(func(relay.Packet) bool { return rand.IntN(5) > 0 })},
	{ID: "mtu-pmtu-blackhole", What: "packets of more than 600 octets vanish on the path",
		network: judged(func(p relay.Packet) bool { return len(p.Octets) <= 600 })},
	{ID: "dpd-timeout", What: "the path is cut after 3 s, for 6 s, again and again",
		network: func(ctx context.Context, d *Demo) {
			for pause(ctx, 3*time.Second) {
				d.note("the path to the hub is cut")
				d.nat.SetJudge(func(relay.Packet) bool { return false })
				ok := pause(ctx, 6*time.Second)
				d.nat.SetJudge(nil)
				if ok {
					d.note("the path to the hub is whole again")
				}
			}
		}},
	{ID: "nat-rebinding", What: "the NAT gives new ports every 3 s",
		network: func(ctx context.Context, d *Demo) {
			for pause(ctx, 3*time.Second) {
				d.nat.Rebind()
				d.note("the NAT has forgotten its mappings: what goes out next gets new ports")
			}
		}},
	{ID: "nat-mapping-timeout", What: "the NAT forgets a mapping after 1 s of silence, and nothing keeps it open (it takes 20 s to be sure)",
		setup: func(s *setup) {
			longLived(s)
			s.mapping = time.Second
			s.branch.Set("rekey_time", "1m")
			s.branch.Set("dpd_delay", "0")
		},
		network: judged(func(p relay.Packet) bool { return !p.Out || !isKeepalive(p) })},
}

// FindFault gives a fault by its id.
func FindFault(id string) (*Fault, error) {
	known := make([]string, len(Faults))
	for i, f := range Faults {
		if f.ID == id {
			return f, nil
		}
		known[i] = f.ID
	}
	return nil, fmt.Errorf("fault %q is not one that can be made; there are %s", id, strings.Join(known, ", "))
}

// judged has packets judged from the beginning on.
func judged(j relay.Judge) func(context.Context, *Demo) {
	return func(_ context.Context, d *Demo) { d.nat.SetJudge(j) }
}

// longLived has the CHILD SAs live for minutes.
func longLived(s *setup) {
	for _, c := range children {
		s.child(s.branch, c.name).Set("rekey_time", "1m")
		s.child(s.branch, c.name).Set("life_time", "2m")
	}
}

// isKeepalive says whether a datagram is a NAT keepalive.
func isKeepalive(p relay.Packet) bool {
	kind, _ := wire.ClassifyUDP(p.Octets, true)
	return p.Way == wayNATT && kind == wire.UDPKeepalive
}

// isESP says whether a datagram is ESP in UDP.
func isESP(p relay.Packet) bool {
	kind, _ := wire.ClassifyUDP(p.Octets, true)
	return p.Way == wayNATT && kind == wire.UDPESP
}

// pause waits; it says whether the wait was not cut short.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
