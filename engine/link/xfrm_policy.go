package link

import (
	"errors"
	"slices"

	"github.com/cloudvlan/cvlanctl/engine/ike"
)

// xfrmSlot is a policy of the kernel and who wants it: the kernel has one for
// each selector, so children and a trap may share it.
type xfrmSlot struct {
	children []*xfrmChild // the last of them has it
	trap     *xfrmTrap    // has it where there is no child
	set      *xfrmPolicy  // what the kernel has
}

// xfrmTrap is a trap that is set.
type xfrmTrap struct {
	Trap
	reqid uint32
	keys  []xfrmKey
	led   bool
}

// wanted is what the kernel is to have, nil for nothing.
func (p *XFRM) wanted(k xfrmKey, s *xfrmSlot) *xfrmPolicy {
	if n := len(s.children); n > 0 {
		c := s.children[n-1]
		if k.direction == xfrmOut {
			// By its SPI: of a child and its replacement, which have one number,
			// the kernel would take either.
			return &xfrmPolicy{src: c.out.src, dst: c.out.dst, reqid: c.out.reqid, spi: c.out.spi, transport: c.out.transport}
		}
		return &xfrmPolicy{src: c.in.src, dst: c.in.dst, reqid: c.in.reqid, transport: c.in.transport}
	}
	if t := s.trap; t != nil {
		return &xfrmPolicy{src: p.at.Local, dst: t.Peer, reqid: t.reqid, transport: t.Transport, trap: true}
	}
	return nil
}

// settle has the kernel have what is wanted of a policy.
func (p *XFRM) settle(k xfrmKey) error {
	s := p.policies[k]
	if s == nil {
		return nil
	}
	want := p.wanted(k, s)
	switch {
	case want == nil && s.set == nil:
		delete(p.policies, k)
	case want == nil:
		delete(p.policies, k)
		return p.kernel.removePolicy(k)
	case s.set == nil || *s.set != *want:
		if err := p.kernel.setPolicy(k, want, s.set != nil); err != nil {
			return err
		}
		s.set = want
	}
	return nil
}

func (p *XFRM) slot(k xfrmKey) *xfrmSlot {
	s := p.policies[k]
	if s == nil {
		s = &xfrmSlot{}
		p.policies[k] = s
	}
	return s
}

// use gives a child a policy, before all others that want it.
func (p *XFRM) use(k xfrmKey, c *xfrmChild) error {
	s := p.slot(k)
	s.children = append(slices.DeleteFunc(s.children, func(o *xfrmChild) bool { return o == c }), c)
	return p.settle(k)
}

// leave undoes use.
func (p *XFRM) leave(k xfrmKey, c *xfrmChild) error {
	s := p.policies[k]
	if s == nil {
		return nil
	}
	s.children = slices.DeleteFunc(s.children, func(o *xfrmChild) bool { return o == c })
	return p.settle(k)
}

// reqid gives the number that policies know the states of a new child by: that
// of the child that it replaces, that of the trap that it was asked for by, or
// one of its own.
func (p *XFRM) reqid(u *ike.Update) uint32 {
	if old := p.children.stand[u.Replaces]; old != nil {
		return old.in.reqid
	}
	for _, t := range p.traps {
		if t.Connection == u.Connection && t.Child == u.Name && !p.taken(t.reqid) {
			return t.reqid
		}
	}
	return p.number()
}

// number gives a number that nobody has.
func (p *XFRM) number() uint32 {
	for {
		p.last++
		if id := p.base | uint32(p.last); p.last != 0 && !p.taken(id) && !slices.ContainsFunc(p.traps, func(t *xfrmTrap) bool { return t.reqid == id }) {
			return id
		}
	}
}

// taken says whether a child has a number.
func (p *XFRM) taken(id uint32) bool {
	for _, c := range p.states {
		if c.in.reqid == id {
			return true
		}
	}
	return false
}

// SetTraps says which children traffic brings up: those alone, until it is called
// again. The kernel keeps the packets that spring a trap until its tunnel is up.
// Where a trap cannot be set, none of the list is, and all is as it was.
func (p *XFRM) SetTraps(list []Trap) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.setTraps(list)
}

func (p *XFRM) setTraps(list []Trap) error {
	if len(list) > 0 {
		if err := p.kernel.hold(); err != nil {
			return err
		}
	}
	old := p.traps
	var traps []*xfrmTrap
	for i := range list {
		t := &xfrmTrap{Trap: list[i]}
		t.Peer = t.Peer.Unmap().WithZone("")
		for _, o := range old {
			if o.Connection == t.Connection && o.Child == t.Child {
				t.reqid = o.reqid
			}
		}
		if t.reqid == 0 {
			t.reqid = p.number()
		}
		traps = append(traps, t)
		p.traps = append(slices.Clip(old), traps...) // for number
		if err := p.arm(t); err != nil {
			p.traps = old
			return errors.Join(err, p.disarm(traps, old))
		}
	}
	p.traps = traps
	return p.disarm(old, traps)
}

// arm sets a trap, in the place of another one for the same traffic.
func (p *XFRM) arm(t *xfrmTrap) error {
	selectors, err := xfrmSelectors(t.Local, t.Remote)
	if err != nil {
		return err
	}
	for _, s := range selectors {
		k := xfrmKey{xfrmOut, s}
		t.keys = append(t.keys, k)
		p.slot(k).trap = t
		if err := p.settle(k); err != nil {
			return err
		}
	}
	if t.Transport {
		return nil
	}
	if err := p.kernel.lead(t.Local, t.Remote, t.Peer); err != nil {
		return err
	}
	t.led = true
	return nil
}

// disarm takes traps out, in favour of those that stay.
func (p *XFRM) disarm(list, stay []*xfrmTrap) error {
	var err error
	for _, t := range list {
		for _, k := range t.keys {
			s := p.policies[k]
			if s == nil || s.trap != t {
				continue
			}
			s.trap = nil
			for _, o := range stay {
				if slices.Contains(o.keys, k) {
					s.trap = o
				}
			}
			err = errors.Join(err, p.settle(k))
		}
		if t.led {
			err = errors.Join(err, p.kernel.unlead(t.Remote, t.Peer))
		}
	}
	return err
}
