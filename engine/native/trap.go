package native

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
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
		t := link.Trap{Connection: c.Name, Child: ch.Name, Local: ch.LocalTS, Remote: ch.RemoteTS, Transport: ch.Transport, Peer: c.Remote}
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

// Policies lists the children that traffic brings up.
func (e *Engine) Policies(ctx context.Context) ([]engine.Policy, error) {
	list := []engine.Policy{} // none is something that is known
	err := e.do(ctx, func(time.Time) ike.Output {
		for _, c := range e.configured() {
			for _, t := range trapsOf(c) {
				p := engine.Policy{Connection: t.Connection, Child: t.Child, Mode: "TUNNEL"}
				if t.Transport {
					p.Mode = "TRANSPORT"
				}
				for i := range t.Local {
					p.LocalTS = append(p.LocalTS, event.SelectorText(&t.Local[i]))
				}
				for i := range t.Remote {
					p.RemoteTS = append(p.RemoteTS, event.SelectorText(&t.Remote[i]))
				}
				list = append(list, p)
			}
		}
		return ike.Output{}
	})
	return list, err
}

// Install has traffic bring a child up, from now on.
func (e *Engine) Install(ctx context.Context, t backend.Target) error { return e.trap(ctx, t, true) }

// Uninstall undoes Install, and a child's start action trap.
func (e *Engine) Uninstall(ctx context.Context, t backend.Target) error { return e.trap(ctx, t, false) }

// trap sets whether traffic brings a child up.
func (e *Engine) trap(ctx context.Context, t backend.Target, on bool) error {
	if _, ok := e.plane.(Trapper); !ok {
		return unsupportedBy("trap policies, without a data plane that waits for traffic")
	}
	conn, err := e.wanted(t)
	switch {
	case err != nil:
		return err
	case t.Child == "":
		return refused("%s: which child is not said", name(t))
	case on && !conn.Remote.IsValid():
		return refused("%s: its peer has no address to bring it up at", name(t))
	}
	var failed error
	err = e.do(ctx, func(time.Time) ike.Output {
		c := e.find(conn.Name)
		switch {
		case c == nil:
			failed = refused("no connection %q any more", conn.Name)
		case !on && !c.trapped[t.Child]:
			failed = refused("%s: nothing is installed", name(t))
		default:
			before := c.trapped[t.Child]
			c.trapped[t.Child] = on
			if failed = e.setTraps(); failed != nil {
				c.trapped[t.Child] = before
			}
		}
		return ike.Output{}
	})
	return first(err, failed)
}

// hold has traffic bring up a child whose peer was lost, from now on.
func (e *Engine) hold(a ike.Again) {
	c := e.find(a.Connection.Name)
	if c == nil || c.trapped[a.Child] {
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
