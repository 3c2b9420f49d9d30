package diag

var certEntries = []Entry{
	{
		ID: "cert-not-sent", Title: "No certificate sent", Severity: High, Ownership: LocalConfig,
		Symptom: "\"No trusted public key found\" although the other side has a certificate.",
		Cause:   "The sender only sends its certificate when asked, and was not asked; or the chain lacks an intermediate that it should have sent.",
		Shows: []Shows{
			keyed("AUTH by signature without a CERT payload in the same message."),
			charon("\"no trusted RSA public key found for 'ID'\"."),
		},
		Remedies: []Remedy{
			swan("remote", "connections.<c>.send_cert = always"),
			swan("remote", "each intermediate CA in a file of its own under x509ca/"),
			libre("remote", "leftsendcert=always"),
			swan("local", "connections.<c>.send_certreq = yes   (a peer with send_cert = ifasked waits for it)"),
		},
		RFC: []string{"RFC 7296 3.6", "RFC 7296 3.7"}, Related: []string{"cert-untrusted-issuer"},
	},
	{
		ID: "cert-untrusted-issuer", Title: "Certificate's issuer is not trusted", Severity: High, Ownership: Credential,
		Symptom: "A certificate is refused: no issuer found, or a self-signed certificate that is not trusted.",
		Cause:   "The verifier does not have the CA that signed the certificate, or the chain to it has a gap because an intermediate was not sent.",
		Shows: []Shows{
			capture("The CERTREQ of the IKE_SA_INIT response lists the CAs that the responder trusts, as hashes."),
			keyed("The chain in the CERT payloads."),
			charon("\"no issuer certificate found for 'DN'\", \"self-signed certificate 'DN' is not trusted\"; alerts cert-no-issuer, cert-untrusted-root."),
		},
		Remedies: []Remedy{
			swan("local", "put the root into /etc/swanctl/x509ca/ and run swanctl --load-creds; or connections.<c>.remote.cacerts = ca.pem"),
			swan("remote", "put the intermediates into x509ca/ so that they are sent along"),
			cisco("local", "crypto pki trustpoint <t>, crypto pki authenticate <t>"),
			forti("remote", "config vpn ipsec phase1-interface: set send-cert-chain enable"),
		},
		RFC: []string{"RFC 5280 6", "RFC 7296 3.7"}, Related: []string{"cert-not-sent", "cert-path-policy", "idr-mismatch"},
	},
	{
		ID: "cert-expired", Title: "Certificate has expired", Severity: Critical, Ownership: Credential,
		Symptom: "New tunnels fail since a certain day; tunnels that are up stay up until they authenticate again.",
		Cause:   "The certificate's notAfter has passed, of the end itself or of a CA above it.",
		Shows: []Shows{
			keyed("notAfter of a certificate in CERT lies before the time of the packet."),
			charon("\"subject certificate invalid (valid from X to Y)\"; alert cert-expired."),
		},
		Remedies: []Remedy{
			anyone("remote", "Renew the certificate and load it on the side that presents it."),
			swan("remote", "replace the file under /etc/swanctl/x509/, then swanctl --load-creds"),
		},
		RFC: []string{"RFC 5280 4.1.2.5"}, Related: []string{"cert-not-yet-valid", "crl-ocsp-unreachable"},
	},
	{
		ID: "cert-not-yet-valid", Aliases: []string{"clock-skew"}, Title: "Certificate not valid yet, or a wrong clock", Severity: High, Ownership: Host,
		Symptom: "A fresh certificate is refused, or a device fails after a power cut until its clock is set.",
		Cause:   "notBefore lies in the future of the host that checks. Mostly the clock is wrong, not the certificate.",
		Shows: []Shows{
			keyed("notBefore of a certificate in CERT lies after the time of the packet."),
			charon("\"subject certificate invalid (valid from X to Y)\"; alert cert-expired, for both cases."),
		},
		Remedies: []Remedy{
			linux("both", "timedatectl; chronyc tracking: set the clock from a source that does not need the tunnel"),
			swan("local", "charon.plugins.systime-fix.threshold = <date>   (strongswan.conf; for devices without a clock)"),
		},
		RFC: []string{"RFC 5280 4.1.2.5"}, Related: []string{"cert-expired"},
	},
	{
		ID: "cert-revoked", Title: "Certificate has been revoked", Severity: Critical, Ownership: Credential,
		Symptom: "A certificate that worked is refused.",
		Cause:   "The CA's CRL or OCSP responder lists it as revoked.",
		Shows:   []Shows{charon("\"certificate was revoked on X, reason: Y\"; alert cert-revoked.")},
		Remedies: []Remedy{
			anyone("remote", "Have a new certificate issued."),
			swan("local", "swanctl --flush-certs, if the revocation was withdrawn and a CRL is cached"),
		},
		RFC: []string{"RFC 5280 5.3.1"}, Related: []string{"crl-ocsp-unreachable"},
	},
	{
		ID: "crl-ocsp-unreachable", Title: "Revocation state cannot be fetched", Severity: Medium, Ownership: External,
		Symptom: "IKE_AUTH takes seconds longer than usual, or fails under a strict policy.",
		Cause:   "The CRL or OCSP server named in the certificate does not answer from this host. While charon waits, the peer retransmits.",
		Shows: []Shows{
			capture("A long time from IKE_AUTH request to response, with retransmissions."),
			charon("\"crl fetching failed\", \"ocsp request to URL failed\", \"certificate status is not available\"; alert cert-validation-failed."),
		},
		Remedies: []Remedy{
			network("Make the distribution point's URL reachable from the gateway without the tunnel: DNS, route, proxy, firewall."),
		},
		RFC: []string{"RFC 5280 6.3", "RFC 4806"}, Related: []string{"cert-revoked", "auth-phase-silent"},
	},
	{
		ID: "cert-san-mismatch", Title: "Certificate does not name the identity", Severity: High, Ownership: Credential,
		Symptom: "The certificate is trusted and still refused for this peer.",
		Cause:   "The identity has to stand in the certificate: in its subjectAltName with the same type, or as the whole subject. A common name is not enough, and wildcards do not count.",
		Shows: []Shows{
			keyed("IDr (or IDi) occurs neither in the certificate's subjectAltName nor is it the subject."),
			charon("\"certificate does not confirm identity\", \"identity 'X' required\"."),
		},
		Remedies: []Remedy{
			swan("remote", "pki --issue ... --san gw.example.org --san 192.0.2.1   (name and address)"),
			swan("remote", "connections.<c>.local.id = <a name that the certificate holds>"),
			windows("remote", "Windows wants the address that the client dials as dNSName, too; else error 13801"),
		},
		RFC: []string{"RFC 4945 3.1", "RFC 5280 4.2.1.6"}, Related: []string{"idr-mismatch", "cert-eku-or-keyusage"},
	},
	{
		ID: "cert-eku-or-keyusage", Title: "Certificate not meant for this use", Severity: High, Ownership: Credential,
		Symptom: "Windows error 13801 or 13806, macOS and iOS refuse silently, or strongSwan rejects the certificate's key usage.",
		Cause:   "The gateway's certificate lacks serverAuth (or ikeIntermediate), the client's lacks clientAuth, or keyUsage lacks digitalSignature. Windows accepts RSA, P-256 and P-384 only.",
		Shows: []Shows{
			keyed("ExtendedKeyUsage and KeyUsage of the certificate in CERT."),
			charon("\"rejecting certificate without digitalSignature or nonRepudiation keyUsage flags\"."),
		},
		Remedies: []Remedy{
			swan("remote", "pki --issue ... --flag serverAuth --flag ikeIntermediate"),
			windows("remote", "issue the client certificate with clientAuth; if several match, one with IP security IKE intermediate is preferred"),
		},
		RFC: []string{"RFC 4945 5.1.3", "RFC 5280 4.2.1.12"}, Related: []string{"cert-san-mismatch", "windows-ms-status"},
	},
	{
		ID: "cert-path-policy", Title: "Chain violates a constraint", Severity: Medium, Ownership: Credential,
		Symptom: "The chain is complete and still refused.",
		Cause:   "A CA in the chain limits path length, names or policies, or has a critical extension that the verifier does not know; or a key in it is shorter than the verifier takes.",
		Shows: []Shows{
			charon("\"path length of N violates maximum of M\", \"critical 'X' extension not supported\"; alerts cert-exceeded-path-len, cert-policy-violation."),
		},
		Remedies: []Remedy{anyone("remote", "Reissue from a CA whose constraints allow the name and the depth.")},
		RFC:      []string{"RFC 5280 4.2.1.9", "RFC 5280 4.2.1.10"}, Related: []string{"cert-untrusted-issuer"},
	},
	{
		ID: "private-key-missing", Title: "Private key is not there", Severity: High, Ownership: LocalConfig,
		Symptom: "The daemon cannot authenticate itself.",
		Cause:   "No private key that belongs to the configured certificate is loaded: wrong file, wrong passphrase, a token without its PIN.",
		Shows:   []Shows{charon("\"no private key found for 'ID'\"; list-certs shows no private key.")},
		Remedies: []Remedy{
			swan("local", "put the key into /etc/swanctl/private/ and run swanctl --load-creds"),
			swan("local", "secrets.private-<x> { file = key.pem; secret = <passphrase> }   or secrets.token-<x>.pin"),
		},
		Related: []string{"auth-failed-opaque"},
	},
	{
		ID: "sig-hash-mismatch", Title: "No signature hash in common", Severity: High, Ownership: Software,
		Symptom: "Certificates fail with a signature error, often after an operating system update.",
		Cause: "Each side says in IKE_SA_INIT which hashes it accepts for signatures. If the sets do not meet, or a side does not know RFC 7427 and signs with SHA-1 " +
			"while the other's system policy forbids that, nobody can sign acceptably.",
		Shows: []Shows{
			capture("SIGNATURE_HASH_ALGORITHMS of the two IKE_SA_INIT messages: no common value, or missing on one side."),
			charon("\"no common hash algorithm found to create signature\"; libreswan: SEC_ERROR_SIGNATURE_ALGORITHM_DISABLED; Windows 13838."),
		},
		Remedies: []Remedy{
			anyone("remote", "Upgrade the side that does not know RFC 7427."),
			swan("local", "connections.<c>.local.auth = ike:pubkey-sha256-sha384"),
			swan("local", "charon.signature_authentication = yes   (strongswan.conf, the default)"),
			anyone("both", "ECDSA keys do not depend on SHA-1: their methods 9 to 11 fix the hash."),
			linux("local", "update-crypto-policies --set DEFAULT:SHA1   (RHEL; only while the peer cannot be changed)"),
		},
		RFC: []string{"RFC 7427 4", "RFC 8247 3.2"}, Related: []string{"rsa-pss-interop", "auth-failed-opaque"},
	},
	{
		ID: "rsa-pss-interop", Title: "RSA-PSS parameters not understood", Severity: Medium, Ownership: Software,
		Symptom: "RSA certificates fail with one vendor only.",
		Cause:   "The AlgorithmIdentifier of an RSA-PSS signature can be encoded in more than one way, and some implementations accept only theirs. FortiGate wants the trailer field spelled out.",
		Shows:   []Shows{keyed("The ASN.1 AlgorithmIdentifier in an AUTH payload of method 14.")},
		Remedies: []Remedy{
			swan("local", "charon.rsa_pss = yes, charon.rsa_pss_trailerfield = yes   (strongswan.conf)"),
		},
		RFC: []string{"RFC 7427 3", "RFC 4055 3.1"}, Related: []string{"sig-hash-mismatch"},
	},
}
