package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"strings"
	"time"
)

// The pcapng blocks that are read; all others are stepped over.
const (
	blockSection    = 0x0a0d0d0a
	blockInterface  = 1
	blockPacket     = 2 // obsolete, still written by old tools
	blockSimple     = 3
	blockStatistics = 5
	blockEnhanced   = 6
)

// The options that are read.
const (
	optEnd        = 0
	optComment    = 1
	optTSResol    = 9  // interface: unit of time
	optTSOffset   = 14 // interface: seconds to add
	optIfDrop     = 5  // statistics: frames the interface lost
	optOSDrop     = 7  // statistics: frames the system lost
	byteOrderMark = 0x1a2b3c4d
)

// Limits that no capture tool comes near.
const (
	maxInterfaces = 4096 // of one section
	maxComment    = 64 << 10
	maxOptions    = 1024 // of one block
)

// lastSecond is the end of the year 9999, beyond which a time has no text
// form. A stamp outside 1970 to 9999 is no time.
const lastSecond = 253402300799

// ngInterface is what an Interface Description Block says.
type ngInterface struct {
	link    LinkType
	snaplen uint32
	units   uint64 // of time in one second
	offset  int64  // seconds
	dropped uint64 // as its last statistics block says
}

// ngReader reads pcapng: sections, each with its own byte order and its own
// interfaces, each with its own link type and clock.
type ngReader struct {
	name string
	win  *window
	out  *emitter

	big        bool
	interfaces []ngInterface
}

func (r *ngReader) u16(b []byte) uint16 {
	v := binary.LittleEndian.Uint16(b)
	if r.big {
		return bits.ReverseBytes16(v)
	}
	return v
}

func (r *ngReader) u32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if r.big {
		return bits.ReverseBytes32(v)
	}
	return v
}

func (r *ngReader) u64(b []byte) uint64 {
	v := binary.LittleEndian.Uint64(b)
	if r.big {
		return bits.ReverseBytes64(v)
	}
	return v
}

// fault is a *FormatError at n octets into the current block.
func (r *ngReader) fault(n int, format string, args ...any) error {
	return &FormatError{File: r.name, Offset: r.win.offset() + int64(n), What: fmt.Sprintf(format, args...)}
}

func (r *ngReader) read() error {
	for {
		// 12 octets are the smallest block, and where the byte order of a
		// section header stands.
		h, err := r.win.peek(12)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return endError(r.name, r.win.offset(), "block header", err)
		}
		kind := r.u32(h)
		if kind == blockSection { // reads the same in both byte orders
			if err := r.order(h); err != nil {
				return err
			}
		}
		total := r.u32(h[4:])
		if total < 12 {
			return r.fault(4, "block says %d octets, the least is 12", total)
		}
		switch kind {
		case blockSection, blockInterface, blockPacket, blockSimple, blockStatistics, blockEnhanced:
		default:
			if err := r.pass((int64(total) + 3) &^ 3); err != nil {
				return err
			}
			continue
		}
		if total > windowSize {
			return r.fault(4, "block of type %d says %d octets, limit is %d", kind, total, windowSize)
		}
		// Some tools leave the padding out of the length.
		n := (int(total) + 3) &^ 3
		b, err := r.win.peek(n)
		if err != nil {
			return endError(r.name, r.win.offset(), "block", err)
		}
		if again := r.u32(b[n-4:]); again != total {
			return r.fault(n-4, "block begins with length %d and ends with length %d", total, again)
		}
		more, err := r.block(kind, b[8:n-4])
		if err != nil || !more {
			return err
		}
		r.win.advance(n)
	}
}

// pass steps over a block that is not read, of any size.
func (r *ngReader) pass(total int64) error {
	start := r.win.offset()
	if err := r.win.skip(total); err != nil {
		return endError(r.name, start, "block", err)
	}
	return nil
}

// order learns the byte order of a section.
func (r *ngReader) order(h []byte) error {
	switch binary.LittleEndian.Uint32(h[8:]) {
	case byteOrderMark:
		r.big = false
	case bits.ReverseBytes32(byteOrderMark):
		r.big = true
	default:
		return r.fault(8, "section header has byte-order mark %x", h[8:12])
	}
	return nil
}

// block reads one block's body. Faults give their place from the start of the
// block, which is 8 octets before the body.
func (r *ngReader) block(kind uint32, b []byte) (more bool, err error) {
	switch kind {
	case blockSection:
		if len(b) < 16 {
			return false, r.fault(4, "section header of %d octets is too short", len(b)+12)
		}
		if major := r.u16(b[4:]); major != 1 {
			return false, r.fault(12, "pcapng version %d.%d, known is 1", major, r.u16(b[6:]))
		}
		r.interfaces = r.interfaces[:0]
		return true, nil
	case blockInterface:
		return true, r.describe(b)
	case blockStatistics:
		r.statistics(b)
		return true, nil
	case blockEnhanced:
		return r.enhanced(b)
	case blockPacket:
		return r.packet(b)
	default:
		return r.simple(b)
	}
}

// options goes through a list of options; a list that is cut or too long ends
// where it does. each returns false to stop.
func (r *ngReader) options(b []byte, each func(code uint16, value []byte) bool) {
	for range maxOptions {
		if len(b) < 4 {
			return
		}
		code, n := r.u16(b), int(r.u16(b[2:]))
		if code == optEnd || 4+n > len(b) {
			return
		}
		if !each(code, b[4:4+n]) {
			return
		}
		b = b[min(4+(n+3)&^3, len(b)):]
	}
}

func (r *ngReader) describe(b []byte) error {
	if len(b) < 8 {
		return r.fault(4, "interface description of %d octets is too short", len(b)+12)
	}
	if len(r.interfaces) == maxInterfaces {
		return r.fault(0, "more than %d interfaces in one section", maxInterfaces)
	}
	in := ngInterface{link: LinkType(r.u16(b)), snaplen: r.u32(b[4:]), units: 1e6}
	var bad error
	r.options(b[8:], func(code uint16, v []byte) bool {
		switch {
		case code == optTSResol && len(v) >= 1:
			units, ok := timeUnits(v[0])
			if !ok {
				bad = r.fault(0, "interface %d counts time in units of %#x, which is finer than 64 bits hold", len(r.interfaces), v[0])
				return false
			}
			in.units = units
		case code == optTSOffset && len(v) >= 8:
			in.offset = int64(r.u64(v))
		}
		return true
	})
	r.interfaces = append(r.interfaces, in)
	return bad
}

// timeUnits reads if_tsresol: a negative power of ten, or of two where the
// highest bit is set.
func timeUnits(v byte) (uint64, bool) {
	if v&0x80 != 0 {
		if v &= 0x7f; v > 63 {
			return 0, false
		}
		return 1 << v, true
	}
	if v > 19 {
		return 0, false
	}
	units := uint64(1)
	for range v {
		units *= 10
	}
	return units, true
}

// when turns a time stamp into a time.
func (in *ngInterface) when(stamp uint64) time.Time {
	sec, frac := stamp/in.units, stamp%in.units
	var nsec uint64
	switch in.units {
	case 1e6:
		nsec = frac * 1000
	case 1e9:
		nsec = frac
	default:
		hi, lo := bits.Mul64(frac, 1e9)
		nsec, _ = bits.Div64(hi, lo, in.units) // frac < units, so the quotient fits
	}
	at := int64(sec&math.MaxInt64) + in.offset
	if at < 0 || at > lastSecond {
		return time.Time{}
	}
	return time.Unix(at, int64(nsec)).UTC()
}

// statistics adds up what was lost before it reached the file.
func (r *ngReader) statistics(b []byte) {
	if len(b) < 12 {
		return
	}
	id := r.u32(b)
	if int64(id) >= int64(len(r.interfaces)) {
		return
	}
	var sum uint64
	r.options(b[12:], func(code uint16, v []byte) bool {
		if (code == optIfDrop || code == optOSDrop) && len(v) >= 8 {
			sum += r.u64(v)
		}
		return true
	})
	// Each block restates the total so far.
	in := &r.interfaces[id]
	if sum > in.dropped && sum < math.MaxInt64 {
		r.out.dropped.Add(int64(sum - in.dropped))
		in.dropped = sum
	}
}

func (r *ngReader) face(id uint32) (*ngInterface, error) {
	if int64(id) >= int64(len(r.interfaces)) {
		return nil, r.fault(8, "frame names interface %d, the section describes %d", id, len(r.interfaces))
	}
	return &r.interfaces[id], nil
}

func (r *ngReader) enhanced(b []byte) (bool, error) {
	if len(b) < 20 {
		return false, r.fault(4, "packet block of %d octets is too short", len(b)+12)
	}
	return r.stamped(r.u32(b), b[4:])
}

// packet reads the obsolete block: it counts drops beside the interface.
func (r *ngReader) packet(b []byte) (bool, error) {
	if len(b) < 20 {
		return false, r.fault(4, "packet block of %d octets is too short", len(b)+12)
	}
	return r.stamped(uint32(r.u16(b)), b[4:])
}

// stamped reads what both blocks go on with: time, lengths, frame, options.
func (r *ngReader) stamped(id uint32, b []byte) (bool, error) {
	in, err := r.face(id)
	if err != nil {
		return false, err
	}
	captured, length := r.u32(b[8:]), r.u32(b[12:])
	if captured > maxFrame {
		return false, r.fault(20, "packet block says %d octets captured, limit is %d", captured, maxFrame)
	}
	n := int(captured)
	if n > len(b)-16 {
		return false, r.fault(20, "packet block says %d octets captured and holds %d", n, len(b)-16)
	}
	f := Frame{
		Time:   in.when(uint64(r.u32(b))<<32 | uint64(r.u32(b[4:]))),
		Link:   in.link,
		Length: max(int(length), n),
		Data:   b[16 : 16+n],
	}
	if rest := b[min(16+(n+3)&^3, len(b)):]; len(rest) >= 4 {
		f.Comment = r.comment(rest)
	}
	return r.out.frame(&f), nil
}

// comment joins the comments among a frame's options, a line each.
func (r *ngReader) comment(b []byte) string {
	var s strings.Builder
	r.options(b, func(code uint16, v []byte) bool {
		if code == optComment && s.Len()+len(v) < maxComment {
			if s.Len() > 0 {
				s.WriteByte('\n')
			}
			s.Write(bytes.TrimRight(v, "\x00"))
		}
		return true
	})
	return s.String()
}

// simple reads a block with neither time nor interface: it is of the first
// interface, and its captured length follows from that one's snap length.
func (r *ngReader) simple(b []byte) (bool, error) {
	if len(b) < 4 {
		return false, r.fault(4, "simple packet block of %d octets is too short", len(b)+12)
	}
	in, err := r.face(0)
	if err != nil {
		return false, err
	}
	length := r.u32(b)
	captured := length
	if in.snaplen > 0 {
		captured = min(captured, in.snaplen)
	}
	if captured > maxFrame {
		return false, r.fault(8, "simple packet block says %d octets captured, limit is %d", captured, maxFrame)
	}
	if int(captured) > len(b)-4 {
		return false, r.fault(8, "simple packet block says %d octets captured and holds %d", captured, len(b)-4)
	}
	f := Frame{Link: in.link, Length: max(int(length), int(captured)), Data: b[4 : 4+captured]}
	return r.out.frame(&f), nil
}
