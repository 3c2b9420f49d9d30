// Package print writes what commands found: a table for people, or one
// document for programs as JSON, JSON lines or YAML.
//
// Contract: all forms are written from the same value. Cells of a table are
// cleaned of control and escape sequences here, whoever they come from.
package print

import (
	"bytes"
	"fmt"
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

// ToYAML turns one JSON value into YAML with the keys in the same order. A
// value with characters that could steer a terminal stays the JSON that it is,
// which is YAML too and has them escaped.
func ToYAML(b []byte) ([]byte, error) {
	out, err := yaml.JSONToYAML(b)
	if err != nil {
		return nil, fmt.Errorf("turning JSON into YAML: %w", err)
	}
	control := func(r rune) bool { return r < ' ' && r != '\n' || steers(r) }
	if bytes.ContainsFunc(out, control) {
		return append(Escape(bytes.TrimSpace(b)), '\n'), nil
	}
	return out, nil
}
