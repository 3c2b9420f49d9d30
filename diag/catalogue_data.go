package diag

var dataEntries = []Entry{
	{
		ID: "esp-proto50-blocked", Title: "ESP (IP protocol 50) is blocked", Severity: High, Ownership: External,
		Symptom: "IKE is healthy, both ends send, neither receives anything.",
		Cause:   "Without a NAT, ESP travels as IP protocol 50, and something on the path lets UDP pass but not that: a cloud security group, a provider, a firewall rule for UDP only.",
		Shows: []Shows{
			capture("Native ESP in one direction only at each end, IKE fine in both; perhaps ICMP protocol unreachable or prohibited."),
			charon("packets-out grows and packets-in stays 0, on both sides."),
		},
		Remedies:    []Remedy{network("Let IP protocol 50 pass between the two addresses in both directions.")},
		Distinguish: "Force UDP encapsulation for a test: if traffic then passes, protocol 50 is the obstacle.",
		RFC:         []string{"RFC 4303 2", "RFC 3948"}, Related: []string{"esp-one-way-out", "natt-off-with-nat"},
	},
	{
		ID: "esp-one-way-out", Title: "We send, nothing comes back", Severity: High, Ownership: External,
		Symptom: "The tunnel is up, packets go out, none come in.",
		Cause: "The peer's side receives and does not answer through the tunnel: the host behind it does not reply or has no route back to the gateway, the peer's firewall or policy drops the inner packets, " +
			"it translates addresses before IPsec, or ESP is lost on the way.",
		Shows: []Shows{
			capture("ESP from the initiator and none from the responder, while IKE is answered."),
			charon("packets-out and use-out grow; packets-in is 0, use-in absent."),
		},
		Remedies: []Remedy{
			network("Have the other side look at its inbound counter. If it grows, follow the inner packet there: firewall, route back to our networks, the target host itself. If it does not, ESP is lost on the way."),
		},
		Distinguish: "The peer's inbound counter divides the cases. Native ESP one way on both ends is esp-proto50-blocked.",
		RFC:         []string{"RFC 4301 5.2"}, Related: []string{"esp-one-way-in", "esp-proto50-blocked", "route-missing", "snat-before-ipsec", "inner-address-outside-ts"},
	},
	{
		ID: "esp-one-way-in", Title: "Packets arrive, we send none back", Severity: High, Ownership: Host,
		Symptom: "The tunnel is up, packets come in, none go out.",
		Cause: "On our side the answer does not find its way into the tunnel: forwarding is off, a firewall drops it, the route back leads elsewhere, " +
			"source NAT changes it so that it no longer matches the selectors, or the target host does not reply.",
		Shows: []Shows{
			capture("ESP towards the initiator and none from it, while IKE is answered."),
			charon("packets-in grows, packets-out is 0."),
			host("ip_forward 0, a FORWARD policy of drop, rp_filter, masquerading without an exception for IPsec."),
		},
		Remedies: []Remedy{
			linux("local", "sysctl -w net.ipv4.ip_forward=1"),
			linux("local", "iptables -I FORWARD -m policy --dir out --pol ipsec -j ACCEPT"),
			linux("local", "iptables -t nat -I POSTROUTING -m policy --pol ipsec --dir out -j ACCEPT"),
			linux("local", "ip route get <an address of remote_ts> from <an address of local_ts>"),
		},
		RFC: []string{"RFC 4301 5.1"}, Related: []string{"esp-one-way-out", "forwarding-firewall-rpfilter", "snat-before-ipsec", "route-missing"},
	},
	{
		ID: "esp-no-traffic-both", Title: "Tunnel up, no packet in either direction", Severity: Medium, Ownership: LocalConfig,
		Symptom: "CHILD SA INSTALLED, all counters zero.",
		Cause:   "Nothing that was sent matches the selectors: a ping from the gateway's outer address, no route into the xfrm interface, policies switched off.",
		Shows: []Shows{
			charon("packets-in and packets-out are 0 and stay so during a test."),
		},
		Remedies: []Remedy{
			linux("local", "ping -I <an address of local_ts> <an address of remote_ts>"),
			swan("local", "connections.<c>.children.<k>.policies = yes"),
			linux("local", "ip route add <remote_ts> dev <xfrm interface>   (with if_id_in and if_id_out)"),
		},
		RFC: []string{"RFC 4301 5.1"}, Related: []string{"policy-or-if-id-missing", "route-missing"},
	},
	{
		ID: "outbound-sa-not-installed", Title: "New SA after a rekey is not used", Severity: Critical, Ownership: Software,
		Symptom: "After a rekey traffic stops, while the SA list looks right; the next rekey or a restart heals it.",
		Cause:   "Two rekeys crossed, and one side kept the loser's outbound SA: it sends on an SPI that the other side has deleted.",
		Shows: []Shows{
			capture("After CREATE_CHILD_SA a new SPI in one direction only; the other direction goes on with the old one."),
			charon("A child-rekey event without the new outbound SA in the kernel; \"collision\" lines."),
		},
		Remedies: []Remedy{
			swan("local", "upgrade to 6.0.0 or newer (collision handling was rewritten)"),
			swan("local", "connections.<c>.children.<k>.rekey_time = 0 on one side, so that only the other one rekeys; or a larger rand_time"),
			swan("local", "swanctl --rekey --child <k>   (heals it now)"),
		},
		RFC: []string{"RFC 7296 2.8", "RFC 7296 2.8.1"}, Related: []string{"rekey-collision"},
	},
	{
		ID: "replay-drops", Title: "Packets dropped as replays", Severity: Medium, Ownership: LocalConfig,
		Symptom: "Loss under load although the path loses nothing.",
		Cause:   "Packets arrive further out of order than the replay window allows (QoS classes, several paths or queues).",
		Shows: []Shows{
			capture("ESP sequence numbers late by more than the window."),
			host("XfrmInStateSeqError rises."),
		},
		Remedies: []Remedy{
			swan("local", "connections.<c>.children.<k>.replay_window = 1024   (default 32)"),
			cisco("local", "crypto ipsec security-association replay window-size 1024"),
			libre("local", "replay-window=1024"),
		},
		RFC: []string{"RFC 4303 3.4.3"}, Related: []string{"esp-path-loss"},
	},
	{
		ID: "esp-auth-failures", Title: "ESP fails its integrity check", Severity: Critical, Ownership: Software,
		Symptom: "ESP arrives with the right SPI, and nothing comes out of it.",
		Cause:   "The two ends do not use the same keys, truncation or sequence number width: a half-finished rekey, the 96-bit SHA2-256 of old systems, ESN on one side; or the packets are changed on the way.",
		Shows: []Shows{
			keyed("The integrity check value does not hold with the right keys."),
			host("XfrmInStateProtoError rises."),
		},
		Remedies: []Remedy{
			swan("both", "connections.<c>.children.<k>.esp_proposals = aes256gcm16   (avoids the truncation question)"),
			swan("local", "connections.<c>.children.<k>.hw_offload = no   (to rule out the network card)"),
		},
		Distinguish: "Packet length tells truncation: see sha256-96-truncation.",
		RFC:         []string{"RFC 4303 3.4.4"}, Related: []string{"sha256-96-truncation", "esn-mismatch"},
	},
	{
		ID: "sha256-96-truncation", Title: "SHA2-256 truncated to 96 bit by one side", Severity: High, Ownership: Software,
		Symptom: "The tunnel is up, no packet is accepted, with AES-CBC and SHA2-256.",
		Cause:   "An old draft truncated HMAC-SHA2-256 to 96 bit, the RFC to 128; both use the same number. Android 6 and 7 and Linux before 2.6.33 use the draft.",
		Shows: []Shows{
			capture("With AES-CBC, ESP length modulo 16 is 4 in one direction (12 octets of ICV) and 8 in the other (16 octets)."),
		},
		Remedies: []Remedy{
			swan("local", "connections.<c>.children.<k>.sha256_96 = yes"),
			libre("local", "sha2-truncbug=yes"),
			swan("both", "connections.<c>.children.<k>.esp_proposals = aes256gcm16,aes256-sha512   (better)"),
		},
		RFC: []string{"RFC 4868 2.3"}, Related: []string{"esp-auth-failures"},
	},
	{
		ID: "mtu-pmtu-blackhole", Title: "Large packets vanish", Severity: High, Ownership: LocalConfig,
		Symptom: "Ping works, web pages and file copies hang.",
		Cause: "Encapsulation makes packets larger than the path allows, and the ICMP message that would say so is filtered. " +
			"Over 1500 octets of IPv4, AES-GCM in tunnel mode leaves 1446 for the inner packet, 1438 with NAT traversal; AES-CBC with SHA2-256 1438 and 1422.",
		Shows: []Shows{
			capture("Small ESP packets are answered, those near the MTU are not; no ICMP \"fragmentation needed\"."),
			host("XfrmOutStateModeError rises."),
		},
		Remedies: []Remedy{
			linux("local", "iptables -t mangle -A FORWARD -m policy --pol ipsec --dir out -p tcp --syn -j TCPMSS --set-mss 1360"),
			linux("local", "ip link set <xfrm interface> mtu 1400"),
			cisco("remote", "interface Tunnel<n>: ip mtu 1400, ip tcp adjust-mss 1360; crypto ipsec df-bit clear"),
			forti("remote", "config firewall policy: set tcp-mss-sender 1360, set tcp-mss-receiver 1360"),
			pan("remote", "Tunnel interface > Advanced: MTU 1400, Adjust TCP MSS"),
		},
		Distinguish: "Test each size twice: some gateways send the ICMP error for the second packet only.",
		RFC:         []string{"RFC 4301 8", "RFC 1191"}, Related: []string{"inner-icmp-error-not-in-policy", "ptb-arrives-one-packet-late", "ipv6-extension-or-frag-drop"},
	},
	{
		ID: "ipv6-extension-or-frag-drop", Title: "IPv6 path drops ESP or fragments", Severity: Medium, Ownership: External,
		Symptom: "Over IPv6 IKE works and ESP, or anything large, does not.",
		Cause:   "Something on the path drops packets with next header 50 (ESP) or 44 (fragment).",
		Shows:   []Shows{capture("IPv6 IKE over UDP is answered; native ESP or fragments are seen one way only.")},
		Remedies: []Remedy{
			network("Let IPv6 next headers 50 and 44 pass between the two addresses."),
		},
		Distinguish: "UDP encapsulation over IPv6 (Linux 5.8 and newer) as a test: if it helps, next header 50 was dropped.",
		RFC:         []string{"RFC 7872", "RFC 4303 3.3.4"}, Related: []string{"esp-proto50-blocked", "ike-auth-ip-fragment-loss"},
	},
	{
		ID: "esp-path-loss", Title: "The path loses ESP packets", Severity: Medium, Ownership: External,
		Symptom: "The tunnel works badly: slow transfers, choppy voice.",
		Cause:   "Sequence numbers are missing at the point of the capture: packets that were sent did not get this far. That is loss on the path, not a fault of the VPN.",
		Shows: []Shows{
			capture("Gaps in the sequence numbers of an SPI that are never filled. Seen on the sender's side of the loss there are none."),
		},
		Remedies: []Remedy{network("Measure the path between the gateways without the tunnel (mtr, both directions) and take it to the provider.")},
		RFC:      []string{"RFC 4303 2.2"}, Related: []string{"replay-drops", "throughput-capped"},
	},
	{
		ID: "seq-exhaustion", Title: "Sequence numbers run out", Severity: Low, Ownership: LocalConfig,
		Symptom: "A fast tunnel stops sending until the next rekey.",
		Cause:   "Without extended sequence numbers an SA carries 2^32 packets at most. The rekey came too late or not at all.",
		Shows: []Shows{
			capture("ESP sequence numbers close to 4294967295."),
			host("XfrmOutStateSeqError rises."),
		},
		Remedies: []Remedy{
			swan("both", "connections.<c>.children.<k>.esp_proposals = aes256gcm16-esn"),
			swan("local", "connections.<c>.children.<k>.rekey_packets = 2000000000"),
		},
		RFC: []string{"RFC 4303 2.2.1", "RFC 4303 3.3.3"}, Related: []string{"esn-mismatch"},
	},
	{
		ID: "inner-address-outside-ts", Title: "Inner packets outside the selectors", Severity: High, Ownership: PeerConfig,
		Symptom: "ESP arrives and decrypts, and the packets are dropped.",
		Cause:   "The inner source or destination is not covered by the CHILD SA's selectors: a NAT in the wrong place at the sender, or a route-based gateway that sends everything.",
		Shows: []Shows{
			keyed("Inner addresses compared with TSi and TSr."),
			host("XfrmInTmplMismatch or XfrmInNoPols rises."),
		},
		Remedies: []Remedy{
			swan("both", "connections.<c>.children.<k>.local_ts and remote_ts: include what is really sent"),
			anyone("remote", "Correct the order of NAT and IPsec at the sender."),
		},
		RFC: []string{"RFC 4301 5.2"}, Related: []string{"ts-any-vs-proxy-id", "snat-before-ipsec"},
	},
	{
		ID: "cleartext-leak-when-down", Title: "Traffic leaves unencrypted while the tunnel is down", Severity: Critical, Ownership: LocalConfig,
		Symptom: "Nothing is noticed, and that is the danger: what belongs into the tunnel goes out in the clear.",
		Cause:   "No policy holds the traffic back while there is no SA: the tunnel only installs its policy when it is up, and the default route takes the rest.",
		Shows: []Shows{
			capture("On the outer interface packets to addresses of remote_ts, or GRE or VXLAN to the peer, in the clear."),
			charon("The child has start_action = none and no trap policy."),
		},
		Remedies: []Remedy{
			swan("local", "connections.<c>.children.<k>.start_action = trap"),
			linux("local", "iptables -A FORWARD -d <remote_ts> -m policy --dir out --pol none -j DROP"),
			linux("local", "ip route add blackhole <remote_ts> metric 4278198272"),
		},
		RFC: []string{"RFC 4301 4.4.1"}, Related: []string{"on-demand-never-triggered"},
	},
	{
		ID: "throughput-capped", Title: "Throughput stops at a round figure", Severity: Low, Ownership: External,
		Symptom: "No loss, no errors, and never more than a certain rate.",
		Cause:   "A licence or shaper limits the rate, or one CPU core is full: one SA is handled by one core.",
		Shows:   []Shows{host("One core at 100 % while the tunnel is busy."), capture("No sequence gaps, a flat rate.")},
		Remedies: []Remedy{
			network("Check the licence and shaping of the gateways and the line, and their CPU per core while the tunnel is busy."),
		},
		Related: []string{"esp-path-loss", "mtu-pmtu-blackhole"},
	},
}
