package widget

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// Sheet is what a page shows, for a file: a table, a text, or both.
type Sheet struct {
	Title   string
	Source  string
	Columns []string
	Rows    [][]string
	Text    string // shown as it stands
}

// JSON gives the sheet as one document.
func (s Sheet) JSON() ([]byte, error) {
	type document struct {
		Schema string              `json:"schema"`
		Source string              `json:"source,omitempty"`
		Title  string              `json:"title"`
		Rows   []map[string]string `json:"rows,omitempty"`
		Text   string              `json:"text,omitempty"`
	}
	d := document{Schema: "cvlanctl/screen/v1", Source: s.Source, Title: s.Title, Text: s.Text}
	for _, row := range s.Rows {
		m := make(map[string]string, len(row))
		for i, cell := range row {
			if cell != "" {
				m[strings.ReplaceAll(strings.ReplaceAll(s.Columns[i], ",", ""), " ", "_")] = cell
			}
		}
		d.Rows = append(d.Rows, m)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(d)
	return b.Bytes(), err
}

// Markdown gives the sheet as a Markdown document.
func (s Sheet) Markdown() []byte {
	var b strings.Builder
	b.WriteString("# " + clean.Text(s.Title) + "\n\n")
	if s.Source != "" {
		b.WriteString("Source: " + clean.Text(s.Source) + "\n\n")
	}
	if len(s.Columns) > 0 {
		b.WriteString("| " + strings.Join(s.Columns, " | ") + " |\n|" + strings.Repeat("---|", len(s.Columns)) + "\n")
		for _, row := range s.Rows {
			for _, cell := range row {
				b.WriteString("| " + strings.ReplaceAll(clean.Text(cell), "|", `\|`) + " ")
			}
			b.WriteString("|\n")
		}
		b.WriteByte('\n')
	}
	if s.Text != "" {
		for line := range strings.Lines(s.Text) {
			b.WriteString("    " + clean.Text(strings.TrimRight(line, "\n")) + "\n")
		}
	}
	return []byte(b.String())
}
