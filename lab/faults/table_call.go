package faults

import (
	"context"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
)

// called is a fault of a tunnel that other software begins with us, as we and
// a capture see it.
func called(responder, wire string) map[Source]string {
	m := map[Source]string{VICIResponder: responder, Keyed: wire, Sealed: wire}
	if wire == responder && (wire == "ts-unacceptable" || wire == "no-proposal-child-initial") {
		delete(m, Sealed)
	}
	return m
}

// callFaults are those of software that calls us, and is set otherwise than we
// are.
func callFaults() []Fault {
	type change = func(a *lab.End, g *lab.GatewayConnection)
	var l []Fault
	for _, s := range []lab.Software{lab.Libreswan, lab.OpenIKED} {
		add := func(name string, want map[Source]string, c change) {
			f := Fault{Name: string(s) + " calls us: " + name, Software: s, Calls: true, Want: want, Hidden: elsewhere,
				Peer: func(a *lab.End, g *lab.GatewayConnection) error { c(a, g); return nil }}
			if want[Sealed] == "" {
				f.Hidden += "; " + alike
			}
			l = append(l, f)
		}
		add("no IKE group in common", called("no-proposal-ike", "no-proposal-ike"), func(a *lab.End, _ *lab.GatewayConnection) { a.Proposals = "aes256-sha256-modp4096" })
		add("another PSK", called("psk-mismatch", "auth-failed-opaque"), func(a *lab.End, _ *lab.GatewayConnection) { a.Secrets = psk(`"something else"`) })
		add("it claims another identity", called("responder-no-peer-config", "auth-failed-opaque"), func(_ *lab.End, g *lab.GatewayConnection) { g.LocalID = "stranger.lab" })
		add("no ESP integrity in common", called("no-proposal-child-initial", "no-proposal-child-initial"), func(a *lab.End, _ *lab.GatewayConnection) { a.ESP = "aes256-sha384" })
		add("it has another network", called("ts-unacceptable", "ts-unacceptable"), func(_ *lab.End, g *lab.GatewayConnection) { g.LocalTS = []string{"172.16.5.0/24"} })
	}
	return append(l, Fault{Name: "Libreswan: the peer truncates SHA2-256 to 96 bit", Software: lab.Libreswan, Act: vainBothWays, Hidden: elsewhere,
		Want: map[Source]string{VICIInitiator: "esp-auth-failures", Keyed: "sha256-96-truncation", Sealed: "sha256-96-truncation"},
		Peer: func(a *lab.End, g *lab.GatewayConnection) error {
			a.ESP, g.ESP = "aes256-sha256", []string{"aes256-sha256"}
			g.Lines = append(g.Lines, "sha2-truncbug=yes")
			return nil
		}})
}

// callVariants are healthy tunnels that other software begins.
func callVariants() []Fault {
	var l []Fault
	for _, s := range []lab.Software{lab.Libreswan, lab.OpenIKED} {
		l = append(l, Fault{Name: string(s) + " calls us: plain tunnel", Software: s, Calls: true, Act: pinged},
			Fault{Name: string(s) + " calls us: certificates", Software: s, Calls: true, Act: pinged, Peer: certified(func(*papers) {})})
	}
	return l
}

// vainBothWays brings the child up and sends pings from both ends.
func vainBothWays(ctx context.Context, b *lab.Bench) error {
	if _, err := b.Initiate(ctx); err != nil {
		return err
	}
	for range 2 {
		if _, err := lab.Ping(ctx, b.HostA, b.InnerA, b.InnerB, 25, 20*time.Millisecond); err != nil {
			return err
		}
		if _, err := lab.Ping(ctx, b.HostB, b.InnerB, b.InnerA, 25, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
