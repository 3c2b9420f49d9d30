package cli

import (
	"bytes"
	"context"
	"slices"
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

// maxRecollected bounds what a recollection keeps: several times what our own
// engine does.
const maxRecollected = 20_000

// recollection is what a daemon remembers, as far as it was fetched. To be asked
// again and again, it fetches only what is new. The zero value is ready for use.
type recollection struct {
	events []*event.Event // the oldest first
}

// since brings the recollection up to date, and gives it without what was told
// before a time, which must not be earlier than at the last call.
func (r *recollection) since(ctx context.Context, c backend.Lister, since time.Time) ([]*event.Event, error) {
	old := slices.IndexFunc(r.events, func(e *event.Event) bool { return !e.Time.Before(since) })
	if old < 0 {
		r.events = nil
	} else {
		r.events = r.events[old:]
	}
	var last event.Event
	if n := len(r.events); n > 0 {
		last = *r.events[n-1]
		since = last.Time
	}
	fresh, err := c.Recall(ctx, since)
	if err != nil {
		return nil, err
	}
	for _, e := range fresh {
		// The numbers of a daemon that was started anew begin anew.
		if !e.Time.Equal(last.Time) || e.Number > last.Number {
			r.events = append(r.events, e)
		}
	}
	r.events = r.events[max(0, len(r.events)-maxRecollected):]
	return r.events, nil
}

// findings runs the rules over a snapshot, over what the daemon remembers and
// over what its log file tells: all that can be had at once.
func (a *App) findings(ctx context.Context, c *vici.Client, past *recollection, s *backend.Snapshot, now time.Time) ([]diag.Finding, error) {
	t, since := trace.New(trace.Options{}), now.Add(-pastAge)
	if err := a.readLog(c, since, t); err != nil {
		return nil, err
	}
	events, err := past.since(ctx, c, since)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		t.Add(e)
	}
	t.Add(&event.Event{Time: s.At, Table: &event.Table{SAs: s.SAs, First: true}})
	return diag.Diagnose(&diag.Facts{Source: c.Source(), Trace: t, Now: now, Live: true, Connections: s.Connections}, rule.All()), nil
}
