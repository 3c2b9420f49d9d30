package rule

import (
	"slices"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/auth"
)

// nearMends say what to change where the peer's key is a near miss of ours, for
// every kind. The side is the one whose key is more likely the odd one.
var nearMends = []struct {
	kinds        []string
	side, change string
}{
	{[]string{"trailing-lf", "trailing-crlf", "trailing-cr", "trailing-nul", "quoted-lf"}, "remote",
		"Take the line end off the key: printf '%s' 'KEY' > file, not echo; one line, secret = \"KEY\""},
	{[]string{"double-quoted", "single-quoted"}, "remote", "Take the quotes off the key: in a file, an environment variable or a web form they are part of it"},
	{[]string{"unquoted"}, "local", "Take the quotes off the key of this side: they are part of it here"},
	{[]string{"trailing-blank", "leading-blank", "trailing-tab"}, "remote", "Take the blank off the key; secret = \"KEY\" in quotes shows where it ends"},
	{[]string{"trimmed", "without-leading-blanks", "without-trailing-blanks"}, "local", "Take the blanks off the key of this side, or give the peer the key with them"},
	{[]string{"without-line-end"}, "local", "Take the line end off the key of this side, or give the peer the key with it"},
	{[]string{"hex-decoded", "hex-encoded", "hex-encoded-0x", "hex-encoded-upper", "with-0x", "without-0x",
		"base64-decoded", "base64-encoded", "base64-encoded-0s", "with-0s", "without-0s"}, "both",
		"Say on both sides whether the key is text or digits: strongSwan reads secret = 0x... as hexadecimal and 0s... as base64, others take them as text"},
	{[]string{"latin-1", "utf-8", "utf-16le", "utf-16be", "utf-16le-bom", "utf-16be-bom", "from-utf-16le", "from-utf-16be"}, "both",
		"Use a key of ASCII letters and digits alone, on both sides: the sides encode others in different ways"},
	{[]string{"with-bom"}, "remote", "Save the file with the key as UTF-8 without a byte order mark"},
	{[]string{"without-bom"}, "local", "Save the file with the key as UTF-8 without a byte order mark"},
	{[]string{"lower-case", "upper-case", "first-capital", "swapped-case"}, "remote", "Write the key with the same capitals and small letters on both sides"},
	{[]string{"cut-at-hash", "cut-at-blank", "cut-at-quote", "cut-at-semicolon", "cut-at-dollar", "without-backslashes", "doubled-backslashes", "escaped", "unescaped"}, "remote",
		"Put the key in quotes where it is configured, or choose one without # ; \" $ \\ & and blanks, on both sides"},
	{[]string{"cut-to-32", "cut-to-63", "cut-to-64", "cut-to-127", "cut-to-128"}, "both", "Choose a shorter key, on both sides: the peer does not keep all octets of this one"},
	{[]string{"twice"}, "remote", "Enter the key once: it stands there twice"},
	{[]string{"empty"}, "remote", "Enter the key: it is empty there"},
	{[]string{auth.NearOther}, "both", "Find out which key is for this connection: secrets.ike-<x>.id = the other side's identity, on both sides"},
}

// nearRemedies gives what to change for a kind of near miss; nil for a kind
// that is not known.
func nearRemedies(kind string) []diag.Remedy {
	for _, m := range nearMends {
		if slices.Contains(m.kinds, kind) {
			return []diag.Remedy{{Side: m.side, Platform: "any", Change: m.change}}
		}
	}
	return nil
}
