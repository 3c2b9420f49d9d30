package faults

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
)

// Addresses of our ends on the guest's segment, outside and inside.
var (
	outside = map[pairing]string{charons: "192.0.2.1", engineAsks: "192.0.2.3"}
	inside  = map[pairing]string{charons: "10.1.0.1", engineAsks: "10.1.0.3"}
)

const peerInside = "10.2.0.1"

// peers is a guest whose gateways answer in a strongSwan's place, and our ends
// on its segment. A guest is slow to boot: all its software is in one.
type peers struct {
	segment  *lab.Segment
	gateways map[lab.Software]lab.Gateway
	running  lab.Software
	ends     map[pairing]*pair
}

// guest boots the guest when the first fault wants it.
func (l *Lab) guest(ctx context.Context) (*peers, error) {
	if l.peers != nil {
		return l.peers, nil
	}
	s, err := lab.NewSegment(ctx, "peer", filepath.Join(l.dir, "guest"))
	l.cleanup = append(l.cleanup, s.Close)
	if err != nil {
		return nil, err
	}
	if err := lab.Address(ctx, s.Guest, "lo", peerInside+"/32"); err != nil {
		return nil, err
	}
	for who, addr := range outside {
		// The source is the inner address, as an ESP policy wants it.
		if _, err := s.Guest.Exec(ctx, "ip", "route", "add", inside[who]+"/32", "via", addr, "src", peerInside); err != nil {
			return nil, err
		}
	}
	l.peers = &peers{segment: s, gateways: map[lab.Software]lab.Gateway{}, ends: map[pairing]*pair{}}
	return l.peers, nil
}

// end gives our end of a pair on the guest's segment.
func (l *Lab) end(ctx context.Context, p *peers, who pairing) (*pair, error) {
	if e := p.ends[who]; e != nil {
		return e, nil
	}
	ns, err := p.segment.Neighbour(ctx, "n", outside[who]+"/24")
	if err != nil {
		return nil, err
	}
	b := &lab.Bench{Dir: filepath.Join(l.dir, "peer-"+string(who)), NSA: ns, HostA: ns, HostB: p.segment.Guest,
		OuterA: outside[who], OuterB: lab.GuestIPv4, InnerA: inside[who], InnerB: peerInside}
	b.EndA, b.EndB = lab.Ends(b.OuterA, b.OuterB, b.InnerA+"/32", b.InnerB+"/32")
	if err := lab.Address(ctx, ns, "lo", b.InnerA+"/32"); err != nil {
		return nil, err
	}
	// strongSwan's user-space ESP needs a route to look networks up in.
	if err := lab.Route(ctx, ns, lab.GuestIPv4); err != nil {
		return nil, err
	}
	dir := filepath.Join(b.Dir, "a")
	if who == charons {
		d, err := lab.NewDaemon(ns, dir, lab.DaemonConfig{Options: patient})
		if err != nil {
			return nil, err
		}
		l.cleanup = append(l.cleanup, d.Close)
		if err := d.Start(ctx); err != nil {
			return nil, err
		}
		b.A = d
	}
	e := &pair{bench: b}
	if e.a, err = l.staff(ctx, ns, &b.A, b.OuterA, dir, slow); err != nil {
		return nil, err
	}
	p.ends[who] = e
	return e, nil
}

// A guest on a busy machine is not quick to answer.
const slow = 2 * time.Second

var patient = []string{"retransmit_timeout = 2", "retransmit_base = 1.8", "retransmit_tries = 2"}

// stage gives an end and its peer the configuration of a fault.
func (p *peers) stage(ctx context.Context, f *Fault, b *lab.Bench) error {
	a, r := lab.Ends(b.OuterA, b.OuterB, b.InnerA+"/32", b.InnerB+"/32")
	a.Proposals, a.ESP = "aes256-sha256-ecp256", "aes256-sha512"
	g := lab.GatewayConnection{Name: "gw", Local: lab.GuestIPv4, Remote: b.OuterA, LocalID: r.Local.ID, RemoteID: r.Remote.ID, PSK: lab.PSK,
		LocalTS: []string{r.LocalTS}, RemoteTS: []string{r.RemoteTS}, IKE: []string{a.Proposals}, ESP: []string{a.ESP}}
	if f.Peer != nil {
		if err := f.Peer(&a, &g); err != nil {
			return err
		}
	}
	gw, err := p.gateway(ctx, f.Software)
	if err != nil {
		return err
	}
	return errors.Join(b.A.Restage(ctx, &a), gw.Load(ctx, g))
}

// gateway has a gateway run, and no other.
func (p *peers) gateway(ctx context.Context, s lab.Software) (lab.Gateway, error) {
	gw := p.gateways[s]
	if gw == nil {
		var err error
		if gw, err = lab.NewGateway(ctx, p.segment.Guest, s); err != nil {
			return nil, err
		}
		p.gateways[s] = gw
	}
	if p.running == s {
		return gw, nil
	}
	if old := p.gateways[p.running]; old != nil {
		if err := old.Stop(ctx); err != nil {
			return nil, err
		}
	}
	p.running = "" // until it runs
	if err := gw.Start(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", s, err)
	}
	p.running = s
	return gw, nil
}
