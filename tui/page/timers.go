package page

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// Timers is every named deadline of every SA, the soonest first; of a capture what
// such timers are seen to have done.
type Timers struct {
	list   widget.List
	filter widget.Filter
	rows   []timerRow
	total  int
	trace  *trace.Trace
	daemon *feed.Daemon
	now    time.Time
	height int
	seen   []observed // of a capture
}

// timerRow is one deadline.
type timerRow struct {
	timer engine.Timer
	sa    *trace.IKESA
	child *engine.ChildSA // nil for one of the IKE SA
	since time.Time       // when it began to run, zero where not known
}

// NewTimers makes the page.
func NewTimers() *Timers { return &Timers{} }

// Key gives the number of the page.
func (p *Timers) Key() string { return "4" }

// Name gives the word in the tab bar.
func (p *Timers) Name() string { return "Timers" }

// SetFilter limits the rows.
func (p *Timers) SetFilter(f widget.Filter) { p.filter = f }

// Sync makes the rows anew.
func (p *Timers) Sync(d feed.Data, now time.Time) {
	selected, had := p.selected()
	p.trace, p.daemon, p.now = d.Trace(), d.Daemon(), now
	p.rows, p.seen, p.total = p.rows[:0], p.seen[:0], 0
	if p.daemon == nil {
		p.observe()
		return
	}
	add := func(r timerRow) {
		p.total++
		if !r.timer.Due.IsZero() && p.filter.Match(p.field(&r)) {
			p.rows = append(p.rows, r)
		}
	}
	for _, sa := range p.trace.SAs {
		if sa.Ended != "" {
			continue
		}
		for _, t := range sa.Timers {
			if t.Name == "child" { // the soonest of its child SAs' own, which follow
				continue
			}
			add(timerRow{t, sa, nil, p.began(t.Name, sa)})
		}
		for _, c := range sa.Children {
			for _, t := range c.Timers {
				add(timerRow{t, sa, c, c.Installed})
			}
		}
	}
	slices.SortStableFunc(p.rows, func(a, b timerRow) int { return a.timer.Due.Compare(b.timer.Due) })
	p.list.SetLen(len(p.rows))
	if had {
		if i := slices.IndexFunc(p.rows, func(r timerRow) bool { return r.same(&selected) }); i >= 0 {
			p.list.Select(i)
		}
	}
}

// began gives when a timer of an IKE SA began to run.
func (p *Timers) began(name string, sa *trace.IKESA) time.Time {
	switch name {
	case "dpd", "nat-keepalive":
		return sa.DPD.LastHeard
	case "rekey", "reauth", "expire":
		return sa.Established
	}
	return time.Time{}
}

func (r *timerRow) same(o *timerRow) bool {
	return r.timer.Name == o.timer.Name && r.sa == o.sa && (r.child == nil && o.child == nil || sameChild(r.child, o.child))
}

func (p *Timers) selected() (timerRow, bool) {
	if len(p.rows) == 0 {
		return timerRow{}, false
	}
	return p.rows[min(p.list.At, len(p.rows)-1)], true
}

func (p *Timers) field(r *timerRow) func(string) string {
	return func(key string) string {
		switch key {
		case "":
			return r.timer.Name + " " + r.owner() + " " + sideEndpoint(r.sa.Remote) + " " + r.sa.Remote.ID
		case "timer":
			return r.timer.Name
		case "peer":
			return sideEndpoint(r.sa.Remote) + " " + r.sa.Remote.ID
		}
		return ""
	}
}

// owner names whose timer it is.
func (r *timerRow) owner() string {
	if r.child == nil {
		return saName(r.sa)
	}
	return saName(r.sa) + "  " + fmt.Sprintf("%s{%d}", r.child.Name, r.child.UniqueID)
}

// timerMeanings say what happens when a timer runs out.
var timerMeanings = map[string]string{
	"retransmit": "request sent again", "retry": "task tried again", "rekey": "SA replaced",
	"reauth": "IKE SA made anew", "expire": "SA ends", "dpd": "liveness check",
	"nat-keepalive": "keepalive to the NAT", "half-open": "given up, unproven",
	"delete": "closed by this side", "fragments": "parts thrown away",
}

var timerColumns = []widget.Column{
	{Title: "IN", Min: 6, Max: 6, Right: true},
	{Title: "TIMER", Min: 13, Max: 13},
	{Title: "LEFT", Min: 12, Max: 24, Grow: 1},
	{Title: "SA", Min: 16, Max: 36, Grow: 2},
	{Title: "PEER", Min: 15, Max: 30, Drop: 2},
	{Title: "THEN", Min: 20, Max: 70, Drop: 1, Grow: 2},
}

// View draws the deadlines as bars.
func (p *Timers) View(t *theme.Theme, r widget.Rect) []theme.Line {
	p.height = r.H - 1
	if len(p.seen) > 0 {
		return p.viewSeen(t, r)
	}
	if len(p.rows) == 0 {
		return p.empty()
	}
	widths := widget.Widths(timerColumns, r.W)
	lines := []theme.Line{widget.TableHead(t, timerColumns, widths)}
	from, to := p.list.Window(p.height)
	for i := from; i < to; i++ {
		lines = append(lines, widget.TableRow(t, timerColumns, widths, p.spans(t, &p.rows[i], widths[2]), i == p.list.At))
	}
	return lines
}

func (p *Timers) empty() []theme.Line {
	words := "  no timer runs"
	switch {
	case !p.filter.Empty():
		words = "  no timer matches the filter"
	case p.daemon == nil:
		words = "  no timer ran out in this capture: nothing was repeated, probed, kept alive or rekeyed"
	}
	return []theme.Line{{}, theme.L(theme.S(theme.Muted, words))}
}

// urgent is how soon a deadline stands out.
const urgent = 10 * time.Second

func (p *Timers) spans(t *theme.Theme, r *timerRow, bar int) []theme.Span {
	left := max(0, r.timer.Due.Sub(p.now))
	role, in := theme.Plain, short(left)
	switch {
	case r.timer.Name == "retransmit":
		role = theme.Warning
	case left == 0:
		role, in = theme.Busy, "now"
	case left < urgent:
		role = theme.Busy
	}
	gauge := ""
	if whole := r.timer.Due.Sub(r.since); !r.since.IsZero() && whole > 0 {
		gauge = widget.Gauge(t, float64(left)/float64(whole), bar)
	}
	peer := r.sa.Remote.ID
	if peer == "" {
		peer = sideEndpoint(r.sa.Remote)
	}
	return []theme.Span{
		theme.S(role, in), theme.S(role, r.timer.Name), theme.S(theme.Muted, gauge), theme.S(theme.Plain, r.owner()),
		theme.S(theme.Plain, peer), theme.S(theme.Muted, p.then(r)),
	}
}

// then says what happens when the timer runs out, with what is known of
// earlier times.
func (p *Timers) then(r *timerRow) string {
	words := timerMeanings[r.timer.Name]
	if r.timer.Name == "dpd" {
		if d := dpdWords(&r.sa.DPD); d != "" {
			words += "; " + d
		}
	}
	return words
}

// Keys are the page's own keys.
func (p *Timers) Keys() []theme.Binding {
	none := ""
	if p.list.Len == 0 {
		none = "there is no timer"
	}
	return []theme.Binding{
		{Action: theme.Open, Keys: []string{"enter", "t"}, Does: "its tunnel", Hint: "tunnel", Off: none},
		{Action: "exchanges", Keys: []string{"x"}, Does: "its exchanges", Hint: "exchanges", Off: none},
	}
}

// Do does what a key means.
func (p *Timers) Do(a theme.Action) Outcome {
	at := p.target()
	switch a {
	case theme.Open:
		return Outcome{Jump: "1", To: Target{SA: at.SA}}
	case "exchanges":
		return Outcome{Jump: "2", To: at}
	case theme.Back:
		return Outcome{Left: true}
	case theme.Next, theme.Previous:
		if !p.list.Seek(a == theme.Previous, func(i int) bool { return p.name(i) == "retransmit" }) {
			return Outcome{Say: "nothing is being retransmitted"}
		}
	default:
		p.list.Do(a, p.height)
	}
	return Outcome{}
}

// Click selects a row.
func (p *Timers) Click(_, y int) bool {
	row := p.list.Top + y - 1
	if y < 1 || row >= p.list.Len {
		return false
	}
	again := p.list.At == row
	p.list.Select(row)
	return again
}

// Wheel scrolls.
func (p *Timers) Wheel(_, _, n int) { p.list.Move(n) }

// Show selects the soonest timer of an SA.
func (p *Timers) Show(t Target) bool {
	i := slices.IndexFunc(p.rows, func(r timerRow) bool { return r.sa == t.SA })
	if len(p.seen) > 0 {
		i = slices.IndexFunc(p.seen, func(o observed) bool { return o.sa == t.SA })
	}
	if i >= 0 {
		p.list.Select(i)
	}
	return i >= 0
}

// Status describes the selection.
func (p *Timers) Status() Status {
	s := Status{Shown: p.list.Len, Total: p.total, Unit: "timer"}
	if s.Shown > 0 {
		s.At = p.list.At + 1
	}
	return s
}

// Selection gives the selected timer in words.
func (p *Timers) Selection() (what, text string, at Target) {
	if o, ok := p.selectedSeen(); ok {
		return "timer", o.text(), p.target()
	}
	r, ok := p.selected()
	if !ok {
		return "", "", Target{}
	}
	return "timer", fmt.Sprintf("%s of %s at %s", r.timer.Name, r.owner(), clock(r.timer.Due)), Target{SA: r.sa}
}

// Sheet gives the table.
func (p *Timers) Sheet() widget.Sheet {
	if len(p.seen) > 0 {
		return p.sheetSeen()
	}
	s := widget.Sheet{Title: "Timers", Columns: []string{"in", "timer", "due", "sa", "peer", "then"}}
	for i := range p.rows {
		r := &p.rows[i]
		s.Rows = append(s.Rows, []string{short(r.timer.Due.Sub(p.now)), r.timer.Name, clock(r.timer.Due), r.owner(),
			strings.TrimSpace(sideEndpoint(r.sa.Remote) + " " + r.sa.Remote.ID), p.then(r)})
	}
	return s
}
