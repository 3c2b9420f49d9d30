package cli

import (
	"bufio"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// IPsecStatusOptions is what ipsec status takes.
type IPsecStatusOptions struct {
	WatchOptions
	FailOn diag.Severity // 0: findings leave the exit code alone
}

// NewCmdIPsecStatus makes `cvlanctl ipsec status`.
func NewCmdIPsecStatus(app *App, runF func(context.Context, *IPsecStatusOptions) error) *cobra.Command {
	opts := &IPsecStatusOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *IPsecStatusOptions) error { return runIPsecStatus(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show on one screen how the daemon and its tunnels stand",
		Example: `  cvlanctl ipsec status
  cvlanctl ipsec status --watch --interval 1s
  cvlanctl ipsec status -o json | jq '.children | .configured - .up'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
	opts.flags(cmd)
	failOnFlag(cmd, &opts.FailOn)
	return cmd
}

func runIPsecStatus(ctx context.Context, app *App, o *IPsecStatusOptions) error {
	var past recollection
	return o.run(ctx, app, func(ctx context.Context, t *term.Terminal, c *vici.Client) error {
		worst, err := showStatus(ctx, app, t, c, &past)
		if err == nil && worst != nil && !o.Watch {
			err = failOn([]doc.Worst{*worst}, o.FailOn)
		}
		return err
	})
}

// failOnFlag adds --fail-on to a command that shows how things stand, and judges
// them only on request.
func failOnFlag(cmd *cobra.Command, limit *diag.Severity) {
	cmd.Flags().Var((*severityFlag)(limit), "fail-on", "exit with 3 from this severity on: critical, high, medium, low (default: findings do not change the exit code)")
	complete(cmd, "fail-on", words("critical", "high", "medium", "low"))
}

// failOn gives the error for findings as bad as a limit or worse; 0 is no
// limit.
func failOn(found []doc.Worst, limit diag.Severity) error {
	for _, f := range found {
		if s, err := diag.ParseSeverity(f.Severity); err == nil && s.AtLeast(limit) {
			return &findingsError{f.Severity}
		}
	}
	return nil
}

// showStatus writes how a daemon stands.
func showStatus(ctx context.Context, app *App, t *term.Terminal, c *vici.Client, past *recollection) (*doc.Worst, error) {
	s, err := c.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	stats, err := c.Stats(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	findings, err := app.findings(ctx, c, past, s, now)
	if err != nil {
		return nil, err
	}
	var worst *doc.Worst
	if found := above(findings, nil); len(found) > 0 {
		worst = &found[0]
	}
	d := doc.NewStatus(c.Source(), s, &stats, worst)
	if !app.Output.Text() {
		return d.Finding, print.Document(t.Out, app.Output, d, d.Tunnels)
	}
	return d.Finding, writeStatus(app, t, d, s, &stats, now)
}

// above gives the findings above info about what is wanted, the worst first; nil
// is everything.
func above(findings []diag.Finding, want doc.Wanted) []doc.Worst {
	var l []doc.Worst
	for i := range findings {
		f := &findings[i]
		if f.Severity < diag.Info && (want == nil || f.Subject.Connection == "" || want(f.Subject.Connection, "")) {
			l = append(l, doc.Worst{ID: f.ID, Severity: f.Severity.String(), Summary: f.Summary, Connection: f.Subject.Connection})
		}
	}
	return l
}

func writeStatus(app *App, t *term.Terminal, d *doc.Status, s *backend.Snapshot, stats *engine.Stats, now time.Time) error {
	w := &details{Writer: bufio.NewWriter(t.Out), app: app, term: t, now: now}
	v := d.Daemon
	w.line(0, "daemon", fmt.Sprintf("%s %s on %s %s %s, at %s", v.Daemon, v.Version, v.SysName, v.Release, v.Machine, d.Source))
	switch {
	case !stats.Since.IsZero():
		w.line(0, "running", fmt.Sprintf("for %s, since %s", age(stats.Since, now), app.clock(stats.Since)))
	case stats.Running > 0:
		w.line(0, "running", "for "+span(stats.Running))
	}
	if n, ok := stats.IKESAs.Get(); ok {
		w.line(0, "IKE SAs", fmt.Sprintf("%d, of them %d half open", n, stats.HalfOpen.Or(0)))
	}
	w.tally("connections", d.Connections)
	w.tally("children", d.Children)
	if f := d.Finding; f != nil {
		fmt.Fprintf(w, "%-14s %s\n", "worst finding", t.Paint(term.Bad, clean.Text(fmt.Sprintf("%s: %s [%s]", f.Severity, f.Summary, f.ID))))
	}
	fmt.Fprintln(w)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	return statusTable(s, now).Write(t, app.Output)
}

func (w *details) tally(label string, n doc.Tally) {
	text, meaning := fmt.Sprintf("%d configured, %d up", n.Configured, n.Up), term.Good
	if down := n.Configured - n.Up; down > 0 {
		text, meaning = fmt.Sprintf("%s, %d down", text, down), term.Bad
	}
	fmt.Fprintf(w, "%-14s %s\n", label, w.term.Paint(meaning, text))
}

// statusTable gives a line for each connection and child: up since when, or
// down and why.
func statusTable(s *backend.Snapshot, now time.Time) *print.Rows {
	rows := &print.Rows{
		Columns: []print.Column{{Title: "tunnel"}, {Title: "state"}, {Title: "since", Right: true}, {Title: "remote"}, {Title: "in", Right: true}, {Title: "out", Right: true}, {Title: "note"}},
		Empty:   "No connection is configured.",
	}
	for i := range s.Tunnels {
		t := &s.Tunnels[i]
		state, since, remote := print.Cell{Text: doc.Down, Meaning: term.Bad}, "", remoteAddrs(t)
		note := pastText(s, &t.Past, now)
		if n := len(t.SAs); n > 0 {
			sa := t.SAs[n-1]
			state, since = print.Cell{Text: string(sa.State), Meaning: ikeMeaning(sa.State)}, age(sa.Established, now)
			remote, note = endpointText(sa.Remote.Host, sa.Remote.Port), ikeNote(t, sa)
			if n > 1 {
				note = fmt.Sprintf("%d IKE SAs, %s", n, note)
			}
		}
		rows.Add(print.C(t.Name), state, print.C(since), print.C(remote), print.C(""), print.C(""), print.C(note))
		for j := range t.Children {
			childStatusRow(rows, s, &t.Children[j], now)
		}
	}
	return rows
}

func childStatusRow(rows *print.Rows, s *backend.Snapshot, c *backend.Child, now time.Time) {
	n := len(c.SAs)
	if n == 0 {
		remote := ""
		if c.Config != nil {
			remote = joined(c.Config.RemoteTS)
		}
		rows.Add(print.C("  "+c.Name), print.Cell{Text: doc.Down, Meaning: term.Bad}, print.C(""), print.C(remote), print.C(""), print.C(""), print.C(pastText(s, &c.Past, now)))
		return
	}
	sa := c.SAs[n-1]
	note := childNote(sa.ChildSA)
	if n > 1 {
		note = fmt.Sprintf("%d CHILD SAs, %s", n, note)
	}
	rows.Add(print.C("  "+c.Name), print.Cell{Text: string(sa.State), Meaning: childMeaning(sa.State)}, print.C(age(sa.Installed, now)),
		print.C(joined(sa.RemoteTS)), print.C(octets(sa.BytesIn)), print.C(octets(sa.BytesOut)), print.C(note))
}
