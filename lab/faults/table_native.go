package faults

import (
	"context"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
)

// inUDP is why two strongSwans do not show it.
const inUDP = "strongSwan's own ESP is always in UDP"

// nativeFaults are those of ESP as IP protocol 50, which our engine has at both
// ends.
func nativeFaults() []Fault {
	plain := both(func(e *lab.End) { e.Conn = append(e.Conn, "mobike = no") })
	native := func(name string, want map[Source]string, u Upset, act func(context.Context, *lab.Bench) error, why string) Fault {
		return Fault{Name: name, Native: true, Want: want, Hidden: inUDP + why, Ends: plain, Upset: u, Act: act}
	}
	const (
		deaf  = "; nothing of it reaches the responder"
		wired = "; at the initiator both directions are on the wire"
	)
	return []Fault{
		native("the path drops ESP", map[Source]string{EngineInitiator: "esp-one-way-out", Sealed: "esp-one-way-out"},
			chain(atResponder, before, "meta l4proto esp drop"), vainPings, deaf),
		native("a firewall refuses ESP", map[Source]string{EngineInitiator: "esp-one-way-out", Sealed: "esp-proto50-blocked"},
			chain(atResponder, "type filter hook prerouting priority -200;", "meta l4proto esp reject with icmp admin-prohibited"), vainPings, deaf),
		native("the path drops ESP of the responder", map[Source]string{EngineInitiator: "esp-one-way-out"},
			chain(atInitiator, before, "meta l4proto esp drop"), vainPings, wired),
		native("the host's firewall lets no ESP in", map[Source]string{EngineInitiator: "esp-one-way-out", EngineHost: "esp-proto50-blocked"},
			chain(atInitiator, "type filter hook input priority 0;", "meta l4proto esp drop"), vainPings, wired),
		native("the host's firewall lets no ESP out", map[Source]string{EngineHost: "esp-proto50-blocked"},
			chain(atInitiator, "type filter hook output priority 0;", "meta l4proto esp drop"), vainPings, "; nothing leaves, and nothing is on the wire"),
		{Name: "initiator wants transport mode", Native: true, Want: map[Source]string{EngineInitiator: "transport-tunnel-mode-mismatch", EngineResponder: "transport-tunnel-mode-mismatch"},
			Hidden: inUDP + ", and knows no transport mode; without keys modes are not seen", Ends: initiator(func(e *lab.End) { e.Child = append(e.Child, "mode = transport") })},
		native("the responder never answers IKE_AUTH on port 500", map[Source]string{EngineInitiator: "auth-phase-silent", Sealed: "auth-phase-silent"},
			chain(atResponder, before, "udp dport 500 @th,208,8 35 drop"), nil, deaf),
	}
}

// nativeVariants are healthy tunnels of that kind.
func nativeVariants() []Fault {
	plain := both(func(e *lab.End) { e.Conn = append(e.Conn, "mobike = no") })
	return []Fault{
		{Name: "ESP without UDP", Native: true, Ends: plain, Act: upAndPinged},
		{Name: "ESP without UDP, over IPv6", Native: true, IPv6: true, Ends: plain, Act: upAndPinged},
	}
}

// v6Faults are faults of a tunnel whose outer addresses are of IPv6.
func v6Faults() []Fault {
	outer := func(f Fault) Fault { f.IPv6 = true; f.Name = "IPv6 outside: " + f.Name; return f }
	native := outer(Fault{Name: "the path drops ESP", Native: true, Want: map[Source]string{EngineInitiator: "esp-one-way-out", Sealed: "esp-one-way-out"},
		Hidden: inUDP + "; nothing of it reaches the responder", Upset: chain(atResponder, before, "meta l4proto esp drop"), Act: vainPings})
	l := []Fault{native}
	for _, f := range []Fault{
		{Name: "no IKE group in common", Want: everywhere("no-proposal-ike"), Ends: func(a, r *lab.End) error {
			a.Proposals, r.Proposals = "aes256-sha256-modp2048", "aes256-sha256-ecp384"
			return nil
		}},
		{Name: "another PSK", Want: refusedBy(VICIResponder, "psk-mismatch", "auth-failed-opaque"), Ends: responder(func(e *lab.End) { e.Secrets = psk(`"something else"`) })},
		{Name: "responder knows another address", Want: refusedBy(VICIResponder, "no-ike-config-for-peer", "no-proposal-ike"), Ends: responder(func(e *lab.End) { e.RemoteAddrs = "2001:db8:9::9" })},
		{Name: "responder knows other networks", Want: withKeys("ts-unacceptable"), Hidden: alike, Ends: responder(func(e *lab.End) { e.LocalTS, e.RemoteTS = "fd00:5::/64", "fd00:6::/64" })},
		{Name: "firewall drops UDP 500", Want: silent("no-response-to-sa-init"), Hidden: unheard, Upset: chain(atResponder, before, "udp dport 500 drop")},
		{Name: "firewall drops UDP 4500", Want: silent("udp4500-blocked"), Hidden: unheard, Upset: chain(atResponder, before, "udp dport 4500 drop")},
		{Name: "firewall drops the answers from UDP 500", Want: oneWay("no-response-to-sa-init", "sa-init-response-lost"), Upset: chain(atResponder, leaving, "udp sport 500 drop")},
		{Name: "fragments get lost", Want: silent("ike-auth-ip-fragment-loss"), Hidden: unheard, Upset: chain(atResponder, before, "exthdr frag exists drop"), Ends: unsplit},
	} {
		l = append(l, outer(f))
	}
	return l
}

// v6Variants are healthy ones.
func v6Variants() []Fault {
	return []Fault{
		{Name: "IPv6 outside", IPv6: true, Act: upAndPinged},
		{Name: "IPv6 outside, large messages in IKE fragments", IPv6: true, Act: upAndPinged, Ends: large},
	}
}

// vainPings brings the child up and sends pings that get no answer, for as long
// as makes counters tell.
func vainPings(ctx context.Context, b *lab.Bench) error {
	if _, err := b.Initiate(ctx); err != nil {
		return err
	}
	_, err := lab.Ping(ctx, b.HostA, b.InnerA, b.InnerB, 35, 300*time.Millisecond)
	return err
}
