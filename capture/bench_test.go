package capture

import (
	"encoding/binary"
	"slices"
	"testing"
)

const benchFrames = 200_000

func benchmarkRead(b *testing.B, name string, file []byte) {
	path := put(b, name, file)
	b.ReportAllocs()
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		src, err := Open([]string{path}, FileOptions{})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for _, err := range src.Frames() {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != benchFrames {
			b.Fatalf("%d frames", n)
		}
	}
	b.ReportMetric(float64(benchFrames)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mframes/s")
}

func BenchmarkReadPcap(b *testing.B) {
	frames := make([][]byte, benchFrames)
	for i := range frames {
		frames[i] = make([]byte, 100)
	}
	benchmarkRead(b, "bench.pcap", pcapFile(binary.LittleEndian, 0xa1b2c3d4, 1, 0, frames...))
}

func BenchmarkReadPcapng(b *testing.B) {
	n := ng{binary.LittleEndian}
	one := n.enhanced(0, 1_700_000_000_000_000, make([]byte, 100))
	benchmarkRead(b, "bench.pcapng", slices.Concat(n.section(), n.face(1, 0), slices.Repeat(one, benchFrames)))
}
