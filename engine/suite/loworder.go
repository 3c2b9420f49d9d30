package suite

import (
	"bytes"
	"slices"
)

// lowOrders are all public values of X25519, without the highest bit, which does
// not count, that lead to a shared secret of zeros whatever the private key is
// (RFC 7748 6.1): the coordinates 0, 1, the two of order 8, and p-1, p, p+1 for
// p = 2^255-19, least octet first.
var lowOrders = [][]byte{
	make([]byte, 32),
	slices.Concat([]byte{1}, make([]byte, 31)),
	[]byte("\xe0\xeb\x7a\x7c\x3b\x41\xb8\xae\x16\x56\xe3\xfa\xf1\x9f\xc4\x6a\xda\x09\x8d\xeb\x9c\x32\xb1\xfd\x86\x62\x05\x16\x5f\x49\xb8\x00"),
	[]byte("\x5f\x9c\x95\xbc\xa3\x50\x8c\x24\xb1\xd0\xb1\x55\x9c\x83\xef\x5b\x04\x44\x5c\xc4\x58\x1c\x8e\x86\xd8\x22\x4e\xdd\xd0\x9f\x11\x57"),
	slices.Concat([]byte{0xec}, bytes.Repeat([]byte{0xff}, 30), []byte{0x7f}),
	slices.Concat([]byte{0xed}, bytes.Repeat([]byte{0xff}, 30), []byte{0x7f}),
	slices.Concat([]byte{0xee}, bytes.Repeat([]byte{0xff}, 30), []byte{0x7f}),
}

// lowOrder says whether a public value of X25519, of 32 octets, is one of those.
func lowOrder(peer []byte) bool {
	for _, low := range lowOrders {
		if bytes.Equal(peer[:31], low[:31]) && peer[31]&0x7f == low[31] {
			return true
		}
	}
	return false
}
