package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says whether a policy can be used in spite of a finding.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // the policy cannot be used
	Warning Severity = "warning" // it can, but probably should not
)

// Finding is one thing wrong with a policy file.
type Finding struct {
	File     string   `json:"file"`
	Line     int      `json:"line"`   // from 1; 0 where the file as a whole is meant
	Column   int      `json:"column"` // from 1, in characters
	Severity Severity `json:"severity"`
	Code     string   `json:"code"`           // a fixed word for programs: unknown-key
	Path     string   `json:"path,omitempty"` // peers.branch.dpd.interval
	Message  string   `json:"message"`
	Allowed  []string `json:"allowed,omitempty"` // what may stand there instead
}

// String gives the finding as compilers write theirs.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	fmt.Fprintf(&b, ": %s: ", f.Severity)
	if f.Path != "" {
		b.WriteString(f.Path + ": ")
	}
	b.WriteString(f.Message)
	if len(f.Allowed) > 0 {
		b.WriteString("; allowed: " + strings.Join(f.Allowed, ", "))
	}
	return b.String()
}

// Failed says whether a finding of severity error is among them.
func Failed(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Severity == Error })
}

// maxFindings bounds what one file can make us say.
const maxFindings = 200

// report collects the findings of one file.
type report struct {
	file     string
	findings []Finding
	beyond   int // findings that were not kept
}

func (r *report) add(f Finding) {
	f.File = r.file
	same := func(g Finding) bool {
		return g.Line == f.Line && g.Column == f.Column && g.Code == f.Code && g.Message == f.Message
	}
	if f.Line > 0 && slices.ContainsFunc(r.findings, same) {
		return // a default that many tunnels take
	}
	if len(r.findings) >= maxFindings {
		r.beyond++
		return
	}
	r.findings = append(r.findings, f)
}

// at adds a finding at a node.
func (r *report) at(n *node, s Severity, code, path, format string, args ...any) {
	r.add(Finding{Line: n.line, Column: n.column, Severity: s, Code: code, Path: path, Message: fmt.Sprintf(format, args...)})
}

// sorted gives the findings in the order of the file.
func (r *report) sorted() []Finding {
	slices.SortStableFunc(r.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if r.beyond > 0 {
		return append(r.findings, Finding{File: r.file, Severity: Error, Code: "too-many-findings",
			Message: fmt.Sprintf("%d more findings are not shown", r.beyond)})
	}
	return r.findings
}

// nearest gives the word that s was probably meant to be, "" where none is
// near.
func nearest(s string, words []string) string {
	best, least := "", max(1, len(s)/3)+1
	for _, w := range words {
		if d := distance(s, w, least); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance is the number of characters to insert, delete, replace or swap with
// their neighbour between a and b, or limit where it is not less.
func distance(a, b string, limit int) int {
	if len(a) > 64 || len(b) > 64 || len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

func didYouMean(s string, words []string) string {
	if w := nearest(s, words); w != "" {
		return fmt.Sprintf("; did you mean %s?", w)
	}
	return ""
}
