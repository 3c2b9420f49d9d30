package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/lab"
)

// pairing says who initiates and who responds.
type pairing struct{ initiator, responder maker }

type maker string

const (
	ours   maker = "ours"
	charon maker = "charon"
)

var pairings = []pairing{{ours, ours}, {ours, charon}, {charon, ours}, {charon, charon}}

func (p pairing) String() string { return fmt.Sprintf("%s to %s", p.initiator, p.responder) }

// charons counts the daemons of a pairing.
func (p pairing) charons() int {
	n := 0
	for _, m := range []maker{p.initiator, p.responder} {
		if m == charon {
			n++
		}
	}
	return n
}

// What all pairs speak.
const (
	suiteIKE = "aes128gcm16-prfsha256-curve25519"
	suiteESP = "aes128gcm16"
	secret   = "lab only: never use this" // what the lab's daemons have
)

// atOnce is how many handshakes go side by side.
const atOnce = 24

// patience is how long a daemon may take for anything.
const patience = time.Minute

// pair is two ends and a wire between them.
type pair struct {
	kind     pairing
	bench    *lab.Bench
	node     [2]*node // ours: initiator, responder; nil for a charon
	client   [2]*vici.Client
	recorder *lab.Recorder
	capture  string
	cleanup  []func() error
}

// newPair lays a bench and starts both ends. What it returns must be closed,
// also after an error.
func newPair(ctx context.Context, kind pairing, dir string) (*pair, error) {
	p := &pair{kind: kind}
	s := lab.Scenario{Name: "bench", Ends: func(a, b *lab.End) error {
		for _, e := range []*lab.End{a, b} {
			e.Proposals, e.ESP = suiteIKE, suiteESP
			// Many at once, no pauses, and no log.
			e.Conn = append(e.Conn, "unique = never")
			e.Daemon.Options = append(e.Daemon.Options, "reuse_ikesa = no", "cookie_threshold = 1000000", "cookie_threshold_ip = 1000000",
				"block_threshold = 1000000", "ikesa_table_size = 4096", "ikesa_table_segments = 16", "threads = 64", "retransmit_timeout = 4")
			e.Daemon.LogLevels = []string{"default = -1", "ike = -1", "chd = -1", "mgr = -1", "enc = -1"}
		}
		a.Absent, b.Absent = kind.initiator == ours, kind.responder == ours
		return nil
	}}
	var err error
	if p.bench, err = lab.NewBench(ctx, s, filepath.Join(dir, kind.String())); p.bench != nil {
		p.cleanup = append(p.cleanup, p.bench.Close)
	}
	if err != nil {
		return p, err
	}
	p.capture = filepath.Join(p.bench.Dir, "wire.pcap")
	a, b := netip.MustParseAddr(p.bench.OuterA), netip.MustParseAddr(p.bench.OuterB)
	for i, ns := range []*lab.NS{p.bench.NSA, p.bench.NSB} {
		d := []*lab.Daemon{p.bench.A, p.bench.B}[i]
		if d == nil {
			end := []endpoint{{a, b, "initiator.lab", "responder.lab", p.bench.InnerA, p.bench.InnerB},
				{b, a, "responder.lab", "initiator.lab", p.bench.InnerB, p.bench.InnerA}}[i]
			if p.node[i], err = newNode(ns, end); err != nil {
				return p, err
			}
			p.cleanup = append(p.cleanup, p.node[i].close)
			continue
		}
		addr, err := vici.ParseAddr("vici:" + d.Socket())
		if err != nil {
			return p, err
		}
		p.client[i] = vici.New(addr)
		p.cleanup = append(p.cleanup, p.client[i].Close)
	}
	return p, nil
}

func (p *pair) close() error {
	var errs []error
	for i := len(p.cleanup) - 1; i >= 0; i-- {
		errs = append(errs, p.cleanup[i]())
	}
	return errors.Join(errs...)
}

// record begins to write down what passes on the wire.
func (p *pair) record(ctx context.Context) (err error) {
	p.recorder, err = lab.Record(ctx, p.bench.NSA, "eth0", p.capture)
	return err
}

// handshake brings the tunnel up and down once.
func (p *pair) handshake(ctx context.Context) error {
	if _, err := p.start(ctx, 1); err != nil {
		return err
	}
	return p.clear(ctx)
}

// start brings n tunnels up and waits until both ends have them. It gives how
// long that took.
func (p *pair) start(ctx context.Context, n int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience+time.Duration(n)*20*time.Millisecond)
	defer cancel()
	begin := time.Now()
	var err error
	if p.node[0] != nil {
		err = p.node[0].initiate(ctx, n)
	} else {
		err = initiateAll(ctx, p.client[0], n)
	}
	if err != nil {
		return 0, err
	}
	took := time.Since(begin)
	return took, p.until(ctx, "both ends to have all SAs", func(have int) bool { return have >= n })
}

// clear takes everything down.
func (p *pair) clear(ctx context.Context) error {
	if p.node[0] != nil {
		if err := p.node[0].deleteAll(ctx); err != nil {
			return err
		}
	} else if err := p.client[0].Down(ctx, backend.Target{IKE: "gw"}, backend.DownOptions{NoWait: true}, nil); err != nil {
		return err
	}
	return p.until(ctx, "both ends to have no SA", func(have int) bool { return have == 0 })
}

// until waits for both ends' numbers of SAs that stand.
func (p *pair) until(ctx context.Context, what string, ok func(have int) bool) error {
	for i := range p.node {
		var last error
		err := lab.Eventually(ctx, patience, what, func() bool {
			if p.node[i] != nil {
				return ok(p.node[i].standing())
			}
			s, err := p.client[i].Stats(ctx)
			if last = err; err != nil {
				return false
			}
			return ok(s.IKESAs.Or(-1) - s.HalfOpen.Or(0))
		})
		if err != nil {
			return errors.Join(err, last)
		}
	}
	return nil
}

// initiateAll has a charon bring n tunnels up, some at a time.
func initiateAll(ctx context.Context, c *vici.Client, n int) error {
	errs := make(chan error, n)
	tokens := make(chan struct{}, atOnce)
	for range n {
		tokens <- struct{}{}
		go func() {
			var err error
			for range 1000 {
				err = c.Up(ctx, backend.Target{IKE: "gw", Child: "net"}, backend.UpOptions{LogLevel: engine.Some(-1), IgnoreLimits: true}, nil)
				if !errors.Is(err, backend.ErrUnreachable) {
					break
				}
				time.Sleep(time.Millisecond) // its socket takes only a few connections at a time
			}
			errs <- err
			<-tokens
		}()
	}
	var all error
	for range n {
		if err := <-errs; err != nil && all == nil {
			all = err
		}
	}
	return all
}
