package wire

// PayloadType is the number of a payload in a Next Payload field. IKEv1
// (RFC 2408 3.1) and IKEv2 (RFC 7296 3.2) number their payloads in one space.
type PayloadType uint8

// The payloads of IKEv2.
const (
	PayloadNone    PayloadType = 0
	PayloadSA      PayloadType = 33
	PayloadKE      PayloadType = 34
	PayloadIDi     PayloadType = 35
	PayloadIDr     PayloadType = 36
	PayloadCert    PayloadType = 37
	PayloadCertReq PayloadType = 38
	PayloadAuth    PayloadType = 39
	PayloadNonce   PayloadType = 40
	PayloadNotify  PayloadType = 41
	PayloadDelete  PayloadType = 42
	PayloadVendor  PayloadType = 43
	PayloadTSi     PayloadType = 44
	PayloadTSr     PayloadType = 45
	PayloadSK      PayloadType = 46
	PayloadCP      PayloadType = 47
	PayloadEAP     PayloadType = 48
	PayloadGSPM    PayloadType = 49 // RFC 6467
	PayloadIDg     PayloadType = 50 // RFC 9838
	PayloadGSA     PayloadType = 51 // RFC 9838
	PayloadKD      PayloadType = 52 // RFC 9838
	PayloadSKF     PayloadType = 53 // RFC 7383
	PayloadPS      PayloadType = 54 // RFC 8019
)

// The payloads of IKEv1 (RFC 2408 3.1, RFC 3547, RFC 3947).
const (
	PayloadV1SA         PayloadType = 1
	PayloadV1Proposal   PayloadType = 2
	PayloadV1Transform  PayloadType = 3
	PayloadV1KE         PayloadType = 4
	PayloadV1ID         PayloadType = 5
	PayloadV1Cert       PayloadType = 6
	PayloadV1CertReq    PayloadType = 7
	PayloadV1Hash       PayloadType = 8
	PayloadV1Sig        PayloadType = 9
	PayloadV1Nonce      PayloadType = 10
	PayloadV1Notify     PayloadType = 11
	PayloadV1Delete     PayloadType = 12
	PayloadV1Vendor     PayloadType = 13
	PayloadV1Attributes PayloadType = 14 // mode configuration
	PayloadV1SAKEK      PayloadType = 15
	PayloadV1SATEK      PayloadType = 16
	PayloadV1KD         PayloadType = 17
	PayloadV1Seq        PayloadType = 18
	PayloadV1POP        PayloadType = 19
	PayloadV1NATD       PayloadType = 20
	PayloadV1NATOA      PayloadType = 21
	PayloadV1GAP        PayloadType = 22
	PayloadV1NATDDraft  PayloadType = 130 // drafts before RFC 3947
	PayloadV1NATOADraft PayloadType = 131
	PayloadV1Fragment   PayloadType = 132 // a proprietary fragment of an IKE message
)

var payloadNames = []string{
	0: "NONE",
	1: "SA", 2: "Proposal", 3: "Transform", 4: "KE", 5: "ID", 6: "CERT", 7: "CR", 8: "HASH", 9: "SIG",
	10: "NONCE", 11: "N", 12: "D", 13: "VID", 14: "ATTR", 15: "SAK", 16: "SAT", 17: "KD", 18: "SEQ",
	19: "POP", 20: "NAT-D", 21: "NAT-OA", 22: "GAP",
	33: "SA", 34: "KE", 35: "IDi", 36: "IDr", 37: "CERT", 38: "CERTREQ", 39: "AUTH", 40: "Nonce",
	41: "Notify", 42: "Delete", 43: "Vendor", 44: "TSi", 45: "TSr", 46: "SK", 47: "CP", 48: "EAP",
	49: "GSPM", 50: "IDg", 51: "GSA", 52: "KD", 53: "SKF", 54: "PS",
	130: "NAT-D", 131: "NAT-OA", 132: "FRAG",
}

// String gives the RFC's short name, "SA", "Notify", "SKF".
func (t PayloadType) String() string { return name(payloadNames, int(t), 128) }

// Version2 says whether the type is one that IKEv2 assigns.
func (t PayloadType) Version2() bool { return t >= 33 && t < 128 && known(payloadNames, int(t)) }

// Version1 says whether the type is one that IKEv1 implementations use.
func (t PayloadType) Version1() bool {
	return t >= 1 && t <= 22 || t >= 130 && t <= 132
}

// ExchangeType is the exchange type octet of the IKE header. IKEv1 and IKEv2
// number their exchanges in one space.
type ExchangeType uint8

// The exchanges of IKEv2.
const (
	ExchangeIKESAInit        ExchangeType = 34
	ExchangeIKEAuth          ExchangeType = 35
	ExchangeCreateChildSA    ExchangeType = 36
	ExchangeInformational    ExchangeType = 37
	ExchangeIKESessionResume ExchangeType = 38 // RFC 5723
	ExchangeGSAAuth          ExchangeType = 39 // RFC 9838
	ExchangeGSARegistration  ExchangeType = 40 // RFC 9838
	ExchangeGSARekey         ExchangeType = 41 // RFC 9838
	ExchangeGSAInbandRekey   ExchangeType = 42 // RFC 9838
	ExchangeIKEIntermediate  ExchangeType = 43 // RFC 9242
	ExchangeIKEFollowupKE    ExchangeType = 44 // RFC 9370
)

// The exchanges of IKEv1 (RFC 2408 3.1, RFC 2409 5).
const (
	ExchangeV1Base          ExchangeType = 1
	ExchangeV1Main          ExchangeType = 2 // Identity Protection
	ExchangeV1AuthOnly      ExchangeType = 3
	ExchangeV1Aggressive    ExchangeType = 4
	ExchangeV1Informational ExchangeType = 5
	ExchangeV1Transaction   ExchangeType = 6 // mode configuration, XAUTH
	ExchangeV1Quick         ExchangeType = 32
	ExchangeV1NewGroup      ExchangeType = 33
)

var exchangeNames = []string{
	0: "NONE", 1: "Base", 2: "Identity Protection (Main Mode)", 3: "Authentication Only", 4: "Aggressive",
	5: "Informational", 6: "Transaction (Config Mode)", 32: "Quick Mode", 33: "New Group Mode",
	34: "IKE_SA_INIT", 35: "IKE_AUTH", 36: "CREATE_CHILD_SA", 37: "INFORMATIONAL", 38: "IKE_SESSION_RESUME",
	39: "GSA_AUTH", 40: "GSA_REGISTRATION", 41: "GSA_REKEY", 42: "GSA_INBAND_REKEY",
	43: "IKE_INTERMEDIATE", 44: "IKE_FOLLOWUP_KE",
}

// String gives IANA's name, "IKE_SA_INIT"; for IKEv1 the RFC's, "Quick Mode".
func (t ExchangeType) String() string { return name(exchangeNames, int(t), 240) }

// Version2 says whether the type is one that IKEv2 assigns.
func (t ExchangeType) Version2() bool { return t >= 34 && known(exchangeNames, int(t)) }

// Version1 says whether the type is one that IKEv1 assigns.
func (t ExchangeType) Version1() bool { return t >= 1 && t <= 6 || t == 32 || t == 33 }

// ProtocolID is a security protocol identifier of IKEv2 (RFC 7296 3.3.1).
type ProtocolID uint8

// The security protocols.
const (
	ProtocolNone       ProtocolID = 0
	ProtocolIKE        ProtocolID = 1
	ProtocolAH         ProtocolID = 2
	ProtocolESP        ProtocolID = 3
	ProtocolFCESP      ProtocolID = 4 // RFC 4595
	ProtocolFCCT       ProtocolID = 5 // RFC 4595
	ProtocolGIKEUpdate ProtocolID = 6 // RFC 9838
)

var protocolNames = []string{
	0: "NONE", 1: "IKE", 2: "AH", 3: "ESP", 4: "FC_ESP_HEADER", 5: "FC_CT_AUTHENTICATION", 6: "GIKE_UPDATE",
}

// String gives IANA's name, "ESP".
func (p ProtocolID) String() string { return name(protocolNames, int(p), 201) }
