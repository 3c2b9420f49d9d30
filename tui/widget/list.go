// Package widget has the parts that pages are made of: lists, tables, trees,
// hex dumps, ladders, gauges, filters, prompts and help. A widget keeps what
// the user did to it and draws the lines that fit, never more; it knows
// nothing of IPsec.
package widget

import "github.com/cloudvlan/cvlanctl/tui/theme"

// Rect is a part of the screen, in cells.
type Rect struct{ X, Y, W, H int }

// Contains says whether a cell lies in r.
func (r Rect) Contains(x, y int) bool {
	return x >= r.X && x < r.X+r.W && y >= r.Y && y < r.Y+r.H
}

// Below splits r into its first h rows and the rest.
func (r Rect) Below(h int) (top, rest Rect) {
	h = max(0, min(h, r.H))
	return Rect{r.X, r.Y, r.W, h}, Rect{r.X, r.Y + h, r.W, r.H - h}
}

// Beside splits r into its first w columns and the rest.
func (r Rect) Beside(w int) (left, rest Rect) {
	w = max(0, min(w, r.W))
	return Rect{r.X, r.Y, w, r.H}, Rect{r.X + w, r.Y, r.W - w, r.H}
}

// List is a position in rows of which a window is shown.
type List struct {
	Len int // rows
	At  int // the selected row
	Top int // the first row shown
}

// SetLen says how many rows there are now.
func (l *List) SetLen(n int) {
	l.Len = n
	l.At = max(0, min(l.At, n-1))
}

// Window gives the rows [from, to) to draw in height rows, after moving the
// window so that the selected row is in it.
func (l *List) Window(height int) (from, to int) {
	if height <= 0 || l.Len == 0 {
		l.Top = 0
		return 0, 0
	}
	l.Top = min(l.Top, l.At)
	l.Top = max(l.Top, l.At-height+1)
	l.Top = max(0, min(l.Top, l.Len-height))
	return l.Top, min(l.Len, l.Top+height)
}

// Move moves the selection by n rows.
func (l *List) Move(n int) { l.Select(l.At + n) }

// Select selects row i, or the nearest that there is.
func (l *List) Select(i int) { l.At = max(0, min(i, l.Len-1)) }

// Do moves as the shared moving keys say, in a window of height rows. It
// says whether the action was one of them.
func (l *List) Do(a theme.Action, height int) bool {
	switch a {
	case theme.Up:
		l.Move(-1)
	case theme.Down:
		l.Move(1)
	case theme.PageUp:
		l.Move(-max(1, height-1))
	case theme.PageDown:
		l.Move(max(1, height-1))
	case theme.First:
		l.Select(0)
	case theme.Last:
		l.Select(l.Len - 1)
	default:
		return false
	}
	return true
}

// Seek selects the next row after (or, backwards, before) the selected one
// for which found is true, around the end. It says whether there is one.
func (l *List) Seek(backwards bool, found func(i int) bool) bool {
	step := 1
	if backwards {
		step = l.Len - 1
	}
	for n, i := 0, l.At; n < l.Len; n++ {
		if i = (i + step) % l.Len; found(i) {
			l.At = i
			return true
		}
	}
	return false
}
