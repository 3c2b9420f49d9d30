package diag

var authEntries = []Entry{
	{
		ID: "auth-failed-opaque", Title: "Authentication refused without a reason", Severity: High, Ownership: Credential,
		Symptom: "IKE_AUTH is answered with AUTHENTICATION_FAILED and nothing else.",
		Cause: "The responder rejected the initiator and, as the protocol wants it, does not say why. In order of frequency: no connection for the identities, another shared key, " +
			"a certificate that it does not trust, another authentication method than it wants, a uniqueness policy.",
		Shows: []Shows{
			capture("An IKE_AUTH response whose first inner payload is a Notify and whose length fits a single notify: 65 octets with AES-GCM, 80 with AES-CBC and SHA2-256."),
			keyed("N(AUTHENTICATION_FAILED) alone."),
			charon("\"received AUTHENTICATION_FAILED notify error\"; alert local-auth-failed."),
		},
		Remedies: []Remedy{
			anyone("responder", "Ask for one line of the responder's log; it names the reason. strongSwan: journalctl -u strongswan | grep -e 'no matching peer config' -e 'MAC mismatched' -e 'no trusted' -e 'no shared key'"),
			libre("responder", "grep pluto's log for 'no suitable connection', 'AUTH mismatch', 'certificate'"),
			cisco("responder", "debug crypto ikev2 error"),
			forti("responder", "diagnose debug application ike -1"),
			swan("both", "connections.<c>.local.id on one side = connections.<c>.remote.id on the other"),
			swan("both", "secrets.ike-<x>.secret the same on both sides, with secrets.ike-<x>.id = <the other side's identity>"),
		},
		Distinguish: "Who said no? An error in the response means the peer refused us. A good response followed by our own INFORMATIONAL with a notify means that we refused the peer (idr-mismatch, certificates). " +
			"If EAP rounds were completed, look at EAP. Letting the peer call us makes everything decidable: then we hold the reason.",
		RFC: []string{"RFC 7296 2.21.2"}, Related: []string{"responder-no-peer-config", "psk-mismatch", "cert-untrusted-issuer", "auth-method-mismatch", "unique-policy-refused", "idr-mismatch"},
	},
	{
		ID: "psk-mismatch", Title: "Shared keys differ", Severity: Critical, Ownership: Credential,
		Symptom: "AUTHENTICATION_FAILED with a pre-shared key.",
		Cause:   "The two sides hold different keys: a typing error, a space or line end that was copied along, quotes taken literally, hexadecimal or base64 read as text, or another entry that matches first.",
		Shows: []Shows{
			keyed("AUTH with the shared key method, answered by N(AUTHENTICATION_FAILED)."),
			native("As responder: the AUTH value does not verify with the configured key; near misses (line end, quotes, hex, base64, encoding) are tried and named."),
			charon("Responder: \"tried N shared keys for 'A' - 'B', but MAC mismatched\"."),
		},
		Remedies: []Remedy{
			swan("both", "secrets.ike-<x> { id = <identity of the other side>; secret = \"...\" }   (0x... is hex, 0s... is base64)"),
			libre("both", "ipsec.secrets: <left id> <right id> : PSK \"...\""),
			cisco("both", "crypto ikev2 keyring <k>: peer <p>: pre-shared-key <key>"),
			forti("both", "config vpn ipsec phase1-interface: set psksecret <key>"),
			pan("both", "IKE Gateway > Authentication: Pre-Shared Key"),
		},
		Distinguish: "Only the responder can be certain, because it knows the key that it expects. psk-not-found means that it had none for these identities.",
		RFC:         []string{"RFC 7296 2.15"}, Related: []string{"psk-not-found", "auth-failed-opaque", "responder-no-peer-config"},
	},
	{
		ID: "psk-not-found", Title: "No shared key for these identities", Severity: High, Ownership: LocalConfig,
		Symptom: "AUTHENTICATION_FAILED although the key is configured.",
		Cause:   "The key is looked up by identities. It is filed under an address or name that is not the identity in use.",
		Shows:   []Shows{charon("\"no shared key found for 'A' - 'B'\".")},
		Remedies: []Remedy{
			swan("local", "secrets.ike-<x>.id = <the remote identity, not only its address>"),
			libre("local", "ipsec.secrets: @local.example @remote.example : PSK \"...\""),
		},
		RFC: []string{"RFC 7296 2.15"}, Related: []string{"psk-mismatch", "responder-no-peer-config"},
	},
	{
		ID: "responder-no-peer-config", Title: "Responder has no connection for these identities", Severity: High, Ownership: PeerConfig,
		Symptom: "AUTHENTICATION_FAILED; the responder says that it finds no matching configuration.",
		Cause:   "The responder picks its connection by IDi and IDr. What the initiator sends fits none: another name, another kind of identity, or an address from before a NAT.",
		Shows: []Shows{
			keyed("IDi and IDr of the request, to compare with the responder's configuration."),
			charon("\"looking for peer configs matching A[idr]...B[idi]\", then \"no matching peer config found\"."),
		},
		Remedies: []Remedy{
			swan("responder", "connections.<c>.remote.id = <IDi of the initiator>; connections.<c>.local.id = <IDr that it asks for>"),
			swan("initiator", "connections.<c>.local.id = <identity that the responder expects>"),
			libre("responder", "rightid=<IDi>; leftid=<IDr>"),
			cisco("responder", "crypto ikev2 profile <p>: match identity remote <type> <IDi>"),
			forti("responder", "config vpn ipsec phase1-interface: set peertype one, set peerid <IDi>"),
			pan("responder", "IKE Gateway: Peer Identification of the same type and value as IDi"),
		},
		RFC: []string{"RFC 7296 2.15", "RFC 7296 3.5"}, Related: []string{"idr-mismatch", "id-type-mismatch", "auth-failed-opaque"},
	},
	{
		ID: "idr-mismatch", Title: "Initiator refuses the responder", Severity: High, Ownership: PeerConfig,
		Symptom: "The peer accepts us, and then we end the SA: our side says no.",
		Cause:   "The responder proves another identity than the initiator requires (typically its private address from behind a NAT), or its certificate does not vouch for the identity that it names.",
		Shows: []Shows{
			capture("A long IKE_AUTH response that begins with IDr, and right after it an INFORMATIONAL request of the initiator that begins with a notify; then nothing more."),
			keyed("The value and type of IDr against IDr in the request."),
			charon("\"received IDr X, but require Y\", \"constraint check failed: identity 'Y' required\"; alert peer-auth-failed."),
		},
		Remedies: []Remedy{
			swan("initiator", "connections.<c>.remote.id = <IDr as the peer sends it>"),
			swan("responder", "connections.<c>.local.id = <identity that the initiator requires>"),
			libre("responder", "leftid=@gateway.example.org"),
			cisco("responder", "crypto ikev2 profile <p>: identity local fqdn gateway.example.org"),
			forti("responder", "config vpn ipsec phase1-interface: set localid gateway.example.org"),
			pan("responder", "IKE Gateway: Local Identification"),
		},
		Distinguish: "The same picture on the wire comes from any reason why the initiator rejects the responder: identity, certificate chain, dates. Its log says which.",
		RFC:         []string{"RFC 7296 2.21.2", "RFC 7296 3.5"}, Related: []string{"cert-san-mismatch", "cert-untrusted-issuer", "cert-expired", "id-type-mismatch"},
	},
	{
		ID: "id-type-mismatch", Title: "Same identity, other type", Severity: Medium, Ownership: LocalConfig,
		Symptom: "Both sides show the same text as identity, and it still does not match.",
		Cause:   "Identities have a type: an address, a name (FQDN), a mail address, a key ID, a distinguished name. The same characters as another type are another identity.",
		Shows: []Shows{
			keyed("The ID type octet of the two sides."),
			charon("Visible at log level cfg = 3 only."),
		},
		Remedies: []Remedy{
			swan("local", "connections.<c>.remote.id = fqdn:gw.example.org   (prefixes: fqdn: email: keyid: asn1dn:)"),
			forti("remote", "config vpn ipsec phase1-interface: set localid-type fqdn"),
			pan("remote", "IKE Gateway: choose the same identification type (FQDN, IP, KEYID, User FQDN)"),
			cisco("remote", "crypto ikev2 profile <p>: identity local fqdn ... | address ... | key-id ..."),
		},
		RFC: []string{"RFC 7296 3.5"}, Related: []string{"responder-no-peer-config", "idr-mismatch"},
	},
	{
		ID: "dn-order-or-encoding-mismatch", Title: "Distinguished names written differently", Severity: Medium, Ownership: LocalConfig,
		Symptom: "A distinguished name that looks right does not match.",
		Cause:   "The parts stand in another order, or a string has another ASN.1 type (UTF8String against PrintableString). Comparison is strict by default.",
		Shows: []Shows{
			keyed("IDs of type DER_ASN1_DN with the same parts and different octets."),
			charon("The same lines as idr-mismatch."),
		},
		Remedies: []Remedy{
			swan("local", "copy the subject as `pki --print --in cert.pem` shows it into connections.<c>.remote.id"),
			swan("local", "charon.rdn_matching = reordered   (strongswan.conf; or relaxed)"),
			anyone("both", "Use a name from the certificate's subjectAltName as identity instead of the distinguished name."),
		},
		RFC: []string{"RFC 7296 3.5", "RFC 5280 7.1"}, Related: []string{"idr-mismatch", "cert-san-mismatch"},
	},
	{
		ID: "auth-method-mismatch", Title: "The sides authenticate by different methods", Severity: High, Ownership: LocalConfig,
		Symptom: "AUTHENTICATION_FAILED although key and certificate are right by themselves.",
		Cause:   "One side uses a shared key where the other requires a certificate or EAP, or the reverse.",
		Shows: []Shows{
			keyed("The method of the AUTH payloads; or a request without AUTH (asking for EAP) that is refused at once."),
			charon("\"constraint requires X authentication, but Y was used\", \"peer requested EAP, config unacceptable\"."),
		},
		Remedies: []Remedy{
			swan("both", "connections.<c>.local.auth on one side = connections.<c>.remote.auth on the other: psk, pubkey, eap-..."),
			libre("both", "authby=secret, rsasig or ecdsa on both sides"),
			cisco("both", "crypto ikev2 profile <p>: authentication remote pre-share | rsa-sig, authentication local pre-share | rsa-sig"),
		},
		RFC: []string{"RFC 7296 2.15", "RFC 7296 2.16", "RFC 7296 3.8"}, Related: []string{"auth-failed-opaque", "eap-only-not-supported"},
	},
	{
		ID: "unique-policy-refused", Title: "Refused because the identity is already connected", Severity: Medium, Ownership: PeerConfig,
		Symptom: "The second client, or the same one after a reboot, gets AUTHENTICATION_FAILED.",
		Cause:   "The responder allows one SA per identity and keeps the old one.",
		Shows:   []Shows{charon("\"canceling IKE_SA setup due to uniqueness policy\"; alert unique-keep.")},
		Remedies: []Remedy{
			swan("responder", "connections.<c>.unique = replace   (or never)"),
			anyone("initiator", "Give every client an identity of its own."),
		},
		RFC: []string{"RFC 7296 2.4"}, Related: []string{"initial-contact-kills-sibling", "auth-failed-opaque"},
	},
}
