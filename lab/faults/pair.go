package faults

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
)

// pairing says what runs at the two ends of a tunnel.
type pairing string

const (
	charons      pairing = "charons"       // strongSwan at both
	engineAsks   pairing = "engine-charon" // our engine initiates
	engineAnswer pairing = "charon-engine" // our engine responds
	engines      pairing = "engines"       // our engine at both
	kernels      pairing = "kernels"       // strongSwan at both, in guests whose kernels do ESP
)

// pairings are in the order in which a fault meets them.
var pairings = []pairing{charons, engineAsks, engineAnswer, engines, kernels}

// place is where a pair stands: what is at its ends, and between them.
type place struct {
	pairing
	nat       lab.NAT
	v6, rough bool
}

// pair is two ends on a bench of their own.
type pair struct {
	bench *lab.Bench
	a, r  side // initiator and responder; r is nil where other software answers
	road  road // where the place is rough
	// looker is the program that looks at the initiator's host where that is a
	// guest, as it is called there.
	looker string
}

// mark has both sides forget what they told until now.
func (p *pair) mark() error {
	if p.r == nil {
		return p.a.mark()
	}
	return errors.Join(p.a.mark(), p.r.mark())
}

// Lab is benches for many faults, each laid when the first fault wants it.
type Lab struct {
	dir     string
	pairs   map[place]*pair
	peers   *peers // nil until a fault wants other software
	cleanup []func() error
}

// Open prepares a lab that works in a folder. The caller must Close it.
func Open(dir string) *Lab { return &Lab{dir: dir, pairs: map[place]*pair{}} }

// Close ends all daemons and takes the networks down.
func (l *Lab) Close() error {
	var errs []error
	for i := len(l.cleanup) - 1; i >= 0; i-- {
		errs = append(errs, l.cleanup[i]())
	}
	l.cleanup = nil
	return errors.Join(errs...)
}

// at gives the pair of a place.
func (l *Lab) at(ctx context.Context, where place) (*pair, error) {
	if p := l.pairs[where]; p != nil {
		return p, nil
	}
	name := fmt.Sprintf("%s-%d", where.pairing, where.nat)
	s := lab.Scenario{Name: "faults", NAT: where.nat, IPv6: where.v6, Quick: true, Ends: func(a, r *lab.End) error {
		a.Absent = where.pairing == engineAsks || where.pairing == engines
		r.Absent = where.pairing == engineAnswer || where.pairing == engines
		return nil
	}}
	if where.pairing == kernels {
		s = guests
	}
	p := &pair{}
	if where.v6 {
		name += "-v6"
	}
	if where.rough {
		name += "-rough"
		s.Wire, s.Latency = p.road.carry, p.road.latency
	}
	dir := filepath.Join(l.dir, name)
	b, err := lab.NewBench(ctx, s, dir)
	l.cleanup = append(l.cleanup, b.Close)
	if err != nil {
		return nil, err
	}
	p.bench = b
	if where.pairing == kernels {
		if err := l.enterGuests(ctx, p, dir); err != nil {
			return nil, err
		}
		l.pairs[where] = p
		return p, nil
	}
	if p.a, err = l.staff(ctx, b.NSA, &b.A, b.OuterA, filepath.Join(dir, "a"), quick); err == nil {
		p.r, err = l.staff(ctx, b.NSB, &b.B, b.OwnB, filepath.Join(dir, "b"), quick)
	}
	if err != nil {
		return nil, err
	}
	l.pairs[where] = p
	return p, nil
}

// quick is when an end repeats a request first, as the daemons of a bench do.
const quick = 400 * time.Millisecond

// staff gives the side of an end: the charon that a bench has there, or our
// engine, which it then has in the daemon's place. patience is when our engine
// repeats a request first.
func (l *Lab) staff(ctx context.Context, ns *lab.NS, daemon **lab.Daemon, local, dir string, patience time.Duration) (side, error) {
	if *daemon != nil {
		return &charon{Daemon: *daemon, socket: (*daemon).Socket()}, nil
	}
	d, err := lab.Adopt(ns, dir)
	if err != nil {
		return nil, err
	}
	l.cleanup = append(l.cleanup, d.Close)
	u, err := start(ctx, ns, local, d.Socket(), dir, patience)
	if err != nil {
		return nil, err
	}
	l.cleanup = append(l.cleanup, u.close)
	*daemon = d
	return u, nil
}
