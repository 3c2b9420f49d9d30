package print

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
)

// Document writes doc in a form for programs. items are the elements of the
// document's list: JSON lines writes one of them a line and not doc.
func Document[T any](w io.Writer, f Format, d any, items []T) error {
	if f == JSONL {
		return writeLines(w, len(items), func(i int) any { return &items[i] })
	}
	return whole(w, f, func(out *output) { out.value(d) })
}

// Fields writes a document whose lists may be long, item by item. JSON lines
// writes the items of the list named main.
func Fields(w io.Writer, f Format, fields []doc.Field, main string) error {
	if f == JSONL {
		for _, x := range fields {
			if x.Name == main {
				return writeLines(w, x.Len, x.Item)
			}
		}
		return fmt.Errorf("the document has no list %q", main)
	}
	return whole(w, f, func(out *output) { out.fields(fields) })
}

func writeLines(w io.Writer, n int, item func(int) any) error {
	out := newOutput(w)
	for i := range n {
		out.value(item(i))
		out.text("\n")
	}
	if err := out.close(); err != nil {
		return fmt.Errorf("writing JSON lines: %w", err)
	}
	return nil
}

// whole writes one document as JSON or YAML.
func whole(w io.Writer, f Format, fill func(*output)) error {
	switch f {
	case JSON:
		page := &indenter{w: w}
		out := newOutput(page)
		fill(out)
		out.text("\n")
		err := out.close()
		if err == nil {
			err = page.close()
		}
		if err != nil {
			return fmt.Errorf("writing JSON: %w", err)
		}
		return nil
	case YAML:
		var b bytes.Buffer
		out := newOutput(&b)
		fill(out)
		if err := out.close(); err != nil {
			return fmt.Errorf("writing YAML: %w", err)
		}
		text, err := ToYAML(b.Bytes())
		if err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return fmt.Errorf("writing YAML: %w", err)
		}
		return nil
	}
	return fmt.Errorf("%q is no form for programs", f)
}

// output collects JSON and passes it on in large parts. After an error it does
// nothing; close gives the error.
type output struct {
	w   io.Writer
	buf bytes.Buffer
	enc *json.Encoder
	err error
}

func newOutput(w io.Writer) *output {
	o := &output{w: w}
	o.enc = json.NewEncoder(&o.buf)
	o.enc.SetEscapeHTML(false)
	return o
}

func (o *output) text(s string) {
	o.buf.WriteString(s)
	if o.buf.Len() >= streamBuffer {
		o.flush()
	}
}

// value appends a value, without a line end.
func (o *output) value(v any) {
	if o.err != nil {
		return
	}
	if o.err = o.enc.Encode(v); o.err == nil {
		o.buf.Truncate(o.buf.Len() - 1)
	}
}

func (o *output) flush() {
	if o.err == nil {
		_, o.err = o.w.Write(Escape(o.buf.Bytes()))
	}
	o.buf.Reset()
}

func (o *output) close() error {
	o.flush()
	return o.err
}

// fields appends an object, each field and each item of a list on a line of
// its own.
func (o *output) fields(fields []doc.Field) {
	lead := "{\n"
	for _, f := range fields {
		o.text(lead)
		lead = ",\n"
		o.value(f.Name)
		o.text(":")
		if f.Item == nil {
			o.value(f.Value)
			continue
		}
		o.text("[")
		for i := range f.Len {
			if i > 0 {
				o.text(",")
			}
			o.text("\n")
			o.value(f.Item(i))
		}
		o.text("]")
	}
	o.text("\n}")
}

// readable is the size in octets up to which a document is indented
// throughout. A larger one passes as it comes.
const readable = 1 << 20

// indenter holds a document back until it is whole or too large to indent.
type indenter struct {
	w       io.Writer
	held    bytes.Buffer
	passing bool
}

// Write takes p over.
func (n *indenter) Write(p []byte) (int, error) {
	if n.passing {
		return n.w.Write(p)
	}
	n.held.Write(p)
	if n.held.Len() <= readable {
		return len(p), nil
	}
	n.passing = true
	if _, err := n.w.Write(n.held.Bytes()); err != nil {
		return 0, err
	}
	n.held = bytes.Buffer{}
	return len(p), nil
}

func (n *indenter) close() error {
	if n.passing {
		return nil
	}
	var b bytes.Buffer
	if err := json.Indent(&b, n.held.Bytes(), "", "  "); err != nil {
		return err
	}
	_, err := n.w.Write(b.Bytes())
	return err
}
