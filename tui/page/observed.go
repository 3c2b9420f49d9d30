package page

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// observed is what a capture shows of a timer that it cannot show itself: what
// it did, how often, and when for the first time.
type observed struct {
	name string
	sa   *trace.IKESA
	at   Target // the first message that it made
	last time.Time
	n    int
	what string
}

// observe makes the rows of a capture.
func (p *Timers) observe() {
	selected, had := p.selectedSeen()
	for _, sa := range p.trace.SAs {
		for _, o := range observe(sa) {
			p.total++
			if p.filter.Match(o.field) {
				p.seen = append(p.seen, o)
			}
		}
	}
	slices.SortStableFunc(p.seen, func(a, b observed) int { return a.at.Time.Compare(b.at.Time) })
	p.list.SetLen(len(p.seen))
	if had {
		if i := slices.IndexFunc(p.seen, func(o observed) bool { return o.name == selected.name && o.sa == selected.sa }); i >= 0 {
			p.list.Select(i)
		}
	}
}

// ranOut names the timer behind an exchange, "" for none.
var ranOut = map[trace.Purpose]string{trace.PurposeDPD: "dpd", trace.PurposeRekeyIKE: "rekey", trace.PurposeRekeyChild: "child rekey"}

// observe gives what timers of an IKE SA have done, a row for each.
func observe(sa *trace.IKESA) []observed {
	rows := map[string]*observed{}
	names := []string{}
	row := func(name string, m *trace.Message) *observed {
		o := rows[name]
		if o == nil {
			o = &observed{name: name, sa: sa, at: Target{SA: sa, Frame: m.Frame, Time: m.Time}}
			rows[name] = o
			names = append(names, name)
		}
		return o
	}
	silent := 0
	for _, x := range sa.Exchanges {
		if x.Request == nil {
			continue
		}
		if name := ranOut[x.Purpose]; name != "" {
			o := row(name, x.Request)
			o.n++
			o.last = x.Request.Time
		}
		if x.RequestRepeats > 0 {
			o := row("retransmit", x.Request)
			o.n += x.RequestRepeats
			for _, r := range x.Repeats {
				if !r.Response {
					o.last = r.Time
				}
			}
			if x.Response == nil {
				silent++
			}
		}
	}
	var list []observed
	for _, name := range names {
		o := rows[name]
		switch name {
		case "dpd":
			o.what = dpdWords(&sa.DPD)
		case "retransmit":
			o.what = count(int64(o.n), "repetition") + " of requests"
			if silent > 0 {
				o.what += fmt.Sprintf("; %s stayed without an answer", count(int64(silent), "request"))
			}
		default:
			o.what = count(int64(o.n), "rekeying")
			if since := o.at.Time.Sub(sa.First); since > 0 {
				o.what += ", the first " + short(since) + " after the start"
			}
		}
		if every := o.every(); every > 0 && name != "retransmit" {
			o.what += ", every " + short(every)
		}
		list = append(list, *o)
	}
	if sa.Keepalives > 0 {
		list = append(list, observed{name: "nat-keepalive", sa: sa, at: Target{SA: sa}, last: sa.LastKeepalive, n: int(sa.Keepalives),
			what: count(sa.Keepalives, "keepalive") + ", the last at " + clock(sa.LastKeepalive)})
	}
	return list
}

// every gives the mean time between what a timer did, 0 where it did it once.
func (o *observed) every() time.Duration {
	if o.n < 2 {
		return 0
	}
	return o.last.Sub(o.at.Time) / time.Duration(o.n-1)
}

func (o *observed) field(key string) string {
	switch key {
	case "":
		return o.name + " " + saName(o.sa) + " " + o.what + " " + sideEndpoint(o.sa.Remote)
	case "timer":
		return o.name
	case "peer":
		return sideEndpoint(o.sa.Local) + " " + sideEndpoint(o.sa.Remote)
	}
	return ""
}

func (o *observed) text() string { return o.name + " of " + saName(o.sa) + ": " + o.what }

func (p *Timers) selectedSeen() (observed, bool) {
	if p.list.At < 0 || p.list.At >= len(p.seen) {
		return observed{}, false
	}
	return p.seen[p.list.At], true
}

// target gives where the selected row can be seen.
func (p *Timers) target() Target {
	if o, ok := p.selectedSeen(); ok {
		return o.at
	}
	r, _ := p.selected()
	return Target{SA: r.sa}
}

// name gives the timer of row i.
func (p *Timers) name(i int) string {
	if len(p.seen) > 0 {
		return p.seen[i].name
	}
	return p.rows[i].timer.Name
}

var observedColumns = []widget.Column{
	{Title: "FIRST", Min: 15, Max: 15},
	{Title: "TIMER", Min: 13, Max: 13},
	{Title: "SA", Min: 16, Max: 20},
	{Title: "WHAT IT DID", Min: 24, Max: 110, Grow: 1},
}

// viewSeen draws what timers have done in a capture.
func (p *Timers) viewSeen(t *theme.Theme, r widget.Rect) []theme.Line {
	widths := widget.Widths(observedColumns, r.W)
	lines := []theme.Line{widget.TableHead(t, observedColumns, widths)}
	p.height = r.H - 1 - wholeLines
	from, to := p.list.Window(p.height)
	for i := from; i < to; i++ {
		o, role := &p.seen[i], theme.Plain
		if o.name == "retransmit" {
			role = theme.Warning
		}
		lines = append(lines, widget.TableRow(t, observedColumns, widths, []theme.Span{
			theme.S(theme.Muted, clock(o.at.Time)), theme.S(role, o.name), theme.S(theme.Plain, saName(o.sa)), theme.S(theme.Plain, o.what),
		}, i == p.list.At))
	}
	for len(lines) < r.H-wholeLines {
		lines = append(lines, theme.Line{})
	}
	lines = append(lines, widget.Rule(t, r.W))
	if o, ok := p.selectedSeen(); ok {
		for _, words := range widget.Wrap(o.text(), r.W-2) {
			lines = append(lines, theme.L(theme.S(theme.Plain, " "), theme.S(theme.Plain, words)))
		}
	}
	return lines[:min(len(lines), r.H)]
}

func (p *Timers) sheetSeen() widget.Sheet {
	s := widget.Sheet{Title: "Timers", Columns: []string{"first", "timer", "sa", "peer", "what"}}
	for i := range p.seen {
		o := &p.seen[i]
		s.Rows = append(s.Rows, []string{clock(o.at.Time), o.name, saName(o.sa), strings.TrimSpace(sideEndpoint(o.sa.Remote) + " " + o.sa.Remote.ID), o.what})
	}
	return s
}
