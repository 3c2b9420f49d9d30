package ipflow_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/capture/ipflow"
)

const benchFrames = 200_000

// benchFile is a capture of small ESP-in-UDP frames.
func benchFile(b *testing.B) string {
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
	for range benchFrames {
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
	return path
}

func report(b *testing.B, payload int) {
	if payload != benchFrames*100 {
		b.Fatalf("%d octets of payload", payload)
	}
	b.ReportMetric(benchFrames*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mframes/s")
}

// BenchmarkFileToDatagrams reads a capture and takes each frame apart: what
// every command does before it looks at IPsec.
func BenchmarkFileToDatagrams(b *testing.B) {
	path, n := benchFile(b), 0
	b.ReportAllocs()
	for b.Loop() {
		src, err := capture.Open([]string{path}, capture.FileOptions{})
		if err != nil {
			b.Fatal(err)
		}
		n = 0
		walker := ipflow.New(ipflow.Options{})
		yield := func(d *ipflow.Datagram) { n += len(d.Payload) }
		for f, err := range src.Frames() {
			if err != nil {
				b.Fatal(err)
			}
			if err := walker.Walk(f, yield); err != nil {
				b.Fatal(err)
			}
		}
	}
	report(b, n)
}

// BenchmarkFileToDatagramsWithGopacket does the same in gopacket's fastest
// way, without fragments, tunnels and streams.
func BenchmarkFileToDatagramsWithGopacket(b *testing.B) {
	path, n := benchFile(b), 0
	b.ReportAllocs()
	for b.Loop() {
		file, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		r, err := pcapgo.NewNgReader(file, pcapgo.DefaultNgReaderOptions)
		if err != nil {
			b.Fatal(err)
		}
		var (
			eth     layers.Ethernet
			ip      layers.IPv4
			udp     layers.UDP
			body    gopacket.Payload
			decoded []gopacket.LayerType
		)
		parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &eth, &ip, &udp, &body)
		parser.IgnoreUnsupported = true
		n = 0
		for {
			data, _, err := r.ZeroCopyReadPacketData()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			if err := parser.DecodeLayers(data, &decoded); err != nil {
				b.Fatal(err)
			}
			n += len(udp.Payload)
		}
		if err := file.Close(); err != nil {
			b.Fatal(err)
		}
	}
	report(b, n)
}
