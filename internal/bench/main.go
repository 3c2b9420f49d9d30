// Command bench measures how fast cvlanctl decodes, against tshark and against
// a bare gopacket loop over the same file, and how fast it starts, against a
// bare cobra program. It writes the figures into docs/performance.md.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/internal/bench/section"
	"github.com/cloudvlan/cvlanctl/lab/gen"
)

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "bin/cvlanctl", "the cvlanctl to measure")
	flag.Int64Var(&o.frames, "frames", 1_000_000, "frames of the capture")
	flag.Int64Var(&o.slice, "slice", 20, "tshark reads a capture with this fraction of the frames: 10 is a tenth")
	flag.IntVar(&o.rounds, "rounds", 3, "times that the fast programs run; the best counts")
	flag.StringVar(&o.page, "o", "docs/performance.md", "the page to write, empty for none")
	loop := flag.String("gopacket", "", "run the bare gopacket loop over this file and do nothing else")
	flag.Parse()
	var err error
	if *loop != "" {
		err = gopacketLoop(*loop)
	} else {
		err = run(&o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	binary        string
	frames, slice int64
	rounds        int
	page          string
}

// result is one program's figures.
type result struct {
	name   string
	frames int64
	wall   time.Duration
	cpu    time.Duration // of all threads, of the round with the best wall
	rss    int64         // octets at the peak, 0 where the system does not tell
}

func (r *result) rate() float64 { return float64(r.frames) / r.wall.Seconds() }

// effort gives the CPU time of one frame, in microseconds.
func (r *result) effort() float64 {
	return float64(r.cpu) / float64(time.Microsecond) / float64(r.frames)
}

func run(o *options) error {
	if o.slice < 1 || o.frames < o.slice || o.rounds < 1 {
		return errors.New("-frames, -slice and -rounds do not go together")
	}
	dir, err := os.MkdirTemp("", "cvlanctl-bench-")
	if err != nil {
		return err
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}()
	whole, part := filepath.Join(dir, "whole.pcap"), filepath.Join(dir, "part.pcap")
	fmt.Printf("making %d frames\n", o.frames)
	if err := errors.Join(generate(whole, o.frames), generate(part, o.frames/o.slice)); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	programs := []struct {
		name   string
		frames int64
		rounds int
		argv   []string
	}{
		{"tshark -T ek", o.frames / o.slice, o.rounds, []string{"tshark", "-n", "-r", part, "-T", "ek"}},
		{"bare gopacket loop", o.frames, o.rounds, []string{self, "-gopacket", whole}},
		{"cvlanctl pcap decode -o jsonl", o.frames, o.rounds, []string{o.binary, "pcap", "decode", "-o", "jsonl", whole}},
		{"cvlanctl pcap decode", o.frames, o.rounds, []string{o.binary, "pcap", "decode", whole}},
		{"cvlanctl pcap sas -o json", o.frames, o.rounds, []string{o.binary, "pcap", "sas", "-o", "json", whole}},
		{"cvlanctl pcap sas", o.frames, o.rounds, []string{o.binary, "pcap", "sas", whole}},
		{"cvlanctl pcap diagnose", o.frames, o.rounds, []string{o.binary, "pcap", "diagnose", "--fail-on", "critical", whole}},
	}
	var results []result
	for _, p := range programs {
		r, err := measure(p.name, p.frames, p.rounds, p.argv)
		if err != nil {
			return err
		}
		fmt.Printf("%-32s %9.0f frames/s  %7.2f s  %5d MiB\n", r.name, r.rate(), r.wall.Seconds(), r.rss>>20)
		results = append(results, r)
	}
	ours, bare, err := startup(dir, o.binary)
	if err != nil {
		return err
	}
	text := report(o, results, ours, bare)
	fmt.Print("\n", text)
	if o.page == "" {
		return nil
	}
	return section.Write(o.page, "Performance", "Decoding", text)
}

func generate(path string, frames int64) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return gen.Write(f, gen.Options{Frames: frames, SAs: gen.DefaultSAs, Seed: 1})
}

// measure runs a program and gives the best of its rounds, with the highest
// memory of all.
func measure(name string, frames int64, rounds int, argv []string) (result, error) {
	best := result{name: name, frames: frames}
	for range rounds {
		cmd := exec.Command(argv[0], argv[1:]...)
		var errs strings.Builder
		cmd.Stderr = &errs
		// A file and not a pipe: what reads the pipe would be measured too.
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			return best, err
		}
		cmd.Stdout = null
		begun := time.Now()
		err = cmd.Run()
		wall := time.Since(begun)
		if err := errors.Join(err, null.Close()); err != nil {
			return best, fmt.Errorf("%s: %w\n%s", name, err, errs.String())
		}
		if best.wall == 0 || wall < best.wall {
			best.wall = wall
			best.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		}
		best.rss = max(best.rss, peak(cmd.ProcessState))
	}
	return best, nil
}

// startupRuns is how often each program is started; the median counts.
const startupRuns = 41

// startup measures `cvlanctl version` and a bare cobra program, by turns.
func startup(dir, binary string) (ours, bare time.Duration, err error) {
	program := filepath.Join(dir, "barecobra")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./internal/bench/barecobra")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, 0, fmt.Errorf("building the bare cobra program: %w\n%s", err, out)
	}
	var a, b []time.Duration
	for range startupRuns {
		for _, x := range []struct {
			path string
			into *[]time.Duration
		}{{binary, &a}, {program, &b}} {
			begun := time.Now()
			if err := exec.Command(x.path, "version").Run(); err != nil {
				return 0, 0, fmt.Errorf("%s version: %w", x.path, err)
			}
			*x.into = append(*x.into, time.Since(begun))
		}
	}
	return median(a), median(b), nil
}

func median(d []time.Duration) time.Duration {
	slices.SortFunc(d, cmp.Compare)
	return d[len(d)/2]
}

// report writes the section.
func report(o *options, results []result, ours, bare time.Duration) string {
	var b strings.Builder
	reference, loop := results[0].rate(), results[1].rate()
	fmt.Fprintf(&b, `Made by `+"`make bench-decode`"+`: a synthetic capture of %d frames (IKE_SA_INIT,
encrypted IKE, ESP in UDP), output to /dev/null, the best of %d runs. tshark
reads a capture of the same make with a %s of the frames; frames per second
are compared. CPU time is that of all threads; on a machine with other work it
says more than seconds. %d CPUs, %s, %s.

| program | frames/s | against tshark | against gopacket | seconds | CPU µs a frame | against tshark | peak memory |
|---|---:|---:|---:|---:|---:|---:|---:|
`, o.frames, o.rounds, fraction(o.slice), runtime.NumCPU(), runtime.Version(), tsharkVersion())
	for i := range results {
		r := &results[i]
		fmt.Fprintf(&b, "| %s | %.0f | %.1fx | %.2fx | %.2f | %.2f | %.1fx | %d MiB |\n", r.name,
			r.rate(), r.rate()/reference, r.rate()/loop, r.wall.Seconds(), r.effort(), results[0].effort()/r.effort(), r.rss>>20)
	}
	if tables, findings := named(results, "cvlanctl pcap sas"), named(results, "cvlanctl pcap diagnose"); tables != nil && findings != nil {
		fmt.Fprintf(&b, "\n`pcap diagnose` has %.2f of the speed of `pcap sas`, by CPU time %.2f.\n",
			findings.rate()/tables.rate(), tables.effort()/findings.effort())
	}
	fmt.Fprintf(&b, `
Start-up, median of %d runs each by turns: `+"`cvlanctl version`"+` %.1f ms, a bare
cobra program %.1f ms: %.2fx.
`, startupRuns, ms(ours), ms(bare), float64(ours)/float64(bare))
	return b.String()
}

// named gives a program's result, nil where it was not measured.
func named(results []result, name string) *result {
	i := slices.IndexFunc(results, func(r result) bool { return r.name == name })
	if i < 0 {
		return nil
	}
	return &results[i]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func fraction(slice int64) string {
	switch slice {
	case 10:
		return "tenth"
	case 20:
		return "twentieth"
	}
	return fmt.Sprintf("1/%d", slice)
}

func tsharkVersion() string {
	out, err := exec.Command("tshark", "--version").Output()
	if err != nil {
		return "tshark of unknown version"
	}
	first, _, _ := strings.Cut(string(out), "\n")
	if words := strings.Fields(first); len(words) >= 3 {
		return "tshark " + strings.TrimSuffix(words[2], ".")
	}
	return first
}
