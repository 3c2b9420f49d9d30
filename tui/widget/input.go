package widget

import (
	"strings"
	"unicode"

	"github.com/cloudvlan/cvlanctl/tui/theme"
)

// maxInput is how many runes an input line takes.
const maxInput = 1024

// Input is a line that the user types.
type Input struct {
	runes []rune
	at    int
}

// SetText gives the input a text with the cursor behind it.
func (in *Input) SetText(s string) {
	in.runes, in.at = nil, 0
	in.Insert(s)
}

// Text is what was typed.
func (in *Input) Text() string { return string(in.runes) }

// Insert types text at the cursor; what cannot be shown is left out.
func (in *Input) Insert(s string) {
	for _, r := range s {
		if !unicode.IsPrint(r) || len(in.runes) >= maxInput {
			continue
		}
		in.runes = append(in.runes, 0)
		copy(in.runes[in.at+1:], in.runes[in.at:])
		in.runes[in.at] = r
		in.at++
	}
}

// Key handles an editing key by its name; it says whether it was one.
func (in *Input) Key(key string) bool {
	switch key {
	case "left", "ctrl+b":
		in.at = max(0, in.at-1)
	case "right", "ctrl+f":
		in.at = min(len(in.runes), in.at+1)
	case "home", "ctrl+a":
		in.at = 0
	case "end", "ctrl+e":
		in.at = len(in.runes)
	case "backspace", "ctrl+h":
		if in.at > 0 {
			in.runes = append(in.runes[:in.at-1], in.runes[in.at:]...)
			in.at--
		}
	case "delete":
		if in.at < len(in.runes) {
			in.runes = append(in.runes[:in.at], in.runes[in.at+1:]...)
		}
	case "ctrl+u":
		in.runes, in.at = append([]rune(nil), in.runes[in.at:]...), 0
	case "ctrl+w":
		head := strings.TrimRight(string(in.runes[:in.at]), " ")
		cut := strings.LastIndexByte(head, ' ') + 1
		kept := []rune(head[:cut])
		in.runes = append(kept, in.runes[in.at:]...)
		in.at = len(kept)
	default:
		return false
	}
	return true
}

// View draws the input with its cursor as a marked cell.
func (in *Input) View(width int) []theme.Span {
	runes := append(append([]rune(nil), in.runes...), ' ')
	from := max(0, in.at-max(1, width-2))
	return []theme.Span{
		theme.S(theme.Plain, string(runes[from:in.at])),
		theme.S(theme.Mark, string(runes[in.at])),
		theme.S(theme.Plain, string(runes[in.at+1:])),
	}
}
