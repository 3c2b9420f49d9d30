package ipflow

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/lab/need"
)

// TestFramesOfTheseTestsMeanTheSameToTshark guards the other tests against
// frames that only this package takes for what they are meant to be.
func TestFramesOfTheseTestsMeanTheSameToTshark(t *testing.T) {
	tshark := need.Program(t, "tshark")
	var frames []capture.Frame
	var names []string
	for _, c := range linkFrames(t) {
		names, frames = append(names, c.name), append(frames, frame(int64(len(frames)+1), c.link, c.data))
	}
	for _, c := range tunnelFrames(t) {
		names, frames = append(names, c.name), append(frames, frame(int64(len(frames)+1), capture.LinkRaw, c.data))
	}
	path := filepath.Join(t.TempDir(), "frames.pcapng")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := capture.NewWriter(file, capture.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		if err := out.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := exec.CommandContext(t.Context(), tshark, "-n", "-r", path, "-T", "fields", "-E", "occurrence=l", "-E", "separator=|",
		"-e", "udp.srcport", "-e", "udp.dstport", "-e", "udp.length", "-e", "vlan.id", "-e", "frame.protocols").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != len(frames) {
		t.Fatalf("tshark reads %d frames of %d", len(lines), len(frames))
	}
	w := New(Options{})
	for i, line := range lines {
		d := one(t, walk(t, w, frames[i]))
		want := fmt.Sprintf("%d|%d|%d|", d.SrcPort, d.DstPort, len(d.Payload)+8)
		if n := len(d.VLANs); n > 0 {
			want += fmt.Sprint(d.VLANs[n-1])
		}
		if !strings.HasPrefix(line, want+"|") {
			t.Errorf("%s: tshark reads %q, want %q", names[i], line, want)
		}
	}
}
