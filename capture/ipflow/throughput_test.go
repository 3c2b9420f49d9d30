package ipflow_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/capture/ipflow"
)

// BenchmarkFileToDatagrams reads a capture of small ESP-in-UDP frames and
// takes each frame apart: what every command does before it looks at IPsec.
func BenchmarkFileToDatagrams(b *testing.B) {
	const frames = 200_000
	path := filepath.Join(b.TempDir(), "bench.pcapng")
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w, err := capture.NewWriter(file, capture.WriterOptions{})
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 14+20+8+100)
	copy(data[12:], "\x08\x00\x45\x00\x00\x80\x00\x00\x40\x00\x40\x11\x00\x00\xc0\x00\x02\x01\xc0\x00\x02\x02\x11\x94\x11\x94\x00\x6c\x00\x00\xc0\x01\x02\x03")
	for range frames {
		if err := w.Write(capture.Frame{Link: capture.LinkEthernet, Length: len(data), Data: data}); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := file.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		src, err := capture.Open([]string{path}, capture.FileOptions{})
		if err != nil {
			b.Fatal(err)
		}
		walker, n := ipflow.New(ipflow.Options{}), 0
		yield := func(d *ipflow.Datagram) { n += len(d.Payload) }
		for f, err := range src.Frames() {
			if err != nil {
				b.Fatal(err)
			}
			if err := walker.Walk(f, yield); err != nil {
				b.Fatal(err)
			}
		}
		if n != frames*100 {
			b.Fatalf("%d octets of payload", n)
		}
	}
	b.ReportMetric(float64(frames)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mframes/s")
}
