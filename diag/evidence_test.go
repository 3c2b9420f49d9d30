package diag_test

import (
	"slices"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
)

func TestWhatWasObservedAgainAndAgainIsSaidOnce(t *testing.T) {
	at := time.Date(2026, 3, 1, 2, 59, 0, 0, time.UTC)
	later := at.Add(90 * time.Second)
	for _, c := range []struct {
		name     string
		evidence []diag.Evidence
		want     []string
	}{
		{"none", nil, nil},
		{"each once", []diag.Evidence{{Frame: 1, What: "asked"}, {Frame: 2, What: "refused"}}, []string{"asked", "refused"}},
		{"frames", []diag.Evidence{{Frame: 1, What: "asked"}, {Frame: 2, What: "asked"}, {Frame: 7, What: "asked"}}, []string{"asked (3 times, last in frame 7)"}},
		{"of one frame", []diag.Evidence{{Frame: 7, Time: at, What: "asked"}, {Frame: 7, Time: at, What: "asked"}}, []string{"asked (2 times)"}},
		{"in turn", []diag.Evidence{{Time: at, What: "asked"}, {Time: at, What: "refused"}, {Time: later, What: "asked"}, {Time: later, What: "refused"}},
			[]string{"asked (2 times, last at 03:00:30.000)", "refused (2 times, last at 03:00:30.000)"}},
		{"neither frame nor time", []diag.Evidence{{What: "configured"}, {What: "configured"}}, []string{"configured (2 times)"}},
	} {
		f := diag.Finding{Evidence: c.evidence}
		var got []string
		for _, s := range f.Sightings() {
			got = append(got, s.Words())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
