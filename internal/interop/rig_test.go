package interop_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/internal/interop"
	"github.com/cloudvlan/cvlanctl/lab"
)

const (
	suiteIKE = "aes256gcm16-prfsha256-ecp256"
	suiteESP = "aes256gcm16-ecp256"
	secret   = "lab only: never use this" // what the lab's daemons have
)

// patience is how long anything may take on a busy machine.
const patience = time.Minute

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
	*station
	rec      *interop.Recorder
	bench    *lab.Bench
	daemon   *lab.Daemon
	client   *vici.Client
	peerSees netip.Addr // where the peer initiates to
	tunnels  int
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
	bench := lab.BenchFor(ctx, t, s)
	r := &rig{rec: interop.Open(t, "strongSwan", version), bench: bench, daemon: bench.B, station: newStation()}
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
