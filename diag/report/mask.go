package report

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// mask puts pseudonyms in place of what tells who somebody is.
type mask struct {
	names map[string]string
	order []string // the longest first, so that no part of one is replaced
	addrs map[string]string
	spis  map[string]string
}

// addresses finds what may be an IP address, with or without a prefix length.
var addresses = regexp.MustCompile(`\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*`)

// identities finds names and mail addresses that no table holds.
var identities = regexp.MustCompile(`'[^']{2,200}'|"[^"]{2,200}"|\b[\w.-]+@[\w-]+(\.[\w-]+)+\b|\b([a-zA-Z][\w-]*\.)+[a-zA-Z]{2,}\b|\b(CN|O|OU|C|L|ST)=[^,;'"\n]+(, *\w+=[^,;'"\n]+)*`)

// ours are words with a dot that name nobody: files, settings, chains.
var ours = regexp.MustCompile(`^(connections|secrets|charon|swanctl|strongswan|net|ike|ipsec)\b|\.(conf|pcap|md)$|^(e\.g|i\.e)`)

func newMask(t *trace.Trace) *mask {
	m := &mask{names: map[string]string{}, addrs: map[string]string{}, spis: map[string]string{}}
	for _, sa := range t.SAs {
		for _, id := range []string{sa.Local.ID, sa.Remote.ID, sa.RemoteEAPID, sa.RemoteXAuthID} {
			m.name(id, "identity")
		}
		m.name(sa.Name, "connection")
		for _, c := range sa.Children {
			m.name(c.Name, "child")
		}
	}
	return m
}

// name gives the pseudonym of a name, "" for none.
func (m *mask) name(name, kind string) string {
	if len(name) < 2 {
		return name
	}
	if _, ok := m.names[name]; !ok {
		m.names[name] = fmt.Sprintf("%s-%d", kind, len(m.names)+1)
		m.order = append(m.order, name)
		slices.SortFunc(m.order, func(a, b string) int {
			return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b))
		})
	}
	return m.names[name]
}

func (m *mask) text(s string) string {
	for _, n := range m.order {
		if !strings.Contains(s, n) {
			continue
		}
		s = regexp.MustCompile(`(^|[^\w-])`+regexp.QuoteMeta(n)+`($|[^\w-])`).ReplaceAllString(s, "${1}"+m.names[n]+"${2}")
	}
	s = addresses.ReplaceAllStringFunc(s, func(word string) string {
		host := strings.TrimRight(word, ".:")
		a, err := netip.ParseAddr(host)
		if err != nil {
			return word
		}
		key := a.Unmap().String()
		if m.addrs[key] == "" {
			m.addrs[key] = fmt.Sprintf("address-%d", len(m.addrs)+1)
		}
		return m.addrs[key] + word[len(host):]
	})
	return identities.ReplaceAllStringFunc(s, func(word string) string {
		if ours.MatchString(strings.Trim(word, `'"`)) || strings.Contains(word, "address-") || strings.Contains(word, "identity-") {
			return word
		}
		if bare := strings.Trim(word, `'"`); bare != word {
			return word[:1] + m.name(bare, "name") + word[len(word)-1:]
		}
		return m.name(word, "name")
	})
}

func (m *mask) report(r *Report) {
	kind, _, _ := strings.Cut(r.Source, ":")
	r.Source = kind
	roles := map[string]string{}
	for i := range r.Findings {
		f := &r.Findings[i]
		role := r.roles[f.Subject.SPIi]
		s := &f.Subject
		s.Local, s.Remote = m.text(s.Local), m.text(s.Remote)
		s.Connection = m.name(s.Connection, "connection")
		s.SPIi, s.SPIr, s.ChildSPI = m.spi(s.SPIi, 16), m.spi(s.SPIr, 16), m.spi(s.ChildSPI, 8)
		roles[s.SPIi] = role
		f.Summary, f.Cause, f.Surer = m.text(f.Summary), m.text(f.Cause), m.text(f.Surer)
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

// spi gives a number in place of an SPI that has the form of one.
func (m *mask) spi(s string, digits int) string {
	if s == "" {
		return ""
	}
	if m.spis[s] == "" {
		m.spis[s] = fmt.Sprintf("%0*x", digits, len(m.spis)+1)
	}
	return m.spis[s]
}
