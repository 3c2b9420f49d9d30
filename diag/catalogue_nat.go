package diag

var natEntries = []Entry{
	{
		ID: "nat-detected-unexpectedly", Title: "A NAT on the path", Severity: Info, Ownership: External,
		Symptom: "The tunnel uses UDP 4500 although nobody planned a NAT.",
		Cause: "An address or port that one side put into its NAT detection hash is not the one that arrived: a NAT is on the way (a cloud's one-to-one NAT, a carrier's, a container bridge), " +
			"or that side sends a false hash on purpose to force UDP encapsulation.",
		Shows: []Shows{
			capture("NAT_DETECTION hashes, recomputed from the addresses seen, do not fit. A search over private addresses tells the inside address."),
			charon("nat-local or nat-remote in list-sas; \"local host is behind NAT, sending keep alives\", \"remote host is behind NAT\", \"faking NAT situation to enforce UDP encapsulation\"."),
		},
		Remedies: []Remedy{
			network("Nothing, if the tunnel works: NAT traversal is made for this. Identities by address no longer equal the address that the other side sees."),
		},
		RFC: []string{"RFC 7296 2.23"}, Related: []string{"double-nat", "natt-off-with-nat", "nat-mapping-timeout", "idr-mismatch"},
	},
	{
		ID: "double-nat", Title: "Both sides behind a NAT", Severity: Info, Ownership: External,
		Symptom: "The tunnel can be started from one side only.",
		Cause:   "Both NAT detection hashes differ: each side sits behind a translator. The responder is reachable only because its NAT forwards UDP 500 and 4500.",
		Shows: []Shows{
			capture("The source hashes of both directions do not fit."),
			charon("nat-local and nat-remote are both yes."),
		},
		Remedies: []Remedy{
			network("Forward UDP 500 and UDP 4500 to the responder, both."),
		},
		RFC: []string{"RFC 7296 2.23"}, Related: []string{"nat-detected-unexpectedly"},
	},
	{
		ID: "natt-off-with-nat", Title: "NAT on the path, NAT traversal off", Severity: High, Ownership: PeerConfig,
		Symptom: "The IKE SA comes up, ESP does not get through the NAT.",
		Cause:   "One side does not announce NAT detection, or refuses it, so ESP is sent as IP protocol 50, which the NAT cannot translate.",
		Shows: []Shows{
			capture("NAT_DETECTION notifies missing in one IKE_SA_INIT message, or N(UNEXPECTED_NAT_DETECTED); native ESP although addresses are translated."),
			charon("No nat-any in list-sas although one address is private and the other public."),
		},
		Remedies: []Remedy{
			swan("local", "connections.<c>.encap = yes"),
			libre("remote", "encapsulation=yes"),
			cisco("remote", "crypto ipsec nat-transparency udp-encapsulation"),
			forti("remote", "config vpn ipsec phase1-interface: set nattraversal forced"),
			pan("remote", "IKE Gateway > Advanced Options: Enable NAT Traversal"),
		},
		RFC: []string{"RFC 7296 2.23", "RFC 4555 3.9"}, Related: []string{"esp-proto50-blocked", "encap-asymmetric"},
	},
	{
		ID: "encap-asymmetric", Title: "UDP encapsulation in one direction only", Severity: High, Ownership: Software,
		Symptom: "Traffic passes in one direction, or in none.",
		Cause:   "One side sends ESP in UDP, the other as IP protocol 50, because they judged the NAT differently or an address update was taken over by half.",
		Shows: []Shows{
			capture("ESP in UDP 4500 one way, IP protocol 50 the other way."),
			host("XfrmInStateMismatch rises."),
		},
		Remedies: []Remedy{
			swan("local", "connections.<c>.encap = yes"),
			forti("remote", "config vpn ipsec phase1-interface: set nattraversal forced"),
		},
		RFC: []string{"RFC 7296 2.23"}, Related: []string{"natt-off-with-nat", "esp-one-way-out"},
	},
	{
		ID: "nat-mapping-timeout", Title: "NAT forgets the mapping", Severity: High, Ownership: LocalConfig,
		Symptom: "After a quiet time the responder cannot reach the initiator; the tunnel revives when the initiator sends.",
		Cause:   "The NAT's UDP mapping expires between keepalives, often after 30 to 60 s, and the next packet gets another port.",
		Shows: []Shows{
			capture("A pause, unanswered packets of the responder, then packets of the initiator from a new port."),
			charon("\"detected changes in NAT mappings, initiating MOBIKE update\"; ike-update events."),
		},
		Remedies: []Remedy{
			swan("initiator", "charon.keep_alive = 15s   (strongswan.conf; default 20s)"),
			swan("initiator", "connections.<c>.dpd_delay = 25s   (from the side behind the NAT)"),
			cisco("initiator", "crypto ikev2 nat keepalive 15"),
			forti("initiator", "config vpn ipsec phase1-interface: set keepalive 10"),
		},
		RFC: []string{"RFC 3948 4", "RFC 7296 2.23"}, Related: []string{"nat-port-rebind-split", "dpd-timeout"},
	},
	{
		ID: "nat-port-rebind-split", Title: "NAT gives IKE and ESP different ports", Severity: High, Ownership: External,
		Symptom: "IKE is healthy and ESP of one direction is lost, behind one particular NAT.",
		Cause:   "Both use UDP 4500 and should share one mapping. The NAT made two, or renewed one of them, and the peer keeps sending to the other.",
		Shows: []Shows{
			capture("IKE from one source port, ESP in UDP from another one of the same address."),
			charon("remote-port in list-sas differs from the port on the wire."),
		},
		Remedies: []Remedy{network("Make the NAT keep one mapping for UDP 4500 of the gateway: switch off its IPsec helper, or use a fixed forward.")},
		RFC:      []string{"RFC 7296 2.23"}, Related: []string{"nat-mapping-timeout", "ipsec-alg-passthrough"},
	},
	{
		ID: "ipsec-alg-passthrough", Title: "A router's IPsec passthrough interferes", Severity: Medium, Ownership: External,
		Symptom: "One client behind the router works, the second one not; or IKE is damaged on the way.",
		Cause:   "The router tracks IKE by its SPIs and keeps source port 500 instead of translating UDP like any other.",
		Shows:   []Shows{capture("Several clients of one address, all with source port 500.")},
		Remedies: []Remedy{
			network("Switch off \"IPsec passthrough\", \"VPN passthrough\" or the IPsec application gateway on the router."),
		},
		RFC: []string{"RFC 3715 2.3"}, Related: []string{"malformed-or-garbled-message", "nat-port-rebind-split"},
	},
}
