package lab

// ikev1Scenarios are tunnels with the old protocol, which is decoded only.
func ikev1Scenarios() []Scenario {
	note := []string{"IKEv1 is historic (RFC 9395); the tunnel itself is healthy."}
	return []Scenario{
		{
			Name: "ikev1-main-mode", Shows: "An IKEv1 tunnel with a pre-shared key comes up by main mode and quick mode and carries pings.",
			Notes: note, Ends: useIKEv1,
		},
		{
			Name: "ikev1-aggressive-mode", Shows: "An IKEv1 tunnel with a pre-shared key comes up by aggressive mode and quick mode and carries pings.",
			Notes: note,
			Ends: func(a, b *End) error {
				a.Conn, b.Conn = append(a.Conn, "aggressive = yes"), append(b.Conn, "aggressive = yes")
				b.Daemon.Options = append(b.Daemon.Options, "i_dont_care_about_security_and_use_aggressive_mode_psk = yes")
				return useIKEv1(a, b)
			},
		},
	}
}

func useIKEv1(a, b *End) error {
	a.Version, b.Version = "1", "1"
	a.Proposals, b.Proposals = "aes256-sha256-modp2048", "aes256-sha256-modp2048"
	a.ESP, b.ESP = "aes256-sha256", "aes256-sha256"
	return nil
}
