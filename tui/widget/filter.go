package widget

import "strings"

// Filter says which rows are shown. It is made of terms that must all hold:
// a word (somewhere in the row), key=value (in that field), either with a "!"
// before it to mean the opposite. Case does not matter.
type Filter struct {
	Text  string // as typed
	terms []term
}

type term struct {
	not        bool
	key, value string
}

// ParseFilter reads a filter.
func ParseFilter(text string) Filter {
	f := Filter{Text: strings.TrimSpace(text)}
	for word := range strings.FieldsSeq(strings.ToLower(text)) {
		var t term
		if rest, ok := strings.CutPrefix(word, "!"); ok {
			t.not, word = true, rest
		}
		if key, value, ok := strings.Cut(word, "="); ok && key != "" {
			t.key, t.value = key, value
		} else {
			t.value = word
		}
		if t.value != "" {
			f.terms = append(f.terms, t)
		}
	}
	return f
}

// Empty says that every row is shown.
func (f Filter) Empty() bool { return len(f.terms) == 0 }

// Match says whether a row is shown. field gives the text of a field, and the
// whole row's for ""; a field that a row does not have is "".
func (f Filter) Match(field func(key string) string) bool {
	for _, t := range f.terms {
		if strings.Contains(strings.ToLower(field(t.key)), t.value) == t.not {
			return false
		}
	}
	return true
}
