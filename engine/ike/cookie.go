package ike

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// cookieLife is how long one secret makes cookies; they are taken for as long
// again.
const cookieLife = time.Minute

// cookies makes and checks cookies without keeping anything of the peers' (RFC
// 7296 2.6): version of the secret | HMAC-SHA2-256(secret, Ni | IPi | SPIi).
type cookies struct {
	version   uint32
	secret    [32]byte
	old       [32]byte
	hasOld    bool
	since     time.Time
	generated bool
}

// turn changes the secret when it is old enough.
func (c *cookies) turn(now time.Time) {
	if c.generated && now.Sub(c.since) < cookieLife {
		return
	}
	// A secret that is older than two lives proves nothing any more.
	c.old, c.hasOld = c.secret, c.generated && now.Sub(c.since) < 2*cookieLife
	_, _ = rand.Read(c.secret[:])
	c.version++
	c.since, c.generated = now, true
}

// make gives the cookie for a request.
func (c *cookies) make(now time.Time, from netip.Addr, spi wire.SPI, ni []byte) []byte {
	c.turn(now)
	return cookie(c.version, &c.secret, from, spi, ni)
}

// check says whether a cookie is one that this side made for such a request.
func (c *cookies) check(now time.Time, b []byte, from netip.Addr, spi wire.SPI, ni []byte) bool {
	c.turn(now)
	if len(b) != 4+sha256.Size {
		return false
	}
	switch binary.BigEndian.Uint32(b) {
	case c.version:
		return hmac.Equal(b, cookie(c.version, &c.secret, from, spi, ni))
	case c.version - 1:
		return c.hasOld && hmac.Equal(b, cookie(c.version-1, &c.old, from, spi, ni))
	}
	return false
}

func cookie(version uint32, secret *[32]byte, from netip.Addr, spi wire.SPI, ni []byte) []byte {
	mac := hmac.New(sha256.New, secret[:])
	a := from.As16()
	mac.Write(ni)
	mac.Write(a[:])
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(spi)))
	return mac.Sum(binary.BigEndian.AppendUint32(nil, version))
}
