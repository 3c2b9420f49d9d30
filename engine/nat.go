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
	b := make([]byte, 0, 34)
	b = binary.BigEndian.AppendUint64(b, uint64(spiI))
	b = binary.BigEndian.AppendUint64(b, uint64(spiR))
	b = append(b, a.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, a.Port())
	sum := sha1.Sum(b)
	return sum[:]
}
