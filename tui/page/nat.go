package page

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// NAT says of each IKE SA who is behind a NAT, and how that is known.
type NAT struct {
	list    widget.List
	filter  widget.Filter
	rows    []*trace.IKESA
	total   int
	trace   *trace.Trace
	live    bool // the source is a daemon: we are one of the sides
	now     time.Time
	pane    widget.Pane
	height  int
	scrollY int // first row of the pane in the last View
}

// NewNAT makes the page.
func NewNAT() *NAT { return &NAT{} }

// Key gives the number of the page.
func (p *NAT) Key() string { return "3" }

// Name gives the word in the tab bar.
func (p *NAT) Name() string { return "NAT" }

// SetFilter limits the rows.
func (p *NAT) SetFilter(f widget.Filter) { p.filter = f }

// Sync makes the rows anew.
func (p *NAT) Sync(d feed.Data, now time.Time) {
	selected := p.selected()
	p.trace, p.now, p.live = d.Trace(), now, d.Daemon() != nil
	p.rows, p.total = p.rows[:0], 0
	at := -1
	shown := p.shown()
	for _, sa := range p.trace.SAs {
		if p.live && !shown[sa] {
			continue // what a daemon no longer has tells nothing of now
		}
		p.total++
		if !p.filter.Match(p.field(sa)) {
			continue
		}
		if sa == selected {
			at = len(p.rows)
		}
		p.rows = append(p.rows, sa)
	}
	p.list.SetLen(len(p.rows))
	if at >= 0 {
		p.list.Select(at)
	}
}

// shown gives the IKE SAs of a daemon that say how things are: those that stand,
// and the last one between two ends where none does.
func (p *NAT) shown() map[*trace.IKESA]bool {
	if !p.live {
		return nil
	}
	type ends struct {
		name string
		far  netip.Addr
	}
	shown, last := make(map[*trace.IKESA]bool), make(map[ends]*trace.IKESA)
	for _, sa := range p.trace.SAs {
		k := ends{sa.Name, sa.Remote.Host}
		switch before := last[k]; {
		case sa.Ended == "":
			shown[sa] = true
			last[k] = sa
		case before == nil || before.Ended != "":
			last[k] = sa
		}
	}
	for _, sa := range last {
		shown[sa] = true
	}
	return shown
}

func (p *NAT) selected() *trace.IKESA {
	if len(p.rows) == 0 {
		return nil
	}
	return p.rows[min(p.list.At, len(p.rows)-1)]
}

func (p *NAT) field(sa *trace.IKESA) func(string) string {
	return func(key string) string {
		switch key {
		case "":
			return strings.Join(p.cells(sa), " ")
		case "nat":
			return natWords(sa)
		case "peer":
			return sideEndpoint(sa.Remote) + " " + sa.Remote.ID
		case "spi":
			return sa.InitiatorSPI.String() + " " + sa.ResponderSPI.String()
		}
		return ""
	}
}

var natColumns = []widget.Column{
	{Title: "IKE SA", Min: 16, Max: 30, Grow: 2},
	{Title: "NEAR", Min: 15, Max: 28, Grow: 1},
	{Title: "FAR", Min: 15, Max: 28, Grow: 1},
	{Title: "NAT", Min: 7, Max: 7},
	{Title: "ESP", Min: 6, Max: 6, Drop: 2},
	{Title: "KEEPALIVES", Min: 10, Max: 10, Right: true, Drop: 3},
	{Title: "MOVED", Min: 5, Max: 5, Right: true, Drop: 1},
}

// saName names an IKE SA: by its connection, or by its SPI.
func saName(sa *trace.IKESA) string {
	switch {
	case sa.Name != "" && sa.UniqueID == 0: // it ended before it was listed
		return sa.Name
	case sa.Name != "":
		return fmt.Sprintf("%s[%d]", sa.Name, sa.UniqueID)
	}
	return sa.InitiatorSPI.String()
}

// natVerdict says in a word who is behind a NAT.
func natVerdict(sa *trace.IKESA) theme.Span {
	if sa.NAT.Fake.Or(false) {
		return theme.S(theme.Busy, "forced")
	}
	mark := natMark(&sa.NAT)
	switch mark.Text {
	case "no":
		mark.Text = "none"
	case "":
		return theme.S(theme.Muted, unknown)
	}
	return mark
}

// encapsulation says how the ESP packets of an SA go.
func encapsulation(sa *trace.IKESA) string {
	for _, c := range sa.Children {
		if encap, ok := c.Encap.Get(); ok {
			if encap {
				return "in UDP"
			}
			return "plain"
		}
	}
	switch {
	case len(sa.Flows) == 0:
		return ""
	case sa.Flows[0].Encap.String() == "udp-natt":
		return "in UDP"
	}
	return "plain"
}

func (p *NAT) cells(sa *trace.IKESA) []string {
	keepalives, moved := "", ""
	if sa.Keepalives > 0 {
		keepalives = Thousands(sa.Keepalives)
	}
	if n := len(sa.Moves); n > 0 {
		moved = fmt.Sprint(n)
	}
	return []string{saName(sa), sideEndpoint(sa.Local), sideEndpoint(sa.Remote), natVerdict(sa).Text, encapsulation(sa), keepalives, moved}
}

// View draws the table over what is known about the selected SA.
func (p *NAT) View(t *theme.Theme, r widget.Rect) []theme.Line {
	if len(p.rows) == 0 {
		words := "  no IKE SA seen yet"
		if !p.filter.Empty() {
			words = "  no IKE SA matches the filter"
		}
		return []theme.Line{{}, theme.L(theme.S(theme.Muted, words))}
	}
	table, below := r.Below(min(len(p.rows)+1, max(5, r.H/3)))
	p.height, p.scrollY = table.H-1, table.H
	widths := widget.Widths(natColumns, table.W)
	lines := []theme.Line{widget.TableHead(t, natColumns, widths)}
	from, to := p.list.Window(p.height)
	for i := from; i < to; i++ {
		sa := p.rows[i]
		cells := p.cells(sa)
		spans := make([]theme.Span, len(cells))
		for c := range cells {
			spans[c] = theme.S(theme.Plain, cells[c])
		}
		spans[3] = natVerdict(sa)
		if len(sa.Moves) > 0 {
			spans[6].Role = theme.Warning
		}
		lines = append(lines, widget.TableRow(t, natColumns, widths, spans, i == p.list.At))
	}
	for len(lines) < table.H {
		lines = append(lines, theme.Line{})
	}
	p.compose(t, below.W)
	return append(lines, p.pane.View(t, below)...)
}

// ours says whether the near end of an SA is this side: of one that the daemon
// never named, and that only its messages show, it is the initiator.
func (p *NAT) ours(sa *trace.IKESA) bool { return p.live && sa.Name != "" }

// compose makes what is known about the selected SA.
func (p *NAT) compose(t *theme.Theme, width int) {
	sa := p.selected()
	f := &facts{width: width}
	p.pane.Title = saName(sa) + "  " + natWords(sa)
	if p.live && sa.Ended != "" {
		p.pane.Title += "; it has ended: " + string(sa.Ended)
	}
	f.lines = append(f.lines, p.picture(t, sa)...)
	near, far := "initiator", "responder"
	if p.ours(sa) {
		near, far = "this side", "the peer"
	}
	f.add(near, identity(sa.Local))
	f.add(far, identity(sa.Remote))
	for _, x := range []struct {
		who  string
		pair *trace.HashPair
	}{{"request", &sa.NATD.Request}, {"response", &sa.NATD.Response}} {
		p.hashFacts(f, x.who, x.pair)
	}
	if !sa.NATD.Request.Seen && !sa.NATD.Response.Seen {
		f.role("hashes", "not seen: this source tells the verdict only", theme.Muted)
	}
	f.add("ESP", encapsulation(sa))
	if sa.Keepalives > 0 {
		f.add("keepalives", Thousands(sa.Keepalives)+", last "+clock(sa.LastKeepalive))
	}
	for _, timer := range sa.Timers {
		if timer.Name == "nat-keepalive" {
			f.add("keepalive", "next in "+short(timer.Due.Sub(p.now)))
		}
	}
	for _, m := range sa.Moves {
		f.role("moved", clock(m.Time)+"  "+endpoint(m.From)+" to "+endpoint(m.To)+by(m.By), theme.Warning)
	}
	p.pane.Lines = f.lines
}

// hashFacts tells what a message of IKE_SA_INIT claimed and what was seen.
func (p *NAT) hashFacts(f *facts, who string, pair *trace.HashPair) {
	if !pair.Seen {
		return
	}
	line := func(label, what string, m trace.Match, hash []byte, seen string) {
		words, role := "matches", theme.Good
		switch m {
		case trace.MatchNo:
			words, role = "does not match", theme.Warning
		case trace.MatchUnknown:
			words, role = unknown, theme.Muted
		}
		f.role(label, fmt.Sprintf("%s hash %s %s; seen %s", what, abbreviated(hash), words, seen), role)
	}
	var source []byte
	if len(pair.SourceHashes) > 0 {
		source = pair.SourceHashes[0]
	}
	what := "source"
	if n := len(pair.SourceHashes); n > 1 {
		what = fmt.Sprintf("source (%d hashes)", n)
	}
	line(who, what, pair.Source, source, endpoint(pair.SrcSeen))
	line("", "destination", pair.Destination, pair.DestHash, endpoint(pair.DstSeen))
}

// abbreviated gives the beginning of a hash, enough to tell two apart.
func abbreviated(hash []byte) string {
	if len(hash) > 6 {
		return fmt.Sprintf("%x...", hash[:6])
	}
	return fmt.Sprintf("%x", hash)
}

// picture draws the path: who stands where, and where a NAT is.
func (p *NAT) picture(t *theme.Theme, sa *trace.IKESA) []theme.Line {
	local, remote := sa.NAT.Local.Or(false), sa.NAT.Remote.Or(false)
	if sa.NAT.Fake.Or(false) {
		local = false
	}
	near, far := "initiator", "responder"
	if p.ours(sa) {
		near, far = "you", "peer"
	}
	line := theme.Line{Spans: []theme.Span{theme.S(theme.Plain, "  ")}}
	add := func(role theme.Role, text string) { line.Spans = append(line.Spans, theme.S(role, text)) }
	shaft := " " + strings.Repeat(t.Glyphs.Line, 3) + " "
	add(theme.Title, near)
	add(theme.Muted, shaft)
	if local {
		add(theme.Warning, "[NAT]")
		add(theme.Muted, shaft)
	}
	add(theme.Muted, "internet"+shaft)
	if remote {
		add(theme.Warning, "[NAT]")
		add(theme.Muted, shaft)
	}
	add(theme.Title, far)
	return []theme.Line{line, {}}
}

// Keys are the page's own keys.
func (p *NAT) Keys() []theme.Binding {
	none := ""
	if p.selected() == nil {
		none = "there is no IKE SA"
	}
	return []theme.Binding{
		{Action: theme.Open, Keys: []string{"enter", "x"}, Does: "its exchanges", Hint: "exchanges", Off: none},
		{Action: "tunnel", Keys: []string{"t"}, Does: "its tunnel", Hint: "tunnel", Off: none},
		{Action: "pane-down", Keys: []string{"J"}, Does: "scroll the details down", Off: none},
		{Action: "pane-up", Keys: []string{"K"}, Does: "scroll the details up", Off: none},
	}
}

// Do does what a key means.
func (p *NAT) Do(a theme.Action) Outcome {
	sa := p.selected()
	switch a {
	case theme.Open:
		return Outcome{Jump: "2", To: Target{SA: sa}}
	case "tunnel":
		return Outcome{Jump: "1", To: Target{SA: sa}}
	case theme.Back:
		return Outcome{Left: true}
	case "pane-down":
		p.pane.Scroll(3)
	case "pane-up":
		p.pane.Scroll(-3)
	case theme.Next, theme.Previous:
		if !p.list.Seek(a == theme.Previous, func(i int) bool {
			return natVerdict(p.rows[i]).Role == theme.Warning || len(p.rows[i].Moves) > 0
		}) {
			return Outcome{Say: "no SA has two NATs or has moved"}
		}
	default:
		p.list.Do(a, p.height)
	}
	return Outcome{}
}

// Click selects a row.
func (p *NAT) Click(_, y int) bool {
	row := p.list.Top + y - 1
	if y < 1 || y >= p.scrollY || row >= p.list.Len {
		return false
	}
	again := p.list.At == row
	p.list.Select(row)
	return again
}

// Wheel scrolls the table or the details.
func (p *NAT) Wheel(_, y, n int) {
	if y >= p.scrollY {
		p.pane.Scroll(n)
		return
	}
	p.list.Move(n)
}

// Show selects an SA.
func (p *NAT) Show(t Target) bool {
	for i, sa := range p.rows {
		if sa == t.SA {
			p.list.Select(i)
			return true
		}
	}
	return false
}

// Status describes the selection.
func (p *NAT) Status() Status {
	s := Status{Shown: len(p.rows), Total: p.total, Unit: "IKE SA"}
	if s.Shown > 0 {
		s.At = p.list.At + 1
	}
	return s
}

// Selection gives the selected SA's verdict in words.
func (p *NAT) Selection() (what, text string, at Target) {
	sa := p.selected()
	if sa == nil {
		return "", "", Target{}
	}
	return "NAT verdict", saName(sa) + ": " + natWords(sa), Target{SA: sa}
}

// Sheet gives the table and the details.
func (p *NAT) Sheet() widget.Sheet {
	s := widget.Sheet{Title: "NAT"}
	for _, c := range natColumns {
		s.Columns = append(s.Columns, strings.ToLower(c.Title))
	}
	for _, sa := range p.rows {
		s.Rows = append(s.Rows, p.cells(sa))
	}
	if p.selected() != nil {
		p.compose(theme.New(theme.Options{ASCII: true}), 100)
		s.Text = paneText(&p.pane)
	}
	return s
}
