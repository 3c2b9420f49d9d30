package faults

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
)

// Drops of everything at an end, as if it had lost power.
const (
	gone    = "type filter hook prerouting priority -450; policy drop;"
	unasked = "the responder asks for nothing, and knows nothing of it"
)

// during has an upset last while something happens.
func during(u Upset, act func(context.Context, *lab.Bench) error) func(context.Context, *lab.Bench) error {
	return func(ctx context.Context, b *lab.Bench) error {
		back, err := u(ctx, b)
		if err != nil {
			return err
		}
		err = act(ctx, b)
		return errors.Join(err, back(context.WithoutCancel(ctx)))
	}
}

// inTurn does one thing after another.
func inTurn(acts ...func(context.Context, *lab.Bench) error) func(context.Context, *lab.Bench) error {
	return func(ctx context.Context, b *lab.Bench) error {
		for _, act := range acts {
			if err := act(ctx, b); err != nil {
				return err
			}
		}
		return nil
	}
}

// rest lets time go by that a daemon's own timers need.
func rest(d time.Duration) func(context.Context, *lab.Bench) error {
	return func(ctx context.Context, _ *lab.Bench) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return nil
		}
	}
}

// ordered runs one swanctl command at the responder and ignores what it says.
func ordered(args ...string) func(context.Context, *lab.Bench) error {
	return func(ctx context.Context, b *lab.Bench) error {
		_, _ = b.B.Swanctl(ctx, args...)
		return nil
	}
}

// attempted brings the child up, or not.
func attempted(ctx context.Context, b *lab.Bench) error {
	_, _ = b.Initiate(ctx)
	return nil
}

// down waits until an end has no IKE SA any more.
func down(ctx context.Context, b *lab.Bench) error {
	return lab.Eventually(ctx, time.Minute, "the initiator to give the SA up", func() bool {
		out, err := b.A.Swanctl(ctx, "--list-sas", "--ike", "gw")
		return err == nil && !strings.Contains(out, "ESTABLISHED")
	})
}

// lifeFaults are those of a tunnel that has come up.
func lifeFaults() []Fault {
	probing := initiator(func(e *lab.End) { e.Conn = append(e.Conn, "dpd_delay = 1s") })
	silent := observed("dpd-timeout")
	vain := everywhere("esp-one-way-out")
	vain[VICIResponder] = "esp-one-way-in"
	return []Fault{
		{Name: "the responder is gone", Want: silent, Hidden: unasked, Ends: probing, Act: inTurn(upAndPinged, during(chain(atResponder, gone, ""), down))},
		{Name: "the responder is gone, and nobody looks", Long: true, Want: map[Source]string{VICIInitiator: "dpd-off-stale-tunnel"}, Hidden: "nothing is asked, and silence on the wire is no fault",
			Act: inTurn(upAndPinged, during(chain(atResponder, gone, ""), inTurn(rest(123*time.Second), vainly)))},
		{Name: "the host behind the responder does not answer", Want: vain, Act: during(chain(atResponder, "type filter hook input priority 0;", "icmp type echo-request ip saddr 10.0.0.0/8 drop"), vainPings)},
		{Name: "the responder deletes the tunnel at once", Want: map[Source]string{Keyed: "ike-delete-unexplained", Sealed: "ike-delete-unexplained"}, Hidden: "whether anything was carried is gone with the SA", Act: inTurn(attempted, ordered("--terminate", "--ike", "gw"))},
		{Name: "the child's life is shorter at the responder", Want: map[Source]string{Keyed: "lifetime-mismatch", Sealed: "lifetime-mismatch"}, Hidden: "the children that are gone tell their age no more", Act: inTurn(upAndPinged, rest(12*time.Second)),
			Ends: func(a, r *lab.End) error {
				a.Child, r.Child = append(a.Child, "close_action = start"), append(r.Child, "life_time = 3s", "rekey_time = 0")
				a.Conn, r.Conn = append(a.Conn, "mobike = no"), append(r.Conn, "mobike = no")
				return nil
			}},
		{Name: "a child is brought up twice", Want: map[Source]string{VICIInitiator: "duplicate-child-sa"}, Hidden: "the initiator does not ask the second time",
			NoEngine: noEngine("it removes the second by itself"), Act: inTurn(attempted, attempted)},
		{Name: "the group for a rekeying differs", Want: withKeys("pfs-mismatch-at-rekey"), Hidden: alike, Act: rekeyed,
			Ends: func(a, r *lab.End) error { a.ESP, r.ESP = "aes256gcm16-ecp384", "aes256gcm16-ecp256"; return nil }},
		{Name: "two devices with one identity", Want: map[Source]string{VICIResponder: "initial-contact-kills-sibling", Keyed: "initial-contact-kills-sibling"},
			Hidden: "each device merely comes up, and its identity is sealed", NoEngine: map[Source]string{EngineInitiator: secondDevice},
			Upset: another, Act: inTurn(attempted, device(movedA), device(""), device(movedA))},
		{Name: "two devices with one identity, of which the first stays", Want: refusedBy(VICIResponder, "unique-policy-refused", "auth-failed-opaque"), NoEngine: map[Source]string{EngineInitiator: secondDevice},
			Ends: both(func(e *lab.End) {
				e.Conn = append(e.Conn, "unique = "+map[bool]string{true: "never", false: "keep"}[e.RemoteAddrs != ""])
			}),
			Upset: another, Act: inTurn(attempted, device(movedA, "unique = never"))},
		{Name: "the responder limits half-open SAs", Want: oneWay("no-response-to-sa-init", "half-open-limit"), NoEngine: noEngine("it is a setting of the responder's daemon, a strongSwan"),
			Upset: halfOpen("init_limit_half_open = 1")},
		{Name: "the initiator is not heard after IKE_SA_INIT", Long: true, NoEngine: map[Source]string{EngineResponder: "it forgets what stays half open without a word"}, Want: oneWay("udp4500-blocked", "half-open-responder"), Upset: chain(atResponder, before, "udp dport 4500 drop"),
			Act: inTurn(attempted, rest(33*time.Second))},
		{Name: "the responder speaks IKEv1 only", Want: map[Source]string{VICIInitiator: "no-ike-config-for-peer", EngineInitiator: "no-proposal-ike", Host: "no-ike-config-for-peer", EngineHost: "no-proposal-ike", Keyed: "ikev1-only-peer", Sealed: "ikev1-only-peer"}, Hidden: "it knows what it is set to",
			NoEngine: map[Source]string{EngineResponder: "it has no IKEv1"},
			Ends: func(a, r *lab.End) error {
				a.Proposals, r.Proposals = "aes256-sha256-modp2048", "aes256-sha256-modp2048"
				r.Version, r.RemoteAddrs = "1", a.LocalAddrs
				return nil
			}, Act: inTurn(attempted, ordered("--initiate", "--child", "net", "--timeout", "5"))},
		{Name: "the responder answers from another address, which a firewall drops", Want: map[Source]string{VICIInitiator: "no-response-to-sa-init", VICIResponder: "sa-init-response-lost",
			Keyed: "peer-replies-from-other-address", Sealed: "peer-replies-from-other-address"},
			Upset: all(chain(atResponder, leaving, "udp sport 500 ip saddr set 192.0.2.22"), chain(atInitiator, "type filter hook input priority 0;", "ct state new udp sport 500 drop"))},
	}
}

// vainly sends pings that nobody hears.
func vainly(ctx context.Context, b *lab.Bench) error {
	_, err := lab.Ping(ctx, b.HostA, b.InnerA, b.InnerB, 8, 200*time.Millisecond)
	return err
}

// A second device of the initiator's identity is its daemon anew, at an address
// beside the usual one.
const (
	movedA       = "192.0.2.11"
	secondDevice = "a second device is a daemon that is killed and begins anew"
)

// another gives the initiator's host the second device's address, and its daemon
// back in the end.
func another(ctx context.Context, b *lab.Bench) (func(context.Context) error, error) {
	return func(ctx context.Context) error {
		return errors.Join(b.A.Stop(), b.NSA.IP(ctx, "addr", "delete", movedA+"/24", "dev", "eth0"), b.A.Start(ctx))
	}, lab.Address(ctx, b.NSA, "eth0", movedA+"/24")
}

// device has a device with the initiator's identity call from an address, "" for
// the usual one, while the other is gone without a word.
func device(addr string, conn ...string) func(context.Context, *lab.Bench) error {
	return func(ctx context.Context, b *lab.Bench) error {
		if addr == "" {
			addr = b.OuterA
		}
		a, _ := lab.Ends(addr, b.OuterB, b.InnerA+"/32", b.InnerB+"/32")
		a.Conn = append(a.Conn, conn...)
		if err := errors.Join(b.A.Kill(), b.A.Start(ctx), b.A.Load(ctx, a.SwanctlConf())); err != nil {
			return err
		}
		return attempted(ctx, b)
	}
}
