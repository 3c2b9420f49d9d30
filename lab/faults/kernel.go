package faults

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/cloudvlan/cvlanctl/lab"
)

// viciPort is the port at which the charons in guests serve VICI: a Unix socket
// does not reach across kernels.
const viciPort = "4502"

// guests are two strongSwans whose kernels do ESP.
var guests = lab.Scenario{Name: "faults", Guests: true, Ends: func(a, r *lab.End) error {
	for _, e := range []*lab.End{a, r} {
		e.Daemon.Options = patient
		e.Daemon.VICI = "tcp://0.0.0.0:" + viciPort
	}
	return nil
}}

// enterGuests makes both daemons of a pair in guests, and the initiator's host,
// reachable from here.
func (l *Lab) enterGuests(ctx context.Context, p *pair, dir string) error {
	b := p.bench
	run, err := os.MkdirTemp("", "cvl-") // the path of a socket has to be short
	if err != nil {
		return fmt.Errorf("folder for sockets: %w", err)
	}
	l.cleanup = append(l.cleanup, func() error { return os.RemoveAll(run) })
	reach := func(d *lab.Daemon, ns *lab.NS, addr, name string) (side, error) {
		near, err := netip.ParseAddr(addr)
		if err != nil {
			return nil, fmt.Errorf("address of a guest: %w", err)
		}
		octets := near.As4()
		octets[3] += 100 // of the bridge that the guest is on
		if err := lab.Address(ctx, ns, lab.GuestBridge, netip.AddrFrom4(octets).String()+"/24"); err != nil {
			return nil, err
		}
		socket := filepath.Join(run, name)
		stop, err := lab.Forward(ns, addr+":"+viciPort, socket)
		if err != nil {
			return nil, err
		}
		l.cleanup = append(l.cleanup, stop)
		return &charon{Daemon: d, socket: socket}, nil
	}
	if p.a, err = reach(b.A, b.NSA, b.OuterA, "a"); err != nil {
		return err
	}
	if p.r, err = reach(b.B, b.NSB, b.OwnB, "b"); err != nil {
		return err
	}
	looker := filepath.Join(dir, "a", "lab") // a folder that the guest has too
	build := exec.CommandContext(ctx, "go", "build", "-o", looker, "github.com/cloudvlan/cvlanctl/lab/cmd/lab")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return &failed{string(out), err}
	}
	p.looker = b.HostA.Path(looker)
	return nil
}
