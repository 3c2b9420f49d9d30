package ipflow

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// What a group costs beside its octets, for the limit on memory.
const (
	groupCost = 256
	pieceCost = 48
	headKept  = 64 // octets of the datagram's start kept for FragmentLoss
	keepArena = 16 << 10
	keepFree  = 64
)

// fragKey is what fragments of one datagram have in common: RFC 791 section
// 3.2 for IPv4, RFC 8200 section 4.5 for IPv6 (where the protocol is not part
// of it).
type fragKey struct {
	src, dst netip.Addr
	id       uint32
	proto    uint8
	six      bool
}

// piece is one fragment.
type piece struct {
	key    fragKey
	next   uint8 // IPv6: the header that follows, of value in the first fragment
	offset int
	claim  int // length that the headers claim
	more   bool
	data   []byte // what was captured of it
}

// span is a piece that a group holds.
type span struct {
	from, to int
	at       int    // in the group's arena
	got      int    // octets captured, at most to-from
	sum      uint64 // of those octets
}

// group is one datagram in reassembly or, once done, the memory of it that
// tells a second copy of a frame from a new datagram.
type group struct {
	key        fragKey
	prev, next *group
	done       bool // complete; its pieces are kept to know copies by
	dead       bool // given up; later pieces are swallowed
	nextHeader uint8
	total      int // octets of the datagram; -1 before the last fragment came
	have       int
	pieces     []span // by offset, without overlaps
	arena      []byte
	head       []byte
	frames     []int64
	first      time.Time
	last       time.Time
}

// list is a doubly linked list of groups, oldest first.
type list struct {
	oldest, newest *group
	n              int
}

func (l *list) push(g *group) {
	g.prev, g.next = l.newest, nil
	if l.newest != nil {
		l.newest.next = g
	} else {
		l.oldest = g
	}
	l.newest = g
	l.n++
}

func (l *list) remove(g *group) {
	if g.prev != nil {
		g.prev.next = g.next
	} else {
		l.oldest = g.next
	}
	if g.next != nil {
		g.next.prev = g.prev
	} else {
		l.newest = g.prev
	}
	g.prev, g.next = nil, nil
	l.n--
}

// reassembler holds the fragments that wait for others.
type reassembler struct {
	list // of groups that are not done
	past list
	by   map[fragKey]*group
	free []*group
	held int // octets, with groupCost and pieceCost

	limits *Limits
	stats  *Stats
	loss   func(FragmentLoss)
	seed   maphash.Seed

	out    []byte
	frames []int64
}

func (r *reassembler) init(l *Limits, s *Stats, loss func(FragmentLoss)) {
	*r = reassembler{by: map[fragKey]*group{}, limits: l, stats: s, loss: loss, seed: maphash.MakeSeed()}
}

// fragment takes in one fragment, and goes on with the datagram where it was
// the last one missing.
func (w *Walker) fragment(p *piece) error {
	w.stats.Fragments++
	// Only the last fragment may end off an 8-octet boundary, and none may
	// reach beyond what a length field can say.
	if p.claim <= 0 || p.offset+p.claim > 65535 || p.more && p.claim%8 != 0 {
		return ErrFragment
	}
	p.data = p.data[:min(len(p.data), p.claim)]
	r := &w.frags
	g := r.add(p, w.d.Frame, w.d.Time)
	if g == nil {
		return nil
	}
	w.stats.Reassembled++
	body, cut := r.assemble(g)
	d := &w.d
	d.Fragments = r.frames
	d.Length = g.total
	d.Truncated = cut
	if !p.key.six {
		r.finish(g)
		return w.transport(body)
	}
	d.Proto = g.nextHeader
	total := g.total
	r.finish(g)
	return w.extensions(body, total)
}

// add files a fragment, and returns its group where that is now complete.
func (r *reassembler) add(p *piece, frame int64, now time.Time) *group {
	sum := maphash.Bytes(r.seed, p.data)
	g := r.by[p.key]
	if g != nil && g.done {
		if g.holds(p, sum) {
			return nil // the frame was captured twice
		}
		r.drop(g)
		g = nil
	}
	if g == nil {
		for r.n >= r.limits.FragmentGroups {
			r.lose(r.oldest, LossLimit)
		}
		g = r.take(p.key)
		g.first = now
		r.by[p.key] = g
		r.push(g)
	}
	g.last = now
	if g.dead {
		return nil
	}
	from, to := p.offset, p.offset+p.claim
	at, overlap, covered := g.place(from, to)
	if overlap && covered {
		return nil // a duplicate
	}
	if overlap || g.total >= 0 && (to > g.total || !p.more && to != g.total) || !p.more && len(g.pieces) > 0 && g.pieces[len(g.pieces)-1].to > to {
		r.condemn(g, LossOverlap)
		return nil
	}
	if len(g.pieces) >= r.limits.FragmentsEach {
		r.condemn(g, LossLimit)
		return nil
	}
	cost := len(p.data) + pieceCost
	for r.held+cost > r.limits.FragmentOctets {
		if r.past.oldest != nil {
			r.drop(r.past.oldest)
			continue
		}
		victim := r.oldest
		r.lose(victim, LossLimit)
		if victim == g {
			return nil
		}
	}
	r.held += cost
	if !p.more {
		g.total = to
	}
	if from == 0 {
		g.nextHeader = p.next
		g.head = append(g.head[:0], p.data[:min(len(p.data), headKept)]...)
	}
	g.pieces = append(g.pieces, span{})
	copy(g.pieces[at+1:], g.pieces[at:])
	g.pieces[at] = span{from: from, to: to, at: len(g.arena), got: len(p.data), sum: sum}
	g.arena = append(g.arena, p.data...)
	g.frames = append(g.frames, frame)
	g.have += p.claim
	if g.have == g.total {
		return g
	}
	return nil
}

// place finds where among the pieces from..to belongs, whether it overlaps
// some, and whether those cover it wholly.
func (g *group) place(from, to int) (at int, overlap, covered bool) {
	at = len(g.pieces)
	for at > 0 && g.pieces[at-1].from >= from {
		at--
	}
	reach := from // covered so far
	for i := max(at-1, 0); i < len(g.pieces); i++ {
		s := g.pieces[i]
		if s.to <= from {
			continue
		}
		if s.from >= to {
			break
		}
		overlap = true
		if s.from <= reach {
			reach = s.to
		}
	}
	return at, overlap, reach >= to
}

// holds says whether the group has this very piece.
func (g *group) holds(p *piece, sum uint64) bool {
	for _, s := range g.pieces {
		if s.from == p.offset {
			return s.to == p.offset+p.claim && s.sum == sum && p.more == (s.to < g.total)
		}
	}
	return false
}

// assemble puts the pieces in order. With a piece that the snap length cut
// the result ends there, and cut is true.
func (r *reassembler) assemble(g *group) (body []byte, cut bool) {
	r.out = r.out[:0]
	for _, s := range g.pieces {
		r.out = append(r.out, g.arena[s.at:s.at+s.got]...)
		if s.got < s.to-s.from {
			cut = true
			break
		}
	}
	r.frames = append(r.frames[:0], g.frames...)
	return r.out, cut
}

// finish keeps a complete group, without its octets, to know copies by.
func (r *reassembler) finish(g *group) {
	g.done = true
	r.held -= len(g.arena)
	r.shed(g)
	r.remove(g)
	r.past.push(g)
	for r.past.n > max(r.limits.FragmentGroups/4, 1) {
		r.drop(r.past.oldest)
	}
}

// condemn gives a group up, and keeps it to swallow what else comes of it.
func (r *reassembler) condemn(g *group, why LossReason) {
	r.report(g, why)
	r.held -= len(g.arena)
	r.shed(g)
	g.dead = true
}

// lose gives a group up and forgets it.
func (r *reassembler) lose(g *group, why LossReason) {
	if !g.dead {
		r.report(g, why)
	}
	r.drop(g)
}

// drop forgets a group.
func (r *reassembler) drop(g *group) {
	if g.done {
		r.past.remove(g)
	} else {
		r.remove(g)
	}
	delete(r.by, g.key)
	r.held -= groupCost + len(g.pieces)*pieceCost + len(g.arena)
	r.shed(g)
	if len(r.free) < keepFree {
		r.free = append(r.free, g)
	}
}

// shed empties a group's arena, and frees a large one.
func (r *reassembler) shed(g *group) {
	if g.arena = g.arena[:0]; cap(g.arena) > keepArena {
		g.arena = nil
	}
}

// take makes a group, or takes one that is free.
func (r *reassembler) take(key fragKey) *group {
	r.held += groupCost
	n := len(r.free)
	if n == 0 {
		return &group{key: key, total: -1}
	}
	g := r.free[n-1]
	r.free = r.free[:n-1]
	*g = group{key: key, total: -1, pieces: g.pieces[:0], arena: g.arena, head: g.head[:0], frames: g.frames[:0]}
	return g
}

// expire gives up on the groups whose time ran out.
func (r *reassembler) expire(now time.Time) {
	for r.oldest != nil && now.Sub(r.oldest.first) > r.limits.FragmentTimeout {
		r.lose(r.oldest, LossTimeout)
	}
	for r.past.oldest != nil && now.Sub(r.past.oldest.first) > r.limits.FragmentTimeout {
		r.drop(r.past.oldest)
	}
}

// flush gives up on all groups.
func (r *reassembler) flush() {
	for r.oldest != nil {
		r.lose(r.oldest, LossEnd)
	}
	for r.past.oldest != nil {
		r.drop(r.past.oldest)
	}
}
