package interop_test

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/internal/interop"
	"github.com/cloudvlan/cvlanctl/lab"
)

const (
	suiteIKE = "aes256gcm16-prfsha256-ecp256"
	suiteESP = "aes256gcm16-ecp256"
	secret   = "lab only: never use this" // what the lab's daemons have
)

// patience is how long anything may take on a busy machine.
const patience = 30 * time.Second

// ground is what a rig stands on.
type ground struct {
	scenario lab.Scenario // only what concerns the path
	// weAre is where our engine stands: the lab's initiator or its responder.
	weAre interop.Role
	// daemon are further lines of the daemon's settings.
	daemon []string
	// kernelESP leaves ESP to the peer's kernel, which may not have it: then
	// there are IKE SAs only, and nobody claims a NAT.
	kernelESP bool
	// settings of our endpoint.
	settings ike.Settings
}

// rig is our engine on one side of a bench and a strongSwan on the other. Any
// number of tunnels are tried on it, one after another.
type rig struct {
	rec           *interop.Recorder
	bench         *lab.Bench
	daemon        *lab.Daemon
	client        *vici.Client
	pump          *link.Pump
	ns            *lab.NS    // ours
	local, remote netip.Addr // as we see them
	peerSees      netip.Addr // where the peer initiates to
	tunnels       int

	mu       sync.Mutex
	children map[wire.ESPSPI]ike.Update
	events   []event.Event
	errs     []string
}

// newRig lays a bench. Without root it skips the test; in CI that is a failure.
func newRig(t *testing.T, g ground) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lab.Need(t)
	version, err := lab.StrongSwanVersion(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s := g.scenario
	s.Name = "interop"
	s.Ends = func(a, b *lab.End) error {
		ours, theirs := a, b
		if g.weAre == interop.Responder {
			ours, theirs = b, a
		}
		ours.Absent = true
		theirs.Daemon.KernelESP = g.kernelESP
		theirs.Daemon.Options = append(theirs.Daemon.Options, g.daemon...)
		theirs.Daemon.LogLevels = []string{"ike = 2", "chd = 2"} // no keys
		return nil
	}
	bench, err := lab.NewBench(ctx, s, t.TempDir())
	t.Cleanup(func() {
		if err := bench.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{rec: interop.Open(t, "strongSwan", version), bench: bench, daemon: bench.B, children: map[wire.ESPSPI]ike.Update{}}
	ns, own, remote, sees := bench.NSA, bench.OuterA, bench.OuterB, bench.OuterA
	if g.weAre == interop.Responder {
		r.daemon, ns = bench.A, bench.NSB
		own, remote, sees = bench.OwnB, bench.OuterA, bench.OuterB
	}
	if err := r.inside(ctx, g.weAre); err != nil {
		t.Fatal(err)
	}
	r.local, r.remote, r.peerSees = netip.MustParseAddr(own), netip.MustParseAddr(remote), netip.MustParseAddr(sees)
	addr, err := vici.ParseAddr("vici:" + r.daemon.Socket())
	if err != nil {
		t.Fatal(err)
	}
	r.client = vici.New(addr)
	t.Cleanup(func() { _ = r.client.Close() })                   // it never fails
	if err := r.client.UnloadConnection(ctx, "gw"); err != nil { // the bench's own
		t.Fatal(err)
	}
	r.ns = ns
	r.start(t, ns, g.settings)
	return r
}

// inside gives the peer addresses of all networks that it stands for: charon's
// user-space ESP wants one for the route into a tunnel.
func (r *rig) inside(ctx context.Context, weAre interop.Role) error {
	host := r.bench.HostB
	if weAre == interop.Responder { // the lab's initiator has what we take for ours
		host = r.bench.HostA
		if _, err := host.Exec(ctx, "ip", "addr", "del", "10.1.0.1/32", "dev", "lo"); err != nil {
			return err
		}
		if err := lab.Address(ctx, host, "lo", "10.2.0.1/32"); err != nil {
			return err
		}
	}
	return lab.Address(ctx, host, "lo", "10.2.1.1/32", "10.2.2.1/32", "10.2.3.1/32", "10.2.9.1/32")
}

// reset leaves the peer the shared key of all tunnels and no other secret.
func (r *rig) reset(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return errors.Join(r.client.ClearCredentials(ctx),
		r.client.LoadSecret(ctx, backend.Secret{Type: "IKE", Data: []byte(secret)}))
}

// start runs our engine in a namespace until the test ends.
func (r *rig) start(t *testing.T, ns *lab.NS, set ike.Settings) {
	t.Helper()
	if set.Retransmit.Timeout == 0 {
		set.Retransmit.Timeout = 500 * time.Millisecond
	}
	if set.RetryDelay == 0 {
		set.RetryDelay = 300 * time.Millisecond
	}
	plain, err := ns.ListenUDP(netip.AddrPortFrom(r.local, 500).String())
	if err != nil {
		t.Fatal(err)
	}
	natt, err := ns.ListenUDP(netip.AddrPortFrom(r.local, 4500).String())
	if err != nil {
		t.Fatal(err)
	}
	if r.pump, err = link.NewPump(ike.NewEndpoint(set), plain, natt, r.take, nil); err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.pump.Run(running) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// take keeps the output of the engine's steps.
func (r *rig) take(o ike.Output) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, u := range o.Updates {
		switch u.Kind {
		case ike.Install:
			r.children[u.SPIs.In] = u
		case ike.Remove:
			delete(r.children, u.SPIs.In)
		}
	}
	r.events = append(r.events, o.Events...)
	if o.Err != nil {
		r.errs = append(r.errs, o.Err.Error())
	}
}

// do runs f with the engine.
func (r *rig) do(t *testing.T, f func(now time.Time, p *ike.Endpoint) ike.Output) {
	t.Helper()
	if err := r.pump.Do(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// eachRole runs a test of a feature as initiator and as responder and records
// what came of it.
func (r *rig) eachRole(t *testing.T, feature string, f func(t *testing.T, role interop.Role, e *interop.Entry)) {
	for _, role := range interop.Roles() {
		r.as(t, role, feature, f)
	}
}

// as runs a test of a feature in one role.
func (r *rig) as(t *testing.T, role interop.Role, feature string, f func(t *testing.T, role interop.Role, e *interop.Entry)) {
	t.Run(feature+" as "+string(role), func(t *testing.T) { f(t, role, r.rec.Entry(t, role, feature)) })
}
