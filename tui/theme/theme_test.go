package theme_test

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"github.com/cloudvlan/cvlanctl/tui/theme"
)

func TestRenderIsExactlyAsWideAsAskedAndClean(t *testing.T) {
	texts := []string{"", "plain", strings.Repeat("long ", 40), "東京東京東京", "e\u0301e\u0301", "\x1b[31mred\x1b[0m", "a\nb\tc", "\u202eevil", "\xff\xfe"}
	for _, o := range []theme.Options{{}, {Colour: true}, {Colour: true, Light: true}, {ASCII: true}} {
		th := theme.New(o)
		for _, text := range texts {
			for _, width := range []int{0, 1, 5, 11, 80} {
				for _, l := range []theme.Line{
					theme.L(theme.S(theme.Bad, text)), {Selected: true, Spans: []theme.Span{theme.S(theme.Plain, text), theme.S(theme.Mark, text)}},
					{Bar: true, Spans: []theme.Span{theme.S(theme.Title, text)}}, theme.L(theme.Span{Text: text, Selected: true}, theme.S(theme.Muted, text)),
				} {
					got := th.Render(l, width)
					if w := ansi.StringWidth(got); w != width {
						t.Errorf("%+v: %q in %d cells takes %d", o, text, width, w)
					}
					for _, r := range ansi.Strip(got) {
						if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x202e || o.ASCII && r > '~' {
							t.Errorf("%+v: %q shows %U", o, text, r)
						}
					}
				}
			}
		}
	}
}

func TestGlyphsAreOneCellWide(t *testing.T) {
	for _, g := range []theme.Glyphs{theme.Unicode, theme.ASCII} {
		all := append([]string{g.Cursor, g.Open, g.Closed, g.Right, g.Left, g.Line, g.Dashes, g.Rule, g.Column, g.No, g.More, g.Full, g.Empty}, g.Steps...)
		for _, glyph := range all {
			if w := ansi.StringWidth(glyph); w != 1 {
				t.Errorf("%q is %d cells wide", glyph, w)
			}
		}
		if len(g.Steps) != 9 {
			t.Errorf("%d steps", len(g.Steps))
		}
	}
}

func TestFitCutsWhereItMust(t *testing.T) {
	th := theme.New(theme.Options{})
	rows := []struct {
		text  string
		width int
		right bool
		want  string
	}{
		{"abc", 5, false, "abc  "}, {"abc", 5, true, "  abc"}, {"abcdef", 4, false, "abc…"}, {"東京", 3, false, "東…"},
		{"a\x1bb", 6, false, `a\x1bb`}, {"abc", 0, false, ""}, {"", 2, true, "  "},
	}
	for _, r := range rows {
		if got := th.Fit(r.text, r.width, r.right); got != r.want {
			t.Errorf("Fit(%q, %d) = %q, want %q", r.text, r.width, got, r.want)
		}
	}
	if got := th.FitLeft("/a/long/way/x.pcap", 8); got != "…/x.pcap" && got != "…x.pcap" {
		t.Errorf("FitLeft = %q", got)
	}
}

func TestEarlierBindingsWin(t *testing.T) {
	b := append([]theme.Binding{{Action: "own", Keys: []string{"n"}}}, theme.Shared()...)
	if got := theme.Find(b, "n"); got == nil || got.Action != "own" {
		t.Errorf("n is %+v", got)
	}
	if theme.Find(b, "f12") != nil {
		t.Error("f12 does something")
	}
}
