package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// form is the form of a value in the file.
type form uint8

const (
	textForm form = iota
	intForm
	boolForm
	listForm   // a list; with lone, a value of its own stands for a list of one
	objectForm // a map whose keys are described
	mapForm    // a map from names that the user chooses
)

// spec describes one value of the file: what the strict comparison takes, and
// what the JSON schema says.
type spec struct {
	form     form
	doc      string // for the schema and the guide
	enum     []string
	pattern  string // regular expression that text must meet as a whole
	say      string // the same in words
	number   bool   // text that may be written as a plain integer too
	min, max int64  // of an integer, or of the number of items
	fields   []field
	of       *spec // of a list's or map's items
	lone     bool
	exactly  []string                                        // one of these keys must stand, and only one
	hidden   bool                                            // values are not repeated in findings
	check    func(r *report, n *node, path string) (ok bool) // beyond pattern
}

// field is one key of an object.
type field struct {
	name     string
	required bool
	*spec
}

// namePattern is what names of peers, tunnels, pools and authorities are: what
// swanctl.conf takes for the name of a section, and no more.
const namePattern = `[A-Za-z0-9][A-Za-z0-9_-]{0,62}`

// userPattern is what names of users are.
const userPattern = `[^\x00-\x1f"\\{}#]{1,128}`

var patterns sync.Map // string → *regexp.Regexp

func matches(pattern, s string) bool {
	re, ok := patterns.Load(pattern)
	if !ok {
		re, _ = patterns.LoadOrStore(pattern, regexp.MustCompile(`^(?:`+pattern+`)$`))
	}
	return re.(*regexp.Regexp).MatchString(s)
}

// compare checks n against s, reports what is wrong, and marks wrong nodes bad
// so that nothing later reads them.
func compare(r *report, s *spec, n *node, path string) {
	ok := true
	switch s.form {
	case textForm:
		ok = compareText(r, s, n, path)
	case intForm:
		ok = compareInt(r, s, n, path)
	case boolForm:
		ok = n.kind == boolNode
		if !ok {
			wrongKind(r, n, path, "true or false", s.hidden)
		}
	case listForm:
		ok = compareList(r, s, n, path)
	case objectForm:
		ok = compareObject(r, s, n, path)
	case mapForm:
		ok = compareMap(r, s, n, path)
	}
	if ok && s.check != nil {
		ok = s.check(r, n, path)
	}
	if !ok {
		n.kind = badNode
	}
}

func wrongKind(r *report, n *node, path, want string, hidden bool) {
	have := n.kind.String()
	if !hidden && (n.kind == intNode || n.kind == floatNode || n.kind == boolNode) && len(n.text) <= 40 {
		have = n.text
	}
	r.at(n, Error, "wrong-type", path, "want %s, have %s", want, have)
}

func compareText(r *report, s *spec, n *node, path string) bool {
	if n.kind != textNode && !(s.number && n.kind == intNode) {
		want := "text"
		if s.say != "" && !s.hidden {
			want = s.say
		}
		if (n.kind == intNode || n.kind == floatNode || n.kind == boolNode) && s.pattern != timePattern {
			want += " in quotes"
		}
		wrongKind(r, n, path, want, s.hidden)
		return false
	}
	switch {
	case len(s.enum) > 0 && !slices.Contains(s.enum, n.text):
		r.add(Finding{Line: n.line, Column: n.column, Severity: Error, Code: "unknown-value", Path: path,
			Message: fmt.Sprintf("%s is not known here%s", quoted(n.text), didYouMean(n.text, s.enum)), Allowed: s.enum})
		return false
	case s.pattern != "" && !matches(s.pattern, n.text):
		r.at(n, Error, "bad-value", path, "%s is not %s", quoted(n.text), s.say)
		return false
	case n.text == "" || len(n.text) > maxText:
		r.at(n, Error, "bad-value", path, "want 1 to %d characters", maxText)
		return false
	}
	return true
}

// maxText is the greatest length of a text in octets.
const maxText = 4096

// quoted puts text of the file into a message, cut where it is long.
func quoted(s string) string {
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "..."
	}
	return strconv.Quote(s)
}

func compareInt(r *report, s *spec, n *node, path string) bool {
	if n.kind != intNode {
		wrongKind(r, n, path, "an integer", s.hidden)
		return false
	}
	v, err := strconv.ParseInt(n.text, 10, 64)
	if err != nil || v < s.min || v > s.max {
		r.at(n, Error, "out-of-range", path, "%s is not between %d and %d", quoted(n.text), s.min, s.max)
		return false
	}
	return true
}

func compareList(r *report, s *spec, n *node, path string) bool {
	if n.kind != listNode {
		if !s.lone || n.kind == mapNode || n.kind == nullNode {
			wrongKind(r, n, path, "a list", s.hidden)
			return false
		}
		only := *n
		n.kind, n.items = listNode, []*node{&only}
		compare(r, s.of, &only, path)
		return only.kind != badNode
	}
	if int64(len(n.items)) < s.min || int64(len(n.items)) > s.max {
		r.at(n, Error, "out-of-range", path, "%d items; want %d to %d", len(n.items), s.min, s.max)
		return false
	}
	ok := true
	for i, item := range n.items {
		compare(r, s.of, item, fmt.Sprintf("%s[%d]", path, i))
		ok = ok && item.kind != badNode
	}
	return ok
}

// join adds a key to a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func compareObject(r *report, s *spec, n *node, path string) bool {
	if n.kind != mapNode {
		if s.hidden {
			r.at(n, Error, "wrong-type", path, "a secret is never written into the policy; name where it is: {file: PATH}, {env: NAME} or {command: [PROGRAM, ARGUMENT]}")
			return false
		}
		wrongKind(r, n, path, "a map", s.hidden)
		return false
	}
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.name
	}
	seen := map[string]int{}
	ok := true
	for i := range n.entries {
		e := &n.entries[i]
		at := slices.IndexFunc(s.fields, func(f field) bool { return f.name == e.key })
		switch {
		case at < 0:
			word, near := quoted(e.key)+" is no key here", didYouMean(e.key, names)
			if s.hidden {
				word = "no key here"
			}
			r.add(Finding{Line: e.line, Column: e.column, Severity: Error, Code: "unknown-key", Path: path, Message: word + near, Allowed: names})
			e.value.kind = badNode
		case seen[e.key] > 0:
			r.at(e.at(), Error, "duplicate", join(path, e.key), "the key stands here a second time; first in line %d", seen[e.key])
			e.value.kind = badNode
		default:
			seen[e.key] = e.line
			compare(r, s.fields[at].spec, e.value, join(path, e.key))
		}
	}
	for _, f := range s.fields {
		if f.required && seen[f.name] == 0 {
			r.at(n, Error, "missing-key", path, "%s is missing", f.name)
			ok = false
		}
	}
	if len(s.exactly) > 0 {
		var have []string
		for _, name := range s.exactly {
			if seen[name] > 0 {
				have = append(have, name)
			}
		}
		if len(have) != 1 {
			r.add(Finding{Line: n.line, Column: n.column, Severity: Error, Code: "missing-key", Path: path,
				Message: fmt.Sprintf("want exactly one key of these, have %d", len(have)), Allowed: s.exactly})
			ok = false
		}
	}
	return ok
}

func compareMap(r *report, s *spec, n *node, path string) bool {
	if n.kind != mapNode {
		wrongKind(r, n, path, "a map from names", s.hidden)
		return false
	}
	if int64(len(n.entries)) > s.max {
		r.at(n, Error, "out-of-range", path, "%d entries; at most %d are taken", len(n.entries), s.max)
		return false
	}
	seen := map[string]int{}
	pattern, say := namePattern, "a name: a letter or digit, then up to 62 letters, digits, _ and -"
	if s.pattern != "" {
		pattern, say = s.pattern, s.say
	}
	for i := range n.entries {
		e := &n.entries[i]
		switch {
		case !matches(pattern, e.key):
			r.at(e.at(), Error, "bad-name", path, "%s is not %s", quoted(e.key), say)
			e.value.kind = badNode
		case seen[e.key] > 0:
			r.at(e.at(), Error, "duplicate", join(path, e.key), "the name is taken; first in line %d", seen[e.key])
			e.value.kind = badNode
		default:
			seen[e.key] = e.line
			compare(r, s.of, e.value, join(path, e.key))
		}
	}
	return true
}
