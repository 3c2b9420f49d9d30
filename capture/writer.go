package capture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// WriterOptions says what a written file tells about itself. The zero value
// is ready to use; empty fields are left out.
type WriterOptions struct {
	Application string // what wrote the file
	Interface   string // name of the interface captured on
	Filter      string // in words, what frames were let through
	Comment     string // about the whole file
}

// Writer writes frames as a pcapng file of one section, with times in
// nanoseconds and one interface description for each link type that occurs.
// It is not safe for concurrent use.
type Writer struct {
	w     *bufio.Writer
	opts  WriterOptions
	links []LinkType // by interface id
	block []byte     // the block being put together
}

// maxText keeps an option's text within its 16-bit length and a block within
// what Open reads.
const maxText = 32 << 10

// NewWriter begins a pcapng file. What is written reaches w with Flush.
func NewWriter(w io.Writer, opts WriterOptions) (*Writer, error) {
	n := &Writer{w: bufio.NewWriterSize(w, 64<<10), opts: opts}
	n.begin(blockSection)
	n.block = le.AppendUint32(n.block, byteOrderMark)
	n.block = le.AppendUint16(n.block, 1)
	n.block = le.AppendUint16(n.block, 0)
	n.block = le.AppendUint64(n.block, 1<<64-1) // section length not known
	n.text(optComment, opts.Comment)
	n.text(optUserApplication, opts.Application)
	n.endOptions()
	if err := n.end(); err != nil {
		return nil, err
	}
	return n, nil
}

// Options that only the writer uses, and the resolution it writes.
const (
	optUserApplication = 4
	optIfName          = 2
	optIfFilter        = 11
	nanoseconds        = 9 // negative power of ten
)

var le = binary.LittleEndian

// Write adds one frame, with its comment where it has one. A frame without a
// time is given the time 0, as pcapng has no other way to keep its comment.
func (n *Writer) Write(f Frame) error {
	if len(f.Data) > maxFrame {
		return fmt.Errorf("frame %d holds %d octets, limit is %d", f.Number, len(f.Data), maxFrame)
	}
	id, err := n.face(f.Link)
	if err != nil {
		return err
	}
	var stamp uint64
	if sec := f.Time.Unix(); sec > 0 && sec < 1<<34 { // what 64 bits of nanoseconds hold
		stamp = uint64(sec)*1e9 + uint64(f.Time.Nanosecond())
	}
	n.begin(blockEnhanced)
	n.block = le.AppendUint32(n.block, uint32(id))
	n.block = le.AppendUint32(n.block, uint32(stamp>>32))
	n.block = le.AppendUint32(n.block, uint32(stamp))
	n.block = le.AppendUint32(n.block, uint32(len(f.Data)))
	n.block = le.AppendUint32(n.block, uint32(max(f.Length, len(f.Data))))
	n.block = append(n.block, f.Data...)
	n.pad()
	if f.Comment != "" {
		n.text(optComment, f.Comment)
		n.endOptions()
	}
	return n.end()
}

// Flush hands everything written so far to the underlying writer.
func (n *Writer) Flush() error { return n.w.Flush() }

// face gives the id of the interface for a link type, and describes it to the
// file where it is new.
func (n *Writer) face(link LinkType) (int, error) {
	for i, l := range n.links {
		if l == link {
			return i, nil
		}
	}
	if link > 0xffff {
		return 0, fmt.Errorf("link type %d does not fit into pcapng", link)
	}
	if len(n.links) >= maxInterfaces {
		return 0, errors.New("too many link types for one file")
	}
	n.begin(blockInterface)
	n.block = le.AppendUint16(n.block, uint16(link))
	n.block = le.AppendUint16(n.block, 0)
	n.block = le.AppendUint32(n.block, maxFrame)
	n.text(optIfName, n.opts.Interface)
	n.option(optTSResol, []byte{nanoseconds})
	if n.opts.Filter != "" {
		// The first octet says that a filter in words follows.
		n.option(optIfFilter, append([]byte{0}, cut(n.opts.Filter)...))
	}
	n.endOptions()
	if err := n.end(); err != nil {
		return 0, err
	}
	n.links = append(n.links, link)
	return len(n.links) - 1, nil
}

// begin starts a block; its length is filled in by end.
func (n *Writer) begin(kind uint32) {
	n.block = le.AppendUint32(n.block[:0], kind)
	n.block = le.AppendUint32(n.block, 0)
}

func (n *Writer) end() error {
	total := uint32(len(n.block) + 4)
	le.PutUint32(n.block[4:], total)
	n.block = le.AppendUint32(n.block, total)
	_, err := n.w.Write(n.block)
	return err
}

// pad fills up to the next 4-octet boundary.
func (n *Writer) pad() {
	for len(n.block)%4 != 0 {
		n.block = append(n.block, 0)
	}
}

func (n *Writer) option(code uint16, v []byte) {
	n.block = le.AppendUint16(n.block, code)
	n.block = le.AppendUint16(n.block, uint16(len(v)))
	n.block = append(n.block, v...)
	n.pad()
}

// text adds an option of text, cut to what fits, or nothing where it is empty.
func (n *Writer) text(code uint16, s string) {
	if s != "" {
		n.option(code, []byte(cut(s)))
	}
}

// cut gives as much of a text as fits, in whole characters of UTF-8, which is
// what pcapng wants.
func cut(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxText)], "")
}

func (n *Writer) endOptions() {
	n.block = le.AppendUint32(n.block, optEnd)
}
