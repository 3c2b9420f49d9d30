package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/vici"
)

// IPsecRekeyOptions is what ipsec rekey takes.
type IPsecRekeyOptions struct {
	Name string
	IKE  bool
}

// NewCmdIPsecRekey makes `cvlanctl ipsec rekey`.
func NewCmdIPsecRekey(app *App, runF func(context.Context, *IPsecRekeyOptions) error) *cobra.Command {
	opts := &IPsecRekeyOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *IPsecRekeyOptions) error { return runIPsecRekey(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "rekey NAME",
		Short: "Rekey a child, all children of a connection, or its IKE SA, and wait for the outcome",
		Long: `Rekey a child, all children of a connection, or with --ike the connection's
IKE SA. The daemon only starts it; this command follows the log until the new
SA is there, or tells what failed. A fault that shows only at rekeying, such as
key exchange groups that do not match, is found now instead of in an hour.`,
		Example: `  cvlanctl ipsec rekey office
  cvlanctl ipsec rekey office/lan
  cvlanctl ipsec rekey office --ike`,
		Args:              oneName,
		ValidArgsFunction: completeNames(app, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Name = args[0]
			return runF(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.IKE, "ike", false, "the IKE SA, not the children")
	return cmd
}

func runIPsecRekey(ctx context.Context, app *App, o *IPsecRekeyOptions) error {
	return app.withBackend(ctx, func(ctx context.Context, c *vici.Client) error {
		a, t, err := app.begin(ctx, c, "rekey", o.Name)
		if err != nil {
			return err
		}
		r := &rekeying{action: a, client: c, ike: o.IKE, connection: t.connection}
		r.goals = rekeyGoals(t, o.IKE)
		if len(r.goals) == 0 {
			return r.finish(fmt.Errorf("%s is down: there is nothing to rekey", t))
		}
		err = r.run(ctx)
		if err == nil {
			r.say(term.Good, "%s is rekeyed", t)
		}
		return r.finish(err)
	})
}

// rekeyGoals are the SAs that a target means: its IKE SAs, or those CHILD SAs
// that are installed. They are named by id: an SA that was rekeyed a moment ago
// still has the name.
func rekeyGoals(t *target, ike bool) []backend.Target {
	var goals []backend.Target
	if ike {
		for _, sa := range t.tunnel.SAs {
			if sa.State == engine.IKEEstablished {
				goals = append(goals, backend.Target{IKE: t.connection, IKEID: sa.UniqueID})
			}
		}
		return goals
	}
	for i := range t.children {
		for _, sa := range t.children[i].SAs {
			if sa.State == engine.ChildInstalled {
				goals = append(goals, backend.Target{IKE: t.connection, Child: sa.Name, ChildID: sa.UniqueID})
			}
		}
	}
	return goals
}

// rekeying starts a rekeying and follows it.
type rekeying struct {
	*action
	client     *vici.Client
	ike        bool
	connection string
	goals      []backend.Target
	left       int // SAs that are not yet rekeyed
}

// run subscribes first and starts then, so that nothing is missed.
func (r *rekeying) run(ctx context.Context) error {
	started := false
	for e, err := range r.client.Events(ctx, backend.EventOptions{Every: -1}) {
		switch {
		case err != nil:
			return err
		case e.Table != nil && e.Table.First && !started:
			started = true
			if err := r.start(ctx); err != nil {
				return err
			}
		case started:
			if done, err := r.take(e); done || err != nil {
				return err
			}
		}
	}
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return err
	}
	return r.failure(ctx, fmt.Sprintf("%s is not rekeyed", r.connection), fmt.Errorf("%w: the rekeying was begun and has not ended", backend.ErrRefused))
}

func (r *rekeying) start(ctx context.Context) error {
	for _, goal := range r.goals {
		n, err := r.client.Rekey(ctx, goal, backend.RekeyOptions{})
		if err != nil {
			return r.failure(ctx, name(goal)+" is not rekeyed", err)
		}
		r.left += n
	}
	matches := r.left
	r.doc.Matches = &matches
	if r.left == 0 {
		return fmt.Errorf("%s: the daemon found no SA to rekey", r.connection)
	}
	return nil
}

// take folds one event in and says whether all is rekeyed.
func (r *rekeying) take(e *event.Event) (bool, error) {
	switch {
	case e.Gap != nil && e.Gap.Away:
		return false, fmt.Errorf("%s: %s", r.connection, e.Gap.What)
	case e.Log != nil && e.Log.IKE == r.connection:
		r.add(e)
		if f := e.Log.Failure; f != nil {
			return false, fmt.Errorf("%s is not rekeyed: %s", r.connection, e.Log.Text)
		}
	case e.Change != nil && e.Change.SA.Name == r.connection:
		return r.change(e)
	}
	return false, nil
}

func (r *rekeying) change(e *event.Event) (bool, error) {
	r.add(e)
	switch kind := e.Change.Kind; {
	case kind == event.IKERekey && r.ike:
		r.left--
	case kind == event.ChildRekey && !r.ike:
		for _, c := range e.Change.SA.Children {
			if slices.ContainsFunc(r.goals, func(g backend.Target) bool { return g.Child == c.Name }) {
				r.left--
			}
		}
	case kind == event.IKEDown:
		return false, fmt.Errorf("%s is not rekeyed: its IKE SA went down", r.connection)
	}
	return r.left <= 0, nil
}

// IPsecDPDOptions is what ipsec dpd takes.
type IPsecDPDOptions struct {
	Name string
}

// NewCmdIPsecDPD makes `cvlanctl ipsec dpd`.
func NewCmdIPsecDPD(app *App, runF func(context.Context, *IPsecDPDOptions) error) *cobra.Command {
	opts := &IPsecDPDOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *IPsecDPDOptions) error { return runIPsecDPD(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "dpd NAME",
		Short: "Check that a peer lives, and tell the round trip",
		Long: `Check that a connection's peer lives (dead peer detection) and tell how long its
answer took. Our own engine asks the peer at once. strongSwan takes no command
for a check: it makes one whenever the peer was silent for dpd_delay, and this
command follows its log until the next one is answered or given up. Where
dpd_delay is 0 there is none to wait for; the command says so, and what to do
instead.`,
		Example: `  cvlanctl ipsec dpd office --timeout 1m
  cvlanctl ipsec dpd office -o json | jq .probe.rtt`,
		Args:              oneName,
		ValidArgsFunction: completeNames(app, false),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Name = args[0]
			return runF(cmd.Context(), opts)
		},
	}
	return cmd
}

// dpdPatience is how much longer than dpd_delay a check is waited for.
const dpdPatience = 15 * time.Second

func runIPsecDPD(ctx context.Context, app *App, o *IPsecDPDOptions) error {
	client, err := app.backend(ctx)
	if err != nil {
		return err
	}
	defer closeBackend(app, client)
	limited, cancel := app.patience(ctx, defaultTimeout)
	s, err := client.Snapshot(limited)
	cancel()
	if err != nil {
		return advise(err)
	}
	t, err := find(s, o.Name)
	if err != nil {
		return err
	}
	a := newAction(app, client.Source(), "dpd")
	a.doc.Connection = t.connection
	if client.Addr().Engine {
		a.ofEngine(s)
	}
	if !t.tunnel.Up() {
		return a.finish(fmt.Errorf("%s is down: a liveness check needs an IKE SA", t.connection))
	}
	delay := time.Duration(0)
	if c := t.tunnel.Connection; c != nil {
		delay = c.DPDDelay.Or(0)
	}
	if delay > 0 && !client.Addr().Engine {
		a.say(term.Muted, "waiting for the next check: the daemon makes one after %s of silence", span(delay))
	}
	limited, cancel = app.patience(ctx, max(defaultTimeout, delay+dpdPatience))
	defer cancel()
	probe, err := client.DPD(limited, t.connection, a.add)
	return a.finish(a.probed(ctx, t.connection, &probe, err))
}

// probed notes the outcome of a liveness check and gives what was wrong.
func (a *action) probed(ctx context.Context, connection string, p *backend.Probe, err error) error {
	if !p.Sent.IsZero() {
		a.doc.Probe = doc.NewProbe(p)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, backend.ErrUnsupported):
		return &advisedError{err, []string{
			fmt.Sprintf("With connections.%s.dpd_delay = 30s charon makes one after 30 s of silence.", connection),
			fmt.Sprintf("To ask the peer something now: 'cvlanctl ipsec rekey %s'; an answer shows that it lives.", connection),
		}}
	case err != nil && p.Sent.IsZero() && errors.Is(err, context.DeadlineExceeded):
		return &advisedError{failedError(err), []string{"Traffic from the peer puts a check off: it was not silent. A longer --timeout waits longer."}}
	case err != nil && errors.Is(err, context.DeadlineExceeded):
		return failedError(err)
	case err != nil:
		return err
	case !p.Answered:
		return fmt.Errorf("%s: the peer does not answer: the check was given up after %s", connection, plural(int64(p.Retransmissions), "retransmission"))
	}
	after := ""
	if p.Retransmissions > 0 {
		after = " at the " + plural(int64(p.Retransmissions), "retransmission")
	}
	rtt, ok := p.RTT.Get()
	if ok {
		after += " after " + shortDuration(rtt)
	}
	a.say(term.Good, "%s: the peer lives: it answered%s", connection, after)
	return nil
}
