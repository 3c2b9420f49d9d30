// Command engine measures our IKE engine beside strongSwan's charon, in network
// namespaces on one machine and in one run: the time of a handshake on the
// wire, the processor time of a handshake, the memory of an IKE SA with one
// child, and what the engine's own benchmarks say of liveness checks and of
// recovery from errors. It writes the figures into docs/performance.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/cloudvlan/cvlanctl/internal/bench/beside"
)

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 61, "handshakes whose time is taken, of each pair")
	flag.IntVar(&o.load, "load", 4000, "handshakes of our engine under load; charon does a quarter")
	flag.IntVar(&o.repeats, "repeats", 5, "times that load is measured; the median counts")
	flag.IntVar(&o.standing, "standing", 10000, "SAs that stand while memory is measured")
	flag.BoolVar(&o.times, "times", false, "take the time of handshakes alone, and write nothing")
	beside.Main("The IKE engine", func(ctx context.Context, s *beside.Session) (string, error) { return run(ctx, &o, s) })
}

type options struct {
	rounds, load, repeats, standing int
	times                           bool
}

// figures are all that is measured, each list in the order of the rounds.
type figures struct {
	version string // of strongSwan
	times   map[pairing][]handshake
	load    map[pairing][]load
	memory  memory
	inside  []benchmark
}

func run(ctx context.Context, o *options, s *beside.Session) (string, error) {
	if o.rounds < 1 || o.load < 100 || o.repeats < 1 {
		return "", errors.New("-rounds, -load and -repeats are too small")
	}
	f := &figures{version: s.StrongSwan, times: map[pairing][]handshake{}, load: map[pairing][]load{}}
	if o.times {
		_, err := measure(ctx, o, s.Dir, f)
		return "", err
	}
	// What comes last is repeated, and may be interrupted.
	var err error
	if f.inside, err = inside(ctx); err != nil {
		return "", err
	}
	if f.memory, err = measureMemory(ctx, s.Dir, o.standing); err != nil {
		return "", err
	}
	o.repeats, err = measure(ctx, o, s.Dir, f)
	if o.repeats == 0 {
		return "", err
	}
	return f.report(o), err
}

// measure runs all pairs, by turns, so that other work on the machine falls on
// all of them alike. It gives how often the load was repeated in full, 0 where
// that was not often enough.
func measure(ctx context.Context, o *options, dir string, f *figures) (repeats int, err error) {
	var pairs []*pair
	defer func() {
		for _, p := range pairs {
			err = errors.Join(err, p.close())
		}
	}()
	for _, kind := range pairings {
		p, err := newPair(ctx, kind, dir)
		if p != nil {
			pairs = append(pairs, p)
		}
		if err != nil {
			return 0, fmt.Errorf("%s: %w", kind, err)
		}
	}
	for _, p := range pairs {
		if err := p.record(ctx); err != nil {
			return 0, err
		}
	}
	for range o.rounds {
		for _, p := range pairs {
			if err := p.handshake(ctx); err != nil {
				return 0, fmt.Errorf("%s: %w", p.kind, err)
			}
		}
	}
	for _, p := range pairs {
		times, err := p.times()
		if err != nil {
			return 0, err
		}
		f.times[p.kind] = times
		fmt.Printf("%-28s %4d handshakes on the wire, median %s: %s, %s, %s\n", p.kind, len(times), f.time(p.kind, handshake.whole),
			f.time(p.kind, handshake.first), f.time(p.kind, handshake.thought), f.time(p.kind, handshake.second))
	}
	if o.times {
		return 0, nil
	}
	repeats, err = beside.Rounds(ctx, o.repeats, func(int) error {
		one := map[pairing]load{}
		for _, p := range pairs {
			n := o.load
			if p.kind.charons() > 0 {
				n /= 4
			}
			l, err := p.run(ctx, n)
			if err != nil {
				return fmt.Errorf("%s: %w", p.kind, err)
			}
			one[p.kind] = l
			fmt.Printf("%-28s %5d handshakes, %6.0f/s, CPU %s\n", p.kind, n, one[p.kind].rate(), one[p.kind].cpu/time.Duration(n))
		}
		for kind, l := range one {
			f.load[kind] = append(f.load[kind], l)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return repeats, nil
}
