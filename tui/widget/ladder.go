package widget

import (
	"strings"

	"github.com/cloudvlan/cvlanctl/tui/theme"
)

// Arrow is one rung of a ladder.
type Arrow struct {
	Label    string
	Leftward bool
	Dashed   bool // a repetition of what was sent before
	Broken   bool // nothing arrived: the arrow has no head
	Role     theme.Role
}

// View draws the arrow width cells wide: the label stands in the shaft, near
// its tail.
func (a Arrow) View(t *theme.Theme, width int) []theme.Span {
	shaft := t.Glyphs.Line
	if a.Dashed {
		shaft = t.Glyphs.Dashes
	}
	head := t.Glyphs.Right
	if a.Leftward {
		head = t.Glyphs.Left
	}
	if a.Broken {
		head = t.Glyphs.No
	}
	line := theme.Muted
	if a.Role == theme.Bad || a.Role == theme.Warning {
		line = a.Role
	}
	const tail = 2
	label := " " + t.Fit(a.Label, min(theme.Width(a.Label), max(0, width-tail-6)), false) + " "
	rest := max(0, width-tail-theme.Width(label)-2)
	if a.Leftward {
		// Labels line up in one column whichever way the arrow goes.
		return []theme.Span{
			theme.S(line, head+strings.Repeat(shaft, tail-1)), theme.S(a.Role, label), theme.S(line, strings.Repeat(shaft, rest+1)), theme.S(line, " "),
		}
	}
	return []theme.Span{
		theme.S(line, strings.Repeat(shaft, tail)), theme.S(a.Role, label), theme.S(line, strings.Repeat(shaft, rest)+head), theme.S(line, " "),
	}
}
