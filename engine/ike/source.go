package ike

import (
	"crypto/rand"
	"encoding/binary"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Source gives what has to be unpredictable and yet be settable in tests:
// nonces decide who wins a collision (RFC 7296 2.8.1). Key exchanges and
// ciphers do not use it: their randomness is always crypto/rand's.
type Source interface {
	Nonce() []byte        // 16 to 256 octets (RFC 7296 2.10)
	IKESPI() wire.SPI     // not 0
	ESPSPI() wire.ESPSPI  // not 0 to 255
	Jitter(n int64) int64 // 0 to n-1
}

// nonceOctets is the length of our nonces: at least half the key size of any
// PRF (RFC 7296 2.10).
const nonceOctets = 32

// randomSource is crypto/rand, whose Read never fails.
type randomSource struct{}

func (randomSource) Nonce() []byte {
	b := make([]byte, nonceOctets)
	_, _ = rand.Read(b)
	return b
}

func (randomSource) IKESPI() wire.SPI {
	for {
		if spi := wire.SPI(random64()); spi != 0 {
			return spi
		}
	}
}

func (randomSource) ESPSPI() wire.ESPSPI {
	for {
		if spi := wire.ESPSPI(random64()); spi > 255 {
			return spi
		}
	}
}

func (randomSource) Jitter(n int64) int64 {
	if n <= 0 {
		return 0
	}
	return int64(random64()>>1) % n
}

func random64() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}
