// Package wire turns octets into IKE messages and back: the IKEv2 header and
// payloads (RFC 7296 and its extensions), IKEv1 for reading only (RFC 2408,
// 2409), the ESP and AH headers, the framing of UDP port 4500 (RFC 3948), the
// grammar of every exchange, and IANA's names for every number in them.
//
// Contract: Parse returns all that it understood, even when it fails, and
// lists each deviation as a Problem with its offset and RFC section; a reader
// of captures shows everything, an engine refuses what has a fatal Problem.
// Whatever Parse accepts, Append writes back octet for octet: unknown
// payloads, transforms and attributes, their order, and reserved bits are
// kept. Byte slices in a Message alias the octets given to Parse. The package
// imports the standard library only and contains no cryptography.
package wire

import "fmt"

// HeaderLength is the length of the IKE header in octets (RFC 7296 3.1).
const HeaderLength = 28

// SPI is an IKE SA's Security Parameter Index, 8 octets in network order.
type SPI uint64

// String gives 16 lower-case hexadecimal digits.
func (s SPI) String() string { return fmt.Sprintf("%016x", uint64(s)) }

// ESPSPI is the Security Parameter Index of an ESP or AH SA, 4 octets.
type ESPSPI uint32

// String gives 8 lower-case hexadecimal digits.
func (s ESPSPI) String() string { return fmt.Sprintf("%08x", uint32(s)) }

// Version is the version octet of the IKE header: major in the high four bits,
// minor in the low four.
type Version uint8

// The versions in use.
const (
	Version1 Version = 0x10 // RFC 2408
	Version2 Version = 0x20 // RFC 7296
)

// Major gives the major version.
func (v Version) Major() int { return int(v >> 4) }

// Minor gives the minor version.
func (v Version) Minor() int { return int(v & 15) }

// String gives "2.0".
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major(), v.Minor()) }

// Flags is the flags octet of the IKE header.
type Flags uint8

// The flags of IKEv2 (RFC 7296 3.1) and IKEv1 (RFC 2408 3.1).
const (
	FlagInitiator Flags = 0x08 // the sender is the original initiator of the IKE SA
	FlagVersion   Flags = 0x10 // the sender could speak a higher major version
	FlagResponse  Flags = 0x20 // answers the request with the same message id

	FlagV1Encrypted Flags = 0x01
	FlagV1Commit    Flags = 0x02
	FlagV1AuthOnly  Flags = 0x04
)

// Header is the IKE header (RFC 7296 3.1, RFC 2408 3.1).
type Header struct {
	InitiatorSPI SPI
	ResponderSPI SPI
	NextPayload  PayloadType // type of the first payload
	Version      Version
	Exchange     ExchangeType
	Flags        Flags
	MessageID    uint32
	Length       uint32 // octets of the whole message, header included
}

// Initiator says whether the sender is the original initiator of the IKE SA.
func (h *Header) Initiator() bool { return h.Flags&FlagInitiator != 0 }

// Response says whether the message answers a request. It is meaningless for
// IKEv1.
func (h *Header) Response() bool { return h.Flags&FlagResponse != 0 }

// Message is one IKE message, parsed or to be sent.
type Message struct {
	Header
	Payloads []Payload
	Padding  []byte    // IKEv1 only: octets behind the last payload but inside Length
	Trailing []byte    // octets of the datagram behind Length
	Problems []Problem // deviations found by Parse, in order of their offset

	pools pools // bodies for the next Decode
}

// Payload is one payload with its generic header (RFC 7296 3.2).
type Payload struct {
	Type     PayloadType
	Next     PayloadType // as on the wire; for SK and SKF the type of the first inner payload
	Critical bool
	Reserved uint8 // the seven reserved bits after the critical bit
	Offset   int   // from the first octet of the message (or of the decrypted chain), generic header included
	Length   int   // octets, generic header included
	Body     Body  // never nil after Parse
}

// Body is the content of a payload behind its generic header: one of the
// pointer types of this package (*SA, *KE, *ID, *Cert, *CertReq, *Auth,
// *Nonce, *Notify, *Delete, *VendorID, *TS, *Encrypted, *Fragment, *Config,
// *EAP, *Unknown, and for IKEv1 *V1SA, *V1KE, *V1ID, *V1Cert, *V1CertReq,
// *V1Hash, *V1Sig, *Nonce, *V1Notify, *V1Delete, *VendorID, *V1Attributes,
// *V1NATD, *V1NATOA, *V1Fragment, *V1Encrypted).
type Body interface {
	// appendBody appends the octets behind the generic header.
	appendBody(b []byte) []byte
}

// First gives the first payload of type t, nil where there is none.
func (m *Message) First(t PayloadType) *Payload { return First(m.Payloads, t) }

// First gives the first payload of type t in a chain, nil where there is none.
func First(ps []Payload, t PayloadType) *Payload {
	for i := range ps {
		if ps[i].Type == t {
			return &ps[i]
		}
	}
	return nil
}

// FindNotify gives the first Notify of type t in a chain of IKEv2 payloads,
// nil where there is none.
func FindNotify(ps []Payload, t NotifyType) *Notify {
	for i := range ps {
		if n, ok := ps[i].Body.(*Notify); ok && n.Type == t {
			return n
		}
	}
	return nil
}

// Problem is one deviation from the protocol, found while parsing. It is an
// error.
type Problem struct {
	Offset  int         // octets from the start of the message
	Payload PayloadType // the payload that it stands in, 0 for the header
	Fatal   bool        // an engine must refuse the message
	What    string      // "payload length 3 is shorter than its header"
	RFC     string      // "RFC 7296 3.2"
	Notify  NotifyType  // the error to answer with, 0 where none applies
}

// Error says what, where and by which RFC.
func (p *Problem) Error() string {
	where := "header"
	if p.Payload != 0 {
		where = p.Payload.String() + " payload"
	}
	return fmt.Sprintf("%s at octet %d: %s (%s)", where, p.Offset, p.What, p.RFC)
}
