package page

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// Exchanges is the ladder: every message of every IKE SA as an arrow, the
// initiator on the left.
type Exchanges struct {
	list    widget.List
	filter  widget.Filter
	scope   *trace.IKESA // nil for all
	rows    []rung
	total   int
	trace   *trace.Trace
	daemon  bool
	clock   bool // times of day instead of seconds since the start
	height  int
	message *messageView // open, nil where the ladder shows
	compare *widget.Pane // open, nil where not
}

// NewExchanges makes the page.
func NewExchanges() *Exchanges { return &Exchanges{} }

// Key gives the number of the page.
func (p *Exchanges) Key() string { return "2" }

// Name gives the word in the tab bar.
func (p *Exchanges) Name() string { return "Exchanges" }

// SetFilter limits the rows.
func (p *Exchanges) SetFilter(f widget.Filter) { p.filter = f }

// Sync makes the rows anew.
func (p *Exchanges) Sync(d feed.Data, _ time.Time) {
	p.trace, p.daemon = d.Trace(), d.Daemon() != nil
	p.rebuild()
}

// rebuild makes the rows anew and stays on the selected one.
func (p *Exchanges) rebuild() {
	selected, had := p.selected()
	p.rows, p.total = p.rows[:0], 0
	for _, sa := range p.trace.SAs {
		if p.scope == nil || p.scope == sa {
			p.addSA(sa)
		}
	}
	p.list.SetLen(len(p.rows))
	if had {
		if i := slices.Index(p.rows, selected); i >= 0 {
			p.list.Select(i)
		}
	}
}

func (p *Exchanges) selected() (rung, bool) {
	if len(p.rows) == 0 {
		return rung{}, false
	}
	return p.rows[min(p.list.At, len(p.rows)-1)], true
}

// when gives the time of a row.
func (p *Exchanges) when(t time.Time) string {
	if p.clock || p.trace == nil {
		return clock(t)
	}
	return sinceStart(t.Sub(p.trace.First))
}

const (
	timeWidth = 15
	sizeWidth = 5
	rttWidth  = 7
)

// ladderWidths gives the widths of time, arrow and note.
func ladderWidths(width int) (when, arrow, note int) {
	when = 10
	if width >= 100 {
		when = timeWidth
	}
	rest := width - 1 - when - sizeWidth - rttWidth - 8
	arrow = max(28, min(46, rest*52/100))
	return when, arrow, max(0, rest-arrow)
}

// View draws the ladder, or what is open on top of it.
func (p *Exchanges) View(t *theme.Theme, r widget.Rect) []theme.Line {
	switch {
	case p.compare != nil:
		p.height = r.H - 2
		return p.compare.View(t, r)
	case p.message != nil:
		p.height = r.H - 2
		return p.message.View(t, r)
	}
	p.height = r.H - 1
	if len(p.rows) == 0 {
		words := "  no IKE exchange seen yet"
		if !p.filter.Empty() {
			words = "  no exchange matches the filter"
		}
		return []theme.Line{{}, theme.L(theme.S(theme.Muted, words))}
	}
	when, arrow, note := ladderWidths(r.W)
	head := theme.L(theme.S(theme.Muted, " "+t.Fit("TIME", when, true)+"  "+
		t.Fit("INITIATOR", arrow-10, false)+t.Fit("RESPONDER", 9, true)+"   "+
		t.Fit("SIZE", sizeWidth, true)+"  "+t.Fit("RTT", rttWidth, true)+"  "+t.Fit("NOTE", note, false)))
	lines := []theme.Line{head}
	from, to := p.list.Window(p.height)
	for i := from; i < to; i++ {
		lines = append(lines, p.line(t, p.rows[i], i == p.list.At, when, arrow))
	}
	return lines
}

func (p *Exchanges) line(t *theme.Theme, r rung, selected bool, when, arrow int) theme.Line {
	line := theme.Line{Selected: selected, Spans: []theme.Span{widget.Cursor(t, selected)}}
	add := func(role theme.Role, text string) { line.Spans = append(line.Spans, theme.S(role, text)) }
	switch r.kind {
	case rungHead:
		if r.sa.Name != "" {
			add(theme.Title, saName(r.sa)+"  ")
		}
		if r.sa.InitiatorSPI != 0 {
			add(theme.Title, r.sa.InitiatorSPI.String()+"  ")
		}
		add(theme.Plain, sideEndpoint(r.sa.Local)+" "+t.Glyphs.Line+" "+sideEndpoint(r.sa.Remote)+"  ")
		add(ikeRole(r.sa.State), string(r.sa.State)+"  ")
		add(theme.Muted, suiteWords(&r.sa.Suite))
		return line
	case rungSkipped:
		add(theme.Muted, t.Fit("", when, true)+"  "+t.Glyphs.More+" "+count(r.sa.Skipped, "exchange")+" not kept "+t.Glyphs.More)
		return line
	}
	if r.kind == rungQuiet {
		add(theme.Muted, t.Fit("", when, true)+"  no message since this screen follows the daemon")
		return line
	}
	note, at := rungNote(r), p.when(r.time)
	if r.kind == rungMeaning {
		at = ""
	}
	add(theme.Muted, t.Fit(at, when, true)+"  ")
	if r.kind == rungMeaning {
		add(theme.Plain, "     ")
		add(note.Role, note.Text)
		return line
	}
	a := widget.Arrow{Label: r.label(), Leftward: r.leftward(), Dashed: r.kind == rungRepeat, Broken: r.kind == rungSilence, Role: theme.Plain}
	if r.kind != rungMessage || note.Role == theme.Bad {
		a.Role = note.Role
	}
	if r.kind == rungSilence {
		a.Leftward, a.Label = !a.Leftward, "no answer"
	}
	line.Spans = append(line.Spans, a.View(t, arrow)...)
	size, trip := "", ""
	if r.message != nil && r.message.Length > 0 {
		size = fmt.Sprint(r.message.Length)
	}
	if d, ok := r.exchange.RTT.Get(); ok && r.kind == rungMessage && r.message == r.exchange.Response {
		trip = rtt(d)
	}
	add(theme.Plain, "  "+t.Fit(size, sizeWidth, true))
	add(theme.Muted, "  "+t.Fit(trip, rttWidth, true)+"  ")
	add(note.Role, note.Text)
	return line
}

// Decoded hands over a packet that open asked for.
func (p *Exchanges) Decoded(frame int64, packet *event.Packet, err error) {
	if p.message != nil && p.message.frame == frame && p.message.waiting {
		p.message.setPacket(packet, err)
	}
}

// Show selects an SA's head, or the message on a frame.
func (p *Exchanges) Show(t Target) bool {
	p.message, p.compare = nil, nil
	if p.scope != nil {
		p.scope = nil
		p.rebuild()
	}
	if i := p.find(t); i >= 0 {
		p.list.Select(i)
		return true
	}
	for i, r := range p.rows {
		if t.Frame > 0 && r.kind != rungHead && r.has(t.Frame) || t.Frame == 0 && r.kind == rungHead && r.sa == t.SA {
			p.list.Select(i)
			if r.kind == rungHead {
				p.list.Top = i
			}
			return true
		}
	}
	return false
}

// find gives the row of the message that a line of a log is about, or of the
// one nearest to a time; -1 where the target names none.
func (p *Exchanges) find(t Target) int {
	if t.Frame > 0 || t.SA == nil || t.Time.IsZero() {
		return -1
	}
	best, off := -1, time.Duration(0)
	for i, r := range p.rows {
		if r.sa != t.SA || r.exchange == nil || r.kind == rungMeaning || t.Message && r.exchange.MessageID != t.MessageID || t.Half != Either && r.response != (t.Half == Response) {
			continue
		}
		if d := r.time.Sub(t.Time).Abs(); best < 0 || d < off {
			best, off = i, d
		}
	}
	return best
}

// Status describes the selection.
func (p *Exchanges) Status() Status {
	s := Status{Shown: len(p.rows), Total: p.total, Unit: "row"}
	if s.Shown > 0 {
		s.At = p.list.At + 1
	}
	if p.scope != nil {
		s.Scope = "SA " + p.scope.InitiatorSPI.String()
	}
	if p.trace != nil {
		s.Dropped = p.trace.Counts.Forgotten
	}
	return s
}

// Selection gives the selected row in words, or the selected part of the open
// message.
func (p *Exchanges) Selection() (what, text string, at Target) {
	r, ok := p.selected()
	switch {
	case !ok:
		return "", "", Target{}
	case p.message != nil && p.compare == nil:
		what, text = p.message.selection()
		return what, text, Target{SA: r.sa, Frame: r.frame}
	case r.kind == rungHead:
		return "IKE SPIs", r.sa.InitiatorSPI.String() + " " + r.sa.ResponderSPI.String(), Target{SA: r.sa}
	}
	return "message", strings.Join(p.cells(r), "  "), Target{SA: r.sa, Frame: r.frame}
}

// cells gives a row as plain text.
func (p *Exchanges) cells(r rung) []string {
	if r.exchange == nil {
		return nil
	}
	arrow := "->"
	if r.leftward() {
		arrow = "<-"
	}
	size, trip := "", ""
	if r.message != nil {
		size = fmt.Sprint(r.message.Length)
	}
	if d, ok := r.exchange.RTT.Get(); ok && r.kind == rungMessage && r.message == r.exchange.Response {
		trip = rtt(d)
	}
	return []string{
		fmt.Sprint(r.frame), p.when(r.time), r.sa.InitiatorSPI.String(), arrow, r.label(), size, trip, rungNote(r).Text,
	}
}

// Sheet gives the ladder, the open message or the comparison.
func (p *Exchanges) Sheet() widget.Sheet {
	switch {
	case p.compare != nil:
		return widget.Sheet{Title: p.compare.Title, Text: paneText(p.compare)}
	case p.message != nil:
		return p.message.sheet()
	}
	s := widget.Sheet{Title: "Exchanges", Columns: []string{"frame", "time", "spi", "way", "exchange", "size", "rtt", "note"}}
	for _, r := range p.rows {
		if cells := p.cells(r); cells != nil {
			s.Rows = append(s.Rows, cells)
		}
	}
	return s
}

func paneText(p *widget.Pane) string {
	var b strings.Builder
	for _, l := range p.Lines {
		for _, span := range l.Spans {
			b.WriteString(span.Text)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
