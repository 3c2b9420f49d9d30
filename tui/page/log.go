package page

import (
	"fmt"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// Log is what happened, line by line: changes, alerts, and the daemon's log.
// It follows the end until the user goes up.
type Log struct {
	list   widget.List
	filter widget.Filter
	lines  feed.LogList
	trace  *trace.Trace
	daemon bool
	level  int // lines of the log above it are left out
	follow bool
	height int
	// shown are the numbers of the lines that filter and level let through, up
	// to and including number seen; nil where all are shown.
	shown    []int64
	seen     int64
	narrowed bool
}

// NewLog makes the page.
func NewLog() *Log { return &Log{level: maxLevel, follow: true} }

// maxLevel is the highest level that a daemon's log has.
const maxLevel = 4

// Key gives the number of the page.
func (p *Log) Key() string { return "7" }

// Name gives the word in the tab bar.
func (p *Log) Name() string { return "Log" }

// SetFilter limits the lines.
func (p *Log) SetFilter(f widget.Filter) {
	p.filter = f
	p.again()
}

// again forgets which lines are shown.
func (p *Log) again() {
	p.shown, p.seen = p.shown[:0], 0
	p.narrowed = !p.filter.Empty() || p.level < maxLevel
}

// Sync takes in the lines that have come.
func (p *Log) Sync(d feed.Data, _ time.Time) {
	at, had := p.number(p.list.At)
	p.lines, p.trace, p.daemon = d.Log(), d.Trace(), d.Daemon() != nil
	p.narrow()
	p.list.SetLen(p.len())
	switch {
	case p.follow:
		p.list.Select(p.len() - 1)
	case had:
		p.list.Select(p.index(at))
	}
}

// narrow looks at the lines that have not been looked at.
func (p *Log) narrow() {
	if !p.narrowed || p.lines == nil {
		return
	}
	first := p.lines.Forgotten() + 1
	drop := 0
	for drop < len(p.shown) && p.shown[drop] < first {
		drop++
	}
	p.shown = p.shown[drop:]
	for n := max(p.seen+1, first); n < first+int64(p.lines.Len()); n++ {
		l := p.lines.At(int(n - first))
		if l.Level <= p.level && p.filter.Match(lineField(&l)) {
			p.shown = append(p.shown, n)
		}
		p.seen = n
	}
}

func lineField(l *feed.Line) func(string) string {
	return func(key string) string {
		switch key {
		case "":
			return source(l) + " " + l.IKE + " " + l.Text
		case "group":
			return l.Group
		case "kind":
			return l.Kind
		case "ike", "conn":
			return l.IKE
		case "level":
			return fmt.Sprint(l.Level)
		}
		return ""
	}
}

func (p *Log) len() int {
	switch {
	case p.lines == nil:
		return 0
	case p.narrowed:
		return len(p.shown)
	}
	return p.lines.Len()
}

// number gives the number of the line in row i.
func (p *Log) number(i int) (int64, bool) {
	if i < 0 || i >= p.len() {
		return 0, false
	}
	if p.narrowed {
		return p.shown[i], true
	}
	return p.lines.Forgotten() + 1 + int64(i), true
}

// index gives the row of a line, or of the first after it.
func (p *Log) index(number int64) int {
	if !p.narrowed {
		return int(max(0, number-p.lines.Forgotten()-1))
	}
	for i, n := range p.shown {
		if n >= number {
			return i
		}
	}
	return len(p.shown) - 1
}

func (p *Log) line(i int) (feed.Line, bool) {
	n, ok := p.number(i)
	at := int(n - p.linesForgotten() - 1)
	if !ok || at < 0 || at >= p.lines.Len() {
		return feed.Line{}, false
	}
	return p.lines.At(at), true
}

func (p *Log) linesForgotten() int64 {
	if p.lines == nil {
		return 0
	}
	return p.lines.Forgotten()
}

var logColumns = []widget.Column{
	{Title: "TIME", Min: 12, Max: 12},
	{Title: "FROM", Min: 6, Max: 6},
	{Title: "SA", Min: 8, Max: 20, Grow: 1},
	{Title: "WHAT", Min: 30, Max: 400, Grow: 9},
}

// source says in at most six cells where a line comes from.
func source(l *feed.Line) string {
	switch l.Kind {
	case "log":
		return fmt.Sprintf("%s%d", l.Group, max(0, l.Level))
	case "change":
		return "event"
	}
	return l.Kind
}

var moodRoles = map[feed.Mood]theme.Role{feed.Neutral: theme.Plain, feed.Glad: theme.Good, feed.Worried: theme.Warning, feed.Upset: theme.Bad}

// View draws the lines.
func (p *Log) View(t *theme.Theme, r widget.Rect) []theme.Line {
	p.height = max(1, r.H-1-wholeLines)
	if p.len() == 0 {
		words := "  nothing has happened yet"
		switch {
		case !p.daemon:
			words = "  a capture has no log; what was sent is on the pages Exchanges and Packets"
		case p.narrowed:
			words = "  no line matches the filter and the level"
		}
		return []theme.Line{{}, theme.L(theme.S(theme.Muted, words))}
	}
	widths := widget.Widths(logColumns, r.W)
	lines := []theme.Line{widget.TableHead(t, logColumns, widths)}
	from, to := p.list.Window(p.height)
	for i := from; i < to; i++ {
		l, ok := p.line(i)
		if !ok {
			continue
		}
		lines = append(lines, widget.TableRow(t, logColumns, widths, []theme.Span{
			theme.S(theme.Muted, l.Time.UTC().Format("15:04:05.000")), theme.S(theme.Muted, source(&l)),
			theme.S(theme.Plain, p.name(&l)), theme.S(moodRoles[l.Mood], l.Text),
		}, i == p.list.At))
	}
	for len(lines) < r.H-wholeLines {
		lines = append(lines, theme.Line{})
	}
	return append(lines, p.whole(t, r.W)...)
}

// wholeLines is how many rows show the selected line as a whole, with the rule
// above.
const wholeLines = 4

// whole draws the selected line as far as it has room.
func (p *Log) whole(t *theme.Theme, width int) []theme.Line {
	lines := []theme.Line{widget.Rule(t, width)}
	if l, ok := p.line(p.list.At); ok {
		for _, words := range widget.Wrap(l.Text, width-2) {
			lines = append(lines, theme.L(theme.S(theme.Plain, " "), theme.S(moodRoles[l.Mood], words)))
		}
	}
	return lines[:min(len(lines), wholeLines)]
}

// Keys are the page's own keys.
func (p *Log) Keys() []theme.Binding {
	l, ok := p.line(p.list.At)
	noLine, noExchange := "", ""
	if !ok {
		noLine = "there is no line"
	}
	if noExchange = noLine; ok && p.sa(&l) == nil {
		noExchange = "the line belongs to no IKE SA that is known"
	}
	noLevel := ""
	if !p.daemon {
		noLevel = "there is no log"
	}
	return []theme.Binding{
		{Action: theme.Open, Keys: []string{"enter", "x"}, Does: "the exchange that the line is about", Hint: "exchange", Off: noExchange},
		{Action: "tunnel", Keys: []string{"t"}, Does: "its tunnel", Hint: "tunnel", Off: noExchange},
		{Action: "level", Keys: []string{"l"}, Does: "lines up to level 0, 1, 2, 3, or all", Hint: "level", Off: noLevel},
		{Action: "follow", Keys: []string{"F"}, Does: "follow the end", Off: noLine},
	}
}

// sa finds the IKE SA that a line is about.
func (p *Log) sa(l *feed.Line) *trace.IKESA {
	if p.trace == nil || l.IKEID == 0 && l.SPIi == 0 {
		return nil
	}
	for i := len(p.trace.SAs) - 1; i >= 0; i-- { // ids begin anew when a daemon does
		if sa := p.trace.SAs[i]; l.SPIi != 0 {
			if sa.InitiatorSPI == l.SPIi && (l.SPIr == 0 || sa.ResponderSPI == 0 || sa.ResponderSPI == l.SPIr) {
				return sa
			}
			continue
		}
		if sa := p.trace.SAs[i]; sa.UniqueID == l.IKEID && (l.IKE == "" || sa.Name == "" || sa.Name == l.IKE) {
			return sa
		}
	}
	return nil
}

// name gives the connection and number of the IKE SA that a line is about, as far
// as the line or the tables know them.
func (p *Log) name(l *feed.Line) string {
	name, id := l.IKE, l.IKEID
	if name == "" && id == 0 && l.SPIi != 0 {
		if sa := p.sa(l); sa != nil {
			name, id = sa.Name, sa.UniqueID
		}
	}
	if id == 0 {
		return name
	}
	return fmt.Sprintf("%s[%d]", name, id)
}

// Do does what a key means.
func (p *Log) Do(a theme.Action) Outcome {
	l, ok := p.line(p.list.At)
	switch a {
	case theme.Open:
		if sa := p.sa(&l); ok && sa != nil {
			return Outcome{Jump: "2", To: Target{SA: sa, Message: l.Exchange, MessageID: l.MessageID, Time: l.Time}}
		}
	case "tunnel":
		return Outcome{Jump: "1", To: Target{SA: p.sa(&l), Connection: l.IKE}}
	case "level":
		if p.level++; p.level > maxLevel {
			p.level = 0
		}
		p.again()
		words := fmt.Sprintf("lines up to level %d", p.level)
		if p.level == maxLevel {
			words = "lines of all levels"
		}
		return Outcome{Resync: true, Say: words}
	case "follow":
		p.follow = true
		p.list.Select(p.len() - 1)
	case theme.Back:
		return Outcome{Left: true}
	case theme.Next, theme.Previous:
		p.follow = false
		if !p.list.Seek(a == theme.Previous, func(i int) bool {
			l, ok := p.line(i)
			return ok && (l.Mood == feed.Upset || l.Mood == feed.Worried)
		}) {
			return Outcome{Say: "no line tells a problem"}
		}
	default:
		p.list.Do(a, p.height)
		p.stay()
	}
	return Outcome{}
}

// stay follows the end where the selection is at it.
func (p *Log) stay() { p.follow = p.list.At >= p.len()-1 }

// Click selects a line.
func (p *Log) Click(_, y int) bool {
	row := p.list.Top + y - 1
	if y < 1 || y > p.height || row >= p.list.Len {
		return false
	}
	again := p.list.At == row
	p.list.Select(row)
	p.stay()
	return again
}

// Wheel scrolls.
func (p *Log) Wheel(_, _, n int) {
	p.list.Move(n)
	p.stay()
}

// Show selects the first line at or after a time.
func (p *Log) Show(t Target) bool {
	if t.Time.IsZero() {
		return false
	}
	for i := range p.len() {
		if l, ok := p.line(i); ok && !l.Time.Before(t.Time) {
			p.list.Select(i)
			p.stay()
			return true
		}
	}
	return false
}

// Status describes the selection.
func (p *Log) Status() Status {
	s := Status{Shown: p.len(), Unit: "line"}
	if p.lines != nil {
		s.Total, s.Dropped = p.lines.Len(), p.lines.Forgotten()
	}
	if s.Shown > 0 {
		s.At = p.list.At + 1
	}
	if p.level < maxLevel {
		s.Scope = fmt.Sprintf("level %d", p.level)
	}
	if p.follow && p.daemon {
		s.Scope = strings.TrimSpace(s.Scope + " following")
	}
	return s
}

// Selection gives the selected line.
func (p *Log) Selection() (what, text string, at Target) {
	l, ok := p.line(p.list.At)
	if !ok {
		return "", "", Target{}
	}
	return "line", p.text(&l), Target{SA: p.sa(&l), Time: l.Time}
}

func (p *Log) text(l *feed.Line) string {
	return strings.Join([]string{l.Time.UTC().Format(time.RFC3339Nano), source(l), l.IKE, l.Text}, " ")
}

// Sheet gives the lines that are shown.
func (p *Log) Sheet() widget.Sheet {
	s := widget.Sheet{Title: "Log", Columns: []string{"time", "from", "sa", "what"}}
	for i := range p.len() {
		if l, ok := p.line(i); ok {
			s.Rows = append(s.Rows, []string{l.Time.UTC().Format(time.RFC3339Nano), source(&l), l.IKE, l.Text})
		}
	}
	return s
}
