package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/engine/vici/serve"
	"github.com/cloudvlan/cvlanctl/lab"
)

// side is one end whose own word is heard.
type side interface {
	// mark forgets what was told until now.
	mark() error
	// told gives what was told since, and what the end has now.
	told(ctx context.Context, now time.Time) (*diag.Facts, error)
}

// charon is a strongSwan daemon: it tells by its log and over VICI.
type charon struct {
	*lab.Daemon
	socket string // where it serves VICI, on this kernel
	read   int    // octets of the log that count no more
}

func (c *charon) mark() error {
	log, err := os.ReadFile(c.LogPath())
	if err != nil {
		return fmt.Errorf("log of a daemon: %w", err)
	}
	c.read = len(log)
	return nil
}

func (c *charon) told(ctx context.Context, now time.Time) (*diag.Facts, error) {
	log, err := os.ReadFile(c.LogPath())
	if err != nil {
		return nil, fmt.Errorf("log of a daemon: %w", err)
	}
	t := trace.New(trace.Options{})
	if err := vici.ReadLog(bytes.NewReader(log[c.read:]), t.Add); err != nil {
		return nil, err
	}
	return asked(ctx, c.socket, t, now)
}

// asked adds what a daemon answers over VICI to what it has told.
func asked(ctx context.Context, socket string, t *trace.Trace, now time.Time) (*diag.Facts, error) {
	addr, err := vici.ParseAddr("vici:" + socket)
	if err != nil {
		return nil, err
	}
	c, err := vici.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	s, err := c.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	t.Add(&event.Event{Time: now, Table: &event.Table{SAs: s.SAs}})
	f := &diag.Facts{Source: "vici:lab", Trace: t, Now: now, Live: true, Connections: s.Connections}
	var failed error
	if f.Policies, failed = c.Policies(ctx); failed != nil {
		return nil, failed
	}
	if f.Certificates, failed = c.Certificates(ctx); failed != nil {
		return nil, failed
	}
	stats, failed := c.Stats(ctx)
	f.Stats = &stats
	return f, failed
}

// ours is our own engine in a namespace, with a TUN device, served over VICI
// so that it is set up by the same swanctl.conf as a charon. It tells by its
// events.
type ours struct {
	engine *native.Engine
	server *serve.Server
	socket string
	work   sync.WaitGroup
	stop   context.CancelFunc

	mu     sync.Mutex
	events []*event.Event
	failed error
}

// start runs an engine that speaks from an address of a namespace.
func start(ctx context.Context, ns *lab.NS, local, socket, dir string, patience time.Duration) (*ours, error) {
	addr, err := netip.ParseAddr(local)
	if err != nil {
		return nil, fmt.Errorf("address of our engine: %w", err)
	}
	o := native.Options{Policy: &policy.Policy{}, Local: addr, Grace: time.Second,
		Listen: func(a netip.AddrPort) (*net.UDPConn, error) { return ns.ListenUDP(a.String()) }}
	o.Settings.Packets = true // as `ipsec run` has it
	o.Settings.Retransmit.Timeout, o.Settings.Retransmit.Base, o.Settings.Retransmit.Tries = patience, 1.8, 3
	if err := ns.Do(func() (err error) {
		o.Plane, err = plane(ns, dir)
		return err
	}); err != nil {
		return nil, err
	}
	u := &ours{socket: socket}
	if u.engine, err = native.Start(ctx, o); err != nil {
		return nil, errors.Join(err, o.Plane.Close())
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("socket of our engine: %w", err), u.engine.Close())
	}
	u.server = serve.New(u.engine, serve.Options{})
	run, stop := context.WithCancel(context.Background())
	u.stop = stop
	u.work.Go(func() { u.fail(u.server.Serve(l)) })
	u.work.Go(func() {
		for e, err := range u.engine.Events(run, backend.EventOptions{Every: -1, Buffer: 1 << 16}) {
			if err != nil {
				u.fail(err)
				return
			}
			u.mu.Lock()
			u.events = append(u.events, e)
			u.mu.Unlock()
		}
	})
	return u, nil
}

// plane opens a TUN device in the namespace that the caller is in, ns.
func plane(ns *lab.NS, dir string) (*link.Plane, error) {
	tun, err := link.OpenTUN("cvl%d", 1400, dir)
	if err != nil {
		return nil, err
	}
	p, err := link.NewPlane(tun, link.PlaneOptions{Discover: func(a netip.Addr) (mtu int) {
		_ = ns.Do(func() error { // 0 where that is gone already
			mtu = link.KnownMTU(a)
			return nil
		})
		return mtu
	}, Raw: func(a netip.Addr) (*net.IPConn, error) {
		var raw *net.IPConn
		err := ns.Do(func() (err error) {
			raw, err = link.ListenRaw(a)
			return err
		})
		return raw, err
	}})
	if err != nil {
		return nil, errors.Join(err, tun.Close())
	}
	return p, nil
}

func (u *ours) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.failed = errors.Join(u.failed, err)
}

// close ends the engine and gives what went wrong with it.
func (u *ours) close() error {
	err := errors.Join(u.engine.Close(), u.server.Close())
	u.stop()
	u.work.Wait()
	return errors.Join(err, u.failed)
}

func (u *ours) mark() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.events = nil
	return u.failed
}

func (u *ours) told(ctx context.Context, now time.Time) (*diag.Facts, error) {
	t := trace.New(trace.Options{})
	u.mu.Lock()
	for _, e := range u.events {
		t.Add(e)
	}
	err := u.failed
	u.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return asked(ctx, u.socket, t, now)
}
