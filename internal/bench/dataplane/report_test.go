//go:build linux

package main

import (
	"strings"
	"testing"
	"time"
)

func TestTheReportComparesEveryTunnelAndSaysWhatIsMet(t *testing.T) {
	f := newFigures("5.9.8")
	f.gcm = []float64{1, 20e9, 30e9}
	for i, way := range tunnels {
		n := float64(i + 1)
		f.tcp[way.name] = []float64{n * 9e12, n * 1e9, n * 1e6}
		f.effort[way.name] = []float64{1, n, 9}
		f.packets[way.name] = []float64{9e12 * n, n * 1e4, n}
		f.rtt[way.name] = []time.Duration{time.Duration(i+1) * time.Hour, time.Duration(i+1) * 10 * time.Microsecond, time.Duration(i + 1)}
	}
	text := f.report(&options{rounds: 3, stream: time.Second, pings: 10})
	for _, want := range []string{"| veth alone | 1000 | 500 to 4500500 | 0.50x | 0.33x | - |", "| kernel-libipsec | 2000 | 1001 to 9001000 | 1.00x | 0.67x | 2.00 s |",
		"| ours, ESP in UDP | 40000 | 20002 to 18000000020000 | 1.33x | 40 µs |", "| 30 µs |",
		"TCP by ESP in UDP, against kernel-libipsec | at least 5.0x | 2.00x | missed |", "TCP by ESP alone, against wireguard-go | at least 1.0x | 1.67x | met |",
		"against wireguard-go | at most 1.5x | 2.00x | missed |", "opens 20000 Mbit/s", "would carry 952 Mbit/s"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report has no %q:\n%s", want, text)
		}
	}
}
