package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"time"
)

// pcapVariant is what the magic number of a pcap file says.
type pcapVariant struct {
	big   bool  // big endian
	unit  int64 // nanoseconds in one unit of the fraction of a second
	extra int   // octets of a frame header beyond the usual 16
}

// pcapMagics maps the first four octets, read little endian.
var pcapMagics = map[uint32]pcapVariant{
	0xa1b2c3d4: {unit: 1000},
	0xd4c3b2a1: {unit: 1000, big: true},
	0xa1b23c4d: {unit: 1},
	0x4d3cb2a1: {unit: 1, big: true},
	// Written by an old patched libpcap: interface index, protocol and
	// packet type follow the usual frame header.
	0xa1b2cd34: {unit: 1000, extra: 8},
	0x34cdb2a1: {unit: 1000, extra: 8, big: true},
}

const (
	pcapFileHeader  = 24
	pcapFrameHeader = 16
)

// pcapReader reads the classic format.
type pcapReader struct {
	name string
	win  *window
	out  *emitter
	pcapVariant
}

func (r *pcapReader) u16(b []byte) uint16 {
	v := binary.LittleEndian.Uint16(b)
	if r.big {
		return bits.ReverseBytes16(v)
	}
	return v
}

func (r *pcapReader) u32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if r.big {
		return bits.ReverseBytes32(v)
	}
	return v
}

func (r *pcapReader) read() error {
	h, err := r.win.peek(pcapFileHeader)
	if err != nil {
		return endError(r.name, 0, "file header", err)
	}
	major, minor := r.u16(h[4:]), r.u16(h[6:])
	if major != 2 {
		return &FormatError{File: r.name, Offset: 4, What: fmt.Sprintf("pcap version %d.%d, known is 2", major, minor)}
	}
	// The upper half of the field tells of a frame check sequence; what
	// follows the IP packet is of no interest here.
	f := Frame{Link: LinkType(r.u32(h[20:]) & 0xffff)}
	r.win.advance(pcapFileHeader)

	size := pcapFrameHeader + r.extra
	for {
		h, err := r.win.peek(size)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return endError(r.name, r.win.offset(), "frame header", err)
		}
		sec, frac := r.u32(h), r.u32(h[4:])
		captured, length := r.u32(h[8:]), r.u32(h[12:])
		// Until version 2.3 the two lengths stood in the other order, and in
		// 2.3 in either.
		if minor < 3 || minor == 3 && captured > length {
			captured, length = length, captured
		}
		if captured > maxFrame {
			return &FormatError{File: r.name, Offset: r.win.offset() + 8,
				What: fmt.Sprintf("frame header says %d octets, limit is %d", captured, maxFrame)}
		}
		n := int(captured)
		b, err := r.win.peek(size + n)
		if err != nil {
			return endError(r.name, r.win.offset(), "frame", err)
		}
		f.Time = time.Unix(int64(sec), int64(frac)*r.unit).UTC()
		f.Length = max(int(length), n)
		f.Data = b[size:]
		r.win.advance(size + n)
		if !r.out.frame(&f) {
			return nil
		}
	}
}
