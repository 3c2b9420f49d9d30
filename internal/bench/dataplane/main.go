//go:build linux

// Command dataplane measures what tunnels carry, between the same two network
// namespaces in one run: our engine over TUN, with ESP in UDP and without;
// strongSwan with its ESP in user space (kernel-libipsec); wireguard-go; and
// the veth pair alone. It writes the figures into docs/performance.md.
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
	flag.IntVar(&o.repeats, "repeats", 5, "times that everything is measured; medians count")
	flag.DurationVar(&o.stream, "stream", 2*time.Second, "how long a TCP stream runs")
	flag.DurationVar(&o.burst, "burst", 700*time.Millisecond, "how long packets are sent at one rate")
	flag.IntVar(&o.pings, "pings", 200, "pings, in five rows by turns")
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
	repeats       int
	stream, burst time.Duration
	pings         int
	page          string
}

// figures are all that is measured, by tunnel.
type figures struct {
	version string // of strongSwan
	gcm     float64
	tcp     map[string][]float64 // bit/s
	packets map[string][]float64 // packets/s
	rtt     map[string][]time.Duration
}

func run(ctx context.Context, o *options) (err error) {
	if o.repeats < 1 || o.stream < time.Second || o.burst < 100*time.Millisecond || o.pings < 50 {
		return errors.New("-repeats, -stream, -burst and -pings are too small")
	}
	if err := lab.Ensure(ctx); err != nil {
		return err
	}
	f := &figures{tcp: map[string][]float64{}, packets: map[string][]float64{}, rtt: map[string][]time.Duration{}}
	if f.version, err = lab.StrongSwanVersion(ctx); err != nil {
		return err
	}
	if f.gcm, err = gcm(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cvlanctl-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	w, err := newWorld(ctx, dir)
	defer func() { err = errors.Join(err, w.close()) }()
	if err != nil {
		return err
	}
	if err := measure(ctx, o, w, f); err != nil {
		return err
	}
	body := f.report(o)
	fmt.Print("\n", body)
	if o.page == "" {
		return nil
	}
	return section.Write(o.page, "Performance", "Traffic", body)
}

// rounds is how many turns the pings of one repetition take.
const rounds = 5

// measure takes all tunnels by turns, so that other work on the machine falls
// on all of them alike.
func measure(ctx context.Context, o *options, w *world, f *figures) error {
	for n := range o.repeats {
		for _, t := range tunnels {
			bits, err := w.tcp(ctx, t, o.stream, n%2 == 1)
			if err != nil {
				return fmt.Errorf("TCP by %s: %w", t.name, err)
			}
			f.tcp[t.name] = append(f.tcp[t.name], bits)
			fmt.Printf("%-24s TCP %8.0f Mbit/s\n", t.name, bits/1e6)
		}
		for _, t := range tunnels {
			rate, err := w.packetRate(ctx, t, o.burst)
			if err != nil {
				return fmt.Errorf("packets by %s: %w", t.name, err)
			}
			f.packets[t.name] = append(f.packets[t.name], rate)
			fmt.Printf("%-24s UDP %8.0f packets/s\n", t.name, rate)
		}
		for range rounds {
			for _, t := range tunnels {
				times, err := w.rtt(ctx, t, o.pings/rounds)
				if err != nil {
					return fmt.Errorf("pings by %s: %w", t.name, err)
				}
				f.rtt[t.name] = append(f.rtt[t.name], times)
				fmt.Printf("%-24s RTT %s\n", t.name, times)
			}
		}
	}
	return nil
}
