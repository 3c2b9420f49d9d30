package gen

import (
	"crypto/sha1"
	"encoding/binary"
)

// Numbers of IKEv2 (RFC 7296 section 3) that a synthetic message needs.
const (
	ikeHeader             = 28
	exchangeSAInit        = 34
	exchangeAuth          = 35
	exchangeInformational = 37
	flagInitiator         = 0x08
	flagResponse          = 0x20
	payloadSA             = 33
	payloadKE             = 34
	payloadIDi            = 35
	payloadIDr            = 36
	payloadNonce          = 40
	payloadNotify         = 41
	payloadSK             = 46
	notifyNATSource       = 16388
	notifyNATDestination  = 16389
	notifyFragmentation   = 16430
	notifyHashAlgorithms  = 16431
)

// proposal is one IKE proposal: AES-GCM-16 with 256 bits, HMAC-SHA2-256 as
// PRF, ECP 256 (RFC 7296 section 3.3).
var proposal = []byte{
	0, 0, 0, 36, 1, 1, 0, 3,
	3, 0, 0, 12, 1, 0, 0, 20, 0x80, 14, 1, 0,
	3, 0, 0, 8, 2, 0, 0, 5,
	0, 0, 0, 8, 4, 0, 0, 19,
}

// header begins a message in g.msg.
func (g *generator) header(s *sa, first byte, exchange byte, byInitiator, response bool, id uint32) {
	spir := s.spir
	if exchange == exchangeSAInit && !response {
		spir = 0
	}
	var flags byte
	if byInitiator {
		flags |= flagInitiator
	}
	if response {
		flags |= flagResponse
	}
	m := binary.BigEndian.AppendUint64(g.msg[:0], s.spii)
	m = binary.BigEndian.AppendUint64(m, spir)
	m = append(m, first, 0x20, exchange, flags)
	m = binary.BigEndian.AppendUint32(m, id)
	g.msg = append(m, 0, 0, 0, 0)
}

// finish writes the length into the message's header.
func (g *generator) finish() []byte {
	binary.BigEndian.PutUint32(g.msg[24:], uint32(len(g.msg)))
	return g.msg
}

// payload appends a payload whose body is made of the parts.
func (g *generator) payload(next byte, parts ...[]byte) {
	length := 4
	for _, p := range parts {
		length += len(p)
	}
	g.msg = append(g.msg, next, 0)
	g.msg = binary.BigEndian.AppendUint16(g.msg, uint16(length))
	for _, p := range parts {
		g.msg = append(g.msg, p...)
	}
}

func (g *generator) notify(next byte, kind uint16, data []byte) {
	g.payload(next, []byte{0, 0, byte(kind >> 8), byte(kind)}, data)
}

// randomOctets gives n random octets.
func (g *generator) randomOctets(n int) []byte {
	b := make([]byte, n)
	_, _ = g.source.Read(b) // a ChaCha8 has no end
	return b
}

// saInit builds an IKE_SA_INIT request or response of the size that
// strongSwan's have.
func (g *generator) saInit(s *sa, request bool) []byte {
	src, dst := s.addrI, s.addrR
	if !request {
		src, dst = dst, src
	}
	g.header(s, payloadSA, exchangeSAInit, request, !request, 0)
	g.payload(payloadKE, proposal)
	g.payload(payloadNonce, []byte{0, 19, 0, 0}, g.randomOctets(64))
	g.payload(payloadNotify, g.randomOctets(32))
	spir := s.spir
	if request {
		spir = 0
	}
	g.notify(payloadNotify, notifyNATSource, natHash(s.spii, spir, src))
	g.notify(payloadNotify, notifyNATDestination, natHash(s.spii, spir, dst))
	g.notify(payloadNotify, notifyFragmentation, nil)
	g.notify(0, notifyHashAlgorithms, []byte{0, 2, 0, 3, 0, 4, 0, 5})
	return g.finish()
}

// natHash is the hash of RFC 7296 section 2.23 for port 500.
func natHash(spii, spir uint64, addr [4]byte) []byte {
	b := binary.BigEndian.AppendUint64(nil, spii)
	b = binary.BigEndian.AppendUint64(b, spir)
	b = append(b, addr[:]...)
	b = append(b, 500>>8, 500&0xff)
	h := sha1.Sum(b)
	return h[:]
}

// sealed builds a message that is one SK payload (RFC 7296 section 3.14) of
// random octets. byInitiator says who of the IKE SA sends it; IKE_AUTH is
// begun by the initiator, a liveness check by the responder.
func (g *generator) sealed(s *sa, exchange byte, byInitiator bool, id uint32) []byte {
	response := byInitiator == (exchange == exchangeInformational)
	var inner byte
	size := 8 + 1 + 16 // IV, pad length, ICV: an empty message under AES-GCM
	if exchange == exchangeAuth {
		inner, size = payloadIDi, 220+g.rng.IntN(40)
		if response {
			inner, size = payloadIDr, 170+g.rng.IntN(40)
		}
	}
	g.header(s, payloadSK, exchange, byInitiator, response, id)
	g.payload(inner, g.randomOctets(size))
	return g.finish()
}
