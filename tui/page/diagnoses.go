package page

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// Diagnoses is the list of findings, worst first, over what is known about
// the selected one.
type Diagnoses struct {
	list     widget.List
	filter   widget.Filter
	findings []diag.Finding
	rows     []int // indexes in findings
	trace    *trace.Trace
	daemon   bool // the source is a daemon: one side is this one
	done     bool // the source has been read and diagnosed
	detail   bool // the keys move in the details
	items    []item
	at       int // the selected item
	lines    []theme.Line
	top      int
	width    int // of the last View
	height   int // of the list
	below    int // of the details
	listY    int // first row of the details in the last View
}

// NewDiagnoses makes the page.
func NewDiagnoses() *Diagnoses { return &Diagnoses{} }

// Key gives the number of the page.
func (p *Diagnoses) Key() string { return "5" }

// Name gives the word in the tab bar.
func (p *Diagnoses) Name() string { return "Diagnoses" }

// SetFilter limits the rows.
func (p *Diagnoses) SetFilter(f widget.Filter) { p.filter = f }

// Sync makes the rows anew.
func (p *Diagnoses) Sync(d feed.Data, _ time.Time) {
	p.findings, p.trace, p.daemon = d.Findings(), d.Trace(), d.Daemon() != nil
	p.done = d.Progress().Done || d.Live()
	p.rows = p.rows[:0]
	for i := range p.findings {
		if p.filter.Match(findingField(&p.findings[i])) {
			p.rows = append(p.rows, i)
		}
	}
	p.list.SetLen(len(p.rows))
	p.compose()
}

func findingField(f *diag.Finding) func(string) string {
	return func(key string) string {
		switch key {
		case "":
			return strings.Join([]string{f.ID, severityName(f.Severity), f.Summary, f.Cause, subject(&f.Subject), strings.Join(f.Consequences, " ")}, " ")
		case "id":
			return f.ID
		case "severity":
			return severityName(f.Severity)
		case "peer":
			return f.Subject.Local + " " + f.Subject.Remote
		case "spi":
			return f.Subject.SPIi + " " + f.Subject.SPIr + " " + f.Subject.ChildSPI
		case "owner":
			return string(f.Ownership)
		}
		return ""
	}
}

func (p *Diagnoses) selected() *diag.Finding {
	if len(p.rows) == 0 {
		return nil
	}
	return &p.findings[p.rows[min(p.list.At, len(p.rows)-1)]]
}

var diagnosisColumns = []widget.Column{
	{Title: "SEVERITY", Min: 8, Max: 8},
	{Title: "FINDING", Min: 24, Max: 30},
	{Title: "SUMMARY", Min: 30, Max: 200, Grow: 6},
	{Title: "TIMES", Min: 5, Max: 5, Right: true},
	{Title: "SURE", Min: 7, Max: 7, Drop: 1},
}

// View draws the list over the details.
func (p *Diagnoses) View(t *theme.Theme, r widget.Rect) []theme.Line {
	if len(p.rows) == 0 {
		return p.empty()
	}
	table, below := r.Below(min(len(p.rows)+1, max(5, r.H/3)))
	p.height, p.listY = table.H-1, table.H
	widths := widget.Widths(diagnosisColumns, table.W)
	lines := []theme.Line{widget.TableHead(t, diagnosisColumns, widths)}
	from, to := p.list.Window(p.height)
	for i := from; i < to; i++ {
		f := &p.findings[p.rows[i]]
		_, role := Severity(f.Severity)
		line := widget.TableRow(t, diagnosisColumns, widths, []theme.Span{
			theme.S(role, severityName(f.Severity)), theme.S(theme.Plain, f.ID), theme.S(theme.Plain, f.Summary),
			theme.S(theme.Muted, fmt.Sprint(f.Count)), theme.S(theme.Muted, confidenceName(f.Confidence)),
		}, i == p.list.At)
		line.Selected = line.Selected && !p.detail
		lines = append(lines, line)
	}
	lines = append(lines, widget.Rule(t, r.W))
	p.below = below.H - 1
	return append(lines, p.details(t, below.W)...)
}

func (p *Diagnoses) empty() []theme.Line {
	switch {
	case !p.filter.Empty():
		return []theme.Line{{}, theme.L(theme.S(theme.Muted, "  no finding matches the filter"))}
	case !p.done:
		return []theme.Line{{}, theme.L(theme.S(theme.Busy, "  reading; the diagnosis follows"))}
	}
	return []theme.Line{{}, theme.L(theme.S(theme.Good, "  nothing is wrong as far as this source can tell"))}
}

// find gives the SA that a finding is about, nil where it is about none.
func (p *Diagnoses) find(s *diag.Subject) *trace.IKESA {
	spi, err := strconv.ParseUint(s.SPIi, 16, 64)
	if err != nil {
		return nil // "" where it is about none
	}
	for i := len(p.trace.SAs) - 1; i >= 0; i-- {
		// Without an SPI it is the last one of its connection that had none.
		if sa := p.trace.SAs[i]; sa.InitiatorSPI == wire.SPI(spi) && (spi != 0 || sa.Name == s.Connection) {
			return sa
		}
	}
	return nil
}

// Keys are the page's own keys.
func (p *Diagnoses) Keys() []theme.Binding {
	none, noLink := "", ""
	f := p.selected()
	if f == nil {
		none, noLink = "there is no finding", "there is no finding"
	} else if p.detail && (len(p.items) == 0 || p.items[min(p.at, len(p.items)-1)].to == (Target{})) {
		noLink = "the line links to nothing"
	}
	open := theme.Binding{Action: theme.Open, Keys: []string{"enter"}, Does: "its evidence and what to change", Hint: "evidence", Off: none}
	if p.detail {
		open = theme.Binding{Action: theme.Open, Keys: []string{"enter"}, Does: "the message of this evidence", Hint: "go there", Off: noLink}
	}
	noSA := none
	if f != nil && p.find(&f.Subject) == nil {
		noSA = "it is about no IKE SA that is kept"
	}
	return []theme.Binding{
		open,
		{Action: "tunnel", Keys: []string{"v"}, Does: "its tunnel", Off: noSA},
		{Action: "exchanges", Keys: []string{"x"}, Does: "its exchanges", Hint: "exchanges", Off: noSA},
		{Action: "explain", Keys: []string{"e"}, Does: "explain: all that the catalogue knows about it", Hint: "explain", Off: none},
	}
}

// Do does what a key means.
func (p *Diagnoses) Do(a theme.Action) Outcome {
	defer p.compose()
	f := p.selected()
	switch a {
	case "tunnel":
		return Outcome{Jump: "1", To: Target{SA: p.find(&f.Subject)}}
	case "exchanges":
		return Outcome{Jump: "2", To: Target{SA: p.find(&f.Subject)}}
	case "explain":
		return Outcome{Explain: f.ID}
	case theme.Open:
		switch {
		case f == nil:
		case !p.detail:
			p.detail, p.at, p.top = true, 0, 0
		case len(p.items) > 0:
			to := p.items[p.at].to
			if to.Frame == 0 { // of a daemon: a message, or a line of its log
				return Outcome{Jump: "2", Else: "7", To: to}
			}
			return Outcome{Jump: "2", Else: "6", To: to}
		}
		return Outcome{}
	case theme.Back:
		if !p.detail {
			return Outcome{Left: true}
		}
		p.detail, p.top = false, 0
		return Outcome{}
	}
	if p.detail {
		p.move(a)
		return Outcome{}
	}
	if a == theme.Next || a == theme.Previous {
		p.list.Seek(a == theme.Previous, func(i int) bool { return p.findings[p.rows[i]].Severity <= diag.Medium })
	} else {
		p.list.Do(a, p.height)
	}
	p.top = 0
	return Outcome{}
}

// move moves among the items of the details.
func (p *Diagnoses) move(a theme.Action) {
	l := widget.List{Len: len(p.items), At: p.at}
	switch a {
	case theme.Next:
		l.Move(1)
	case theme.Previous:
		l.Move(-1)
	default:
		l.Do(a, 4)
	}
	if l.At == p.at && (a == theme.Down || a == theme.PageDown || a == theme.Last) {
		p.top += 3
	}
	p.at = l.At
	if p.at == 0 && (a == theme.Up || a == theme.First || a == theme.PageUp) {
		p.top = 0
	}
}

// Click selects a finding, or a line of the details.
func (p *Diagnoses) Click(_, y int) bool {
	if y >= 1 && y < p.listY && p.list.Top+y-1 < p.list.Len {
		again := p.list.At == p.list.Top+y-1 && !p.detail
		p.list.Select(p.list.Top + y - 1)
		p.detail, p.top = false, 0
		p.compose()
		return again
	}
	line := p.top + y - p.listY - 1
	for i, it := range p.items {
		if line >= it.line && line < it.line+it.lines {
			again := p.detail && p.at == i
			p.detail, p.at = true, i
			return again
		}
	}
	return false
}

// Wheel scrolls the list or the details.
func (p *Diagnoses) Wheel(_, y, n int) {
	if y < p.listY {
		p.list.Move(n)
		p.top = 0
		p.compose()
		return
	}
	p.detail = false
	p.top += n
}

// Show selects a finding by its id, about the SA or at least the connection
// where one is given.
func (p *Diagnoses) Show(t Target) bool {
	best, near := -1, -1
	for i, row := range p.rows {
		f := &p.findings[row]
		if f.ID != t.Finding {
			continue
		}
		fits := 0
		switch {
		case t.SA != nil && f.Subject.SPIi == t.SA.InitiatorSPI.String() && (f.Subject.SPIi != diag.NoSPI || f.Subject.Connection == t.SA.Name):
			fits = 2
		case t.Connection != "" && f.Subject.Connection == t.Connection:
			fits = 1
		}
		if fits > near {
			best, near = i, fits
		}
	}
	if best < 0 {
		return false
	}
	p.list.Select(best)
	p.top = 0
	p.compose()
	return true
}

// Status describes the selection.
func (p *Diagnoses) Status() Status {
	s := Status{Shown: len(p.rows), Total: len(p.findings)}
	if s.Shown > 0 {
		s.At = p.list.At + 1
	}
	return s
}

// Selection gives the selected line of the details, or the finding.
func (p *Diagnoses) Selection() (what, text string, at Target) {
	f := p.selected()
	if f == nil {
		return "", "", Target{}
	}
	at = Target{Finding: f.ID, SA: p.find(&f.Subject)}
	if p.detail && len(p.items) > 0 {
		return "the line", p.items[min(p.at, len(p.items)-1)].copy, at
	}
	return "finding", f.ID + ": " + f.Summary, at
}

// Sheet gives the findings with all that is known about them.
func (p *Diagnoses) Sheet() widget.Sheet {
	s := widget.Sheet{Title: "Diagnoses", Columns: []string{
		"severity", "id", "summary", "cause", "confidence", "ownership", "subject", "count", "evidence", "change", "surer", "consequences",
	}}
	for _, i := range p.rows {
		f := &p.findings[i]
		var evidence, change []string
		for _, e := range f.Evidence {
			what := e.What
			if e.Frame > 0 {
				what = fmt.Sprintf("frame %d: %s", e.Frame, what)
			}
			evidence = append(evidence, what)
		}
		for _, r := range f.Remedies {
			change = append(change, fmt.Sprintf("%s (%s): %s", r.Side, r.Platform, r.Change))
		}
		s.Rows = append(s.Rows, []string{
			severityName(f.Severity), f.ID, f.Summary, f.Cause, confidenceName(f.Confidence), string(f.Ownership), subject(&f.Subject),
			fmt.Sprint(f.Count), strings.Join(evidence, "; "), strings.Join(change, "; "), f.Surer, strings.Join(f.Consequences, ", "),
		})
	}
	return s
}
