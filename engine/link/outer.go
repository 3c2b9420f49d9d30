package link

import (
	"encoding/binary"
	"net/netip"
)

// The numbers of IP protocols that raw sockets are of.
const (
	protocolESP = 50
	// protocolAny is that of a socket that packets are written to with their IP
	// headers, and from which nothing can be read.
	protocolAny = 255
)

// The octets of headers in front of ESP, without options.
const (
	header4   = 20
	header6   = 40
	udpHeader = 8
	hops      = 64 // that a packet may take
)

// outerHeader makes the IP header of packets that carry ESP and go to a raw
// socket. The system fills in the checksum of IPv4. They must not be fragmented:
// what does not fit is answered inside the tunnel.
func outerHeader(from, to netip.Addr) []byte {
	if to.Is4() {
		h := make([]byte, header4)
		h[0], h[6], h[8], h[9] = 4<<4|header4/4, 0x40, hops, protocolESP
		copy(h[12:], from.AsSlice())
		copy(h[16:], to.AsSlice())
		return h
	}
	h := make([]byte, header6)
	h[0], h[6], h[7] = 6<<4, protocolESP, hops
	copy(h[8:], from.AsSlice())
	copy(h[24:], to.AsSlice())
	return h
}

// completeOuter writes length and traffic class into the IP header of a packet.
func completeOuter(packet []byte, tos uint8) {
	if packet[0]>>4 == 4 {
		packet[1] = tos
		binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
		return
	}
	packet[0], packet[1] = 6<<4|tos>>4, tos<<4
	binary.BigEndian.PutUint16(packet[4:], uint16(len(packet)-header6))
}
