package lab

import "context"

// kernelScenarios run in guests, whose kernel does ESP: nothing has to be
// forced into UDP, and NAT detection hashes are true.
func kernelScenarios() []Scenario {
	native := func(name, ike, esp, shows string) Scenario {
		s := suite(name, ike, esp, shows)
		s.Guests = true
		return s
	}
	ipv6 := native("native-esp-ipv6", defaultIKE, defaultESP,
		"A PSK tunnel between IPv6 addresses without any NAT: ESP as IPv6 next header 50.")
	ipv6.IPv6 = true
	return []Scenario{
		native("native-esp-aes256gcm16", defaultIKE, defaultESP,
			"A PSK tunnel without any NAT: ESP with AES-256-GCM as IP protocol 50, from the kernels of both ends."),
		native("native-esp-aes256-sha256", "aes256-sha256-modp2048", "aes256-sha256",
			"A PSK tunnel without any NAT: ESP with AES-256-CBC and HMAC-SHA2-256-128 as IP protocol 50."),
		ipv6,
		{
			Name: "native-esp-transport", Guests: true,
			Shows: "Transport mode between two hosts: ESP as IP protocol 50 around the ICMP messages themselves.",
			Ends: func(a, b *End) error {
				a.Child, b.Child = append(a.Child, "mode = transport"), append(b.Child, "mode = transport")
				a.LocalTS, a.RemoteTS, b.LocalTS, b.RemoteTS = "", "", "", ""
				return nil
			},
			Act: func(ctx context.Context, b *Bench) error {
				b.InnerA, b.InnerB = b.OuterA, b.OuterB
				return BringUpAndPing(ctx, b)
			},
		},
		{
			Name: "libreswan-psk", Guests: true,
			Shows: "strongSwan begins, libreswan answers: a PSK tunnel with native ESP comes up and carries pings.",
			Ends: func(_, b *End) error {
				b.Absent = true
				return nil
			},
			Prepare: withGateway(Libreswan),
		},
		{
			Name: "openiked-psk", Guests: true,
			Shows: "strongSwan begins, OpenIKED answers: a PSK tunnel with native ESP comes up and carries pings.",
			Ends: func(a, b *End) error {
				a.Proposals, a.ESP = "aes256-sha256-ecp256", "aes256-sha512"
				b.Proposals, b.ESP = a.Proposals, a.ESP
				b.Absent = true
				return nil
			},
			Prepare: withGateway(OpenIKED),
		},
	}
}
