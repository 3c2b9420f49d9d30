// Package theme is what the screen's colours and keys mean. Pages say what a
// piece of text is (good, busy, warning, bad, muted); the theme says how that
// looks on this terminal. Nothing is told by colour alone.
//
// Contract: Render is where text becomes terminal output, and it cleans every
// span, so no control sequence of a stranger gets past it whatever a page does.
package theme

import (
	"image/color"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// Role says what a piece of text is.
type Role uint8

// The roles.
const (
	Plain   Role = iota
	Title        // names what follows: headings, the open tab
	Accent       // a link or a key that can be pressed
	Good         // works as it should
	Busy         // under way
	Warning      // works, but look at it
	Bad          // does not work
	Muted        // there if one looks for it
	Mark         // what a filter or a linked view points at
	roles        // how many there are
)

// Span is text of one role.
type Span struct {
	Text     string
	Role     Role
	Selected bool // where only a part of a line is
}

// Line is one line of the screen.
type Line struct {
	Spans    []Span
	Selected bool // the whole line is
	Bar      bool // the line is a bar of the frame: its background is raised
}

// S makes a span.
func S(role Role, text string) Span { return Span{Text: text, Role: role} }

// L makes a line of spans.
func L(spans ...Span) Line { return Line{Spans: spans} }

// Glyphs are the characters that draw. Each is one cell wide.
type Glyphs struct {
	Cursor       string // before the selected row
	Open, Closed string // of a branch of a tree
	Right, Left  string // arrow heads
	Line, Dashes string // shaft of an arrow, and of a repeated one
	Rule         string // between parts of a page
	Column       string // between columns of a page
	No           string // where an arrow does not arrive
	More         string // text was cut here
	Full, Empty  string // of a gauge
	Steps        []string
}

// The two sets of glyphs.
var (
	Unicode = Glyphs{
		Cursor: "▌", Open: "▾", Closed: "▸", Right: "▶", Left: "◀", Line: "─", Dashes: "╌", Rule: "─", Column: "│",
		No: "✗", More: "…", Full: "█", Empty: "░",
		Steps: []string{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"},
	}
	ASCII = Glyphs{
		Cursor: ">", Open: "-", Closed: "+", Right: ">", Left: "<", Line: "-", Dashes: ".", Rule: "-", Column: "|",
		No: "x", More: "~", Full: "#", Empty: ".",
		Steps: []string{" ", ".", ":", "-", "=", "+", "*", "#", "@"},
	}
)

// Theme draws lines for one kind of terminal.
type Theme struct {
	Glyphs Glyphs
	ascii  bool
	styles [3][roles]lipgloss.Style // plain, selected, bar
}

// Options choose a theme.
type Options struct {
	Light  bool // the terminal's background is light
	Colour bool // false: bold, faint, underline and reverse only
	ASCII  bool // the terminal shows no Unicode
}

// The backgrounds that a line can have.
const (
	onPlain = iota
	onSelected
	onBar
)

// New makes a theme.
func New(o Options) *Theme {
	t := &Theme{Glyphs: Unicode, ascii: o.ASCII}
	if o.ASCII {
		t.Glyphs = ASCII
	}
	pick := lipgloss.LightDark(!o.Light)
	hue := func(light, dark string) color.Color { return pick(lipgloss.Color(light), lipgloss.Color(dark)) }
	base := lipgloss.NewStyle()
	s := [roles]lipgloss.Style{
		Plain: base, Title: base.Bold(true), Accent: base.Underline(true), Good: base, Busy: base,
		Warning: base.Bold(true), Bad: base.Bold(true), Muted: base.Faint(true), Mark: base.Reverse(true),
	}
	if o.Colour {
		s[Plain] = base
		s[Title] = base.Bold(true)
		s[Accent] = base.Foreground(hue("#0550ae", "#89b4fa"))
		s[Good] = base.Foreground(hue("#1a7f37", "#9ece8a"))
		s[Busy] = base.Foreground(hue("#0e7490", "#7dcfe0"))
		s[Warning] = base.Foreground(hue("#8a5a00", "#e5c07b"))
		s[Bad] = base.Bold(true).Foreground(hue("#b42318", "#f38ba8"))
		s[Muted] = base.Foreground(hue("#667085", "#7f849c"))
		s[Mark] = base.Foreground(hue("#ffffff", "#11111b")).Background(hue("#0550ae", "#89b4fa"))
	}
	for r := range roles {
		t.styles[onPlain][r] = s[r]
		if !o.Colour {
			t.styles[onSelected][r] = s[r].Reverse(r != Mark)
			t.styles[onBar][r] = s[r]
			continue
		}
		t.styles[onSelected][r], t.styles[onBar][r] = s[r], s[r]
		if r != Mark {
			t.styles[onSelected][r] = s[r].Background(hue("#dadada", "#3a3a3a"))
			t.styles[onBar][r] = s[r].Background(hue("#eeeeee", "#262626"))
		}
	}
	return t
}

// Render draws a line exactly width cells wide.
func (t *Theme) Render(l Line, width int) string {
	if width <= 0 {
		return ""
	}
	styles := &t.styles[onPlain]
	switch {
	case l.Selected:
		styles = &t.styles[onSelected]
	case l.Bar:
		styles = &t.styles[onBar]
	}
	var b strings.Builder
	used := 0
	for _, s := range l.Spans {
		if used == width {
			break
		}
		text := clean.Text(s.Text)
		if text == "" {
			continue
		}
		w := ansi.StringWidth(text)
		if used+w > width {
			text = ansi.Truncate(text, width-used, t.Glyphs.More)
			w = ansi.StringWidth(text)
		}
		used += w
		if t.ascii {
			text = inASCII(text)
		}
		switch {
		case s.Selected:
			b.WriteString(t.styles[onSelected][s.Role].Render(text))
		case s.Role == Plain && !l.Selected && !l.Bar:
			b.WriteString(text)
		default:
			b.WriteString(styles[s.Role].Render(text))
		}
	}
	if used < width {
		pad := strings.Repeat(" ", width-used)
		if l.Selected || l.Bar {
			pad = styles[Plain].Render(pad)
		}
		b.WriteString(pad)
	}
	return b.String()
}

// plainer are characters of our own words that ASCII has something like.
var plainer = map[rune]string{'↔': "-", '×': "x", '↑': "^", '↓': "v", '←': "<", '→': ">", '…': "~"}

// inASCII gives text in as many cells of ASCII.
func inASCII(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r <= '~':
			b.WriteRune(r)
		case plainer[r] != "":
			b.WriteString(plainer[r])
		default:
			b.WriteString(strings.Repeat("?", ansi.StringWidth(string(r))))
		}
	}
	return b.String()
}

// Width is the number of cells that text takes once cleaned.
func Width(text string) int { return ansi.StringWidth(clean.Text(text)) }

// FitLeft gives text cleaned, and cut at its beginning to at most width cells.
func (t *Theme) FitLeft(text string, width int) string {
	text = clean.Text(text)
	if w := ansi.StringWidth(text); w > width {
		return ansi.TruncateLeft(text, w-max(0, width-1), t.Glyphs.More)
	}
	return text
}

// Fit gives text cleaned, and cut or padded to exactly width cells; right
// aligns it at the right edge.
func (t *Theme) Fit(text string, width int, right bool) string {
	if width <= 0 {
		return ""
	}
	text = clean.Text(text)
	w := ansi.StringWidth(text)
	if w > width {
		text = ansi.Truncate(text, width, t.Glyphs.More)
		w = ansi.StringWidth(text)
	}
	if w == width {
		return text
	}
	if right {
		return strings.Repeat(" ", width-w) + text
	}
	return text + strings.Repeat(" ", width-w)
}
