package esp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"sync/atomic"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Config is what one direction of a CHILD SA is made from.
type Config struct {
	SPI    wire.ESPSPI
	Cipher *suite.ESPCipher
	// Src and Dst are the selectors of the sender's and the receiver's end.
	Src, Dst []wire.TrafficSelector
	// Transport says that packets go without their IP header. From and To are
	// then the addresses that the receiver puts into a new one.
	Transport bool
	From, To  netip.Addr
	// Window is the size of the anti-replay window, 0 for 64. It is of the
	// receiver alone.
	Window int
}

func (c *Config) check() error {
	switch {
	case c.Cipher == nil:
		return errors.New("ESP SA without a cipher")
	case c.SPI <= 255:
		return fmt.Errorf("ESP SA with SPI %s: 0 to 255 are reserved (RFC 4303 2.1)", c.SPI)
	case len(c.Src) == 0 || len(c.Dst) == 0:
		return fmt.Errorf("ESP SA %s without traffic selectors", c.SPI)
	case c.Transport && (!c.From.IsValid() || !c.To.IsValid() || c.From.Is4() != c.To.Is4()):
		return fmt.Errorf("ESP SA %s in transport mode between %s and %s", c.SPI, c.From, c.To)
	}
	return nil
}

// Out seals packets.
type Out struct {
	Counters
	spi       uint32
	cipher    *suite.ESPCipher
	limit     uint64 // the last sequence number
	seq       atomic.Uint64
	src, dst  []rangeOf
	transport bool
}

// NewOut makes the sending direction of an SA.
func NewOut(c Config) (*Out, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	o := &Out{spi: uint32(c.SPI), cipher: c.Cipher, limit: math.MaxUint32, src: ranges(c.Src), dst: ranges(c.Dst), transport: c.Transport}
	if c.Cipher.ESN() {
		o.limit = math.MaxUint64
	}
	return o, nil
}

// Sequence gives the number of the last packet sealed.
func (o *Out) Sequence() uint64 { return min(o.seq.Load(), o.limit) }

// HeaderLen is how many octets of an ESP packet stand in front of what it
// carries. A packet that already lies that far behind dst's end is sealed
// without being moved, in tunnel mode.
func (o *Out) HeaderLen() int { return o.cipher.HeaderLen() }

// MaxPacket gives the largest inner packet that fits an ESP packet of room
// octets.
func (o *Out) MaxPacket(room int) int {
	n := o.cipher.MaxPayload(room)
	if o.transport {
		n += ipv4Header // at least: the header stays outside
	}
	return n
}

// Covers says whether a packet is one that the SA is for.
func (o *Out) Covers(p *Packet) bool { return covered(o.src, o.dst, p) }

// Seal appends the ESP packet that carries an IP packet, whose header p tells,
// to dst. The error is ErrExhausted, ErrFragment, or one of the cipher.
func (o *Out) Seal(dst, packet []byte, p *Packet) ([]byte, error) {
	payload, next := packet[:p.Length], uint8(protoIPv4)
	switch {
	case o.transport && p.Fragment:
		return dst, ErrFragment
	case o.transport:
		payload, next = packet[p.Header:p.Length], p.Protocol
	case packet[0]>>4 == 6:
		next = protoIPv6
	}
	seq := o.seq.Add(1)
	if seq > o.limit {
		o.seq.Store(o.limit + 1) // no further: it must not wrap
		o.exhaust.Add(1)
		return dst, ErrExhausted
	}
	out, err := o.cipher.Seal(dst, o.spi, seq, payload, next)
	if err != nil {
		return dst, err
	}
	o.carried(p.Length)
	return out, nil
}

// In opens packets.
type In struct {
	Counters
	spi       uint32
	cipher    *suite.ESPCipher
	window    *window
	src, dst  []rangeOf
	transport bool
	from, to  netip.Addr
}

// NewIn makes the receiving direction of an SA.
func NewIn(c Config) (*In, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	w, err := newWindow(c.Window, c.Cipher.ESN())
	if err != nil {
		return nil, err
	}
	return &In{spi: uint32(c.SPI), cipher: c.Cipher, window: w, src: ranges(c.Src), dst: ranges(c.Dst), transport: c.Transport, from: c.From, to: c.To}, nil
}

// Missing is how many packets the peer has sent, by the sequence numbers of
// those that came, and were not accepted: lost on the way, or still on it.
func (i *In) Missing() uint64 { return i.window.missing() }

// HeaderLen is how many octets of an ESP packet stand in front of what it
// carries.
func (i *In) HeaderLen() int { return i.cipher.HeaderLen() }

// Open checks an ESP packet, decrypts it and appends the IP packet that it
// carries to dst. outer is the traffic class octet that it came with. dst must
// not overlap the packet, or be exactly its part behind HeaderLen; in transport
// mode it must not overlap. Every error means that the packet is dropped, and
// was counted.
func (i *In) Open(dst, packet []byte, outer uint8) ([]byte, error) {
	if len(packet) < wire.ESPHeaderLength {
		i.malformed.Add(1)
		return dst, ErrMalformed
	}
	seq, ok := i.window.infer(binary.BigEndian.Uint32(packet[4:]))
	if !ok {
		i.replayed.Add(1)
		return dst, ErrReplay
	}
	start := len(dst)
	if i.transport {
		// Room for the header that goes in front.
		dst = append(dst, make([]byte, i.headerLength())...)
	}
	out, next, err := i.cipher.Open(dst, packet, uint32(seq>>32))
	switch {
	case errors.Is(err, suite.ErrIntegrity):
		i.integrity.Add(1)
		return dst[:start], err
	case err != nil:
		i.malformed.Add(1)
		return dst[:start], fmt.Errorf("%w: %w", ErrMalformed, err)
	case !i.window.accept(seq):
		i.replayed.Add(1)
		return dst[:start], ErrReplay
	}
	n, err := i.inner(out[start:], next, outer)
	if err != nil {
		return out[:start], err
	}
	i.carried(n)
	return out[:start+n], nil
}

// inner judges what came out of an ESP packet, and gives its length.
func (i *In) inner(packet []byte, next, outer uint8) (int, error) {
	if next == protoNoNext {
		i.dummy.Add(1)
		return 0, ErrDummy
	}
	if i.transport {
		i.header(packet, next, outer)
	} else if next != protoIPv4 && next != protoIPv6 || len(packet) > 0 && next == protoIPv4 != (packet[0]>>4 == 4) {
		i.malformed.Add(1)
		return 0, fmt.Errorf("%w: next header %d in tunnel mode", ErrMalformed, next)
	}
	var p Packet
	if err := ParsePacket(packet, &p); err != nil {
		i.malformed.Add(1)
		return 0, err
	}
	if !covered(i.src, i.dst, &p) {
		i.selectors.Add(1)
		return 0, ErrSelectors
	}
	if !i.transport && !decapsulate(packet, p.TOS, outer) {
		i.malformed.Add(1)
		return 0, ErrCongestion
	}
	return p.Length, nil
}

func (i *In) headerLength() int {
	if i.from.Is4() {
		return ipv4Header
	}
	return ipv6Header
}

// header writes the IP header of a packet of transport mode: what the outer
// header was, with the addresses that the SA is between (RFC 4303 3.4, RFC
// 3948 3.1).
func (i *In) header(packet []byte, next, outer uint8) {
	if i.from.Is4() {
		h := packet[:ipv4Header]
		clear(h)
		h[0], h[1], h[8], h[9] = 0x45, outer, 64, next
		binary.BigEndian.PutUint16(h[2:], uint16(len(packet)))
		src, dst := i.from.As4(), i.to.As4()
		copy(h[12:], src[:])
		copy(h[16:], dst[:])
		binary.BigEndian.PutUint16(h[10:], folded(sum(h, 0)))
		return
	}
	h := packet[:ipv6Header]
	clear(h)
	h[0], h[1], h[6], h[7] = 0x60|outer>>4, outer<<4, next, 64
	binary.BigEndian.PutUint16(h[4:], uint16(len(packet)-ipv6Header))
	src, dst := i.from.As16(), i.to.As16()
	copy(h[8:], src[:])
	copy(h[24:], dst[:])
}
