package widget

import (
	"slices"

	"github.com/cloudvlan/cvlanctl/tui/theme"
)

// Column is a column of a table.
type Column struct {
	Title string
	Min   int  // cells
	Max   int  // cells; 0 for as many as Min
	Right bool // aligned at the right edge
	// Drop says how early the column goes when there is no room: the highest
	// first, 0 never.
	Drop int
	Grow int // cells that it takes in turn of what is left over; 0 for one
}

// gap is the number of cells between columns.
const gap = 2

// Widths shares total cells among columns: those that do not fit are dropped
// (width 0), and what is left over goes to those that can use it, in turn. A
// cell for the cursor stands before the first column.
func Widths(columns []Column, total int) []int {
	widths := make([]int, len(columns))
	dropped := make([]bool, len(columns))
	free := 0
	for {
		free = total - 1 + gap
		worst := -1
		for i, c := range columns {
			if dropped[i] {
				continue
			}
			free -= c.Min + gap
			if c.Drop > 0 && (worst < 0 || c.Drop > columns[worst].Drop) {
				worst = i
			}
		}
		if free >= 0 || worst < 0 {
			break
		}
		dropped[worst] = true
	}
	for i, c := range columns {
		if !dropped[i] {
			widths[i] = c.Min
		}
	}
	for given := true; free > 0 && given; {
		given = false
		for i, c := range columns {
			if n := min(c.Max-widths[i], max(1, c.Grow), free); !dropped[i] && n > 0 {
				widths[i] += n
				free -= n
				given = true
			}
		}
	}
	return widths
}

// TableHead draws the titles of a table.
func TableHead(t *theme.Theme, columns []Column, widths []int) theme.Line {
	cells := make([]theme.Span, len(columns))
	for i, c := range columns {
		cells[i] = theme.S(theme.Muted, c.Title)
	}
	return TableRow(t, columns, widths, cells, false)
}

// TableRow draws one row of a table.
func TableRow(t *theme.Theme, columns []Column, widths []int, cells []theme.Span, selected bool) theme.Line {
	line := theme.Line{Selected: selected, Spans: make([]theme.Span, 0, 2*len(cells)+1)}
	line.Spans = append(line.Spans, Cursor(t, selected))
	first := true
	for i, cell := range cells {
		if widths[i] == 0 {
			continue
		}
		if !first {
			line.Spans = append(line.Spans, theme.S(theme.Plain, "  "))
		}
		first = false
		line.Spans = append(line.Spans, theme.S(cell.Role, t.Fit(cell.Text, widths[i], columns[i].Right)))
	}
	return line
}

// Spread gives widths in which column from has the room of all columns up to
// and without column to: a long text lies over cells that are empty.
func Spread(widths []int, from, to int) []int {
	out := slices.Clone(widths)
	for i := from + 1; i < to; i++ {
		if out[i] > 0 {
			out[from] += gap + out[i]
			out[i] = 0
		}
	}
	return out
}

// Cursor is the cell before a row that says whether the row is selected.
func Cursor(t *theme.Theme, selected bool) theme.Span {
	if selected {
		return theme.S(theme.Accent, t.Glyphs.Cursor)
	}
	return theme.S(theme.Plain, " ")
}
