package wire

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Escape makes text from a stranger safe to print: what is not printable
// Unicode (control characters, escape sequences, direction marks, invalid
// UTF-8) becomes \xNN or \uNNNN, and a backslash \\.
func Escape(b []byte) string {
	clean := true
	for _, c := range b {
		if c < 0x20 || c >= 0x7f || c == '\\' {
			clean = false
			break
		}
	}
	if clean {
		return string(b)
	}
	var s strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n <= 1:
			fmt.Fprintf(&s, `\x%02x`, b[0])
			n = 1
		case r == '\\':
			s.WriteString(`\\`)
		case strconv.IsPrint(r):
			s.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&s, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&s, `\u%04x`, r)
		default:
			fmt.Fprintf(&s, `\U%08x`, r)
		}
		b = b[n:]
	}
	return s.String()
}

// readable says whether b is a text of at least four printable ASCII
// characters.
func readable(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	for _, c := range b {
		if c < 0x20 || c >= 0x7f {
			return false
		}
	}
	return true
}

// maxShown is how many octets of a long value a tree shows.
const maxShown = 32

// hexText gives octets as hexadecimal digits, long values cut with their
// length.
func hexText(b []byte) string {
	switch {
	case len(b) == 0:
		return "empty"
	case len(b) <= maxShown:
		return hex.EncodeToString(b)
	}
	return fmt.Sprintf("%s… (%d octets)", hex.EncodeToString(b[:maxShown]), len(b))
}
