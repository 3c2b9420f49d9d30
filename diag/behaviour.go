package diag

import (
	"fmt"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// habits are after which waits a system repeats a request by default: IKEv2 leaves
// that to it (RFC 7296 2.1), and nothing else of a silent peer tells so much. Only
// requests are repeated, so an initiator shows it, or whoever asks.
var habits = []struct {
	platform string
	waits    []time.Duration
}{
	{"strongswan", []time.Duration{4000 * time.Millisecond, 7200 * time.Millisecond, 12960 * time.Millisecond, 23328 * time.Millisecond, 41990 * time.Millisecond}},
	{"libreswan", []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second}},
	{"openiked", []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, 64 * time.Second}},
}

// leastWaits are as many as chance hardly makes.
const leastWaits = 3

// habit gives the platform that repeats its requests as one side of an SA does, and
// how that shows; "" where no request was repeated often enough, or otherwise.
func habit(sa *trace.IKESA, by trace.Origin) (platform, how string) {
	for _, x := range sa.Exchanges {
		if x.By != by || x.Request == nil {
			continue
		}
		var waits []time.Duration
		last := x.Request.Time
		for _, r := range x.Repeats {
			if r.Response {
				continue
			}
			waits = append(waits, r.Time.Sub(last))
			last = r.Time
		}
		if len(waits) < leastWaits {
			continue
		}
		for _, h := range habits {
			if !fitsWaits(waits, h.waits) {
				continue
			}
			var words []string
			for _, w := range waits {
				words = append(words, fmt.Sprintf("%.1f", w.Seconds()))
			}
			return h.platform, fmt.Sprintf("it repeats a request after %s s, as that does by default", strings.Join(words, ", "))
		}
	}
	return "", ""
}

// fitsWaits says that each wait is what a habit has in its place, by a tenth.
func fitsWaits(waits, habit []time.Duration) bool {
	if len(waits) > len(habit) {
		return false
	}
	for i, w := range waits {
		if (w - habit[i]).Abs() > habit[i]/10 {
			return false
		}
	}
	return true
}
