package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	xterm "golang.org/x/term"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// WatchOptions is what commands take that can show something again and again.
type WatchOptions struct {
	Watch    bool
	Interval time.Duration
}

// minInterval is how soon something is shown again at the soonest.
const minInterval = 100 * time.Millisecond

func (o *WatchOptions) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&o.Watch, "watch", "w", false, "show it again and again until interrupted")
	cmd.Flags().DurationVar(&o.Interval, "interval", 2*time.Second, "with --watch, the time between")
}

// shower shows something of a daemon once.
type shower func(context.Context, *term.Terminal, *vici.Client) error

// run shows something once, or until ctx ends.
func (o *WatchOptions) run(ctx context.Context, app *App, show shower) error {
	switch {
	case !o.Watch:
		return app.withBackend(ctx, func(ctx context.Context, c *vici.Client) error { return show(ctx, app.Term, c) })
	case o.Interval < minInterval:
		return usagef("--interval %s is too short; at least %s", o.Interval, minInterval)
	case app.Output == print.JSON || app.Output == print.YAML:
		return usagef("--watch cannot write one document of what goes on; -o jsonl writes an item a line")
	}
	client, err := app.backend(ctx)
	if err != nil {
		return err
	}
	defer closeBackend(app, client)
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		learn(ctx, client)
	}()
	defer func() {
		stop()
		<-done
	}()
	w := &watcher{app: app, client: client, show: show, redraw: app.Term.OutTTY && app.Output.Text()}
	return w.run(ctx, o.Interval)
}

// learn follows the daemon's events, so that the client's history knows what
// failed and when something was last up.
func learn(ctx context.Context, c *vici.Client) {
	for ctx.Err() == nil {
		for _, err := range c.Events(ctx, backend.EventOptions{Every: -1}) {
			if err != nil {
				break // the daemon is away; whoever watches says so
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// watcher shows something again and again: in place on a terminal, else one
// below the other.
type watcher struct {
	app    *App
	client *vici.Client
	show   shower
	redraw bool
	away   bool // and it was said
	begun  bool
}

func (w *watcher) run(ctx context.Context, every time.Duration) error {
	if w.redraw {
		fmt.Fprint(w.app.Term.Out, "\x1b[?25l\x1b[2J") // hide the cursor, clear
		defer fmt.Fprint(w.app.Term.Out, "\x1b[?25h")
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := w.once(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// once shows it. That the daemon is away is shown and no reason to end.
func (w *watcher) once(ctx context.Context) error {
	limited, cancel := w.app.patience(ctx, defaultTimeout)
	defer cancel()
	var page bytes.Buffer
	t := *w.app.Term
	t.Out = &page
	err := w.show(limited, &t, w.client)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, backend.ErrUnreachable):
		return w.gone(err)
	case err != nil:
		return err
	}
	if w.away && !w.redraw {
		fmt.Fprintf(w.app.Term.Err, "cvlanctl: %s  the daemon is back\n", w.app.clock(time.Now()))
	}
	w.away = false
	return w.put(page.Bytes(), "")
}

// gone says that the daemon is away: no old table is shown as if it were of
// now.
func (w *watcher) gone(err error) error {
	text := fmt.Sprintf("the daemon is away: %s", clean.Text(err.Error()))
	if w.redraw {
		return w.put([]byte(w.app.Term.Paint(term.Bad, text)+"\n"), "  trying again")
	}
	if !w.away {
		fmt.Fprintf(w.app.Term.Err, "cvlanctl: %s  %s; trying again\n", w.app.clock(time.Now()), text)
	}
	w.away = true
	return nil
}

// put writes one page at once, so that nothing flickers.
func (w *watcher) put(page []byte, note string) error {
	var b strings.Builder
	head := fmt.Sprintf("%s  %s%s", w.client.Source(), w.app.clock(time.Now()), note)
	switch {
	case w.redraw:
		b.WriteString("\x1b[H") // home; each line then clears what is left of the old one
		lines := append([]string{w.app.Term.Paint(term.Muted, clean.Text(head))}, strings.Split(strings.TrimRight(string(page), "\n"), "\n")...)
		if rows := w.rows(); rows > 1 && len(lines) > rows-1 {
			more := len(lines) - (rows - 2)
			lines = append(lines[:rows-2], fmt.Sprintf("… and %d more lines", more))
		}
		for _, line := range lines {
			b.WriteString(line + "\x1b[K\n")
		}
		b.WriteString("\x1b[J")
	case w.app.Output.Text():
		if w.begun {
			b.WriteString("\n")
		}
		b.WriteString(head + "\n")
		b.Write(page)
	default:
		b.Write(page)
	}
	w.begun = true
	if _, err := w.app.Term.Out.Write([]byte(b.String())); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

// rows gives the height of the terminal, 0 where not known.
func (w *watcher) rows() int {
	f, ok := w.app.Term.Out.(*os.File)
	if !ok {
		return 0
	}
	_, rows, err := xterm.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return rows
}
