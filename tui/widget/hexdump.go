package widget

import (
	"fmt"
	"strings"

	"github.com/cloudvlan/cvlanctl/tui/theme"
)

// Hexdump shows octets with one span of them marked.
type Hexdump struct {
	Data         []byte
	Offset, Span int // what is marked; Span 0 for nothing
	Top          int // the first row shown
	last         Rect
	perRow       int
}

// Mark marks a span and brings it into view at the next View.
func (h *Hexdump) Mark(offset, length int) {
	if h.Offset == offset && h.Span == length {
		return
	}
	h.Offset, h.Span = offset, length
	if h.perRow > 0 && length > 0 {
		first, last := offset/h.perRow, (offset+length-1)/h.perRow
		if last >= h.Top+h.last.H {
			h.Top = last - h.last.H + 1
		}
		if first < h.Top {
			h.Top = first
		}
		if last-first >= h.last.H {
			h.Top = first
		}
	}
}

// Scroll moves the window by n rows.
func (h *Hexdump) Scroll(n int) { h.Top += n }

// PerRow is how many octets fit in a row of width cells.
func PerRow(width int) int {
	for _, n := range []int{32, 16, 8} {
		if HexWidth(n) <= width {
			return n
		}
	}
	return 4
}

// HexWidth is the width of a row of n octets: offset, octets with a gap after
// each eight, and characters.
func HexWidth(n int) int { return 4 + 2 + 3*n + (n-1)/8 + 1 + n }

// View draws the rows that fit into r.
func (h *Hexdump) View(t *theme.Theme, r Rect) []theme.Line {
	n := PerRow(r.W)
	if n != h.perRow || r != h.last {
		offset, span := h.Offset, h.Span
		h.perRow, h.last = n, r
		h.Offset = -1
		h.Mark(offset, span)
		h.Offset, h.Span = offset, span
	}
	rows := (len(h.Data) + n - 1) / n
	h.Top = max(0, min(h.Top, rows-r.H))
	var lines []theme.Line
	for row := h.Top; row < min(rows, h.Top+r.H); row++ {
		lines = append(lines, h.row(row, n))
	}
	return lines
}

func (h *Hexdump) row(row, n int) theme.Line {
	base := row * n
	line := theme.L(theme.S(theme.Muted, fmt.Sprintf("%04x  ", base)))
	add := func(role theme.Role, text string) {
		if last := &line.Spans[len(line.Spans)-1]; last.Role == role {
			last.Text += text
			return
		}
		line.Spans = append(line.Spans, theme.S(role, text))
	}
	marked := func(i int) bool { return i >= h.Offset && i < h.Offset+h.Span }
	for i := base; i < base+n; i++ {
		space := " "
		if i%8 == 7 && i != base+n-1 {
			space = "  "
		}
		switch {
		case i >= len(h.Data):
			add(theme.Plain, "  "+space)
		case marked(i):
			add(theme.Mark, fmt.Sprintf("%02x", h.Data[i]))
			if marked(i+1) && i != base+n-1 && i+1 < len(h.Data) {
				add(theme.Mark, space)
			} else {
				add(theme.Plain, space)
			}
		default:
			add(theme.Plain, fmt.Sprintf("%02x%s", h.Data[i], space))
		}
	}
	add(theme.Plain, " ")
	for i := base; i < min(base+n, len(h.Data)); i++ {
		c := "."
		if h.Data[i] >= ' ' && h.Data[i] < 0x7f {
			c = string(rune(h.Data[i]))
		}
		role := theme.Muted
		if marked(i) {
			role = theme.Mark
		}
		add(role, c)
	}
	return line
}

// OctetAt gives the offset of the octet drawn at column x of row y of the
// last View's rectangle, -1 where none is.
func (h *Hexdump) OctetAt(x, y int) int {
	if h.perRow == 0 || x < 6 {
		return -1
	}
	x -= 6
	i := -1
	if hexEnd := 3*h.perRow + (h.perRow-1)/8; x < hexEnd {
		group := x / 25
		i = group*8 + min(7, (x-group*25)/3)
	} else {
		i = x - hexEnd - 1
	}
	if i < 0 || i >= h.perRow {
		return -1
	}
	if i += (h.Top + y) * h.perRow; i >= len(h.Data) {
		return -1
	}
	return i
}

// HexText draws octets as plain rows of sixteen, for files.
func HexText(b []byte) string {
	var out strings.Builder
	h := Hexdump{Data: b}
	for row := 0; row*16 < len(b); row++ {
		line := h.row(row, 16)
		for _, s := range line.Spans {
			out.WriteString(s.Text)
		}
		out.WriteByte('\n')
	}
	return out.String()
}
