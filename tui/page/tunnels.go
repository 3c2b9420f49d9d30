package page

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

type espSPI = wire.ESPSPI

// Tunnels is a tree table of connections, IKE SAs and child SAs; of a daemon
// also of what is configured and down.
type Tunnels struct {
	list    widget.List
	filter  widget.Filter
	groups  []*tunnelGroup
	rows    []tunnelRow
	scratch []tunnelRow
	total   int
	closed  map[groupKey]bool
	detail  bool
	pane    widget.Pane
	trace   *trace.Trace
	daemon  *feed.Daemon // nil where the source is none
	blame   blame
	now     time.Time
	flows   map[*engine.ChildSA][]*trace.Flow
	height  int
	scrollY int // first row of the detail pane in the last View
}

// tunnelGroup is a connection, or a pair of hosts where there is no name.
type tunnelGroup struct {
	key       groupKey
	near, far netip.Addr
	sas       []*trace.IKESA
	flows     []*trace.Flow   // that belong to no IKE SA
	tunnel    *backend.Tunnel // of a daemon, else nil
}

// groupKey is what the members of a group share.
type groupKey struct {
	name      string // of the connection, "" where there is none
	low, high netip.Addr
}

// name names the connection, or the two hosts.
func (g *tunnelGroup) name() string {
	if g.key.name != "" {
		return g.key.name
	}
	return host(g.near) + " ↔ " + host(g.far)
}

// tunnelRow is one row: of a group, an IKE SA, a child SA, a configured child
// without an SA, or a flow.
type tunnelRow struct {
	group *tunnelGroup
	sa    *trace.IKESA
	child *engine.ChildSA
	flow  *trace.Flow
	down  *backend.Child
}

// same says whether two rows, made at different times, are of one thing.
func (r *tunnelRow) same(o *tunnelRow) bool {
	return r.group.key == o.group.key && r.sa == o.sa && r.flow == o.flow && sameChild(r.child, o.child) &&
		(r.down == nil) == (o.down == nil) && (r.down == nil || r.down.Name == o.down.Name)
}

// sameChild says whether two tellings are of one child SA: a daemon's are made
// anew with every table.
func sameChild(a, b *engine.ChildSA) bool {
	return a == b || a != nil && b != nil && a.UniqueID == b.UniqueID && a.UniqueID != 0 && a.SPIIn == b.SPIIn && a.SPIOut == b.SPIOut
}

// NewTunnels makes the page.
func NewTunnels() *Tunnels { return &Tunnels{closed: map[groupKey]bool{}} }

// Key gives the number of the page.
func (p *Tunnels) Key() string { return "1" }

// Name gives the word in the tab bar.
func (p *Tunnels) Name() string { return "Tunnels" }

// SetFilter limits the rows.
func (p *Tunnels) SetFilter(f widget.Filter) { p.filter = f }

// Sync makes the rows anew.
func (p *Tunnels) Sync(d feed.Data, now time.Time) {
	p.trace, p.now, p.daemon = d.Trace(), now, d.Daemon()
	p.blame = newBlame(d.Findings())
	if p.daemon != nil {
		p.join()
	} else {
		p.group()
	}
	p.flatten()
}

func (p *Tunnels) group() {
	p.groups = p.groups[:0]
	p.flows = map[*engine.ChildSA][]*trace.Flow{}
	index := make(map[groupKey]*tunnelGroup, len(p.trace.SAs))
	group := func(name string, a, b netip.Addr) *tunnelGroup {
		key := groupKey{name: name}
		if name == "" {
			if key.low, key.high = a, b; b.Less(a) {
				key.low, key.high = b, a
			}
		}
		g := index[key]
		if g == nil {
			g = &tunnelGroup{key: key, near: a, far: b}
			index[key] = g
			p.groups = append(p.groups, g)
		}
		return g
	}
	for _, sa := range p.trace.SAs {
		g := group(sa.Name, sa.Local.Host, sa.Remote.Host)
		g.sas = append(g.sas, sa)
	}
	for _, f := range p.trace.Flows {
		if f.Child != nil {
			p.flows[f.Child] = append(p.flows[f.Child], f)
		}
		if f.SA == nil {
			g := group("", f.Src.Addr(), f.Dst.Addr())
			g.flows = append(g.flows, f)
		}
	}
}

// flatten makes the rows of the groups, keeping the selection where it was.
func (p *Tunnels) flatten() {
	selected, had := p.selected()
	p.rows = p.rows[:0]
	p.total = 0
	at := -1
	add := func(r tunnelRow) {
		if had && at < 0 && r.same(&selected) {
			at = len(p.rows)
		}
		p.rows = append(p.rows, r)
	}
	for _, g := range p.groups {
		members := p.members(g)
		p.total += 1 + len(members)
		if !p.filter.Empty() {
			members = slices.DeleteFunc(members, func(r tunnelRow) bool { return !p.filter.Match(p.field(r)) })
			if len(members) == 0 && !p.filter.Match(p.field(tunnelRow{group: g})) {
				continue
			}
		}
		add(tunnelRow{group: g})
		if p.closed[g.key] && p.filter.Empty() {
			continue
		}
		for _, r := range members {
			add(r)
		}
	}
	p.list.SetLen(len(p.rows))
	if at >= 0 {
		p.list.Select(at)
	}
}

// members gives the rows of a group below its own, good until the next call.
func (p *Tunnels) members(g *tunnelGroup) []tunnelRow {
	rows := p.scratch[:0]
	for _, sa := range g.sas {
		rows = append(rows, tunnelRow{group: g, sa: sa})
		for _, c := range sa.Children {
			rows = append(rows, tunnelRow{group: g, sa: sa, child: c})
		}
	}
	for _, f := range g.flows {
		rows = append(rows, tunnelRow{group: g, flow: f})
	}
	if g.tunnel != nil {
		for i := range g.tunnel.Children {
			if c := &g.tunnel.Children[i]; len(c.SAs) == 0 {
				rows = append(rows, tunnelRow{group: g, down: c})
			}
		}
	}
	p.scratch = rows
	return rows
}

func (p *Tunnels) selected() (tunnelRow, bool) {
	if len(p.rows) == 0 {
		return tunnelRow{}, false
	}
	return p.rows[min(p.list.At, len(p.rows)-1)], true
}

// field gives the text of a row's fields for a filter.
func (p *Tunnels) field(r tunnelRow) func(string) string {
	return func(key string) string {
		c := p.cells(r, theme.Unicode)
		switch key {
		case "":
			return c.text() + " " + r.group.name()
		case "state":
			return c.state.Text
		case "peer", "id":
			return c.peer + " " + r.group.name()
		case "suite":
			return c.suite
		case "spi":
			return c.name
		case "nat":
			return c.nat.Text
		case "finding":
			return c.finding.Text
		}
		return ""
	}
}

// View draws the table, and the detail pane below it where it is open.
func (p *Tunnels) View(t *theme.Theme, r widget.Rect) []theme.Line {
	table, below := r, widget.Rect{}
	if p.detail {
		table, below = r.Below(max(6, r.H*2/5))
	}
	p.scrollY = table.H
	p.height = table.H - 1
	if len(p.rows) == 0 {
		return p.empty()
	}
	columns := p.columns()
	widths := widget.Widths(columns, table.W)
	lines := []theme.Line{widget.TableHead(t, columns, widths)}
	from, to := p.list.Window(p.height)
	for i := from; i < to; i++ {
		cells := p.cells(p.rows[i], t.Glyphs)
		lines = append(lines, widget.TableRow(t, columns, p.spread(&cells, widths), p.spans(&cells, t, widths), i == p.list.At))
	}
	if p.detail {
		for len(lines) < table.H {
			lines = append(lines, theme.Line{})
		}
		p.fillPane(below.W)
		lines = append(lines, p.pane.View(t, below)...)
	}
	return lines
}

func (p *Tunnels) empty() []theme.Line {
	if !p.filter.Empty() {
		return []theme.Line{{}, theme.L(theme.S(theme.Muted, "  no tunnel matches the filter"))}
	}
	switch {
	case p.daemon == nil:
		return []theme.Line{{}, theme.L(theme.S(theme.Muted, "  no IKE or ESP seen yet"))}
	case !p.trace.Daemon.Connected:
		return []theme.Line{{}, theme.L(theme.S(theme.Busy, "  waiting for the daemon"))}
	}
	return []theme.Line{{}, theme.L(theme.S(theme.Muted, "  no connection is loaded, and there is no SA"))}
}

// Keys are the page's own keys.
func (p *Tunnels) Keys() []theme.Binding {
	row, ok := p.selected()
	none := ""
	if !ok {
		none = "there is no tunnel"
	}
	noSA := none
	if ok && row.sa == nil && (row.group == nil || len(row.group.sas) == 0) {
		noSA = "no IKE SA belongs to it"
	}
	return []theme.Binding{
		{Action: theme.Open, Keys: []string{"enter"}, Does: "details of the selected row", Hint: "details", Off: none},
		{Action: "fold", Keys: []string{"left", "right"}, Does: "close or open a connection", Hint: "fold", Off: none},
		{Action: "exchanges", Keys: []string{"x"}, Does: "its exchanges", Hint: "exchanges", Off: noSA},
		{Action: "findings", Keys: []string{"f"}, Does: "its worst finding", Hint: "finding", Off: p.noFinding(row, none)},
		{Action: "pane-down", Keys: []string{"J"}, Does: "scroll the details down", Off: p.noDetail()},
		{Action: "pane-up", Keys: []string{"K"}, Does: "scroll the details up", Off: p.noDetail()},
		{Action: actionUp, Keys: []string{"u"}, Does: "bring it up", Hint: "up", Off: p.noOrder(actionUp)},
		{Action: actionDown, Keys: []string{"D"}, Does: "take it down, after a question", Hint: "down", Off: p.noOrder(actionDown)},
		{Action: actionRekey, Keys: []string{"r"}, Does: "rekey it, after a question", Hint: "rekey", Off: p.noOrder(actionRekey)},
		{Action: actionDPD, Keys: []string{"p"}, Does: "ask its peer for a sign of life (DPD)", Off: p.noOrder(actionDPD)},
	}
}

func (p *Tunnels) noDetail() string {
	if p.detail {
		return ""
	}
	return "no details are open"
}

func (p *Tunnels) noFinding(row tunnelRow, none string) string {
	if none != "" {
		return none
	}
	if c := p.cells(row, theme.Unicode); c.finding.Text == "" {
		return "nothing was found about it"
	}
	return ""
}

// Do does what a key means.
func (p *Tunnels) Do(a theme.Action) Outcome {
	row, ok := p.selected()
	switch a {
	case theme.Open:
		p.detail = ok
		p.pane.Do(theme.First, 0)
	case theme.Back:
		if !p.detail {
			return Outcome{Left: true}
		}
		p.detail = false
	case "fold":
		if ok {
			p.closed[row.group.key] = !p.closed[row.group.key]
			p.list.Select(slices.Index(p.rows, tunnelRow{group: row.group}))
			p.flatten()
		}
	case "exchanges":
		_, _, at := p.Selection()
		return Outcome{Jump: "2", To: at}
	case "findings":
		return Outcome{Jump: "5", To: Target{Finding: p.cells(row, theme.Unicode).finding.Text, SA: row.sa, Connection: row.group.key.name}}
	case actionUp, actionDown, actionRekey, actionDPD:
		return p.order(a)
	case "pane-down":
		p.pane.Scroll(3)
	case "pane-up":
		p.pane.Scroll(-3)
	case theme.Next, theme.Previous:
		if !p.list.Seek(a == theme.Previous, func(i int) bool { return p.troubled(p.rows[i]) }) {
			return Outcome{Say: "no row has a problem"}
		}
	default:
		p.list.Do(a, p.height)
	}
	return Outcome{}
}

// troubled says whether a row is one to look at.
func (p *Tunnels) troubled(r tunnelRow) bool {
	c := p.cells(r, theme.Unicode)
	return c.state.Role == theme.Bad || c.severity.Role == theme.Bad || c.severity.Role == theme.Warning
}

// Click selects a row.
func (p *Tunnels) Click(_, y int) bool {
	if y < 1 || y >= p.scrollY || p.list.Top+y-1 >= p.list.Len {
		return false
	}
	again := p.list.At == p.list.Top+y-1
	p.list.Select(p.list.Top + y - 1)
	return again
}

// Wheel scrolls the table or the pane.
func (p *Tunnels) Wheel(_, y, n int) {
	if p.detail && y >= p.scrollY {
		p.pane.Scroll(n)
		return
	}
	p.list.Move(n)
}

// Show selects an SA.
func (p *Tunnels) Show(t Target) bool {
	for i, r := range p.rows {
		if r.sa == t.SA && r.sa != nil && r.child == nil || t.SA == nil && t.Connection != "" && r.group.key.name == t.Connection {
			p.list.Select(i)
			return true
		}
	}
	return false
}

// Status describes the selection.
func (p *Tunnels) Status() Status {
	s := Status{Shown: len(p.rows), Total: p.total, Unit: "row"}
	if s.Shown > 0 {
		s.At = p.list.At + 1
	}
	if p.trace != nil {
		s.Dropped = p.trace.Counts.Forgotten
	}
	return s
}

// Selection gives the SPI of the selected SA.
func (p *Tunnels) Selection() (what, text string, at Target) {
	row, ok := p.selected()
	switch {
	case !ok:
		return "", "", Target{}
	case row.flow != nil:
		return "ESP SPI", row.flow.SPI.String(), Target{Frame: row.flow.FirstFrame}
	case row.child != nil:
		return "ESP SPIs", spiText(row.child.SPIOut, row.child.SPIIn), Target{SA: row.sa}
	case row.sa != nil:
		return "IKE SPIs", row.sa.InitiatorSPI.String() + " " + row.sa.ResponderSPI.String(), Target{SA: row.sa}
	}
	at = Target{Connection: row.group.key.name}
	if n := len(row.group.sas); n > 0 {
		at.SA = row.group.sas[n-1]
	}
	return "tunnel", row.group.name(), at
}

// Sheet gives the table, and the details where they are open.
func (p *Tunnels) Sheet() widget.Sheet {
	s := widget.Sheet{Title: "Tunnels"}
	columns, plain := p.columns(), theme.New(theme.Options{ASCII: true})
	for _, c := range columns {
		s.Columns = append(s.Columns, strings.ToLower(c.Title))
	}
	for _, r := range p.rows {
		cells := p.cells(r, theme.ASCII)
		var row []string
		for _, span := range p.spans(&cells, plain, make([]int, len(columns))) {
			row = append(row, strings.TrimSpace(span.Text))
		}
		s.Rows = append(s.Rows, row)
	}
	if p.detail {
		p.fillPane(100)
		var b strings.Builder
		for _, l := range p.pane.Lines {
			for _, span := range l.Spans {
				b.WriteString(span.Text)
			}
			b.WriteByte('\n')
		}
		s.Text = b.String()
	}
	return s
}
