package lab

// suite makes a healthy PSK scenario with the given algorithms.
func suite(name, ike, esp, shows string) Scenario {
	return Scenario{Name: name, Shows: shows, Ends: func(a, b *End) error {
		a.Proposals, b.Proposals = ike, ike
		a.ESP, b.ESP = esp, esp
		return nil
	}}
}

func suiteScenarios() []Scenario {
	return []Scenario{
		suite("psk-ecp256-aes256gcm16", "aes256gcm16-prfsha256-ecp256", "aes256gcm16",
			"A PSK tunnel with AES-256-GCM and ECP 256 comes up and carries pings."),
		suite("psk-curve25519-chacha20poly1305", "chacha20poly1305-prfsha256-curve25519", "chacha20poly1305",
			"A PSK tunnel with ChaCha20-Poly1305 and Curve25519 comes up and carries pings."),
		suite("psk-modp2048-aes256-sha256", "aes256-sha256-modp2048", "aes256-sha256",
			"A PSK tunnel with AES-256-CBC, HMAC-SHA2-256-128 and MODP 2048 comes up and carries pings."),
		suite("psk-ecp384-aes256-sha384", "aes256-sha384-ecp384", "aes256-sha384",
			"A PSK tunnel with AES-256-CBC, HMAC-SHA2-384-192 and ECP 384 comes up and carries pings."),
		suite("psk-ecp521-aes256-sha512", "aes256-sha512-ecp521", "aes256-sha512",
			"A PSK tunnel with AES-256-CBC, HMAC-SHA2-512-256 and ECP 521 comes up and carries pings."),
		suite("psk-aes128ctr-sha256", "aes128ctr-sha256-ecp256", "aes128ctr-sha256",
			"A PSK tunnel with AES-128-CTR and HMAC-SHA2-256-128 comes up and carries pings."),
		suite("psk-aes256ccm16", "aes256ccm16-prfsha256-ecp256", "aes256ccm16",
			"A PSK tunnel with AES-256-CCM comes up and carries pings."),
		suite("psk-aes128gcm8-mixed", "aes128gcm8-prfsha384-modp3072", "aes192gcm12",
			"A PSK tunnel with AES-128-GCM and an 8 octet ICV for IKE and AES-192-GCM with 12 octets for ESP comes up and carries pings."),
		suite("psk-3des-sha1-modp2048", "3des-sha1-modp2048", "3des-sha1",
			"A PSK tunnel with 3DES and HMAC-SHA1-96 comes up and carries pings.").expect("weak-crypto-negotiated"),
		suite("weak-crypto", "3des-sha1-modp1024", "3des-sha1",
			"A PSK tunnel comes up with 3DES, HMAC-SHA1-96 and MODP 1024.").expect("weak-crypto-negotiated"),
	}
}

// expect names the findings of a scenario, the cause first.
func (s Scenario) expect(ids ...string) Scenario {
	s.Expect = ids
	return s
}
