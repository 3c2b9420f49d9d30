package capture

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/lab/need"
	"github.com/google/gopacket/pcapgo"
)

// written are frames of two link types, as a file of them.
func written(t testing.TB) ([]Frame, []byte) {
	t.Helper()
	at := time.Unix(1_700_000_000, 123_456_789).UTC()
	eth := append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 6}, make([]byte, 46)...)
	frames := []Frame{
		{Number: 1, Time: at, Link: LinkEthernet, Length: 1500, Data: eth},
		{Number: 2, Time: at.Add(time.Nanosecond), Link: LinkRaw, Length: 21, Data: append([]byte{0x45, 0, 0, 21, 0, 0, 0, 0, 64, 50}, make([]byte, 11)...), Comment: "a comment, with ümlauts"},
		{Number: 3, Link: LinkEthernet, Length: len(eth), Data: eth},
	}
	var b bytes.Buffer
	w, err := NewWriter(&b, WriterOptions{Application: "a test", Interface: "eth0", Filter: "udp 500, 4500", Comment: "about the file"})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		if err := w.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return frames, b.Bytes()
}

func TestWrittenFramesReadBackTheSame(t *testing.T) {
	want, b := written(t)
	got := mustRead(t, b)
	if len(got) != len(want) {
		t.Fatalf("%d frames, want %d", len(got), len(want))
	}
	for i, f := range got {
		w := want[i]
		if w.Time.IsZero() {
			w.Time = time.Unix(0, 0)
		}
		if f.Number != w.Number || !f.Time.Equal(w.Time) || f.Link != w.Link || f.Length != w.Length || f.Comment != w.Comment || !bytes.Equal(f.Data, w.Data) {
			t.Errorf("frame %d is %+v, want %+v", i+1, f, w)
		}
	}
}

func TestWrittenFileIsReadByGopacket(t *testing.T) {
	want, b := written(t)
	r, err := pcapgo.NewNgReader(bytes.NewReader(b), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range want {
		data, info, err := r.ReadPacketData()
		if err != nil {
			t.Fatalf("frame %d: %v", i+1, err)
		}
		if !bytes.Equal(data, f.Data) || info.Length != f.Length || !f.Time.IsZero() && !info.Timestamp.Equal(f.Time) {
			t.Errorf("frame %d is %x at %v, length %d", i+1, data, info.Timestamp, info.Length)
		}
	}
	if _, _, err := r.ReadPacketData(); err != io.EOF {
		t.Errorf("after the last frame: %v", err)
	}
	in, err := r.Interface(0)
	if err != nil || in.Name != "eth0" || in.Filter != "udp 500, 4500" || in.TimestampResolution != 9 {
		t.Errorf("interface is %+v, %v", in, err)
	}
	if s := r.SectionInfo(); s.Application != "a test" || s.Comment != "about the file" {
		t.Errorf("section is %+v", s)
	}
}

func TestWrittenFileIsReadByTshark(t *testing.T) {
	tshark := need.Program(t, "tshark")
	_, b := written(t)
	path := filepath.Join(t.TempDir(), "written.pcapng")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tshark, "-n", "-r", path, "-T", "fields", "-E", "separator=|",
		"-e", "frame.number", "-e", "frame.time_epoch", "-e", "frame.len", "-e", "frame.cap_len", "-e", "frame.interface_name", "-e", "frame.comment")
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v: %s", err, complaint.String())
	}
	// Versions of tshark differ in how they write the time of frame 3.
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	want := []string{
		"1|1700000000.123456789|1500|60|eth0|",
		"2|1700000000.123456790|21|21|eth0|a comment, with ümlauts",
	}
	if len(lines) != 3 || !slices.Equal(lines[:2], want) || !strings.HasSuffix(lines[2], "|60|60|eth0|") {
		t.Errorf("tshark reads\n%s\nwant\n%s", out, strings.Join(want, "\n"))
	}
}

func TestWriterRefusesWhatAReaderWould(t *testing.T) {
	w, err := NewWriter(io.Discard, WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(Frame{Number: 1, Data: make([]byte, maxFrame+1)}); err == nil {
		t.Error("a frame beyond the limit was written")
	}
	if err := w.Write(Frame{Number: 1, Link: 1 << 16}); err == nil {
		t.Error("a link type beyond 16 bits was written")
	}
}

func TestLongTextsAreCutToWhatFits(t *testing.T) {
	var b bytes.Buffer
	long := strings.Repeat("ü", 40_000)
	w, err := NewWriter(&b, WriterOptions{Application: long, Interface: long, Filter: long, Comment: long})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(Frame{Link: LinkRaw, Data: frameA, Comment: "x" + long}); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	f := mustRead(t, b.Bytes())[0]
	if want := "x" + strings.Repeat("ü", (maxText-1)/2); f.Comment != want {
		t.Errorf("comment of %d octets, want %d", len(f.Comment), len(want))
	}
}
