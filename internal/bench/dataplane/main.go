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
	"regexp"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/internal/bench/beside"
)

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 9, "rounds in which every tunnel has its turn; medians count")
	flag.DurationVar(&o.stream, "stream", time.Second, "how long a TCP stream runs")
	flag.DurationVar(&o.burst, "burst", 500*time.Millisecond, "how long packets are sent at one rate")
	flag.IntVar(&o.pings, "pings", 40, "pings in a row")
	flag.StringVar(&o.only, "only", "", "a regular expression: measure these tunnels alone, by TCP alone, and write nothing")
	flag.StringVar(&o.before, "before", "", "another build of cvlanctl: measure its tunnels too, and write nothing")
	beside.Main("Traffic", func(ctx context.Context, s *beside.Session) (string, error) { return run(ctx, &o, s) })
}

type options struct {
	rounds        int
	stream, burst time.Duration
	pings         int
	only          string
	before        string
}

// trial says that no page is wanted.
func (o *options) trial() bool { return o.only != "" || o.before != "" }

// figures are all that is measured, by tunnel, each list in the order of the
// rounds.
type figures struct {
	version string               // of strongSwan
	gcm     []float64            // bit/s
	tcp     map[string][]float64 // bit/s
	effort  map[string][]float64 // seconds of processor time of both ends for a gigabyte
	packets map[string][]float64 // packets/s
	rtt     map[string][]time.Duration
}

func newFigures(version string) *figures {
	return &figures{version: version, tcp: map[string][]float64{}, effort: map[string][]float64{}, packets: map[string][]float64{},
		rtt: map[string][]time.Duration{}}
}

func run(ctx context.Context, o *options, s *beside.Session) (body string, err error) {
	if o.rounds < 1 || o.stream < time.Second || o.burst < 100*time.Millisecond || o.pings < 10 {
		return "", errors.New("-rounds, -stream, -burst and -pings are too small")
	}
	only, err := regexp.Compile(o.only)
	if err != nil {
		return "", fmt.Errorf("-only: %w", err)
	}
	all := tunnels
	if o.before != "" {
		all = append(slices.Clip(all), beforeUDP, beforeRaw)
	}
	var chosen []tunnel
	for _, t := range all {
		if only.MatchString(t.name) {
			chosen = append(chosen, t)
		}
	}
	if len(chosen) == 0 {
		return "", fmt.Errorf("-only %s: no tunnel has such a name", o.only)
	}
	f := newFigures(s.StrongSwan)
	w, err := newWorld(ctx, s.Dir, o.before, chosen)
	defer func() { err = errors.Join(err, w.close()) }()
	if err != nil {
		return "", err
	}
	done, err := beside.Rounds(ctx, o.rounds, func(n int) error {
		r, err := measureRound(ctx, o, w, chosen, f.packets, n)
		if err == nil {
			f.add(r)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	o.rounds = done
	if o.trial() {
		fmt.Print("\n", f.compared(chosen))
		return "", nil
	}
	return f.report(o), nil
}

// add takes in the figures of a round that is whole.
func (f *figures) add(r *figures) {
	f.gcm = append(f.gcm, r.gcm...)
	for _, m := range []struct{ all, more map[string][]float64 }{{f.tcp, r.tcp}, {f.effort, r.effort}, {f.packets, r.packets}} {
		for name, list := range m.more {
			m.all[name] = append(m.all[name], list...)
		}
	}
	for name, list := range r.rtt {
		f.rtt[name] = append(f.rtt[name], list...)
	}
}

// measureRound lets every tunnel have its turn at everything. What comes first
// moves from round to round, and so does the direction of TCP. The packets of
// the rounds before say where to begin the search for theirs.
func measureRound(ctx context.Context, o *options, w *world, list []tunnel, before map[string][]float64, n int) (*figures, error) {
	f := newFigures("")
	turns := slices.Concat(list[n%len(list):], list[:n%len(list)])
	for _, t := range turns {
		bits, effort, err := w.tcp(ctx, t, o.stream, n%2 == 1)
		if err != nil {
			return nil, fmt.Errorf("TCP by %s: %w", t.name, err)
		}
		f.tcp[t.name], f.effort[t.name] = append(f.tcp[t.name], bits), append(f.effort[t.name], effort)
		fmt.Printf("%2d %-20s TCP %8.0f Mbit/s %6.2f s/GB\n", n, t.name, bits/1e6, effort)
	}
	if o.only != "" && o.before == "" {
		return f, nil
	}
	bits, err := gcm()
	if err != nil {
		return nil, err
	}
	f.gcm = append(f.gcm, bits)
	for _, t := range turns {
		rate, err := w.packetRate(ctx, t, o.burst, before[t.name])
		if err != nil {
			return nil, fmt.Errorf("packets by %s: %w", t.name, err)
		}
		f.packets[t.name] = append(f.packets[t.name], rate)
		fmt.Printf("%2d %-20s UDP %8.0f packets/s\n", n, t.name, rate)
	}
	for _, t := range turns {
		times, err := w.rtt(ctx, t, o.pings)
		if err != nil {
			return nil, fmt.Errorf("pings by %s: %w", t.name, err)
		}
		f.rtt[t.name] = append(f.rtt[t.name], times)
		fmt.Printf("%2d %-20s RTT %s\n", n, t.name, times)
	}
	return f, nil
}
