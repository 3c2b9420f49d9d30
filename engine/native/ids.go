package native

import (
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// known is the number of an IKE SA and the connection that it is of.
type known struct {
	id   uint32
	name string
}

// ids numbers IKE SAs and CHILD SAs as a daemon does: each from 1 on, never
// twice the same. They are found by the SPIs of this side.
type ids struct {
	ike       map[wire.SPI]*known
	child     map[wire.ESPSPI]uint32
	reqids    map[string]uint32 // of children, by "connection/child"
	lastIKE   uint32
	lastChild uint32
	lastReq   uint32
}

func newIDs() ids {
	return ids{ike: map[wire.SPI]*known{}, child: map[wire.ESPSPI]uint32{}, reqids: map[string]uint32{}}
}

// local gives the SPI of our side.
func local(sa *engine.IKESA) wire.SPI {
	if sa.Initiator.Or(true) {
		return sa.InitiatorSPI
	}
	return sa.ResponderSPI
}

// number puts the numbers into an SA and its children.
func (n *ids) number(sa *engine.IKESA) {
	k := n.ike[local(sa)]
	if k == nil {
		n.lastIKE++
		k = &known{id: n.lastIKE}
		n.ike[local(sa)] = k
	}
	if sa.Name != "" {
		k.name = sa.Name
	}
	sa.UniqueID = k.id
	for _, c := range sa.Children {
		spi := c.SPIIn.Or(0)
		id, there := n.child[spi]
		if !there {
			n.lastChild++
			id = n.lastChild
			n.child[spi] = id
		}
		c.UniqueID, c.ReqID = id, engine.Some(n.reqid(sa.Name+"/"+c.Name))
	}
}

// reqid gives the number that all CHILD SAs of one configured child share.
func (n *ids) reqid(child string) uint32 {
	id, there := n.reqids[child]
	if !there {
		if len(n.reqids) > 4*maxLoaded { // of connections that came and went
			clear(n.reqids)
		}
		n.lastReq++
		id = n.lastReq
		n.reqids[child] = id
	}
	return id
}

// stamp puts the names and numbers into an event that it is about.
func (n *ids) stamp(ev *event.Event, e *ike.Endpoint) {
	switch {
	case ev.Check != nil:
		c := *ev.Check
		c.IKE, c.IKEID = n.about(e, c.SPIi, c.SPIr)
		ev.Check = &c
	case ev.Step != nil:
		s := *ev.Step
		s.IKE, s.IKEID = n.about(e, s.SPIi, s.SPIr)
		ev.Step = &s
	}
	if ev.Change == nil {
		return
	}
	if ev.Change.Old != nil {
		n.number(ev.Change.Old)
	}
	n.number(ev.Change.SA)
	if ev.Change.Kind == event.ChildDown {
		for _, c := range ev.Change.SA.Children {
			delete(n.child, c.SPIIn.Or(0))
		}
	}
}

// about gives the connection and the number of an SA, as far as they are known:
// a responder knows the connection once the peer has told who it is.
func (n *ids) about(e *ike.Endpoint, i, r wire.SPI) (name string, id uint32) {
	if k := n.known(i, r); k != nil {
		return k.name, k.id
	}
	for _, spi := range []wire.SPI{i, r} {
		if s := e.Find(spi); s != nil && s.Connection() != nil {
			return s.Connection().Name, 0
		}
	}
	return "", 0
}

// known finds an SA by both its SPIs, nil where it has no number.
func (n *ids) known(i, r wire.SPI) *known {
	if k := n.ike[i]; k != nil {
		return k
	}
	return n.ike[r]
}

// prune forgets the numbers of SAs that are gone.
func (n *ids) prune(e *ike.Endpoint) {
	held := e.Held()
	if len(n.ike) > 2*held.SAs+64 {
		for spi := range n.ike {
			if e.Find(spi) == nil {
				delete(n.ike, spi)
			}
		}
	}
	if len(n.child) > 2*held.ESPSPIs+64 {
		stands := make(map[wire.ESPSPI]bool)
		for _, s := range e.SAs() {
			for _, c := range s.Model().Children {
				stands[c.SPIIn.Or(0)] = true
			}
		}
		for spi := range n.child {
			if !stands[spi] {
				delete(n.child, spi)
			}
		}
	}
}
