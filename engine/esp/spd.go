package esp

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// rangeOf is a traffic selector in the form in which packets are compared.
type rangeOf struct {
	start, end         netip.Addr
	protocol           uint8 // 0 for any
	startPort, endPort uint16
}

// anyPort says whether the ports do not matter.
func (r *rangeOf) anyPort() bool { return r.startPort == 0 && r.endPort == 65535 }

// hidden says whether the selector is for packets whose ports cannot be seen
// (RFC 4301 4.4.1.1, OPAQUE).
func (r *rangeOf) hidden() bool { return r.startPort == 65535 && r.endPort == 0 }

func ranges(list []wire.TrafficSelector) []rangeOf {
	var all []rangeOf
	for i := range list {
		if t := &list[i]; t.Start.IsValid() && t.End.IsValid() && t.Start.Is4() == t.End.Is4() {
			all = append(all, rangeOf{t.Start.Unmap(), t.End.Unmap(), t.Protocol, t.StartPort, t.EndPort})
		}
	}
	return all
}

func (r *rangeOf) covers(a netip.Addr, protocol uint8, port uint16, known bool) bool {
	if a.Is4() != r.start.Is4() || a.Less(r.start) || r.end.Less(a) || r.protocol != 0 && r.protocol != protocol {
		return false
	}
	switch {
	case r.anyPort():
		return true
	case !known:
		return r.hidden()
	}
	return port >= r.startPort && port <= r.endPort
}

// covered says whether a packet fits one selector of either end.
func covered(src, dst []rangeOf, p *Packet) bool {
	for i := range src {
		if !src[i].covers(p.Src, p.Protocol, p.SrcPort, p.Ports) {
			continue
		}
		for j := range dst {
			if dst[j].covers(p.Dst, p.Protocol, p.DstPort, p.Ports) {
				return true
			}
		}
		return false
	}
	return false
}

// Entry is one SA of a Table, with what its owner keeps beside it.
type Entry[T any] struct {
	Src, Dst []wire.TrafficSelector
	Value    T
}

// Table finds for a packet to be sent whom it is for, by source, destination,
// protocol and ports (RFC 4301 5.1). It never changes; make a new one.
//
// Where several entries cover a packet, the one with the narrowest destination
// is taken, and of equals the last.
type Table[T any] struct {
	v4, v6 tree
	under  *Table[T]    // looked through as well; nil for none
	gone   func(T) bool // says whom nothing is for any more; nil for nobody
	values []T
	src    [][]rangeOf
	dst    [][]rangeOf
}

// tree is intervals of destinations, sorted by their start, as a balanced tree
// in place: the root of a part is its middle.
type tree []node

type node struct {
	start, end netip.Addr
	highest    netip.Addr // end in the part of which this is the root
	width      [2]uint64  // addresses in it less one, high half first
	entry      int
}

// NewTable makes a table.
func NewTable[T any](entries []Entry[T]) *Table[T] {
	t := &Table[T]{}
	for i := range entries {
		e := &entries[i]
		t.values = append(t.values, e.Value)
		t.src = append(t.src, ranges(e.Src))
		t.dst = append(t.dst, ranges(e.Dst))
		for _, r := range t.dst[i] {
			n := node{start: r.start, end: r.end, width: width(r.start, r.end), entry: i}
			if r.start.Is4() {
				t.v4 = append(t.v4, n)
			} else {
				t.v6 = append(t.v6, n)
			}
		}
	}
	for _, tr := range []tree{t.v4, t.v6} {
		slices.SortFunc(tr, func(a, b node) int {
			return cmp.Or(a.start.Compare(b.start), a.end.Compare(b.end), cmp.Compare(a.entry, b.entry))
		})
		tr.balance(0, len(tr))
	}
	return t
}

// Under gives a table with entries over those of t: of equals they are the last.
// Whom gone says to be gone, whenever it is asked, nothing is for, of those over
// it and under it. It costs as much as the entries, however large t is.
func (t *Table[T]) Under(entries []Entry[T], gone func(T) bool) *Table[T] {
	over, under := NewTable(entries), *t
	over.gone, under.gone = gone, gone
	over.under = &under
	return over
}

func width(start, end netip.Addr) [2]uint64 {
	a, b := start.As16(), end.As16()
	low, borrow := bits.Sub64(binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(a[8:]), 0)
	high, _ := bits.Sub64(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(a[:8]), borrow)
	return [2]uint64{high, low}
}

// balance computes the highest end of a part.
func (t tree) balance(from, to int) netip.Addr {
	if from >= to {
		return netip.Addr{}
	}
	m := (from + to) / 2
	high := t[m].end
	for _, h := range []netip.Addr{t.balance(from, m), t.balance(m+1, to)} {
		if h.IsValid() && high.Less(h) {
			high = h
		}
	}
	t[m].highest = high
	return high
}

// Find gives whom a packet is for.
func (t *Table[T]) Find(p *Packet) (value T, ok bool) {
	best := t.best(p)
	if t.under != nil {
		if below := t.under.best(p); below != nil && (best == nil || below.narrower(best)) {
			return t.under.values[below.entry], true
		}
	}
	if best == nil {
		return value, false
	}
	return t.values[best.entry], true
}

// best gives the node that a packet is for, nil where there is none.
func (t *Table[T]) best(p *Packet) *node {
	tr := t.v6
	if p.Dst.Is4() {
		tr = t.v4
	}
	if i := t.find(tr, 0, len(tr), p, -1); i >= 0 {
		return &tr[i]
	}
	return nil
}

// find looks through a part of a tree for a better node than best.
func (t *Table[T]) find(tr tree, from, to int, p *Packet, best int) int {
	if from >= to {
		return best
	}
	m := (from + to) / 2
	n := &tr[m]
	if n.highest.Less(p.Dst) {
		return best // nothing of this part reaches so far
	}
	best = t.find(tr, from, m, p, best)
	if p.Dst.Less(n.start) {
		return best // and nothing behind starts so early
	}
	if !n.end.Less(p.Dst) && (best < 0 || n.before(&tr[best])) && covered(t.src[n.entry], t.dst[n.entry], p) &&
		(t.gone == nil || !t.gone(t.values[n.entry])) {
		best = m
	}
	return t.find(tr, m+1, to, p, best)
}

// before says whether a node is to be taken rather than another one.
func (n *node) before(o *node) bool {
	if n.width != o.width {
		return n.narrower(o)
	}
	return n.entry > o.entry
}

func (n *node) narrower(o *node) bool {
	return n.width[0] < o.width[0] || n.width[0] == o.width[0] && n.width[1] < o.width[1]
}
