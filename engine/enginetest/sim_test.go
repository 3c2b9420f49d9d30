package enginetest

import (
	"flag"
	"testing"
)

var (
	simSeeds = flag.Int("sim.seeds", 300, "how many lives to simulate")
	simFirst = flag.Uint64("sim.first", 1, "the seed of the first")
)

func TestMixedLivesLeaveBothSidesInAgreement(t *testing.T) {
	steps := map[string]int{}
	bad := 0
	for seed := *simFirst; seed < *simFirst+uint64(*simSeeds); seed++ {
		l := Live(t, seed)
		for name, n := range l.Steps {
			steps[name] += n
		}
		if len(l.Faults) == 0 {
			continue
		}
		bad++
		t.Errorf("seed %d (alone: -sim.first %d -sim.seeds 1):", seed, seed)
		for _, f := range l.Faults {
			t.Errorf("  %s", f)
		}
		if bad == 1 {
			t.Logf("ladder of seed %d:\n%s", seed, l.Ladder)
		}
		if bad == 10 {
			t.Fatalf("no more after 10 bad lives of %d", seed-*simFirst+1)
		}
	}
	t.Logf("%d lives: %v", *simSeeds, steps)
	for _, name := range []string{"rekey child", "rekey IKE", "delete child", "delete IKE", "restart", "cut", "rebind"} {
		if steps[name] == 0 && *simSeeds >= 100 {
			t.Errorf("no life had a %s: the simulation proves less than it says", name)
		}
	}
}
