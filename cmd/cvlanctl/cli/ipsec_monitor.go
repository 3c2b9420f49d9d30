package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
)

// IPsecMonitorOptions is what ipsec monitor and ipsec log take.
type IPsecMonitorOptions struct {
	Duration time.Duration
	Level    int    // log only
	Name     string // of a connection, "" for all

	engine bool // the daemon is our own engine
}

// NewCmdIPsecMonitor makes `cvlanctl ipsec monitor`.
func NewCmdIPsecMonitor(app *App, runF func(context.Context, *IPsecMonitorOptions) error) *cobra.Command {
	opts := &IPsecMonitorOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *IPsecMonitorOptions) error { return runIPsecMonitor(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "monitor",
		Short: "Show what happens to SAs, as it happens",
		Long: `Show IKE SAs and CHILD SAs that come up, go down, are rekeyed or move to
another address, failures that the log tells, and the daemon's alerts, as they
happen. That the daemon went away and came back is said, and followed; so is that
it is there and does not answer.`,
		Example: `  cvlanctl ipsec monitor
  cvlanctl ipsec monitor --name office
  cvlanctl ipsec monitor --duration 1h -o jsonl | jq 'select(.kind == "child-down")'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
	opts.flags(cmd, app)
	return cmd
}

func (o *IPsecMonitorOptions) flags(cmd *cobra.Command, app *App) {
	cmd.Flags().DurationVar(&o.Duration, "duration", 0, "end after this time")
	cmd.Flags().StringVar(&o.Name, "name", "", "only this connection")
	complete(cmd, "name", completeNames(app, false))
}

// NewCmdIPsecLog makes `cvlanctl ipsec log`.
func NewCmdIPsecLog(app *App, runF func(context.Context, *IPsecMonitorOptions) error) *cobra.Command {
	opts := &IPsecMonitorOptions{Level: maxLogLevel}
	if runF == nil {
		runF = func(ctx context.Context, o *IPsecMonitorOptions) error { return runIPsecLog(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Show the daemon's log, as it is written",
		Long: `Show the lines of the daemon's log as they are written. strongSwan sends
levels up to 1 over VICI and no more; a higher level of one command comes with
--ipsec-debug of 'ipsec up' and 'ipsec down', of everything only from the
daemon's own log file. Our own engine tells its messages, steps and failed
comparisons at level 1, and every comparison at level 2.`,
		Example: `  cvlanctl ipsec log
  cvlanctl ipsec log --level 0 --name office
  cvlanctl ipsec log -o jsonl | jq -r 'select(.log.failure) | .log.text'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
	opts.flags(cmd, app)
	cmd.Flags().IntVar(&opts.Level, "level", maxLogLevel, "lines up to this level: -1, 0 or 1; of our own engine also 2")
	complete(cmd, "level", words("-1", "0", "1", "2"))
	return cmd
}

// maxLogLevel is the highest level that strongSwan sends over VICI.
const maxLogLevel = 1

// maxEngineLevel is the highest level that our own engine has: comparisons that
// succeed.
const maxEngineLevel = 2

func runIPsecMonitor(ctx context.Context, app *App, o *IPsecMonitorOptions) error {
	return o.follow(ctx, app, func(e *event.Event) bool {
		switch {
		case e.Table != nil:
			return e.Table.First
		case e.Change != nil:
			return o.Name == "" || o.Name == e.Change.SA.Name
		case e.Alert != nil:
			return o.Name == "" || e.Alert.SA != nil && o.Name == e.Alert.SA.Name
		case e.Log != nil:
			return e.Log.Failure != nil && (o.Name == "" || o.Name == e.Log.IKE)
		}
		return e.Gap != nil
	})
}

func runIPsecLog(ctx context.Context, app *App, o *IPsecMonitorOptions) error {
	if o.Level < -1 || o.Level > maxEngineLevel {
		return usagef("--level %d cannot be had: strongSwan sends levels -1 to %d over VICI, our own engine has up to %d", o.Level, maxLogLevel, maxEngineLevel)
	}
	return o.follow(ctx, app, func(e *event.Event) bool {
		switch {
		case e.Table != nil:
			return e.Table.First
		case e.Gap != nil:
			return true
		case e.Change != nil && !o.engine, e.Alert != nil:
			return false // a strongSwan tells it in its log too
		}
		l := event.Line(e)
		return l != nil && l.Level <= o.Level && (o.Name == "" || o.Name == l.IKE)
	})
}

// follow writes the events that want picks until ctx or the duration ends. The
// daemon must be there at the beginning; later it may go and come.
func (o *IPsecMonitorOptions) follow(ctx context.Context, app *App, want func(*event.Event) bool) (err error) {
	if o.Duration < 0 {
		return usagef("--duration %s is negative", o.Duration)
	}
	client, err := app.backend(ctx)
	if err != nil {
		return err
	}
	defer closeBackend(app, client)
	o.engine = client.Addr().Engine
	ends, cancel := ctx, context.CancelFunc(func() {})
	if o.Duration > 0 {
		ends, cancel = context.WithTimeout(ctx, o.Duration)
	}
	defer cancel()
	out := newEventWriter(app, client.Source())
	defer func() { err = errors.Join(err, out.close()) }()
	quiet := watchSilence(out)
	defer quiet.stop()
	for e, err := range client.Events(ends, backend.EventOptions{}) {
		if err != nil {
			return advise(err)
		}
		if err := quiet.heard(e); err != nil {
			return err
		}
		if !want(e) {
			continue
		}
		if err := out.event(e); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// eventWriter writes events in one form of output, each at once. It may be used
// by several goroutines.
type eventWriter struct {
	app   *App
	mu    sync.Mutex
	items *print.Items // nil for text
	begun bool         // the daemon was reached before
	last  time.Time    // day of the last line
}

func newEventWriter(app *App, source string) *eventWriter {
	w := &eventWriter{app: app}
	if !app.Output.Text() {
		w.items = print.NewItems(app.Term.Out, app.Output, "events", doc.EventsSchema, source)
	}
	return w
}

func (w *eventWriter) close() error {
	if w.items == nil {
		return nil
	}
	return w.items.Close()
}

func (w *eventWriter) event(e *event.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.items != nil {
		return w.items.Add(doc.NewEvent(e))
	}
	text, meaning := w.text(e)
	line := fmt.Sprintf("%s  %s\n", e.Time.Local().Format("15:04:05.000"), w.app.Term.Paint(meaning, cleaned(text)))
	if day := e.Time.Local().Format("2006-01-02"); day != w.last.Format("2006-01-02") {
		line = day + "\n" + line
		w.last = e.Time.Local()
	}
	if _, err := w.app.Term.Out.Write([]byte(line)); err != nil {
		return fmt.Errorf("writing an event: %w", err)
	}
	return nil
}

// text says in a line what happened.
func (w *eventWriter) text(e *event.Event) (string, term.Meaning) {
	switch {
	case e.Change != nil:
		return changeText(e.Change)
	case e.Log != nil:
		return logText(e.Log)
	case e.Alert != nil:
		name := ""
		if e.Alert.SA != nil {
			name = fmt.Sprintf("%s[%d]  ", e.Alert.SA.Name, e.Alert.SA.UniqueID)
		}
		return name + "alert: " + e.Alert.Type, term.Bad
	case e.Gap != nil && e.Gap.Away:
		return e.Gap.What, term.Bad
	case e.Gap != nil:
		return e.Gap.What, term.Warning
	case e.Table != nil && w.begun:
		return "the daemon is back with " + plural(int64(len(e.Table.SAs)), "IKE SA"), term.Good
	case e.Table != nil:
		w.begun = true
		return "following the daemon, which has " + plural(int64(len(e.Table.SAs)), "IKE SA"), term.Muted
	case e.Check != nil && !e.Check.OK:
		text, _ := logText(event.Line(e))
		return text, term.Bad
	case event.Line(e) != nil:
		return logText(event.Line(e))
	}
	return "", term.Plain
}

func changeText(c *event.Change) (string, term.Meaning) {
	sa := c.SA
	name := fmt.Sprintf("%s[%d]", sa.Name, sa.UniqueID)
	child := func() string {
		for _, x := range sa.Children {
			return fmt.Sprintf("%s  %s{%d} %s  %s === %s", name, x.Name, x.UniqueID, childSPIs(x), joined(x.LocalTS), joined(x.RemoteTS))
		}
		return name
	}
	ends := fmt.Sprintf("%s%s ... %s%s", endpointText(sa.Local.Host, sa.Local.Port), identity(sa.Local.ID), endpointText(sa.Remote.Host, sa.Remote.Port), identity(sa.Remote.ID))
	switch c.Kind {
	case event.IKEUp:
		return "IKE SA up        " + name + "  " + ends, term.Good
	case event.IKEDown:
		return "IKE SA down      " + name + "  " + ends, term.Bad
	case event.IKERekey:
		old := ""
		if c.Old != nil {
			old = fmt.Sprintf(" replaces %s[%d]", c.Old.Name, c.Old.UniqueID)
		}
		return "IKE SA rekeyed   " + name + old, term.Plain
	case event.IKEUpdate:
		old := ""
		if c.Old != nil {
			old = fmt.Sprintf(", was %s ... %s", endpointText(c.Old.Local.Host, c.Old.Local.Port), endpointText(c.Old.Remote.Host, c.Old.Remote.Port))
		}
		return "IKE SA moved     " + name + "  " + ends + old, term.Warning
	case event.ChildUp:
		return "CHILD SA up      " + child(), term.Good
	case event.ChildDown:
		return "CHILD SA down    " + child(), term.Bad
	case event.ChildRekey:
		return "CHILD SA rekeyed " + child(), term.Plain
	}
	return string(c.Kind) + " " + name, term.Plain
}

// logText gives a log line with its group, level and connection.
func logText(l *event.Log) (string, term.Meaning) {
	level, name := "", ""
	if l.Level >= -1 {
		level = fmt.Sprint(l.Level)
	}
	switch {
	case l.IKE != "" && l.IKEID != 0:
		name = fmt.Sprintf("%s[%d] ", l.IKE, l.IKEID)
	case l.IKE != "":
		name = l.IKE + " "
	}
	meaning := term.Plain
	switch {
	case l.Failure != nil, l.Retransmit != nil && l.Retransmit.Kind == event.RetransmitGiveUp:
		meaning = term.Bad
	case l.Retransmit != nil:
		meaning = term.Warning
	case l.Established != nil:
		meaning = term.Good
	}
	return fmt.Sprintf("%-3s %2s  %s%s", l.Group, level, name, l.Text), meaning
}
