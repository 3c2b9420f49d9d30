package page

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// scanStep is how many packets one Sync puts through the filter; what is left
// waits for the next, so that no Update takes long.
const scanStep = 20_000

// Packets is the list of packets, and the open one's payloads beside its
// octets.
type Packets struct {
	list    widget.List
	filter  widget.Filter
	packets feed.PacketList
	// Packets are numbered from the first that ever came, so that a number
	// stays true when the index forgets its oldest.
	matched []int64 // that the filter lets through, of those scanned
	scanned int64   // the next packet to put through the filter
	current int64   // the selected one, where had says so
	had     bool
	live    bool
	daemon  bool // the source is one
	first   time.Time
	clock   bool
	message *messageView
	height  int
	listH   int // rows of the list in the last View, its head included
}

// NewPackets makes the page.
func NewPackets() *Packets { return &Packets{} }

// Key gives the number of the page.
func (p *Packets) Key() string { return "6" }

// Name gives the word in the tab bar.
func (p *Packets) Name() string { return "Packets" }

// SetFilter limits the rows.
func (p *Packets) SetFilter(f widget.Filter) {
	p.remember()
	p.filter, p.matched, p.scanned = f, nil, 0
}

// Sync takes in what has come, and filters some more of it.
func (p *Packets) Sync(d feed.Data, _ time.Time) {
	p.remember()
	following := d.Live() && p.message == nil && p.list.Len > 0 && p.list.At == p.list.Len-1
	p.packets, p.live, p.daemon, p.first = d.Packets(), d.Live(), d.Daemon() != nil, d.Trace().First
	p.scan()
	p.list.SetLen(p.shown())
	switch {
	case following:
		p.list.Select(p.list.Len - 1)
	case p.had:
		p.list.Select(p.rowOf(p.current))
	}
}

// remember keeps which packet is selected over a change of the rows.
func (p *Packets) remember() {
	if p.packets != nil && p.list.Len > 0 && p.list.At < p.shown() {
		p.current, p.had = p.number(p.list.At), true
	}
}

// Working says that packets are still to be put through the filter.
func (p *Packets) Working() bool {
	return p.packets != nil && !p.filter.Empty() && p.scanned < p.end()
}

func (p *Packets) end() int64 { return p.packets.Forgotten() + int64(p.packets.Len()) }

// scan puts the next packets through the filter and drops those that the
// index has forgotten.
func (p *Packets) scan() {
	if p.filter.Empty() {
		return
	}
	gone := p.packets.Forgotten()
	if n := sort.Search(len(p.matched), func(i int) bool { return p.matched[i] >= gone }); n > 0 {
		p.matched = append(p.matched[:0], p.matched[n:]...)
	}
	p.scanned = max(p.scanned, gone)
	for stop := min(p.end(), p.scanned+scanStep); p.scanned < stop; p.scanned++ {
		packet := p.packets.At(int(p.scanned - gone))
		if p.filter.Match(packetField(&packet)) {
			p.matched = append(p.matched, p.scanned)
		}
	}
}

// shown is how many rows there are.
func (p *Packets) shown() int {
	if p.filter.Empty() {
		return p.packets.Len()
	}
	return len(p.matched)
}

// number gives the number of the packet in a row.
func (p *Packets) number(row int) int64 {
	if p.filter.Empty() {
		return p.packets.Forgotten() + int64(row)
	}
	return p.matched[row]
}

// rowOf gives the row of a packet, or of the next behind it.
func (p *Packets) rowOf(number int64) int {
	if p.filter.Empty() {
		return int(number - p.packets.Forgotten())
	}
	return sort.Search(len(p.matched), func(i int) bool { return p.matched[i] >= number })
}

// row gives the packet in a row. A row that the index has forgotten since the
// last Sync shows as the oldest that is left.
func (p *Packets) row(i int) feed.Packet {
	return p.packets.At(int(max(0, p.number(i)-p.packets.Forgotten())))
}

func (p *Packets) selected() (feed.Packet, bool) {
	if p.packets == nil || p.list.Len == 0 || p.shown() == 0 {
		return feed.Packet{}, false
	}
	return p.row(min(p.list.At, p.shown()-1)), true
}

// withPorts is the width from which an endpoint is shown with its port.
const withPorts = 19

// View draws the list, and the open packet below it.
func (p *Packets) View(t *theme.Theme, r widget.Rect) []theme.Line {
	if p.packets == nil || p.packets.Len() == 0 {
		return p.empty()
	}
	table, below := r, widget.Rect{}
	if p.message != nil {
		table, below = r.Below(max(6, r.H/3))
	}
	lines := []theme.Line{p.timeline(t, table.W)}
	widths := widget.Widths(packetColumns, table.W)
	lines = append(lines, widget.TableHead(t, packetColumns, widths))
	p.listH, p.height = table.H, table.H-len(lines)
	if p.shown() == 0 {
		words := "  no packet matches the filter"
		if p.Working() {
			words = "  filtering"
		}
		lines = append(lines, theme.L(theme.S(theme.Muted, words)))
	}
	from, to := p.list.Window(p.height)
	for i := from; i < to; i++ {
		k := p.row(i)
		line := widget.TableRow(t, packetColumns, widths, p.spans(&k, widths), i == p.list.At)
		line.Selected = line.Selected && p.message == nil
		lines = append(lines, line)
	}
	if p.message != nil {
		for len(lines) < table.H {
			lines = append(lines, theme.Line{})
		}
		lines = append(lines, p.message.View(t, below)...)
	}
	return lines
}

func (p *Packets) empty() []theme.Line {
	words := []string{"no packet of IKE, ESP or AH seen yet"}
	if p.daemon {
		words = []string{
			"a daemon tells its messages, not its packets: they are on the page Exchanges",
			"for packets, in another terminal:  cvlanctl pcap capture -i INTERFACE -w FILE",
		}
	}
	lines := []theme.Line{{}}
	for _, w := range words {
		lines = append(lines, theme.L(theme.S(theme.Muted, "  "+w)))
	}
	return lines
}

// sampled is how many packets the time line looks at, at most.
const sampled = 4096

// timeline draws how the shown packets are spread over time.
func (p *Packets) timeline(t *theme.Theme, width int) theme.Line {
	n := p.shown()
	if n == 0 {
		return theme.Line{}
	}
	from, to := p.row(0).Time, p.row(n-1).Time
	span := to.Sub(from)
	label := "  " + short(max(0, span))
	cells := width - theme.Width(label) - 3
	if span <= 0 || cells < 8 {
		return theme.L(theme.S(theme.Muted, " "+count(int64(n), "packet")+" at one time"))
	}
	values := make([]int64, cells)
	step := max(1, n/sampled)
	for i := 0; i < n; i += step {
		at := int(float64(p.row(i).Time.Sub(from)) / float64(span) * float64(cells-1))
		values[max(0, min(cells-1, at))]++
	}
	return theme.L(theme.S(theme.Muted, " "), theme.S(theme.Busy, widget.Sparkline(t, values)), theme.S(theme.Muted, label))
}

// Keys are the page's own keys.
func (p *Packets) Keys() []theme.Binding {
	k, ok := p.selected()
	none, noPacket, noExchange := "", "", ""
	if !ok {
		none, noPacket, noExchange = "there is no packet", "there is no packet", "there is no packet"
	} else {
		if k.Proto == "icmp" || k.Proto == "fragments" || k.Proto == "gap" {
			noPacket = "the row is no packet of IKE, ESP or AH"
		}
		if !strings.HasPrefix(k.Proto, "ike") {
			noExchange = "the row is no IKE message"
		}
	}
	keys := []theme.Binding{
		{Action: "exchange", Keys: []string{"x"}, Does: "its exchange", Hint: "exchange", Off: noExchange},
		{Action: "clock", Keys: []string{"t"}, Does: "times of day, or seconds since the start"},
	}
	if p.message != nil {
		step := []theme.Binding{
			{Action: "next-packet", Keys: []string{"]"}, Does: "next packet", Hint: "next", Off: none},
			{Action: "previous-packet", Keys: []string{"["}, Does: "previous packet", Hint: "previous", Off: none},
		}
		return append(append(p.message.Keys(), step...), keys...)
	}
	return append([]theme.Binding{
		{Action: theme.Open, Keys: []string{"enter"}, Does: "decode: payloads beside octets", Hint: "decode", Off: noPacket},
	}, keys...)
}

// Do does what a key means.
func (p *Packets) Do(a theme.Action) Outcome {
	switch a {
	case "exchange":
		k, _ := p.selected()
		return Outcome{Jump: "2", To: Target{Frame: k.Frame}}
	case "clock":
		p.clock = !p.clock
		return Outcome{}
	case "next-packet", "previous-packet":
		if a == "next-packet" {
			p.list.Move(1)
		} else {
			p.list.Move(-1)
		}
		return p.open()
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
		return Outcome{Left: true}
	case theme.Next, theme.Previous:
		if p.shown() == 0 || !p.list.Seek(a == theme.Previous, func(i int) bool { return p.row(i).Problem }) {
			return Outcome{Say: "no packet has a problem"}
		}
	default:
		p.list.Do(a, p.height)
	}
	return Outcome{}
}

// open asks for the selected packet.
func (p *Packets) open() Outcome {
	k, ok := p.selected()
	if !ok {
		return Outcome{}
	}
	p.message = newMessageView(k.Summary, k.Frame)
	if k.Proto == "icmp" || k.Proto == "fragments" || k.Proto == "gap" {
		p.message.failed = k.Summary
		return Outcome{}
	}
	p.message.wait()
	return Outcome{Fetch: k.Frame}
}

// Decoded hands over a packet that open asked for.
func (p *Packets) Decoded(frame int64, packet *event.Packet, err error) {
	if p.message != nil && p.message.frame == frame && p.message.waiting {
		p.message.setPacket(packet, err)
	}
}

// Click selects a row, or something in the open packet.
func (p *Packets) Click(x, y int) bool {
	if p.message != nil && y >= p.listH {
		p.message.Click(x, y-p.listH)
		return false
	}
	row := p.list.Top + y - 2
	if y < 2 || row >= p.list.Len {
		return false
	}
	again := p.list.At == row && p.message == nil
	p.list.Select(row)
	p.message = nil
	return again
}

// Wheel scrolls the list, or the open packet.
func (p *Packets) Wheel(x, y, n int) {
	if p.message != nil && y >= p.listH {
		p.message.Wheel(x, y-p.listH, n)
		return
	}
	if p.message == nil {
		p.list.Move(n)
	}
}

// Show selects the packet on a frame.
func (p *Packets) Show(t Target) bool {
	if t.Frame == 0 || p.packets == nil {
		return false
	}
	i, ok := p.packets.Find(t.Frame)
	if !ok {
		return false
	}
	number := p.packets.Forgotten() + int64(i)
	row := p.rowOf(number)
	if row >= p.shown() || p.number(row) != number {
		return false
	}
	p.message = nil
	p.list.SetLen(p.shown())
	p.list.Select(row)
	return true
}

// Status describes the selection.
func (p *Packets) Status() Status {
	if p.packets == nil {
		return Status{}
	}
	s := Status{Shown: p.shown(), Total: p.packets.Len(), Dropped: p.packets.Forgotten()}
	if s.Shown > 0 {
		s.At = p.list.At + 1
	}
	if p.Working() {
		s.Scope = "filtering " + widget.Percent(int(p.scanned-p.packets.Forgotten()), p.packets.Len())
	}
	return s
}

// Selection gives the selected packet in words, or the selected part of the
// open one.
func (p *Packets) Selection() (what, text string, at Target) {
	k, ok := p.selected()
	if !ok {
		return "", "", Target{}
	}
	at = Target{Frame: k.Frame}
	if p.message != nil {
		what, text = p.message.selection()
		return what, text, at
	}
	return "packet", strings.Join(p.cells(&k), "  "), at
}

// maxSheet is how many packets a file takes.
const maxSheet = 100_000

// Sheet gives the list, or the open packet.
func (p *Packets) Sheet() widget.Sheet {
	if p.message != nil {
		return p.message.sheet()
	}
	s := widget.Sheet{Title: "Packets", Columns: []string{"frame", "time", "src", "dst", "proto", "size", "what"}}
	if p.packets == nil {
		return s
	}
	for i := range min(p.shown(), maxSheet) {
		k := p.row(i)
		s.Rows = append(s.Rows, p.cells(&k))
	}
	if p.shown() > maxSheet {
		s.Text = fmt.Sprintf("The first %d of %d packets.\n", maxSheet, p.shown())
	}
	return s
}
