package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/demo"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/tui"
)

// DemoOptions is what demo takes.
type DemoOptions struct {
	Faults   []string
	Headless bool
	Duration time.Duration
}

// demoLength is how long the demo runs where there is no terminal and nothing
// else was said.
const demoLength = 10 * time.Second

// NewCmdDemo makes `cvlanctl demo`.
func NewCmdDemo(app *App, runF func(context.Context, *DemoOptions) error) *cobra.Command {
	opts := &DemoOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *DemoOptions) error { return runDemo(ctx, app, o) }
	}
	var faults strings.Builder
	for _, f := range demo.Faults {
		fmt.Fprintf(&faults, "\n  %-26s %s", f.ID, f.What)
	}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Two engines and a NAT between them, to look at: no root, no peer, no file",
		Long: `Run two of our own engines on loopback, a branch and a hub, with a NAT between
them. Tunnels come up, traffic flows through them, keys are renewed every few
seconds, silence is probed. The screen shows the branch; with --headless, or
without a terminal, its events are written, and at the end in text what went
through and what is wrong.

It needs no rights, and nothing leaves this machine. --fault makes something
wrong; it can be given more than once:
` + faults.String(),
		Example: `  cvlanctl demo
  cvlanctl demo --fault no-proposal-ike
  cvlanctl demo --headless --duration 10s
  cvlanctl demo --headless --duration 10s -o jsonl | jq -r 'select(.kind == "child-rekey") | .time'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&opts.Faults, "fault", nil, "make this wrong")
	f.BoolVar(&opts.Headless, "headless", false, "write events instead of showing the screen")
	f.DurationVar(&opts.Duration, "duration", 0, "end after this time (without a terminal and --headless after 10s)")
	ids := make([]string, len(demo.Faults))
	for i, f := range demo.Faults {
		ids[i] = f.ID
	}
	complete(cmd, "fault", words(ids...))
	return cmd
}

// options reads what the flags say; headless says that there is no screen.
func (o *DemoOptions) options(app *App) (d demo.Options, headless bool, err error) {
	d.Version = version
	if o.Duration < 0 {
		return d, false, usagef("--duration %s is negative", o.Duration)
	}
	for _, id := range o.Faults {
		f, err := demo.FindFault(id)
		if err != nil {
			return d, false, &usageError{err}
		}
		d.Faults = append(d.Faults, f)
	}
	headless = o.Headless || !app.Output.Text() || !app.Term.InTTY || !app.Term.OutTTY
	if headless && !o.Headless && o.Duration == 0 {
		o.Duration = demoLength
	}
	return d, headless, nil
}

func runDemo(ctx context.Context, app *App, o *DemoOptions) (err error) {
	options, headless, err := o.options(app)
	if err != nil {
		return err
	}
	world, err := demo.Start(ctx, options)
	if err != nil {
		return fmt.Errorf("the demo: %w", err)
	}
	defer func() { err = errors.Join(err, world.Close()) }()
	limited, cancel := ctx, context.CancelFunc(func() {})
	if o.Duration > 0 {
		limited, cancel = context.WithTimeout(ctx, o.Duration)
	}
	defer cancel()
	if headless {
		if err := demoEvents(limited, app, world, options.Faults); err != nil {
			return err
		}
	} else if err := watchScreen(limited, app, watchedDemo(world)); err != nil && limited.Err() == nil {
		return err
	}
	return ctx.Err()
}

// demoEvents writes the events until ctx ends, and in text what came of it.
func demoEvents(ctx context.Context, app *App, world *demo.Demo, faults []*demo.Fault) (err error) {
	b := world.Backend()
	tr := trace.New(trace.Options{})
	out := newEventWriter(app, b.Source())
	for e, err := range b.Events(ctx, backend.EventOptions{}) {
		if err != nil {
			return errors.Join(err, out.close())
		}
		tr.Add(e)
		if e.Check != nil || e.Step != nil || e.Packet != nil || e.Table != nil && !e.Table.First {
			continue // the outcome of what they tell comes as a change or a failure
		}
		if err := out.event(e); err != nil {
			return err
		}
	}
	if err := out.close(); err != nil || !app.Output.Text() {
		return err
	}
	return demoSummary(app, world, tr, faults)
}

// watchedDemo gives the demo for the screen.
func watchedDemo(world *demo.Demo) daemonOnScreen {
	w := daemonOnScreen{Backend: world.Backend(), probe: func() *diag.Probe { return demoProbe(world) }, spoil: func(ctx context.Context, id string) error {
		var faults []*demo.Fault
		if id != "" {
			f, err := demo.FindFault(id)
			if err != nil {
				return err
			}
			faults = append(faults, f)
		}
		return world.Make(ctx, faults...)
	}}
	for _, f := range demo.Faults {
		w.faults = append(w.faults, tui.Fault{ID: f.ID, What: f.What})
	}
	return w
}

// demoProbe gives what the demo's own traffic found: it is an active test of the
// tunnels.
func demoProbe(world *demo.Demo) *diag.Probe {
	p := &diag.Probe{Connection: demo.Connection, Host: demo.Connection}
	p.Local, p.Remote = world.Ends()
	t := world.Traffic()
	for _, o := range t.Sizes {
		p.Inner = append(p.Inner, diag.ProbeSize{Octets: o.Octets, Sent: o.Sent, Answered: o.Answered})
	}
	for _, o := range t.Quiet {
		p.Quiet = append(p.Quiet, diag.ProbeQuiet{Silence: o.Silence, Sent: o.Sent, Answered: o.Answered})
	}
	return p
}

// demoSummary says what went through, and what is wrong.
func demoSummary(app *App, world *demo.Demo, tr *trace.Trace, faults []*demo.Fault) error {
	t := app.Term
	w := &wrapper{w: bufio.NewWriter(t.Out), term: t, width: textWidth}
	w.blank()
	traffic, nat := world.Traffic(), world.NAT()
	w.line(term.Plain, "tunnels:  ", contents(tr))
	if traffic.Answered > 0 {
		w.line(term.Plain, "traffic:  ", fmt.Sprintf("%d of %s through the tunnels answered, %s on average; %s over TCP, there and back",
			traffic.Answered, plural(int64(traffic.Pings), "ping"), shortDuration(traffic.Mean()), octets(engine.Some(uint64(traffic.Octets)))))
	} else {
		w.line(term.Bad, "traffic:  ", "no ping came through the tunnels")
	}
	if probes, answered := probed(tr); probes > 0 {
		w.line(term.Plain, "silence:  ", fmt.Sprintf("%s, %d answered", plural(int64(probes), "liveness check"), answered))
	}
	w.line(term.Plain, "NAT:      ", fmt.Sprintf("%d datagrams out, %d in, %s made, %d dropped", nat.Out, nat.In, plural(int64(nat.Mappings), "mapping"), nat.Dropped+nat.Unmapped))
	for _, f := range faults {
		w.line(term.Warning, "fault:    ", f.ID+": "+f.What)
	}
	findings := diag.Diagnose(&diag.Facts{Source: world.Backend().Source(), Trace: tr, Now: time.Now(), Live: true, Probe: demoProbe(world)}, rule.All())
	if len(findings) == 0 {
		w.line(term.Good, "findings: ", "none")
	}
	for i := range findings {
		w.blank()
		w.finding(i+1, &findings[i])
	}
	if err := w.w.Flush(); err != nil {
		return fmt.Errorf("writing the summary: %w", err)
	}
	return nil
}

// probed counts the liveness checks of all SAs.
func probed(tr *trace.Trace) (probes, answered int) {
	for _, sa := range tr.SAs {
		probes, answered = probes+sa.DPD.Probes, answered+sa.DPD.Answered
	}
	return probes, answered
}
