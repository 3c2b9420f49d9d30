//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"regexp"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/internal/bench/beside"
)

// tcp gives what one TCP stream carries, in bit/s, from A to B or back, and how
// many seconds of processor time the tunnel's two ends took for a gigabyte.
func (w *world) tcp(ctx context.Context, t tunnel, d time.Duration, back bool) (bits, effort float64, err error) {
	args := []string{"iperf3", "-J", "-c", t.innB, "-B", t.innerA, "-t", strconv.Itoa(int(d.Seconds()))}
	if back {
		args = append(args, "-R")
	}
	before, err := w.spent(t)
	if err = errors.Join(err, w.through(ctx, t)); err != nil {
		return 0, 0, err
	}
	out, err := w.bench.NSA.Exec(ctx, args...)
	if err != nil {
		return 0, 0, err
	}
	after, err := w.spent(t)
	if err = errors.Join(err, w.through(ctx, t)); err != nil {
		return 0, 0, err
	}
	var report struct {
		Error string `json:"error"`
		End   struct {
			SumReceived struct {
				Bytes         float64 `json:"bytes"`
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Error != "" {
		return 0, 0, fmt.Errorf("iperf3: %w", errors.Join(err, errors.New(report.Error)))
	}
	got := report.End.SumReceived
	return got.BitsPerSecond, (after - before).Seconds() / (got.Bytes / 1e9), nil
}

// spent gives the processor time of a tunnel's ends so far.
func (w *world) spent(t tunnel) (sum time.Duration, err error) {
	for _, pid := range w.ends[t.name] {
		d, err := beside.ProcessTime(pid)
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

var pingTime = regexp.MustCompile(`time=([0-9.]+) ms`)

// rtt gives the median round-trip time of pings in a row.
func (w *world) rtt(ctx context.Context, t tunnel, n int) (time.Duration, error) {
	out, err := w.bench.NSA.Exec(ctx, "ping", "-n", "-c", strconv.Itoa(n), "-i", "0.004", "-I", t.innerA, t.innB)
	if err != nil {
		return 0, err
	}
	var times []time.Duration
	for _, m := range pingTime.FindAllStringSubmatch(out, -1) {
		ms, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return 0, err
		}
		times = append(times, time.Duration(ms*float64(time.Millisecond)))
	}
	if len(times) < n/2 {
		return 0, fmt.Errorf("%d of %d pings were answered", len(times), n)
	}
	return beside.Median(times), nil
}

// The small packets whose number is measured.
const (
	payload  = 64   // octets of UDP data
	most     = 0.01 // of the packets may be lost
	batch    = 32   // packets a system call
	lowest   = 4000 // packets a second
	highest  = 4e6
	steps    = 4 // of the search between a rate that went and one that did not
	settling = 50 * time.Millisecond
)

// packetRate searches for the highest rate of small packets of which at most
// one in a hundred is lost, and gives how many arrived a second. The search
// begins at half of what was found before.
func (w *world) packetRate(ctx context.Context, t tunnel, d time.Duration, before []float64) (float64, error) {
	var best float64
	goes := func(rate float64) (bool, error) {
		// A machine with other work to do may fail once for that reason.
		for range 2 {
			sent, got, took, err := w.packets(ctx, t, rate, d)
			if err != nil {
				return false, err
			}
			if float64(sent-got) <= most*float64(sent) && float64(sent)/took.Seconds() > 0.9*rate {
				best = max(best, float64(got)/took.Seconds())
				return true, nil
			}
		}
		return false, nil
	}
	good, bad := 0.0, 0.0
	rate := float64(lowest)
	if len(before) > 0 {
		rate = max(rate, beside.Median(before)/2)
	}
	for bad == 0 && rate < highest {
		ok, err := goes(rate)
		switch {
		case err != nil:
			return 0, err
		case ok:
			good, rate = rate, rate*2
		default:
			bad = rate
		}
	}
	for range steps {
		middle := (good + bad) / 2
		ok, err := goes(middle)
		if err != nil {
			return 0, err
		}
		if ok {
			good = middle
		} else {
			bad = middle
		}
	}
	return best, nil
}

// packets sends small packets from A to B at a rate and counts what arrives.
func (w *world) packets(ctx context.Context, t tunnel, rate float64, d time.Duration) (sent, got int, took time.Duration, err error) {
	to, err := w.bench.NSB.ListenUDP(t.innB + ":0")
	if err != nil {
		return 0, 0, 0, err
	}
	from, err := w.bench.NSA.ListenUDP(t.innerA + ":0")
	if err != nil {
		return 0, 0, 0, errors.Join(err, to.Close())
	}
	if err := roomy(to); err != nil {
		return 0, 0, 0, errors.Join(err, to.Close(), from.Close())
	}
	counted := make(chan int)
	go func() {
		n := 0
		p, ms := ipv4.NewPacketConn(to), messages(nil)
		for {
			k, err := p.ReadBatch(ms, 0)
			if err != nil {
				counted <- n // closed, once all is in
				return
			}
			n += k
		}
	}()
	p, ms := ipv4.NewPacketConn(from), messages(net.UDPAddrFromAddrPort(to.LocalAddr().(*net.UDPAddr).AddrPort()))
	begin := time.Now()
	for ctx.Err() == nil {
		took = time.Since(begin)
		if took >= d {
			break
		}
		due := min(int(took.Seconds()*rate)-sent, batch)
		if due < 1 {
			time.Sleep(100 * time.Microsecond)
			continue
		}
		k, failed := p.WriteBatch(ms[:due], 0)
		if failed != nil {
			err = failed
			break
		}
		sent += k
	}
	time.Sleep(settling)
	err = errors.Join(err, from.Close(), to.Close(), ctx.Err())
	return sent, <-counted, took, err
}

// roomy gives a socket a large buffer, so that what is lost was lost on the way.
func roomy(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) })
	return errors.Join(err, failed)
}

func messages(to net.Addr) []ipv4.Message {
	list := make([]ipv4.Message, batch)
	for i := range list {
		list[i].Buffers = [][]byte{make([]byte, payload)}
		list[i].Addr = to
	}
	return list
}

// gcm gives how many bits a second one core seals, or opens, in ESP packets of
// AES-256-GCM that carry 1400 octets: half of the time is for each. It is
// measured by the processor time of its thread, so that other work on the machine
// does not count.
func gcm() (float64, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	key := suite.NewSecret(make([]byte, 36))
	c, err := suite.NewESP(wire.EncrAESGCM16, 256, wire.IntegNone, key, suite.Secret{}, false)
	if err != nil {
		return 0, err
	}
	const packets = 50000
	inner, sealed, opened := make([]byte, 1400), make([]byte, 0, 1500), make([]byte, 0, 1500)
	before, err := threadTime()
	if err != nil {
		return 0, err
	}
	for n := range uint64(packets) {
		packet, err := c.Seal(sealed, 256, n+1, inner, 4)
		if err == nil {
			_, _, err = c.Open(opened, packet, 0)
		}
		if err != nil {
			return 0, err
		}
	}
	after, err := threadTime()
	return 2 * packets * 1400 * 8 / (after - before).Seconds(), err
}

// threadTime gives the processor time of the calling thread so far.
func threadTime() (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano()), err
}
