// Package demo is a small world to look at: two engines of ours, a branch and a
// hub, on loopback, the branch behind a NAT. Tunnels come up, traffic flows
// through them in stacks within the process, keys are renewed every few seconds,
// silence is probed, and faults can be made. It needs no rights and no file.
//
// Contract: a Demo is seen from the branch: Backend is its engine. Nothing
// leaves the machine: all sockets are on loopback. Close ends all of it, with
// the farewells of the engines.
package demo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/link/netstack"
	"github.com/cloudvlan/cvlanctl/engine/link/relay"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/engine/policy"
)

// The names of the demo's world.
const (
	Connection = "hub"
	branchID   = "branch.demo"
	hubID      = "hub.demo"
)

// Inside addresses of the two ends.
var (
	branchLAN = []netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("fd00:1::1")}
	hubLAN    = []netip.Addr{netip.MustParseAddr("10.2.0.1"), netip.MustParseAddr("fd00:2::1")}
)

// mtu is that of the stacks, in octets.
const mtu = 1400

// Options are what a Demo is to be.
type Options struct {
	Faults  []*Fault
	Version string // what the engines say of themselves
}

// Demo is the running world.
type Demo struct {
	branch, hub *end
	nat         *relay.Relay
	traffic     traffic
	secret      string // of the branch

	making sync.Mutex // one change of the faults at a time
	run    context.Context
	stop   context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	faults []*Fault
	spoilt context.CancelFunc // ends what the faults do to the network
	begun  bool
	wanted bool // the tunnels are to be up: nobody has taken them down
}

// end is one of the two ends.
type end struct {
	*native.Engine
	stack       *netstack.Stack
	plain, natt netip.AddrPort // its sockets
}

// Start makes the world. Things begin to happen when somebody asks the Backend
// for its events. The context is for the start only.
func Start(ctx context.Context, o Options) (d *Demo, err error) {
	d = &Demo{wanted: true, faults: o.Faults}
	d.traffic.forget()
	d.run, d.stop = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
			d = nil
		}
	}()
	s := newSetup(o.Faults)
	if d.hub, err = startEnd(ctx, hubAddr, hubLAN, native.Options{Listen: relay.Listen, Version: o.Version, Settings: hubSettings()}); err != nil {
		return d, fmt.Errorf("the hub: %w", err)
	}
	// The relay has to know where the branch speaks from, and the branch's
	// engine where the relay is spoken to.
	sockets, err := openTwo(branchAddr)
	if err != nil {
		return d, fmt.Errorf("the branch: %w", err)
	}
	if d.nat, err = relay.New(relay.Options{Outside: natAddr, Timeout: s.mapping,
		Ways: []relay.Way{{Inside: addrOf(sockets[0]), Outside: d.hub.plain}, {Inside: addrOf(sockets[1]), Outside: d.hub.natt}}}); err != nil {
		return d, errors.Join(err, closeAll(sockets))
	}
	if d.branch, err = startEnd(ctx, branchAddr, branchLAN, native.Options{Version: o.Version, Settings: s.settings,
		PeerNATT: d.nat.Front(wayNATT).Port(), Listen: func(netip.AddrPort) (*net.UDPConn, error) {
			if len(sockets) == 0 {
				return nil, errors.New("the branch has two sockets only")
			}
			c := sockets[0]
			sockets = sockets[1:]
			return c, nil
		}}); err != nil {
		return d, errors.Join(fmt.Errorf("the branch: %w", err), closeAll(sockets))
	}
	if err := d.load(ctx, s); err != nil {
		return d, err
	}
	return d, d.serve()
}

// Ends gives the branch's address, and where it speaks to the hub.
func (d *Demo) Ends() (branch, hub netip.Addr) {
	return d.branch.plain.Addr(), d.nat.Front(wayPlain).Addr()
}

// begin lets things happen, once.
func (d *Demo) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.begun || d.run.Err() != nil {
		return
	}
	d.begun = true
	d.disturb()
	d.work.Go(d.keepUp)
}

// disturb lets the faults act on the network. The mutex is held.
func (d *Demo) disturb() {
	ctx, cancel := context.WithCancel(d.run)
	d.spoilt = cancel
	for _, f := range d.faults {
		if f.network != nil {
			d.work.Go(func() { f.network(ctx, d) })
		}
	}
}

// makeWait bounds the farewell before other faults are made.
const makeWait = 2 * time.Second

// Make makes other faults in the running world, or none. The tunnels are taken
// down, and come up again in so far as they still can.
func (d *Demo) Make(ctx context.Context, faults ...*Fault) error {
	d.making.Lock()
	defer d.making.Unlock()
	d.mu.Lock()
	if d.run.Err() != nil {
		d.mu.Unlock()
		return errors.New("the demo has ended")
	}
	d.faults = faults
	if d.spoilt != nil {
		d.spoilt()
	}
	d.mu.Unlock()
	d.nat.SetJudge(nil)
	limited, cancel := context.WithTimeout(ctx, makeWait)
	defer cancel()
	// That there is none, or that it goes slowly, does not matter.
	_ = d.branch.Down(limited, backend.Target{IKE: Connection}, backend.DownOptions{Force: true}, nil)
	s := newSetup(faults)
	d.nat.SetTimeout(s.mapping)
	if err := d.load(ctx, s); err != nil {
		return err
	}
	d.traffic.forget()
	names := "nothing is wrong any more"
	for i, f := range faults {
		if i == 0 {
			names = "made wrong: "
		} else {
			names += ", "
		}
		names += f.What
	}
	d.note("%s", names)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.begun && d.run.Err() == nil {
		d.disturb()
	}
	return nil
}

// openTwo opens the sockets of an end.
func openTwo(at netip.Addr) ([]*net.UDPConn, error) {
	var list []*net.UDPConn
	for range 2 {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 0)))
		if err != nil {
			return nil, errors.Join(err, closeAll(list))
		}
		list = append(list, c)
	}
	return list, nil
}

func closeAll(list []*net.UDPConn) error {
	var err error
	for _, c := range list {
		err = errors.Join(err, c.Close())
	}
	return err
}

func addrOf(c *net.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// startEnd starts an engine that has no connection yet.
func startEnd(ctx context.Context, at netip.Addr, lan []netip.Addr, o native.Options) (*end, error) {
	e := &end{}
	var err error
	if e.stack, err = netstack.New(mtu, lan...); err != nil {
		return nil, err
	}
	plane, err := link.NewPlane(e.stack, link.PlaneOptions{})
	if err != nil {
		return nil, errors.Join(err, e.stack.Close())
	}
	listen := o.Listen
	// The engine opens the socket for plain IKE first.
	sockets := []*netip.AddrPort{&e.plain, &e.natt}
	o.Listen = func(a netip.AddrPort) (*net.UDPConn, error) {
		c, err := listen(netip.AddrPortFrom(a.Addr(), 0))
		if err == nil && len(sockets) > 0 {
			*sockets[0], sockets = addrOf(c), sockets[1:]
		}
		return c, err
	}
	o.Policy, o.Local, o.Plane = &policy.Policy{}, at, plane
	if e.Engine, err = native.Start(ctx, o); err != nil {
		return nil, errors.Join(err, plane.Close())
	}
	return e, nil
}

// load gives both engines their connection and their secret. The secret is made
// anew each time, and known to this process alone.
func (d *Demo) load(ctx context.Context, s *setup) error {
	if d.secret == "" {
		random := make([]byte, 16)
		_, _ = rand.Read(random) // it cannot fail
		d.secret = hex.EncodeToString(random)
	}
	s.branch.Set("remote_addrs", d.nat.Front(wayPlain).Addr().String())
	s.branch.Set("remote_port", fmt.Sprint(d.nat.Front(wayPlain).Port()))
	for _, x := range []struct {
		e        *end
		name     string
		settings *backend.Section
		secret   string
	}{{d.hub, "branch", s.hub, d.secret + s.hubSecret}, {d.branch, Connection, s.branch, d.secret}} {
		if err := x.e.LoadSecret(ctx, backend.Secret{ID: "demo", Type: "IKE", Data: []byte(x.secret), Owners: []string{branchID, hubID, "%any"}}); err != nil {
			return err
		}
		if err := x.e.LoadConnection(ctx, x.name, x.settings); err != nil {
			return err
		}
	}
	return nil
}

// again is how soon tunnels that are down are brought up anew.
const again = 2 * time.Second

// keepUp brings the tunnels up, and up again when they are down and nobody
// wants that. After the first attempt there is traffic.
func (d *Demo) keepUp() {
	tick := time.NewTicker(again)
	defer tick.Stop()
	for first := true; ; first = false {
		if d.wants() {
			for _, child := range children {
				if sas, err := d.branch.SAs(d.run, backend.Filter{Child: child.name}); err == nil && len(sas) > 0 {
					continue
				}
				// What goes wrong is told by the events.
				_ = d.branch.Up(d.run, backend.Target{IKE: Connection, Child: child.name}, backend.UpOptions{}, nil)
			}
		}
		if first {
			d.work.Go(d.talk)
		}
		select {
		case <-d.run.Done():
			return
		case <-tick.C:
		}
	}
}

func (d *Demo) wants() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.wanted
}

func (d *Demo) want(up bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = up
}

// note tells what is done to the world, as a line of the branch's log.
func (d *Demo) note(format string, args ...any) {
	_ = d.branch.Note(d.run, "DMO", fmt.Sprintf(format, args...)) // at the end nobody listens
}

// Backend gives the branch's engine. Taking a tunnel down by it keeps it down
// until it is brought up by it. Its Close does nothing: the Demo is closed.
func (d *Demo) Backend() backend.Backend { return &view{Engine: d.branch.Engine, demo: d} }

// view is the branch's engine as others see it.
type view struct {
	*native.Engine
	demo *Demo
}

// Up brings tunnels up, and keeps them so.
func (v *view) Up(ctx context.Context, t backend.Target, o backend.UpOptions, p backend.Progress) error {
	v.demo.want(true)
	return v.Engine.Up(ctx, t, o, p)
}

// Down takes tunnels down, and keeps them so.
func (v *view) Down(ctx context.Context, t backend.Target, o backend.DownOptions, p backend.Progress) error {
	v.demo.want(false)
	return v.Engine.Down(ctx, t, o, p)
}

// Events tells what happens, from the beginning on for who asks first.
func (v *view) Events(ctx context.Context, o backend.EventOptions) iter.Seq2[*event.Event, error] {
	return func(yield func(*event.Event, error) bool) {
		for e, err := range v.Engine.Events(ctx, o) {
			if !yield(e, err) {
				return
			}
			v.demo.begin()
		}
	}
}

// Close leaves the engine to the Demo.
func (v *view) Close() error { return nil }

// Close ends the world.
func (d *Demo) Close() error {
	d.mu.Lock()
	d.stop()
	d.mu.Unlock()
	d.work.Wait()
	var err error
	if d.nat != nil {
		d.nat.SetJudge(nil) // the farewells are to arrive
	}
	for _, e := range []*end{d.branch, d.hub} {
		if e != nil {
			err = errors.Join(err, e.Close())
		}
	}
	if d.nat != nil {
		err = errors.Join(err, d.nat.Close())
	}
	return err
}

// hubSettings let the hub speak of nothing.
func hubSettings() ike.Settings { return ike.Settings{Retransmit: retransmission()} }
