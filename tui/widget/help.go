package widget

import (
	"strconv"
	"strings"

	"github.com/cloudvlan/cvlanctl/tui/theme"
)

// Help makes the lines that explain bindings. A key that cannot be used now
// says why.
func Help(groups []HelpGroup) []theme.Line {
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
			keys := keyList(b)
			line := theme.L(
				theme.S(theme.Accent, "  "+keys),
				theme.S(theme.Plain, strings.Repeat(" ", wide-theme.Width(keys)+3)),
			)
			if b.Off != "" {
				line.Spans = append(line.Spans, theme.S(theme.Muted, b.Does+" (not now: "+b.Off+")"))
			} else {
				line.Spans = append(line.Spans, theme.S(theme.Plain, b.Does))
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// HelpGroup is bindings under a heading.
type HelpGroup struct {
	Title    string
	Bindings []theme.Binding
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
