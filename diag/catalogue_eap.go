package diag

var eapEntries = []Entry{
	{
		ID: "eap-method-mismatch", Title: "No EAP method in common", Severity: High, Ownership: LocalConfig,
		Symptom: "EAP begins and fails after one or two rounds; Windows error 812.",
		Cause:   "The server asks for one EAP method and the client only does others; or a plugin that the method needs is not loaded.",
		Shows: []Shows{
			keyed("An EAP Nak with the methods that the client would take."),
			charon("\"server requested EAP_X authentication\", \"sending EAP_NAK\", \"EAP method not supported\"."),
		},
		Remedies: []Remedy{
			swan("both", "connections.<c>.remote.auth (server) and connections.<c>.local.auth (client) = eap-mschapv2, eap-tls, ..."),
			swan("local", "load the plugins: eap-identity, eap-mschapv2 with md4, eap-tls"),
			windows("initiator", "choose the same EAP type in the VPN profile; on an NPS server allow it in the network policy"),
		},
		RFC: []string{"RFC 3748 5.3.1", "RFC 7296 2.16"}, Related: []string{"auth-method-mismatch", "mschapv2-bad-password"},
	},
	{
		ID: "eap-only-not-supported", Title: "EAP-only authentication not supported", Severity: Medium, Ownership: LocalConfig,
		Symptom: "The client wants the server to authenticate by EAP alone, and one side refuses.",
		Cause:   "EAP-only needs both sides to announce it and a mutual, key-generating method. Otherwise the server has to show a certificate.",
		Shows: []Shows{
			keyed("EAP_ONLY_AUTHENTICATION is missing in IKE_AUTH."),
			charon("\"configured EAP-only authentication, but peer does not support it\", \"do not allow non-mutual EAP-only authentication\"."),
		},
		Remedies: []Remedy{
			swan("both", "server: connections.<c>.local.auth = pubkey; client: connections.<c>.remote.auth = pubkey"),
		},
		RFC: []string{"RFC 5998 3", "RFC 5998 4"}, Related: []string{"eap-method-mismatch"},
	},
	{
		ID: "eap-identity-problem", Title: "EAP identity not accepted", Severity: Medium, Ownership: LocalConfig,
		Symptom: "EAP fails right after the identity was asked.",
		Cause:   "The server expects another EAP identity, or the client adds a prefix such as a domain that the server does not strip.",
		Shows:   []Shows{charon("\"EAP identity 'X' required, not matched by 'Y'\", \"no EAP identity required\".")},
		Remedies: []Remedy{
			swan("responder", "connections.<c>.remote.eap_id = %any"),
			swan("initiator", "connections.<c>.local.eap_id = <user name as the server knows it>"),
		},
		RFC: []string{"RFC 3748 5.1"}, Related: []string{"mschapv2-bad-password"},
	},
	{
		ID: "mschapv2-bad-password", Title: "EAP-MSCHAPv2: wrong user name or password", Severity: Medium, Ownership: Credential,
		Symptom: "The user is refused after the challenge; Windows error 691.",
		Cause:   "The password does not fit, the user does not exist on the server, or the account is locked, expired or restricted; the failure message's code says which.",
		Shows: []Shows{
			keyed("EAP-MSCHAPv2 Failure with E=691 (or 646 to 649), then EAP Failure."),
			charon("Client: \"EAP-MS-CHAPv2 failed with error ERROR_AUTHENTICATION_FAILURE\". Server: \"EAP-MS-CHAPv2 verification failed\", \"no EAP key found for hosts\"."),
		},
		Remedies: []Remedy{
			swan("responder", "secrets.eap-<x> { id = <user>; secret = <password> }"),
			anyone("responder", "Unlock or renew the account in the directory behind the server."),
		},
		RFC: []string{"RFC 2759 6"}, Related: []string{"eap-identity-problem", "eap-method-mismatch"},
	},
	{
		ID: "radius-not-responding", Title: "RADIUS server does not answer", Severity: High, Ownership: External,
		Symptom: "All EAP clients hang in the middle of the login and then fail.",
		Cause:   "The gateway passes EAP on to a RADIUS server that does not answer: it is down, filtered, or drops the gateway as unknown client or for a wrong shared secret.",
		Shows: []Shows{
			capture("IKE_AUTH is retransmitted in the middle of EAP."),
			charon("Alert radius-not-responding; \"RADIUS Access-Request timed out\"."),
		},
		Remedies: []Remedy{
			network("Check from the gateway that UDP 1812 of the RADIUS server is reachable, and its log for packets from unknown clients."),
		},
		RFC: []string{"RFC 2865 2"}, Related: []string{"auth-phase-silent"},
	},
	{
		ID: "eap-msk-or-auth-mismatch", Title: "EAP succeeded, its key does not fit", Severity: Medium, Ownership: Software,
		Symptom: "EAP Success, and then the last AUTH is refused.",
		Cause:   "The final AUTH is made from the EAP session key (MSK). The RADIUS server did not hand it to the gateway, or somebody sits between client and server.",
		Shows:   []Shows{charon("\"received EAP_SUCCESS but failed to establish MSK\", \"verification of AUTH payload with EAP MSK failed\".")},
		Remedies: []Remedy{
			anyone("responder", "Have the RADIUS server return the MS-MPPE-Send-Key and MS-MPPE-Recv-Key attributes to the gateway."),
		},
		RFC: []string{"RFC 7296 2.16", "RFC 3748 7.10"}, Related: []string{"radius-not-responding"},
	},
}
