package diag

var lifeEntries = []Entry{
	{
		ID: "lifetime-mismatch", Title: "One side ends SAs before the other renews them", Severity: Medium, Ownership: PeerConfig,
		Symptom: "Short outages at regular intervals.",
		Cause:   "IKEv2 does not negotiate lifetimes: each side keeps its own. The side with the shorter one has to rekey in time; if it deletes the SA instead, traffic stops until a new one is made.",
		Shows: []Shows{
			capture("INFORMATIONAL requests that begin with a Delete, from one side, at a fixed age of the SA, without a CREATE_CHILD_SA before."),
			charon("child-updown down without child-rekey; \"closing expired CHILD_SA\"."),
		},
		Remedies: []Remedy{
			swan("local", "connections.<c>.children.<k>.rekey_time = <well below the peer's lifetime>; life_time = 1.1 x rekey_time"),
			swan("local", "connections.<c>.children.<k>.rekey_bytes = 0, life_bytes = 0   (unless both sides count alike)"),
			forti("remote", "config vpn ipsec phase2-interface: set keylifeseconds 3600"),
			cisco("remote", "crypto ipsec security-association lifetime seconds 3600"),
			libre("remote", "salifetime=1h, rekey=yes"),
			azure("remote", "IPsec policy: SA lifetime in seconds as on the other side (default 27000), data size 102400000 KB"),
		},
		Distinguish: "A Delete that follows a CREATE_CHILD_SA is the normal end of a rekey.",
		RFC:         []string{"RFC 7296 2.8"}, Related: []string{"reauth-gap", "pfs-mismatch-at-rekey", "ike-delete-unexplained"},
	},
	{
		ID: "rekey-collision", Title: "Both sides rekey at once", Severity: Medium, Ownership: LocalConfig,
		Symptom: "Usually none. With faulty software: doubled SAs, or traffic that stops after a rekey.",
		Cause:   "Both sides started a rekey within one round trip. The protocol resolves it: the one with the lowest nonce is dropped. It is a fault only if SAs pile up afterwards.",
		Shows: []Shows{
			capture("CREATE_CHILD_SA requests crossing each other."),
			keyed("REKEY_SA for the same SPI from both sides; N(TEMPORARY_FAILURE)."),
			charon("\"detected CHILD_REKEY collision with CHILD_REKEY\"."),
		},
		Remedies: []Remedy{
			swan("local", "connections.<c>.children.<k>.rekey_time different on the two sides, rand_time above 0"),
		},
		RFC: []string{"RFC 7296 2.8.1", "RFC 7296 2.25"}, Related: []string{"outbound-sa-not-installed", "temporary-failure-storm", "duplicate-child-sa"},
	},
	{
		ID: "temporary-failure-storm", Title: "TEMPORARY_FAILURE again and again", Severity: Medium, Ownership: PeerConfig,
		Symptom: "Rekeys are refused repeatedly and the SAs grow old.",
		Cause:   "The peer is busy rekeying or closing the same SA whenever we ask, or never finishes doing so.",
		Shows: []Shows{
			keyed("N(TEMPORARY_FAILURE) in answer to CREATE_CHILD_SA, several times."),
			charon("\"received TEMPORARY_FAILURE notify, trying again in N seconds\"."),
		},
		Remedies: []Remedy{
			swan("local", "connections.<c>.rekey_time and children.<k>.rekey_time: different on the two sides"),
			swan("local", "swanctl --terminate --ike <c>, then --initiate   (if the peer never finishes)"),
			anyone("remote", "Let the IKE SA and its CHILD SAs be rekeyed at different times, and others than ours."),
		},
		RFC: []string{"RFC 7296 2.25"}, Related: []string{"rekey-collision", "child-sa-not-found"},
	},
	{
		ID: "child-sa-not-found", Title: "Peer no longer knows the CHILD SA", Severity: Medium, Ownership: PeerConfig,
		Symptom: "A rekey is answered with CHILD_SA_NOT_FOUND; traffic may have been lost before.",
		Cause:   "The peer let the SA expire without saying so, or the two sides' lists diverged after a collision.",
		Shows: []Shows{
			keyed("N(CHILD_SA_NOT_FOUND)."),
			charon("\"unable to rekey, ESP CHILD_SA with SPI X not found\", \"received DELETE for unknown ESP CHILD_SA\"."),
		},
		Remedies: []Remedy{
			swan("local", "connections.<c>.children.<k>.rekey_time = <below the peer's lifetime>"),
			swan("local", "charon.delete_rekeyed_delay = 5   (strongswan.conf)"),
			anyone("remote", "Set the lifetime of the CHILD SA above the other side's rekeying time, so that it does not end unseen."),
		},
		RFC: []string{"RFC 7296 2.25"}, Related: []string{"lifetime-mismatch", "rekey-collision"},
	},
	{
		ID: "duplicate-ike-sa", Title: "Two IKE SAs for one connection", Severity: Medium, Ownership: LocalConfig,
		Symptom: "Two established SAs between the same two; traffic and counters alternate.",
		Cause:   "Both sides initiate, or a peer starts its own tunnel when it sees ours. An overlap of seconds during reauthentication is normal.",
		Shows: []Shows{
			capture("Two IKE SAs of the same two peers, neither of them a rekey of the other, both in use."),
			charon("Two ESTABLISHED SAs with the same identities; \"deleting duplicate IKE_SA\"."),
		},
		Remedies: []Remedy{
			swan("local", "connections.<c>.unique = replace; start_action = trap on one side"),
			forti("remote", "config vpn ipsec phase1-interface: set passive-mode enable"),
		},
		RFC: []string{"RFC 7296 2.8.2"}, Related: []string{"duplicate-child-sa", "initial-contact-kills-sibling"},
	},
	{
		ID: "duplicate-child-sa", Title: "Several CHILD SAs with the same selectors", Severity: Medium, Ownership: LocalConfig,
		Symptom: "The number of CHILD SAs grows.",
		Cause:   "Several triggers make the same child: a trap policy and start, the peer's own auto-negotiation, close_action.",
		Shows:   []Shows{charon("Several INSTALLED children with equal selectors; \"not establishing CHILD_SA due to existing duplicate\".")},
		Remedies: []Remedy{
			swan("local", "connections.<c>.children.<k>.start_action = trap, close_action = none"),
			forti("remote", "config vpn ipsec phase2-interface: set auto-negotiate disable"),
		},
		RFC: []string{"RFC 7296 2.8"}, Related: []string{"duplicate-ike-sa", "rekey-collision"},
	},
	{
		ID: "initial-contact-kills-sibling", Title: "Two clients share an identity and evict each other", Severity: High, Ownership: LocalConfig,
		Symptom: "Two sites or users flap: when one comes up the other goes down.",
		Cause:   "INITIAL_CONTACT tells the responder to drop older SAs of the same identity. Two peers with one identity therefore end each other's SA.",
		Shows: []Shows{
			keyed("INITIAL_CONTACT in IKE_AUTH of two peers with the same IDi."),
			charon("\"destroying duplicate IKE_SA for peer 'X', received INITIAL_CONTACT\"; alert unique-replace."),
		},
		Remedies: []Remedy{
			anyone("initiator", "Give each peer an identity, and a certificate, of its own."),
			swan("both", "connections.<c>.unique = never"),
			libre("both", "uniqueids=no, initial-contact=no"),
		},
		RFC: []string{"RFC 7296 2.4"}, Related: []string{"unique-policy-refused", "duplicate-ike-sa"},
	},
	{
		ID: "reauth-gap", Title: "Outage at every reauthentication", Severity: Medium, Ownership: LocalConfig,
		Symptom: "A short outage every few hours, with a complete new setup.",
		Cause:   "Reauthentication tears the SA down before it builds the new one (break before make).",
		Shows: []Shows{
			capture("At a fixed interval: a Delete, then IKE_SA_INIT and IKE_AUTH by the same side."),
			charon("\"reauthenticating IKE_SA\"; \"initiator did not reauthenticate as requested\"."),
		},
		Remedies: []Remedy{
			swan("local", "connections.<c>.reauth_time = 0, rekey_time = 4h"),
			swan("local", "charon.make_before_break = yes   (strongswan.conf; default since 6.0)"),
		},
		RFC: []string{"RFC 7296 2.8.3", "RFC 4478"}, Related: []string{"lifetime-mismatch"},
	},
	{
		ID: "dpd-timeout", Title: "Peer stopped answering", Severity: High, Ownership: External,
		Symptom: "An established tunnel goes dead; the daemon retransmits and then gives up.",
		Cause:   "The peer lost power, rebooted, lost the SA, or the path to it is cut; after a quiet time a NAT or firewall on the way may have forgotten it.",
		Shows: []Shows{
			capture("An encrypted request of an established SA (an empty INFORMATIONAL is a liveness probe), repeated, without response."),
			charon("Retransmits and \"giving up after N retransmits\"; then dpd_action. IKEv2 ignores dpd_timeout: with default timers a peer is declared dead after 165 s."),
		},
		Remedies: []Remedy{
			network("Check whether the peer is alive and reachable: its uptime, the link, and whether firewalls on the way keep state for UDP 500 and 4500 long enough."),
		},
		Distinguish: "ESP from the peer that goes on while IKE is silent means a peer that is overloaded or blocked. Nothing at all means host or path.",
		RFC:         []string{"RFC 7296 2.4", "RFC 7296 1.4"}, Related: []string{"dpd-off-stale-tunnel", "nat-mapping-timeout", "no-response-to-sa-init"},
	},
	{
		ID: "dpd-off-stale-tunnel", Title: "Dead tunnel goes unnoticed", Severity: Medium, Ownership: LocalConfig,
		Symptom: "The tunnel shows ESTABLISHED and carries nothing until somebody restarts it.",
		Cause:   "Liveness checks are off, so nobody notices that the peer is gone.",
		Shows:   []Shows{charon("No dpd_delay in list-conns; the SA is ESTABLISHED and use-in grows old.")},
		Remedies: []Remedy{
			swan("local", "connections.<c>.dpd_delay = 30s; connections.<c>.children.<k>.dpd_action = restart"),
			cisco("remote", "crypto ikev2 dpd 10 3 periodic"),
			forti("remote", "config vpn ipsec phase1-interface: set dpd on-idle"),
			libre("remote", "dpddelay=30, dpdaction=restart"),
		},
		RFC: []string{"RFC 7296 2.4"}, Related: []string{"dpd-timeout"},
	},
	{
		ID: "mobike-address-change-failed", Title: "Moving to a new address failed", Severity: Medium, Ownership: LocalConfig,
		Symptom: "After a change of network the tunnel hangs.",
		Cause:   "The new address does not reach the peer, the peer refuses it, or the peer does not know MOBIKE.",
		Shows: []Shows{
			capture("The SA's SPIs with a new source address, without answers."),
			keyed("UPDATE_SA_ADDRESSES answered by N(UNACCEPTABLE_ADDRESSES), or not at all."),
			charon("\"no route found to reach X, MOBIKE update deferred\", \"giving up after N path probings\"."),
		},
		Remedies: []Remedy{
			swan("both", "connections.<c>.mobike = yes"),
			anyone("local", "Towards a peer without MOBIKE: end the SA and connect again after a change of address."),
		},
		RFC: []string{"RFC 4555 3.5", "RFC 4555 3.7"}, Related: []string{"nat-mapping-timeout", "dpd-timeout"},
	},
	{
		ID: "auth-phase-silent", Title: "IKE_AUTH alone stays unanswered", Severity: High, Ownership: External,
		Symptom: "IKE_SA_INIT is answered, IKE_AUTH is not, though it is small and uses the same port.",
		Cause:   "The responder does not get to an answer: it waits for RADIUS, a CRL or a token, it crashed, or it drops an identity that it does not know without a word.",
		Shows: []Shows{
			capture("IKE_AUTH requests, repeated, without response, on a port on which the peer answered before."),
			charon("The responder deletes the half-open SA after 30 s."),
		},
		Remedies: []Remedy{
			network("Have the other side look at its log at the time of the request: does IKE_AUTH arrive, and what does the daemon wait for?"),
		},
		Distinguish: "First the port (udp4500-blocked), then the size (ike-auth-ip-fragment-loss), then this.",
		RFC:         []string{"RFC 7296 1.2", "RFC 7296 2.4"}, Related: []string{"udp4500-blocked", "ike-auth-ip-fragment-loss", "radius-not-responding", "crl-ocsp-unreachable"},
	},
	{
		ID: "half-open-responder", Title: "Half-open SAs pile up", Severity: Medium, Ownership: External,
		Symptom: "The responder's count of half-open SAs rises.",
		Cause:   "Initiators begin and never finish: their IKE_AUTH does not arrive (port 4500, fragments), or somebody scans.",
		Shows:   []Shows{charon("ikesas.half-open in the statistics; alert half-open-timeout.")},
		Remedies: []Remedy{
			network("Find out which addresses begin and do not finish, and whether their UDP 4500 and their fragments reach this host."),
		},
		RFC: []string{"RFC 7296 2.6", "RFC 8019"}, Related: []string{"half-open-limit", "udp4500-blocked"},
	},
	{
		ID: "invalid-ike-spi", Title: "Message for an IKE SA that does not exist", Severity: Medium, Ownership: External,
		Symptom: "One side still uses an SA that the other no longer knows.",
		Cause:   "The receiver rebooted or dropped the SA without saying so, or a load balancer sent the packet to another node.",
		Shows: []Shows{
			capture("N(INVALID_IKE_SPI) outside any SA, or encrypted requests that are never answered."),
			charon("Alert invalid-ike-spi; strongSwan itself stays silent to such messages."),
		},
		Remedies: []Remedy{
			network("At a load balancer: keep all packets of a pair of addresses, UDP 500 and 4500, on one node. After a reboot liveness checks clear the old SA by themselves."),
		},
		RFC: []string{"RFC 7296 2.21.4", "RFC 6290"}, Related: []string{"dpd-timeout", "invalid-esp-spi-stale-sa"},
	},
	{
		ID: "invalid-esp-spi-stale-sa", Title: "ESP for an SA that does not exist", Severity: High, Ownership: LocalConfig,
		Symptom: "The peer keeps sending on an SPI that nobody knows any more; nothing comes out.",
		Cause:   "One side restarted and lost its SAs, and the other does not notice.",
		Shows: []Shows{
			capture("N(INVALID_SPI) in an unprotected INFORMATIONAL; ESP with an old SPI next to the new one."),
			host("XfrmInNoStates rises."),
		},
		Remedies: []Remedy{
			swan("both", "connections.<c>.dpd_delay = 30s; connections.<c>.children.<k>.start_action = start"),
			cisco("remote", "crypto isakmp invalid-spi-recovery"),
		},
		RFC: []string{"RFC 7296 1.5", "RFC 7296 2.21.4"}, Related: []string{"invalid-ike-spi", "dpd-off-stale-tunnel"},
	},
	{
		ID: "windows-ms-status", Title: "Windows reports a status code", Severity: Medium, Ownership: PeerConfig,
		Symptom: "A notify 12345 arrives, or Windows shows an error of the 13800s.",
		Cause:   "Windows puts its own status code into a private notify. The number names the reason: 13801 authentication, 13806 no certificate, 13868 no policy in common.",
		Shows:   []Shows{keyed("Notify 12345 with four octets of data.")},
		Remedies: []Remedy{
			windows("remote", "13868: Set-VpnConnectionIPsecConfiguration with algorithms that the gateway has"),
			windows("remote", "13801 and 13806: a certificate with serverAuth and the dialled name on the gateway, its root in the machine store of the client"),
			swan("local", "13863: connections.<c>.children.<k>.rekey_time = 0   (let a natted Windows client rekey)"),
			swan("local", "13816: offer no group in esp_proposals to Windows"),
		},
		Related: []string{"no-proposal-ike", "cert-eku-or-keyusage"},
	},
	{
		ID: "message-id-desync", Title: "Message IDs out of step", Severity: Medium, Ownership: Software,
		Symptom: "Requests are ignored although the SA exists on both sides.",
		Cause:   "The two sides disagree on the next message ID, typically after a failover to a node that did not get the latest state.",
		Shows: []Shows{
			capture("Message IDs that jump or go back; N(INVALID_MESSAGE_ID)."),
			charon("\"received message ID N, expected M, ignored\"."),
		},
		Remedies: []Remedy{
			anyone("remote", "Synchronise the cluster's IKE state, with message ID synchronisation if both sides have it."),
			swan("local", "swanctl --terminate --ike <c> --force, then --initiate"),
		},
		RFC: []string{"RFC 7296 2.2", "RFC 6311"}, Related: []string{"invalid-ike-spi"},
	},
	{
		ID: "ike-delete-unexplained", Title: "Peer deletes the SA right after setup", Severity: Low, Ownership: PeerConfig,
		Symptom: "The tunnel comes up and is deleted by the peer at once.",
		Cause:   "A policy of the peer, an administrator, or a uniqueness rule ended it. IKEv2 gives no reason in a Delete.",
		Shows: []Shows{
			capture("An INFORMATIONAL request of the responder that begins with a Delete, seconds after IKE_AUTH."),
			charon("\"received DELETE for IKE_SA\"; alert local-auth-failed."),
		},
		Remedies: []Remedy{
			anyone("remote", "Look into the peer's log at that second; Cisco peers may add the reason in a vendor payload."),
		},
		RFC: []string{"RFC 7296 1.4.1"}, Related: []string{"unique-policy-refused", "lifetime-mismatch"},
	},
}
