package capture

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"sync/atomic"
)

// maxFrame is the most octets that one captured frame can hold, the limit
// that Wireshark and libpcap keep as well. A file that claims more is corrupt.
const maxFrame = 256 << 10

// FileOptions changes how Open reads. The zero value is ready to use.
type FileOptions struct {
	Stdin io.Reader // what the name "-" reads; nil means os.Stdin
}

// Stats counts what a Source has yielded and what it knows to be lost.
type Stats struct {
	Frames  int64 // frames yielded
	Octets  int64 // octets of those frames as captured
	Dropped int64 // frames the kernel or the interface lost before they were captured
}

// Counter is implemented by the Sources of Open and Live. Stats can be called
// at any time and from any goroutine.
type Counter interface {
	Stats() Stats
}

// counters is Stats in a form that one goroutine writes and others read.
type counters struct {
	frames, octets, dropped atomic.Int64
}

// Stats gives the counts so far.
func (c *counters) Stats() Stats {
	return Stats{Frames: c.frames.Load(), Octets: c.octets.Load(), Dropped: c.dropped.Load()}
}

// Open gives the frames of the named capture files, one file after another:
// pcap or pcapng, plain or gzipped, told apart by their first octets. The name
// "-" is standard input, and can stand once. Open fails at once where a file
// is missing or is a directory; what is wrong inside a file comes from the
// Source. After a file that ends in an error the Source goes on to the next
// one, and yields the errors of all files, joined, at the end.
func Open(names []string, opts FileOptions) (Source, error) {
	if len(names) == 0 {
		return nil, errors.New("no capture file named")
	}
	if opts.Stdin == nil {
		opts.Stdin = os.Stdin
	}
	stdin := false
	for _, name := range names {
		if name == "-" {
			if stdin {
				return nil, errors.New("standard input can be read only once")
			}
			stdin = true
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			return nil, fmt.Errorf("%s is a directory, not a capture file", name)
		}
	}
	return &files{names: names, opts: opts}, nil
}

// files is the Source of Open.
type files struct {
	counters
	names []string
	opts  FileOptions
	began atomic.Bool
}

// Frames reads file after file; frame numbers run on.
func (s *files) Frames() iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		if s.began.Swap(true) {
			yield(Frame{}, errors.New("a capture source can be read only once"))
			return
		}
		win := newWindow(make([]byte, windowSize))
		out := &emitter{counters: &s.counters, yield: yield}
		var failed []error
		for _, name := range s.names {
			if err := s.file(name, win, out); err != nil {
				failed = append(failed, err)
			}
			if out.stopped {
				return
			}
		}
		switch len(failed) {
		case 0:
		case 1:
			yield(Frame{}, failed[0])
		default:
			yield(Frame{}, errors.Join(failed...))
		}
	}
}

func (s *files) file(name string, win *window, out *emitter) (err error) {
	src := s.opts.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close() // read only: nothing can be lost by closing
		src = f
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			// Only a file can be read ahead: a pipe may block for ever.
			a := newAhead(f)
			defer a.stop()
			src = a
		}
	}
	win.reset(src)
	return readFile(name, win, out)
}

// emitter numbers and counts frames on their way to the consumer.
type emitter struct {
	*counters
	yield   func(Frame, error) bool
	number  int64
	octets  int64
	stopped bool
}

// frame hands one frame over, and says whether the consumer wants more.
func (e *emitter) frame(f *Frame) bool {
	e.number++
	e.octets += int64(len(f.Data))
	e.frames.Store(e.number)
	e.counters.octets.Store(e.octets)
	f.Number = e.number
	if !e.yield(*f, nil) {
		e.stopped = true
		return false
	}
	return true
}

// readFile reads one stream, of whichever format its first octets name.
func readFile(name string, win *window, out *emitter) error {
	magic, err := win.peek(4)
	if len(magic) >= 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		// The decompressor reads from what is already buffered, then on from
		// the stream; it needs a window of its own to unpack into.
		packed := io.MultiReader(bytes.NewReader(bytes.Clone(win.buf[win.r:win.w])), &tail{win.src, win.err})
		z, err := gzip.NewReader(packed)
		if err != nil {
			return fileError(name, 0, "gzip header", err)
		}
		unpacked := io.Reader(z)
		if _, file := win.src.(*ahead); file {
			a := newAhead(z)
			defer a.stop()
			unpacked = a
		}
		win.reset(unpacked)
		if magic, err = win.peek(4); err != nil {
			return endError(name, 0, "file header", err)
		}
	} else if err != nil {
		if errors.Is(err, io.EOF) {
			return &FormatError{File: name, What: "the file is empty"}
		}
		return endError(name, 0, "file header", err)
	}
	m := binary.LittleEndian.Uint32(magic)
	if m == blockSection {
		r := ngReader{name: name, win: win, out: out}
		return r.read()
	}
	if h, ok := pcapMagics[m]; ok {
		r := pcapReader{name: name, win: win, out: out, pcapVariant: h}
		return r.read()
	}
	return &FormatError{File: name, What: fmt.Sprintf("neither pcap nor pcapng: begins with octets %x", magic)}
}

// tail goes on with a stream of which the buffered part was taken over.
type tail struct {
	src io.Reader
	err error
}

func (t *tail) Read(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	return t.src.Read(p)
}

// endError is the error for a stream that ended inside what.
func endError(name string, offset int64, what string, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fileError(name, offset, "file ends inside the "+what, err)
}

// fileError is a *FormatError where the file is at fault, and the read error
// with its place where the system is.
func fileError(name string, offset int64, what string, err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return &FormatError{File: name, Offset: offset, What: what, Err: io.ErrUnexpectedEOF}
	case errors.As(err, &corrupt), errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader):
		return &FormatError{File: name, Offset: offset, What: "gzip data is corrupt", Err: err}
	}
	return fmt.Errorf("%s: at octet %d: %w", name, offset, err)
}
