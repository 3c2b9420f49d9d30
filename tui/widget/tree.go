package widget

import (
	"strings"

	"github.com/cloudvlan/cvlanctl/tui/theme"
)

// Node is a node of a tree that stands for a span of octets.
type Node struct {
	Name, Value string
	Role        theme.Role // of the value
	Buffer      int        // which octets Offset counts in
	Offset      int
	Length      int // 0: the node stands for no octets
	Children    []*Node
	Closed      bool
}

// Tree shows nodes with their branches open or closed.
type Tree struct {
	List  List
	Roots []*Node
	rows  []treeRow
}

type treeRow struct {
	node  *Node
	depth int
}

// SetRoots gives the tree its nodes and selects the first.
func (t *Tree) SetRoots(roots []*Node) {
	t.Roots, t.List = roots, List{}
	t.flatten()
}

func (t *Tree) flatten() {
	t.rows = t.rows[:0]
	var walk func(nodes []*Node, depth int)
	walk = func(nodes []*Node, depth int) {
		for _, n := range nodes {
			t.rows = append(t.rows, treeRow{n, depth})
			if !n.Closed {
				walk(n.Children, depth+1)
			}
		}
	}
	walk(t.Roots, 0)
	t.List.SetLen(len(t.rows))
}

// Selected gives the selected node, nil where the tree is empty.
func (t *Tree) Selected() *Node {
	if len(t.rows) == 0 {
		return nil
	}
	return t.rows[t.List.At].node
}

// Toggle opens or closes the selected branch.
func (t *Tree) Toggle() {
	if n := t.Selected(); n != nil && len(n.Children) > 0 {
		n.Closed = !n.Closed
		t.flatten()
	}
}

// CloseOrUp closes the selected branch, or selects its parent.
func (t *Tree) CloseOrUp() {
	n := t.Selected()
	if n == nil {
		return
	}
	if len(n.Children) > 0 && !n.Closed {
		t.Toggle()
		return
	}
	depth := t.rows[t.List.At].depth
	for i := t.List.At - 1; i >= 0; i-- {
		if t.rows[i].depth < depth {
			t.List.At = i
			return
		}
	}
}

// OpenOrDown opens the selected branch, or selects its first child.
func (t *Tree) OpenOrDown() {
	n := t.Selected()
	switch {
	case n == nil || len(n.Children) == 0:
	case n.Closed:
		t.Toggle()
	default:
		t.List.Move(1)
	}
}

// SelectOctet selects the smallest node that an octet belongs to, opening
// what it is in. It says whether there is one.
func (t *Tree) SelectOctet(buffer, offset int) bool {
	var best *Node
	var open []*Node
	var walk func(nodes []*Node, path []*Node)
	walk = func(nodes []*Node, path []*Node) {
		for _, n := range nodes {
			if n.Buffer == buffer && n.Length > 0 && offset >= n.Offset && offset < n.Offset+n.Length {
				if best == nil || n.Length <= best.Length {
					best = n
					open = append(open[:0], path...)
				}
			}
			if len(n.Children) > 0 {
				walk(n.Children, append(path[:len(path):len(path)], n))
			}
		}
	}
	walk(t.Roots, nil)
	if best == nil {
		return false
	}
	for _, n := range open {
		n.Closed = false
	}
	t.flatten()
	for i := range t.rows {
		if t.rows[i].node == best {
			t.List.At = i
		}
	}
	return true
}

// Seek selects the next node for which found is true, around the end, opening
// what it is in.
func (t *Tree) Seek(backwards bool, found func(n *Node) bool) bool {
	var all []*Node
	at := 0
	selected := t.Selected()
	parents := map[*Node]*Node{}
	var walk func(nodes []*Node, parent *Node)
	walk = func(nodes []*Node, parent *Node) {
		for _, n := range nodes {
			if n == selected {
				at = len(all)
			}
			all = append(all, n)
			parents[n] = parent
			walk(n.Children, n)
		}
	}
	walk(t.Roots, nil)
	l := List{Len: len(all), At: at}
	if !l.Seek(backwards, func(i int) bool { return found(all[i]) }) {
		return false
	}
	for n := parents[all[l.At]]; n != nil; n = parents[n] {
		n.Closed = false
	}
	t.flatten()
	for i := range t.rows {
		if t.rows[i].node == all[l.At] {
			t.List.At = i
		}
	}
	return true
}

// View draws the part of the tree that fits into r.
func (t *Tree) View(th *theme.Theme, r Rect, focus bool) []theme.Line {
	from, to := t.List.Window(r.H)
	lines := make([]theme.Line, 0, r.H)
	for i := from; i < to; i++ {
		row := t.rows[i]
		selected := i == t.List.At
		mark := "  "
		if len(row.node.Children) > 0 {
			mark = th.Glyphs.Open + " "
			if row.node.Closed {
				mark = th.Glyphs.Closed + " "
			}
		}
		role := theme.Plain
		if len(row.node.Children) > 0 {
			role = theme.Title
		}
		line := theme.Line{Selected: selected && focus, Spans: []theme.Span{
			Cursor(th, selected),
			theme.S(theme.Muted, strings.Repeat("  ", min(row.depth, 12))+mark),
			theme.S(role, row.node.Name),
		}}
		if row.node.Value != "" {
			valueRole := row.node.Role
			if valueRole == theme.Plain && row.node.Name != "" && len(row.node.Children) > 0 {
				valueRole = theme.Muted
			}
			line.Spans = append(line.Spans, theme.S(theme.Plain, "  "), theme.S(valueRole, row.node.Value))
		}
		lines = append(lines, line)
	}
	return lines
}

// Text draws the whole tree as indented plain text, for files and the
// clipboard.
func (t *Tree) Text() string {
	var b strings.Builder
	var walk func(nodes []*Node, depth int)
	walk = func(nodes []*Node, depth int) {
		for _, n := range nodes {
			b.WriteString(strings.Repeat("  ", depth))
			b.WriteString(n.Name)
			if n.Value != "" {
				b.WriteString(": " + n.Value)
			}
			b.WriteByte('\n')
			walk(n.Children, depth+1)
		}
	}
	walk(t.Roots, 0)
	return b.String()
}
