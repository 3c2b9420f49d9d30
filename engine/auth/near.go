package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"html"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/cloudvlan/cvlanctl/engine/suite"
)

// The bounds of a search for near misses of a pre-shared key.
const (
	maxNearKey  = 4096 // octets of a key that is respelled
	maxOtherKey = 64   // keys for others that are tried
)

// NearMiss is a pre-shared key that comes from another by what commonly happens
// to it between an operator and a daemon: a line end, quotes, an encoding.
type NearMiss struct {
	ID   string // stable: "trailing-lf"
	Says string // completes "our key": "with a line feed (LF) after it"
	Key  suite.Secret
}

// respelling makes one near miss of a key's octets, nil where the key has none
// of the kind.
type respelling struct {
	id, says string
	make     func(key []byte) []byte
}

// respellings are all kinds, the likeliest first. They are few on purpose: this
// names a mistake and guesses no keys.
var respellings = []respelling{
	{"trailing-lf", "with a line feed (LF) after it", after("\n")},
	{"without-line-end", "without the line end after it", func(k []byte) []byte { return bytes.TrimRight(k, "\r\n") }},
	{"unquoted", "without the quotes around it", unquoted},
	{"hex-decoded", "read as hexadecimal digits", hexDecoded},
	{"double-quoted", "in double quotes", around(`"`, `"`)},
	{"trailing-crlf", "with a line end of Windows (CR LF) after it", after("\r\n")},
	{"single-quoted", "in single quotes", around("'", "'")},
	{"trailing-blank", "with a blank after it", after(" ")},
	{"leading-blank", "with a blank before it", before(" ")},
	{"trimmed", "without the blanks around it", bytes.TrimSpace},
	{"without-leading-blanks", "without the blanks before it", func(k []byte) []byte { return bytes.TrimLeftFunc(k, unicode.IsSpace) }},
	{"without-trailing-blanks", "without the blanks after it", func(k []byte) []byte { return bytes.TrimRightFunc(k, unicode.IsSpace) }},
	{"base64-decoded", "read as base64", base64Decoded},
	{"hex-encoded", "written as hexadecimal digits", func(k []byte) []byte { return []byte(hex.EncodeToString(k)) }},
	{"hex-encoded-0x", "written as hexadecimal digits after 0x", func(k []byte) []byte { return []byte("0x" + hex.EncodeToString(k)) }},
	{"hex-encoded-upper", "written as hexadecimal digits in capitals", func(k []byte) []byte { return []byte(strings.ToUpper(hex.EncodeToString(k))) }},
	{"base64-encoded", "written as base64", func(k []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(k)) }},
	{"base64-encoded-0s", "written as base64 after 0s", func(k []byte) []byte { return []byte("0s" + base64.StdEncoding.EncodeToString(k)) }},
	{"with-0x", "with 0x before it, as text", before("0x")},
	{"without-0x", "without the 0x before it, as text", func(k []byte) []byte { return cutPrefix(k, "0x", "0X") }},
	{"with-0s", "with 0s before it, as text", before("0s")},
	{"without-0s", "without the 0s before it, as text", func(k []byte) []byte { return cutPrefix(k, "0s", "0S") }},
	{"latin-1", "in Latin-1 instead of UTF-8", latin1},
	{"utf-8", "in UTF-8 instead of Latin-1", fromLatin1},
	{"utf-16le", "in UTF-16, little endian", inUTF16(binary.LittleEndian, false)},
	{"utf-16be", "in UTF-16, big endian", inUTF16(binary.BigEndian, false)},
	{"utf-16le-bom", "in UTF-16, little endian, after a byte order mark", inUTF16(binary.LittleEndian, true)},
	{"utf-16be-bom", "in UTF-16, big endian, after a byte order mark", inUTF16(binary.BigEndian, true)},
	{"from-utf-16le", "in UTF-8 instead of UTF-16, little endian", fromUTF16(binary.LittleEndian)},
	{"from-utf-16be", "in UTF-8 instead of UTF-16, big endian", fromUTF16(binary.BigEndian)},
	{"with-bom", "after a byte order mark (EF BB BF)", before("\ufeff")},
	{"without-bom", "without the byte order mark before it", func(k []byte) []byte { return cutPrefix(k, "\ufeff") }},
	{"lower-case", "in small letters", bytes.ToLower},
	{"upper-case", "in capitals", bytes.ToUpper},
	{"first-capital", "with a capital first", firstCapital},
	{"swapped-case", "with capitals and small letters swapped", swappedCase},
	{"quoted-lf", "in double quotes, with a line feed (LF) after it", around(`"`, "\"\n")},
	{"trailing-cr", "with a carriage return (CR) after it", after("\r")},
	{"trailing-tab", "with a tabulator after it", after("\t")},
	{"trailing-nul", "with a zero octet after it", after("\x00")},
	{"cut-at-hash", "cut off where a # begins a comment", cutAt("#")},
	{"cut-at-blank", "cut off at the first blank", cutAt(" ")},
	{"cut-at-quote", "cut off at the first quote", cutAt(`"`)},
	{"cut-at-semicolon", "cut off at the first semicolon", cutAt(";")},
	{"cut-at-dollar", "with what follows a $ taken for a variable", withoutVariables},
	{"without-backslashes", "with its backslashes taken for escapes", func(k []byte) []byte { return bytes.ReplaceAll(k, []byte(`\`), nil) }},
	{"doubled-backslashes", "with its backslashes doubled", func(k []byte) []byte { return bytes.ReplaceAll(k, []byte(`\`), []byte(`\\`)) }},
	{"escaped", "with & < > and quotes written as in HTML", func(k []byte) []byte { return []byte(html.EscapeString(string(k))) }},
	{"unescaped", "with & and what follows read as in HTML", func(k []byte) []byte { return []byte(html.UnescapeString(string(k))) }},
	{"cut-to-32", "cut to 32 octets", cutTo(32)},
	{"cut-to-63", "cut to 63 octets", cutTo(63)},
	{"cut-to-64", "cut to 64 octets", cutTo(64)},
	{"cut-to-127", "cut to 127 octets", cutTo(127)},
	{"cut-to-128", "cut to 128 octets", cutTo(128)},
	{"twice", "twice, one after the other", func(k []byte) []byte { return slices.Concat(k, k) }},
	{"empty", "left empty", func([]byte) []byte { return []byte{} }},
}

// NearMissIDs are the kinds of near misses, the likeliest first.
func NearMissIDs() []string {
	ids := make([]string, len(respellings))
	for i := range respellings {
		ids[i] = respellings[i].id
	}
	return ids
}

// NearMisses gives what a key is commonly mistaken for, the likeliest first,
// each once and never the key itself: at most one for each of NearMissIDs. A key
// of more than 4096 octets has none.
func NearMisses(key suite.Secret) []NearMiss {
	octets := key.Reveal()
	defer clear(octets)
	if len(octets) > maxNearKey {
		return nil
	}
	var out []NearMiss
	for i := range respellings {
		r := &respellings[i]
		b := r.make(slices.Clone(octets))
		if b == nil || bytes.Equal(b, octets) || len(b) == 0 && r.id != "empty" {
			continue
		}
		n := NearMiss{ID: r.id, Says: r.says, Key: suite.NewSecret(b)}
		clear(b)
		if !slices.ContainsFunc(out, func(o NearMiss) bool { return o.Key.Equal(n.Key) }) {
			out = append(out, n)
		}
	}
	return out
}

func after(tail string) func([]byte) []byte {
	return func(k []byte) []byte { return append(k, tail...) }
}

func before(head string) func([]byte) []byte {
	return func(k []byte) []byte { return append([]byte(head), k...) }
}

func around(head, tail string) func([]byte) []byte {
	return func(k []byte) []byte { return slices.Concat([]byte(head), k, []byte(tail)) }
}

func unquoted(k []byte) []byte {
	if n := len(k); n > 2 && k[0] == k[n-1] && (k[0] == '"' || k[0] == '\'') {
		return k[1 : n-1]
	}
	return nil
}

// cutPrefix takes the first prefix off that fits, nil where none does.
func cutPrefix(k []byte, prefixes ...string) []byte {
	for _, p := range prefixes {
		if rest, ok := bytes.CutPrefix(k, []byte(p)); ok {
			return rest
		}
	}
	return nil
}

func hexDecoded(k []byte) []byte {
	digits := k
	if rest := cutPrefix(k, "0x", "0X"); rest != nil {
		digits = rest
	}
	b, err := hex.DecodeString(string(digits))
	if err != nil {
		return nil
	}
	return b
}

func base64Decoded(k []byte) []byte {
	digits := k
	if rest := cutPrefix(k, "0s", "0S"); rest != nil {
		digits = rest
	}
	text := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(string(digits), "="))
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return b
}

// latin1 writes UTF-8 with more than ASCII in one octet a character.
func latin1(k []byte) []byte {
	if !utf8.Valid(k) {
		return nil
	}
	var out []byte
	for _, r := range string(k) {
		if r > 0xff {
			return nil
		}
		out = append(out, byte(r))
	}
	return out
}

// fromLatin1 takes each octet for a character, as does what encodes UTF-8 twice.
func fromLatin1(k []byte) []byte {
	var out []byte
	for _, c := range k {
		out = utf8.AppendRune(out, rune(c))
	}
	return out
}

func inUTF16(order binary.AppendByteOrder, mark bool) func([]byte) []byte {
	return func(k []byte) []byte {
		if !utf8.Valid(k) {
			return nil
		}
		var out []byte
		if mark {
			out = order.AppendUint16(out, 0xfeff)
		}
		for _, u := range utf16.Encode([]rune(string(k))) {
			out = order.AppendUint16(out, u)
		}
		return out
	}
}

func fromUTF16(order binary.ByteOrder) func([]byte) []byte {
	return func(k []byte) []byte {
		if len(k)%2 != 0 {
			return nil
		}
		units := make([]uint16, len(k)/2)
		for i := range units {
			units[i] = order.Uint16(k[2*i:])
		}
		if len(units) > 0 && units[0] == 0xfeff {
			units = units[1:]
		}
		text := string(utf16.Decode(units))
		if strings.ContainsFunc(text, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }) {
			return nil // it is no text
		}
		return []byte(text)
	}
}

func firstCapital(k []byte) []byte {
	r, n := utf8.DecodeRune(k)
	return append(utf8.AppendRune(nil, unicode.ToUpper(r)), k[n:]...)
}

func swappedCase(k []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, k)
}

// cutAt is what a reader of configuration leaves that stops at a sign, with
// the blanks before the sign.
func cutAt(sign string) func([]byte) []byte {
	return func(k []byte) []byte {
		head, _, found := bytes.Cut(k, []byte(sign))
		if !found {
			return nil
		}
		return bytes.TrimRightFunc(head, unicode.IsSpace)
	}
}

// withoutVariables is what a shell leaves of a key in double quotes where none
// of the variables is set.
func withoutVariables(k []byte) []byte {
	var out []byte
	for i := 0; i < len(k); i++ {
		if k[i] != '$' || i+1 == len(k) || !isWord(k[i+1]) {
			out = append(out, k[i])
			continue
		}
		digit := k[i+1] >= '0' && k[i+1] <= '9'
		for i+1 < len(k) && isWord(k[i+1]) {
			i++
			if digit {
				break // $1 is one digit
			}
		}
	}
	return out
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func cutTo(n int) func([]byte) []byte {
	return func(k []byte) []byte {
		if len(k) <= n {
			return nil
		}
		return k[:n]
	}
}
