package link

import (
	"net/netip"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/esp"
	"github.com/cloudvlan/cvlanctl/engine/ike"
)

// event takes what the kernel reports, on one goroutine. Reports are made
// without the lock: the engine may be waiting for it.
func (p *XFRM) event(e xfrmEvent) {
	switch e.kind {
	case xfrmExpired:
		p.expired(e)
	case xfrmMapping:
		p.mapped(e)
	case xfrmAcquire:
		p.acquired(e)
	}
}

// expired tells once that a child has used up what it may carry softly, and
// once that it has hard.
func (p *XFRM) expired(e xfrmEvent) {
	p.mu.Lock()
	c := p.states[e.id]
	tell := false
	if c != nil {
		said := &c.soft
		if e.hard {
			said = &c.hard
		}
		tell, *said = !*said, true
	}
	p.mu.Unlock()
	if tell {
		p.at.Reports.Expired(c.in.spi, e.hard)
	}
}

// mapped tells that authentic packets come from another place, at most once a
// second for each place: the kernel says so of every packet.
func (p *XFRM) mapped(e xfrmEvent) {
	p.mu.Lock()
	c, now := p.states[e.id], time.Now()
	tell := c != nil && (c.heardFrom != e.from || now.Sub(c.heardAt) >= heardEvery)
	if tell {
		c.heardFrom, c.heardAt = e.from, now
	}
	p.mu.Unlock()
	if tell {
		p.at.Reports.Heard(c.in.spi, e.from)
	}
}

// acquired tells of traffic for a trap. The kernel says so once, and not again
// before half a minute, or once an SA has come and gone.
func (p *XFRM) acquired(e xfrmEvent) {
	p.mu.Lock()
	var t *xfrmTrap
	if i := slices.IndexFunc(p.traps, func(t *xfrmTrap) bool { return t.reqid == e.reqid }); i >= 0 {
		t = p.traps[i]
	}
	p.mu.Unlock()
	if t != nil {
		p.at.Reports.Acquire(t.Connection, t.Child)
	}
}

// look reads the counters, tells of life, and forgets replaced SAs whose last
// packets have had their time.
func (p *XFRM) look(now time.Time) {
	p.mu.Lock()
	for _, c := range p.children.forget(now.Unix()) {
		_ = p.drop(c, &c.in) // the kernel lets go of what it has, or has let go of it before
	}
	empty := len(p.states) == 0
	p.mu.Unlock()
	if empty {
		return
	}
	uses, err := p.kernel.readAll(p.base)
	if err != nil {
		return // it is looked at again
	}
	var alive []*xfrmChild
	p.mu.Lock()
	for id, use := range uses {
		c := p.states[id]
		switch {
		case c == nil:
		case id == c.in.id():
			if use.Packets != c.inPackets {
				c.inPackets, c.lastIn = use.Packets, now
				alive = append(alive, c)
			}
		case use.Packets != c.outPackets:
			c.outPackets, c.lastOut = use.Packets, now
		}
	}
	p.mu.Unlock()
	for _, c := range alive {
		p.at.Reports.Heard(c.in.spi, netip.AddrPort{})
	}
}

// Traffic gives what a child has carried.
func (p *XFRM) Traffic(pair ike.SPIPair) (Traffic, bool) {
	p.mu.Lock()
	c := p.children.stand[pair]
	if c == nil {
		p.mu.Unlock()
		return Traffic{}, false
	}
	t := Traffic{LastIn: c.lastIn, LastOut: c.lastOut}
	in, out := c.in.id(), c.out.id()
	inPackets, outPackets := c.inPackets, c.outPackets
	p.mu.Unlock()
	of := func(id xfrmID, before uint64, last *time.Time) esp.Count {
		use, err := p.kernel.read(id)
		switch {
		case err != nil: // it has just gone
		case !use.last.IsZero():
			*last = use.last
		case use.Packets != before:
			*last = time.Now().Truncate(time.Second)
		}
		return use.Count
	}
	t.In, t.Out = of(in, inPackets, &t.LastIn), of(out, outPackets, &t.LastOut)
	return t, true
}
