package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Certificates are those that a connection's section holds, PEM or DER.
type Certificates struct {
	Own         [][]byte // of this node
	Peer        [][]byte // the only ones taken from the peer
	Authorities [][]byte // that may vouch for the peer
}

// The proposals of a connection that names none, or "default": what any peer of
// today has, best first.
var (
	anyIKE = []string{
		"aes256gcm16-aes128gcm16-chacha20poly1305-prfsha256-prfsha384-prfsha512-curve25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048",
		"aes256-aes128-sha256-sha384-sha512-prfsha256-prfsha384-prfsha512-curve25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp2048",
	}
	anyESP = []string{"aes256gcm16-aes128gcm16-chacha20poly1305", "aes256-aes128-sha256-sha384-sha512"}
)

// ReadConnection reads the section that swanctl.conf has under
// connections.NAME, with certificates in place of their paths: the reverse of
// what Tree.VICI makes of a Connection. Its certificates come beside it; it
// names no secrets, for they are loaded apart. What neither a policy nor our own
// engine can do is refused with backend.ErrUnsupported, never left out in
// silence; what makes no sense with backend.ErrRefused.
func ReadConnection(name string, s *backend.Section) (*Connection, *Certificates, error) {
	r := &sectionReader{}
	c, certs := r.connection(name, s)
	if r.err != nil {
		return nil, nil, fmt.Errorf("connection %s: %w", name, r.err)
	}
	return c, certs, nil
}

// sectionReader keeps the first error.
type sectionReader struct {
	within string // the section that is being read: "children.net."
	err    error
}

func (r *sectionReader) refuse(name, format string, args ...any) {
	r.fail(backend.ErrRefused, name, format, args...)
}

func (r *sectionReader) unsupported(name, format string, args ...any) {
	r.fail(backend.ErrUnsupported, name, format, args...)
}

func (r *sectionReader) fail(kind error, name, format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%s%s: %s: %w", r.within, name, fmt.Sprintf(format, args...), kind)
	}
}

// words gives an entry's values, however they are written: as a list, or as one
// value with commas.
func words(i *backend.Item) []string {
	if i.Section != nil {
		return nil
	}
	list := i.List
	if list == nil {
		list = strings.Split(i.Value, ",")
	}
	var all []string
	for _, w := range list {
		if w = strings.TrimSpace(w); w != "" {
			all = append(all, w)
		}
	}
	return all
}

// word gives an entry's one value.
func word(i *backend.Item) string {
	if len(i.List) == 1 {
		return i.List[0]
	}
	return i.Value
}

// readSetting reads one entry.
type readSetting func(r *sectionReader, i *backend.Item)

// read gives every entry of a section to the setting of its name; sub takes
// those that are sections, harmless names settings that our engine does not have
// and the values of them that ask for nothing.
func (r *sectionReader) read(s *backend.Section, settings map[string]readSetting, harmless map[string]string, sub func(i *backend.Item) bool) {
	if s == nil {
		return
	}
	for k := range s.Items {
		i := &s.Items[k]
		switch f := settings[i.Name]; {
		case r.err != nil:
			return
		case i.Section != nil:
			if sub == nil || !sub(i) {
				r.refuse(i.Name, "it is not known as a section")
			}
		case f != nil:
			f(r, i)
		default:
			values, found := harmless[i.Name]
			switch {
			case !found:
				r.refuse(i.Name, "it is not known as a setting")
			case !harmlessValue(values, i):
				r.unsupported(i.Name, "the value %s", quoted(strings.Join(words(i), ", ")))
			}
		}
	}
}

// harmlessValue says whether a setting that our engine does not have asks for
// nothing: "*" is any value.
func harmlessValue(values string, i *backend.Item) bool {
	if values == "*" {
		return true
	}
	for _, w := range words(i) {
		ok := false
		for _, v := range strings.Fields(values) {
			ok = ok || strings.EqualFold(v, w)
		}
		if !ok {
			return false
		}
	}
	return true
}

// parsedInto reads a list of values.
func parsedInto[T any](into *[]T, parse func(string) (T, error)) readSetting {
	return func(r *sectionReader, i *backend.Item) {
		*into = nil
		for _, w := range words(i) {
			v, err := parse(w)
			if err != nil {
				r.refuse(i.Name, "%v", err)
				return
			}
			*into = append(*into, v)
		}
	}
}

// choiceInto reads one of some words; other words that mean the same stand
// behind an equals sign: "clear none=clear".
func choiceInto(into *string, choices string) readSetting {
	return func(r *sectionReader, i *backend.Item) {
		for _, c := range strings.Fields(choices) {
			name, means, alias := strings.Cut(c, "=")
			if !alias {
				means = name
			}
			if strings.EqualFold(name, word(i)) {
				*into = means
				return
			}
		}
		r.refuse(i.Name, "%s is not one of its values", quoted(word(i)))
	}
}

// yesInto reads a yes or no in any of swanctl's words.
func yesInto(into *bool) readSetting {
	return func(r *sectionReader, i *backend.Item) {
		switch strings.ToLower(word(i)) {
		case "yes", "true", "enabled", "1":
			*into = true
		case "no", "false", "disabled", "0":
			*into = false
		default:
			r.refuse(i.Name, "%s is neither yes nor no", quoted(word(i)))
		}
	}
}

// proposalsInto reads proposals in swanctl's spelling.
func proposalsInto(into *[]Proposal, p wire.ProtocolID, usual []string) readSetting {
	return func(r *sectionReader, i *backend.Item) {
		list := words(i)
		if len(list) == 0 || len(list) == 1 && strings.EqualFold(list[0], "default") {
			list = usual
		}
		for _, w := range list {
			if _, err := wire.ParseProposal(p, w); err != nil {
				r.refuse(i.Name, "%v", err)
				return
			}
		}
		*into = parseProposals(p, list)
	}
}

// timeInto reads a time: seconds, or a number with a unit.
func timeInto(into *time.Duration, given *bool) readSetting {
	return func(r *sectionReader, i *backend.Item) {
		v, err := secondsOf(word(i))
		if err != nil {
			r.refuse(i.Name, "%v", err)
			return
		}
		*into = v
		if given != nil {
			*given = true
		}
	}
}

var errNoTime = errors.New("want a number of seconds, or one with the unit s, m, h or d, of at most 10 years")

func secondsOf(s string) (time.Duration, error) {
	digits := strings.TrimRight(s, "smhd")
	unit := time.Second
	switch s[len(digits):] {
	case "", "s":
	case "m":
		unit = time.Minute
	case "h":
		unit = time.Hour
	case "d":
		unit = 24 * time.Hour
	default:
		return 0, errNoTime
	}
	n, err := parseSize(digits + "B")
	if err != nil || digits == "" || n > uint64(maxDuration/unit) {
		return 0, errNoTime
	}
	return time.Duration(n) * unit, nil
}

// countInto reads a number, in octets with a unit of 1024 or more.
func countInto(into *uint64, given *bool) readSetting {
	return func(r *sectionReader, i *backend.Item) {
		s := word(i)
		digits := strings.TrimRight(s, "kKmMgG")
		unit := map[string]string{"": "B", "k": "KiB", "K": "KiB", "m": "MiB", "M": "MiB", "g": "GiB", "G": "GiB"}[s[len(digits):]]
		n, err := parseSize(digits + unit)
		if err != nil || digits == "" || unit == "" {
			r.refuse(i.Name, "%s is no number", quoted(s))
			return
		}
		*into, *given = n, true
	}
}
