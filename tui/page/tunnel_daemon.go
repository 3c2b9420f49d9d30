package page

import (
	"fmt"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// The actions on a daemon's tunnels.
const (
	actionUp    theme.Action = "bring-up"
	actionDown  theme.Action = "take-down"
	actionRekey theme.Action = "rekey"
	actionDPD   theme.Action = "dpd"
)

// join makes the groups of a daemon: every configured connection, and what SAs
// there are of it. SAs that have ended are on the page Exchanges.
func (p *Tunnels) join() {
	p.groups = p.groups[:0]
	p.flows = nil
	models := make([]*engine.IKESA, 0, len(p.trace.SAs))
	traced := make(map[*engine.IKESA]*trace.IKESA, len(p.trace.SAs))
	for _, sa := range p.trace.SAs {
		if sa.Ended == "" {
			models = append(models, &sa.IKESA)
			traced[&sa.IKESA] = sa
		}
	}
	tunnels := backend.Join(p.daemon.Connections, models, p.daemon.History)
	groups := make([]tunnelGroup, len(tunnels))
	for i := range tunnels {
		t, g := &tunnels[i], &groups[i]
		g.key, g.tunnel = groupKey{name: t.Name}, t
		for _, m := range t.SAs {
			g.sas = append(g.sas, traced[m])
		}
		if n := len(g.sas); n > 0 {
			g.near, g.far = g.sas[n-1].Local.Host, g.sas[n-1].Remote.Host
		}
		p.groups = append(p.groups, g)
	}
}

// tunnelCells says in the row of a connection how it stands.
func (p *Tunnels) tunnelCells(c *tunnelCells, g *tunnelGroup) {
	t := g.tunnel
	if t.Name == "" {
		c.name = strings.TrimSuffix(c.name, g.name()) + "(no connection)"
	}
	past := worstPast(t)
	switch {
	case len(t.SAs) > 0:
		c.peer = p.peerWords(t)
	case past.Failure != nil:
		c.peer, c.wide = p.pastWords(past), true
	default:
		c.peer = p.peerWords(t)
	}
	if len(t.SAs) == 0 {
		c.state = theme.S(theme.Muted, "down")
		switch {
		case past.Failure != nil:
			c.state = theme.S(theme.Bad, "failed")
		case !past.LastUp.IsZero():
			c.state = theme.S(theme.Warning, "down")
		}
	}
	if t.Connection == nil && t.Name != "" {
		c.peer = strings.TrimSpace(c.peer + "  (not configured any more)")
	}
	c.age = p.pastAge(past, len(t.SAs) > 0)
}

// worstPast gives what is remembered of a connection, with the failure of a
// child where it has none itself.
func worstPast(t *backend.Tunnel) backend.Past {
	past := t.Past
	for i := range t.Children {
		// A child that failed while the connection was up is its own affair.
		if c := &t.Children[i]; past.Failure == nil && c.Failure != nil && !c.Up() && c.Failure.At.After(past.LastUp) {
			past.Failure = c.Failure
		}
	}
	return past
}

// pastAge gives how long something has been up, or down where that is known.
func (p *Tunnels) pastAge(past backend.Past, up bool) string {
	switch {
	case up && !past.UpSince.IsZero():
		return p.age(past.UpSince, time.Time{})
	case !up && !past.LastUp.IsZero():
		return p.age(past.LastUp, time.Time{})
	}
	return ""
}

// pastWords says in short how something failed, and when it was last up.
func (p *Tunnels) pastWords(past backend.Past) string {
	words := past.Failure.Notify
	if words == "" {
		words = past.Failure.Text
	}
	words = p.age(past.Failure.At, time.Time{}) + " ago: " + words
	if !past.LastUp.IsZero() {
		words += " (last up " + p.age(past.LastUp, time.Time{}) + " ago)"
	}
	return words
}

func (p *Tunnels) failureWords(f *backend.Failure) string {
	words := f.Text
	if f.Notify != "" && !strings.Contains(words, f.Notify) {
		words = f.Notify + ": " + words
	}
	return "failed " + p.age(f.At, time.Time{}) + " ago: " + words
}

// peerWords names the peer of a connection: where it is while the connection is
// up, and by what is configured.
func (p *Tunnels) peerWords(t *backend.Tunnel) string {
	if t.Connection == nil {
		return ""
	}
	words := strings.Join(t.Connection.RemoteAddrs, ",")
	if len(t.SAs) == 1 && t.SAs[0].Remote.Host.IsValid() {
		words = t.SAs[0].Remote.Host.String()
	}
	for _, r := range t.Connection.Remote {
		if r.ID != "" {
			return words + "  " + r.ID
		}
	}
	return words
}

// downCells is the row of a configured child without an SA.
func (p *Tunnels) downCells(child *backend.Child) tunnelCells {
	c := tunnelCells{name: "    " + child.Name, state: theme.S(theme.Muted, "down")}
	if child.Config != nil {
		c.peer = selectors(child.Config.LocalTS) + " = " + selectors(child.Config.RemoteTS)
		switch mode := child.Config.Mode; mode {
		case "PASS", "DROP":
			c.state = theme.S(theme.Muted, mode)
		}
		if len(child.Config.Proposals) > 0 {
			c.suite = strings.Join(child.Config.Proposals, ",")
		}
	}
	switch {
	case child.Failure != nil:
		c.state = theme.S(theme.Bad, "failed")
		c.peer, c.wide = p.pastWords(child.Past), true
	case !child.LastUp.IsZero():
		c.state = theme.S(theme.Warning, "down")
	}
	c.age = p.pastAge(child.Past, false)
	return c
}

// countdown is how far a deadline is away.
type countdown struct {
	left time.Duration
	part float64 // of the time that is left, of all that there was; negative where not known
	ok   bool
}

// countdown gives the time to the next rekeying.
func (p *Tunnels) countdown(timers []engine.Timer, since time.Time) countdown {
	for _, t := range timers {
		if t.Name != "rekey" || t.Due.IsZero() {
			continue
		}
		c := countdown{left: max(0, t.Due.Sub(p.now)), part: -1, ok: true}
		if whole := t.Due.Sub(since); !since.IsZero() && whole > 0 {
			c.part = float64(c.left) / float64(whole)
		}
		return c
	}
	return countdown{}
}

// rekeyBar is how many cells of the countdown are a bar.
const rekeyBar = 5

func (c countdown) span(t *theme.Theme) theme.Span {
	if !c.ok {
		return theme.Span{}
	}
	role, words := theme.Plain, short(c.left)
	if c.left == 0 {
		role, words = theme.Busy, "now"
	}
	if c.part >= 0 {
		words = widget.Gauge(t, c.part, rekeyBar) + " " + words
	}
	return theme.S(role, words)
}

// liveDPD says how the peer of a daemon's SA lives: by probes where they are
// told.
func (p *Tunnels) liveDPD(sa *trace.IKESA) theme.Span {
	if mark := dpdMark(&sa.DPD); mark.Text != "" {
		return mark
	}
	if d, ok := sa.DPD.Delay.Get(); ok && d > 0 {
		return theme.S(theme.Muted, short(d))
	}
	if c := p.daemon.Connection(sa.Name); c != nil {
		if d, ok := c.DPDDelay.Get(); ok && d > 0 {
			return theme.S(theme.Muted, short(d))
		}
	}
	return theme.Span{}
}

// daemonColumns are the columns where the source is a daemon. IN and OUT have
// the octets so far, and LATELY how they came.
var daemonColumns = []widget.Column{
	{Title: "TUNNEL", Min: 18, Max: 34},
	{Title: "STATE", Min: 11, Max: 11},
	{Title: "PEER, SELECTORS", Min: 17, Max: 60, Grow: 4},
	{Title: "SUITE", Min: 16, Max: 34, Drop: 6, Grow: 2},
	{Title: "AGE", Min: 5, Max: 5, Right: true},
	{Title: "REKEY IN", Min: 11, Max: 11, Drop: 2},
	{Title: "IN", Min: 5, Max: 5, Right: true},
	{Title: "OUT", Min: 5, Max: 5, Right: true},
	{Title: "IN, OUT LATELY", Min: 14, Max: 25, Drop: 5, Grow: 2},
	{Title: "PKT IN", Min: 6, Max: 6, Right: true, Drop: 8},
	{Title: "PKT OUT", Min: 7, Max: 7, Right: true, Drop: 8},
	{Title: "NAT", Min: 4, Max: 4, Drop: 3},
	{Title: "DPD", Min: 4, Max: 4, Drop: 4},
	{Title: "WORST", Min: 5, Max: 5},
	{Title: "FINDING", Min: 12, Max: 26, Drop: 7},
}

// The columns of peer, traffic and findings.
const columnPeer, columnLately, columnWorst = 2, 8, 13

// spread gives the sentence of a row the room of the empty cells behind it.
func (p *Tunnels) spread(c *tunnelCells, widths []int) []int {
	if p.daemon == nil || !c.wide {
		return widths
	}
	return widget.Spread(widths, columnPeer, columnWorst)
}

func (p *Tunnels) columns() []widget.Column {
	if p.daemon != nil {
		return daemonColumns
	}
	return tunnelColumns
}

func (p *Tunnels) spans(c *tunnelCells, t *theme.Theme, widths []int) []theme.Span {
	if p.daemon == nil {
		return c.spans()
	}
	sparks := theme.S(theme.Busy, "")
	if c.rates != nil {
		sparks.Text = lately(c.rates, t, widths[columnLately])
	}
	return []theme.Span{
		theme.S(c.role, c.name), c.state, theme.S(theme.Plain, c.peer), theme.S(theme.Muted, c.suite), theme.S(theme.Plain, c.age),
		c.rekey.span(t), theme.S(theme.Plain, c.in), theme.S(theme.Plain, c.out), sparks, theme.S(theme.Plain, c.packetsIn), theme.S(theme.Plain, c.packetsOut), c.nat, c.dpd, c.severity, c.finding,
	}
}

// lately gives the newest samples of both directions as sparklines, side by
// side.
func lately(r *feed.Rates, t *theme.Theme, width int) string {
	each := (width - 1) / 2
	if each < 1 {
		return ""
	}
	newest := func(samples []int64) string { return widget.Sparkline(t, samples[max(0, len(samples)-each):]) }
	return t.Fit(newest(r.In[:]), each, false) + " " + newest(r.Out[:])
}

// noOrder says why an order cannot be given about the selected row.
func (p *Tunnels) noOrder(a theme.Action) string {
	row, ok := p.selected()
	switch {
	case p.daemon == nil:
		return "a capture takes no orders"
	case !ok || row.group.key.name == "":
		return "there is no connection"
	case !p.trace.Daemon.Connected:
		return "the daemon is away"
	case row.flow != nil:
		return "it belongs to no IKE SA"
	case a == actionUp && row.child != nil && childRole(row.child.State) == theme.Good:
		return "it is up already"
	case a != actionUp && row.down != nil:
		return "it is down"
	case a != actionUp && len(row.group.sas) == 0:
		return "it is down"
	}
	return ""
}

// order makes the order about the selected row.
func (p *Tunnels) order(a theme.Action) Outcome {
	row, ok := p.selected()
	if !ok {
		return Outcome{}
	}
	o := &Order{Connection: row.group.key.name}
	what := "connection " + o.Connection
	switch {
	case row.down != nil:
		o.Child, what = row.down.Name, "child "+row.down.Name
	case row.child != nil:
		o.Child, o.ChildID, what = row.child.Name, row.child.UniqueID, fmt.Sprintf("child SA %s {%d}", row.child.Name, row.child.UniqueID)
	case row.sa != nil:
		o.IKEID, what = row.sa.UniqueID, fmt.Sprintf("IKE SA %s [%d]", o.Connection, row.sa.UniqueID)
	}
	switch a {
	case actionUp:
		o.Verb, o.IKEID, o.ChildID = "up", 0, 0
	case actionDown:
		o.Verb = "down"
		o.Question = "take down " + what + "? Its traffic stops."
		if row.child == nil {
			o.Question = "take down " + what + " with all its children? Their traffic stops."
		}
	case actionRekey:
		o.Verb = "rekey"
		o.Question = "rekey " + what + "?"
	case actionDPD:
		o.Verb, o.Child, o.ChildID = "dpd", "", 0
	}
	return Outcome{Order: o}
}

// daemonFacts tells what is configured and what happened before.
func (p *Tunnels) daemonFacts(f *facts, g *tunnelGroup) {
	t := g.tunnel
	if c := t.Connection; c != nil {
		f.add("local", sideWords(c.LocalAddrs, c.Local))
		f.add("remote", sideWords(c.RemoteAddrs, c.Remote))
		f.add("version", c.Version)
		f.add("proposals", strings.Join(c.Proposals, ", "))
		var lives []string
		add := func(name string, o engine.Opt[time.Duration]) {
			if d, ok := o.Get(); ok && d > 0 {
				lives = append(lives, name+" "+short(d))
			}
		}
		add("rekey", c.RekeyTime)
		add("reauth", c.ReauthTime)
		add("DPD", c.DPDDelay)
		f.add("times", strings.Join(lives, ", "))
	}
	p.pastFacts(f, t.Past)
	for i := range t.Children {
		c := &t.Children[i]
		state, role := "down", theme.Muted
		switch {
		case c.Up():
			state, role = "up", theme.Good
		case c.Failure != nil:
			state, role = p.failureWords(c.Failure), theme.Bad
		}
		words := c.Name + "  " + state
		if c.Config != nil {
			words += "  " + selectors(c.Config.LocalTS) + " = " + selectors(c.Config.RemoteTS)
		}
		f.role("child", words, role)
	}
}

// pastFacts tells when something was last up, and how it last failed.
func (p *Tunnels) pastFacts(f *facts, past backend.Past) {
	switch {
	case !past.UpSince.IsZero():
		f.role("up since", clock(past.UpSince)+" ("+p.age(past.UpSince, time.Time{})+")", theme.Good)
	case !past.LastUp.IsZero():
		f.add("last up", clock(past.LastUp)+" ("+p.age(past.LastUp, time.Time{})+" ago)")
	default:
		f.role("last up", "not since this program looks", theme.Muted)
	}
	if x := past.Failure; x != nil {
		words := x.Text
		if x.Count > 1 {
			words += fmt.Sprintf("  (%d times in a row)", x.Count)
		}
		f.role("failed", clock(x.At)+"  "+words, theme.Bad)
	}
}

// sideWords gives addresses and identities of one side.
func sideWords(addrs []string, rounds []engine.AuthRound) string {
	words := strings.Join(addrs, ",")
	for _, r := range rounds {
		words += "  " + strings.TrimSpace(r.Class+" "+r.ID)
	}
	return words
}
