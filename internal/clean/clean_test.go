package clean_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/cloudvlan/cvlanctl/internal/clean"
)

func TestTextShowsWhatItReplaces(t *testing.T) {
	rows := []struct{ name, in, want string }{
		{"plain", "C=CH, O=strongSwan, CN=moon", "C=CH, O=strongSwan, CN=moon"},
		{"empty", "", ""},
		{"letters of other scripts", "Zürich 東京 Ελλάς", "Zürich 東京 Ελλάς"},
		{"emoji is a visible character", "a😀b", "a😀b"},
		{"colour sequence", "\x1b[31mred\x1b[0m", `\x1b[31mred\x1b[0m`},
		{"clipboard sequence", "\x1b]52;c;aGk=\a", `\x1b]52;c;aGk=\x07`},
		{"one-octet control sequence introducer", "a\u009b2Jb", `a\x9b2Jb`},
		{"raw C1 octet is invalid UTF-8", "a\x9b2J", `a\x9b2J`},
		{"line breaks and tabs", "a\r\n\tb", `a\r\n\tb`},
		{"nul and delete", "a\x00\x7f", `a\x00\x7f`},
		{"bidirectional override", "abc\u202etxt.exe", `abc\u202etxt.exe`},
		{"bidirectional isolate", "\u2066a\u2069", `\u2066a\u2069`},
		{"zero width", "a\u200bb\ufeffc", `a\u200bb\ufeffc`},
		{"line separator", "a\u2028b", `a\u2028b`},
		{"tag characters", "a\U000e0041", `a\U000e0041`},
		{"no-break space would hide a difference", "a\u00a0b", `a\xa0b`},
		{"Hangul filler", "a\u3164b", `a\u3164b`},
		{"cut rune", "a\xe2\x82", `a\xe2\x82`},
		{"overlong slash", "\xc0\xaf", `\xc0\xaf`},
		{"surrogate", "\xed\xa0\x80", `\xed\xa0\x80`},
		{"one accent", "e\u0301", "e\u0301"},
		{"a tower of accents", "e" + strings.Repeat("\u0301", 5), "e\u0301\u0301\u0301" + `\u0301\u0301`},
		{"variation selector", "a\ufe0f", `a\ufe0f`},
		{"replacement character that was there", "a\ufffdb", "a\ufffdb"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			if got := clean.Text(row.in); got != row.want {
				t.Errorf("Text(%q) = %q, want %q", row.in, got, row.want)
			}
		})
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "plain", "\x1b[31m", "a\u202eb", "\xff\xfe", "e\u0301\u0301\u0301\u0301", "東京"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := clean.Text(s)
		if !utf8.ValidString(got) {
			t.Fatalf("Text(%q) = %q is not UTF-8", s, got)
		}
		for _, r := range got {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
				t.Fatalf("Text(%q) = %q holds %U", s, got, r)
			}
		}
		if again := clean.Text(got); again != got {
			t.Fatalf("Text(%q) = %q, and again %q", s, got, again)
		}
		if len(got) > 10*len(s) {
			t.Fatalf("Text of %d octets has %d", len(s), len(got))
		}
	})
}

func TestPlainTextIsNotCopied(t *testing.T) {
	s := "C=CH, O=strongSwan, CN=moon.strongswan.org"
	if n := testing.AllocsPerRun(100, func() { clean.Text(s) }); n != 0 {
		t.Errorf("plain text costs %v allocations", n)
	}
}
