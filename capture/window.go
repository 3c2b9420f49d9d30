package capture

import (
	"errors"
	"io"
)

// windowSize is the one buffer of a file source. It bounds how large a block
// that must be seen whole can be: a frame of maxFrame octets and its options.
const windowSize = 512 << 10

// window shows the next octets of a stream without copying them out. What
// peek returns stays valid until the next call of peek or skip.
type window struct {
	src  io.Reader
	buf  []byte
	r, w int   // unread octets are buf[r:w]
	base int64 // stream offset of buf[0]
	err  error // what src ended with, once it has
}

func newWindow(buf []byte) *window { return &window{buf: buf} }

// reset begins with another stream in the same buffer.
func (w *window) reset(src io.Reader) {
	*w = window{src: src, buf: w.buf}
}

// offset is the stream offset of the next unread octet.
func (w *window) offset() int64 { return w.base + int64(w.r) }

// advance steps over n octets that peek has shown.
func (w *window) advance(n int) { w.r += n }

// peek shows the next n octets. With fewer left it returns those, and io.EOF
// where there are none, io.ErrUnexpectedEOF where there are some, or the read
// error. n must not exceed windowSize.
func (w *window) peek(n int) ([]byte, error) {
	if w.w-w.r >= n {
		return w.buf[w.r : w.r+n], nil
	}
	return w.fill(n)
}

func (w *window) fill(n int) ([]byte, error) {
	if w.r > 0 {
		w.base += int64(w.r)
		w.w = copy(w.buf, w.buf[w.r:w.w])
		w.r = 0
	}
	idle := 0
	for w.w < n && w.err == nil {
		var k int
		k, w.err = w.src.Read(w.buf[w.w:])
		w.w += k
		if k > 0 {
			idle = 0
		} else if idle++; idle > 100 && w.err == nil {
			w.err = io.ErrNoProgress
		}
	}
	if w.w >= n {
		return w.buf[:n], nil
	}
	if errors.Is(w.err, io.EOF) && w.w > 0 {
		return w.buf[:w.w], io.ErrUnexpectedEOF
	}
	return w.buf[:w.w], w.err
}

// skip steps over n octets of any number, in bounded memory.
func (w *window) skip(n int64) error {
	for n > 0 {
		step := int(min(n, windowSize/2))
		b, err := w.peek(step)
		w.advance(len(b))
		n -= int64(len(b))
		if err != nil {
			if errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}
