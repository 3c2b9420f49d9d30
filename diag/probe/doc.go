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

// Host looks at this host. The counters are looked at twice, wait apart; with
// no wait, or where ctx ends before, they are told since the host's start.
func Host(ctx context.Context, wait time.Duration) *diag.HostFacts {
	h := &diag.HostFacts{At: time.Now()}
	look(ctx, h)
	if h.XfrmStat == nil || wait <= 0 {
		return h
	}
	select {
	case <-ctx.Done():
	case <-time.After(wait):
		grow(h)
	}
	return h
}

func unseen(h *diag.HostFacts, what string, err error) {
	if err != nil {
		h.Unseen = append(h.Unseen, diag.Unseen{What: what, Why: err.Error()})
	}
}
