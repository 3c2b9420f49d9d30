package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/capture/dissect"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/internal/bench/beside"
	"github.com/cloudvlan/cvlanctl/lab"
)

// handshake is when the messages of one handshake passed.
type handshake struct {
	at      time.Time     // of the message before
	initial time.Duration // the response of IKE_SA_INIT, after its request
	auth    time.Duration // the request of IKE_AUTH, after that: the initiator's own time
	final   time.Duration // the response of IKE_AUTH, after that
}

// whole is how long the handshake took on the wire: from the first request of
// IKE_SA_INIT to the response of IKE_AUTH.
func (h handshake) whole() time.Duration { return h.initial + h.auth + h.final }

func (h handshake) first() time.Duration   { return h.initial }
func (h handshake) thought() time.Duration { return h.auth }
func (h handshake) second() time.Duration  { return h.final }
func (h handshake) answers() time.Duration { return h.initial + h.final }

// times ends the capture, which was taken at the initiator, and gives the
// handshakes in it.
func (p *pair) times() ([]handshake, error) {
	if err := p.recorder.Stop(); err != nil {
		return nil, err
	}
	src, err := capture.Open([]string{p.capture}, capture.FileOptions{})
	if err != nil {
		return nil, err
	}
	open := map[wire.SPI]*handshake{}
	var list []handshake
	for e, err := range dissect.New(dissect.Options{}).Events(src) {
		if err != nil {
			return nil, err
		}
		m, ok := ikeHeader(e)
		if !ok {
			continue
		}
		h := open[m.InitiatorSPI]
		since := func() (d time.Duration) {
			d, h.at = e.Time.Sub(h.at), e.Time
			return d
		}
		switch {
		case m.Exchange == wire.ExchangeIKESAInit && !m.Response() && h == nil:
			open[m.InitiatorSPI] = &handshake{at: e.Time}
		case h == nil:
		case m.Exchange == wire.ExchangeIKESAInit && m.Response():
			h.initial = since()
		case m.Exchange == wire.ExchangeIKEAuth && !m.Response():
			h.auth = since()
		case m.Exchange == wire.ExchangeIKEAuth:
			h.final = since()
			list = append(list, *h)
			delete(open, m.InitiatorSPI)
		}
	}
	if len(list) == 0 {
		return nil, errors.New("the capture has no handshake")
	}
	return list, nil
}

func ikeHeader(e *event.Event) (*wire.Header, bool) {
	if e.Packet == nil || e.Packet.IKE == nil || e.Packet.IKE.Message == nil {
		return nil, false
	}
	return &e.Packet.IKE.Message.Header, true
}

// load is a number of handshakes side by side.
type load struct {
	n    int
	wall time.Duration
	cpu  time.Duration // of both ends
	// responder is the part of a charon that responds, 0 where there is none.
	responder time.Duration
}

func (l load) rate() float64 { return float64(l.n) / l.wall.Seconds() }

// perCore is how many handshakes one core's whole time makes, both ends
// together.
func (l load) perCore() float64 { return float64(l.n) / l.cpu.Seconds() }

// run measures n handshakes; taking them down again is not counted.
func (p *pair) run(ctx context.Context, n int) (load, error) {
	before, beforeB, err := p.cpu()
	if err != nil {
		return load{}, err
	}
	took, err := p.start(ctx, n)
	if err != nil {
		return load{}, err
	}
	after, afterB, err := p.cpu()
	if err != nil {
		return load{}, err
	}
	return load{n, took, after - before, afterB - beforeB}, p.clear(ctx)
}

// cpu gives the processor time of both ends so far, and of a charon that
// responds. Where an end is ours it is this process, which drives a charon on
// the other end too.
func (p *pair) cpu() (both, responder time.Duration, err error) {
	for i, d := range []*lab.Daemon{p.bench.A, p.bench.B} {
		pid, err := d.PID()
		if err != nil {
			return 0, 0, err
		}
		if pid == 0 {
			continue
		}
		t, err := beside.ProcessTime(pid)
		if err != nil {
			return 0, 0, err
		}
		if both += t; i == 1 {
			responder = t
		}
	}
	if p.kind.charons() < 2 {
		t, err := beside.ProcessTime(os.Getpid())
		if err != nil {
			return 0, 0, err
		}
		both += t
	}
	return both, responder, nil
}

// memory is by how much a process grows for one IKE SA with one child, in
// octets of resident memory.
type memory struct {
	n            int // SAs that stood
	charon, ours int64
}

// measureMemory has a fresh charon, and a fresh pair of ours, keep n SAs.
func measureMemory(ctx context.Context, dir string, n int) (memory, error) {
	m := memory{n: n}
	var err error
	if m.charon, err = growth(ctx, pairing{ours, charon}, dir, n); err != nil {
		return m, err
	}
	both, err := growth(ctx, pairing{ours, ours}, dir, n)
	m.ours = both / 2 // both ends are in this process
	return m, err
}

// growth gives by how much the responder's process grows for each of n SAs.
func growth(ctx context.Context, kind pairing, dir string, n int) (each int64, err error) {
	p, err := newPair(ctx, kind, filepath.Join(dir, "memory"))
	defer func() { err = errors.Join(err, p.close()) }()
	if err != nil {
		return 0, err
	}
	pid := os.Getpid()
	if kind.responder == charon {
		if pid, err = p.bench.B.PID(); err != nil {
			return 0, err
		}
	}
	if err := p.handshake(ctx); err != nil { // what it takes for the first is not counted
		return 0, err
	}
	debug.FreeOSMemory()
	before, err := beside.Resident(pid)
	if err != nil {
		return 0, err
	}
	if _, err := p.start(ctx, n); err != nil {
		return 0, err
	}
	debug.FreeOSMemory()
	after, err := beside.Resident(pid)
	return (after - before) / int64(n), err
}

// benchmark is one line of the engine's own benchmarks.
type benchmark struct {
	name   string
	ns     float64 // an operation
	octets float64 // an SA, for the one that reports it
}

var benchLine = regexp.MustCompile(`^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+([0-9.]+) ns/op(?:\s+([0-9.]+) octets/SA)?`)

// inside runs the benchmarks of the engine by themselves, several times: the
// best of each counts, which other work on the machine has slowed the least.
func inside(ctx context.Context) ([]benchmark, error) {
	var list []benchmark
	for _, args := range [][]string{{"Handshake|LivenessCheck", "300ms", "5"}, {"Memory", "1x", "1"}, {"Recovery", "100x", "3"}} {
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^Benchmark("+args[0]+")$", "-benchtime", args[1], "-count", args[2], "./engine/ike")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("benchmarks: %w: %s", err, out)
		}
		for line := range strings.Lines(string(out)) {
			m := benchLine.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			b := benchmark{name: m[1]}
			if b.ns, err = strconv.ParseFloat(m[2], 64); err != nil {
				return nil, err
			}
			if m[3] != "" {
				if b.octets, err = strconv.ParseFloat(m[3], 64); err != nil {
					return nil, err
				}
			}
			if i := slices.IndexFunc(list, func(o benchmark) bool { return o.name == b.name }); i >= 0 {
				list[i].ns = min(list[i].ns, b.ns)
				continue
			}
			list = append(list, b)
		}
	}
	return list, nil
}
