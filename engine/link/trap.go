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

func (t *planeTrap) name() trapName { return trapName{t.Connection, t.Child} }

// SetTraps says which children traffic brings up: those alone, until it is called
// again. Packets that spring a trap wait for its tunnel, within bounds. Where the traffic of a trap cannot be led to the device, none of the list is
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
	p.unclaimed.Add(uint64(p.held.keep(traps)))
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

// sprung takes a packet that no tunnel is up for, where a trap waits for it, and
// asks for the tunnel.
func (p *Plane) sprung(b []byte, h *esp.Packet) bool {
	t, ok := p.traps.Load().Find(h)
	if !ok {
		return false
	}
	now := p.clock.Load()
	p.unclaimed.Add(uint64(p.held.add(t.name(), b[:h.Length], now)))
	if t.told.Swap(now) != now {
		p.at.Reports.Acquire(t.Connection, t.Child)
	}
	return true
}

// release sends what has waited for tunnels that stand by now. It has a
// goroutine of its own: who orders a tunnel does not wait for the network.
func (p *Plane) release() {
	if len(p.trapped) == 0 || p.closed.Load() {
		return
	}
	p.work.Go(func() {
		p.out.mu.Lock()
		defer p.out.mu.Unlock()
		var ready [][]byte
		p.held.sift(func(_ trapName, held *heldPacket) bool {
			var h esp.Packet
			if esp.ParsePacket(held.octets, &h) != nil {
				return true
			}
			if _, ok := p.tables.out(&h); !ok {
				return false
			}
			ready = append(ready, held.octets)
			return true
		})
		p.out.resend(ready)
	})
}
