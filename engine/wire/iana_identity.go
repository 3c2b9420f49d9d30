package wire

// IDType is the kind of an identity (RFC 7296 3.5).
type IDType uint8

// The identity types of IKEv2.
const (
	IDIPv4Addr   IDType = 1
	IDFQDN       IDType = 2
	IDRFC822Addr IDType = 3
	IDIPv6Addr   IDType = 5
	IDDERASN1DN  IDType = 9
	IDDERASN1GN  IDType = 10
	IDKeyID      IDType = 11
	IDFCName     IDType = 12 // RFC 4595
	IDNull       IDType = 13 // RFC 7619
)

var idTypeNames = []string{
	1: "ID_IPV4_ADDR", 2: "ID_FQDN", 3: "ID_RFC822_ADDR", 5: "ID_IPV6_ADDR", 9: "ID_DER_ASN1_DN",
	10: "ID_DER_ASN1_GN", 11: "ID_KEY_ID", 12: "ID_FC_NAME", 13: "ID_NULL",
}

// String gives IANA's name, "ID_FQDN".
func (t IDType) String() string { return name(idTypeNames, int(t), 201) }

// CertEncoding is the form of a certificate or authority (RFC 7296 3.6).
type CertEncoding uint8

// The certificate encodings.
const (
	CertPKCS7             CertEncoding = 1
	CertPGP               CertEncoding = 2
	CertDNSSignedKey      CertEncoding = 3
	CertX509Signature     CertEncoding = 4
	CertX509KeyExchange   CertEncoding = 5 // IKEv1 only
	CertKerberosToken     CertEncoding = 6
	CertCRL               CertEncoding = 7
	CertARL               CertEncoding = 8
	CertSPKI              CertEncoding = 9
	CertX509Attribute     CertEncoding = 10
	CertRawRSAKey         CertEncoding = 11 // deprecated by RFC 7670
	CertHashURLX509       CertEncoding = 12
	CertHashURLX509Bundle CertEncoding = 13
	CertOCSPContent       CertEncoding = 14 // RFC 4806
	CertRawPublicKey      CertEncoding = 15 // RFC 7670
)

var certEncodingNames = []string{
	0: "NONE", 1: "PKCS #7 wrapped X.509 certificate", 2: "PGP Certificate", 3: "DNS Signed Key",
	4: "X.509 Certificate - Signature", 5: "X.509 Certificate - Key Exchange", 6: "Kerberos Token",
	7: "Certificate Revocation List (CRL)", 8: "Authority Revocation List (ARL)", 9: "SPKI Certificate",
	10: "X.509 Certificate - Attribute", 11: "Raw RSA Key", 12: "Hash and URL of X.509 certificate",
	13: "Hash and URL of X.509 bundle", 14: "OCSP Content", 15: "Raw Public Key",
}

// String gives IANA's name, "X.509 Certificate - Signature".
func (e CertEncoding) String() string { return name(certEncodingNames, int(e), 201) }

// AuthMethod is how an AUTH payload proves an identity (RFC 7296 3.8).
type AuthMethod uint8

// The authentication methods.
const (
	AuthRSA              AuthMethod = 1
	AuthSharedKey        AuthMethod = 2
	AuthDSS              AuthMethod = 3
	AuthECDSA256         AuthMethod = 9  // RFC 4754
	AuthECDSA384         AuthMethod = 10 // RFC 4754
	AuthECDSA521         AuthMethod = 11 // RFC 4754
	AuthGSPM             AuthMethod = 12 // RFC 6467
	AuthNull             AuthMethod = 13 // RFC 7619
	AuthDigitalSignature AuthMethod = 14 // RFC 7427
)

var authMethodNames = []string{
	1: "RSA Digital Signature", 2: "Shared Key Message Integrity Code", 3: "DSS Digital Signature",
	9: "ECDSA with SHA-256 on the P-256 curve", 10: "ECDSA with SHA-384 on the P-384 curve",
	11: "ECDSA with SHA-512 on the P-521 curve", 12: "Generic Secure Password Authentication Method",
	13: "NULL Authentication", 14: "Digital Signature",
}

// String gives IANA's name, "Digital Signature".
func (m AuthMethod) String() string { return name(authMethodNames, int(m), 201) }

// HashAlgorithm is an entry of SIGNATURE_HASH_ALGORITHMS (RFC 7427 4).
type HashAlgorithm uint16

// The hash algorithms.
const (
	HashSHA1        HashAlgorithm = 1
	HashSHA256      HashAlgorithm = 2
	HashSHA384      HashAlgorithm = 3
	HashSHA512      HashAlgorithm = 4
	HashIdentity    HashAlgorithm = 5 // RFC 8420: the signature hashes by itself (Ed25519, Ed448)
	HashStreebog256 HashAlgorithm = 6 // RFC 9385
	HashStreebog512 HashAlgorithm = 7 // RFC 9385
)

var hashNames = []string{
	1: "SHA1", 2: "SHA2-256", 3: "SHA2-384", 4: "SHA2-512", 5: "Identity", 6: "STREEBOG_256", 7: "STREEBOG_512",
}

// String gives IANA's name, "SHA2-256".
func (h HashAlgorithm) String() string { return name(hashNames, int(h), 1024) }

// EAPCode is the code of an EAP message (RFC 3748 4).
type EAPCode uint8

// The EAP codes.
const (
	EAPRequest  EAPCode = 1
	EAPResponse EAPCode = 2
	EAPSuccess  EAPCode = 3
	EAPFailure  EAPCode = 4
	EAPInitiate EAPCode = 5 // RFC 6696
	EAPFinish   EAPCode = 6 // RFC 6696
)

var eapCodeNames = []string{1: "Request", 2: "Response", 3: "Success", 4: "Failure", 5: "Initiate", 6: "Finish"}

// String gives "Request".
func (c EAPCode) String() string { return name(eapCodeNames, int(c), 0) }

// EAPType is the method of an EAP request or response (RFC 3748 5).
type EAPType uint8

// The EAP methods that IKEv2 peers use.
const (
	EAPIdentity     EAPType = 1
	EAPNotification EAPType = 2
	EAPNak          EAPType = 3
	EAPMD5          EAPType = 4
	EAPOTP          EAPType = 5
	EAPGTC          EAPType = 6
	EAPTLS          EAPType = 13
	EAPSIM          EAPType = 18
	EAPTTLS         EAPType = 21
	EAPAKA          EAPType = 23
	EAPPEAP         EAPType = 25
	EAPMSCHAPv2     EAPType = 26
	EAPTNC          EAPType = 38
	EAPFAST         EAPType = 43
	EAPPSK          EAPType = 47
	EAPAKAPrime     EAPType = 50
	EAPGPSK         EAPType = 51
	EAPPWD          EAPType = 52
	EAPTEAP         EAPType = 55
	EAPExpanded     EAPType = 254
	EAPExperimental EAPType = 255
)

var eapTypeNames = []string{
	1: "Identity", 2: "Notification", 3: "Nak", 4: "MD5-Challenge", 5: "OTP", 6: "GTC", 9: "RSA",
	10: "DSS", 11: "KEA", 12: "KEA-Validate", 13: "TLS", 14: "Defender", 15: "SecurID", 16: "Arcot",
	17: "Cisco-LEAP", 18: "SIM", 19: "SRP-SHA1", 21: "TTLS", 22: "Remote-Access", 23: "AKA", 24: "3Com",
	25: "PEAP", 26: "MSCHAPv2", 27: "MAKE", 28: "CRYPTOCard", 29: "MSCHAPv2", 30: "DynamID", 31: "Rob",
	32: "POTP", 33: "MS-TLV", 34: "SentriNET", 35: "Actiontec", 36: "Cogent", 37: "AirFortress", 38: "TNC",
	39: "SecuriSuite", 40: "DeviceConnect", 41: "SPEKE", 42: "MOBAC", 43: "FAST", 44: "ZoneLabs", 45: "Link",
	46: "PAX", 47: "PSK", 48: "SAKE", 49: "IKEv2", 50: "AKA'", 51: "GPSK", 52: "pwd", 53: "EKEv1",
	54: "PT-EAP", 55: "TEAP", 56: "NOOB", 254: "Expanded", 255: "Experimental",
}

// String gives the method's name without "EAP-", "MSCHAPv2".
func (t EAPType) String() string { return name(eapTypeNames, int(t), 0) }
