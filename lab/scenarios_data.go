package lab

import (
	"context"
	"fmt"
	"time"
)

// dataScenarios are tunnels that come up and then carry too little.
func dataScenarios() []Scenario {
	probing := func(a, _ *End) error {
		a.Conn = append(a.Conn, "dpd_delay = 1s")
		return nil
	}
	return []Scenario{
		{
			Name: "esp-one-way-out", Shows: "The initiator's pings leave in ESP; the host behind the responder never answers. IKE stays healthy.",
			Expect:  []string{"esp-one-way-out"},
			Ends:    probing,
			Prepare: func(ctx context.Context, b *Bench) error { return b.NSB.NFT(ctx, dropEcho) },
			Act: func(ctx context.Context, b *Bench) error {
				if _, err := b.Initiate(ctx); err != nil {
					return err
				}
				return pingInVain(ctx, b.HostA, b.InnerA, b.InnerB)
			},
		},
		{
			Name: "esp-one-way-in", Shows: "The responder's pings arrive in ESP; the initiator never sends an answer. IKE stays healthy.",
			Expect:  []string{"esp-one-way-in"},
			Notes:   []string{"One way in as seen by the initiator, where the capture was taken."},
			Ends:    probing,
			Prepare: func(ctx context.Context, b *Bench) error { return b.NSA.NFT(ctx, dropEcho) },
			Act: func(ctx context.Context, b *Bench) error {
				if _, err := b.Initiate(ctx); err != nil {
					return err
				}
				return pingInVain(ctx, b.HostB, b.InnerB, b.InnerA)
			},
		},
		{
			Name: "esp-path-loss", Shows: "The path loses every thirteenth ESP packet of either direction, and no IKE message.",
			Expect: []string{"esp-path-loss"},
			Prepare: func(ctx context.Context, b *Bench) error {
				if err := b.NSA.NFT(ctx, loseESP); err != nil {
					return err
				}
				return b.NSB.NFT(ctx, loseESP)
			},
			Act: func(ctx context.Context, b *Bench) error {
				if _, err := b.Initiate(ctx); err != nil {
					return err
				}
				n, err := Ping(ctx, b.HostA, b.InnerA, b.InnerB, 150, 10*time.Millisecond)
				if err != nil {
					return err
				}
				if n == 150 || n < 100 {
					return fmt.Errorf("%d of 150 pings answered, against the plan", n)
				}
				return nil
			},
		},
	}
}

// dropEcho has a host take in no echo request that came through the tunnel.
const dropEcho = `table ip deaf {
  chain in {
    type filter hook input priority 0
    icmp type echo-request ip saddr 10.0.0.0/8 drop
  }
}
`

// loseESP drops one in thirteen datagrams to port 4500 that do not begin with
// the non-ESP marker.
const loseESP = `table inet lossy {
  chain out {
    type filter hook output priority 0
    udp dport 4500 @th,64,32 != 0 numgen inc mod 13 == 12 drop
  }
}
`

func pingInVain(ctx context.Context, from Host, src, dst string) error {
	n, err := Ping(ctx, from, src, dst, 12, 200*time.Millisecond)
	if err != nil {
		return err
	}
	if n != 0 {
		return fmt.Errorf("%d pings answered, against the plan", n)
	}
	return nil
}
