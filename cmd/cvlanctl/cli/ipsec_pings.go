package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
)

const (
	pingEvery = 200 * time.Millisecond
	pingWait  = 2 * time.Second
)

// pings sends pings through the tunnel and tells what came back; that nothing
// did is an error.
func (h *here) pings(ctx context.Context, a *action) error {
	answered := 0
	var least, most, sum time.Duration
	for n := range h.o.Count {
		if n > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pingEvery):
			}
		}
		limited, cancel := context.WithTimeout(ctx, pingWait)
		rtt, err := h.stack.Ping(limited, h.ping, h.o.Size)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		a.doc.Pings = append(a.doc.Pings, doc.NewPing(n+1, h.ping, h.o.Size, rtt, err))
		if err != nil {
			a.say(term.Bad, "%s", err)
			continue
		}
		if answered++; answered == 1 || rtt < least {
			least = rtt
		}
		most, sum = max(most, rtt), sum+rtt
		a.say(term.Plain, "%d octets from %s through the tunnel: %.2f ms", h.o.Size+8, h.ping, ms(rtt))
	}
	if answered == 0 {
		return fmt.Errorf("the tunnel is up, and %s answers none of %s through it", h.ping, plural(int64(h.o.Count), "ping"))
	}
	a.say(term.Good, "%d of %s answered, %.2f / %.2f / %.2f ms", answered, plural(int64(h.o.Count), "ping"), ms(least), ms(sum/time.Duration(answered)), ms(most))
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
