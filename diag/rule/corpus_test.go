package rule_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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

// diagnose runs every rule over a capture file, with keys where given.
func diagnose(t *testing.T, file, keys string) []diag.Finding {
	t.Helper()
	var o dissect.Options
	if keys != "" {
		tables, err := keylog.Load([]string{keys})
		if err != nil {
			t.Fatal(err)
		}
		o.Keys = tables
	}
	src, err := capture.Open([]string{file}, capture.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tr := trace.New(trace.Options{})
	for e, err := range dissect.New(o).Events(src) {
		if err != nil {
			t.Fatal(err)
		}
		tr.Add(e)
	}
	return diag.Diagnose(&diag.Facts{Source: "pcap:" + filepath.Base(file), Trace: tr, Now: tr.Last}, rule.All())
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
		file := filepath.Join(corpus, c.File)
		t.Run(c.Name, func(t *testing.T) { judge(t, c, diagnose(t, file, ""), false) })
		if c.Keys != "" {
			t.Run(c.Name+" with keys", func(t *testing.T) {
				judge(t, c, diagnose(t, file, filepath.Join(corpus, c.Keys)), true)
			})
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
