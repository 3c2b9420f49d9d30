package interop_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/internal/bench/section"
	"github.com/cloudvlan/cvlanctl/internal/interop"
	"github.com/cloudvlan/cvlanctl/lab"
)

// floodPage names the page that takes the outcome of the whole flood; without
// it a short one runs.
const floodPage = "CVLANCTL_FLOOD"

// siege is what was seen while a flood ran.
type siege struct {
	rate             int
	sent             int
	took             time.Duration
	halfOpen, sas    int // at most, together
	heapBefore, heap uint64
	probes, rekeys   int
	slowest          time.Duration // of the liveness checks' answers
	newcomers        int
	cookies          int             // newcomers that were asked for a cookie
	newcomer         []time.Duration // how long each took
}

func TestAFloodOfSpoofedRequestsStopsNobody(t *testing.T) {
	// Both sides repeat soon what the flood costs them, and are as patient as those
	// that nobody has set up for quick tests.
	r := newRig(t, ground{scenario: lab.Scenario{Quick: true}, weAre: interop.Responder, daemon: []string{"retransmit_tries = 7"},
		settings: ike.Settings{HalfOpen: 5 * time.Second, Retransmit: ike.Retransmission{Timeout: 300 * time.Millisecond, Base: 1.3, Tries: 15}}})
	old := r.tunnel(t, interop.Responder, settings{})
	old.up()
	// How much more an engine bears depends on the machine: for that is the page.
	s := siege{rate: 1000, heapBefore: heap()}
	t.Cleanup(func() { t.Logf("seen: %+v", s) }) // also where it fails
	lasts := 2 * time.Second
	page := os.Getenv(floodPage)
	if page != "" {
		s.rate, lasts = 50000, 20*time.Second
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	// Half of them come to the port for IKE, half to that of the tunnel.
	var floods sync.WaitGroup
	var sent [2]int
	var errs [2]error
	begin := time.Now()
	for i, port := range []uint16{wire.PortIKE, wire.PortNATT} {
		fill := spoof(t, old, port == wire.PortNATT)
		floods.Go(func() { sent[i], errs[i] = r.bench.NSA.Flood(ctx, netip.AddrPortFrom(r.local, port), s.rate/2, fill) })
	}
	t.Cleanup(floods.Wait)
	old.until("cookies to be demanded", func() bool { return s.look(t, r).HalfOpen >= 30 })
	for time.Since(begin) < lasts || s.rekeys < 2 || s.cookies < 1 {
		before := time.Now()
		old.probe()
		s.probes++
		s.slowest = max(s.slowest, time.Since(before))
		old.rekeyChild(interop.Roles()[s.rekeys%2])
		s.rekeys++
		if time.Since(begin) > time.Duration(s.newcomers)*lasts/20 {
			before = time.Now()
			t.Run(fmt.Sprintf("newcomer %d", s.newcomers+1), func(t *testing.T) {
				fresh := r.tunnel(t, interop.Responder, settings{})
				fresh.up()
				// None is demanded of one that comes in the moment in which what is half-open
				// is forgotten.
				if slices.ContainsFunc(fresh.checks(event.CheckCookie), func(c event.Check) bool { return c.OK }) {
					s.cookies++
				}
				s.newcomer = append(s.newcomer, time.Since(before))
			})
			s.newcomers++
		}
		s.look(t, r)
	}
	old.rekeyIKE(interop.Responder)
	s.heap = heap()
	stop()
	floods.Wait()
	s.took, s.sent = time.Since(begin), sent[0]+sent[1]
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	if s.sent < 1000 {
		t.Errorf("only %d requests were sent: the test proves nothing", s.sent)
	}
	// Cookies are demanded from 30 half-open SAs on; besides there are the
	// genuine ones, and those that linger.
	if s.halfOpen > 40 || s.sas > 80 {
		t.Errorf("%d half-open IKE SAs, %d in all", s.halfOpen, s.sas)
	}
	if grown := int64(s.heap) - int64(s.heapBefore); grown > 32<<20 {
		t.Errorf("the heap has grown by %d octets", grown)
	}
	old.until("what is half-open to be forgotten", func() bool { return s.look(t, r).HalfOpen == 0 })
	old.agree(1)
	if page != "" && !t.Failed() {
		if err := section.Write(page, "Performance", "Under a flood", s.report()); err != nil {
			t.Fatal(err)
		}
	}
}

// look notes what the engine holds.
func (s *siege) look(t *testing.T, r *rig) ike.Holdings {
	var h ike.Holdings
	r.do(t, func(_ time.Time, p *ike.Endpoint) ike.Output {
		h = p.Held()
		return ike.Output{}
	})
	s.halfOpen, s.sas = max(s.halfOpen, h.HalfOpen), max(s.sas, h.SAs)
	return h
}

// spoof gives requests like those of a genuine initiator, each with an SPI and
// a nonce of its own.
func spoof(t *testing.T, tn *tunnel, marked bool) func([]byte) int {
	t.Helper()
	e := ike.NewEndpoint(ike.Settings{})
	c := *tn.conn
	c.Local, c.Remote = netip.MustParseAddr("198.18.0.1"), tn.local
	if err := e.Add(&c); err != nil {
		t.Fatal(err)
	}
	_, out, err := e.Initiate(time.Now(), c.Name, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	request := out.Datagrams[0].Octets
	m, err := wire.Parse(request)
	if err != nil {
		t.Fatal(err)
	}
	nonce := m.First(wire.PayloadNonce).Offset + 4
	marker := 0
	if marked {
		request = wire.AppendMarked(nil, request)
		marker = wire.NonESPMarkerLength
	}
	return func(b []byte) int {
		n := copy(b, request)
		binary.BigEndian.PutUint64(b[marker:], rand.Uint64()|1)
		binary.BigEndian.PutUint64(b[marker+nonce:], rand.Uint64())
		return n
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// report writes what was seen in Markdown.
func (s *siege) report() string {
	sorted := slices.Sorted(slices.Values(s.newcomer))
	return fmt.Sprintf(`Made by `+"`make flood`"+`: our engine responds, a strongSwan has a tunnel with it, and
IKE_SA_INIT requests that look genuine come to ports 500 and 4500, half to each, from
spoofed addresses, each with a new SPI, nonce, address and port; generator, strongSwan and engine share %d CPUs.

| | |
|---|---:|
| requests sent | %d in %.0f s, %.0f a second (asked for: %d) |
| half-open IKE SAs, at most | %d (cookies are demanded from 30 on) |
| IKE SAs in all, at most | %d |
| heap before, and under the flood | %.1f MiB, %.1f MiB |
| liveness checks answered on the tunnel | %d of %d, the slowest in %d ms |
| child SAs rekeyed, by either side in turn | %d, and the IKE SA at the end |
| genuine new peers that came in, with a cookie | %d of %d, in %d ms (median), %d ms (slowest) |
`, runtime.NumCPU(), s.sent, s.took.Seconds(), float64(s.sent)/s.took.Seconds(), s.rate, s.halfOpen, s.sas,
		float64(s.heapBefore)/(1<<20), float64(s.heap)/(1<<20), s.probes, s.probes, s.slowest.Milliseconds(), s.rekeys,
		s.cookies, s.newcomers, sorted[len(sorted)/2].Milliseconds(), sorted[len(sorted)-1].Milliseconds())
}
