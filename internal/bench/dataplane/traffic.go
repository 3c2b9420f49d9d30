//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// tcp gives what one TCP stream carries, in bit/s, from A to B or back.
func (w *world) tcp(ctx context.Context, t tunnel, d time.Duration, back bool) (float64, error) {
	args := []string{"iperf3", "-J", "-c", t.innB, "-B", t.innerA, "-t", strconv.Itoa(int(d.Seconds()))}
	if back {
		args = append(args, "-R")
	}
	out, err := w.bench.NSA.Exec(ctx, args...)
	if err != nil {
		return 0, err
	}
	var report struct {
		Error string `json:"error"`
		End   struct {
			SumReceived struct {
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Error != "" {
		return 0, fmt.Errorf("iperf3: %w", errors.Join(err, errors.New(report.Error)))
	}
	return report.End.SumReceived.BitsPerSecond, nil
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
	return median(times), nil
}

// The small packets whose number is measured.
const (
	payload  = 64   // octets of UDP data
	most     = 0.01 // of the packets may be lost
	batch    = 32   // packets a system call
	lowest   = 4000 // packets a second
	highest  = 4e6
	steps    = 5 // of the search between a rate that went and one that did not
	settling = 50 * time.Millisecond
)

// packetRate searches for the highest rate of small packets of which at most
// one in a hundred is lost, and gives how many arrived a second.
func (w *world) packetRate(ctx context.Context, t tunnel, d time.Duration) (float64, error) {
	var good, best float64
	bad := 0.0
	try := func(rate float64) error {
		sent, got, took, err := w.packets(ctx, t, rate, d)
		if err != nil {
			return err
		}
		if float64(sent-got) <= most*float64(sent) && float64(sent)/took.Seconds() > 0.9*rate {
			good, best = rate, max(best, float64(got)/took.Seconds())
		} else {
			bad = rate
		}
		return nil
	}
	for rate := float64(lowest); bad == 0 && rate < highest; rate *= 2 {
		if err := try(rate); err != nil {
			return 0, err
		}
	}
	for range steps {
		if err := try((good + bad) / 2); err != nil {
			return 0, err
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
// AES-256-GCM that carry 1400 octets: half of the time is for each.
func gcm() (float64, error) {
	key := suite.NewSecret(make([]byte, 36))
	c, err := suite.NewESP(wire.EncrAESGCM16, 256, wire.IntegNone, key, suite.Secret{}, false)
	if err != nil {
		return 0, err
	}
	inner, sealed, opened := make([]byte, 1400), make([]byte, 0, 1500), make([]byte, 0, 1500)
	var failed error
	r := testing.Benchmark(func(b *testing.B) {
		for i := range b.N {
			packet, err := c.Seal(sealed, 256, uint64(i)+1, inner, 4)
			if err == nil {
				_, _, err = c.Open(opened, packet, 0)
			}
			failed = errors.Join(failed, err)
		}
	})
	return 2 * 1400 * 8 * 1e9 / float64(r.NsPerOp()), failed
}

func median[T float64 | time.Duration](list []T) T {
	sorted := slices.Sorted(slices.Values(list))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
