package native_test

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/esp"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/internal/interop"
	"github.com/cloudvlan/cvlanctl/lab"
)

// layout says what a rig is. The zero value is IPv4 in and outside, without a
// NAT, with AES-GCM.
type layout struct {
	scenario lab.Scenario // only what concerns the path
	// weAre is the end of the scenario that we have: its responder's is the one
	// that no NAT of the scenario hides.
	weAre  interop.Role
	inner  string // "4" or "6": the family inside; "" for that outside
	esp    string // the suite of both sides; "" for AES-GCM
	lost   string // what becomes of the tunnel when its peer is lost; "" for restart
	tunnel string // what else stands in the policy for the tunnel, with a comma before it
	child  []string
	// counter leaves the traffic out: the engine has a Counter, no device.
	counter bool
	// impatient has both our tries and our liveness checks end soon, for a peer
	// that is to be found lost. One that is merely slow is not to be.
	impatient bool
	// volume is what else stands in the policy for ESP, with a comma before it.
	volume string
}

// rig is an engine on one end of a bench and a strongSwan daemon on the other.
type rig struct {
	*started
	t            *testing.T
	bench        *lab.Bench
	ns, peerNS   *lab.NS
	own, outer   string // our address, and where the peer is
	inner, inneR string // inside: ours and the peer's
	data         *link.Plane
	peer         *lab.Daemon
	peerEnd      *lab.End
}

// newRig lays a bench and starts both.
func newRig(t *testing.T, l layout) *rig {
	t.Helper()
	lab.Need(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	suite := cmp.Or(l.esp, "aes256gcm16")
	var ours, theirs lab.End
	l.scenario.Name = "native"
	l.scenario.Ends = func(a, b *lab.End) error {
		us, them := a, b
		if l.weAre == interop.Responder {
			us, them = b, a
		}
		switch l.inner {
		case "4":
			a.LocalTS, b.LocalTS = "10.1.0.1/32", "10.2.0.1/32"
		case "6":
			a.LocalTS, b.LocalTS = "fd00:1::1/128", "fd00:2::1/128"
		}
		us.RemoteTS, them.RemoteTS = them.LocalTS, us.LocalTS
		us.Absent = true
		them.ESP, them.Child = suite, l.child
		if l.scenario.NAT == lab.NoNAT {
			them.RemoteAddrs = cmp.Or(us.LocalAddrs, them.RemoteAddrs) // for when it begins
		}
		ours, theirs = *us, *them
		return nil
	}
	bench := lab.BenchFor(ctx, t, l.scenario)
	r := &rig{t: t, bench: bench, ns: bench.NSA, peerNS: bench.NSB, own: bench.OuterA, outer: bench.OuterB, peer: bench.B, peerEnd: &bench.EndB}
	at := r.outer
	if l.weAre == interop.Responder {
		r.ns, r.peerNS, r.own, r.outer, r.peer, r.peerEnd = bench.NSB, bench.NSA, bench.OwnB, bench.OuterA, bench.A, &bench.EndA
		at = "any" // behind its NAT it has an address of its own, that nobody reaches
	}
	r.inner, _, _ = strings.Cut(ours.LocalTS, "/")
	r.inneR, _, _ = strings.Cut(theirs.LocalTS, "/")
	interval, tries := "1h", ike.Retransmission{Timeout: 500 * time.Millisecond, Tries: 6}
	if l.impatient {
		interval, tries = "1s", ike.Retransmission{Timeout: 400 * time.Millisecond, Tries: 4} // nine seconds in all
	}
	p := loadPolicy(t, fmt.Sprintf(`version: 1
node: {identity: %q, addresses: %q}
peers:
  gw: {addresses: %q, identity: %q, auth: psk, psk: {file: psk}, dpd: {interval: %s, timeout: 1s, action: %s}}
tunnels:
  net: {peer: gw, local: %q, remote: %q, esp: {proposals: %s%s}%s}
`, ours.Local.ID, r.own, at, theirs.Local.ID, interval, cmp.Or(l.lost, "restart"), ours.LocalTS, theirs.LocalTS, suite, l.volume, l.tunnel), "lab only: never use this")
	r.started = start(t, p, func(o *native.Options) {
		o.Listen = func(a netip.AddrPort) (*net.UDPConn, error) { return r.ns.ListenUDP(a.String()) }
		o.Settings.Retransmit = tries
		if !l.counter {
			r.openPlane()
			o.Plane = r.data
		}
	})
	return r
}

// openPlane makes a plane over a TUN device on our end.
func (r *rig) openPlane() {
	r.t.Helper()
	if err := r.ns.Do(func() error {
		tun, err := link.OpenTUN("cvl%d", 1400, r.t.TempDir())
		if err != nil {
			return err
		}
		r.data, err = link.NewPlane(tun, link.PlaneOptions{Discover: func(a netip.Addr) (mtu int) {
			_ = r.ns.Do(func() error { // 0 where that is gone already
				mtu = link.KnownMTU(a)
				return nil
			})
			return mtu
		}})
		return err
	}); err != nil {
		r.t.Fatal(err)
	}
}

// raise brings the tunnel up, begun by us (Initiator) or by the peer.
func (r *rig) raise(role interop.Role) {
	r.t.Helper()
	if role == interop.Initiator {
		r.up(r.t, "net")
		return
	}
	r.swanctl("--initiate", "--child", "net")
	r.until(r.t, "the peer's tunnel is up", func() bool {
		list := r.sas(r.t)
		return len(list) == 1 && len(list[0].Children) == 1
	})
}

// swanctl runs a command on the peer.
func (r *rig) swanctl(args ...string) string {
	r.t.Helper()
	text, err := r.peer.Swanctl(limited(r.t), args...)
	if err != nil {
		r.t.Fatalf("swanctl %v: %v", args, err)
	}
	return text
}

// restartPeer kills the peer and starts it anew.
func (r *rig) restartPeer() {
	r.t.Helper()
	if err := r.peer.Kill(); err != nil {
		r.t.Fatal(err)
	}
	r.startPeer()
}

func (r *rig) startPeer() {
	r.t.Helper()
	if err := r.peer.Start(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	if err := r.peer.Load(r.t.Context(), r.peerEnd.SwanctlConf()); err != nil {
		r.t.Fatal(err)
	}
}

// echo pings through the tunnel with data of these sizes, from either end, and
// gives how many requests had to be sent again.
func (r *rig) echo(sizes ...int) (repeated int) {
	r.t.Helper()
	for _, way := range []struct {
		from     *lab.NS
		src, dst string
	}{{r.ns, r.inner, r.inneR}, {r.peerNS, r.inneR, r.inner}} {
		e, err := lab.Echo(r.t.Context(), way.from, way.src, way.dst, sizes)
		if err != nil || e.Answered != len(sizes) || e.Malformed+e.Twice > 0 {
			r.t.Errorf("pings from %s to %s: %+v, %v", way.src, way.dst, e, err)
		}
		repeated += e.Repeated
	}
	return repeated
}

// carried checks that at least n packets went each way, and that none was
// dropped.
func (r *rig) carried(n uint64) {
	r.t.Helper()
	in, out := r.counts()
	if in.Packets < n || out.Packets < n || in != (esp.Count{Packets: in.Packets, Octets: in.Octets}) || out != (esp.Count{Packets: out.Packets, Octets: out.Octets}) {
		r.t.Errorf("in %+v, out %+v, at least %d packets were to be carried and none dropped", in, out, n)
	}
	if d := r.data.Drops(); d.UnknownSPI != 0 || d.Unsent != 0 {
		r.t.Errorf("dropped: %+v", d)
	}
}

// counts gives what the one child has carried.
func (r *rig) counts() (in, out esp.Count) {
	r.t.Helper()
	sas, err := r.SAs(r.t.Context(), backend.Filter{})
	if err != nil || len(sas) != 1 || len(sas[0].Children) != 1 {
		r.t.Fatalf("%v, %v", sas, err)
	}
	child := sas[0].Children[0]
	traffic, ok := r.data.Traffic(ike.SPIPair{In: child.SPIIn.Or(0), Out: child.SPIOut.Or(0)})
	if !ok {
		r.t.Fatal("nothing is known of the child")
	}
	return traffic.In, traffic.Out
}

// sizes gives those from one to another, both included.
func sizes(from, to, step int) []int {
	var list []int
	for n := from; n <= to; n += step {
		list = append(list, n)
	}
	return list
}
