package diag

var cryptoEntries = []Entry{
	{
		ID: "no-proposal-ike", Title: "No IKE proposal in common", Severity: High, Ownership: PeerConfig,
		Symptom: "IKE_SA_INIT is answered at once with NO_PROPOSAL_CHOSEN.",
		Cause: "No single proposal of the initiator fits one of the responder's completely: encryption with its key length, pseudorandom function, integrity and group all have to agree within one proposal. " +
			"Some responders answer the same way when they have no connection for the initiator's address.",
		Shows: []Shows{
			capture("An IKE_SA_INIT response that holds N(NO_PROPOSAL_CHOSEN) instead of an SA payload. The request shows what was offered."),
			charon("Initiator: \"received NO_PROPOSAL_CHOSEN notify error\" and alert proposal-mismatch-ike. Responder: \"received proposals: ...\", \"configured proposals: ...\"."),
		},
		Remedies: []Remedy{
			swan("both", "connections.<c>.proposals = aes256gcm16-prfsha384-ecp384,aes256-sha256-modp2048"),
			libre("both", "ike=aes_gcm256-sha2_384;dh20,aes256-sha2_256;dh14"),
			cisco("both", "crypto ikev2 proposal <p>: encryption aes-cbc-256, integrity sha256, group 14"),
			forti("both", "config vpn ipsec phase1-interface: set proposal aes256-sha256, set dhgrp 14"),
			pan("both", "Network Profiles > IKE Crypto: encryption aes-256-cbc, authentication sha256, DH group 14"),
			windows("initiator", "Set-VpnConnectionIPsecConfiguration -ConnectionName <c> -EncryptionMethod AES256 -IntegrityCheckMethod SHA256 -DHGroup Group14 -CipherTransformConstants AES256 -AuthenticationTransformConstants SHA256128 -PfsGroup None"),
		},
		Distinguish: "If even an offer of everything is refused, the responder has no connection for our address (no-ike-config-for-peer). If the peer's own requests to us succeed with a suite that we offer late in our list, see proposal-list-truncated-by-peer.",
		RFC:         []string{"RFC 7296 2.7", "RFC 7296 3.3"}, Related: []string{"no-ike-config-for-peer", "keylength-mismatch", "invalid-ke-loop", "proposal-list-truncated-by-peer"},
	},
	{
		ID: "no-ike-config-for-peer", Title: "Responder has no connection for this address", Severity: High, Ownership: PeerConfig,
		Symptom: "NO_PROPOSAL_CHOSEN whatever is offered.",
		Cause:   "The responder looks for a connection by the two addresses and the IKE version before it looks at proposals, and finds none. Many say NO_PROPOSAL_CHOSEN to that, too.",
		Shows: []Shows{
			capture("The same as no-proposal-ike."),
			charon("Responder: \"no IKE config found for A...B, sending NO_PROPOSAL_CHOSEN\"."),
		},
		Remedies: []Remedy{
			swan("responder", "connections.<c>.remote_addrs = <the initiator's address as the responder sees it>, or %any"),
			swan("responder", "connections.<c>.local_addrs = <the address that was asked>; connections.<c>.version = 2"),
			libre("responder", "ipsec auto --add <conn>, with ikev2=insist and the right right="),
		},
		Distinguish: "Offer a superset of everything: still refused means no connection. An answer that differs from another source address means the same.",
		RFC:         []string{"RFC 7296 2.7"}, Related: []string{"no-proposal-ike", "ikev1-only-peer"},
	},
	{
		ID: "keylength-mismatch", Title: "Same cipher, other key length", Severity: Medium, Ownership: PeerConfig,
		Symptom: "NO_PROPOSAL_CHOSEN although both sides name the same cipher.",
		Cause:   "AES with 128 bit and with 256 bit are different transforms. One side names a length that the other does not allow, leaves the attribute out, or adds one to ChaCha20, which has none.",
		Shows:   []Shows{capture("The two sides' SA payloads hold the same ENCR number with different Key Length attributes.")},
		Remedies: []Remedy{
			swan("both", "connections.<c>.proposals = aes256-sha256-modp2048   (name the length: aes128, aes256, aes256gcm16)"),
			libre("both", "ike=aes256-sha2_256;dh14"),
			cisco("both", "crypto ikev2 proposal <p>: encryption aes-cbc-256"),
			forti("both", "config vpn ipsec phase1-interface: set proposal aes256-sha256"),
		},
		RFC: []string{"RFC 7296 3.3.5", "RFC 7634 4"}, Related: []string{"no-proposal-ike", "no-proposal-child-initial"},
	},
	{
		ID: "prf-or-aead-config-error", Title: "A proposal that cannot work", Severity: Medium, Ownership: LocalConfig,
		Symptom: "The configuration does not load, or a proposal is silently dropped.",
		Cause:   "An IKE proposal needs a pseudorandom function and a group; a combined-mode cipher (GCM, ChaCha20-Poly1305) must not stand in one proposal with a classic cipher, and brings no PRF of its own.",
		Shows:   []Shows{charon("\"a PRF algorithm is mandatory in IKE proposals\", \"a DH group is mandatory\", \"classic and combined-mode encryption can't be contained in the same proposal\", \"algorithm 'X' not recognized\".")},
		Remedies: []Remedy{
			swan("local", "connections.<c>.proposals = aes256gcm16-prfsha256-ecp256,aes256-sha256-modp2048   (AEAD with prf..., one kind per proposal)"),
		},
		RFC: []string{"RFC 7296 3.3.3", "RFC 5282 8"}, Related: []string{"no-proposal-ike"},
	},
	{
		ID: "invalid-ke-loop", Title: "The peers never agree on a group", Severity: High, Ownership: PeerConfig,
		Symptom: "INVALID_KE_PAYLOAD again and again, then the initiator gives up.",
		Cause: "The responder asks for another group than the one that the initiator guessed. Once is normal. It repeats when the wanted group is not in the initiator's proposals, " +
			"when the responder does not accept the group that it asked for, or when somebody in between forges the answer.",
		Shows: []Shows{
			capture("N(INVALID_KE_PAYLOAD) twice or more in one attempt, or with a group that no proposal contains."),
			charon("\"peer didn't accept key exchange method X, it requested Y\", \"giving up after 5 retries\"."),
		},
		Remedies: []Remedy{
			swan("initiator", "connections.<c>.proposals = aes256-sha256-<the group that the peer asks for>"),
			libre("initiator", "ike=aes256-sha2_256;dh14"),
			cisco("both", "crypto ikev2 proposal <p>: group 14"),
			forti("both", "config vpn ipsec phase1-interface: set dhgrp 14"),
			windows("initiator", "registry HKLM\\SYSTEM\\CurrentControlSet\\Services\\RasMan\\Parameters\\NegotiateDH2048_AES256 = 2 (DWORD)"),
		},
		RFC: []string{"RFC 7296 1.2", "RFC 7296 2.7"}, Related: []string{"no-proposal-ike", "ike-rekey-ke-mismatch"},
	},
	{
		ID: "no-proposal-child-initial", Title: "No ESP proposal in common", Severity: High, Ownership: PeerConfig,
		Symptom: "The IKE SA is up and there is no CHILD SA. Nothing passes.",
		Cause:   "Authentication succeeded and the ESP proposals have no match: cipher, key length, integrity or sequence numbers differ. The IKE SA stays, empty.",
		Shows: []Shows{
			capture("An IKE_AUTH response that begins with IDr but is too short to hold an SA and selectors, and no ESP afterwards. It looks the same as ts-unacceptable."),
			keyed("IKE_AUTH response: IDr, AUTH, N(NO_PROPOSAL_CHOSEN)."),
			native("The IKE SA is ESTABLISHED, its child FAILED."),
			charon("\"received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built\", \"failed to establish CHILD_SA, keeping IKE_SA\"; alert proposal-mismatch-child."),
		},
		Remedies: []Remedy{
			swan("both", "connections.<c>.children.<k>.esp_proposals = aes256gcm16,aes256-sha256"),
			libre("both", "esp=aes_gcm256,aes256-sha2_256"),
			cisco("both", "crypto ipsec transform-set <t> esp-aes 256 esp-sha256-hmac"),
			forti("both", "config vpn ipsec phase2-interface: set proposal aes256-sha256"),
			pan("both", "Network Profiles > IPSec Crypto: encryption aes-256-cbc, authentication sha256"),
		},
		Distinguish: "Only keys or the responder's log tell it from ts-unacceptable. FortiGate answers this also to a second subnet that it has no phase 2 for.",
		RFC:         []string{"RFC 7296 1.2", "RFC 7296 2.7"}, Related: []string{"ts-unacceptable", "keylength-mismatch", "esn-mismatch", "pfs-mismatch-at-rekey"},
	},
	{
		ID: "pfs-mismatch-at-rekey", Title: "Group mismatch that appears at the first CHILD rekey", Severity: High, Ownership: PeerConfig,
		Symptom: "The tunnel works and dies after about an hour; a restart heals it for another hour.",
		Cause: "The first CHILD SA takes its keys from IKE_AUTH, which carries no key exchange, so its group is never compared. " +
			"The first rekey does carry one: if one side wants a group (PFS) and the other none or another one, it fails, and the CHILD SA ends with its lifetime.",
		Shows: []Shows{
			capture("At rekey time CREATE_CHILD_SA responses that begin with a notify and hold nothing else, repeated; later ESP stops."),
			keyed("N(NO_PROPOSAL_CHOSEN) or N(INVALID_KE_PAYLOAD) in answer to a rekey."),
			charon("\"CHILD_SA rekeying failed, trying again in N seconds\"; the child's lifetime runs down; no dh-group in list-sas before the first rekey."),
		},
		Remedies: []Remedy{
			swan("both", "connections.<c>.children.<k>.esp_proposals = aes256gcm16-ecp256   (the same group on both sides, or none on both)"),
			libre("both", "pfs=yes and esp=aes_gcm256;dh19, or pfs=no"),
			cisco("both", "crypto ipsec profile <p>: set pfs group19"),
			forti("both", "config vpn ipsec phase2-interface: set pfs enable, set dhgrp 19"),
			pan("both", "Network Profiles > IPSec Crypto: DH Group group19, or no-pfs"),
			windows("initiator", "Set-VpnConnectionIPsecConfiguration ... -PfsGroup None   (and no group in the server's ESP proposals)"),
			azure("both", "IPsec policy of the connection: PfsGroup None or the group of the peer"),
		},
		Distinguish: "Do not wait an hour: `swanctl --rekey --child <k>` right after the tunnel is up shows it at once.",
		RFC:         []string{"RFC 7296 1.2", "RFC 7296 1.3.3", "RFC 7296 2.17"}, Related: []string{"ike-rekey-ke-mismatch", "lifetime-mismatch", "temporary-failure-storm"},
	},
	{
		ID: "ike-rekey-ke-mismatch", Title: "IKE rekey fails on the key exchange", Severity: High, Ownership: PeerConfig,
		Symptom: "The tunnel drops after some hours, when the IKE SA is rekeyed for the first time.",
		Cause:   "The rekey of an IKE SA negotiates again. The initiator of the rekey may be the other side now, with its own order of groups, and the peer does not accept or cannot ask for another one.",
		Shows: []Shows{
			keyed("N(NO_PROPOSAL_CHOSEN) or N(INVALID_KE_PAYLOAD) in answer to a CREATE_CHILD_SA request without selectors."),
			charon("\"IKE_SA rekeying failed, trying again in N seconds\"; alert ike-sa-expired at the end."),
		},
		Remedies: []Remedy{
			swan("both", "connections.<c>.proposals = aes256-sha256-modp2048   (one group, the same and first on both sides)"),
			windows("responder", "offer modp2048 first to Windows clients; they do not follow INVALID_KE_PAYLOAD to groups that they lack"),
		},
		Distinguish: "`swanctl --rekey --ike <c>` right after the tunnel is up brings it forward.",
		RFC:         []string{"RFC 7296 1.3.2", "RFC 7296 2.18"}, Related: []string{"pfs-mismatch-at-rekey", "invalid-ke-loop"},
	},
	{
		ID: "esn-mismatch", Title: "Extended sequence numbers on one side only", Severity: Medium, Ownership: PeerConfig,
		Symptom: "No CHILD SA, with otherwise equal ESP proposals.",
		Cause:   "ESP proposals say whether sequence numbers have 64 bits. One side insists on them, the other refuses.",
		Shows: []Shows{
			keyed("The ESP proposals' ESN transforms have no value in common; the answer is N(NO_PROPOSAL_CHOSEN)."),
			host("If the sides nevertheless use different kinds, every packet fails its integrity check: XfrmInStateProtoError rises."),
		},
		Remedies: []Remedy{
			swan("both", "connections.<c>.children.<k>.esp_proposals = aes256gcm16-esn-noesn   (offer both)"),
			libre("both", "esn=either"),
			cisco("both", "leave crypto ipsec security-association esn out of the profile, or set it on both sides"),
		},
		RFC: []string{"RFC 7296 3.3.2", "RFC 4303 2.2.1"}, Related: []string{"no-proposal-child-initial", "esp-auth-failures"},
	},
	{
		ID: "weak-crypto-negotiated", Title: "Weak algorithms in use", Severity: Medium, Ownership: LocalConfig,
		Symptom: "The tunnel works, with algorithms that should no longer protect anything.",
		Cause: "Both sides still offer old algorithms, and the first match won. For IKE, RFC 8247 forbids DES, HMAC-MD5 and groups 1 and 22, and advises against groups 2, 5, 23 and 24; 3DES is optional there. " +
			"For ESP, RFC 8221 forbids DES, Blowfish and MD5 and advises against 3DES. HMAC-SHA1 is still allowed and on its way out.",
		Shows: []Shows{
			capture("The SA payload of the IKE_SA_INIT response."),
			keyed("The SA payload of the IKE_AUTH or CREATE_CHILD_SA response, for ESP."),
			charon("encr-alg, integ-alg, prf-alg and dh-group in list-sas."),
		},
		Remedies: []Remedy{
			swan("both", "connections.<c>.proposals = aes256gcm16-prfsha384-ecp384,aes256-sha256-modp2048"),
			swan("both", "connections.<c>.children.<k>.esp_proposals = aes256gcm16,aes256-sha256"),
			libre("both", "ike=aes_gcm256-sha2_384;dh20 esp=aes_gcm256"),
			cisco("both", "crypto ikev2 proposal <p>: encryption aes-cbc-256, integrity sha256, group 14"),
			forti("both", "config vpn ipsec phase1-interface: set proposal aes256-sha256, set dhgrp 14"),
			windows("initiator", "Set-VpnConnectionIPsecConfiguration ... -DHGroup Group14 -EncryptionMethod AES256 -IntegrityCheckMethod SHA256"),
		},
		RFC: []string{"RFC 8247 2", "RFC 8221 5", "RFC 8221 6", "RFC 9395 3"}, Related: []string{"no-proposal-ike"},
	},
	{
		ID: "ppk-mismatch", Title: "Post-quantum preshared key on one side only", Severity: Medium, Ownership: LocalConfig,
		Symptom: "Authentication fails, or the daemon says that a PPK is required.",
		Cause:   "One side insists on mixing in a post-quantum preshared key (PPK) that the other does not announce, does not have, or has under another name.",
		Shows: []Shows{
			capture("USE_PPK in one of the two IKE_SA_INIT messages only."),
			charon("\"PPK required but peer does not support PPK\", \"received PPK_ID 'X', but require 'Y'\"."),
		},
		Remedies: []Remedy{
			swan("both", "secrets.ppk-<p>.secret and .id the same on both sides; connections.<c>.ppk_id = <id>"),
			swan("local", "connections.<c>.ppk_required = no   (while the peer has none)"),
			libre("both", "ppk=propose, and the PPKS entry in ipsec.secrets"),
		},
		RFC: []string{"RFC 8784 3"}, Related: []string{"auth-failed-opaque"},
	},
	{
		ID: "childless-mismatch", Title: "Childless IKE SA on one side only", Severity: Low, Ownership: LocalConfig,
		Symptom: "IKE_AUTH is refused, or no CHILD SA comes up by itself.",
		Cause:   "One side starts the IKE SA without a CHILD SA (childless) and the other does not support that, or demands it.",
		Shows: []Shows{
			capture("CHILDLESS_IKEV2_SUPPORTED missing in the IKE_SA_INIT response."),
			charon("\"peer does not support childless IKE_SAs\"."),
		},
		Remedies: []Remedy{swan("local", "connections.<c>.childless = allow")},
		RFC:      []string{"RFC 6023 4"}, Related: []string{"no-proposal-child-initial"},
	},
}
