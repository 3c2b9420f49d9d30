package cli

import (
	"bytes"
	"context"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/vici"
)

// pastAge is how old something may be that a daemon or its log file tells of the
// past, where nothing else is said.
const pastAge = time.Hour

// readLog folds what the daemon's log file tells since a time.
func (a *App) readLog(c *vici.Client, since time.Time, t *trace.Trace) error {
	log, err := a.daemonLog(c)
	if err != nil {
		return err
	}
	return vici.ReadLog(bytes.NewReader(log), func(e *event.Event) {
		if !e.Time.Before(since) {
			t.Add(e)
		}
	})
}

// findings runs the rules over a snapshot, over what the daemon remembers and
// over what its log file tells: all that can be had at once.
func (a *App) findings(ctx context.Context, c *vici.Client, s *backend.Snapshot, now time.Time) ([]diag.Finding, error) {
	t, since := trace.New(trace.Options{}), now.Add(-pastAge)
	if err := a.readLog(c, since, t); err != nil {
		return nil, err
	}
	past, err := c.Recall(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range past {
		if !e.Time.Before(since) {
			t.Add(e)
		}
	}
	t.Add(&event.Event{Time: s.At, Table: &event.Table{SAs: s.SAs, First: true}})
	return diag.Diagnose(&diag.Facts{Source: c.Source(), Trace: t, Now: now, Live: true, Connections: s.Connections}, rule.All()), nil
}
