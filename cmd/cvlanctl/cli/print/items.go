package print

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Items writes a document whose list grows while it is written: each item at
// once, so that a reader sees what happens. JSON lines are the items alone.
type Items struct {
	w      io.Writer
	format Format
	count  int
	err    error
}

// NewItems begins a document with a schema, a source and a list of a name.
func NewItems(w io.Writer, f Format, list, schema, source string) *Items {
	n := &Items{w: w, format: f}
	if f != JSON && f != YAML {
		return n
	}
	name, err := json.Marshal(source)
	if err != nil {
		n.err = fmt.Errorf("name of the source: %w", err)
		return n
	}
	if f == JSON {
		n.write(fmt.Sprintf("{\n  \"schema\": %q,\n  \"source\": %s,\n  %q: [", schema, Escape(name), list))
	} else {
		n.write(fmt.Sprintf("schema: %s\nsource: %s\n%s:", schema, Escape(name), list))
	}
	return n
}

// Add writes one item.
func (n *Items) Add(item any) error {
	b, err := json.Marshal(item)
	if err != nil {
		return fmt.Errorf("writing an item: %w", err)
	}
	b = Escape(b)
	switch n.format {
	case YAML:
		text, err := ToYAML(b)
		if err != nil {
			return err
		}
		lead := "\n- "
		for line := range strings.Lines(strings.TrimRight(string(text), "\n")) {
			n.write(lead + strings.TrimRight(line, "\n"))
			lead = "\n  "
		}
	case JSON:
		lead := "\n    "
		if n.count > 0 {
			lead = ",\n    "
		}
		n.write(lead + string(b))
	default:
		n.write(string(b) + "\n")
	}
	n.count++
	return n.err
}

// Close ends the document. It does not close the underlying writer.
func (n *Items) Close() error {
	switch {
	case n.format == JSON && n.count > 0:
		n.write("\n  ]\n}\n")
	case n.format == JSON:
		n.write("]\n}\n")
	case n.format == YAML && n.count == 0:
		n.write(" []\n")
	case n.format == YAML:
		n.write("\n")
	}
	return n.err
}

func (n *Items) write(s string) {
	if n.err != nil {
		return
	}
	if _, err := io.WriteString(n.w, s); err != nil {
		n.err = fmt.Errorf("writing: %w", err)
	}
}
