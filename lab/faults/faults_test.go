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

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/lab"
)

var (
	whole = flag.Bool("all", false, "run every fault and write docs/accuracy.md")
	show  = flag.Bool("show", false, "log what each source finds, right or not")
)

// few are the faults and healthy variants of the ordinary test: one of each
// kind.
var few = []string{"no IKE group in common", "another PSK", "initiator claims another identity", "responder does not trust the initiator's authority",
	"no ESP cipher in common", "firewall drops UDP 4500", "the host does not forward", "plain tunnel", "INVALID_KE once", "child rekeyed"}

func TestEachFaultOfARealTunnelIsNamedFirstAndNoHealthyOneIsBlamed(t *testing.T) {
	lab.Need(t)
	if *whole {
		lab.NeedGuests(t)
	}
	all := slices.Concat(HealthyVariants(), Faults())
	results := make([][]Result, len(all))
	// Most of the time goes by in waiting for silence: the groups wait at once.
	t.Run("faults", func(t *testing.T) {
		for group := range groups {
			t.Run(group, func(t *testing.T) {
				t.Parallel()
				l := Open(t.TempDir())
				t.Cleanup(func() {
					if err := l.Close(); err != nil {
						t.Error(err)
					}
				})
				for i := range all {
					if f := &all[i]; groupOf(f) == group && (*whole || slices.Contains(few, f.Name)) {
						t.Run(f.Name, func(t *testing.T) { results[i] = try(t, l, f) })
					}
				}
			})
		}
	})
	table := &Accuracy{}
	for i, r := range results {
		if r != nil {
			table.Add(&all[i], r)
		}
	}
	if len(table.rows) < len(all) {
		return // a part of them tells no shares
	}
	if err := os.WriteFile("../../docs/accuracy.md", []byte(table.Markdown()), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, source := range Sources() {
		want := 0.95
		if source == Keyed || source == Sealed {
			want = 0.9
		}
		if got := table.Share(source); got < want {
			t.Errorf("%s: the right id first for %.0f %%, want %.0f %%", source, 100*got, 100*want)
		}
	}
}

// groups of faults have a lab of their own each.
var groups = map[string]bool{"ends": true, "paths": true, "peers": true, "roads": true, "long": true, "natives": true, "kernels": true}

func groupOf(f *Fault) string {
	switch {
	case f.Software != "":
		return "peers"
	case f.Kernel:
		return "kernels"
	case f.Long:
		return "long"
	case f.Road != nil:
		return "roads"
	case f.Native || f.IPv6:
		return "natives"
	case f.NAT || f.Upset != nil:
		return "paths"
	}
	return "ends"
}

// try lets a fault happen and says what was not as it should be.
func try(t *testing.T, l *Lab, f *Fault) []Result {
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	results, err := l.Run(ctx, f)
	if err != nil {
		t.Error(err)
		for _, s := range Sources() {
			results = append(results, Result{Source: s, Verdict: Stumbled})
		}
		return results
	}
	for _, r := range results {
		tellsNobody(t, &r)
		var found []string
		for _, d := range r.Findings {
			found = append(found, fmt.Sprintf("%s %s %s: %s", d.Severity, d.ID, d.Confidence, d.Summary))
			for _, e := range d.Evidence[:min(5, len(d.Evidence))] {
				found = append(found, fmt.Sprintf("\t%s %s", e.Time.Format(time.StampMilli), e.What))
			}
		}
		if *show {
			t.Logf("%s: %s:\n%s", r.Source, r.Verdict, strings.Join(found, "\n"))
		}
		if r.Verdict == First || r.Verdict == Unseen {
			continue
		}
		say := t.Errorf
		if *whole && !f.Healthy() {
			say = t.Logf // the whole table is judged by its shares
		}
		say("%s: %s, want %q first:\n%s", r.Source, r.Verdict, f.want(r.Source), strings.Join(found, "\n"))
	}
	return results
}

func TestTheTableOfFaultsIsWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range slices.Concat(Faults(), HealthyVariants()) {
		if f.Name == "" || seen[f.Name] {
			t.Errorf("the name %q stands twice", f.Name)
		}
		seen[f.Name] = true
		for _, s := range Sources() {
			why := f.NoEngine[s] + f.Hidden
			if s == EngineHost {
				why += f.NoEngine[EngineInitiator]
			}
			if !f.Healthy() && f.want(s) == "" && why == "" {
				t.Errorf("%s: no reason why %s cannot see it", f.Name, s)
			}
		}
	}
	for _, name := range few {
		if !seen[name] {
			t.Errorf("no fault %q", name)
		}
	}
	if n, h := len(Faults()), len(HealthyVariants()); n < 80 || h < 20 {
		t.Errorf("%d faults and %d healthy variants", n, h)
	}
}

func TestEveryIDOfTheCatalogueHasAFaultOrAReasonWhyNot(t *testing.T) {
	have := named(Faults())
	for _, e := range diag.All() {
		reasons := 0
		if uncovered[e.ID] != "" {
			reasons++
		}
		if slices.Contains(worthKnowing, e.ID) {
			reasons++
		}
		if have[e.ID] == (reasons == 1) || reasons > 1 {
			t.Errorf("%s: a fault has it: %t; reasons why none has it: %d", e.ID, have[e.ID], reasons)
		}
	}
	for id := range uncovered {
		if _, ok := diag.Lookup(id); !ok {
			t.Errorf("the catalogue has no %q", id)
		}
	}
}
