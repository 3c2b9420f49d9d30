package lab

import (
	"context"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/lab/need"
)

// installing bounds the installation of what the lab lacks.
const installing = 5 * time.Minute

// Need makes the lab ready for a test with real peers, by the rule of package
// need: it wants root, and installs the packages that are missing.
func Need(t testing.TB) {
	t.Helper()
	need.Root(t)
	installed(t, Ensure)
}

// NeedGuests makes the lab and its guests ready, as Need does.
func NeedGuests(t testing.TB) {
	t.Helper()
	Need(t)
	installed(t, EnsureGuests)
}

func installed(t testing.TB, ensure func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), installing)
	defer cancel()
	if err := ensure(ctx); err != nil {
		need.Without(t, err)
	}
}

// BenchFor lays a bench that lasts as long as a test. Where the test fails, the
// ends of the daemons' logs are shown.
func BenchFor(ctx context.Context, t testing.TB, s Scenario) *Bench {
	t.Helper()
	b, err := NewBench(ctx, s, t.TempDir())
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	b.ShowOnFailure(t)
	return b
}
