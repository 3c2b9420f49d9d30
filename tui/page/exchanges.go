package page

import (
	"cmp"
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

// Keys are the page's own keys.
func (p *Exchanges) Keys() []theme.Binding {
	if p.message != nil && p.compare == nil {
		return append(p.message.Keys(), p.rowKeys()[1:]...)
	}
	return p.rowKeys()
}

// rowKeys are the keys about the selected row, the one that opens it first.
func (p *Exchanges) rowKeys() []theme.Binding {
	r, ok := p.selected()
	noMessage, noSA, noScope := "", "", ""
	if !ok || r.message == nil {
		noMessage = "the row is no message"
	}
	if !ok {
		noSA = "there is no exchange"
	}
	if p.scope == nil {
		noScope = "all are shown"
	}
	open := theme.Binding{Action: theme.Open, Keys: []string{"enter"}, Does: "the message: payloads beside their octets", Hint: "open", Off: noMessage}
	if ok && r.toldOnly() {
		open.Does, open.Hint = "what the log says of the message", "log"
	}
	return []theme.Binding{
		open,
		{Action: "compare", Keys: []string{"d"}, Does: "what was offered against what was accepted", Hint: "compare proposals", Off: p.noProposal()},
		{Action: "packet", Keys: []string{"p"}, Does: "the packet on the Packets page", Off: cmp.Or(noMessage, p.noFrame(r))},
		{Action: "log", Keys: []string{"l"}, Does: "the log at this time", Off: p.noLog()},
		{Action: "scope", Keys: []string{"s"}, Does: "only this IKE SA", Hint: "this SA", Off: noSA},
		{Action: "all", Keys: []string{"a"}, Does: "all IKE SAs again", Off: noScope},
		{Action: "clock", Keys: []string{"t"}, Does: "times of day, or seconds since the start"},
	}
}

func (p *Exchanges) noFrame(r rung) string {
	if r.frame == 0 {
		return "a daemon does not show its packets"
	}
	return ""
}

func (p *Exchanges) noLog() string {
	switch {
	case !p.daemon:
		return "a capture has no log"
	case len(p.rows) == 0:
		return "there is no exchange"
	}
	return ""
}

func (p *Exchanges) noProposal() string {
	r, ok := p.selected()
	switch {
	case !ok:
		return "there is no exchange"
	case r.exchange == nil && proposalExchange(r.sa) == nil:
		return "no proposal of this SA can be read"
	case r.exchange != nil && !hasProposal(r.exchange):
		return "the exchange has no proposal that can be read"
	}
	return ""
}

// Do does what a key means.
func (p *Exchanges) Do(a theme.Action) Outcome {
	if p.compare != nil {
		if a == theme.Back || a == "compare" {
			p.compare = nil
		} else {
			p.compare.Do(a, p.height)
		}
		return Outcome{}
	}
	r, ok := p.selected()
	switch a {
	case "compare":
		x := r.exchange
		if x == nil {
			x = proposalExchange(r.sa)
		}
		p.compare = comparePane(x)
		return Outcome{}
	case "packet":
		return Outcome{Jump: "6", To: Target{Frame: r.frame}}
	case "log":
		return Outcome{Jump: "7", To: Target{Time: r.time}}
	case "clock":
		p.clock = !p.clock
		return Outcome{}
	case "scope":
		if ok {
			p.scope = r.sa
		}
		return Outcome{Resync: true}
	case "all":
		p.scope = nil
		return Outcome{Resync: true, Say: "all IKE SAs"}
	}
	if p.message != nil {
		if a == theme.Back {
			p.message = nil
			return Outcome{}
		}
		return Outcome{Say: p.message.Do(a)}
	}
	switch a {
	case theme.Open:
		return p.open()
	case theme.Back:
		if p.scope != nil {
			p.scope = nil
			return Outcome{Resync: true, Say: "all IKE SAs"}
		}
		return Outcome{Left: true}
	case theme.Next, theme.Previous:
		if !p.list.Seek(a == theme.Previous, func(i int) bool {
			role := rungNote(p.rows[i]).Role
			return p.rows[i].kind != rungMeaning && (role == theme.Bad || role == theme.Warning)
		}) {
			return Outcome{Say: "no message has a problem"}
		}
	default:
		p.list.Do(a, p.height)
	}
	return Outcome{}
}

// open opens the selected message; where its octets were not kept, it asks
// for them.
func (p *Exchanges) open() Outcome {
	r, ok := p.selected()
	if !ok || r.message == nil {
		return Outcome{}
	}
	if r.toldOnly() {
		return Outcome{Jump: "7", To: Target{Time: r.time}}
	}
	p.message = newMessageView(r.label()+"   "+endpoint(r.message.Src)+" to "+endpoint(r.message.Dst), r.frame)
	if len(r.message.Octets) == 0 {
		p.message.wait()
		return Outcome{Fetch: r.frame}
	}
	p.message.setMessage(r.message) // a repetition has the same octets
	return Outcome{}
}

// Decoded hands over a packet that open asked for.
func (p *Exchanges) Decoded(frame int64, packet *event.Packet, err error) {
	if p.message != nil && p.message.frame == frame && p.message.waiting {
		p.message.setPacket(packet, err)
	}
}

// Click selects a row, or something in the open message.
func (p *Exchanges) Click(x, y int) bool {
	if p.compare != nil {
		return false
	}
	if p.message != nil {
		p.message.Click(x, y)
		return false
	}
	row := p.list.Top + y - 1
	if y < 1 || row >= p.list.Len {
		return false
	}
	again := p.list.At == row
	p.list.Select(row)
	return again
}

// Wheel scrolls.
func (p *Exchanges) Wheel(x, y, n int) {
	switch {
	case p.compare != nil:
		p.compare.Scroll(n)
	case p.message != nil:
		p.message.Wheel(x, y, n)
	default:
		p.list.Move(n)
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
