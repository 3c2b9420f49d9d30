package diag

var practiceEntries = []Entry{
	{
		ID: "proposal-list-truncated-by-peer", Title: "Peer reads only the first proposals", Severity: Medium, Ownership: LocalConfig,
		Symptom: "NO_PROPOSAL_CHOSEN when we call, success when the peer calls, with the same configuration.",
		Cause:   "The peer evaluates a limited number of proposals, and the one that both have stands behind that limit. Eight was seen in the field.",
		Shows: []Shows{
			capture("An IKE_SA_INIT request with more than eight proposals is refused, while the peer's own request is answered with a suite that stands late in our list."),
		},
		Remedies: []Remedy{
			swan("local", "connections.<c>.proposals = <the agreed suite first, few others>   (not `default`)"),
			libre("local", "ike=<the agreed suite only>"),
		},
		Distinguish: "Offer the agreed suite alone: if that works, the list was too long.",
		RFC:         []string{"RFC 7296 3.3"}, Related: []string{"no-proposal-ike", "works-one-direction-only"},
	},
	{
		ID: "works-one-direction-only", Title: "Tunnel comes up from one side only", Severity: Medium, Ownership: PeerConfig,
		Symptom: "It matters who calls.",
		Cause:   "The two roles are judged differently: long proposal lists, other identities or selectors as responder, a role that is switched off, a device that only calls on traffic.",
		Shows: []Shows{
			capture("A successful setup in one direction and a refused or unanswered one in the other."),
			native("Both roles can be tried, one after the other."),
		},
		Remedies: []Remedy{
			anyone("both", "Capture both attempts and compare the two IKE_SA_INIT and IKE_AUTH exchanges; what differs is the cause."),
		},
		Related: []string{"proposal-list-truncated-by-peer", "on-demand-never-triggered", "double-nat"},
	},
	{
		ID: "on-demand-never-triggered", Title: "No traffic asks for the tunnel", Severity: Medium, Ownership: External,
		Symptom: "No IKE packet leaves at all.",
		Cause:   "The tunnel starts on demand, and no packet that matches its selectors reaches the gateway, or the trap policy is not installed.",
		Shows: []Shows{
			charon("start_action = trap and no \"creating acquire job\"; no trap in list-pols."),
			capture("No IKE from this gateway."),
		},
		Remedies: []Remedy{
			network("Send a packet from an address inside local_ts to one inside remote_ts and follow it to the gateway: host route, default gateway, switches on the way."),
		},
		Related: []string{"route-missing", "esp-no-traffic-both"},
	},
	{
		ID: "inner-icmp-error-not-in-policy", Title: "\"Packet too big\" cannot pass the tunnel", Severity: Medium, Ownership: LocalConfig,
		Symptom: "Path MTU discovery fails inside a policy-based tunnel; the outer path is fine.",
		Cause:   "The ICMP error comes from a router whose address is not within the selectors, so the policy drops it.",
		Shows:   []Shows{native("A sweep of sizes with DF through the tunnel stalls; the same sweep outside does not.")},
		Remedies: []Remedy{
			linux("local", "iptables -t mangle -A FORWARD -m policy --pol ipsec --dir out -p tcp --syn -j TCPMSS --set-mss 1360"),
			swan("both", "connections.<c>.children.<k>.local_ts: include the addresses of the routers inside"),
		},
		RFC: []string{"RFC 4301 6", "RFC 4301 8.2"}, Related: []string{"mtu-pmtu-blackhole"},
	},
	{
		ID: "ptb-arrives-one-packet-late", Title: "\"Packet too big\" comes for the second packet", Severity: Info, Ownership: External,
		Symptom: "The first large packet vanishes without an error; later ones are answered properly.",
		Cause:   "A gateway learns the path MTU from the first oversized packet and tells the sender only about the next one. An MTU test has to send each size twice.",
		Shows:   []Shows{native("Of two equal probes the first is lost and the second is answered by ICMP.")},
		Remedies: []Remedy{
			network("Nothing; judge a path MTU by the second packet of a size."),
		},
		RFC: []string{"RFC 4301 8.2.1"}, Related: []string{"mtu-pmtu-blackhole"},
	},
	{
		ID: "vendor-lists-mismatch-after-planning", Title: "Peer was planned for IKEv2 and speaks IKEv1", Severity: Info, Ownership: PeerConfig,
		Symptom: "The other side insists that it uses IKEv2.",
		Cause:   "What was agreed on paper is not what the device does. The packet proves it: version 1.0 in its header, or INVALID_MAJOR_VERSION.",
		Shows:   []Shows{capture("The peer's own IKE header says version 1.0.")},
		Remedies: []Remedy{
			anyone("remote", "Send the other administrator the frame that proves it."),
		},
		RFC: []string{"RFC 7296 2.5"}, Related: []string{"ikev1-only-peer"},
	},
}
