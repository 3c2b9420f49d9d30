package rule_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/capture/dissect"
	"github.com/cloudvlan/cvlanctl/capture/keylog"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

const corpus = "../../testdata/captures"

// recorded is what the manifest of the corpus says about a capture.
type recorded struct {
	Name   string   `json:"name"`
	File   string   `json:"file"`
	Keys   string   `json:"keys"`
	Expect []string `json:"expect"`
}

func manifest(t *testing.T) []recorded {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(corpus, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Captures []recorded `json:"captures"`
	}
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	if len(m.Captures) == 0 {
		t.Fatal("the manifest lists no captures")
	}
	return m.Captures
}

// frames is a source of frames that are in memory.
type frames []capture.Frame

func (fs frames) Frames() iter.Seq2[capture.Frame, error] {
	return func(yield func(capture.Frame, error) bool) {
		for _, f := range fs {
			if !yield(f, nil) {
				return
			}
		}
	}
}

// load reads a capture file into memory.
func load(t *testing.T, file string) frames {
	t.Helper()
	src, err := capture.Open([]string{file}, capture.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var fs frames
	for f, err := range src.Frames() {
		if err != nil {
			t.Fatal(err)
		}
		f.Data = slices.Clone(f.Data)
		fs = append(fs, f)
	}
	return fs
}

// options reads the keys of a capture, where it has any.
func options(t *testing.T, keys string) dissect.Options {
	t.Helper()
	if keys == "" {
		return dissect.Options{}
	}
	tables, err := keylog.Load([]string{keys})
	if err != nil {
		t.Fatal(err)
	}
	return dissect.Options{Keys: tables}
}

// diagnose runs every rule over frames.
func diagnose(t *testing.T, fs frames, o dissect.Options) []diag.Finding {
	t.Helper()
	tr := trace.New(trace.Options{})
	for e, err := range dissect.New(o).Events(fs) {
		if err != nil {
			t.Fatal(err)
		}
		tr.Add(e)
	}
	return diag.Diagnose(&diag.Facts{Source: "pcap:corpus", Trace: tr, Now: tr.Last}, rule.All())
}

// refusals of a child look alike on the wire: without keys either may come
// first, and both have to be named.
var alikeWithoutKeys = map[string]string{
	"ts-unacceptable":           "no-proposal-child-initial",
	"no-proposal-child-initial": "ts-unacceptable",
}

// TestEveryRecordedFaultIsNamedFirstAndNoHealthyTunnelIsBlamed holds the
// corpus of real captures to its manifest, without keys and with them.
func TestEveryRecordedFaultIsNamedFirstAndNoHealthyTunnelIsBlamed(t *testing.T) {
	for _, c := range manifest(t) {
		fs := load(t, filepath.Join(corpus, c.File))
		t.Run(c.Name, func(t *testing.T) { judge(t, c, diagnose(t, fs, dissect.Options{}), false) })
		if c.Keys != "" {
			t.Run(c.Name+" with keys", func(t *testing.T) {
				judge(t, c, diagnose(t, fs, options(t, filepath.Join(corpus, c.Keys))), true)
			})
		}
	}
}

// TestAHealthyCaptureCutAnywhereStaysHealthy takes away the beginning or the
// end of every healthy capture, at every frame: what is missing then is no
// fault of the tunnel.
func TestAHealthyCaptureCutAnywhereStaysHealthy(t *testing.T) {
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
			// Long captures are cut at a part of their frames.
			for at := 1; at < len(fs); at += 1 + len(fs)/100 {
				for name, part := range map[string]frames{"before": fs[:at], "from": fs[at:]} {
					for _, f := range diagnose(t, part, o) {
						if f.Severity < diag.Info {
							t.Errorf("%s, keys %q, the part %s frame %d: %s", c.Name, keys, name, fs[at].Number, line(f))
						}
					}
				}
			}
		}
	}
}

// TestDamagedCapturesAreJudgedWithoutAPanic changes octets of every capture
// behind its IP headers: whatever comes of it, each finding is whole.
func TestDamagedCapturesAreJudgedWithoutAPanic(t *testing.T) {
	rng := rand.New(rand.NewPCG(77, 4))
	for _, c := range manifest(t) {
		whole := load(t, filepath.Join(corpus, c.File))
		o := dissect.Options{}
		if c.Keys != "" {
			o = options(t, filepath.Join(corpus, c.Keys))
		}
		for range 20 {
			fs := make(frames, len(whole))
			for i, f := range whole {
				f.Data = slices.Clone(f.Data)
				if len(f.Data) > 60 && rng.IntN(3) == 0 {
					for range 1 + rng.IntN(3) {
						f.Data[42+rng.IntN(len(f.Data)-42)] ^= byte(1 + rng.IntN(255))
					}
				}
				fs[i] = f
			}
			for _, f := range diagnose(t, fs, o) {
				checkFinding(t, f)
			}
		}
	}
}

func judge(t *testing.T, c recorded, found []diag.Finding, keyed bool) {
	if len(c.Expect) == 0 {
		for _, f := range found {
			if f.Severity < diag.Info {
				t.Errorf("healthy, yet: %s", line(f))
			}
		}
		return
	}
	if len(found) == 0 {
		t.Fatalf("nothing found, want %v", c.Expect)
	}
	first := found[0].ID
	if first != c.Expect[0] && (keyed || alikeWithoutKeys[c.Expect[0]] != first) {
		for _, f := range found {
			t.Log(line(f))
		}
		t.Errorf("first is %s, want %s", first, c.Expect[0])
	}
	named := map[string]bool{}
	for _, f := range found {
		named[f.ID] = true
		for _, id := range f.Consequences {
			named[id] = true
		}
	}
	for _, id := range c.Expect {
		if !named[id] {
			t.Errorf("%s is not named", id)
		}
	}
}

func line(f diag.Finding) string {
	return fmt.Sprintf("%s %s %s %s: %s", f.Severity, f.ID, f.Confidence, f.Ownership, f.Summary)
}
