package ike

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
)

// wired is two Endpoints whose datagrams reach each other at once.
type wired struct {
	tb   testing.TB
	now  time.Time
	a, b *Endpoint
}

func newWired(tb testing.TB) *wired {
	tb.Helper()
	w := &wired{tb: tb, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), a: NewEndpoint(Settings{HalfOpenPerSource: 1 << 20}),
		b: NewEndpoint(Settings{HalfOpenPerSource: 1 << 20})}
	one := benchConnection(tb, benchA, benchB, "a.example", "b.example", "10.1.0.0/16", "10.2.0.0/16")
	two := benchConnection(tb, benchB, benchA, "b.example", "a.example", "10.2.0.0/16", "10.1.0.0/16")
	one.Unique, two.Unique = UniqueNever, UniqueNever
	for _, err := range []error{w.a.Add(one), w.b.Add(two)} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	return w
}

// carry hands datagrams on until there are none; those of the first are a's.
func (w *wired) carry(out Output) {
	from, to := w.a, w.b
	for len(out.Datagrams) > 0 {
		var next Output
		for _, d := range out.Datagrams {
			d.Local, d.Remote = d.Remote, d.Local
			o := to.Step(w.now, Input{Datagram: &d})
			next.Datagrams = append(next.Datagrams, o.Datagrams...)
		}
		out, from, to = next, to, from
	}
}

func (w *wired) handshake() *SA {
	s, out, err := w.a.Initiate(w.now, "gw", netip.Addr{})
	if err != nil {
		w.tb.Fatal(err)
	}
	w.carry(out)
	if s.State() != engine.IKEEstablished {
		w.tb.Fatalf("the IKE SA is %s", s.State())
	}
	return s
}

// BenchmarkHandshake is both sides of IKE_SA_INIT and IKE_AUTH with a shared
// key, X25519 and a child, and the deletion.
func BenchmarkHandshake(b *testing.B) {
	w := newWired(b)
	b.ReportAllocs()
	for b.Loop() {
		w.carry(w.a.Command(w.now, w.handshake(), DeleteIKE{}))
		w.now = w.now.Add(20 * time.Second) // what lingers goes
		w.b.Step(w.now, Input{})
	}
}

// BenchmarkLivenessCheck is the responder's side of a DPD request: the message
// opened, answered and sealed.
func BenchmarkLivenessCheck(b *testing.B) {
	w := newWired(b)
	s := w.handshake()
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		out := w.a.Command(w.now, s, Probe{})
		d := out.Datagrams[0]
		d.Local, d.Remote = d.Remote, d.Local
		b.StartTimer()
		answer := w.b.Step(w.now, Input{Datagram: &d})
		b.StopTimer()
		back := answer.Datagrams[0]
		back.Local, back.Remote = back.Remote, back.Local
		w.a.Step(w.now, Input{Datagram: &back})
		b.StartTimer()
	}
}

// BenchmarkMemory reports the octets that an IKE SA with one child holds, of
// 10,000 that stand at a time in either role.
func BenchmarkMemory(b *testing.B) {
	const n = 10000
	for b.Loop() {
		w := newWired(b)
		before := inUse()
		for range n {
			w.handshake()
		}
		b.ReportMetric(float64(inUse()-before)/n/2, "octets/SA")
		runtime.KeepAlive(w)
	}
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// BenchmarkCookieDemand is what one spoofed IKE_SA_INIT costs while cookies are
// demanded.
func BenchmarkCookieDemand(b *testing.B) {
	w := newWired(b)
	w.b = NewEndpoint(Settings{CookieThreshold: -1})
	if err := w.b.Add(benchConnection(b, benchB, benchA, "b.example", "a.example", "10.2.0.0/16", "10.1.0.0/16")); err != nil {
		b.Fatal(err)
	}
	_, out, err := w.a.Initiate(w.now, "gw", netip.Addr{})
	if err != nil {
		b.Fatal(err)
	}
	d := out.Datagrams[0]
	d.Local, d.Remote = d.Remote, d.Local
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		d.Octets[0], d.Octets[1], d.Octets[2] = byte(n>>16), byte(n>>8), byte(n)
		if o := w.b.Step(w.now, Input{Datagram: &d}); len(o.Datagrams) != 1 || w.b.HalfOpen() != 0 {
			b.Fatalf("%d answers, %d half-open", len(o.Datagrams), w.b.HalfOpen())
		}
	}
}
