// Package print writes what commands found: a table for people, or one
// document for programs as JSON, JSON lines or YAML.
//
// Contract: all forms are written from the same value. Cells of a table are
// cleaned of control and escape sequences here, whoever they come from.
package print

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/goccy/go-yaml"
)

// Format is a form of output, the value of -o.
type Format string

// The forms.
const (
	Table Format = "table" // text for people
	Wide  Format = "wide"  // text with more columns or detail
	JSON  Format = "json"  // one document
	JSONL Format = "jsonl" // one object a line
	YAML  Format = "yaml"  // the JSON document as YAML
)

// Formats are all forms, in the order of the help text.
var Formats = []Format{Table, Wide, JSON, JSONL, YAML}

// String gives the word that -o takes. It makes *Format a flag value.
func (f *Format) String() string { return string(*f) }

// Set reads the word that -o takes.
func (f *Format) Set(s string) error {
	for _, known := range Formats {
		if s == string(known) {
			*f = known
			return nil
		}
	}
	return fmt.Errorf("%q is no output form; it is one of %s", s, Names())
}

// Type names the flag's value in help.
func (f *Format) Type() string { return "form" }

// Text says whether the form is for people.
func (f Format) Text() bool { return f == Table || f == Wide }

// Names lists the forms in words, for help and errors.
func Names() string {
	words := make([]string, len(Formats))
	for i, f := range Formats {
		words[i] = string(f)
	}
	return strings.Join(words, ", ")
}

// Document writes doc in a form for programs. items are the elements of the
// document's list: JSON lines writes one of them a line and not doc.
func Document[T any](w io.Writer, f Format, doc any, items []T) error {
	switch f {
	case JSONL:
		enc := json.NewEncoder(escaper{w})
		enc.SetEscapeHTML(false)
		for i := range items {
			if err := enc.Encode(&items[i]); err != nil {
				return fmt.Errorf("writing JSON lines: %w", err)
			}
		}
		return nil
	case YAML:
		b, err := json.Marshal(doc)
		if err != nil {
			return fmt.Errorf("writing YAML: %w", err)
		}
		if b, err = ToYAML(Escape(b)); err != nil {
			return err
		}
		if _, err = w.Write(b); err != nil {
			return fmt.Errorf("writing YAML: %w", err)
		}
		return nil
	case JSON:
		if err := document(w, doc); err != nil {
			return fmt.Errorf("writing JSON: %w", err)
		}
		return nil
	}
	return fmt.Errorf("%q is no form for programs", f)
}

// readable is the size in octets up to which a document is indented
// throughout; a larger one has a line for each item of its lists.
const readable = 1 << 20

func document(w io.Writer, doc any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		return err
	}
	text := Escape(b.Bytes())
	if len(text) <= readable {
		var indented bytes.Buffer
		if err := json.Indent(&indented, text, "", "  "); err != nil {
			return err
		}
		text = indented.Bytes()
	} else {
		text = breakItems(text)
	}
	_, err := w.Write(text)
	return err
}

// breakItems puts the fields of a document, and the items of lists in it, on
// lines of their own.
func breakItems(b []byte) []byte {
	out := make([]byte, 0, len(b)+len(b)/64)
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		c := b[i]
		out = append(out, c)
		switch {
		case quoted && c == '\\':
			i++
			out = append(out, b[i])
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth <= 2 {
				out = append(out, '\n')
			}
		case c == '}' || c == ']':
			depth--
		case c == ',' && depth <= 2:
			out = append(out, '\n')
		}
	}
	return out
}

// ToYAML turns one JSON value into YAML with the keys in the same order.
func ToYAML(b []byte) ([]byte, error) {
	out, err := yaml.JSONToYAML(b)
	if err != nil {
		return nil, fmt.Errorf("turning JSON into YAML: %w", err)
	}
	return out, nil
}
