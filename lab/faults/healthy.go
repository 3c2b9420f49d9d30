package faults

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
)

// HealthyVariants are tunnels in which nothing is wrong.
func HealthyVariants() []Fault {
	ping := upAndPinged
	again := func(args ...string) func(ctx context.Context, b *lab.Bench) error {
		return func(ctx context.Context, b *lab.Bench) error {
			if err := ping(ctx, b); err != nil {
				return err
			}
			if out, err := b.A.Swanctl(ctx, args...); err != nil {
				return &failed{strings.TrimSpace(out), err}
			}
			return pinged(ctx, b)
		}
	}
	suite := func(ike, esp string) func(a, r *lab.End) error {
		return both(func(e *lab.End) { e.Proposals, e.ESP = ike, esp })
	}
	certs := func(kind lab.KeyKind, depth int) func(a, r *lab.End) error {
		return func(a, r *lab.End) error { return lab.UseCertificates(a, r, kind, depth) }
	}
	return append(slices.Concat(peerVariants(), roadVariants(), nativeVariants(), kernelVariants(), v6Variants(), callVariants()), []Fault{
		{Name: "plain tunnel", Act: ping},
		{Name: "AES-CBC with SHA2-256", Act: ping, Ends: suite("aes256-sha256-modp2048", "aes256-sha256")},
		{Name: "ChaCha20", Act: ping, Ends: suite("chacha20poly1305-prfsha256-curve25519", "chacha20poly1305")},
		{Name: "SHA2-512 and ECP 521", Act: ping, Ends: suite("aes256-sha512-ecp521", "aes256-sha512")},
		{Name: "AES-128-GCM", Act: ping, Ends: suite("aes128gcm16-prfsha256-ecp256", "aes128gcm16")},
		{Name: "AES-192-CBC with SHA2-384", Act: ping, Ends: suite("aes192-sha384-ecp384", "aes192-sha384")},
		{Name: "INVALID_KE once", Act: ping, Ends: func(a, r *lab.End) error {
			a.Proposals, r.Proposals = "aes256gcm16-prfsha256-ecp256-curve25519", "aes256gcm16-prfsha256-curve25519"
			return nil
		}},
		{Name: "several proposals, the last fits", Act: ping, Ends: initiator(func(e *lab.End) {
			e.Proposals = "aes256-sha512-modp4096,aes128-sha256-modp3072,aes256gcm16-prfsha256-ecp256"
		})},
		{Name: "RSA certificates", Act: ping, Ends: certs(lab.RSA(2048), 1)},
		{Name: "ECDSA certificates", Act: ping, Ends: certs(lab.ECDSA(elliptic.P256()), 1)},
		{Name: "ECDSA chain", Act: ping, Ends: certs(lab.ECDSA(elliptic.P384()), 2)},
		{Name: "child rekeyed", Act: again("--rekey", "--child", "net")},
		{Name: "IKE SA rekeyed", Act: again("--rekey", "--ike", "gw")},
		{Name: "taken down in order", Act: func(ctx context.Context, b *lab.Bench) error {
			if err := ping(ctx, b); err != nil {
				return err
			}
			_, err := b.A.Swanctl(ctx, "--terminate", "--ike", "gw")
			return err
		}},
		{Name: "taken down by the responder", Act: func(ctx context.Context, b *lab.Bench) error {
			if err := ping(ctx, b); err != nil {
				return err
			}
			_, err := b.B.Swanctl(ctx, "--terminate", "--ike", "gw")
			return err
		}},
		{Name: "MOBIKE off", Act: ping, Ends: both(func(e *lab.End) { e.Conn = append(e.Conn, "mobike = no") })},
		{Name: "forced UDP encapsulation", Act: ping, Ends: both(func(e *lab.End) { e.Conn = append(e.Conn, "encap = yes") })},
		{Name: "liveness checks", Act: ping, Ends: both(func(e *lab.End) { e.Conn = append(e.Conn, "dpd_delay = 1s") })},
		{Name: "wider networks at the responder", Act: ping, Ends: responder(func(e *lab.End) { e.LocalTS, e.RemoteTS = "10.2.0.0/16", "10.1.0.0/16" })},
		{Name: "EAP-MSCHAPv2", Act: ping, Ends: lab.UseEAP, NoEngine: noEngine(noEAP)},
		{Name: "NAT box in front of the initiator", Act: ping, NAT: true},
		{Name: "child rekeyed behind a NAT box", Act: again("--rekey", "--child", "net"), NAT: true},
		{Name: "certificates behind a NAT box", Act: ping, NAT: true, Ends: certs(lab.ECDSA(elliptic.P256()), 1)},
		{Name: "IPv6 inside", Act: ping6, Ends: func(a, r *lab.End) error {
			a.LocalTS, a.RemoteTS = "fd00:1::1/128", "fd00:2::1/128"
			r.LocalTS, r.RemoteTS = a.RemoteTS, a.LocalTS
			return nil
		}},
		{Name: "every third IKE message gets lost", Act: ping, Upset: chain(atResponder, before, "udp dport 500 numgen inc mod 3 1 drop\nudp dport 4500 @th,64,32 0 numgen inc mod 3 1 drop")},
		{Name: "a packet in fifty gets lost", Act: manyPings, Upset: chain(atResponder, before, "udp dport 4500 @th,64,32 != 0 numgen inc mod 50 0 drop")},
		{Name: "large messages in IKE fragments", Act: ping, Ends: large},
		{Name: "COOKIE once", Act: ping, Upset: halfOpen("cookie_threshold = 1"), NoEngine: noEngine("it is a setting of the responder's daemon, a strongSwan")},
		{Name: "the host forwards and has a firewall that lets IPsec through", Act: ping, Upset: all(sysctl(atInitiator, "net.ipv4.ip_forward=1"),
			chain(atInitiator, "type filter hook input priority 0; policy drop;", "iifname { lo, ipsec0, cvl0 } accept\nct state established,related accept\nudp dport { 500, 4500 } accept\nmeta l4proto esp accept"))},
		{Name: "idle tunnel", Act: func(ctx context.Context, b *lab.Bench) error { _, err := b.Initiate(ctx); return err }},
	}...)
}

// ping6 brings the child up and pings through it by IPv6.
func ping6(ctx context.Context, b *lab.Bench) error {
	if _, err := b.Initiate(ctx); err != nil {
		return err
	}
	return lab.PingEach(ctx, b.HostA, "fd00:1::1", "fd00:2::1", 3)
}

// halfOpen starts the responder's daemon with a further option, and leaves an SA
// half open there.
func halfOpen(option string) Upset {
	return func(ctx context.Context, b *lab.Bench) (func(context.Context) error, error) {
		path := filepath.Join(b.B.Dir, "strongswan.conf")
		usual, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		anew := func(ctx context.Context, conf []byte) error {
			return errors.Join(b.B.Stop(), os.WriteFile(path, conf, 0o600), b.B.Start(ctx))
		}
		back := func(ctx context.Context) error { return anew(ctx, usual) }
		conf := bytes.Replace(usual, []byte("charon-systemd {"), []byte("charon-systemd {\n  "+option), 1)
		if err := anew(ctx, conf); err != nil {
			return nil, errors.Join(err, back(ctx))
		}
		_, err = b.B.Swanctl(ctx, "--load-all", "--file", filepath.Join(b.B.Dir, "swanctl.conf"))
		if err == nil {
			err = lab.LeaveHalfOpen(ctx, b)
		}
		if err != nil {
			return nil, errors.Join(err, back(ctx))
		}
		return back, nil
	}
}

// pinged wants pings answered. The first may come before a peer's ESP has its
// device and routes in place, which is no matter of a diagnosis: it is asked
// again soon.
func pinged(ctx context.Context, b *lab.Bench) error {
	const count = 2
	var err error
	if late := lab.Eventually(ctx, time.Minute, "pings to pass", func() bool {
		var answered int
		answered, err = lab.Ping(ctx, b.HostA, b.InnerA, b.InnerB, count, 200*time.Millisecond)
		return answered == count
	}); late != nil {
		return errors.Join(late, err)
	}
	return nil
}
