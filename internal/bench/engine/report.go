package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// report writes the figures in Markdown.
func (f *figures) report(o *options) string {
	var b strings.Builder
	fmt.Fprintf(&b, `Made by `+"`make bench-engine`"+`: our engine and strongSwan %s in network namespaces
joined by a veth pair, %s with %s, a shared key.
strongSwan carries ESP itself and writes no log. All pairs take turns, so that
other work on the machine falls on all alike; compare what stands in one table. %s.

Time of one handshake on the wire, from the request of IKE_SA_INIT to the response
of IKE_AUTH, by the kernel's time stamps, %d handshakes one after another:

| pair | median | of it the initiator, between its two requests | against charon to charon |
|---|---:|---:|---:|
`, f.version, suiteIKE, suiteESP, machine(), o.rounds)
	whole := func(p pairing) time.Duration { return median(mapped(f.times[p], handshake.whole)) }
	for _, p := range pairings {
		fmt.Fprintf(&b, "| %s | %.2f ms | %.2f ms | %.2fx |\n", p, whole(p).Seconds()*1000,
			median(mapped(f.times[p], func(h handshake) time.Duration { return h.auth })).Seconds()*1000,
			float64(whole(p))/float64(whole(pairing{charon, charon})))
	}
	answers := median(mapped(f.times[pairing{ours, charon}], func(h handshake) time.Duration { return h.initial + h.final }))
	fmt.Fprintf(&b, `
What we can do about the second row is our turn in it: the charon's two answers alone
take %.2fx of the last row.
`, float64(answers)/float64(whole(pairing{charon, charon})))
	fmt.Fprintf(&b, `
Under load, 24 handshakes side by side, median of %d runs. A core's handshakes count
the processor time of both ends together, and of the kernel on their behalf; ours
are %d handshakes a run, the others a quarter of that:

| pair | handshakes a second | on a core | CPU of one, both ends | against charon to charon |
|---|---:|---:|---:|---:|
`, o.repeats, o.load)
	cores := func(p pairing) float64 { return median(mapped(f.load[p], load.perCore)) }
	for _, p := range pairings {
		fmt.Fprintf(&b, "| %s | %.0f | %.0f | %.2f ms | %.2fx |\n", p, median(mapped(f.load[p], load.rate)), cores(p), 1000/cores(p),
			cores(p)/cores(pairing{charon, charon}))
	}
	find := func(name string) benchmark {
		i := slices.IndexFunc(f.inside, func(x benchmark) bool { return x.name == name })
		return f.inside[i]
	}
	alone := median(mapped(f.load[pairing{ours, charon}], func(l load) float64 { return l.responder.Seconds() * 1000 / float64(l.n) }))
	half := 1000 / cores(pairing{ours, ours}) / 2
	fmt.Fprintf(&b, `
A charon that initiates is driven over VICI, which is part of its cost. One that
responds to our initiator takes %.2f ms of processor time a handshake by itself; an end
of ours, half of the first row, %.2f ms: %.1f times as many on a core.
`, alone, half, alone/half)
	heap, handshake, dpd := find("Memory"), find("Handshake"), find("LivenessCheck")
	fmt.Fprintf(&b, `
Without sockets, both ends in one goroutine: a handshake and the deletion take
%.0f µs. A liveness check takes the responder %.1f µs from the datagram of the request
to that of the answer.

Memory of an IKE SA with one child, %d of them: a charon that responds grows by
%.1f KiB of resident memory for each, we by %.1f KiB (%.1f KiB of heap): %.2fx.
`, handshake.ns/1000, dpd.ns/1000, f.memory.n, float64(f.memory.charon)/1024, float64(f.memory.ours)/1024, heap.octets/1024,
		float64(f.memory.ours)/float64(f.memory.charon))
	var worst benchmark
	n := 0
	for _, x := range f.inside {
		if strings.HasPrefix(x.name, "Recovery/") {
			n++
			if x.ns > worst.ns {
				worst = x
			}
		}
	}
	fmt.Fprintf(&b, `
From an error to what is done about it (retry, notify, delete, reset, ignore), for each
of the %d rows of the recovery table of which no timer is a part: at most %s (%s).
`, n, time.Duration(worst.ns).Round(time.Microsecond), strings.ReplaceAll(strings.TrimPrefix(worst.name, "Recovery/"), "_", " "))
	return b.String()
}

func mapped[T, R any](list []T, f func(T) R) []R {
	var out []R
	for _, x := range list {
		out = append(out, f(x))
	}
	return out
}
