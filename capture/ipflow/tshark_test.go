package ipflow_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/capture/ipflow"
	"github.com/cloudvlan/cvlanctl/lab/need"
)

// corpusFiles are the project's recorded captures.
func corpusFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../testdata/captures/*.pcap*")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("testdata/captures holds no capture")
	}
	return files
}

// TestDatagramsOfTheCorpusAreThoseThatTsharkSees reads all captures, writes
// them as one file, and compares what becomes of each frame: addresses, ports
// and lengths, with IP fragments put together.
func TestDatagramsOfTheCorpusAreThoseThatTsharkSees(t *testing.T) {
	tshark := need.Program(t, "tshark")
	src, err := capture.Open(corpusFiles(t), capture.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "all.pcapng")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := capture.NewWriter(file, capture.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w := ipflow.New(ipflow.Options{})
	var ours []string
	for f, err := range src.Frames() {
		if err != nil {
			t.Fatal(err)
		}
		if err := out.Write(f); err != nil {
			t.Fatal(err)
		}
		// Frames without IP, such as ARP, are compared by their absence.
		_ = w.Walk(f, func(d *ipflow.Datagram) {
			line := fmt.Sprintf("%d %v %v %d", f.Number, d.Src, d.Dst, d.Proto)
			switch d.Proto {
			case ipflow.ProtoUDP:
				line += fmt.Sprintf(" %d %d %d", d.SrcPort, d.DstPort, len(d.Payload)+8)
			case ipflow.ProtoESP, ipflow.ProtoAH:
			default:
				return
			}
			ours = append(ours, line)
		})
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}

	cmd := exec.CommandContext(t.Context(), tshark, "-n", "-r", path, "-T", "fields", "-E", "occurrence=f", "-E", "separator=|",
		"-Y", "udp or esp or ah",
		"-e", "frame.number", "-e", "ip.src", "-e", "ip.dst", "-e", "ipv6.src", "-e", "ipv6.dst", "-e", "ip.proto", "-e", "udp.srcport", "-e", "udp.dstport", "-e", "udp.length", "-e", "frame.protocols")
	var complaint strings.Builder
	cmd.Stderr = &complaint
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v: %s", err, complaint.String())
	}
	var theirs []string
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for lines.Scan() {
		v := strings.Split(lines.Text(), "|")
		if strings.Contains(v[9], "icmp") {
			continue // the UDP is one that an error quotes
		}
		proto := v[5]
		if proto == "" {
			proto = "17"
			if v[6] == "" {
				proto = "50"
			}
		}
		line := v[0] + " " + v[1] + v[3] + " " + v[2] + v[4] + " " + proto
		if v[6] != "" {
			line += " " + v[6] + " " + v[7] + " " + v[8]
		}
		theirs = append(theirs, line)
	}
	if len(theirs) == 0 {
		t.Fatal("tshark sees no datagram")
	}
	if diff := cmp.Diff(theirs, ours); diff != "" {
		t.Errorf("datagrams differ (-tshark +ours):\n%s", diff)
	}
	t.Logf("%d datagrams of %d frames, %d put together from fragments", len(ours), w.Stats().Frames, w.Stats().Reassembled)
}
