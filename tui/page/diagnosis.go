package page

import (
	"fmt"
	"strings"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// item is a line of the details that can be selected: an observation or a
// line to change.
type item struct {
	line  int
	lines int
	to    Target
	copy  string
}

// subject says in a line what a finding is about.
func subject(s *diag.Subject) string {
	var parts []string
	if s.Connection != "" {
		parts = append(parts, s.Connection)
	}
	if s.Local != "" || s.Remote != "" {
		parts = append(parts, orUnknown(s.Local)+" ↔ "+orUnknown(s.Remote))
	}
	if s.SPIi != "" && s.SPIi != diag.NoSPI {
		parts = append(parts, "IKE "+s.SPIi)
	}
	if s.ChildSPI != "" {
		parts = append(parts, "ESP "+s.ChildSPI)
	}
	return strings.Join(parts, "  ")
}

// details draws the window on what is known about the selected finding.
func (p *Diagnoses) details(t *theme.Theme, width int) []theme.Line {
	p.width = width
	p.compose()
	if p.detail && len(p.items) > 0 {
		it := p.items[p.at]
		p.top = min(p.top, it.line)
		p.top = max(p.top, it.line+it.lines-p.below)
		if p.at == 0 {
			p.top = min(p.top, max(0, it.line+it.lines-p.below))
		}
		for i := it.line; i < it.line+it.lines; i++ {
			p.lines[i].Selected = true
			p.lines[i].Spans[0] = widget.Cursor(t, true)
		}
	}
	p.top = max(0, min(p.top, len(p.lines)-p.below))
	return p.lines[p.top:min(len(p.lines), p.top+p.below)]
}

// compose makes all lines of the details and says which can be selected.
func (p *Diagnoses) compose() {
	p.lines, p.items = p.lines[:0], p.items[:0]
	f := p.selected()
	if f == nil {
		return
	}
	p.sayWhat(f)
	p.sayHowKnown(f)
	p.sayWhatToChange(f)
	p.at = max(0, min(p.at, len(p.items)-1))
}

// textWidth is how wide the details are: a longer line is hard to read.
func (p *Diagnoses) textWidth() int { return max(40, min(p.width-2, 110)) }

// head puts words over a part of the details.
func (p *Diagnoses) head(words string) {
	p.lines = append(p.lines, theme.Line{}, theme.L(theme.S(theme.Plain, " "), theme.S(theme.Muted, words)))
}

// labels is how wide the labels before facts are.
const labels = 14

// fact puts words behind a label, and nothing where there are none.
func (p *Diagnoses) fact(label string, role theme.Role, words string) {
	if words == "" {
		return
	}
	for _, line := range widget.Wrap(words, p.textWidth()-labels-1) {
		p.lines = append(p.lines, theme.L(theme.S(theme.Plain, " "), theme.S(theme.Muted, fmt.Sprintf("%-*s", labels, label)), theme.S(role, line)))
		label = ""
	}
}

// sayWhat puts what is wrong, why, how sure that is and whose it is.
func (p *Diagnoses) sayWhat(f *diag.Finding) {
	_, role := Severity(f.Severity)
	for _, line := range widget.Wrap(f.Summary, p.textWidth()-1) {
		p.lines = append(p.lines, theme.L(theme.S(theme.Plain, " "), theme.S(role, line)))
	}
	p.lines = append(p.lines, theme.Line{})
	p.fact("why", theme.Plain, f.Cause)
	p.fact("how sure", theme.Plain, confidenceName(f.Confidence))
	p.fact("surer with", theme.Muted, f.Surer)
	p.fact("whose", theme.Plain, f.Ownership.Words(p.daemon))
	p.fact("about", theme.Plain, subject(&f.Subject))
	p.fact("seen", theme.Plain, seen(f))
	p.fact("leads to", theme.Plain, strings.Join(f.Consequences, ", "))
}

// whenWidth is how wide the frame or the time of an observation is.
const whenWidth = 13

// sayHowKnown puts the evidence, each observation as a link to where it is seen.
func (p *Diagnoses) sayHowKnown(f *diag.Finding) {
	if len(f.Evidence) == 0 {
		return
	}
	p.head("evidence")
	about := p.find(&f.Subject)
	for _, e := range f.Sightings() {
		it := item{line: len(p.lines), to: evidenceTarget(about, &e.Evidence), copy: e.What}
		where := ""
		switch {
		case e.Frame > 0:
			where = fmt.Sprintf("frame %d", e.Frame)
		case !e.Time.IsZero():
			where = e.Time.UTC().Format("15:04:05.000")
		}
		for _, line := range widget.Wrap(e.Words(), p.textWidth()-whenWidth-5) {
			p.lines = append(p.lines, theme.L(theme.S(theme.Plain, " "), theme.S(theme.Accent, "  "+pad(where, whenWidth)), theme.S(theme.Plain, line)))
			where = ""
		}
		it.lines = len(p.lines) - it.line
		p.items = append(p.items, it)
	}
}

// sayWhatToChange puts the remedies, each to be copied, those for systems that
// nobody is known to have last.
func (p *Diagnoses) sayWhatToChange(f *diag.Finding) {
	if len(f.Remedies) == 0 {
		return
	}
	p.head("what to change")
	for i, r := range f.Remedies {
		if r.Other && (i == 0 || !f.Remedies[i-1].Other) {
			p.lines = append(p.lines, theme.L(theme.S(theme.Plain, " "), theme.S(theme.Muted, "for other systems")))
		}
		p.lines = append(p.lines, theme.L(theme.S(theme.Plain, " "), theme.S(theme.Title, "  "+r.Side), theme.S(theme.Muted, "  "+r.Platform)))
		it := item{line: len(p.lines), copy: r.Change}
		for _, line := range widget.Wrap(r.Change, p.textWidth()-6) {
			p.lines = append(p.lines, theme.L(theme.S(theme.Plain, " "), theme.S(theme.Plain, "    "+line)))
		}
		it.lines = len(p.lines) - it.line
		p.items = append(p.items, it)
	}
	for _, c := range f.Claims {
		for _, line := range widget.Wrap(c, p.textWidth()-3) {
			p.lines = append(p.lines, theme.L(theme.S(theme.Plain, " "), theme.S(theme.Muted, "  "+line)))
		}
	}
}

// evidenceTarget gives where a piece of evidence can be seen.
func evidenceTarget(about *trace.IKESA, e *diag.Evidence) Target {
	to := Target{Frame: e.Frame, SA: about, Time: e.Time}
	if m := e.Message; m.Known {
		to.Message, to.MessageID, to.Half = true, m.ID, Request
		if m.Response {
			to.Half = Response
		}
	}
	return to
}

func seen(f *diag.Finding) string {
	if f.FirstSeen.IsZero() {
		return ""
	}
	words := clock(f.FirstSeen)
	if f.LastSeen.After(f.FirstSeen) {
		words += " to " + clock(f.LastSeen)
	}
	if f.Count > 1 {
		words = fmt.Sprintf("%s times, %s", Thousands(int64(f.Count)), words)
	}
	return words
}
