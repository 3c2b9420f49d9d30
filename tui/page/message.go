package page

import (
	"fmt"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/tui/theme"
	"github.com/cloudvlan/cvlanctl/tui/widget"
)

// messageView is one packet: its tree of payloads beside its octets, linked
// both ways.
type messageView struct {
	title   string
	frame   int64
	tree    widget.Tree
	hex     widget.Hexdump
	buffers []buffer
	shown   int // buffer in the hex view
	waiting bool
	failed  string
	split   int // first column of the hex view in the last View
	height  int
}

// buffer is octets that nodes of the tree point into.
type buffer struct {
	name string
	data []byte
}

func newMessageView(title string, frame int64) *messageView {
	return &messageView{title: title, frame: frame}
}

// where names the frame of the message, where it came in one.
func (v *messageView) where() string {
	if v.frame == 0 {
		return " "
	}
	return fmt.Sprintf(" frame %d  ", v.frame)
}

// wait says that the packet has been asked for.
func (v *messageView) wait() { v.waiting = true }

// setMessage shows a message that a trace has kept.
func (v *messageView) setMessage(m *trace.Message) {
	v.show(decodeMessage(m))
}

// setPacket shows a packet that was fetched, or why it could not be.
func (v *messageView) setPacket(p *event.Packet, err error) {
	if err != nil {
		v.waiting, v.failed = false, err.Error()
		return
	}
	v.show(decodePacket(p))
}

func (v *messageView) show(roots []*widget.Node, buffers []buffer) {
	v.waiting, v.failed = false, ""
	v.buffers = buffers
	v.tree.SetRoots(roots)
	v.link()
}

// link marks the octets of the selected node.
func (v *messageView) link() {
	n := v.tree.Selected()
	if n == nil || n.Buffer >= len(v.buffers) {
		return
	}
	if v.shown != n.Buffer || v.hex.Data == nil {
		v.shown = n.Buffer
		v.hex = widget.Hexdump{Data: v.buffers[n.Buffer].data}
	}
	v.hex.Mark(n.Offset, n.Length)
}

// Keys are the keys of an open message.
func (v *messageView) Keys() []theme.Binding { return MessageKeys() }

// MessageKeys are the keys of an open message or packet, on any page.
func MessageKeys() []theme.Binding {
	return []theme.Binding{
		{Action: "toggle", Keys: []string{"enter", "space"}, Does: "open or close the branch", Hint: "open/close"},
		{Action: "out", Keys: []string{"left", "h"}, Does: "close the branch, or go to the one above"},
		{Action: "in", Keys: []string{"right", "l"}, Does: "open the branch"},
		{Action: "hex-down", Keys: []string{"J"}, Does: "scroll the octets down", Hint: "scroll octets"},
		{Action: "hex-up", Keys: []string{"K"}, Does: "scroll the octets up"},
	}
}

// Do does what a key means; it gives words for the status line.
func (v *messageView) Do(a theme.Action) string {
	switch a {
	case "toggle":
		v.tree.Toggle()
	case "out":
		v.tree.CloseOrUp()
	case "in":
		v.tree.OpenOrDown()
	case "hex-down":
		v.hex.Scroll(4)
		return ""
	case "hex-up":
		v.hex.Scroll(-4)
		return ""
	case theme.Next, theme.Previous:
		if !v.tree.Seek(a == theme.Previous, func(n *widget.Node) bool { return n.Role == theme.Bad || n.Role == theme.Warning }) {
			return "nothing is wrong with this packet"
		}
	default:
		v.tree.List.Do(a, v.height)
	}
	v.link()
	return ""
}

// View draws title, tree and octets.
func (v *messageView) View(t *theme.Theme, r widget.Rect) []theme.Line {
	lines := []theme.Line{
		theme.L(theme.S(theme.Muted, v.where()), theme.S(theme.Title, v.title)),
		{},
	}
	switch {
	case v.waiting:
		return append(lines, theme.L(theme.S(theme.Busy, "  reading the packet from its source")))
	case v.failed != "":
		return append(lines, theme.L(theme.S(theme.Bad, "  "+v.failed)))
	}
	if n := v.tree.Selected(); n != nil {
		// The row in the tree may be cut; here is all of it that fits.
		lines[1] = theme.L(theme.S(theme.Muted, " "+n.Name+"  "), theme.S(n.Role, n.Value))
	}
	_, body := r.Below(2)
	v.height = body.H
	perRow := 8
	if r.W >= 132 {
		perRow = 16
	}
	const border = 2
	left, right := body.Beside(r.W - widget.HexWidth(perRow) - border)
	v.split = left.W
	tree := v.tree.View(t, left, true)
	right.W -= border
	name := v.buffers[v.shown].name
	_, octets := right.Below(1)
	hex := append([]theme.Line{theme.L(theme.S(theme.Muted, name))}, v.hex.View(t, octets)...)
	for i := range body.H {
		var line theme.Line
		if i < len(tree) {
			line = fitLine(t, tree[i], left.W)
		} else {
			line = theme.L(theme.S(theme.Plain, strings.Repeat(" ", left.W)))
		}
		var row []theme.Span
		if i < len(hex) {
			row = hex[i].Spans
		}
		line.Spans = append(line.Spans, theme.S(theme.Muted, t.Glyphs.Column+" "))
		line.Spans = append(line.Spans, row...)
		line.Selected = false
		lines = append(lines, line)
	}
	return lines
}

// fitLine cuts or pads a line to exactly width cells; where it is selected its
// spans say so themselves, because what follows on the row is not.
func fitLine(t *theme.Theme, l theme.Line, width int) theme.Line {
	out := theme.Line{}
	used := 0
	for _, s := range l.Spans {
		if used >= width {
			break
		}
		w := min(theme.Width(s.Text), width-used)
		s.Text = t.Fit(s.Text, w, false)
		used += w
		s.Selected = l.Selected
		out.Spans = append(out.Spans, s)
	}
	if used < width {
		out.Spans = append(out.Spans, theme.Span{Text: strings.Repeat(" ", width-used), Selected: l.Selected})
	}
	return out
}

// Click selects a node, or the node that an octet belongs to.
func (v *messageView) Click(x, y int) {
	if y < 2 || v.waiting || v.failed != "" {
		return
	}
	if x < v.split {
		if row := v.tree.List.Top + y - 2; row < v.tree.List.Len {
			if row == v.tree.List.At {
				v.tree.Toggle()
			}
			v.tree.List.Select(row)
		}
	} else if octet := v.hex.OctetAt(x-v.split-2, y-3); y > 2 && octet >= 0 {
		v.tree.SelectOctet(v.shown, octet)
	}
	v.link()
}

// Wheel scrolls the tree or the octets.
func (v *messageView) Wheel(x, _, n int) {
	if x >= v.split {
		v.hex.Scroll(n)
		return
	}
	v.tree.List.Move(n)
	v.link()
}

// selection gives the selected node: its octets in hexadecimal, or its value.
func (v *messageView) selection() (what, text string) {
	n := v.tree.Selected()
	if n == nil {
		return "", ""
	}
	if n.Buffer < len(v.buffers) {
		data := v.buffers[n.Buffer].data
		if end := n.Offset + n.Length; n.Length > 0 && n.Offset >= 0 && end <= len(data) {
			return n.Name + ", " + count(int64(n.Length), "octet"), fmt.Sprintf("%x", data[n.Offset:end])
		}
	}
	return n.Name, n.Value
}

// sheet gives tree and octets as text.
func (v *messageView) sheet() widget.Sheet {
	text := v.tree.Text()
	for _, b := range v.buffers {
		text += "\n" + b.name + "\n" + widget.HexText(b.data)
	}
	return widget.Sheet{Title: strings.TrimSpace(v.title + "  " + v.where()), Text: text}
}
