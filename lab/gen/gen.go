// Package gen writes synthetic captures of any length for benchmarks: many
// IKEv2 SAs side by side, each with its IKE_SA_INIT pair, its encrypted
// exchanges and UDP-encapsulated ESP in both directions.
//
// Contract: the same Options give the same octets. What can be read without
// keys is well-formed and consistent (SPIs, message ids, NAT detection hashes,
// sequence numbers, checksums); what would be encrypted is random. Memory does
// not grow with the number of frames. The package builds its octets by itself,
// so that a fault of the decoder under test is not a fault of its input too.
package gen

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// Options say what to write.
type Options struct {
	Frames int64  // how many frames; at least 1
	SAs    int    // IKE SAs alive at once, 1 to 65536; 200 where zero
	Seed   uint64 // another seed gives another capture of the same kind
}

// Limits of Options.SAs.
const (
	DefaultSAs = 200
	MaxSAs     = 1 << 16
)

// ErrOptions is returned, wrapped, for options out of range.
var ErrOptions = errors.New("options out of range")

// An SA's life is a fixed number of frames, which makes the mix exact:
// 2 % IKE_SA_INIT, 18 % encrypted IKE, 80 % ESP.
const (
	lifeFrames  = 100
	initFrames  = 2
	authFrames  = 2
	checkFrames = 12 // from one liveness check of the responder to the next
)

// Write writes a capture as a pcap file with Ethernet frames and microseconds.
func Write(w io.Writer, opt Options) error {
	if opt.SAs == 0 {
		opt.SAs = DefaultSAs
	}
	if opt.Frames < 1 || opt.SAs < 1 || opt.SAs > MaxSAs {
		return fmt.Errorf("%d frames, %d SAs: %w", opt.Frames, opt.SAs, ErrOptions)
	}
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], opt.Seed)
	source := rand.NewChaCha8(seed)
	g := &generator{source: source, rng: rand.New(source), sas: make([]sa, opt.SAs),
		now: time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)}
	out := bufio.NewWriterSize(w, 1<<20)
	if _, err := out.Write(pcapHeader()); err != nil {
		return fmt.Errorf("writing capture: %w", err)
	}
	for range opt.Frames {
		if _, err := out.Write(g.frame()); err != nil {
			return fmt.Errorf("writing capture: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing capture: %w", err)
	}
	return nil
}

// sa is one IKE SA with its child.
type sa struct {
	step         int
	spii, spir   uint64
	espI, espR   uint32 // SPI that the initiator receives on, and the responder
	seqI, seqR   uint32 // last sequence number sent by each
	addrI, addrR [4]byte
	large        bool // carries bulk data rather than small packets
}

type generator struct {
	source *rand.ChaCha8
	rng    *rand.Rand
	sas    []sa
	now    time.Time
	buf    []byte
	msg    []byte
}

// frame builds the next frame, with its pcap header. It is valid until the
// next call.
func (g *generator) frame() []byte {
	g.now = g.now.Add(time.Duration(20+g.rng.IntN(60)) * time.Microsecond)
	n := g.rng.IntN(len(g.sas))
	s := &g.sas[n]
	if s.step == 0 {
		g.begin(s, n)
	}
	step := s.step
	s.step = (s.step + 1) % lifeFrames
	check := step % checkFrames
	switch {
	case step < initFrames:
		return g.ikeFrame(s, step == 0, 500, g.saInit(s, step == 0))
	case step < initFrames+authFrames:
		return g.ikeFrame(s, step == initFrames, 4500, g.sealed(s, exchangeAuth, step == initFrames, 1))
	case check >= checkFrames-2: // request and response
		answer := check == checkFrames-1
		return g.ikeFrame(s, answer, 4500, g.sealed(s, exchangeInformational, answer, uint32(step/checkFrames)))
	}
	return g.espFrame(s, step%2 == 0)
}

// begin gives a slot a new SA. The initiator's address stays with the slot.
func (g *generator) begin(s *sa, slot int) {
	*s = sa{
		spii: g.rng.Uint64() | 1, spir: g.rng.Uint64() | 1,
		espI: 0xc0000000 | g.rng.Uint32()>>4, espR: 0xc0000000 | g.rng.Uint32()>>4,
		addrI: [4]byte{198, 18, byte(slot >> 8), byte(slot)}, addrR: [4]byte{198, 19, 0, byte(slot % 4)},
		large: g.rng.IntN(2) == 0,
	}
}

// espSizes are lengths of ESP packets from SPI to ICV: what AES-GCM makes of
// small inner packets, and of full ones.
var (
	espSmall = []int{84, 92, 120, 132, 180, 256}
	espLarge = []int{92, 1420, 1420, 1420}
)

func (g *generator) espFrame(s *sa, toResponder bool) []byte {
	spi, seq := s.espI, &s.seqR
	if toResponder {
		spi, seq = s.espR, &s.seqI
	}
	*seq++
	sizes := espSmall
	if s.large {
		sizes = espLarge
	}
	size := sizes[g.rng.IntN(len(sizes))]
	g.start(s, toResponder, 4500, size, false)
	g.buf = binary.BigEndian.AppendUint32(g.buf, spi)
	g.buf = binary.BigEndian.AppendUint32(g.buf, *seq)
	g.random(size - 8)
	return g.buf
}

func (g *generator) ikeFrame(s *sa, toResponder bool, port uint16, message []byte) []byte {
	size := len(message)
	if port == 4500 {
		size += 4 // the non-ESP marker, RFC 3948 section 2.2
	}
	g.start(s, toResponder, port, size, true)
	if port == 4500 {
		g.buf = append(g.buf, 0, 0, 0, 0)
	}
	g.buf = append(g.buf, message...)
	g.checksumUDP()
	return g.buf
}

// random appends n random octets.
func (g *generator) random(n int) {
	at := len(g.buf)
	g.buf = append(g.buf, make([]byte, n)...)
	// Read never fails: a ChaCha8 has no end.
	_, _ = g.source.Read(g.buf[at:])
}
