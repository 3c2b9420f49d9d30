package dissect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/cloudvlan/cvlanctl/capture/keylog"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// The verdicts of decryption.
const (
	errNoKey    = "no key for this SA"
	errWrongKey = "wrong key: the integrity check failed"
)

// maxCiphers bounds the ciphers that are kept ready, per kind.
const maxCiphers = 65536

// decrypter opens what its keys open.
type decrypter struct {
	tables *keylog.Tables
	ike    map[[2]wire.SPI]*ikeCiphers
	esp    map[espKey]*espCiphers
	v1     v1Keys
	plain  []byte // of the current message
	inner  event.Inner
}

// ikeCiphers are the two directions of an IKE SA, or why there are none.
type ikeCiphers struct {
	initiator, responder *suite.IKECipher
	err                  string
}

// espKey names an ESP SA as the key table does.
type espKey struct {
	src, dst netip.Addr
	spi      wire.ESPSPI
}

// espCiphers are the candidates for one ESP SA.
type espCiphers struct {
	ciphers []*suite.ESPCipher
	high    uint32 // the high half of the sequence number last seen, with ESN
	last    uint32
	err     string
}

func newDecrypter(t *keylog.Tables) *decrypter {
	return &decrypter{
		tables: t,
		ike:    make(map[[2]wire.SPI]*ikeCiphers),
		esp:    make(map[espKey]*espCiphers),
		v1:     newV1Keys(),
	}
}

// open decrypts the SK or SKF payload of the current message, and a set of IKE
// fragments once it is whole.
func (k *decrypter) open(d *Dissector) {
	m := &d.message
	if len(m.Payloads) == 0 {
		return
	}
	last := &m.Payloads[len(m.Payloads)-1]
	var sealed []byte
	var first wire.PayloadType
	var part *wire.Fragment
	switch body := last.Body.(type) {
	case *wire.Encrypted:
		sealed, first = body.Data, body.First
	case *wire.Fragment:
		sealed, part = body.Data, body
	default:
		return
	}
	c := k.ciphersOf(m.InitiatorSPI, m.ResponderSPI)
	if c.err != "" {
		d.ike.DecryptError = c.err
		return
	}
	cipher := c.responder
	if m.Initiator() {
		cipher = c.initiator
	}
	octets := d.packet.Octets
	start := last.Offset + last.Length - len(sealed)
	if start < 0 || start > len(octets) {
		return
	}
	plain, err := cipher.Open(k.plain[:0], octets[:start], sealed)
	if err != nil {
		d.ike.DecryptError = verdict(err)
		return
	}
	k.plain = plain
	if part != nil {
		d.ike.Decrypted = true
		chain, of, done := d.fragments.add(d.setKey(part), part.Number, plain)
		if !done {
			return
		}
		plain, first = chain, of
	}
	d.ike.Decrypted = true
	d.ike.Plain = plain
	d.ike.Inner, d.ike.InnerProblems = wire.ParsePayloads(first, m.Version, plain)
	if d.ike.Inner == nil {
		d.ike.Inner = []wire.Payload{}
	}
}

// verdict says in words why octets could not be opened.
func verdict(err error) string {
	if errors.Is(err, suite.ErrIntegrity) {
		return errWrongKey
	}
	return err.Error()
}

func (k *decrypter) ciphersOf(spiI, spiR wire.SPI) *ikeCiphers {
	id := [2]wire.SPI{spiI, spiR}
	if c := k.ike[id]; c != nil {
		return c
	}
	c := &ikeCiphers{err: errNoKey}
	if keys := k.tables.IKEv2(spiI, spiR); keys != nil {
		c.err = ""
		var err error
		if c.initiator, c.responder, err = keys.Ciphers(); err != nil {
			c.err = "key table: " + err.Error()
		}
	}
	if len(k.ike) >= maxCiphers {
		clear(k.ike)
	}
	k.ike[id] = c
	return c
}

// openESP decrypts the current ESP packet and looks at the packet inside.
func (k *decrypter) openESP(d *Dissector) {
	p := &d.packet
	s := &d.esp
	c := k.espOf(espKey{p.Src, p.Dst, s.SPI})
	if c.err != "" {
		s.DecryptError = c.err
		return
	}
	if p.Truncated {
		s.DecryptError = "the capture cut the packet short"
		return
	}
	var failure error
	for _, cipher := range c.ciphers {
		for _, high := range c.highs(cipher, s.Seq) {
			plain, next, err := cipher.Open(k.plain[:0], p.Octets, high)
			if err != nil {
				if failure == nil || errors.Is(err, suite.ErrIntegrity) {
					failure = err
				}
				continue
			}
			k.plain = plain
			c.high, c.last = high, s.Seq
			s.Decrypted, s.ICVOK, s.NextHeader = true, true, next
			if k.look(next, plain) {
				s.Inner = &k.inner
			}
			return
		}
	}
	s.DecryptError = verdict(failure)
}

// highs gives the high halves that a sequence number may have (RFC 4303 A2):
// the one of the packet before, and after a wrap of the low half the next.
func (c *espCiphers) highs(cipher *suite.ESPCipher, seq uint32) []uint32 {
	switch {
	case !cipher.ESN():
		return []uint32{0}
	case seq < c.last && c.last-seq > 1<<31:
		return []uint32{c.high + 1, c.high}
	case seq > c.last && seq-c.last > 1<<31 && c.high > 0:
		return []uint32{c.high - 1, c.high}
	}
	return []uint32{c.high, c.high + 1}
}

func (k *decrypter) espOf(id espKey) *espCiphers {
	if c := k.esp[id]; c != nil {
		return c
	}
	c := &espCiphers{err: errNoKey}
	for _, keys := range k.tables.ESP(id.src, id.dst, id.spi) {
		cipher, err := keys.Cipher()
		if err != nil {
			if len(c.ciphers) == 0 {
				c.err = "key table: " + err.Error()
			}
			continue
		}
		c.err = ""
		c.high = keys.High
		c.ciphers = append(c.ciphers, cipher)
	}
	if len(k.esp) >= maxCiphers {
		clear(k.esp)
	}
	k.esp[id] = c
	return c
}

// look reads the header of the packet inside an ESP packet, one level deep; it
// says false where there is nothing to tell (a dummy packet, RFC 4303 2.6).
func (k *decrypter) look(next uint8, b []byte) bool {
	in := event.Inner{Protocol: next, Length: len(b)}
	switch next {
	case 4:
		if len(b) < 20 {
			return false
		}
		n := int(b[0]&15) * 4
		in.Src, in.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		in.Protocol = b[9]
		in.Length = int(binary.BigEndian.Uint16(b[2:]))
		if n < 20 || n > len(b) || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			b = nil
		} else {
			b = b[n:]
		}
	case 41:
		if len(b) < 40 {
			return false
		}
		in.Src, in.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		in.Protocol = b[6]
		in.Length = 40 + int(binary.BigEndian.Uint16(b[4:]))
		b = b[40:]
	case 59:
		return false
	}
	if (in.Protocol == 6 || in.Protocol == 17) && len(b) >= 4 {
		in.SrcPort, in.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	}
	k.inner = in
	return true
}

// String keeps keys out of every print.
func (k *decrypter) String() string {
	ikev2, _, esp := k.tables.Len()
	return fmt.Sprintf("keys of %d IKE SAs and %d ESP SAs", ikev2, esp)
}
