package diag

import (
	"cmp"
	"slices"
	"strings"
)

// Bounds on what one merged finding keeps.
const (
	maxEvidence     = 32
	maxConsequences = 64
)

// Diagnose runs the rules over the facts. The findings come ranked: the worst
// root cause first, by severity, confidence, time and count. The same finding
// about the same peers is one, counted; a finding that its rule declares to
// follow from another one present (Rule.After) is named among that one's
// Consequences instead of standing beside it, and lends it its severity. Of the
// remedies stay those that the systems at the two ends understand, where it is
// known what they are.
func Diagnose(f *Facts, rules []Rule) []Finding {
	var all []Finding
	after := make(map[string][]string, len(rules))
	for _, r := range rules {
		after[r.ID] = append(after[r.ID], r.After...)
		for _, found := range r.Find(f) {
			if found.ID == "" {
				found.ID = r.ID
			}
			all = append(all, complete(found))
		}
	}
	found := fold(merge(all), after)
	if len(found) > 0 {
		sas := f.bySPI()
		for i := range found {
			f.suit(&found[i], sas)
		}
	}
	slices.SortStableFunc(found, rank)
	return found
}

// Healthy says whether no finding is above info.
func Healthy(findings []Finding) bool { return Worst(findings) >= Info }

// Worst gives the worst severity among the findings; of none it is one beyond
// Info, which AtLeast calls worse than nothing.
func Worst(findings []Finding) Severity {
	worst := Info + 1
	for i := range findings {
		worst = min(worst, findings[i].Severity)
	}
	return worst
}

// complete fills in from the Catalogue what the rule left open.
func complete(f Finding) Finding {
	f.Count = max(f.Count, 1)
	if f.Confidence == 0 {
		f.Confidence = Hint
	}
	e, ok := Lookup(f.ID)
	if !ok {
		return f
	}
	if f.Severity == 0 {
		f.Severity = e.Severity
	}
	if f.Ownership == "" {
		f.Ownership = e.Ownership
	}
	if f.Cause == "" {
		f.Cause = e.Cause
	}
	if f.Surer == "" && f.Confidence != Certain {
		f.Surer = e.Sure().Surer
	}
	// Advice is for what needs repair, and a rule may turn a fault that the
	// catalogue blames on a configuration into an external one.
	if f.Remedies == nil && f.Severity < Info && (f.Ownership != External || e.Ownership == External) {
		f.Remedies = e.Remedies
	}
	return f
}

// merge makes one finding of those with the same ID and Variant between the
// same peers. The first in time gives the words; the worst severity and the
// best confidence stand.
func merge(all []Finding) []Finding {
	type key struct{ id, local, remote, connection, variant string }
	at := make(map[key]int, len(all))
	slices.SortStableFunc(all, func(a, b Finding) int { return a.FirstSeen.Compare(b.FirstSeen) })
	var out []Finding
	for _, f := range all {
		k := key{f.ID, f.Subject.Local, f.Subject.Remote, f.Subject.Connection, f.Variant}
		i, seen := at[k]
		if !seen {
			at[k] = len(out)
			f.Evidence = slices.Clone(f.Evidence[:min(len(f.Evidence), maxEvidence)])
			out = append(out, f)
			continue
		}
		o := &out[i]
		o.Count += f.Count
		if f.LastSeen.After(o.LastSeen) {
			o.LastSeen = f.LastSeen
		}
		// A worse occurrence tells the story better than an earlier one.
		if f.Severity < o.Severity || f.Severity == o.Severity && f.Confidence < o.Confidence {
			o.Summary, o.Cause, o.Remedies, o.Ownership, o.Surer = f.Summary, f.Cause, f.Remedies, f.Ownership, f.Surer
			o.Subject, o.Severity, o.Confidence = f.Subject, f.Severity, f.Confidence
		}
		room := maxEvidence - len(o.Evidence)
		o.Evidence = append(o.Evidence, f.Evidence[:min(len(f.Evidence), max(room, 0))]...)
	}
	return out
}

// fold moves each finding that follows from another one to that one's
// consequences, through chains to the root.
func fold(all []Finding, after map[string][]string) []Finding {
	near := neighbours(all)
	// cause gives the best-ranked direct cause of i, or -1.
	cause := func(i int) int {
		best := -1
		if all[i].Root {
			return best
		}
		for _, id := range after[all[i].ID] {
			for _, j := range near.of(id, &all[i]) {
				if j != i && causes(&all[j], &all[i]) && (best < 0 || rank(all[j], all[best]) < 0) {
					best = j
				}
			}
		}
		return best
	}
	direct := make([]int, len(all))
	for i := range all {
		direct[i] = cause(i)
	}
	root := func(i int) int {
		// More steps than findings is a circle: then nothing is the root, and
		// the finding stands for itself.
		at := i
		for range all {
			if direct[at] < 0 {
				return at
			}
			at = direct[at]
		}
		return i
	}
	roots := make([]int, len(all))
	following := make(map[int][]int)
	for i := range all {
		roots[i] = root(i)
		if roots[i] != i {
			following[roots[i]] = append(following[roots[i]], i)
		}
	}
	var out []Finding
	for i := range all {
		if roots[i] != i {
			continue
		}
		f := all[i]
		for _, j := range following[i] {
			f.Severity = min(f.Severity, all[j].Severity)
			if !slices.Contains(f.Consequences, all[j].ID) && len(f.Consequences) < maxConsequences {
				f.Consequences = append(f.Consequences, all[j].ID)
			}
		}
		out = append(out, f)
	}
	return out
}

// place is where a finding is looked for: its ID with its two hosts in order,
// its connection, or (everything else empty) no place in particular.
type place struct{ id, low, high, connection string }

// places finds the findings of an ID that can be about the same tunnel as
// another finding, without comparing all with all.
type places struct {
	at    map[place][]int
	whole map[string][]int // by ID, for findings that name no place
}

func neighbours(all []Finding) places {
	p := places{at: make(map[place][]int, len(all)), whole: make(map[string][]int)}
	for i := range all {
		id := all[i].ID
		p.whole[id] = append(p.whole[id], i)
		s := &all[i].Subject
		if s.Connection != "" {
			k := place{id: id, connection: s.Connection}
			p.at[k] = append(p.at[k], i)
		}
		k := place{id: id}
		if s.Local != "" && s.Remote != "" {
			k.low, k.high = min(s.Local, s.Remote), max(s.Local, s.Remote)
		}
		p.at[k] = append(p.at[k], i)
	}
	return p
}

func (p places) of(id string, f *Finding) []int {
	s := &f.Subject
	if s.Local == "" || s.Remote == "" {
		return p.whole[id]
	}
	list := slices.Concat(p.at[place{id: id, low: min(s.Local, s.Remote), high: max(s.Local, s.Remote)}], p.at[place{id: id}])
	if s.Connection != "" {
		list = append(list, p.at[place{id: id, connection: s.Connection}]...)
	}
	return list
}

// causes says whether a can be what b follows from: between the same peers,
// and not begun after b had ended.
func causes(a, b *Finding) bool {
	if !a.FirstSeen.IsZero() && !b.LastSeen.IsZero() && a.FirstSeen.After(b.LastSeen) {
		return false
	}
	// What is merely worth knowing, and a hint, explains no fault.
	if a.Severity == Info && a.Confidence == Hint && b.Severity < Info {
		return false
	}
	return a.Subject.overlaps(b.Subject)
}

// overlaps says whether two subjects can be about the same tunnel, whichever
// side each calls local. What one of them does not know contradicts nothing.
func (s Subject) overlaps(o Subject) bool {
	if s.Connection != "" && o.Connection != "" {
		return s.Connection == o.Connection
	}
	same := func(a, b string) bool { return a == "" || b == "" || a == b }
	return same(s.Local, o.Local) && same(s.Remote, o.Remote) ||
		same(s.Local, o.Remote) && same(s.Remote, o.Local)
}

// rank orders findings, the one to read first before the others.
func rank(a, b Finding) int {
	return cmp.Or(
		cmp.Compare(a.Severity, b.Severity),
		cmp.Compare(a.Confidence, b.Confidence),
		a.FirstSeen.Compare(b.FirstSeen),
		cmp.Compare(b.Count, a.Count),
		strings.Compare(a.ID, b.ID),
		strings.Compare(a.Subject.Local+" "+a.Subject.Remote, b.Subject.Local+" "+b.Subject.Remote),
	)
}
