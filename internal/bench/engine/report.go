package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/internal/bench/beside"
)

// The pairings by name.
var (
	oursToOurs     = pairing{ours, ours}
	oursToCharon   = pairing{ours, charon}
	charonToOurs   = pairing{charon, ours}
	charonToCharon = pairing{charon, charon}
)

// time gives the median of a part of a pairing's handshakes.
func (f *figures) time(p pairing, part func(handshake) time.Duration) time.Duration {
	return beside.Median(beside.Mapped(f.times[p], part))
}

// of gives what a part of a pairing's handshakes takes of a whole one of two
// charons, round by round.
func (f *figures) of(p pairing, part func(handshake) time.Duration) float64 {
	return beside.Median(beside.Ratios(beside.Mapped(f.times[p], part), beside.Mapped(f.times[charonToCharon], handshake.whole)))
}

// more gives how many times the handshakes of two charons a core does of a
// pairing, round by round.
func (f *figures) more(p pairing) float64 {
	return beside.Median(beside.Ratios(beside.Mapped(f.load[p], load.perCore), beside.Mapped(f.load[charonToCharon], load.perCore)))
}

func (f *figures) find(name string) benchmark {
	return f.inside[slices.IndexFunc(f.inside, func(x benchmark) bool { return x.name == name })]
}

// report writes the figures in Markdown.
func (f *figures) report(o *options) string {
	var b strings.Builder
	fmt.Fprintf(&b, `Made by `+"`make bench-engine`"+`: our engine and strongSwan %s in network namespaces
joined by a veth pair, %s with %s, a shared key.
strongSwan carries ESP itself and writes no log. All pairs take turns, so that
other work on the machine falls on all alike; medians stand here, and a ratio is the
median of the rounds' own ratios. %s.

%s
`, f.version, suiteIKE, suiteESP, beside.Machine(), beside.Targets(f.targets()))
	f.wire(&b, o)
	f.loaded(&b, o)
	f.within(&b)
	return b.String()
}

func (f *figures) targets() []beside.Target {
	return []beside.Target{
		{What: "time on the wire, ours to ours, against charon to charon", Have: f.of(oursToOurs, handshake.whole), Want: 0.7, AtMost: true},
		{What: "time on the wire, charon to ours", Have: f.of(charonToOurs, handshake.whole), Want: 0.7, AtMost: true},
		{What: "time on the wire, ours to charon", Have: f.of(oursToCharon, handshake.whole), Want: 0.7, AtMost: true},
		{What: "handshakes of a core, ours to ours, against charon to charon", Have: f.more(oursToOurs), Want: 2},
		{What: "handshakes of a core, a responder by itself, against charon", Have: f.responder(), Want: 2},
		{What: "memory of an IKE SA with one child, against charon", Have: float64(f.memory.ours) / float64(f.memory.charon), Want: 1, AtMost: true},
	}
}

// wire tells of the time of handshakes.
func (f *figures) wire(b *strings.Builder, o *options) {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1000) }
	fmt.Fprintf(b, `Time of one handshake on the wire, from the request of IKE_SA_INIT to the response
of IKE_AUTH, by the kernel's time stamps at the initiator, %d handshakes one after another.
What the responder takes for its two answers is told apart from what the initiator takes
between its two requests:

| pair | whole | | answer to IKE_SA_INIT | the initiator's turn | answer to IKE_AUTH | against charon to charon |
|---|---:|---|---:|---:|---:|---:|
`, o.rounds)
	for _, p := range pairings {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %.2fx |\n", p, ms(f.time(p, handshake.whole)), beside.Spread(beside.Mapped(f.times[p], handshake.whole), ms),
			ms(f.time(p, handshake.first)), ms(f.time(p, handshake.thought)), ms(f.time(p, handshake.second)), f.of(p, handshake.whole))
	}
	floor, same := f.of(oursToCharon, handshake.answers), f.of(charonToCharon, handshake.answers)
	verdict := fmt.Sprintf("%.2fx are left for our turn", 0.7-floor)
	if floor >= 0.7 {
		verdict = "0.7x is out of reach here, whatever we do"
	}
	fmt.Fprintf(b, `
Where we initiate and a charon responds, only the initiator's turn is ours. The floor of
that row is the time the charon takes for its two answers, %s or %.2fx of a handshake of
two charons: %s. Our turn takes %.2fx, a charon's own %.2fx. The
charon answers another charon in %s (%.2fx), although that one's requests are larger; two
charons on one machine run the same code, which the one finds in the caches where the
other has just used it. Were we answered as soon, the row would be at %.2fx.
`, ms(f.time(oursToCharon, handshake.answers)), floor, verdict, f.of(oursToCharon, handshake.thought), f.of(charonToCharon, handshake.thought),
		ms(f.time(charonToCharon, handshake.answers)), same, same+f.of(oursToCharon, handshake.thought))
	fmt.Fprintf(b, `
Where a charon initiates, its turn alone takes %.2fx; our two answers take %.2fx.
`, f.of(charonToOurs, handshake.thought), f.of(charonToOurs, handshake.answers))
}

// alone is the processor time of one handshake at a charon that responds to us,
// in seconds.
func (f *figures) alone() float64 {
	return beside.Median(beside.Mapped(f.load[oursToCharon], func(l load) float64 { return l.responder.Seconds() / float64(l.n) }))
}

// half is that of one of ours, the mean of both roles.
func (f *figures) half() float64 {
	return 1 / beside.Median(beside.Mapped(f.load[oursToOurs], load.perCore)) / 2
}

// responder compares what a core's time is enough for at one end.
func (f *figures) responder() float64 { return f.alone() / f.half() }

// loaded tells of many handshakes at once.
func (f *figures) loaded(b *strings.Builder, o *options) {
	fmt.Fprintf(b, `
Under load, %d handshakes side by side, median of %d runs. A core's handshakes count
the processor time of both ends together, and of the kernel on their behalf; ours
are %d handshakes a run, the others a quarter of that:

| pair | handshakes a second | on a core | | CPU of one, both ends | against charon to charon |
|---|---:|---:|---|---:|---:|
`, atOnce, o.repeats, o.load)
	whole := func(n float64) string { return fmt.Sprintf("%.0f", n) }
	for _, p := range pairings {
		cores := beside.Mapped(f.load[p], load.perCore)
		fmt.Fprintf(b, "| %s | %s | %s | %s | %.2f ms | %.2fx |\n", p, whole(beside.Median(beside.Mapped(f.load[p], load.rate))), whole(beside.Median(cores)),
			beside.Spread(cores, whole), 1000/beside.Median(cores), f.more(p))
	}
	fmt.Fprintf(b, `
Like is compared with like: the same suite and messages, a shared key, one child whose
ESP SAs both ends make and keep, ready to carry packets, in their own process; no log is
written and no limit is in the way. What is not alike: a charon that initiates is driven
over VICI, with a connection and a thread of its own for each tunnel, ours by a call, which
is most of the last two rows. The fair figure is one end's alone: a charon
that responds to our initiator takes %.2f ms of processor time a handshake by itself; an
end of ours, half of the first row, %.2f ms: %.1f times as many on a core.
`, f.alone()*1000, f.half()*1000, f.responder())
}

// within tells what was measured of the engine by itself.
func (f *figures) within(b *strings.Builder) {
	heap, handshake, dpd := f.find("Memory"), f.find("Handshake"), f.find("LivenessCheck")
	fmt.Fprintf(b, `
Without sockets, both ends in one goroutine: a handshake and the deletion take
%.0f µs. A liveness check takes the responder %.1f µs from the datagram of the request
to that of the answer.

Memory of an IKE SA with one child, %d of them, the ESP SAs included on both sides: a
charon that responds grows by %.1f KiB of resident memory for each, we by %.1f KiB, the mean
of both roles (%.1f KiB of heap without the ESP SAs): %.2fx.
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
	fmt.Fprintf(b, `
From an error to what is done about it (retry, notify, delete, reset, ignore), for each
of the %d rows of the recovery table of which no timer is a part: at most %s (%s).
`, n, time.Duration(worst.ns).Round(time.Microsecond), strings.ReplaceAll(strings.TrimPrefix(worst.name, "Recovery/"), "_", " "))
}
