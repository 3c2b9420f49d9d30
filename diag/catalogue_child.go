package diag

var childEntries = []Entry{
	{
		ID: "ts-unacceptable", Title: "Traffic selectors do not meet", Severity: High, Ownership: PeerConfig,
		Symptom: "The IKE SA is up, there is no CHILD SA, and nothing passes.",
		Cause:   "The networks that one side proposes have nothing in common with those that the other is configured for. Each side's local networks have to be the other's remote ones.",
		Shows: []Shows{
			capture("An IKE_AUTH response that begins with IDr but is too short to hold an SA and selectors, and no ESP afterwards. It looks the same as no-proposal-child-initial."),
			keyed("N(TS_UNACCEPTABLE); TSi and TSr of the request show what was proposed."),
			charon("\"traffic selectors A === B unacceptable\", \"no acceptable traffic selectors found\"; alert ts-mismatch."),
		},
		Remedies: []Remedy{
			swan("both", "connections.<c>.children.<k>.local_ts and remote_ts: the mirror image on the other side"),
			libre("both", "leftsubnet=... rightsubnet=..."),
			cisco("both", "the crypto map's access list: permit ip <local> <remote>, mirrored on the other side"),
			forti("both", "config vpn ipsec phase2-interface: set src-subnet ..., set dst-subnet ..."),
			pan("both", "IPSec Tunnel > Proxy IDs: Local and Remote"),
		},
		Distinguish: "A selector `dynamic` without the virtual IP that it stands for is a usual reason. Only keys or a log tell this from no-proposal-child-initial.",
		RFC:         []string{"RFC 7296 2.9"}, Related: []string{"no-proposal-child-initial", "ts-any-vs-proxy-id", "ts-narrowed-surprise"},
	},
	{
		ID: "ts-narrowed-surprise", Title: "Peer narrowed the selectors", Severity: Medium, Ownership: PeerConfig,
		Symptom: "The tunnel works for some networks and not for others.",
		Cause:   "The responder may accept less than was proposed. What it left out is not in the tunnel.",
		Shows: []Shows{
			keyed("TSi or TSr of the response lies strictly inside that of the request."),
			charon("Alert ts-narrowed; local-ts and remote-ts in list-sas are smaller than in list-conns."),
		},
		Remedies: []Remedy{
			swan("both", "connections.<c>.children.<k>.remote_ts = <exactly what the peer allows>"),
			cisco("remote", "add the missing networks to the crypto map's access list"),
			forti("remote", "config vpn ipsec phase2-interface: widen src-subnet and dst-subnet, or add a phase 2"),
		},
		Distinguish: "Narrowing to one address is normal for a client that asked for everything and got a virtual IP.",
		RFC:         []string{"RFC 7296 2.9"}, Related: []string{"ts-unacceptable", "ts-multi-subnet-unsupported"},
	},
	{
		ID: "ts-multi-subnet-unsupported", Title: "Peer takes one pair of networks per CHILD SA", Severity: High, Ownership: PeerConfig,
		Symptom: "Of several networks in one child only the first pair works.",
		Cause:   "IKEv2 lets one CHILD SA carry many networks. Some gateways (Check Point, Cisco with crypto maps, FortiGate with subnets) take a single pair each.",
		Shows:   []Shows{keyed("The response keeps the first pair only, or N(SINGLE_PAIR_REQUIRED).")},
		Remedies: []Remedy{
			swan("local", "connections.<c>.children.<k1> and <k2>: one child for each pair of networks"),
			cisco("remote", "a tunnel interface (VTI) with any-to-any selectors"),
			forti("remote", "one phase2-interface for each pair"),
		},
		RFC: []string{"RFC 7296 2.9"}, Related: []string{"ts-narrowed-surprise"},
	},
	{
		ID: "ts-any-vs-proxy-id", Title: "Route-based against policy-based", Severity: High, Ownership: PeerConfig,
		Symptom: "TS_UNACCEPTABLE, or a tunnel in which one side sends packets that the other drops.",
		Cause:   "One gateway proposes 0.0.0.0/0 and decides by routes, the other is configured for certain networks.",
		Shows: []Shows{
			keyed("One side's selectors are 0.0.0.0 to 255.255.255.255, the other's are networks."),
		},
		Remedies: []Remedy{
			swan("local", "connections.<c>.children.<k>.local_ts = 0.0.0.0/0, remote_ts = 0.0.0.0/0, if_id_in = 42, if_id_out = 42   (and routes into the xfrm interface)"),
			pan("remote", "IPSec Tunnel > Proxy IDs: the networks of the peer's policy"),
			forti("remote", "config vpn ipsec phase2-interface: set src-subnet and dst-subnet to the peer's networks"),
			cisco("remote", "tunnel mode ipsec ipv4 on a Tunnel interface instead of a crypto map"),
		},
		RFC: []string{"RFC 7296 2.9", "RFC 4301 4.4.1"}, Related: []string{"ts-unacceptable", "inner-address-outside-ts"},
	},
	{
		ID: "ts-overlap-route-conflict", Title: "Selectors overlap with something nearer", Severity: Medium, Ownership: LocalConfig,
		Symptom: "Local hosts or the peer itself become unreachable when the tunnel is up, or traffic takes the wrong tunnel.",
		Cause:   "Two children claim the same addresses, or a remote network covers the peer's outer address or a network that is directly connected.",
		Shows: []Shows{
			charon("Two children with overlapping remote-ts in list-sas, or a remote-ts that covers remote-host."),
			host("Two policies for the same selector; routes in table 220 that shadow connected networks."),
		},
		Remedies: []Remedy{
			swan("local", "a child with mode = pass for the local network, or the bypass-lan plugin"),
			swan("local", "connections.<c>.children.<k>.priority = <lower number wins>"),
		},
		RFC: []string{"RFC 4301 4.4.1"}, Related: []string{"stale-policy-claims-traffic"},
	},
	{
		ID: "transport-tunnel-mode-mismatch", Title: "Transport mode on one side only", Severity: High, Ownership: PeerConfig,
		Symptom: "GRE or L2TP over IPsec does not pass, or the CHILD SA is refused.",
		Cause:   "One side asked for transport mode, the other did not agree, and tunnel mode is not what the first one wants.",
		Shows: []Shows{
			keyed("USE_TRANSPORT_MODE in the request and not in the response."),
			charon("\"not using transport mode, not host-to-host\", \"mode requested by responder is unacceptable\"."),
		},
		Remedies: []Remedy{
			swan("both", "connections.<c>.children.<k>.mode = transport   (or tunnel, the same on both sides)"),
			cisco("both", "crypto ipsec transform-set <t> ...: mode transport"),
			libre("both", "type=transport"),
		},
		RFC: []string{"RFC 7296 1.3.1"}, Related: []string{"ts-unacceptable"},
	},
	{
		ID: "cp-required-or-missing", Title: "Virtual IP wanted by one side only", Severity: High, Ownership: LocalConfig,
		Symptom: "The IKE SA is up, the client has no address and no CHILD SA.",
		Cause:   "The gateway insists on handing out an address and the client did not ask for one (FAILED_CP_REQUIRED), or the client asked and got none.",
		Shows: []Shows{
			keyed("N(FAILED_CP_REQUIRED); or a CFG_REQUEST without a CFG_REPLY."),
			charon("\"expected a virtual IP request, sending FAILED_CP_REQUIRED\", \"configuration payload negotiation failed, no CHILD_SA built\"; alert vip-failure."),
		},
		Remedies: []Remedy{
			swan("initiator", "connections.<c>.vips = 0.0.0.0"),
			swan("responder", "remove connections.<c>.pools for a site-to-site peer"),
		},
		RFC: []string{"RFC 7296 2.19", "RFC 7296 3.15.4"}, Related: []string{"internal-address-failure"},
	},
	{
		ID: "internal-address-failure", Title: "No virtual IP left", Severity: High, Ownership: PeerConfig,
		Symptom: "Clients authenticate and get no address; the first ones of the day still do.",
		Cause:   "The pool is used up, often by leases of clients that vanished, or the RADIUS server returns no address.",
		Shows: []Shows{
			keyed("N(INTERNAL_ADDRESS_FAILURE)."),
			charon("\"no virtual IP found for X requested by Y, sending INTERNAL_ADDRESS_FAILURE\"; list-pools shows online = size."),
		},
		Remedies: []Remedy{
			swan("responder", "pools.<p>.addrs = <a larger range>"),
			swan("responder", "connections.<c>.dpd_delay = 30s, connections.<c>.unique = replace   (free the leases of vanished clients)"),
		},
		RFC: []string{"RFC 7296 3.15.4"}, Related: []string{"cp-required-or-missing"},
	},
	{
		ID: "vip-install-failed", Title: "Virtual IP cannot be installed", Severity: Medium, Ownership: Host,
		Symptom: "The client gets an address and cannot use it.",
		Cause:   "The daemon may not add addresses to an interface, or the interface does not exist.",
		Shows:   []Shows{charon("\"installing virtual IP X failed\".")},
		Remedies: []Remedy{
			linux("local", "give the daemon CAP_NET_ADMIN"),
			swan("local", "charon.install_virtual_ip_on = <an interface that exists>   (strongswan.conf)"),
		},
		Related: []string{"cp-required-or-missing"},
	},
	{
		ID: "no-additional-sas", Title: "Peer accepts no further SA", Severity: Medium, Ownership: PeerConfig,
		Symptom: "The second child does not come up, or rekeying is refused and the tunnel reconnects instead.",
		Cause:   "The peer supports one CHILD SA per IKE SA only, or its limit is reached.",
		Shows: []Shows{
			keyed("N(NO_ADDITIONAL_SAS) in answer to CREATE_CHILD_SA."),
			charon("\"peer seems to not support CHILD_SA rekeying, starting reauthentication\"."),
		},
		Remedies: []Remedy{
			swan("local", "one connection (IKE SA) for each child; connections.<c>.reauth_time = 4h instead of rekeying"),
			anyone("remote", "Raise the limit of SAs for this peer."),
		},
		RFC: []string{"RFC 7296 1.3"}, Related: []string{"temporary-failure-storm"},
	},
	{
		ID: "ipcomp-or-tfc-quirk", Title: "Compression or padding that the peer does not bear", Severity: Low, Ownership: LocalConfig,
		Symptom: "Some packets vanish, by size or by content.",
		Cause:   "The peer agreed to IPComp or got traffic flow confidentiality padding and handles it wrongly.",
		Shows:   []Shows{keyed("IPCOMP_SUPPORTED in both directions, or ESP_TFC_PADDING_NOT_SUPPORTED.")},
		Remedies: []Remedy{
			swan("local", "connections.<c>.children.<k>.ipcomp = no, tfc_padding = 0"),
		},
		RFC: []string{"RFC 7296 2.22", "RFC 3173"}, Related: []string{"mtu-pmtu-blackhole"},
	},
}
