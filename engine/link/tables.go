package link

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/cloudvlan/cvlanctl/engine/esp"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// tables are where the packet paths find a packet's child. They are read without
// a lock; one caller at a time changes them. A change costs the same however many
// children there are, but for what lies in between: inbound is in parts, of
// which one is copied, and outbound is a large table with a small one of what came
// last over it.
type tables struct {
	inbound  [256]atomic.Pointer[map[wire.ESPSPI]*planeChild] // by the last octet of the SPI, which we choose at random
	outbound atomic.Pointer[esp.Table[*planeChild]]
	base     *esp.Table[*planeChild]
	recent   []*planeChild // that send since base was made
	stale    bool          // some of base sends no longer
	turns    uint64
}

// maxRecent is how many children at least are kept over the large table until it
// is made anew; a plane with fewer has one table only.
const maxRecent = 64

// full says that so many children over the large table are too many: they cost as
// much with each change as the large table does, shared among them.
func full(recent, all int) bool { return recent >= maxRecent && recent*recent >= 2*all }

func newTables() *tables {
	t := &tables{base: esp.NewTable[*planeChild](nil)}
	t.outbound.Store(t.base)
	return t
}

// in gives the child that a packet with an SPI is for, nil where there is none.
func (t *tables) in(spi wire.ESPSPI) *planeChild {
	part := t.inbound[byte(spi)].Load()
	if part == nil {
		return nil
	}
	return (*part)[spi]
}

// out gives the child that a packet goes with.
func (t *tables) out(h *esp.Packet) (*planeChild, bool) { return t.outbound.Load().Find(h) }

// open has packets of a child's SPI be for it.
func (t *tables) open(c *planeChild) {
	t.part(c.update.SPIs.In, func(part map[wire.ESPSPI]*planeChild) { part[c.update.SPIs.In] = c })
}

// shut undoes open, unless another child has the SPI by now.
func (t *tables) shut(c *planeChild) {
	if spi := c.update.SPIs.In; t.in(spi) == c {
		t.part(spi, func(part map[wire.ESPSPI]*planeChild) { delete(part, spi) })
	}
}

func (t *tables) part(spi wire.ESPSPI, change func(map[wire.ESPSPI]*planeChild)) {
	at := &t.inbound[byte(spi)]
	part := map[wire.ESPSPI]*planeChild{}
	if old := at.Load(); old != nil {
		part = maps.Clone(*old)
	}
	change(part)
	at.Store(&part)
}

// send has packets go with a child; of several for the same packets, the last is
// taken. All are those that stand.
func (t *tables) send(c *planeChild, all []*planeChild) {
	t.turns++
	c.turn = t.turns
	c.sending.Store(true)
	t.recent = append(t.recent, c)
	if len(all) <= maxRecent || full(len(t.recent), len(all)) {
		t.merge(all)
		return
	}
	t.outbound.Store(t.base.Under(entriesOf(t.recent), func(c *planeChild) bool { return !c.sending.Load() }))
}

// silence has no more packets go with a child.
func (t *tables) silence(c *planeChild, all []*planeChild) {
	if !c.sending.Swap(false) {
		return
	}
	if t.stale = true; len(all) <= maxRecent {
		t.merge(all)
		return
	}
	if len(t.recent) == 0 { // base alone does not look who sends
		t.outbound.Store(t.base.Under(nil, func(c *planeChild) bool { return !c.sending.Load() }))
	}
}

// merge makes the large table anew, where it is not as it should be.
func (t *tables) merge(all []*planeChild) {
	if len(t.recent) == 0 && !t.stale {
		return
	}
	var sending []*planeChild
	for _, c := range all {
		if c.sending.Load() {
			sending = append(sending, c)
		}
	}
	slices.SortFunc(sending, func(a, b *planeChild) int { return cmp.Compare(a.turn, b.turn) })
	t.base, t.recent, t.stale = esp.NewTable(entriesOf(sending)), nil, false
	t.outbound.Store(t.base)
}

func entriesOf(list []*planeChild) []esp.Entry[*planeChild] {
	entries := make([]esp.Entry[*planeChild], len(list))
	for i, c := range list {
		entries[i] = esp.Entry[*planeChild]{Src: c.update.LocalTS, Dst: c.update.RemoteTS, Value: c}
	}
	return entries
}
