package capture

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// order is a byte order that can be appended in.
type order interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// pcapFile builds a classic file around frames of the given link type.
func pcapFile(o order, magic uint32, link uint32, extra int, frames ...[]byte) []byte {
	b := o.AppendUint32(nil, magic)
	b = o.AppendUint16(b, 2)
	b = o.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = o.AppendUint32(b, 65535)
	b = o.AppendUint32(b, link)
	for i, f := range frames {
		b = o.AppendUint32(b, 1_700_000_000+uint32(i))
		b = o.AppendUint32(b, 123_456)
		b = o.AppendUint32(b, uint32(len(f)))
		b = o.AppendUint32(b, uint32(len(f))+10)
		b = append(b, make([]byte, extra)...)
		b = append(b, f...)
	}
	return b
}

// ng builds pcapng blocks in one byte order.
type ng struct{ order }

func (n ng) block(kind uint32, body []byte) []byte {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	total := uint32(len(body) + 12)
	b := n.AppendUint32(nil, kind)
	b = n.AppendUint32(b, total)
	b = append(b, body...)
	return n.AppendUint32(b, total)
}

func (n ng) opt(code uint16, v []byte) []byte {
	b := n.AppendUint16(nil, code)
	b = n.AppendUint16(b, uint16(len(v)))
	b = append(b, v...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func (n ng) section() []byte {
	b := n.AppendUint32(nil, 0x1a2b3c4d)
	b = n.AppendUint16(b, 1)
	b = n.AppendUint16(b, 0)
	b = n.AppendUint64(b, 1<<64-1)
	return n.block(0x0a0d0d0a, b)
}

func (n ng) face(link uint16, snaplen uint32, opts ...[]byte) []byte {
	b := n.AppendUint16(nil, link)
	b = n.AppendUint16(b, 0)
	b = n.AppendUint32(b, snaplen)
	return n.block(1, slices.Concat(append([][]byte{b}, opts...)...))
}

func (n ng) enhanced(id uint32, stamp uint64, f []byte, opts ...[]byte) []byte {
	b := n.AppendUint32(nil, id)
	b = n.AppendUint32(b, uint32(stamp>>32))
	b = n.AppendUint32(b, uint32(stamp))
	b = n.AppendUint32(b, uint32(len(f)))
	b = n.AppendUint32(b, uint32(len(f)))
	b = append(b, f...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return n.block(6, slices.Concat(append([][]byte{b}, opts...)...))
}

func (n ng) old(id uint16, stamp uint64, f []byte) []byte {
	b := n.AppendUint16(nil, id)
	b = n.AppendUint16(b, 0xffff)
	b = n.AppendUint32(b, uint32(stamp>>32))
	b = n.AppendUint32(b, uint32(stamp))
	b = n.AppendUint32(b, uint32(len(f)))
	b = n.AppendUint32(b, uint32(len(f)))
	return n.block(2, append(b, f...))
}

func (n ng) simple(length uint32, f []byte) []byte {
	return n.block(3, append(n.AppendUint32(nil, length), f...))
}

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return z.Bytes()
}

// put writes a file that the test opens.
func put(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// drain reads a Source to its end: copies of its frames, and its error.
func drain(t testing.TB, src Source) ([]Frame, error) {
	t.Helper()
	var frames []Frame
	var last error
	for f, err := range src.Frames() {
		if last != nil {
			t.Fatal("the source goes on after its error")
		}
		if err != nil {
			last = err
			continue
		}
		f.Data = slices.Clone(f.Data)
		frames = append(frames, f)
	}
	return frames, last
}

// read gives the frames and the error of one file's octets.
func read(t testing.TB, b []byte) ([]Frame, error) {
	t.Helper()
	src, err := Open([]string{"-"}, FileOptions{Stdin: bytes.NewReader(b)})
	if err != nil {
		t.Fatal(err)
	}
	return drain(t, src)
}

func mustRead(t testing.TB, b []byte) []Frame {
	t.Helper()
	frames, err := read(t, b)
	if err != nil {
		t.Fatal(err)
	}
	return frames
}

func formatError(t testing.TB, err error) *FormatError {
	t.Helper()
	var fe *FormatError
	if !errors.As(err, &fe) {
		t.Fatalf("got %v, want a *FormatError", err)
	}
	return fe
}

var (
	frameA = []byte("the first frame, of some length")
	frameB = []byte("the second")
	micro0 = time.Unix(1_700_000_000, 123_456_000).UTC()
)
