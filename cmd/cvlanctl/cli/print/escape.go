package print

import "unicode/utf8"

// Escape gives JSON text with the characters that could steer a terminal
// written as \u escapes: DEL, the C1 controls, and those that turn the
// direction of text. They stand only inside strings, so the value stays the
// same; encoding/json has escaped the C0 controls already. It gives b itself
// where there is none. b must end between characters.
func Escape(b []byte) []byte {
	const digits = "0123456789abcdef"
	var out []byte
	start := 0
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf && b[i] != 0x7f {
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if steers(r) {
			out = append(out, b[start:i]...)
			out = append(out, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
			start = i + n
		}
		i += n
	}
	if out == nil {
		return b
	}
	return append(out, b[start:]...)
}

func steers(r rune) bool {
	return r >= 0x7f && r < 0xa0 || r == 0x61c || r >= 0x200b && r <= 0x200f ||
		r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}
