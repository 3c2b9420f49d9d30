package wire

import (
	"encoding/binary"
	"fmt"
)

// ESPHeaderLength is the length in octets of what an ESP packet shows in the
// clear (RFC 4303 2).
const ESPHeaderLength = 8

// minESPLength is the header and the shortest trailer: padding to 4 octets
// with pad length and next header. ESP with NULL encryption and an empty dummy
// packet has no more.
const minESPLength = ESPHeaderLength + 4

// ESP is an ESP packet as seen without keys (RFC 4303 2).
type ESP struct {
	SPI      ESPSPI
	Sequence uint32 // the low 32 bits where sequence numbers are extended
	Data     []byte // IV, ciphertext, padding, integrity checksum
}

// ParseESP reads an ESP packet: what follows the IP header of protocol 50, or
// a UDP datagram that ClassifyUDP calls UDPESP. The error says that the packet
// is too short or that its SPI is one that no SA has.
func ParseESP(b []byte) (ESP, error) {
	if len(b) < minESPLength {
		return ESP{}, fmt.Errorf("ESP packet of %d octets, at least %d are needed (RFC 4303 2)", len(b), minESPLength)
	}
	e := ESP{
		SPI:      ESPSPI(binary.BigEndian.Uint32(b)),
		Sequence: binary.BigEndian.Uint32(b[4:]),
		Data:     b[ESPHeaderLength:],
	}
	if e.SPI == 0 {
		return e, fmt.Errorf("ESP packet with SPI 0, which is never sent (RFC 4303 2.1)")
	}
	return e, nil
}

// AppendESPHeader appends SPI and sequence number.
func AppendESPHeader(dst []byte, spi ESPSPI, sequence uint32) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(spi))
	return binary.BigEndian.AppendUint32(dst, sequence)
}

// ahFixedLength is the length in octets of AH without its ICV.
const ahFixedLength = 12

// AH is an Authentication Header (RFC 4302 2).
type AH struct {
	NextHeader uint8 // IP protocol of what follows
	Length     int   // octets of the whole header
	Reserved   uint16
	SPI        ESPSPI
	Sequence   uint32
	ICV        []byte // with its padding: to 4 octets in IPv4, to 8 in IPv6
	Payload    []byte // what follows the header
}

// ParseAH reads an Authentication Header from the front of b. The error says
// that b ends before the header does; what was readable is set.
func ParseAH(b []byte) (AH, error) {
	if len(b) < ahFixedLength {
		return AH{}, fmt.Errorf("authentication header of %d octets, at least %d are needed (RFC 4302 2)", len(b), ahFixedLength)
	}
	a := AH{
		NextHeader: b[0],
		Length:     (int(b[1]) + 2) * 4,
		Reserved:   binary.BigEndian.Uint16(b[2:]),
		SPI:        ESPSPI(binary.BigEndian.Uint32(b[4:])),
		Sequence:   binary.BigEndian.Uint32(b[8:]),
	}
	if a.Length < ahFixedLength || a.Length > len(b) {
		return a, fmt.Errorf("authentication header says %d octets, %d are there (RFC 4302 2.2)", a.Length, len(b))
	}
	a.ICV = b[ahFixedLength:a.Length]
	a.Payload = b[a.Length:]
	return a, nil
}
