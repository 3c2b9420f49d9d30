package beside

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/lab/need"
)

func TestTheMiddleOfFiguresCounts(t *testing.T) {
	list := []float64{9, 1, 3, 2}
	if got := Median(list); got != 2.5 {
		t.Errorf("the median is %v", got)
	}
	if got := Median([]time.Duration{3, 1, 2}); got != 2 {
		t.Errorf("the median is %d", got)
	}
	show := func(f float64) string { return strings.TrimSpace(string(rune('0' + int(f)))) }
	if got := Spread([]float64{5, 1, 2, 3, 4}, show); got != "2 to 4" {
		t.Errorf("the spread is %s", got)
	}
	if got := Spread([]float64{5, 5}, show); got != "5" {
		t.Errorf("the spread is %s", got)
	}
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	// In the second round the machine was busy.
	if got := Median(Ratios([]float64{10, 1, 12}, []float64{5, 0.5, 4})); got != 2 {
		t.Errorf("the ratio is %v", got)
	}
}

func TestTargetsSayWhetherTheyAreMet(t *testing.T) {
	got := Targets([]Target{{What: "more", Have: 5.97, Want: 5}, {What: "too little", Have: 0.89, Want: 1}, {What: "less", Have: 0.66, Want: 1.5, AtMost: true},
		{What: "too much", Have: 0.811, Want: 0.7, AtMost: true}})
	for _, want := range []string{"| more | at least 5.0x | 5.97x | met |", "| too little | at least 1.0x | 0.89x | missed |",
		"| less | at most 1.5x | 0.66x | met |", "| too much | at most 0.7x | 0.81x | missed |"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestAProcessTellsItsTimeAndMemory(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		need.Without(t, fmt.Errorf("%w: the proc file system", need.ErrMissing))
	}
	for begin := time.Now(); ; {
		d, err := ProcessTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if d > 0 {
			break
		}
		if time.Since(begin) > time.Minute {
			t.Fatal("a minute's work takes no processor time")
		}
	}
	if n, err := Resident(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("memory %d, %v", n, err)
	}
	if m := Machine(); strings.Contains(m, "unknown") {
		t.Errorf("the machine is %s", m)
	}
}
