package faults

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
)

var whole = flag.Bool("all", false, "run every fault and write docs/accuracy.md")

// few are the faults and healthy variants of the ordinary test: one of each
// kind.
var few = []string{"no IKE group in common", "another PSK", "initiator claims another identity", "responder does not trust the initiator's authority",
	"responder knows other networks", "no ESP cipher in common", "firewall drops UDP 4500", "plain tunnel", "INVALID_KE once", "child rekeyed"}

func TestEachFaultOfARealTunnelIsNamedFirstAndNoHealthyOneIsBlamed(t *testing.T) {
	l := open(t)
	table := &Accuracy{}
	for _, f := range slices.Concat(HealthyVariants(), Faults()) {
		if !*whole && !slices.Contains(few, f.Name) {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			results, err := l.Run(ctx, &f)
			if err != nil {
				t.Fatal(err)
			}
			table.Add(&f, results)
			for _, r := range results {
				if r.Verdict == First || r.Verdict == Unseen || *whole && !f.Healthy() {
					continue // the whole table is judged by its shares
				}
				var found []string
				for _, d := range r.Findings {
					found = append(found, fmt.Sprintf("%s %s %s: %s", d.Severity, d.ID, d.Confidence, d.Summary))
				}
				t.Errorf("%s: %s, want %q first:\n%s", r.Source, r.Verdict, f.Want[r.Source], strings.Join(found, "\n"))
			}
		})
	}
	if !*whole {
		return
	}
	if err := os.WriteFile("../../docs/accuracy.md", []byte(table.Markdown()), 0o644); err != nil {
		t.Fatal(err)
	}
	for source, want := range map[Source]float64{VICIInitiator: 0.95, VICIResponder: 0.95, Keyed: 0.9, Sealed: 0.9} {
		if got := table.Share(source); got < want {
			t.Errorf("%s: the right id first for %.0f %%, want %.0f %%", source, 100*got, 100*want)
		}
	}
}

func open(t *testing.T) *Lab {
	t.Helper()
	lab.Need(t)
	l, err := Open(t.Context(), t.TempDir())
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTheTableOfFaultsIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range slices.Concat(Faults(), HealthyVariants()) {
		if f.Name == "" || seen[f.Name] {
			t.Errorf("the name %q stands twice", f.Name)
		}
		seen[f.Name] = true
		if len(f.Want) > 0 && len(f.Want) < len(Sources()) && f.Hidden == "" {
			t.Errorf("%s: no reason why a source cannot see it", f.Name)
		}
	}
	for _, name := range few {
		if !seen[name] {
			t.Errorf("no fault %q", name)
		}
	}
	if n, h := len(Faults()), len(HealthyVariants()); n < 60 || h < 20 {
		t.Errorf("%d faults and %d healthy variants", n, h)
	}
}
