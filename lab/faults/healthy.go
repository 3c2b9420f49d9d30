package faults

import (
	"context"
	"crypto/elliptic"
	"strings"

	"github.com/cloudvlan/cvlanctl/lab"
)

// HealthyVariants are tunnels in which nothing is wrong.
func HealthyVariants() []Fault {
	ping := func(ctx context.Context, b *lab.Bench) error {
		if _, err := b.Initiate(ctx); err != nil {
			return err
		}
		return b.PingThrough(ctx, 2)
	}
	again := func(args ...string) func(ctx context.Context, b *lab.Bench) error {
		return func(ctx context.Context, b *lab.Bench) error {
			if err := ping(ctx, b); err != nil {
				return err
			}
			if out, err := b.A.Swanctl(ctx, args...); err != nil {
				return &failed{strings.TrimSpace(out), err}
			}
			return b.PingThrough(ctx, 2)
		}
	}
	suite := func(ike, esp string) func(a, r *lab.End) error {
		return both(func(e *lab.End) { e.Proposals, e.ESP = ike, esp })
	}
	certs := func(kind lab.KeyKind, depth int) func(a, r *lab.End) error {
		return func(a, r *lab.End) error { return lab.UseCertificates(a, r, kind, depth) }
	}
	return []Fault{
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
		{Name: "idle tunnel", Act: func(ctx context.Context, b *lab.Bench) error { _, err := b.Initiate(ctx); return err }},
	}
}
