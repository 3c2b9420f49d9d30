// Package probe looks at what rules cannot read from a capture or a daemon:
// the host itself.
//
// Contract: Host looks once, changes nothing, needs no root for what is open
// to everybody, is bounded in time and size, and says in Host.Unseen what it
// could not see and why.
package probe

import (
	"context"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
)

// Bounds of what is read from a host.
const (
	maxFile    = 4 << 20 // octets of one file or of a tool's output
	maxEntries = 20_000  // routes, policies, states, rules
	maxTool    = 5 * time.Second
)

// Options say which host is looked at, and where.
type Options struct {
	// Wait is between two looks at the counters; with none, or where the
	// context ends before, they are told since the host's start.
	Wait time.Duration
	// PID is of a daemon of this host: its network namespace and its files are
	// looked at. 0 where it is not known: then those of this program.
	PID int
	// Certificates asks for those that lie where the daemon looks for them.
	Certificates bool
	// Swanctl is the folder with the daemon's certificates and keys; "" is
	// where it looks for them by default.
	Swanctl string
}

// Host looks at this host, in the network namespace of its caller unless a
// daemon is named that runs in another one.
func Host(ctx context.Context, o Options) *diag.HostFacts {
	h := &diag.HostFacts{At: time.Now()}
	if other(h, o.PID) {
		// In a goroutine of its own: it ends its thread with itself.
		done := make(chan struct{})
		go func() {
			defer close(done)
			if enter(h, o.PID) {
				lookFor(ctx, h, o.Wait)
			}
		}()
		<-done
	} else {
		lookFor(ctx, h, o.Wait)
	}
	if o.Certificates {
		unseen(h, "certificates", certificates(h, o))
	}
	return h
}

// lookFor looks once, and at the counters again after the wait.
func lookFor(ctx context.Context, h *diag.HostFacts, wait time.Duration) {
	look(ctx, h)
	if wait <= 0 {
		return
	}
	grow := counters(h)
	select {
	case <-ctx.Done():
	case <-time.After(wait):
		grow()
	}
}

func unseen(h *diag.HostFacts, what string, err error) {
	if err != nil {
		h.Unseen = append(h.Unseen, diag.Unseen{What: what, Why: err.Error()})
	}
}
