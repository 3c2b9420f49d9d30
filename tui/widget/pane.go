package widget

import (
	"fmt"
	"strings"

	"github.com/cloudvlan/cvlanctl/internal/clean"
	"github.com/cloudvlan/cvlanctl/tui/theme"
)

// Pane is text that scrolls under a title.
type Pane struct {
	Title string
	Lines []theme.Line
	top   int
}

// Do scrolls as the shared moving keys say.
func (p *Pane) Do(a theme.Action, height int) bool {
	l := List{Len: len(p.Lines), At: p.top}
	ok := l.Do(a, height)
	p.top = l.At
	return ok
}

// Scroll moves by n lines.
func (p *Pane) Scroll(n int) { p.top += n }

// View draws what fits into r: the title, and the lines from where it stands.
func (p *Pane) View(t *theme.Theme, r Rect) []theme.Line {
	height := r.H - 2
	p.top = max(0, min(p.top, len(p.Lines)-height))
	title := theme.L(theme.S(theme.Title, " "+p.Title))
	if rest := len(p.Lines) - p.top - height; rest > 0 || p.top > 0 {
		words := fmt.Sprintf("   lines %d to %d of %d", p.top+1, min(len(p.Lines), p.top+height), len(p.Lines))
		title.Spans = append(title.Spans, theme.S(theme.Muted, words))
	}
	lines := []theme.Line{title, Rule(t, r.W)}
	for i := p.top; i < min(len(p.Lines), p.top+height); i++ {
		lines = append(lines, p.Lines[i])
	}
	return lines
}

// Rule is a line between parts of a page.
func Rule(t *theme.Theme, width int) theme.Line {
	return theme.L(theme.S(theme.Muted, strings.Repeat(t.Glyphs.Rule, width)))
}

// Wrap breaks text at spaces into lines of at most width cells. A word that
// is longer is broken anywhere.
func Wrap(text string, width int) []string {
	width = max(width, 8)
	var lines []string
	line, used := "", 0
	for word := range strings.FieldsSeq(clean.Text(strings.ReplaceAll(text, "\n", " "))) {
		w := theme.Width(word)
		if used > 0 && used+1+w > width {
			lines = append(lines, line)
			line, used = "", 0
		}
		if used > 0 {
			line += " "
			used++
		}
		for _, r := range word {
			rw := theme.Width(string(r))
			if used+rw > width {
				lines = append(lines, line)
				line, used = "", 0
			}
			line += string(r)
			used += rw
		}
	}
	if used > 0 || len(lines) == 0 {
		lines = append(lines, line)
	}
	return lines
}
