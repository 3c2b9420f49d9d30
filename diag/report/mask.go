package report

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cloudvlan/cvlanctl/diag"
)

// mask puts pseudonyms in place of what tells who somebody is: first the names
// that the facts hold, wherever they stand in a text, then whatever has the form
// of an address, a host's name, an identity, a path or an SPI.
type mask struct {
	names map[string]string // pseudonym by name
	order []string          // the longest first, so that no part of one is replaced
	count map[string]int    // of each kind of pseudonym
	said  []string          // pseudonyms by placeholder
	holds map[string]string // placeholder by pseudonym
}

// A pseudonym stands in a text as one rune of the private range until all are
// found: so none is taken for a name again. Strangers' runes of that range are
// replaced before.
const (
	firstPlaceholder = '\uE000'
	lastPlaceholder  = '\uF8FF'
)

func newMask(f *diag.Facts) *mask {
	m := &mask{names: map[string]string{}, count: map[string]int{}, holds: map[string]string{}}
	m.collect(f)
	// The same facts give the same pseudonyms, whatever was collected first.
	slices.SortFunc(m.order, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	return m
}

// name gives the pseudonym of a name, "" for none.
func (m *mask) name(name, kind string) string {
	if name == "" {
		return ""
	}
	if m.names[name] == "" {
		m.count[kind]++
		m.names[name] = fmt.Sprintf("%s-%d", kind, m.count[kind])
	}
	return m.names[name]
}

// placeholder gives the rune that stands for a pseudonym.
func (m *mask) placeholder(pseudonym string) string {
	if h, ok := m.holds[pseudonym]; ok {
		return h
	}
	if len(m.said) > lastPlaceholder-firstPlaceholder {
		return "?"
	}
	h := string(firstPlaceholder + rune(len(m.said)))
	m.said = append(m.said, pseudonym)
	m.holds[pseudonym] = h
	return h
}

// hide gives the placeholder for a name of a kind.
func (m *mask) hide(name, kind string) string { return m.placeholder(m.name(name, kind)) }

var (
	v4 = regexp.MustCompile(`\d{1,3}(\.\d{1,3}){3}`)
	v6 = regexp.MustCompile(`[0-9a-fA-F:]*:[0-9a-fA-F:]*(%\w+)?`)
	// An apostrophe within a word opens nothing.
	quoted = regexp.MustCompile(`\B'[^']{1,200}'|"[^"]{1,200}"`)
	mails  = regexp.MustCompile(`[\w.+-]+@[\w.-]+`)
	dotted = regexp.MustCompile(`\b([\w-]+\.)+[a-zA-Z][\w-]*`)
	rdns   = regexp.MustCompile(`\b(CN|OU?|C|L|ST|DC|UID|E|SN|GN|serialNumber|emailAddress) *= *[^,;'"\n\x{E000}-\x{F8FF}]+`)
	paths  = regexp.MustCompile(`\B(/[\w.@+-]+){2,}`)
	// A number in the form of an SPI has a letter, unlike a count.
	spis = regexp.MustCompile(`\b([0-9a-f]{16}|[0-9a-f]{8})\b`)
)

// text gives a text with pseudonyms.
func (m *mask) text(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= firstPlaceholder && r <= lastPlaceholder {
			return '?'
		}
		return r
	}, s)
	s = m.replaceNames(s)
	s = mails.ReplaceAllStringFunc(s, func(w string) string { return m.hide(w, "name") })
	s = v4.ReplaceAllStringFunc(s, m.address)
	s = v6.ReplaceAllStringFunc(s, m.v6)
	s = paths.ReplaceAllStringFunc(s, func(w string) string {
		if ours().paths[w] {
			return w
		}
		return m.hide(w, "path")
	})
	s = rdns.ReplaceAllStringFunc(s, func(w string) string { return m.hide(w, "name") })
	s = quoted.ReplaceAllStringFunc(s, func(w string) string {
		bare := w[1 : len(w)-1]
		if ours().quoted[bare] || !strings.ContainsFunc(bare, telling) {
			return w
		}
		return w[:1] + m.hide(bare, "name") + w[len(w)-1:]
	})
	s = dotted.ReplaceAllStringFunc(s, func(w string) string {
		if ours().setting(w) {
			return w
		}
		return m.hide(w, "name")
	})
	s = spis.ReplaceAllStringFunc(s, func(w string) string {
		if !strings.ContainsAny(w, "abcdef") && m.names[w] == "" {
			return w
		}
		return m.placeholder(m.spi(w))
	})
	return m.shown(s)
}

// telling says that a rune of what stands in quotes can tell something: it is
// no placeholder, and no mere punctuation.
func telling(r rune) bool {
	return r >= utf8.RuneSelf && (r < firstPlaceholder || r > lastPlaceholder) ||
		r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// shown puts the pseudonyms in place of their placeholders.
func (m *mask) shown(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r >= firstPlaceholder && r <= lastPlaceholder }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if i := int(r - firstPlaceholder); r >= firstPlaceholder && i < len(m.said) {
			b.WriteString(m.said[i])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// aWord is how many octets make a name that is replaced within words too. A
// shorter one is replaced where it stands alone, and a single letter, which
// may be the article, only where nothing but a name can stand.
const aWord = 4

// replaceNames replaces the names of the facts.
func (m *mask) replaceNames(s string) string {
	for _, n := range m.order {
		at := 0
		for {
			i := strings.Index(s[at:], n)
			if i < 0 {
				break
			}
			i += at
			before, after := s[:i], s[i+len(n):]
			if !stands(before, n, after) {
				at = i + 1
				continue
			}
			h := m.placeholder(m.names[n])
			s = before + h + after
			at = i + len(h)
		}
	}
	return s
}

// stands says that a name is meant between what is before it and after it.
func stands(before, n, after string) bool {
	if len(n) >= aWord {
		return true
	}
	b, _ := utf8.DecodeLastRuneInString(before)
	a, _ := utf8.DecodeRuneInString(after)
	if len(n) > 1 {
		return !inWord(b) && !inWord(a)
	}
	return strings.ContainsRune(`'"`, b) && b == a || strings.HasSuffix(before, "= ") && (a == utf8.RuneError || a == ' ' || a == ';') ||
		(strings.HasSuffix(before, "connections.") || strings.HasSuffix(before, "children.")) && !inWord(a) ||
		(strings.HasSuffix(before, "connection ") || strings.HasSuffix(before, "child ")) && !inWord(a)
}

func inWord(r rune) bool {
	return r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

func (m *mask) address(word string) string {
	a, err := netip.ParseAddr(word)
	if err != nil {
		return word
	}
	return m.hide(a.Unmap().WithZone("").String(), "address")
}

// v6 replaces the address in a run of hexadecimal digits and colons, which may
// begin or end with a colon of the sentence.
func (m *mask) v6(word string) string {
	for from := 0; from < len(word); from++ {
		for _, end := range []int{len(word), len(strings.TrimRight(word, ":"))} {
			if end <= from {
				continue
			}
			if a, err := netip.ParseAddr(word[from:end]); err == nil && !a.IsUnspecified() {
				return word[:from] + m.hide(a.Unmap().WithZone("").String(), "address") + word[end:]
			}
		}
	}
	return word
}

// report puts pseudonyms into all that a report shows.
func (m *mask) report(r *Report) {
	r.Source, _, _ = strings.Cut(r.Source, ":")
	r.Claims = m.texts(r.Claims)
	roles := map[string]string{}
	for i := range r.Findings {
		f := &r.Findings[i]
		role := r.roles[f.Subject.SPIi]
		s := &f.Subject
		s.Local, s.Remote = m.text(s.Local), m.text(s.Remote)
		s.Connection = m.name(s.Connection, "connection")
		s.SPIi, s.SPIr, s.ChildSPI = m.spi(s.SPIi), m.spi(s.SPIr), m.spi(s.ChildSPI)
		roles[s.SPIi] = role
		f.Summary, f.Cause, f.Surer = m.text(f.Summary), m.text(f.Cause), m.text(f.Surer)
		f.Claims = m.texts(f.Claims)
		f.Remedies, f.Evidence = slices.Clone(f.Remedies), slices.Clone(f.Evidence)
		for j := range f.Remedies {
			f.Remedies[j].Change = m.text(f.Remedies[j].Change)
		}
		for j := range f.Evidence {
			f.Evidence[j].What = m.text(f.Evidence[j].What)
		}
	}
	r.roles = roles
}

func (m *mask) texts(l []string) []string {
	l = slices.Clone(l)
	for i := range l {
		l[i] = m.text(l[i])
	}
	return l
}

// spi gives a number in place of an SPI that has the form of one.
func (m *mask) spi(s string) string {
	if s == "" {
		return ""
	}
	if m.names[s] == "" {
		m.count["spi"]++
		m.names[s] = fmt.Sprintf("%0*x", len(s), m.count["spi"])
	}
	return m.names[s]
}
