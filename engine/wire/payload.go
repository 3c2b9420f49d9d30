package wire

import "net/netip"

// SA is an IKEv2 Security Association payload (RFC 7296 3.3).
type SA struct {
	Proposals []Proposal
}

// Proposal is one proposal substructure (RFC 7296 3.3.1).
type Proposal struct {
	Reserved   uint8
	Number     uint8
	Protocol   ProtocolID
	SPI        []byte // 0, 4 or 8 octets
	Transforms []Transform
	Offset     int // of the substructure in the message
	Length     int
}

// Transform is one transform substructure (RFC 7296 3.3.2).
type Transform struct {
	Type       TransformType
	ID         uint16
	Attributes []Attribute
	Reserved1  uint8 // the octet after Last Substruc
	Reserved2  uint8 // the octet after Transform Type
	Offset     int
	Length     int
}

// KeyLength gives the Key Length attribute in bits, 0 where there is none
// (RFC 7296 3.3.5).
func (t *Transform) KeyLength() int {
	for i := range t.Attributes {
		if a := &t.Attributes[i]; a.Type == AttrKeyLength && a.Short {
			return int(a.Value)
		}
	}
	return 0
}

// Attribute is a data attribute (RFC 7296 3.3.5, RFC 2408 3.3): a 16-bit
// value in place (Short) or octets of any length.
type Attribute struct {
	Type  uint16 // without the format bit
	Short bool   // type/value format (AF = 1)
	Value uint16 // where Short
	Data  []byte // where not Short
}

// Uint gives the value as a number, be it in place or in up to 8 octets, as
// lifetimes are sent.
func (a *Attribute) Uint() (uint64, bool) {
	if a.Short {
		return uint64(a.Value), true
	}
	if len(a.Data) == 0 || len(a.Data) > 8 {
		return 0, false
	}
	var v uint64
	for _, c := range a.Data {
		v = v<<8 | uint64(c)
	}
	return v, true
}

// KE is a Key Exchange payload (RFC 7296 3.4, RFC 9370).
type KE struct {
	Group    KEMethod
	Reserved uint16
	Data     []byte
}

// ID is an Identification payload, IDi or IDr (RFC 7296 3.5).
type ID struct {
	Type     IDType
	Reserved [3]uint8
	Data     []byte
}

// Cert is a Certificate payload (RFC 7296 3.6).
type Cert struct {
	Encoding CertEncoding
	Data     []byte
}

// CertReq is a Certificate Request payload (RFC 7296 3.7). For X.509 the
// authority is a concatenation of 20-octet SHA-1 hashes of CAs' public keys.
type CertReq struct {
	Encoding  CertEncoding
	Authority []byte
}

// Auth is an Authentication payload (RFC 7296 3.8, RFC 7427).
type Auth struct {
	Method   AuthMethod
	Reserved [3]uint8
	Data     []byte
}

// Nonce is a Nonce payload (RFC 7296 3.9): 16 to 256 octets.
type Nonce struct {
	Data []byte
}

// Notify is a Notify payload (RFC 7296 3.10).
type Notify struct {
	Protocol ProtocolID // 0 where the notify is about no existing SA
	SPI      []byte
	Type     NotifyType
	Data     []byte
}

// Delete is a Delete payload (RFC 7296 3.11).
type Delete struct {
	Protocol ProtocolID
	SPISize  uint8    // 0 for IKE, 4 for ESP and AH
	SPIs     [][]byte // each SPISize octets
	Count    uint16   // the number of SPIs where SPISize is 0, so that SPIs is empty
}

// VendorID is a Vendor ID payload (RFC 7296 3.12).
type VendorID struct {
	Data []byte
}

// TS is a Traffic Selector payload, TSi or TSr (RFC 7296 3.13).
type TS struct {
	Reserved  [3]uint8
	Selectors []TrafficSelector
}

// TrafficSelector is one selector of a TS payload. Ports, Start and End are set
// for the two address types only.
type TrafficSelector struct {
	Type      TSType
	Protocol  uint8 // IP protocol, 0 for any
	StartPort uint16
	EndPort   uint16
	Start     netip.Addr
	End       netip.Addr
	Data      []byte // for other types: all behind type, protocol (or reserved) and length
	Offset    int
	Length    int
}

// Encrypted is the Encrypted payload SK (RFC 7296 3.14). Without keys the
// boundaries of IV, ciphertext and integrity checksum are not known.
type Encrypted struct {
	First PayloadType // type of the first inner payload; 0 where there is none
	Data  []byte      // IV, ciphertext, padding, integrity checksum
}

// Fragment is the Encrypted Fragment payload SKF (RFC 7383 2.5).
type Fragment struct {
	First  PayloadType // type of the first inner payload in fragment 1, 0 in the others
	Number uint16      // 1 to Total
	Total  uint16
	Data   []byte
}

// Config is a Configuration payload CP (RFC 7296 3.15).
type Config struct {
	Type       ConfigType
	Reserved   [3]uint8
	Attributes []ConfigAttribute
}

// ConfigAttribute is one attribute of a CP payload.
type ConfigAttribute struct {
	Type     ConfigAttributeType
	Reserved bool // the bit before the type
	Data     []byte
}

// EAP is an Extensible Authentication payload (RFC 7296 3.16, RFC 3748 4):
// an EAP message.
type EAP struct {
	Code       EAPCode
	Identifier uint8
	Type       EAPType // of a Request or Response with data, else 0
	HasType    bool
	Data       []byte // behind the type
}

// Unknown is a payload of a type without a decoder here.
type Unknown struct {
	Data []byte
}
