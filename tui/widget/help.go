package widget

import (
	"strconv"
	"strings"

	"github.com/cloudvlan/cvlanctl/tui/theme"
)

// Help makes the lines of at most width cells that explain bindings. A key that
// cannot be used now says why.
func Help(groups []HelpGroup, width int) []theme.Line {
	wide := 0
	for _, g := range groups {
		for _, b := range g.Bindings {
			wide = max(wide, theme.Width(keyList(b)))
		}
	}
	var lines []theme.Line
	for i, g := range groups {
		if i > 0 {
			lines = append(lines, theme.L())
		}
		lines = append(lines, theme.L(theme.S(theme.Muted, "  "+g.Title)))
		for _, b := range g.Bindings {
			does := theme.S(theme.Plain, b.Does)
			if b.Off != "" {
				does = theme.S(theme.Muted, b.Does+" (not now: "+b.Off+")")
			}
			lines = append(lines, Labelled("  "+keyList(b), wide+5, does, width)...)
		}
	}
	return lines
}

// HelpGroup is bindings under a heading.
type HelpGroup struct {
	Title    string
	Bindings []theme.Binding
}

// Labelled sets a text at column indent behind a label, and breaks it so that no
// line is wider than width.
func Labelled(label string, indent int, text theme.Span, width int) []theme.Line {
	var lines []theme.Line
	for _, words := range Wrap(text.Text, width-indent-1) {
		space := strings.Repeat(" ", max(0, indent-theme.Width(label)))
		lines = append(lines, theme.L(theme.S(theme.Accent, label), theme.S(theme.Plain, space), theme.S(text.Role, words)))
		label = ""
	}
	return lines
}

func keyList(b theme.Binding) string {
	names := make([]string, len(b.Keys))
	for i, k := range b.Keys {
		names[i] = theme.KeyName(k)
	}
	return strings.Join(names, " ")
}

// Percent gives a part of a whole as "42%".
func Percent(part, whole int) string {
	if whole <= 0 {
		return "0%"
	}
	return strconv.Itoa(part*100/whole) + "%"
}
