package wire

import "encoding/binary"

// The UDP ports of IKE (RFC 7296 2, RFC 3948) and the TCP port (RFC 9329).
const (
	PortIKE  = 500
	PortNATT = 4500
)

// NonESPMarkerLength is the length of the zero octets that stand before an IKE
// message on UDP port 4500 and in a TCP stream (RFC 3948 2.2, RFC 9329 3).
const NonESPMarkerLength = 4

// UDPKind is what a UDP payload between IPsec peers is.
type UDPKind uint8

// The kinds of UDP payload.
const (
	UDPUnknown   UDPKind = iota // too short to be anything
	UDPIKE                      // an IKE message from the first octet
	UDPIKEMarked                // an IKE message behind the non-ESP marker
	UDPESP                      // an ESP packet
	UDPKeepalive                // one octet 0xff
)

var udpKindNames = []string{"unknown", "ike", "ike-natt", "esp", "natt-keepalive"}

// String gives "ike-natt".
func (k UDPKind) String() string { return name(udpKindNames, int(k), 0) }

// ClassifyUDP says what a UDP payload is and gives the octets of the IKE
// message or ESP packet in it, without the non-ESP marker. natt says that one
// of the ports is 4500 (or that the flow is known to be UDP-encapsulated),
// where ESP and IKE share the port and the marker tells them apart (RFC 3948
// 2). On other ports everything but a keepalive is IKE.
func ClassifyUDP(payload []byte, natt bool) (UDPKind, []byte) {
	if len(payload) == 1 && payload[0] == 0xff {
		return UDPKeepalive, nil
	}
	if !natt {
		if len(payload) == 0 {
			return UDPUnknown, nil
		}
		return UDPIKE, payload
	}
	if len(payload) < NonESPMarkerLength {
		return UDPUnknown, nil
	}
	if binary.BigEndian.Uint32(payload) == 0 {
		return UDPIKEMarked, payload[NonESPMarkerLength:]
	}
	return UDPESP, payload
}

// AppendMarked appends the non-ESP marker and an IKE message, the form of UDP
// port 4500.
func AppendMarked(dst, message []byte) []byte {
	return append(append(dst, 0, 0, 0, 0), message...)
}

// TCPPrefix is what the initiator sends first in a TCP stream of IKE and ESP
// (RFC 9329 4).
const TCPPrefix = "IKETCP"

// TCPLengthOctets is the size of the length before each message in the TCP
// stream; the length counts itself (RFC 9329 3).
const TCPLengthOctets = 2

// NextTCP takes one message from the front of a TCP stream behind its prefix:
// its kind (UDPIKEMarked, UDPESP or UDPKeepalive), its octets without length
// and marker, and the octets of the stream that it took, which are 0 where the
// message is not complete. A length under 2 cannot be followed any further:
// the kind is then UDPUnknown and taken is the length field, and the stream is
// lost.
func NextTCP(stream []byte) (kind UDPKind, message []byte, taken int) {
	if len(stream) < TCPLengthOctets {
		return UDPUnknown, nil, 0
	}
	n := int(binary.BigEndian.Uint16(stream))
	if n < TCPLengthOctets {
		return UDPUnknown, nil, TCPLengthOctets
	}
	if n > len(stream) {
		return UDPUnknown, nil, 0
	}
	kind, message = ClassifyUDP(stream[TCPLengthOctets:n], true)
	return kind, message, n
}
