package beside

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Median gives the middle of a list, which must not be empty; of two in the
// middle their mean.
func Median[T float64 | time.Duration](list []T) T { return part(list, 0.5) }

// part gives what a part of a list is not above, between two by proportion.
func part[T float64 | time.Duration](list []T, share float64) T {
	sorted := slices.Sorted(slices.Values(list))
	at := share * float64(len(sorted)-1)
	low, high := sorted[int(at)], sorted[int(math.Ceil(at))]
	return low + T(float64(high-low)*(at-math.Floor(at)))
}

// Spread says between which figures the middle half of a list lies, with a
// format for one figure.
func Spread[T float64 | time.Duration](list []T, show func(T) string) string {
	low, high := show(part(list, 0.25)), show(part(list, 0.75))
	if low == high {
		return low
	}
	return low + " to " + high
}

// Mapped gives f of each.
func Mapped[T, R any](list []T, f func(T) R) []R {
	out := make([]R, 0, len(list))
	for i := range list {
		out = append(out, f(list[i]))
	}
	return out
}

// Ratios gives what figures are of others that were taken in the same rounds.
// Their median is less moved by a machine that is busy for a while than the
// ratio of two medians.
func Ratios[T float64 | time.Duration](list, of []T) []float64 {
	out := make([]float64, min(len(list), len(of)))
	for i := range out {
		out[i] = float64(list[i]) / float64(of[i])
	}
	return out
}

// Target is a ratio that is wanted, and what was measured.
type Target struct {
	What       string
	Have, Want float64
	AtMost     bool // else at least
}

// Met says whether the target is.
func (t Target) Met() bool {
	if t.AtMost {
		return t.Have <= t.Want
	}
	return t.Have >= t.Want
}

// Targets writes a table of them in Markdown.
func Targets(list []Target) string {
	var b strings.Builder
	b.WriteString("| target | wanted | measured | |\n|---|---:|---:|---|\n")
	for _, t := range list {
		bound, met := "at least", "missed"
		if t.AtMost {
			bound = "at most"
		}
		if t.Met() {
			met = "met"
		}
		fmt.Fprintf(&b, "| %s | %s %sx | %.2fx | %s |\n", t.What, bound, plain(t.Want), t.Have, met)
	}
	return b.String()
}

// plain writes a figure without zeros that say nothing, but for one.
func plain(f float64) string {
	s := fmt.Sprintf("%.2f", f)
	return cmp.Or(strings.TrimSuffix(s, "0"), s)
}
