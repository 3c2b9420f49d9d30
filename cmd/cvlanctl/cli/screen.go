package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/tui"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/theme"
)

// openScreen shows a capture file on the screen until the user leaves. The
// file is read while the screen shows what has been read.
func openScreen(ctx context.Context, app *App, o *TUIOptions, name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return &unreachableError{err}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	r, err := o.open(ctx, app, []string{name})
	if err != nil {
		return err
	}
	source := sourceName([]string{name})
	store := feed.NewStore(feed.Options{
		Title:   source,
		Summary: event.Summary,
		Trace:   trace.Options{KeepOctets: true},
		Diagnose: func(t *trace.Trace) []diag.Finding {
			return diag.Diagnose(&diag.Facts{Source: source, Trace: t, Now: t.Last}, rule.All())
		},
	})
	options := app.screen(store)
	options.Packet = func(frame int64) (*event.Packet, error) { return o.packet(ctx, app, name, frame) }
	done := make(chan struct{})
	go func() {
		defer close(done)
		store.Finish(load(ctx, r, store, info.Size()))
	}()
	err = app.runScreen(ctx, options)
	stop()
	<-done
	return err
}

// screen gives what every screen needs from this terminal.
func (a *App) screen(data feed.Data) tui.Options {
	host, err := os.Hostname()
	if err != nil {
		a.Log.Debug("this machine has no name", "error", err)
	}
	locale := ""
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v, ok := a.Term.Env(name); ok && v != "" {
			locale = v
			break
		}
	}
	return tui.Options{
		Data: data, Explain: diag.Lookup, Write: writeNew, Now: time.Now, Host: host,
		Theme: theme.Options{
			Colour: a.Term.Colour,
			ASCII:  locale == "C" || locale == "POSIX" || locale != "" && !strings.Contains(strings.ToUpper(strings.ReplaceAll(locale, "-", "")), "UTF8"),
		},
	}
}

// runScreen shows a screen until the user leaves.
func (a *App) runScreen(ctx context.Context, o tui.Options) error {
	_, err := tea.NewProgram(tui.New(o), tea.WithContext(ctx), tea.WithInput(a.Term.In), tea.WithOutput(a.Term.Out)).Run()
	switch {
	case errors.Is(err, tea.ErrInterrupted), errors.Is(err, context.Canceled):
		return context.Canceled
	case err != nil:
		return fmt.Errorf("the screen: %w", err)
	}
	return nil
}

// tellEvery is after how many events the screen is told how far the reading
// has come.
const tellEvery = 1000

// load fills the store.
func load(ctx context.Context, r *reading, store *feed.Store, size int64) error {
	n := 0
	err := r.each(ctx, func(e *event.Event) error {
		store.Add(e)
		if n++; n%tellEvery == 0 && r.counter != nil {
			store.Read(min(r.counter.Stats().Octets, size), size)
		}
		return nil
	})
	store.Read(size, size)
	return err
}

// errNoPacket says that a frame holds nothing of interest.
var errNoPacket = errors.New("the frame is not in the file any more")

// packet reads the capture again up to one frame. Nothing else uses the
// dissector that made the packet, so the packet is the caller's.
func (o *TUIOptions) packet(ctx context.Context, app *App, name string, frame int64) (*event.Packet, error) {
	r, err := o.open(ctx, app, []string{name})
	if err != nil {
		return nil, err
	}
	for e, err := range r.events {
		if err != nil {
			return nil, err
		}
		if e.Frame == frame && e.Packet != nil {
			return e.Packet, nil
		}
	}
	return nil, fmt.Errorf("frame %d: %w", frame, errNoPacket)
}

// writeNew creates a file; one that is there stays as it is.
func writeNew(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
