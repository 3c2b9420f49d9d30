package cli

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// cleaned makes text from strangers safe to show.
func cleaned(s string) string { return clean.Text(s) }

// IPsecPoolsOptions is what ipsec list-pools takes.
type IPsecPoolsOptions struct {
	Leases bool
}

// NewCmdIPsecPools makes `cvlanctl ipsec list-pools`.
func NewCmdIPsecPools(app *App, runF func(context.Context, *IPsecPoolsOptions) error) *cobra.Command {
	opts := &IPsecPoolsOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *IPsecPoolsOptions) error { return runIPsecPools(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "list-pools",
		Short: "Show the pools of virtual addresses and who has them",
		Example: `  cvlanctl ipsec list-pools
  cvlanctl ipsec list-pools --leases
  cvlanctl ipsec list-pools -o json | jq '.pools[] | {name, free: (.size - .online - .offline)}'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
	cmd.Flags().BoolVar(&opts.Leases, "leases", false, "also each address and whom it belongs to")
	return cmd
}

func runIPsecPools(ctx context.Context, app *App, o *IPsecPoolsOptions) error {
	return app.withBackend(ctx, func(ctx context.Context, c *vici.Client) error {
		pools, err := c.Pools(ctx, o.Leases)
		if err != nil {
			return err
		}
		if app.Output.Text() {
			return poolTable(pools).Write(app.Term, app.Output)
		}
		d := doc.NewPools(c.Source(), pools, time.Now())
		return document(app, d, d.Pools)
	})
}

func poolTable(pools []engine.Pool) *print.Rows {
	rows := &print.Rows{
		Columns: []print.Column{{Title: "pool"}, {Title: "base"}, {Title: "size", Right: true}, {Title: "online", Right: true}, {Title: "offline", Right: true}, {Title: "attributes"}},
		Empty:   "No pool is loaded.",
	}
	for _, p := range pools {
		var attributes []string
		for _, name := range slices.Sorted(maps.Keys(p.Attributes)) {
			attributes = append(attributes, name+" "+joined(p.Attributes[name]))
		}
		online := print.C(fmt.Sprint(p.Online))
		if p.Size > 0 && p.Online+p.Offline >= p.Size {
			online.Meaning = term.Bad
		}
		rows.Add(print.C(p.Name), print.C(p.Base), print.C(fmt.Sprint(p.Size)), online, print.C(fmt.Sprint(p.Offline)), print.C(strings.Join(attributes, ", ")))
		for _, l := range p.Leases {
			state := print.Cell{Text: "offline", Meaning: term.Muted}
			if l.Online {
				state = print.Cell{Text: "online", Meaning: term.Good}
			}
			rows.Add(print.C("  "+l.Address), print.C(l.Identity), print.C(""), state)
		}
	}
	return rows
}

// IPsecPolsOptions is what ipsec list-pols takes.
type IPsecPolsOptions struct {
	IKE, Child string
}

// NewCmdIPsecPols makes `cvlanctl ipsec list-pols`.
func NewCmdIPsecPols(app *App, runF func(context.Context, *IPsecPolsOptions) error) *cobra.Command {
	opts := &IPsecPolsOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *IPsecPolsOptions) error { return runIPsecPols(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "list-pols",
		Short: "Show the policies that wait for traffic, let it pass, or drop it",
		Long: `Show the policies that a daemon has installed beside its SAs: trap, by which
traffic brings a child up; pass, which keeps traffic out of every tunnel; and drop.
The policies of SAs that stand are theirs: list-sas shows the selectors.`,
		Example: `  cvlanctl ipsec list-pols
  cvlanctl ipsec list-pols --ike office
  cvlanctl ipsec list-pols -o json | jq '.policies[] | select(.mode == "DROP") | .remote_ts[]'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
	cmd.Flags().StringVar(&opts.IKE, "ike", "", "only policies of the connection of this name")
	cmd.Flags().StringVar(&opts.Child, "child", "", "only policies of children of this name")
	return cmd
}

func runIPsecPols(ctx context.Context, app *App, o *IPsecPolsOptions) error {
	return app.withBackend(ctx, func(ctx context.Context, c *vici.Client) error {
		all, err := c.Policies(ctx)
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(p engine.Policy) bool {
			return o.IKE != "" && p.Connection != o.IKE || o.Child != "" && p.Child != o.Child
		})
		if app.Output.Text() {
			return policyTable(all).Write(app.Term, app.Output)
		}
		d := doc.NewPolicies(c.Source(), all, time.Now())
		return document(app, d, d.Policies)
	})
}

func policyTable(all []engine.Policy) *print.Rows {
	rows := &print.Rows{
		Columns: []print.Column{{Title: "kind"}, {Title: "connection"}, {Title: "child"}, {Title: "mode"}, {Title: "local"}, {Title: "remote"}, {Title: "label", Wide: true}},
		Empty:   "No trap, pass or drop policy is installed.",
	}
	for _, p := range all {
		kind := print.C(p.Kind())
		if kind.Text == "drop" {
			kind.Meaning = term.Bad
		}
		rows.Add(kind, print.C(p.Connection), print.C(p.Child), print.C(p.Mode), print.C(joined(p.LocalTS)), print.C(joined(p.RemoteTS)), print.C(p.Label))
	}
	return rows
}

// IPsecAlgsOptions is what ipsec list-algs takes: nothing.
type IPsecAlgsOptions struct{}

// NewCmdIPsecAlgs makes `cvlanctl ipsec list-algs`.
func NewCmdIPsecAlgs(app *App, runF func(context.Context, *IPsecAlgsOptions) error) *cobra.Command {
	opts := &IPsecAlgsOptions{}
	if runF == nil {
		runF = func(ctx context.Context, _ *IPsecAlgsOptions) error { return runIPsecAlgs(ctx, app) }
	}
	return &cobra.Command{
		Use:   "list-algs",
		Short: "Show which algorithms the daemon can do, and by which plugin",
		Example: `  cvlanctl ipsec list-algs
  cvlanctl ipsec list-algs -o json | jq -r '.algorithms[] | select(.kind == "ke" or .kind == "dh") | .name'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
}

func runIPsecAlgs(ctx context.Context, app *App) error {
	return app.withBackend(ctx, func(ctx context.Context, c *vici.Client) error {
		algs, err := c.Algorithms(ctx)
		if err != nil {
			return err
		}
		if !app.Output.Text() {
			d := doc.NewAlgs(c.Source(), algs, time.Now())
			return document(app, d, d.Algorithms)
		}
		rows := &print.Rows{
			Columns: []print.Column{{Title: "kind"}, {Title: "algorithm"}, {Title: "plugin"}},
			Empty:   "The daemon tells no algorithm.",
		}
		for _, a := range algs {
			rows.Add(print.C(a.Kind), print.C(a.Name), print.C(a.Plugin))
		}
		return rows.Write(app.Term, app.Output)
	})
}

// IPsecCountersOptions is what ipsec counters takes.
type IPsecCountersOptions struct {
	Name  string
	All   bool
	Reset bool
}

// NewCmdIPsecCounters makes `cvlanctl ipsec counters`.
func NewCmdIPsecCounters(app *App, runF func(context.Context, *IPsecCountersOptions) error) *cobra.Command {
	opts := &IPsecCountersOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *IPsecCountersOptions) error { return runIPsecCounters(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "counters",
		Short: "Show how many IKE messages and rekeyings there were",
		Long: `Show the daemon's counts of IKE messages by kind and direction, of rekeyings
and of invalid messages: for all connections together, for one, or for each.
It needs charon's plugin counters.`,
		Example: `  cvlanctl ipsec counters
  cvlanctl ipsec counters --name office
  cvlanctl ipsec counters --all -o json | jq '.counters[] | {connection, invalid: .counts.invalid}'
  cvlanctl ipsec counters --name office --reset`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.Name != "" && opts.All {
				return usagef("--name and --all exclude each other")
			}
			return runF(cmd.Context(), opts)
		},
	}
	cmd.Flags().StringVar(&opts.Name, "name", "", "of this connection")
	cmd.Flags().BoolVar(&opts.All, "all", false, "of each connection")
	cmd.Flags().BoolVar(&opts.Reset, "reset", false, "set them to zero after they were read")
	complete(cmd, "name", completeNames(app, false))
	return cmd
}

func runIPsecCounters(ctx context.Context, app *App, o *IPsecCountersOptions) error {
	return app.withBackend(ctx, func(ctx context.Context, c *vici.Client) error {
		names := []string{o.Name}
		if o.All || o.Name != "" {
			connections, err := c.Connections(ctx)
			if err != nil {
				return err
			}
			loaded := make([]string, len(connections))
			for i := range connections {
				loaded[i] = connections[i].Name
			}
			if o.Name != "" && !slices.Contains(loaded, o.Name) {
				return fmt.Errorf("no connection %q is loaded", o.Name)
			}
			if o.All {
				names = loaded
			}
		}
		var all []engine.Counters
		for _, name := range names {
			counters, err := c.Counters(ctx, name)
			if err != nil {
				return err
			}
			all = append(all, counters)
		}
		if o.Reset {
			for _, name := range names {
				if err := c.ResetCounters(ctx, name); err != nil {
					return err
				}
			}
		}
		if app.Output.Text() {
			return counterTable(all).Write(app.Term, app.Output)
		}
		d := doc.NewCounters(c.Source(), all, o.Reset, time.Now(), underscored)
		return document(app, d, d.Counters)
	})
}

// underscored makes a name of VICI a name of JSON.
func underscored(s string) string { return strings.ReplaceAll(s, "-", "_") }

// counterTable gives a line for each counter and a column for each connection.
func counterTable(all []engine.Counters) *print.Rows {
	rows := &print.Rows{Columns: []print.Column{{Title: "counter"}}, Empty: "There is no count."}
	names := make(map[string]bool)
	for _, c := range all {
		title := c.Connection
		if title == "" {
			title = "all"
		}
		rows.Columns = append(rows.Columns, print.Column{Title: cleaned(title), Right: true})
		for name := range c.Counts {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		row := []print.Cell{print.C(name)}
		for _, c := range all {
			row = append(row, print.C(fmt.Sprint(c.Counts[name])))
		}
		rows.Add(row...)
	}
	return rows
}

// IPsecStatsOptions is what ipsec stats takes: nothing.
type IPsecStatsOptions struct{}

// NewCmdIPsecStats makes `cvlanctl ipsec stats`.
func NewCmdIPsecStats(app *App, runF func(context.Context, *IPsecStatsOptions) error) *cobra.Command {
	opts := &IPsecStatsOptions{}
	if runF == nil {
		runF = func(ctx context.Context, _ *IPsecStatsOptions) error { return runIPsecStats(ctx, app) }
	}
	return &cobra.Command{
		Use:   "stats",
		Short: "Show the daemon's threads, queues, memory and plugins",
		Example: `  cvlanctl ipsec stats
  cvlanctl ipsec stats -o json | jq .half_open`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
}

func runIPsecStats(ctx context.Context, app *App) error {
	return app.withBackend(ctx, func(ctx context.Context, c *vici.Client) error {
		version, err := c.Version(ctx)
		if err != nil {
			return err
		}
		stats, err := c.Stats(ctx)
		if err != nil {
			return err
		}
		d := doc.NewStats(c.Source(), version, &stats, time.Now())
		if app.Output.Text() {
			return writeStats(app, d, &stats)
		}
		return document(app, d, []*doc.Stats{d})
	})
}

func writeStats(app *App, d *doc.Stats, s *engine.Stats) error {
	now := time.Now()
	w := &details{Writer: bufio.NewWriter(app.Term.Out), app: app, term: app.Term, now: now}
	v := d.Daemon
	w.line(0, "daemon", fmt.Sprintf("%s %s on %s %s %s", v.Daemon, v.Version, v.SysName, v.Release, v.Machine))
	if !s.Since.IsZero() {
		w.line(0, "running", fmt.Sprintf("for %s, since %s", age(s.Since, now), app.clock(s.Since)))
	} else if s.Running > 0 {
		w.line(0, "running", "for "+span(s.Running))
	}
	if n, ok := s.IKESAs.Get(); ok {
		w.line(0, "IKE SAs", fmt.Sprintf("%d, of them %d half open", n, s.HalfOpen.Or(0)))
	}
	w.line(0, "workers", counts(s.Workers))
	w.line(0, "queues", counts(s.Queues))
	if n, ok := s.Scheduled.Get(); ok {
		w.line(0, "scheduled", plural(int64(n), "job"))
	}
	var memory []string
	for _, name := range slices.Sorted(maps.Keys(s.Memory)) {
		memory = append(memory, name+" "+octets(engine.Some(s.Memory[name])))
	}
	w.line(0, "memory", strings.Join(memory, ", "))
	for i, part := range wrap(joined(s.Plugins), textWidth-15) {
		label := "plugins"
		if i > 0 {
			label = ""
		}
		w.line(0, label, part)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the stats: %w", err)
	}
	return nil
}

// counts gives counts by name, in the order of the names.
func counts(m map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", strings.ReplaceAll(name, ".", " "), m[name]))
	}
	return strings.Join(parts, ", ")
}
