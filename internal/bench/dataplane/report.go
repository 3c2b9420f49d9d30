//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/internal/bench/beside"
)

// report writes the figures in Markdown.
func (f *figures) report(o *options) string {
	var b strings.Builder
	fmt.Fprintf(&b, `Made by `+"`make bench-dataplane`"+`: tunnels between the same two network namespaces
in one run, joined by a veth pair with its offloads on. Every end is a process of its
own. Ours is `+"`cvlanctl ipsec run`"+` over TUN, AES-256-GCM; kernel-libipsec is strongSwan
%s with its ESP in user space, AES-256-GCM; wireguard-go is built from the same
module whose TUN we use, ChaCha20-Poly1305. The MTU inside is %s octets. Both ends,
sender and receiver share the machine: %s.

In each of %d rounds every tunnel has its turn, so that other work on the machine falls
on all alike: a TCP stream of %s (iperf3, every second round the other way); a search
for the highest rate of UDP packets with %d octets of data of which at most 1 %% is
lost; %d pings in a row, of which the median counts. What stands here are the medians of
the rounds, and behind them where the middle half of the rounds lies. A ratio is the
median of the rounds' own ratios. Processor time is that of the tunnel's two ends alone.

`, f.version, innerMTU, beside.Machine(), o.rounds, o.stream, payload, o.pings)
	b.WriteString(beside.Targets(f.targets()))
	b.WriteString(`
| tunnel | TCP Mbit/s | | against kernel-libipsec | against wireguard-go | processor time a GB |
|---|---:|---|---:|---:|---:|
`)
	mega := func(bits float64) string { return fmt.Sprintf("%.0f", bits/1e6) }
	for _, t := range tunnels {
		tcp, effort := f.tcp[t.name], "-"
		if t != veth {
			effort = fmt.Sprintf("%.2f s", beside.Median(f.effort[t.name]))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %.2fx | %.2fx | %s |\n", t.name, mega(beside.Median(tcp)), beside.Spread(tcp, mega),
			f.ratio(f.tcp, t, libipsec), f.ratio(f.tcp, t, wireguard), effort)
	}
	b.WriteString(`
| tunnel | packets/s | | against the better of the two | round trip | | added to veth's |
|---|---:|---|---:|---:|---|---:|
`)
	whole := func(n float64) string { return fmt.Sprintf("%.0f", n) }
	micro := func(d time.Duration) string { return fmt.Sprintf("%.0f µs", float64(d.Nanoseconds())/1000) }
	for _, t := range tunnels {
		packets, rtt, added := f.packets[t.name], f.rtt[t.name], "-"
		if t != veth {
			added = micro(beside.Median(f.added(t)))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %.2fx | %s | %s | %s |\n", t.name, whole(beside.Median(packets)), beside.Spread(packets, whole),
			f.ratio(f.packets, t, f.better()), micro(beside.Median(rtt)), beside.Spread(rtt, micro), added)
	}
	gcm, bare, ours := beside.Median(f.gcm), beside.Median(f.tcp[veth.name]), beside.Median(f.tcp[oursUDP.name])
	ceiling := 1 / (1/bare + 1/gcm) // two passes of the cipher, on two cores
	fmt.Fprintf(&b, `
The ceiling: one core seals or opens %.0f Mbit/s of 1400 octets in packets of
AES-256-GCM with Go's own cipher; the veth pair alone carries %.0f Mbit/s, with segments
of up to 64 KiB that nothing cuts. A tunnel that did nothing but the work of both, on two
cores without a pause, would carry %.0f Mbit/s. ESP in UDP reaches %.0f %% of that, ESP alone,
whose packets pass the system one by one, %.0f %%.
`, gcm/1e6, bare/1e6, ceiling/1e6, 100*ours/ceiling, 100*beside.Median(f.tcp[oursRaw.name])/ceiling)
	return b.String()
}

// compared tells what the figures of each tunnel are of each other's, round by
// round.
func (f *figures) compared(list []tunnel) string {
	var b strings.Builder
	for _, t := range list {
		fmt.Fprintf(&b, "%s: TCP %.0f Mbit/s, %.2f s/GB", t.name, beside.Median(f.tcp[t.name])/1e6, beside.Median(f.effort[t.name]))
		whole := len(f.rtt[t.name]) > 0
		if whole {
			fmt.Fprintf(&b, ", UDP %.0f packets/s, RTT %s", beside.Median(f.packets[t.name]), beside.Median(f.rtt[t.name]))
		}
		b.WriteString("\n")
		for _, other := range list {
			if other == t {
				continue
			}
			fmt.Fprintf(&b, "  of %s: TCP %.2fx at %.2fx the time", other.name, f.ratio(f.tcp, t, other), f.ratio(f.effort, t, other))
			if whole {
				fmt.Fprintf(&b, ", UDP %.2fx, RTT %.2fx", f.ratio(f.packets, t, other), beside.Median(beside.Ratios(f.rtt[t.name], f.rtt[other.name])))
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// ratio gives what a tunnel's figures are of another's, round by round.
func (f *figures) ratio(of map[string][]float64, t, other tunnel) float64 {
	return beside.Median(beside.Ratios(of[t.name], of[other.name]))
}

// better is the better of the others at small packets.
func (f *figures) better() tunnel {
	if beside.Median(f.packets[libipsec.name]) > beside.Median(f.packets[wireguard.name]) {
		return libipsec
	}
	return wireguard
}

// added is by how much a tunnel's round trip is longer than veth's.
func (f *figures) added(t tunnel) []time.Duration {
	var list []time.Duration
	for i, d := range f.rtt[t.name] {
		list = append(list, d-f.rtt[veth.name][i])
	}
	return list
}

func (f *figures) targets() []beside.Target {
	slower := min(f.ratio(f.packets, oursUDP, f.better()), f.ratio(f.packets, oursRaw, f.better()))
	longer := func(t tunnel) float64 { return beside.Median(beside.Ratios(f.added(t), f.added(wireguard))) }
	return []beside.Target{
		{What: "TCP by ESP in UDP, against kernel-libipsec", Have: f.ratio(f.tcp, oursUDP, libipsec), Want: 5},
		{What: "TCP by ESP in UDP, against wireguard-go", Have: f.ratio(f.tcp, oursUDP, wireguard), Want: 1},
		{What: "TCP by ESP alone, against wireguard-go", Have: f.ratio(f.tcp, oursRaw, wireguard), Want: 1},
		{What: "small packets, by the slower of ours, against the better of the two", Have: slower, Want: 1},
		{What: "TCP by ESP in UDP, against ESP alone (what NAT traversal costs)", Have: f.ratio(f.tcp, oursUDP, oursRaw), Want: 0.95},
		{What: "round trip added, by the slower of ours, against wireguard-go", Have: max(longer(oursUDP), longer(oursRaw)), Want: 1.5, AtMost: true},
	}
}
