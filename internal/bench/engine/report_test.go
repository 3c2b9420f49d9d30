package main

import (
	"strings"
	"testing"
	"time"
)

func TestTheReportComparesEveryPairWithCharons(t *testing.T) {
	f := &figures{version: "5.9.8", times: map[pairing][]handshake{}, load: map[pairing][]load{},
		memory: memory{n: 10, charon: 16 << 10, ours: 8 << 10},
		inside: []benchmark{{name: "Handshake", ns: 250e3}, {name: "LivenessCheck", ns: 4e3}, {name: "Memory", octets: 7 << 10},
			{name: "Recovery/A_during_child", ns: 2e3}, {name: "Recovery/B_during_child", ns: 5e3}}}
	for i, p := range pairings {
		n := time.Duration(i + 1)
		usual := handshake{initial: n * time.Millisecond / 2, auth: n * time.Millisecond / 2}
		f.times[p] = []handshake{{initial: 9 * time.Second}, usual, usual}
		f.load[p] = []load{{n: 100, wall: time.Second, cpu: n * 100 * time.Millisecond, responder: 100 * time.Millisecond}}
	}
	text := f.report(&options{rounds: 3, load: 100, repeats: 1})
	for _, want := range []string{"| ours to ours | 1.00 ms | 1.00 ms to 4500.50 ms | 0.50 ms | 0.50 ms | 0.00 ms | 0.25x |", "| charon to charon | 4.00 ms |",
		"time on the wire, ours to charon | at most 0.7x | 0.50x | met |", "handshakes of a core, ours to ours, against charon to charon | at least 2.0x | 4.00x | met |",
		"| ours to ours | 100 | 1000 | 1000 | 1.00 ms | 4.00x |", "takes 1.00 ms of processor time", "0.50 ms: 2.0 times", "1.00 ms or 0.25x of a handshake of\ntwo charons: 0.45x are left for our turn", "the row would be at 0.75x", "its turn alone takes 0.38x; our two answers take 0.38x",
		"by 16.0 KiB of resident memory for each, we by 8.0 KiB", "(7.0 KiB of heap without the ESP SAs): 0.50x", "the 2 rows", "at most 5µs (B during child)"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report has no %q:\n%s", want, text)
		}
	}
}

func TestBenchmarkLinesAreRead(t *testing.T) {
	m := benchLine.FindStringSubmatch("BenchmarkMemory-2   \t       1\t4890883360 ns/op\t      7508 octets/SA")
	if m == nil || m[1] != "Memory" || m[2] != "4890883360" || m[3] != "7508" {
		t.Errorf("read as %q", m)
	}
}
