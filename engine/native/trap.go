package native

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Trapper is a DataPlane that can wait for traffic and ask for its tunnel. With
// one, children may have the start action and the DPD action trap.
type Trapper interface {
	// SetTraps says which children traffic brings up: those alone.
	SetTraps(list []link.Trap) error
}

// host gives the selector of one address.
func host(a netip.Addr) []wire.TrafficSelector {
	return []wire.TrafficSelector{ike.PrefixSelector(netip.PrefixFrom(a, a.BitLen()))}
}

// trapsOf are the children of a connection that traffic brings up.
func trapsOf(c *configured) []link.Trap {
	var list []link.Trap
	for _, ch := range c.Children {
		if !c.trapped[ch.Name] {
			continue
		}
		t := link.Trap{Connection: c.Name, Child: ch.Name, Local: ch.LocalTS, Remote: ch.RemoteTS, Peer: c.Remote}
		if len(t.Local) == 0 {
			t.Local = host(c.Local)
		}
		if len(t.Remote) == 0 {
			t.Remote = host(c.Remote)
		}
		list = append(list, t)
	}
	return list
}

// setTraps tells the data plane what to wait for, on the engine's goroutine or
// before it runs.
func (e *Engine) setTraps() error {
	p, ok := e.plane.(Trapper)
	if !ok {
		return nil // then no child has one
	}
	var list []link.Trap
	for _, c := range e.configured() {
		list = append(list, trapsOf(c)...)
	}
	if err := p.SetTraps(list); err != nil {
		return fmt.Errorf("waiting for traffic: %w", err)
	}
	return nil
}

// hold has traffic bring up a child whose peer was lost, from now on.
func (e *Engine) hold(a ike.Again) {
	c := e.find(a.Connection.Name)
	if c == nil || c.trapped == nil || c.trapped[a.Child] {
		return
	}
	c.trapped[a.Child] = true
	if err := e.setTraps(); err != nil {
		delete(c.trapped, a.Child)
		e.log("%s", err)
	}
}

// acquireTimeout bounds how long one packet's wish for a tunnel is followed.
const acquireTimeout = time.Minute

// acquire brings a child up that traffic asks for, unless that is going on.
func (e *Engine) acquire(t backend.Target) {
	if _, busy := e.acquiring.LoadOrStore(t, true); busy {
		return
	}
	e.work.Go(func() {
		defer e.acquiring.Delete(t)
		ctx, cancel := context.WithTimeout(e.run, acquireTimeout)
		defer cancel()
		_ = e.Up(ctx, t, backend.UpOptions{}, nil) // what goes wrong is told by the events
	})
}
