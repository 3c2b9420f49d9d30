// Package clean makes text from strangers safe to show: identities, vendor
// IDs, notify data, certificate names, log lines.
//
// Contract: what Text returns is valid UTF-8 that holds no control character,
// no escape sequence, and nothing that hides or reorders its neighbours; it
// stays on one line. What was replaced is visible as an escape. Text of clean
// text is the same text. The result is for reading, not for parsing: a
// backslash that was there before is not marked.
package clean

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxMarks is how many combining marks may follow one another before the rest
// is shown as escapes: more than any script needs, fewer than it takes to draw
// over the lines above.
const maxMarks = 3

const digits = "0123456789abcdef"

// Text gives s with every rune that is not a visible character or a space
// replaced by an escape: \n, \r and \t; \x1b for octets of invalid UTF-8 and
// for runes below U+0100; \u202e and \U000e0001 above.
func Text(s string) string {
	i := 0
	for i < len(s) && s[i] >= ' ' && s[i] < 0x7f {
		i++
	}
	if i == len(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	b.WriteString(s[:i])
	marks := 0
	for i < len(s) {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			hex(&b, 'x', uint32(s[i]), 2)
		case unicode.Is(unicode.M, r):
			if marks++; marks > maxMarks || !unicode.IsPrint(r) || unicode.Is(unicode.Variation_Selector, r) {
				escape(&b, r)
			} else {
				b.WriteRune(r)
			}
			i += n
			continue
		case visible(r):
			b.WriteRune(r)
		default:
			escape(&b, r)
		}
		marks = 0
		i += n
	}
	return b.String()
}

// visible says whether r stands for itself. unicode.IsPrint refuses controls,
// format characters (bidirectional overrides, zero-width joiners, tags), every
// space but U+0020, surrogates and private use; the fillers are letters that
// draw nothing.
func visible(r rune) bool {
	switch r {
	case 0x115f, 0x1160, 0x3164, 0xffa0: // Hangul fillers
		return false
	case 0x2800: // blank Braille pattern
		return false
	}
	return unicode.IsPrint(r)
}

func escape(b *strings.Builder, r rune) {
	switch {
	case r == '\n':
		b.WriteString(`\n`)
	case r == '\r':
		b.WriteString(`\r`)
	case r == '\t':
		b.WriteString(`\t`)
	case r < 0x100:
		hex(b, 'x', uint32(r), 2)
	case r < 0x10000:
		hex(b, 'u', uint32(r), 4)
	default:
		hex(b, 'U', uint32(r), 8)
	}
}

func hex(b *strings.Builder, kind byte, v uint32, n int) {
	b.WriteByte('\\')
	b.WriteByte(kind)
	for n--; n >= 0; n-- {
		b.WriteByte(digits[v>>(4*n)&15])
	}
}
