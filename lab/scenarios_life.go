package lab

import (
	"context"
	"strings"
	"time"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

// lifeScenarios follow a tunnel through what happens after it came up.
func lifeScenarios() []Scenario {
	pfs := func(a, b *End) error {
		a.ESP, b.ESP = "aes256gcm16-ecp256", "aes256gcm16-ecp256"
		return nil
	}
	return []Scenario{
		{
			Name: "child-rekey", Shows: "The initiator, then the responder, rekeys the child SA without PFS; pings pass before, between and after.",
			Act: rekeyBothWays("--child", "net"),
		},
		{
			Name: "child-rekey-pfs", Shows: "The initiator, then the responder, rekeys the child SA with a fresh ECP 256 exchange; pings pass before, between and after.",
			Ends: pfs, Act: rekeyBothWays("--child", "net"),
		},
		{
			Name: "ike-rekey", Shows: "The initiator, then the responder, rekeys the IKE SA; the child moves along and pings pass before, between and after.",
			Act: rekeyBothWays("--ike", "gw"),
		},
		{
			Name: "dpd", Shows: "An idle tunnel is probed by empty INFORMATIONAL requests once a second, and every probe is answered.",
			Ends: func(a, _ *End) error {
				a.Conn = append(a.Conn, "dpd_delay = 1s")
				return nil
			},
			Act: func(ctx context.Context, b *Bench) error {
				if err := BringUpAndPing(ctx, b); err != nil {
					return err
				}
				return pause(ctx, 4*time.Second)
			},
		},
		{
			Name: "dpd-peer-dies", Shows: "The responder vanishes without a word: probes go unanswered until the initiator gives up.",
			Expect: []string{"dpd-timeout"},
			Notes:  []string{quickNote},
			Quick:  true,
			Ends: func(a, _ *End) error {
				a.Conn = append(a.Conn, "dpd_delay = 1s")
				return nil
			},
			Act: func(ctx context.Context, b *Bench) error {
				if err := BringUpAndPing(ctx, b); err != nil {
					return err
				}
				// A machine that lost power sends no ICMP either.
				if err := b.NSB.NFT(ctx, dropAll); err != nil {
					return err
				}
				if err := b.B.Kill(); err != nil {
					return err
				}
				return Eventually(ctx, time.Minute, "the initiator to give up", func() bool {
					return b.A.LogHas("giving up after 3 retransmits")
				})
			},
		},
		{
			Name: "delete", Shows: "The child SA is deleted, then the IKE SA, each with an answer.",
			Act: func(ctx context.Context, b *Bench) error {
				if err := BringUpAndPing(ctx, b); err != nil {
					return err
				}
				if _, err := b.A.Swanctl(ctx, "--terminate", "--child", "net"); err != nil {
					return err
				}
				_, err := b.A.Swanctl(ctx, "--terminate", "--ike", "gw")
				return err
			},
		},
		{
			Name: "lifetime-mismatch", Shows: "The responder's child SA expires every three seconds and is deleted without a rekey; the initiator makes a new one each time.",
			Expect: []string{"lifetime-mismatch"},
			Ends: func(a, b *End) error {
				a.Child = append(a.Child, "close_action = start")
				b.Child = append(b.Child, "life_time = 3s", "rekey_time = 0")
				// Without this both ends also report address changes when a
				// child's TUN address comes and goes.
				a.Conn, b.Conn = append(a.Conn, "mobike = no"), append(b.Conn, "mobike = no")
				return nil
			},
			Act: func(ctx context.Context, b *Bench) error {
				if err := BringUpAndPing(ctx, b); err != nil {
					return err
				}
				return pause(ctx, 12*time.Second)
			},
		},
	}
}

// dropAll has an end take in nothing and send nothing out.
const dropAll = `table inet dead {
  chain in {
    type filter hook prerouting priority -300
    drop
  }
  chain out {
    type filter hook output priority 0
    drop
  }
}
`

// rekeyBothWays rekeys from the one end, then from the other.
func rekeyBothWays(what, name string) func(context.Context, *Bench) error {
	return func(ctx context.Context, b *Bench) error {
		if err := BringUpAndPing(ctx, b); err != nil {
			return err
		}
		for _, d := range []*Daemon{b.A, b.B} {
			if _, err := d.Swanctl(ctx, "--rekey", what, name); err != nil {
				return err
			}
			// The command returns when the rekeying has been queued; the new
			// SA and the delete of the old one follow at once.
			if err := pause(ctx, 500*time.Millisecond); err != nil {
				return err
			}
			if err := b.PingThrough(ctx, 3); err != nil {
				return err
			}
		}
		return nil
	}
}
