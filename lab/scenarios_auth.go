package lab

import (
	"context"
	"crypto/elliptic"
)

// authScenarios are healthy tunnels that authenticate otherwise than by PSK.
func authScenarios() []Scenario {
	return []Scenario{
		{
			Name: "cert-rsa2048", Shows: "Both ends authenticate with RSA 2048 certificates from one root; the tunnel carries pings.",
			Ends: func(a, b *End) error { return UseCertificates(a, b, RSA(2048), 1) },
		},
		{
			Name: "cert-ecdsa256", Shows: "Both ends authenticate with ECDSA P-256 certificates from one root; the tunnel carries pings.",
			Ends: func(a, b *End) error { return UseCertificates(a, b, ECDSA(elliptic.P256()), 1) },
		},
		{
			Name: "cert-ecdsa384-chain", Shows: "Both ends send an ECDSA P-384 certificate and the intermediate authority above it; the tunnel carries pings.",
			Ends: func(a, b *End) error { return UseCertificates(a, b, ECDSA(elliptic.P384()), 2) },
		},
		{
			Name: "eap-mschapv2", Shows: "The responder shows an ECDSA certificate, the initiator a password by EAP-MSCHAPv2; the tunnel carries pings.",
			Ends: UseEAP,
		},
		{
			Name: "ike-fragmentation", Shows: "RSA 4096 certificate chains make IKE_AUTH too large for one packet, and both ends split it by IKE fragmentation (RFC 7383).",
			Ends: func(a, b *End) error { return UseCertificates(a, b, RSA(4096), 2) },
		},
		{
			Name: "virtual-ip", Shows: "The initiator asks for an inner address by a configuration payload, gets one from the responder's pool and uses it.",
			Ends: func(a, b *End) error {
				a.LocalTS, b.RemoteTS = "", ""
				a.Conn = append(a.Conn, "vips = 0.0.0.0")
				b.Conn = append(b.Conn, "pools = inner")
				b.Pools = append(b.Pools, "inner {\naddrs = 10.9.0.0/24\ndns = 10.2.0.1\n}")
				return nil
			},
			Act: func(ctx context.Context, b *Bench) error {
				if _, err := b.Initiate(ctx); err != nil {
					return err
				}
				b.InnerA = "10.9.0.1"
				return b.PingThrough(ctx, 4)
			},
		},
	}
}

// UseEAP has the responder sign and the initiator answer an EAP-MSCHAPv2
// challenge.
func UseEAP(a, b *End) error {
	root, err := NewRoot("Lab Root CA", ECDSA(elliptic.P256()))
	if err != nil {
		return err
	}
	leaf, err := root.NewLeaf(b.Local.ID, ECDSA(elliptic.P256()))
	if err != nil {
		return err
	}
	if err := b.Present(leaf); err != nil {
		return err
	}
	a.Trust(root)
	b.Trust(root)
	a.Remote.Method = "pubkey"
	a.Local.Method, b.Remote.Method = "eap-mschapv2", "eap-mschapv2"
	a.Local.Lines = append(a.Local.Lines, "eap_id = carol")
	b.Remote.Lines = append(b.Remote.Lines, "eap_id = %any")
	login := []string{"eap-carol {\nid = carol\nsecret = \"lab only password\"\n}"}
	a.Secrets, b.Secrets = login, login
	return nil
}
