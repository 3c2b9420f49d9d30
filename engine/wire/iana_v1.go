package wire

import "strconv"

// V1DOI is the domain of interpretation of an IKEv1 payload (RFC 2408 2.1).
type V1DOI uint32

// The domains of interpretation.
const (
	V1DOIISAKMP V1DOI = 0
	V1DOIIPsec  V1DOI = 1 // RFC 2407
	V1DOIGDOI   V1DOI = 2 // RFC 6407
)

var v1DOINames = []string{0: "ISAKMP", 1: "IPSEC", 2: "GDOI"}

// String gives "IPSEC".
func (d V1DOI) String() string {
	if d >= 1<<16 {
		return "UNKNOWN_" + strconv.FormatUint(uint64(d), 10)
	}
	return name(v1DOINames, int(d), 0)
}

// The situations of the IPsec DOI, bits (RFC 2407 4.2).
const (
	V1SituationIdentityOnly = 1
	V1SituationSecrecy      = 2
	V1SituationIntegrity    = 4
)

// V1ProtocolID is a security protocol of IKEv1 (RFC 2407 4.4.1).
type V1ProtocolID uint8

// The security protocols of IKEv1; AH and ESP agree with IKEv2's numbers.
const (
	V1ProtocolISAKMP V1ProtocolID = 1
	V1ProtocolAH     V1ProtocolID = 2
	V1ProtocolESP    V1ProtocolID = 3
	V1ProtocolIPComp V1ProtocolID = 4
)

var v1ProtocolNames = []string{1: "ISAKMP", 2: "AH", 3: "ESP", 4: "IPCOMP", 5: "GIGABEAM_RADIO"}

// String gives "ESP".
func (p V1ProtocolID) String() string { return name(v1ProtocolNames, int(p), 249) }

// V1IDType is the kind of an IKEv1 identity (RFC 2407 4.6.2).
type V1IDType uint8

// The identity types of IKEv1.
const (
	V1IDIPv4Addr       V1IDType = 1
	V1IDFQDN           V1IDType = 2
	V1IDUserFQDN       V1IDType = 3
	V1IDIPv4AddrSubnet V1IDType = 4
	V1IDIPv6Addr       V1IDType = 5
	V1IDIPv6AddrSubnet V1IDType = 6
	V1IDIPv4AddrRange  V1IDType = 7
	V1IDIPv6AddrRange  V1IDType = 8
	V1IDDERASN1DN      V1IDType = 9
	V1IDDERASN1GN      V1IDType = 10
	V1IDKeyID          V1IDType = 11
	V1IDList           V1IDType = 12 // RFC 3554
)

var v1IDNames = []string{
	1: "ID_IPV4_ADDR", 2: "ID_FQDN", 3: "ID_USER_FQDN", 4: "ID_IPV4_ADDR_SUBNET", 5: "ID_IPV6_ADDR",
	6: "ID_IPV6_ADDR_SUBNET", 7: "ID_IPV4_ADDR_RANGE", 8: "ID_IPV6_ADDR_RANGE", 9: "ID_DER_ASN1_DN",
	10: "ID_DER_ASN1_GN", 11: "ID_KEY_ID", 12: "ID_LIST",
}

// String gives "ID_IPV4_ADDR_SUBNET".
func (t V1IDType) String() string { return name(v1IDNames, int(t), 249) }

// V1NotifyType is the type of an IKEv1 Notification payload (RFC 2408 3.14.1,
// RFC 2407 4.6.3).
type V1NotifyType uint16

// Notifications that tools act on.
const (
	V1NotifyInvalidCookie         V1NotifyType = 4
	V1NotifyNoProposalChosen      V1NotifyType = 14
	V1NotifyPayloadMalformed      V1NotifyType = 16
	V1NotifyInvalidKeyInformation V1NotifyType = 17
	V1NotifyInvalidIDInformation  V1NotifyType = 18
	V1NotifyInvalidHash           V1NotifyType = 23
	V1NotifyAuthenticationFailed  V1NotifyType = 24
	V1NotifyInvalidSignature      V1NotifyType = 25
	V1NotifyResponderLifetime     V1NotifyType = 24576
	V1NotifyReplayStatus          V1NotifyType = 24577
	V1NotifyInitialContact        V1NotifyType = 24578
	V1NotifyRUThere               V1NotifyType = 36136 // RFC 3706
	V1NotifyRUThereAck            V1NotifyType = 36137 // RFC 3706
	V1NotifyLoadBalance           V1NotifyType = 40501
)

var v1NotifyNames = []string{
	1: "INVALID-PAYLOAD-TYPE", 2: "DOI-NOT-SUPPORTED", 3: "SITUATION-NOT-SUPPORTED", 4: "INVALID-COOKIE",
	5: "INVALID-MAJOR-VERSION", 6: "INVALID-MINOR-VERSION", 7: "INVALID-EXCHANGE-TYPE", 8: "INVALID-FLAGS",
	9: "INVALID-MESSAGE-ID", 10: "INVALID-PROTOCOL-ID", 11: "INVALID-SPI", 12: "INVALID-TRANSFORM-ID",
	13: "ATTRIBUTES-NOT-SUPPORTED", 14: "NO-PROPOSAL-CHOSEN", 15: "BAD-PROPOSAL-SYNTAX",
	16: "PAYLOAD-MALFORMED", 17: "INVALID-KEY-INFORMATION", 18: "INVALID-ID-INFORMATION",
	19: "INVALID-CERT-ENCODING", 20: "INVALID-CERTIFICATE", 21: "CERT-TYPE-UNSUPPORTED",
	22: "INVALID-CERT-AUTHORITY", 23: "INVALID-HASH-INFORMATION", 24: "AUTHENTICATION-FAILED",
	25: "INVALID-SIGNATURE", 26: "ADDRESS-NOTIFICATION", 27: "NOTIFY-SA-LIFETIME",
	28: "CERTIFICATE-UNAVAILABLE", 29: "UNSUPPORTED-EXCHANGE-TYPE", 30: "UNEQUAL-PAYLOAD-LENGTHS",
}

// String gives the RFC's name with hyphens, "NO-PROPOSAL-CHOSEN".
func (t V1NotifyType) String() string {
	switch t {
	case 16384:
		return "CONNECTED"
	case V1NotifyResponderLifetime:
		return "RESPONDER-LIFETIME"
	case V1NotifyReplayStatus:
		return "REPLAY-STATUS"
	case V1NotifyInitialContact:
		return "INITIAL-CONTACT"
	case V1NotifyRUThere:
		return "R-U-THERE"
	case V1NotifyRUThereAck:
		return "R-U-THERE-ACK"
	case V1NotifyLoadBalance:
		return "UNITY-LOAD-BALANCE"
	case 40502:
		return "UNITY-UNKNOWN"
	case 40503:
		return "UNITY-GROUP-HASH"
	}
	if t >= 32768 && t < 40960 {
		return name(nil, int(t), 32768)
	}
	if t >= 8192 && t < 16384 {
		return name(nil, int(t), 8192)
	}
	return name(v1NotifyNames, int(t), 0)
}

// V1KeyIKE is the only transform id of protocol ISAKMP (RFC 2407 4.4.2).
const V1KeyIKE = 1

var (
	v1AHNames = []string{
		2: "AH_MD5", 3: "AH_SHA", 4: "AH_DES", 5: "AH_SHA2-256", 6: "AH_SHA2-384", 7: "AH_SHA2-512",
		8: "AH_RIPEMD", 9: "AH_AES-XCBC-MAC", 10: "AH_RSA", 11: "AH_AES-128-GMAC", 12: "AH_AES-192-GMAC",
		13: "AH_AES-256-GMAC",
	}
	v1ESPNames = []string{
		1: "ESP_DES_IV64", 2: "ESP_DES", 3: "ESP_3DES", 4: "ESP_RC5", 5: "ESP_IDEA", 6: "ESP_CAST",
		7: "ESP_BLOWFISH", 8: "ESP_3IDEA", 9: "ESP_DES_IV32", 10: "ESP_RC4", 11: "ESP_NULL", 12: "ESP_AES-CBC",
		13: "ESP_AES-CTR", 14: "ESP_AES-CCM_8", 15: "ESP_AES-CCM_12", 16: "ESP_AES-CCM_16",
		18: "ESP_AES-GCM_8", 19: "ESP_AES-GCM_12", 20: "ESP_AES-GCM_16", 21: "ESP_SEED_CBC",
		22: "ESP_CAMELLIA", 23: "ESP_NULL_AUTH_AES-GMAC",
	}
)

// V1TransformName gives the name of an IKEv1 transform id within its protocol
// (RFC 2407 4.4.2 to 4.4.5).
func V1TransformName(p V1ProtocolID, id uint8) string {
	switch p {
	case V1ProtocolISAKMP:
		if id == V1KeyIKE {
			return "KEY_IKE"
		}
		return name(nil, int(id), 249)
	case V1ProtocolAH:
		return name(v1AHNames, int(id), 249)
	case V1ProtocolESP:
		return name(v1ESPNames, int(id), 249)
	case V1ProtocolIPComp:
		return name(ipcompNames, int(id), 48)
	}
	return name(nil, int(id), 0)
}

// Attributes of IKEv1 phase 1 transforms, of protocol ISAKMP (RFC 2409 A).
const (
	V1AttrEncryption = 1
	V1AttrHash       = 2
	V1AttrAuth       = 3
	V1AttrGroup      = 4
	V1AttrGroupType  = 5
	V1AttrLifeType   = 11
	V1AttrLife       = 12
	V1AttrPRF        = 13
	V1AttrKeyLength  = 14
)

// Attributes of IKEv1 phase 2 transforms, of AH, ESP and IPComp (RFC 2407 4.5).
const (
	V1AttrSALifeType    = 1
	V1AttrSALife        = 2
	V1AttrSAGroup       = 3
	V1AttrEncapsulation = 4
	V1AttrSAAuth        = 5
	V1AttrSAKeyLength   = 6
	V1AttrESN           = 11
)

var (
	v1Phase1AttrNames = []string{
		1: "Encryption-Algorithm", 2: "Hash-Algorithm", 3: "Authentication-Method", 4: "Group-Description",
		5: "Group-Type", 6: "Group-Prime", 7: "Group-Generator-One", 8: "Group-Generator-Two",
		9: "Group-Curve-A", 10: "Group-Curve-B", 11: "Life-Type", 12: "Life-Duration", 13: "PRF",
		14: "Key-Length", 15: "Field-Size", 16: "Group-Order", 17: "Block-Size",
		20: "Asymmetric-Cryptographic-Algorithm-Type",
	}
	v1Phase2AttrNames = []string{
		1: "SA-Life-Type", 2: "SA-Life-Duration", 3: "Group-Description", 4: "Encapsulation-Mode",
		5: "Authentication-Algorithm", 6: "Key-Length", 7: "Key-Rounds", 8: "Compress-Dictionary-Size",
		9: "Compress-Private-Algorithm", 10: "ECN Tunnel", 11: "Extended (64-bit) Sequence Number",
		12: "Authentication Key Length", 13: "Signature Encoding Algorithm", 14: "Address Preservation",
		15: "SA Direction",
	}
	v1EncryptionNames = []string{
		1: "DES-CBC", 2: "IDEA-CBC", 3: "BLOWFISH-CBC", 4: "RC5-R16-B64-CBC", 5: "3DES-CBC", 6: "CAST-CBC",
		7: "AES-CBC", 8: "CAMELLIA-CBC", 127: "SM4-CBC (DEPRECATED)", 128: "SM1-CBC", 129: "SM4-CBC",
	}
	v1HashNames = []string{
		1: "MD5", 2: "SHA", 3: "TIGER", 4: "SHA2-256", 5: "SHA2-384", 6: "SHA2-512", 20: "SM3",
	}
	v1AuthNames = []string{
		1: "Pre-shared key", 2: "DSS signatures", 3: "RSA signatures", 4: "Encryption with RSA",
		5: "Revised encryption with RSA", 6: "Encryption with El-Gamal", 7: "Revised encryption with El-Gamal",
		8: "ECDSA signatures", 9: "ECDSA with SHA-256 on the P-256 curve",
		10: "ECDSA with SHA-384 on the P-384 curve", 11: "ECDSA with SHA-512 on the P-521 curve",
	}
	v1PrivateAuthNames = map[uint16]string{
		64221: "HybridInitRSA", 64222: "HybridRespRSA", 64223: "HybridInitDSS", 64224: "HybridRespDSS",
		65001: "XAUTHInitPreShared", 65002: "XAUTHRespPreShared", 65003: "XAUTHInitDSS", 65004: "XAUTHRespDSS",
		65005: "XAUTHInitRSA", 65006: "XAUTHRespRSA", 65007: "XAUTHInitRSAEncryption",
		65008: "XAUTHRespRSAEncryption", 65009: "XAUTHInitRSARevisedEncryption",
		65010: "XAUTHRespRSARevisedEncryption",
	}
	v1GroupTypeNames = []string{1: "MODP", 2: "ECP", 3: "EC2N"}
	v1LifeNames      = []string{1: "Seconds", 2: "Kilobytes"}
	v1EncapNames     = []string{1: "Tunnel", 2: "Transport", 3: "UDP-Encapsulated-Tunnel", 4: "UDP-Encapsulated-Transport"}
	v1PrivateEncap   = map[uint16]string{
		61440: "Check Point IPSec UDP Encapsulation", 61443: "UDP-Encapsulated-Tunnel (draft)",
		61444: "UDP-Encapsulated-Transport (draft)",
	}
	v1SAAuthNames = []string{
		1: "HMAC-MD5", 2: "HMAC-SHA", 3: "DES-MAC", 4: "KPDK", 5: "HMAC-SHA2-256", 6: "HMAC-SHA2-384",
		7: "HMAC-SHA2-512", 8: "HMAC-RIPEMD", 9: "AES-XCBC-MAC", 10: "SIG-RSA", 11: "AES-128-GMAC",
		12: "AES-192-GMAC", 13: "AES-256-GMAC",
	}
	v1ECNNames = []string{1: "Allowed", 2: "Forbidden"}
	v1ESNNames = []string{1: "64-bit Sequence Number"}
)

// Groups that IKEv1 has and IKEv2 dropped (RFC 2409 6, expired drafts).
var v1GroupNames = map[uint16]string{
	3: "EC2N_155", 4: "EC2N_185", 6: "EC2N_163", 7: "EC2N_163K", 8: "EC2N_283", 9: "EC2N_283K",
	10: "EC2N_409", 11: "EC2N_409K", 12: "EC2N_571", 13: "EC2N_571K",
}

// V1AttributeName gives the name of an attribute of an IKEv1 transform of
// protocol p.
func V1AttributeName(p V1ProtocolID, attr uint16) string {
	if p == V1ProtocolISAKMP {
		return name(v1Phase1AttrNames, int(attr), 16384)
	}
	return name(v1Phase2AttrNames, int(attr), 32001)
}

// V1AttributeValueName gives the meaning of the value of an attribute of an
// IKEv1 transform of protocol p, "" for attributes that are plain quantities
// (lengths, durations).
func V1AttributeValueName(p V1ProtocolID, attr, value uint16) string {
	if p == V1ProtocolISAKMP {
		switch attr {
		case V1AttrEncryption:
			return name(v1EncryptionNames, int(value), 65001)
		case V1AttrHash:
			return name(v1HashNames, int(value), 65001)
		case V1AttrAuth:
			if s := v1PrivateAuthNames[value]; s != "" {
				return s
			}
			return name(v1AuthNames, int(value), 65001)
		case V1AttrGroup:
			return V1GroupName(value)
		case V1AttrGroupType:
			return name(v1GroupTypeNames, int(value), 65001)
		case V1AttrLifeType:
			return name(v1LifeNames, int(value), 65001)
		}
		return ""
	}
	switch attr {
	case V1AttrSALifeType:
		return name(v1LifeNames, int(value), 61440)
	case V1AttrSAGroup:
		return V1GroupName(value)
	case V1AttrEncapsulation:
		if s := v1PrivateEncap[value]; s != "" {
			return s
		}
		return name(v1EncapNames, int(value), 61440)
	case V1AttrSAAuth:
		return name(v1SAAuthNames, int(value), 61440)
	case 10:
		return name(v1ECNNames, int(value), 61440)
	case V1AttrESN:
		return name(v1ESNNames, int(value), 61440)
	}
	return ""
}

// V1GroupName gives the name of a Diffie-Hellman group of IKEv1, in the
// spelling of IKEv2's where both have it.
func V1GroupName(g uint16) string {
	if s := v1GroupNames[g]; s != "" {
		return s
	}
	return name(keNames, int(g), 32768)
}
