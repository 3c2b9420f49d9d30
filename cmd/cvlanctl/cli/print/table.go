package print

import (
	"bufio"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// Column is one column of a Rows table.
type Column struct {
	Title string
	Wide  bool // shown by -o wide only
	Right bool // numbers: aligned to the right
}

// Cell is one cell. Its text is cleaned when it is written.
type Cell struct {
	Text    string
	Meaning term.Meaning
}

// C makes a cell without a meaning.
func C(text string) Cell { return Cell{Text: text} }

// Rows is a table as text.
type Rows struct {
	Columns []Column
	Cells   [][]Cell
	Empty   string // what is written where there is no row
}

// Add appends a row.
func (r *Rows) Add(cells ...Cell) { r.Cells = append(r.Cells, cells) }

// gap is the space between columns.
const gap = "  "

// columns gives the width of cleaned text. What is ASCII, nearly all, needs no
// look at graphemes.
func columns(s string) int {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return ansi.StringWidth(s)
		}
	}
	return len(s)
}

// Write writes the table to t.Out, aligned. On a terminal, lines are cut at
// its width, which is said by an ellipsis.
func (r *Rows) Write(t *term.Terminal, f Format) error {
	w := bufio.NewWriter(t.Out)
	if len(r.Cells) == 0 {
		if r.Empty != "" {
			fmt.Fprintln(w, r.Empty)
		}
		return w.Flush()
	}
	shown, widths := r.measure(f)
	head := make([]Cell, len(r.Columns))
	for i, c := range r.Columns {
		head[i] = Cell{Text: strings.ToUpper(c.Title), Meaning: term.Strong}
	}
	r.line(w, t, head, shown, widths)
	for _, row := range r.Cells {
		r.line(w, t, row, shown, widths)
	}
	return w.Flush()
}

// measure cleans all cells and gives the columns to show and their widths.
func (r *Rows) measure(f Format) (shown []int, widths []int) {
	widths = make([]int, len(r.Columns))
	for i, c := range r.Columns {
		if c.Wide && f != Wide {
			continue
		}
		shown = append(shown, i)
		widths[i] = columns(c.Title)
	}
	for _, row := range r.Cells {
		for i := range row {
			row[i].Text = clean.Text(row[i].Text)
			if i < len(widths) {
				widths[i] = max(widths[i], columns(row[i].Text))
			}
		}
	}
	return shown, widths
}

func (r *Rows) line(w *bufio.Writer, t *term.Terminal, row []Cell, shown, widths []int) {
	used := 0
	for n, i := range shown {
		lead := ""
		if n > 0 {
			lead = gap
		}
		room := t.Width - used - len(lead)
		if i >= len(row) || t.Width > 0 && room <= 0 {
			break
		}
		text := row[i].Text
		wide := columns(text)
		if t.Width > 0 && wide > room {
			text, wide = ansi.Truncate(text, room, "…"), room
		}
		pad := max(widths[i]-wide, 0)
		if t.Width > 0 {
			pad = min(pad, room-wide)
		}
		fill := strings.Repeat(" ", pad)
		switch {
		case r.Columns[i].Right:
			w.WriteString(lead + fill + t.Paint(row[i].Meaning, text))
		case n == len(shown)-1:
			w.WriteString(lead + t.Paint(row[i].Meaning, text))
		default:
			w.WriteString(lead + t.Paint(row[i].Meaning, text) + fill)
		}
		used += len(lead) + wide + pad
	}
	w.WriteString("\n")
}
