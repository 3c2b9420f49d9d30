package link

import (
	"errors"
	"slices"
	"sync/atomic"

	"github.com/cloudvlan/cvlanctl/engine/esp"
)

// planeTrap is a trap, and when it last told of traffic.
type planeTrap struct {
	Trap
	told atomic.Int64 // seconds
}

// SetTraps says which children traffic brings up: those alone, until it is called
// again. The packets that spring a trap are lost; their senders repeat them.
// Where the traffic of a trap cannot be led to the device, none of the list is
// set and all is as it was.
func (p *Plane) SetTraps(list []Trap) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.setTraps(list)
}

func (p *Plane) setTraps(list []Trap) error {
	var traps []*planeTrap
	var entries []esp.Entry[*planeTrap]
	for i := range list {
		t := &planeTrap{Trap: list[i]}
		if err := p.leadTrap(t); err != nil {
			return errors.Join(err, p.unleadTraps(traps))
		}
		traps = append(traps, t)
		entries = append(entries, esp.Entry[*planeTrap]{Src: t.Local, Dst: t.Remote, Value: t})
	}
	old := p.trapped
	p.trapped = slices.Clip(traps)
	p.traps.Store(esp.NewTable(entries))
	return p.unleadTraps(old)
}

func (p *Plane) leadTrap(t *planeTrap) error {
	if r, ok := p.device.(Router); ok {
		return r.Route(t.Local, t.Remote, t.Peer)
	}
	return nil
}

func (p *Plane) unleadTraps(list []*planeTrap) error {
	r, ok := p.device.(Router)
	if !ok {
		return nil
	}
	var err error
	for _, t := range list {
		err = errors.Join(err, r.Unroute(t.Local, t.Remote))
	}
	return err
}

// sprung tells of a packet that no tunnel is up for, where a trap waits for it.
func (p *Plane) sprung(h *esp.Packet) {
	t, ok := p.traps.Load().Find(h)
	if !ok {
		return
	}
	if now := p.clock.Load(); t.told.Swap(now) != now {
		p.at.Reports.Acquire(t.Connection, t.Child)
	}
}
