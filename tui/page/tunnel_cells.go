package page

import (
	"fmt"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// tunnelCells is the text of a row.
type tunnelCells struct {
	name             string
	role             theme.Role
	state            theme.Span
	peer, suite, age string
	in, out          string
	packetsIn        string
	packetsOut       string
	nat, dpd         theme.Span
	severity         theme.Span
	finding          theme.Span
	// of a daemon
	rekey countdown
	rates *feed.Rates
	wide  bool // peer is a sentence: the cells behind it up to the findings are empty
}

func (c *tunnelCells) text() string {
	return strings.Join([]string{
		c.name, c.state.Text, c.peer, c.suite, c.nat.Text, c.severity.Text, c.finding.Text,
	}, " ")
}

func (p *Tunnels) cells(r tunnelRow, g theme.Glyphs) tunnelCells {
	switch {
	case r.flow != nil:
		return p.flowCells(r.flow)
	case r.child != nil:
		return p.childCells(r.sa, r.child)
	case r.sa != nil:
		return p.ikeCells(r.sa)
	case r.down != nil:
		return p.downCells(r.down)
	}
	return p.groupCells(r.group, g)
}

func (p *Tunnels) blamed(c *tunnelCells, i int) {
	if i < 0 {
		return
	}
	f := &p.blame.findings[i]
	word, role := Severity(f.Severity)
	c.severity = theme.S(role, word)
	c.finding = theme.S(role, f.ID)
}

func (p *Tunnels) groupCells(g *tunnelGroup, glyphs theme.Glyphs) tunnelCells {
	mark := glyphs.Open
	if p.closed[g.key] && p.filter.Empty() {
		mark = glyphs.Closed
	}
	c := tunnelCells{name: mark + " " + g.name(), role: theme.Title}
	up, live := 0, 0
	var lists [][]int
	for _, sa := range g.sas {
		lists = append(lists, p.blame.ofIKE(sa), p.blame.ofPair(sa))
		if sa.State == engine.IKEEstablished || sa.State == engine.IKERekeying {
			live++
		}
		for _, child := range sa.Children {
			lists = append(lists, p.blame.ofChild(child))
			if childRole(child.State) == theme.Good {
				up++
			}
		}
	}
	for _, f := range g.flows {
		lists = append(lists, p.blame.ofFlow(f))
	}
	switch {
	case up > 0:
		c.state = theme.S(theme.Good, "up")
	case live > 0:
		c.state = theme.S(theme.Warning, "IKE only")
	case len(g.sas) == 0:
		c.state = theme.S(theme.Muted, "no IKE seen")
	default:
		c.state = theme.S(theme.Bad, "down")
		if last := g.sas[len(g.sas)-1].State; ikeRole(last) == theme.Busy {
			c.state = theme.S(theme.Busy, "trying")
		}
	}
	if g.tunnel != nil {
		p.tunnelCells(&c, g)
		lists = append(lists, p.blame.ofTunnel(g))
	}
	p.blamed(&c, worst(lists...))
	return c
}

func (p *Tunnels) ikeCells(sa *trace.IKESA) tunnelCells {
	c := tunnelCells{
		name:  "  IKE " + sa.InitiatorSPI.String(),
		state: theme.S(ikeRole(sa.State), string(sa.State)),
		peer:  sa.Remote.ID,
		suite: suiteWords(&sa.Suite),
	}
	if c.peer == "" {
		c.peer = sideEndpoint(sa.Remote)
	}
	if sa.Version == 1 {
		c.name = "  v1  " + sa.InitiatorSPI.String()
	}
	since := sa.Established
	if since.IsZero() {
		since = sa.First
	}
	c.age = p.age(since, sa.EndedAt)
	c.nat, c.dpd = natMark(&sa.NAT), dpdMark(&sa.DPD)
	if p.daemon != nil {
		c.name = fmt.Sprintf("  IKE [%d]", sa.UniqueID)
		c.rekey = p.countdown(sa.Timers, sa.Established)
		c.dpd = p.liveDPD(sa)
	}
	p.blamed(&c, worst(p.blame.ofIKE(sa)))
	return c
}

func (p *Tunnels) childCells(sa *trace.IKESA, child *engine.ChildSA) tunnelCells {
	c := tunnelCells{
		name:       "    " + child.Protocol + " " + spiText(child.SPIOut, child.SPIIn),
		state:      theme.S(childRole(child.State), string(child.State)),
		peer:       selectors(child.LocalTS) + " = " + selectors(child.RemoteTS),
		suite:      suiteWords(&child.Suite),
		in:         optAmount(child.BytesIn),
		out:        optAmount(child.BytesOut),
		packetsIn:  optAmount(child.PacketsIn),
		packetsOut: optAmount(child.PacketsOut),
	}
	if len(child.LocalTS) == 0 && len(child.RemoteTS) == 0 {
		c.peer = ""
	}
	var ended time.Time
	if childRole(child.State) == theme.Muted {
		ended = sa.EndedAt
	}
	c.age = p.age(child.Installed, ended)
	if p.daemon != nil {
		c.name = fmt.Sprintf("    %s {%d}", child.Name, child.UniqueID)
		c.rekey = p.countdown(child.Timers, child.Installed)
		c.rates = p.daemon.Rates(child)
		if child.Encap.Or(false) {
			c.nat = theme.S(theme.Muted, "udp")
		}
	}
	p.blamed(&c, worst(p.blame.ofChild(child)))
	return c
}

func (p *Tunnels) flowCells(f *trace.Flow) tunnelCells {
	c := tunnelCells{
		name:       "  " + strings.ToUpper(f.Proto.String()) + " " + f.SPI.String(),
		state:      theme.S(theme.Muted, "no IKE seen"),
		peer:       "to " + endpoint(f.Dst),
		out:        amount(uint64(f.Octets)),
		packetsOut: amount(uint64(f.Packets)),
		age:        p.age(f.First, time.Time{}),
	}
	p.blamed(&c, worst(p.blame.ofFlow(f)))
	return c
}

// age gives how long a thing has lived, or lived where it has ended.
func (p *Tunnels) age(from, ended time.Time) string {
	if from.IsZero() {
		return ""
	}
	if ended.IsZero() {
		ended = p.now
	}
	return short(ended.Sub(from))
}

func spiText(out, in engine.Opt[espSPI]) string {
	text := func(o engine.Opt[espSPI]) string {
		if spi, ok := o.Get(); ok {
			return spi.String()
		}
		return "?"
	}
	return text(out) + " " + text(in)
}

func selectors(ts []string) string {
	if len(ts) == 0 {
		return unknown
	}
	return strings.Join(ts, ",")
}

// natMark says who is behind a NAT: local is the initiator on a capture.
func natMark(n *engine.NAT) theme.Span {
	local, knownLocal := n.Local.Get()
	remote, knownRemote := n.Remote.Get()
	switch {
	case local && remote:
		return theme.S(theme.Warning, "both")
	case local:
		return theme.S(theme.Busy, "near")
	case remote:
		return theme.S(theme.Busy, "far")
	case n.Any.Or(false):
		return theme.S(theme.Busy, "yes")
	case knownLocal || knownRemote:
		return theme.S(theme.Muted, "no")
	}
	return theme.Span{}
}

// dpdMark says how many probes were answered.
func dpdMark(d *engine.DPD) theme.Span {
	switch {
	case d.Probes == 0:
		return theme.Span{}
	case d.Answered == d.Probes:
		return theme.S(theme.Good, "ok")
	case d.Answered == 0:
		return theme.S(theme.Bad, "dead")
	}
	return theme.S(theme.Warning, "lost")
}

var tunnelColumns = []widget.Column{
	{Title: "TUNNEL", Min: 26, Max: 42},
	{Title: "STATE", Min: 11, Max: 11},
	{Title: "PEER, SELECTORS", Min: 18, Max: 44, Drop: 4, Grow: 3},
	{Title: "SUITE", Min: 16, Max: 34, Drop: 5, Grow: 2},
	{Title: "AGE", Min: 5, Max: 5, Right: true},
	{Title: "IN", Min: 5, Max: 5, Right: true},
	{Title: "OUT", Min: 5, Max: 5, Right: true},
	{Title: "PKT IN", Min: 6, Max: 6, Right: true, Drop: 7},
	{Title: "PKT OUT", Min: 7, Max: 7, Right: true, Drop: 7},
	{Title: "NAT", Min: 4, Max: 4},
	{Title: "DPD", Min: 4, Max: 4, Drop: 3},
	{Title: "WORST", Min: 5, Max: 5},
	{Title: "FINDING", Min: 12, Max: 26, Drop: 8},
}

func (c *tunnelCells) spans() []theme.Span {
	return []theme.Span{
		theme.S(c.role, c.name), c.state, theme.S(theme.Plain, c.peer), theme.S(theme.Muted, c.suite), theme.S(theme.Plain, c.age),
		theme.S(theme.Plain, c.in), theme.S(theme.Plain, c.out), theme.S(theme.Plain, c.packetsIn), theme.S(theme.Plain, c.packetsOut),
		c.nat, c.dpd, c.severity, c.finding,
	}
}
