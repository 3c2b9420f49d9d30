package page

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// facts collects labelled lines.
type facts struct {
	lines []theme.Line
	width int
}

const labelWidth = 14

func (f *facts) add(label, value string) { f.role(label, value, theme.Plain) }

// role adds a fact; a long one is wrapped under itself.
func (f *facts) role(label, value string, role theme.Role) {
	if value == "" {
		return
	}
	for _, part := range widget.Wrap(value, f.width-labelWidth-4) {
		f.lines = append(f.lines, theme.L(
			theme.S(theme.Muted, fmt.Sprintf("  %-*s", labelWidth, label)), theme.S(role, part)))
		label = ""
	}
}

// fillPane makes the details of the selected row.
func (p *Tunnels) fillPane(width int) {
	row, ok := p.selected()
	f := &facts{width: width}
	switch {
	case !ok:
		p.pane.Title = ""
	case row.flow != nil:
		p.pane.Title = "Flow " + row.flow.SPI.String()
		p.flowFacts(f, row.flow, "")
	case row.child != nil:
		p.pane.Title = "Child SA " + spiText(row.child.SPIOut, row.child.SPIIn)
		p.childFacts(f, row.sa, row.child)
	case row.sa != nil:
		p.pane.Title = fmt.Sprintf("IKE SA %s %s", row.sa.InitiatorSPI, row.sa.ResponderSPI)
		p.ikeFacts(f, row.sa)
	case row.down != nil:
		p.pane.Title = "Child " + row.down.Name + " of " + row.group.name()
		p.downFacts(f, row.down)
	default:
		p.pane.Title = row.group.name()
		p.groupFacts(f, row.group)
	}
	p.pane.Lines = f.lines
}

func (p *Tunnels) findingFacts(f *facts, lists ...[]int) {
	for _, list := range lists {
		for _, i := range list {
			found := &p.blame.findings[i]
			_, role := Severity(found.Severity)
			f.role("finding", severityName(found.Severity)+"  "+found.ID+": "+found.Summary, role)
		}
	}
}

// downFacts tells of a configured child without an SA.
func (p *Tunnels) downFacts(f *facts, c *backend.Child) {
	p.pastFacts(f, c.Past)
	if c.Config == nil {
		return
	}
	f.add("selectors", selectors(c.Config.LocalTS)+"  =  "+selectors(c.Config.RemoteTS))
	f.add("mode", c.Config.Mode)
	f.add("proposals", strings.Join(c.Config.Proposals, ", "))
	f.add("starts", orUnknown(c.Config.StartAction))
}

func (p *Tunnels) groupFacts(f *facts, g *tunnelGroup) {
	if g.tunnel != nil {
		p.findingFacts(f, p.blame.ofTunnel(g))
		p.daemonFacts(f, g)
	}
	for _, sa := range g.sas {
		f.role("IKE SA", sa.InitiatorSPI.String()+"  "+string(sa.State)+"  "+count(int64(len(sa.Children)), "child SA"), ikeRole(sa.State))
	}
	for _, flow := range g.flows {
		f.add(flow.Proto.String(), flow.SPI.String()+" to "+endpoint(flow.Dst)+", "+count(flow.Packets, "packet"))
	}
	if len(g.sas) > 0 {
		p.findingFacts(f, p.blame.ofPair(g.sas[len(g.sas)-1]))
	}
}

func (p *Tunnels) ikeFacts(f *facts, sa *trace.IKESA) {
	p.findingFacts(f, p.blame.ofIKE(sa))
	state := string(sa.State)
	if !sa.Established.IsZero() {
		state += " since " + clock(sa.Established) + " (" + p.age(sa.Established, sa.EndedAt) + ")"
	}
	f.role("state", state, ikeRole(sa.State))
	if sa.Ended != "" {
		f.add("ended", strings.TrimSpace(string(sa.Ended)+" at "+clock(sa.EndedAt)+by(sa.EndedBy)))
	}
	near, far := "initiator", "responder"
	if i, ok := sa.Initiator.Get(); ok && sa.Name != "" {
		near, far = "local", "remote"
		f.add("role", map[bool]string{true: "initiator", false: "responder"}[i])
	}
	f.add(near, identity(sa.Local))
	f.add(far, identity(sa.Remote))
	f.add("version", fmt.Sprintf("IKEv%d", sa.Version))
	suite := suiteWords(&sa.Suite)
	if suite == "" {
		suite = unknown
		if sa.Partial {
			suite += ": the beginning of the SA was not captured"
		}
	}
	f.add("suite", suite)
	f.add("NAT", natWords(sa))
	f.add("DPD", dpdWords(&sa.DPD))
	if sa.Keepalives > 0 {
		f.add("keepalives", Thousands(sa.Keepalives)+", last "+clock(sa.LastKeepalive))
	}
	if sa.FirstFrame > 0 {
		f.add("messages", fmt.Sprintf("%s in %s, frames %d to %d", Thousands(sa.Messages),
			count(int64(len(sa.Exchanges))+sa.Skipped, "exchange"), sa.FirstFrame, sa.LastFrame))
	}
	f.add("virtual", strings.Join(append(slices.Clone(sa.LocalVIPs), sa.RemoteVIPs...), ", "))
	f.add("tasks", strings.Join(append(slices.Clone(sa.TasksActive), sa.TasksQueued...), ", "))
	for _, m := range sa.Moves {
		f.role("moved", endpoint(m.From)+" to "+endpoint(m.To)+" at "+clock(m.Time)+by(m.By), theme.Warning)
	}
	switch {
	case sa.WrongKey:
		f.role("keys", "the keys given do not open it", theme.Bad)
	case sa.Decrypted:
		f.add("keys", "opened")
	}
	for _, v := range sa.VendorIDs {
		name := v.Name
		if name == "" {
			name = fmt.Sprintf("%x", v.Data[:min(len(v.Data), 32)])
		}
		f.add("vendor id", name+by(v.By))
	}
	if sa.Predecessor != nil {
		f.add("rekeyed from", sa.Predecessor.InitiatorSPI.String())
	}
	if sa.Successor != nil {
		f.add("rekeyed to", sa.Successor.InitiatorSPI.String())
	}
	for _, t := range sa.Timers {
		f.add(t.Name, "in "+short(t.Due.Sub(p.now)))
	}
}

func (p *Tunnels) childFacts(f *facts, sa *trace.IKESA, c *engine.ChildSA) {
	p.findingFacts(f, p.blame.ofChild(c))
	state := string(c.State)
	if !c.Installed.IsZero() {
		state += " since " + clock(c.Installed)
	}
	f.role("state", state, childRole(c.State))
	mode := strings.TrimSpace(c.Protocol + " " + c.Mode)
	if encap, ok := c.Encap.Get(); ok && encap {
		mode += " in UDP"
	}
	f.add("mode", mode)
	f.add("suite", orUnknown(suiteWords(&c.Suite)))
	f.add("selectors", selectors(c.LocalTS)+"  =  "+selectors(c.RemoteTS))
	traffic := func(spi engine.Opt[espSPI], octets, packets engine.Opt[uint64], last time.Time) string {
		words := unknown
		if s, ok := spi.Get(); ok {
			words = s.String()
		}
		if n, ok := packets.Get(); ok {
			words += "  " + count(int64(n), "packet")
		}
		if n, ok := octets.Get(); ok {
			words += ", " + count(int64(n), "octet")
		}
		if !last.IsZero() {
			words += ", last " + clock(last)
		}
		return words
	}
	f.add("in", traffic(c.SPIIn, c.BytesIn, c.PacketsIn, c.LastIn))
	f.add("out", traffic(c.SPIOut, c.BytesOut, c.PacketsOut, c.LastOut))
	for _, t := range c.Timers {
		f.add(t.Name, "in "+short(t.Due.Sub(p.now)))
	}
	for _, flow := range p.flows[c] {
		label := "flow out"
		if flow.Inbound {
			label = "flow in"
		}
		p.flowFacts(f, flow, label)
	}
	f.add("IKE SA", sa.InitiatorSPI.String()+"  "+string(sa.State))
}

func (p *Tunnels) flowFacts(f *facts, flow *trace.Flow, label string) {
	if label == "" {
		p.findingFacts(f, p.blame.ofFlow(flow))
		label = "flow"
	}
	f.add(label, endpoint(flow.Src)+" to "+endpoint(flow.Dst)+", "+flow.Encap.String()+", sequence "+
		fmt.Sprintf("%d to %d", flow.FirstSeq, flow.HighSeq))
	quality := count(flow.Packets, "packet") + ", " + count(flow.Octets, "octet")
	role := theme.Plain
	if flow.Missing > 0 {
		quality += ", " + Thousands(flow.Missing) + " missing"
		role = theme.Warning
	}
	if flow.Duplicates > 0 {
		quality += ", " + count(flow.Duplicates, "duplicate")
	}
	if flow.Reordered > 0 {
		quality += ", " + Thousands(flow.Reordered) + " reordered"
	}
	f.role("", quality, role)
	if flow.LongestSilence > 0 {
		f.add("", "longest silence "+short(flow.LongestSilence)+", largest packet "+count(int64(flow.MaxLength), "octet"))
	}
	if flow.DecryptError != "" {
		f.role("", flow.DecryptError, theme.Bad)
	}
	if flow.SA != nil && !flow.Certain {
		f.role("", "joined to its IKE SA by address and time only", theme.Muted)
	}
}

func by(o trace.Origin) string {
	if o == trace.Nobody {
		return ""
	}
	return " by the " + o.String()
}

func identity(s engine.Side) string {
	if s.ID == "" {
		return sideEndpoint(s)
	}
	return sideEndpoint(s) + "  " + s.ID
}

func orUnknown(s string) string {
	if s == "" {
		return unknown
	}
	return s
}

func natWords(sa *trace.IKESA) string {
	local, knownLocal := sa.NAT.Local.Get()
	remote, knownRemote := sa.NAT.Remote.Get()
	if sa.NAT.Fake.Or(false) {
		return "encapsulation was forced with a false hash"
	}
	near, far := "the initiator", "the responder"
	if sa.Name != "" {
		near, far = "this side", "the peer"
	}
	inside := ""
	if a := sa.NATD.InitiatorInside; a.IsValid() && local {
		inside = " (inside " + endpoint(a) + ")"
	} else if a := sa.NATD.ResponderInside; a.IsValid() && remote {
		inside = " (inside " + endpoint(a) + ")"
	}
	switch {
	case local && remote:
		return "both sides are behind a NAT" + inside
	case local:
		return near + " is behind a NAT" + inside
	case remote:
		return far + " is behind a NAT" + inside
	case knownLocal && knownRemote:
		return "none: all hashes match the addresses seen"
	case knownLocal || knownRemote:
		return "none as far as one side's hashes tell"
	}
	return unknown
}

func dpdWords(d *engine.DPD) string {
	if d.Probes == 0 {
		if d.LastHeard.IsZero() {
			return ""
		}
		return "no probe seen, peer last heard " + clock(d.LastHeard)
	}
	words := fmt.Sprintf("%s, %d answered", count(int64(d.Probes), "probe"), d.Answered)
	if t, ok := d.RTT.Get(); ok {
		words += ", last round trip " + rtt(t)
	}
	if !d.LastHeard.IsZero() {
		words += ", peer last heard " + clock(d.LastHeard)
	}
	return words
}
