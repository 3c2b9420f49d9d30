package rule_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudvlan/cvlanctl/capture/dissect"
	"github.com/cloudvlan/cvlanctl/diag"
)

// TestEveryCaptureIsJudgedAsItsGoldenSays holds all that is found on each capture
// of the corpus, without keys and with them: a finding more, one less, or another
// word is a change that somebody has to have read.
func TestEveryCaptureIsJudgedAsItsGoldenSays(t *testing.T) {
	for _, c := range manifest(t) {
		t.Run(c.Name, func(t *testing.T) {
			fs := load(t, filepath.Join(corpus, c.File))
			var b strings.Builder
			fmt.Fprintf(&b, "without keys\n%s", told(diagnose(t, fs, dissect.Options{})))
			if c.Keys != "" {
				fmt.Fprintf(&b, "\nwith keys\n%s", told(diagnose(t, fs, options(t, filepath.Join(corpus, c.Keys)))))
			}
			path := filepath.Join("testdata", "corpus", c.Name+".golden")
			if *update {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), b.String()); d != "" {
				t.Errorf("(-golden +now), -update writes it anew:\n%s", d)
			}
		})
	}
}

// told writes findings with what shows them, and what follows from them.
func told(found []diag.Finding) string {
	var b strings.Builder
	for i := range found {
		f := &found[i]
		fmt.Fprintf(&b, "  %s\n", line(*f))
		for _, e := range f.Evidence {
			fmt.Fprintf(&b, "    frame %d: %s\n", e.Frame, e.What)
		}
		if len(f.Consequences) > 0 {
			fmt.Fprintf(&b, "    from which follow: %s\n", strings.Join(f.Consequences, ", "))
		}
	}
	if len(found) == 0 {
		b.WriteString("  nothing\n")
	}
	return b.String()
}
