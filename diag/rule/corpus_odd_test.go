package rule_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/capture/dissect"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// TestAHealthyCaptureTakenBadlyStaysHealthy changes what a way of capturing
// changes, and no more: a tunnel is not to blame for it.
func TestAHealthyCaptureTakenBadlyStaysHealthy(t *testing.T) {
	ways := map[string]func(frames) frames{
		"with the first 96 octets of each frame": func(fs frames) frames {
			out := make(frames, len(fs))
			for i, f := range fs {
				f.Data = f.Data[:min(len(f.Data), 96)]
				out[i] = f
			}
			return out
		},
		"at a port that mirrors both directions": func(fs frames) frames {
			var out frames
			for _, f := range fs {
				out = append(out, f, f)
			}
			for i := range out {
				out[i].Number = int64(i + 1)
			}
			return out
		},
		"without every seventh frame": func(fs frames) frames {
			var out frames
			for i, f := range fs {
				if i%7 != 6 {
					out = append(out, f)
				}
			}
			return out
		},
	}
	for _, c := range manifest(t) {
		if len(c.Expect) > 0 {
			continue
		}
		fs := load(t, filepath.Join(corpus, c.File))
		for _, keys := range []string{"", c.Keys} {
			o := dissect.Options{}
			if keys != "" {
				o = options(t, filepath.Join(corpus, keys))
			}
			for name, way := range ways {
				for _, f := range diagnose(t, way(fs), o) {
					if f.Severity < diag.Info {
						t.Errorf("%s, keys %q, %s: %s", c.Name, keys, name, line(f))
					}
				}
			}
		}
	}
}

// TestACaptureFileThatEndsAnywhereBlamesNoHealthyTunnel cuts the files of
// healthy tunnels in the middle of a frame: what was readable is judged.
func TestACaptureFileThatEndsAnywhereBlamesNoHealthyTunnel(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cut.pcap")
	for _, c := range manifest(t) {
		if len(c.Expect) > 0 {
			continue
		}
		whole, err := os.ReadFile(filepath.Join(corpus, c.File))
		if err != nil {
			t.Fatal(err)
		}
		for at := 1; at < len(whole); at += 1 + len(whole)/23 {
			if err := os.WriteFile(file, whole[:at], 0o600); err != nil {
				t.Fatal(err)
			}
			for _, f := range diagnoseFile(t, file) {
				if f.Severity < diag.Info {
					t.Errorf("%s, cut at octet %d: %s", c.Name, at, line(f))
				}
			}
		}
		// A damaged header of a frame in the middle: its length is nonsense.
		damaged := bytes.Clone(whole)
		copy(damaged[len(damaged)/2:], bytes.Repeat([]byte{0xff}, 16))
		if err := os.WriteFile(file, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, f := range diagnoseFile(t, file) {
			checkFinding(t, f)
		}
	}
}

// diagnoseFile judges what of a file is readable.
func diagnoseFile(t *testing.T, file string) []diag.Finding {
	t.Helper()
	src, err := capture.Open([]string{file}, capture.FileOptions{})
	if err != nil {
		return nil // it is no capture file at all
	}
	tr := trace.New(trace.Options{})
	for e, err := range dissect.New(dissect.Options{}).Events(src) {
		if err != nil {
			break // the end of what is readable
		}
		tr.Add(e)
	}
	return diag.Diagnose(&diag.Facts{Source: "pcap:cut", Trace: tr, Now: tr.Last}, rule.All())
}
