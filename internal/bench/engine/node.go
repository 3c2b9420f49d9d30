package main

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/lab"
)

// endpoint is where and who one end is, and what lies behind it.
type endpoint struct {
	local, remote     netip.Addr
	localID, remoteID string
	inner, innerPeer  string
}

// node is our engine at one end.
type node struct {
	pump  *link.Pump
	stop  context.CancelFunc
	done  chan error
	up    atomic.Int64  // IKE SAs that stand
	esp   sas           // of their children
	ready chan struct{} // one for each that came up
}

func newNode(ns *lab.NS, e endpoint) (*node, error) {
	conn := &ike.Connection{Name: "gw", Local: e.local, Remote: e.remote, Unique: ike.UniqueNever,
		Credentials: auth.SharedKeys{{Key: suite.NewSecret([]byte(secret))}}}
	child := &ike.ChildConfig{Name: "net"}
	var err error
	if conn.LocalID, err = auth.ParseID(e.localID); err != nil {
		return nil, err
	}
	peer, err := auth.ParseID(e.remoteID)
	if err != nil {
		return nil, err
	}
	conn.RemoteID = auth.Exactly(peer)
	if conn.Proposals, err = ike.ParseProposals(wire.ProtocolIKE, suiteIKE); err != nil {
		return nil, err
	}
	if child.Proposals, err = ike.ParseProposals(wire.ProtocolESP, suiteESP); err != nil {
		return nil, err
	}
	selector := func(s string) []wire.TrafficSelector {
		return []wire.TrafficSelector{ike.PrefixSelector(netip.PrefixFrom(netip.MustParseAddr(s), 32))}
	}
	child.LocalTS, child.RemoteTS = selector(e.inner), selector(e.innerPeer)
	conn.Children = []*ike.ChildConfig{child}
	point := ike.NewEndpoint(ike.Settings{HalfOpenPerSource: 1 << 20, CookieThreshold: 1 << 20, Linger: time.Second})
	if err := point.Add(conn); err != nil {
		return nil, err
	}
	plain, err := ns.ListenUDP(netip.AddrPortFrom(e.local, wire.PortIKE).String())
	if err != nil {
		return nil, err
	}
	natt, err := ns.ListenUDP(netip.AddrPortFrom(e.local, wire.PortNATT).String())
	if err != nil {
		return nil, err
	}
	n := &node{done: make(chan error, 1), esp: sas{}, ready: make(chan struct{}, 1<<16)}
	if n.pump, err = link.NewPump(point, plain, natt, n.take, nil); err != nil {
		return nil, err
	}
	n.pump.Before = n.esp.follow
	var ctx context.Context
	ctx, n.stop = context.WithCancel(context.Background())
	go func() { n.done <- n.pump.Run(ctx) }()
	return n, nil
}

func (n *node) close() error {
	n.stop()
	return <-n.done
}

// take counts what came up and went down.
func (n *node) take(o ike.Output) {
	for i := range o.Events {
		c := o.Events[i].Change
		if c == nil {
			continue
		}
		switch c.Kind {
		case event.IKEUp:
			n.up.Add(1)
			select {
			case n.ready <- struct{}{}:
			default:
			}
		case event.IKEDown:
			n.up.Add(-1)
		}
	}
}

func (n *node) standing() int { return int(n.up.Load()) }

// initiate brings n tunnels up, some at a time.
func (n *node) initiate(ctx context.Context, count int) error {
	for len(n.ready) > 0 {
		<-n.ready
	}
	begin := func() (err error) {
		done := n.pump.Do(ctx, func(now time.Time, e *ike.Endpoint) ike.Output {
			var out ike.Output
			_, out, err = e.Initiate(now, "gw", netip.Addr{})
			return out
		})
		if err == nil {
			err = done
		}
		return err
	}
	for range min(count, atOnce) {
		if err := begin(); err != nil {
			return err
		}
	}
	for i := range count {
		select {
		case <-n.ready:
		case <-ctx.Done():
			return ctx.Err()
		}
		if i+atOnce < count {
			if err := begin(); err != nil {
				return err
			}
		}
	}
	return nil
}

// deleteAll deletes every IKE SA, some at a time.
func (n *node) deleteAll(ctx context.Context) error {
	const atOnce = 100
	for n.standing() > 0 {
		left := max(n.standing()-atOnce, 0)
		count := 0
		err := n.pump.Do(ctx, func(now time.Time, e *ike.Endpoint) ike.Output {
			var out ike.Output
			for _, s := range e.SAs() {
				if s.State() != engine.IKEEstablished || count == atOnce {
					continue
				}
				count++
				o := e.Command(now, s, ike.DeleteIKE{})
				out.Datagrams = append(out.Datagrams, o.Datagrams...)
				out.Events = append(out.Events, o.Events...)
			}
			return out
		})
		if err != nil {
			return err
		}
		if err := lab.Eventually(ctx, patience, "IKE SAs to be deleted", func() bool { return n.standing() <= left }); err != nil {
			return err
		}
	}
	return nil
}
