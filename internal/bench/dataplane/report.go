//go:build linux

package main

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// report writes the figures in Markdown.
func (f *figures) report(o *options) string {
	var b strings.Builder
	fmt.Fprintf(&b, `Made by `+"`make bench-dataplane`"+`: tunnels between the same two network namespaces
in one run, joined by a veth pair with its offloads on. Every end is a process of its
own. Ours is `+"`cvlanctl ipsec run`"+` over TUN, AES-256-GCM; kernel-libipsec is strongSwan
%s with its ESP in user space, AES-256-GCM; wireguard-go is built from the same
module whose TUN we use, ChaCha20-Poly1305. The MTU inside is %s octets. All take
turns, so that other work on the machine falls on all alike; compare what stands in
one table. Both ends, sender and receiver share the machine: %s.

One TCP stream (iperf3), %s each, %d times, every second time the other way, median;
packets are UDP with %d octets of data, at the highest rate of which at most 1 %% is lost,
median of %d searches; the round trip is the median of %d pings in a row, and of %d
rows the median:

| tunnel | TCP Mbit/s | against kernel-libipsec | against wireguard-go | packets/s | against the better of both | round trip | added to veth's |
|---|---:|---:|---:|---:|---:|---:|---:|
`, f.version, innerMTU, machine(), o.stream, o.repeats, payload, o.repeats, o.pings/rounds, o.repeats*rounds)
	tcp := func(t tunnel) float64 { return median(f.tcp[t.name]) }
	packets := func(t tunnel) float64 { return median(f.packets[t.name]) }
	rtt := func(t tunnel) time.Duration { return median(f.rtt[t.name]) }
	better := max(packets(libipsec), packets(wireguard))
	for _, t := range tunnels {
		added := "-"
		if t != veth {
			added = fmt.Sprintf("%.0f µs", float64((rtt(t)-rtt(veth)).Nanoseconds())/1000)
		}
		fmt.Fprintf(&b, "| %s | %.0f | %.2fx | %.2fx | %.0f | %.2fx | %.0f µs | %s |\n", t.name, tcp(t)/1e6, tcp(t)/tcp(libipsec), tcp(t)/tcp(wireguard),
			packets(t), packets(t)/better, float64(rtt(t).Nanoseconds())/1000, added)
	}
	fmt.Fprintf(&b, `
Our round trip adds %.2f times what wireguard-go's adds. ESP in UDP carries %.2f times
as much TCP as ESP alone.

The ceiling: one core seals or opens %.0f Mbit/s of 1400 octets in packets of
AES-256-GCM with Go's own cipher; the veth pair alone carries %.0f Mbit/s, with segments
of up to 64 KiB that nothing cuts. Our TCP through the tunnel is %.0f %% of what one core's
cipher allows.
`, float64(rtt(oursUDP)-rtt(veth))/float64(rtt(wireguard)-rtt(veth)), tcp(oursUDP)/tcp(oursRaw), f.gcm/1e6, tcp(veth)/1e6, 100*tcp(oursUDP)/f.gcm)
	return b.String()
}

// machine describes what the figures were taken on.
func machine() string {
	model := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`(?m)^model name\s*:\s*(.+)$`).FindSubmatch(b); m != nil {
			model = string(m[1])
		}
	}
	var u unix.Utsname
	kernel := "unknown"
	if unix.Uname(&u) == nil {
		kernel, _, _ = strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
	}
	return fmt.Sprintf("%d CPUs (%s), Linux %s, %s", runtime.NumCPU(), model, kernel, runtime.Version())
}
