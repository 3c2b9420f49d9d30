package print

import (
	"bufio"
	"fmt"
	"strings"

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
		widths[i] = ansi.StringWidth(c.Title)
	}
	for _, row := range r.Cells {
		for i := range row {
			row[i].Text = clean.Text(row[i].Text)
			if i < len(widths) {
				widths[i] = max(widths[i], ansi.StringWidth(row[i].Text))
			}
		}
	}
	return shown, widths
}

func (r *Rows) line(w *bufio.Writer, t *term.Terminal, row []Cell, shown, widths []int) {
	used := 0
	for n, i := range shown {
		if i >= len(row) {
			break
		}
		text, last := row[i].Text, n == len(shown)-1
		if n > 0 {
			w.WriteString(gap)
			used += len(gap)
		}
		if t.Width > 0 && used+ansi.StringWidth(text) > t.Width {
			text = ansi.Truncate(text, max(t.Width-used, 0), "…")
			last = true
		}
		wide := ansi.StringWidth(text)
		pad := strings.Repeat(" ", max(widths[i]-wide, 0))
		switch {
		case r.Columns[i].Right:
			w.WriteString(pad + t.Paint(row[i].Meaning, text))
		case last:
			w.WriteString(t.Paint(row[i].Meaning, text))
		default:
			w.WriteString(t.Paint(row[i].Meaning, text) + pad)
		}
		used += max(widths[i], wide)
		if t.Width > 0 && used >= t.Width {
			break
		}
	}
	w.WriteString("\n")
}
