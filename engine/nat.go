package engine

import (
	"crypto/sha1" // RFC 7296 2.23 fixes it
	"encoding/binary"
	"net/netip"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// NATHash computes the data of a NAT_DETECTION notify (RFC 7296 2.23): 20
// octets. spiR is 0 in the first request of an IKE SA.
func NATHash(spiI, spiR wire.SPI, a netip.AddrPort) []byte {
	var room [8 + 8 + 16 + 2]byte
	sum := sha1.Sum(AppendNATInput(room[:0], spiI, spiR, a))
	return sum[:]
}

// AppendNATInput appends what NAT detection hashes: SPIs, address and port
// (RFC 7296 2.23, and with another hash function RFC 3947 3.2).
func AppendNATInput(b []byte, spiI, spiR wire.SPI, a netip.AddrPort) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(spiI))
	b = binary.BigEndian.AppendUint64(b, uint64(spiR))
	if addr := a.Addr(); addr.Is4() {
		four := addr.As4()
		b = append(b, four[:]...)
	} else {
		sixteen := addr.As16()
		b = append(b, sixteen[:]...)
	}
	return binary.BigEndian.AppendUint16(b, a.Port())
}
