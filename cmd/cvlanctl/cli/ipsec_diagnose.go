package cli

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/probe"
	"github.com/cloudvlan/cvlanctl/diag/report"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/vici"
)

// GatherOptions say what is gathered of a daemon before the rules judge it.
type GatherOptions struct {
	Listen time.Duration // how long its events are followed
	Since  time.Duration // how old a line of its log file may be, and what our engine remembers
	NoHost bool
	// Swanctl is the folder with the daemon's certificates and keys, "" where
	// it is the usual one.
	Swanctl string
}

func (o *GatherOptions) flags(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&o.Listen, "listen", 3*time.Second, "how long to follow the daemon's events and the host's counters")
	cmd.Flags().DurationVar(&o.Since, "since", pastAge, "how old something may be that our own engine remembers, or a line of the daemon's log file")
	cmd.Flags().StringVar(&o.Swanctl, "swanctl-dir", "", "the folder with the daemon's certificates (default: of its environment, else /etc/swanctl)")
	cmd.Flags().BoolVar(&o.NoHost, "no-host", false, "leave this host's own settings alone, as where the daemon runs elsewhere")
}

// IPsecDiagnoseOptions is what ipsec diagnose takes.
type IPsecDiagnoseOptions struct {
	GatherOptions
	VerdictOptions
}

// ReportOptions say where a report goes.
type ReportOptions struct {
	Report       string
	Pseudonymise bool
}

func (o *ReportOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.Report, "report", "", "write a report for the other administrator too: FILE.md, FILE.html or FILE.json")
	cmd.Flags().BoolVar(&o.Pseudonymise, "pseudonymise", false, "with --report, put pseudonyms in place of addresses, identities and names")
}

// check refuses what cannot be written before anything is gathered.
func (o *ReportOptions) check() error {
	switch filepath.Ext(o.Report) {
	case ".md", ".html", ".json":
		return nil
	case "":
		if o.Report == "" && !o.Pseudonymise {
			return nil
		}
		if o.Report == "" {
			return usagef("--pseudonymise is of --report")
		}
	}
	return usagef("--report %q has to end in .md, .html or .json", o.Report)
}

// write writes the report, readable by its owner only.
func (o *ReportOptions) write(f *diag.Facts, findings []diag.Finding) error {
	if o.Report == "" {
		return nil
	}
	r := report.New(f, findings, report.Options{Pseudonymise: o.Pseudonymise, Version: version})
	var b []byte
	var err error
	switch filepath.Ext(o.Report) {
	case ".md":
		b = r.Markdown()
	case ".html":
		b = r.HTML()
	default:
		b, err = r.JSON()
	}
	if err == nil {
		err = os.WriteFile(o.Report, b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// NewCmdIPsecDiagnose makes `cvlanctl ipsec diagnose`.
func NewCmdIPsecDiagnose(app *App, runF func(context.Context, *IPsecDiagnoseOptions) error) *cobra.Command {
	opts := &IPsecDiagnoseOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *IPsecDiagnoseOptions) error { return runIPsecDiagnose(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "diagnose",
		Short: "Say what is wrong with a daemon's tunnels, how that is known, and what to change",
		Long: `Run every rule over all that is known: the SAs, connections, policies and
certificates of the daemon, its events for a few seconds, its log file where
--daemon-log names one, and this host's routes, firewall, IPsec policies and
counters. The root cause comes first. The exit code is 3 where a finding is as
bad as --fail-on, or worse.`,
		Example: `  cvlanctl ipsec diagnose
  cvlanctl ipsec diagnose --daemon-log /var/log/charon.log --since 24h
  cvlanctl ipsec diagnose --report for-the-peer.md --pseudonymise
  cvlanctl ipsec diagnose -o json | jq -r '.findings[0].id'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
	opts.GatherOptions.flags(cmd)
	opts.VerdictOptions.flags(cmd)
	return cmd
}

func runIPsecDiagnose(ctx context.Context, app *App, o *IPsecDiagnoseOptions) error {
	if err := o.ready(); err != nil {
		return err
	}
	return app.withBackend(ctx, func(ctx context.Context, c *vici.Client) error {
		facts, err := gather(ctx, app, c, &o.GatherOptions)
		if err != nil {
			return err
		}
		return o.judge(app, facts, facts.Source, nil)
	})
}

// writeNotes says on the side what of the host was not seen, and what its reader
// has to know.
func writeNotes(app *App, h *diag.HostFacts) {
	if h == nil {
		return
	}
	for _, n := range h.Notes {
		fmt.Fprintf(app.Term.Err, "cvlanctl: note: %s\n", cleaned(n))
	}
	for _, u := range h.Unseen {
		fmt.Fprintf(app.Term.Err, "cvlanctl: not seen: %s: %s\n", cleaned(u.What), cleaned(u.Why))
	}
}

// gather asks a daemon and this host all that rules can read.
func gather(ctx context.Context, app *App, c *vici.Client, o *GatherOptions) (*diag.Facts, error) {
	begin := time.Now()
	t := trace.New(trace.Options{})
	since := begin.Add(-o.Since)
	if err := app.readLog(c, since, t); err != nil {
		return nil, err
	}
	hosts := make(chan *diag.HostFacts, 1)
	go func() {
		if o.NoHost || c.Addr().Network != "unix" {
			hosts <- nil
			return
		}
		hosts <- probe.Host(ctx, probe.Options{Wait: o.Listen, PID: probe.Listener(c.Addr().Address), Certificates: !c.Addr().Engine, Swanctl: o.Swanctl})
	}()
	listen, stop := context.WithTimeout(ctx, max(o.Listen, 10*time.Millisecond))
	for e, err := range c.Events(listen, backend.EventOptions{Past: true}) {
		if err != nil {
			break // the time is over, or the daemon hangs up: what follows says so
		}
		if !e.Time.Before(since) {
			t.Add(e)
		}
	}
	stop()
	s, err := c.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	t.Add(&event.Event{Time: s.At, Table: &event.Table{SAs: s.SAs}})
	f := &diag.Facts{Source: c.Source(), Trace: t, Now: time.Now(), Live: true, Connections: s.Connections, Host: <-hosts}
	if f.Policies, err = c.Policies(ctx); err != nil {
		return nil, err
	}
	if f.Certificates, err = c.Certificates(ctx); err != nil {
		return nil, err
	}
	if stats, err := c.Stats(ctx); err == nil {
		f.Stats = &stats
	}
	f.Host = sameHost(f.Host, t)
	return f, nil
}

// elsewhere are the facts of a host that is not the daemon's: none, and why.
func elsewhere(h *diag.HostFacts, at netip.Addr) *diag.HostFacts {
	return &diag.HostFacts{At: h.At, Unseen: append(h.Unseen, diag.Unseen{What: "the daemon's host",
		Why: fmt.Sprintf("no interface here has the daemon's address %s: it runs in another network namespace, which root may enter, or on another host", at)})}
}

// sameHost gives the host's facts where the daemon has an address of it: one
// in another network namespace answers by the same kind of socket.
func sameHost(h *diag.HostFacts, t *trace.Trace) *diag.HostFacts {
	if h == nil {
		return nil
	}
	var foreign netip.Addr
	for _, sa := range t.SAs {
		a := sa.Local.Host
		if !a.IsValid() || a.IsUnspecified() {
			continue
		}
		foreign = a
		for _, i := range h.Interfaces {
			if slices.ContainsFunc(i.Prefixes, func(p netip.Prefix) bool { return p.Addr() == a }) {
				return h
			}
		}
	}
	if foreign.IsValid() && h.Interfaces != nil {
		return elsewhere(h, foreign)
	}
	return h
}
