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
	"os"
	"os/signal"
	"time"

	"github.com/cloudvlan/cvlanctl/internal/bench/section"
	"github.com/cloudvlan/cvlanctl/lab"
)

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 41, "handshakes whose time is taken, of each pair")
	flag.IntVar(&o.load, "load", 4000, "handshakes of our engine under load; charon does a quarter")
	flag.IntVar(&o.repeats, "repeats", 3, "times that load is measured; the median counts")
	flag.IntVar(&o.standing, "standing", 10000, "SAs that stand while memory is measured")
	flag.StringVar(&o.page, "o", "docs/performance.md", "the page to write, empty for none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	rounds, load, repeats, standing int
	page                            string
}

// figures are all that is measured.
type figures struct {
	version string // of strongSwan
	times   map[pairing][]handshake
	load    map[pairing][]load
	memory  memory
	inside  []benchmark
}

func run(ctx context.Context, o *options) error {
	if o.rounds < 1 || o.load < 100 || o.repeats < 1 {
		return errors.New("-rounds, -load and -repeats are too small")
	}
	if err := lab.Ensure(ctx); err != nil {
		return err
	}
	f := &figures{times: map[pairing][]handshake{}, load: map[pairing][]load{}}
	var err error
	if f.version, err = lab.StrongSwanVersion(ctx); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cvlanctl-bench-")
	if err != nil {
		return err
	}
	if err = measure(ctx, o, dir, f); err == nil {
		f.memory, err = measureMemory(ctx, dir, o.standing)
	}
	if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
		return err
	}
	if f.inside, err = inside(ctx); err != nil {
		return err
	}
	body := f.report(o)
	fmt.Print("\n", body)
	if o.page == "" {
		return nil
	}
	return section.Write(o.page, "Performance", "The IKE engine", body)
}

// measure runs all pairs, by turns, so that other work on the machine falls on
// all of them alike.
func measure(ctx context.Context, o *options, dir string, f *figures) (err error) {
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
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	for _, p := range pairs {
		if err := p.record(ctx); err != nil {
			return err
		}
	}
	for range o.rounds {
		for _, p := range pairs {
			if err := p.handshake(ctx); err != nil {
				return fmt.Errorf("%s: %w", p.kind, err)
			}
		}
	}
	for _, p := range pairs {
		times, err := p.times()
		if err != nil {
			return err
		}
		f.times[p.kind] = times
		fmt.Printf("%-28s %4d handshakes on the wire, median %s\n", p.kind, len(times), median(mapped(times, handshake.whole)))
	}
	for range o.repeats {
		for _, p := range pairs {
			n := o.load
			if p.kind.charons() > 0 {
				n /= 4
			}
			l, err := p.run(ctx, n)
			if err != nil {
				return fmt.Errorf("%s: %w", p.kind, err)
			}
			f.load[p.kind] = append(f.load[p.kind], l)
			fmt.Printf("%-28s %5d handshakes, %6.0f/s, CPU %s\n", p.kind, n, l.rate(), l.cpu/time.Duration(n))
		}
	}
	return nil
}
