//go:build linux

package main

import (
	"strings"
	"testing"
	"time"
)

func TestTheReportComparesEveryTunnel(t *testing.T) {
	f := &figures{version: "5.9.8", gcm: 20e9, tcp: map[string][]float64{}, packets: map[string][]float64{}, rtt: map[string][]time.Duration{}}
	for i, way := range tunnels {
		n := float64(i + 1)
		f.tcp[way.name] = []float64{9e12, n * 1e9, 0}
		f.packets[way.name] = []float64{9e12, n * 1e4, 0}
		f.rtt[way.name] = []time.Duration{time.Hour, time.Duration(i+1) * 10 * time.Microsecond, 0}
	}
	text := f.report(&options{repeats: 3, stream: time.Second, pings: 10})
	for _, want := range []string{"| veth alone | 1000 | 0.50x | 0.33x | 10000 | 0.33x | 10 µs | - |", "| kernel-libipsec | 2000 | 1.00x | 0.67x | 20000 | 0.67x | 20 µs | 10 µs |",
		"| ours, ESP in UDP | 4000 | 2.00x | 1.33x | 40000 | 1.33x | 40 µs | 30 µs |", "adds 1.50 times", "carries 0.80 times", "opens 20000 Mbit/s", "is 20 % of"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report has no %q:\n%s", want, text)
		}
	}
}
