package cli

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/tui"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/page"
)

// screenGCPercent lets the heap grow by half of what is in use between
// collections.
const screenGCPercent = 50

// How often a live screen asks for what is configured and what is wrong.
const (
	configurationEvery = 5 * time.Second
	diagnoseEvery      = time.Second
	// comeBack is how soon a daemon is tried again whose events have ended.
	comeBack = 500 * time.Millisecond
)

// watchScreen shows a daemon on the screen until the user leaves. The daemon
// may go away and come back meanwhile.
func watchScreen(ctx context.Context, app *App, w daemonOnScreen) error {
	if _, set := app.Term.Env("GOGC"); !set {
		// A screen that stays open for days is to be small, not quick.
		debug.SetGCPercent(screenGCPercent)
	}
	ctx, stop := context.WithCancel(ctx)
	options, wait := watch(ctx, app, w)
	err := app.runScreen(ctx, options)
	stop()
	wait()
	return err
}

// daemonOnScreen is a daemon on the screen.
type daemonOnScreen struct {
	backend.Backend
	// probe gives what an active test has found so far, nil where none runs.
	probe func() *diag.Probe
	// faults can be made by spoil, which takes "" for none; nil where nothing
	// may be broken.
	faults []tui.Fault
	spoil  func(ctx context.Context, fault string) error
}

// watch follows a daemon until ctx ends, and gives the screen of it. wait
// returns when nothing of it runs any more.
func watch(ctx context.Context, app *App, b daemonOnScreen) (options tui.Options, wait func()) {
	source := b.Source()
	store := feed.NewStore(feed.Options{
		Title: source, Live: true, Daemon: true,
		Trace: trace.Options{KeepOctets: true}, // of our engine's messages
		Diagnose: func(t *trace.Trace) []diag.Finding {
			f := &diag.Facts{Source: source, Trace: t, Now: time.Now(), Live: true}
			if b.probe != nil {
				f.Probe = b.probe()
			}
			return diag.Diagnose(f, rule.All())
		},
	})
	var work sync.WaitGroup
	work.Go(func() { followDaemon(ctx, app, b, store) })
	work.Go(func() { followConfiguration(ctx, app, b, store) })
	options = app.screen(store)
	options.Faults = b.faults
	options.TestPeer = func(of context.Context, t tui.PeerTest, tell func(tui.TestStep)) (string, error) {
		of, stop := context.WithCancel(of)
		defer stop()
		defer context.AfterFunc(ctx, stop)() // a test does not outlive the screen
		return testOnScreen(of, app, t, tell)
	}
	options.Act = func(o page.Order) (string, error) {
		if o.Verb == "fault" {
			return spoil(ctx, b, o.Fault)
		}
		return obey(ctx, app, b, o)
	}
	return options, work.Wait
}

// spoil makes a fault where that can be done.
func spoil(ctx context.Context, b daemonOnScreen, fault string) (string, error) {
	if b.spoil == nil {
		return "", errors.New("nothing may be broken here")
	}
	if err := b.spoil(ctx, fault); err != nil {
		return "", err
	}
	if fault == "" {
		return "the demo is whole again", nil
	}
	return "made wrong: " + fault + "; page 5 says what it looks like in a moment", nil
}

// followDaemon fills the store with what happens until ctx ends.
func followDaemon(ctx context.Context, app *App, b backend.Backend, store *feed.Store) {
	var diagnosed time.Time
	for ctx.Err() == nil {
		for e, err := range b.Events(ctx, backend.EventOptions{Past: true}) {
			if err != nil {
				app.Log.Debug("events of the daemon", "error", err)
				break
			}
			store.Add(e)
			if now := time.Now(); now.Sub(diagnosed) >= diagnoseEvery {
				diagnosed = now
				store.Diagnose()
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(comeBack):
		}
	}
}

// followConfiguration tells the store what is configured, until ctx ends.
func followConfiguration(ctx context.Context, app *App, b backend.Backend, store *feed.Store) {
	for {
		if err := askConfiguration(ctx, app, b, store); err != nil && ctx.Err() == nil {
			app.Log.Debug("configuration of the daemon", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(configurationEvery):
		}
	}
}

func askConfiguration(ctx context.Context, app *App, b backend.Backend, store *feed.Store) error {
	ctx, cancel := app.patience(ctx, configurationEvery)
	defer cancel()
	version, err := b.Version(ctx)
	if err != nil {
		return err
	}
	connections, err := b.Connections(ctx)
	if err != nil {
		return err
	}
	store.SetConfiguration(version, connections)
	return nil
}

// obey has the daemon do what was ordered on the screen, within --timeout.
func obey(ctx context.Context, app *App, b backend.Backend, o page.Order) (string, error) {
	ctx, cancel := app.patience(ctx, defaultTimeout)
	defer cancel()
	t := backend.Target{IKE: o.Connection, Child: o.Child, IKEID: o.IKEID, ChildID: o.ChildID}
	if o.IKEID != 0 || o.ChildID != 0 {
		t.IKE, t.Child = "", "" // the number says it all
	}
	switch o.Verb {
	case "up":
		return bringUp(ctx, b, t, o)
	case "down":
		if err := b.Down(ctx, t, backend.DownOptions{}, nil); err != nil {
			return "", err
		}
		return o.String() + ": it is down", nil
	case "rekey":
		n, err := b.Rekey(ctx, t, backend.RekeyOptions{})
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s: rekeying of %s begun", o.String(), plural(int64(n), "SA")), nil
	case "dpd":
		probe, err := b.DPD(ctx, o.Connection, nil)
		switch rtt, known := probe.RTT.Get(); {
		case err != nil:
			return "", err
		case !probe.Answered:
			return "", fmt.Errorf("no answer after %s", plural(int64(probe.Retransmissions), "retransmission"))
		case known:
			return fmt.Sprintf("%s: answered in %s", o.String(), rtt.Round(10*time.Microsecond)), nil
		}
		return o.String() + ": answered", nil
	}
	return "", fmt.Errorf("order %q is not known", o.Verb)
}

// bringUp brings a target up. Keys are told only where their tables were asked
// for, and go nowhere else.
func bringUp(ctx context.Context, b backend.Backend, t backend.Target, o page.Order) (words string, err error) {
	targets, err := upTargets(ctx, b, t)
	if err != nil {
		return "", err
	}
	words = o.String() + ": it is up"
	var options backend.UpOptions
	var progress backend.Progress
	if o.KeyDir != "" {
		keys, failed := newDaemonKeys(o.KeyDir)
		if failed != nil {
			return "", failed
		}
		options.LogLevel, progress = engine.Some(keyLevel), keys.before(nil)
		defer func() {
			n, failed := keys.write()
			err = errors.Join(err, failed)
			if n == 0 {
				words += "; no keys were told"
			} else {
				words += fmt.Sprintf("; keys of %s in %s", plural(int64(n), "SA"), o.KeyDir)
			}
		}()
	}
	for _, t := range targets {
		if err := b.Up(ctx, t, options, progress); err != nil {
			return "", err
		}
	}
	return words, nil
}

// upTargets gives what has to be brought up for a connection as a whole: its
// children where it has some.
func upTargets(ctx context.Context, b backend.Backend, t backend.Target) ([]backend.Target, error) {
	if t.Child != "" {
		return []backend.Target{t}, nil
	}
	s, err := b.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	found, err := find(s, t.IKE)
	if err != nil {
		return nil, err
	}
	return found.goals(), nil
}
