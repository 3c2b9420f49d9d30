package lab

import (
	"context"
	"time"
)

const plannedNAT = "A NAT is part of the plan here: to say so is right, to warn is not."

// pathScenarios are healthy tunnels over paths that are not plain IPv4.
func pathScenarios() []Scenario {
	return []Scenario{
		{
			Name: "ipv6", Shows: "A PSK tunnel between IPv6 addresses carries IPv6 pings.", IPv6: true,
		},
		{
			Name: "behind-nat", NAT: NATInitiator, Tap: TapResponder, Guests: true,
			Shows: "The initiator has a private address behind a masquerading NAT box that changes ports; seen at the responder.",
			Notes: []string{plannedNAT},
		},
		{
			Name: "behind-nat-inside", NAT: NATInitiator, Guests: true,
			Shows: "The initiator has a private address behind a masquerading NAT box that changes ports; seen at the initiator, inside the NAT.",
			Notes: []string{plannedNAT},
		},
		{
			Name: "behind-nat-forced", NAT: NATInitiator, Tap: TapResponder,
			Shows: "The initiator is behind a masquerading NAT box, and both ends claim a NAT by made-up hashes besides.",
			Notes: []string{plannedNAT},
		},
		{
			Name: "nat-detected-unexpectedly", NAT: NATInitiator, PublicA: true, Tap: TapResponder, Guests: true,
			Shows:  "The initiator has a public address, yet a box on the way rewrites its address and ports.",
			Expect: []string{"nat-detected-unexpectedly"},
			Notes:  []string{"The inside address is 198.51.100.2, in a public range: nobody planned a NAT for it."},
		},
		{
			Name: "double-nat", NAT: NATBoth, Tap: TapMiddle, Guests: true,
			Shows:  "Both ends have private addresses, each behind a NAT box of its own; seen between the boxes.",
			Expect: []string{"double-nat"},
			Ends: func(_, b *End) error {
				b.LocalAddrs = privateB4
				return nil
			},
		},
		{
			Name: "mobike", KeysAnyAddress: true,
			Shows: "The initiator loses the address that it used and moves the IKE SA and its child to another one by MOBIKE.",
			Ends: func(a, _ *End) error {
				a.LocalAddrs, a.Daemon.Roams = "", true
				return nil
			},
			Prepare: func(ctx context.Context, b *Bench) error {
				if _, err := b.NSA.Exec(ctx, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/"+outerDev+"/promote_secondaries"); err != nil {
					return err
				}
				return Address(ctx, b.NSA, outerDev, extraA4+"/24")
			},
			Act: func(ctx context.Context, b *Bench) error {
				if err := BringUpAndPing(ctx, b); err != nil {
					return err
				}
				if err := b.NSA.IP(ctx, "addr", "del", outerA4+"/24", "dev", outerDev); err != nil {
					return err
				}
				err := Eventually(ctx, time.Minute, "the responder to follow the address", func() bool {
					out, err := b.B.Swanctl(ctx, "--list-sas")
					return err == nil && contains(out, extraA4+"[4500]")
				})
				if err != nil {
					return err
				}
				return b.PingThrough(ctx, 4)
			},
		},
	}
}
