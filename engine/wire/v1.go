package wire

import "net/netip"

// The bodies of IKEv1 payloads. They are for reading: Append writes back the
// octets that Parse saw, whatever the fields say.

// V1SA is a Security Association payload of IKEv1 (RFC 2408 3.4).
type V1SA struct {
	DOI       V1DOI
	Situation uint32
	Proposals []V1Proposal
	raw       []byte
}

// V1Proposal is a Proposal payload (RFC 2408 3.5).
type V1Proposal struct {
	Number     uint8
	Protocol   V1ProtocolID
	SPI        []byte
	Transforms []V1Transform
	Offset     int // of its generic header in the message
	Length     int
}

// V1Transform is a Transform payload (RFC 2408 3.6).
type V1Transform struct {
	Number     uint8
	ID         uint8
	Attributes []Attribute
	Offset     int
	Length     int
}

// V1KE is a Key Exchange payload (RFC 2408 3.7).
type V1KE struct{ Data []byte }

// V1ID is an Identification payload (RFC 2407 4.6.2).
type V1ID struct {
	Type     V1IDType
	Protocol uint8  // IP protocol, 0 for any
	Port     uint16 // 0 for any
	Data     []byte
	raw      []byte
}

// V1Cert is a Certificate payload (RFC 2408 3.9).
type V1Cert struct {
	Encoding CertEncoding
	Data     []byte
	raw      []byte
}

// V1CertReq is a Certificate Request payload (RFC 2408 3.10): for X.509 the
// authority is a DER distinguished name, empty for any.
type V1CertReq struct {
	Encoding  CertEncoding
	Authority []byte
	raw       []byte
}

// V1Hash is a Hash payload (RFC 2408 3.11).
type V1Hash struct{ Data []byte }

// V1Sig is a Signature payload (RFC 2408 3.12).
type V1Sig struct{ Data []byte }

// V1Notify is a Notification payload (RFC 2408 3.14).
type V1Notify struct {
	DOI      V1DOI
	Protocol V1ProtocolID
	SPI      []byte
	Type     V1NotifyType
	Data     []byte
	raw      []byte
}

// V1Delete is a Delete payload (RFC 2408 3.15).
type V1Delete struct {
	DOI      V1DOI
	Protocol V1ProtocolID
	SPISize  uint8
	SPIs     [][]byte
	raw      []byte
}

// V1Attributes is an Attributes payload: mode configuration and XAUTH.
type V1Attributes struct {
	Type       ConfigType
	Identifier uint16
	Attributes []Attribute // numbered as ConfigAttributeType
	raw        []byte
}

// V1NATD is a NAT-D payload (RFC 3947 3.2): a hash over cookies, address and
// port.
type V1NATD struct{ Data []byte }

// V1NATOA is a NAT-OA payload (RFC 3947 5.2): the sender's address before
// translation.
type V1NATOA struct {
	Type    V1IDType
	Address netip.Addr // the zero Addr where the type is no address
	raw     []byte
}

// V1Fragment is a piece of an IKEv1 message, in the form that several vendors
// share and no RFC describes.
type V1Fragment struct {
	ID     uint16
	Number uint8 // from 1
	Last   bool
	Data   []byte // of a whole IKE message with its header
	raw    []byte
}

// V1Encrypted is all behind the header of an IKEv1 message with the encryption
// flag. Its payload has no generic header on the wire: Offset and Length span
// the ciphertext and Type is the header's NextPayload, the type of the first
// payload inside.
type V1Encrypted struct {
	First PayloadType
	Data  []byte
}

func (p *V1SA) appendBody(b []byte) []byte         { return append(b, p.raw...) }
func (p *V1KE) appendBody(b []byte) []byte         { return append(b, p.Data...) }
func (p *V1ID) appendBody(b []byte) []byte         { return append(b, p.raw...) }
func (p *V1Cert) appendBody(b []byte) []byte       { return append(b, p.raw...) }
func (p *V1CertReq) appendBody(b []byte) []byte    { return append(b, p.raw...) }
func (p *V1Hash) appendBody(b []byte) []byte       { return append(b, p.Data...) }
func (p *V1Sig) appendBody(b []byte) []byte        { return append(b, p.Data...) }
func (p *V1Notify) appendBody(b []byte) []byte     { return append(b, p.raw...) }
func (p *V1Delete) appendBody(b []byte) []byte     { return append(b, p.raw...) }
func (p *V1Attributes) appendBody(b []byte) []byte { return append(b, p.raw...) }
func (p *V1NATD) appendBody(b []byte) []byte       { return append(b, p.Data...) }
func (p *V1NATOA) appendBody(b []byte) []byte      { return append(b, p.raw...) }
func (p *V1Fragment) appendBody(b []byte) []byte   { return append(b, p.raw...) }
func (p *V1Encrypted) appendBody(b []byte) []byte  { return append(b, p.Data...) }

// v1Sealed gives the ciphertext of an encrypted IKEv1 message.
func (m *Message) v1Sealed() (*V1Encrypted, bool) {
	if m.Version.Major() != 1 || len(m.Payloads) != 1 {
		return nil, false
	}
	e, ok := m.Payloads[0].Body.(*V1Encrypted)
	return e, ok
}

// Sealed says whether the message carries encrypted payloads, and the type of
// the first of them, which stands in the clear (PayloadNone for a protected
// message without payloads, and in IKE fragments other than the first).
func (m *Message) Sealed() (first PayloadType, ok bool) {
	if n := len(m.Payloads); n > 0 {
		switch body := m.Payloads[n-1].Body.(type) {
		case *Encrypted:
			return body.First, true
		case *Fragment:
			return body.First, true
		case *V1Encrypted:
			return body.First, true
		}
	}
	return PayloadNone, false
}
