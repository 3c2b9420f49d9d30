package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/report"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/vici"
)

// IPsecBundleOptions is what ipsec bundle takes.
type IPsecBundleOptions struct {
	GatherOptions
	File string
}

// NewCmdIPsecBundle makes `cvlanctl ipsec bundle`.
func NewCmdIPsecBundle(app *App, runF func(context.Context, *IPsecBundleOptions) error) *cobra.Command {
	opts := &IPsecBundleOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *IPsecBundleOptions) error { return runIPsecBundle(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Put everything that a support case wants into one archive, and no secret",
		Long: `Write an archive with the diagnosis, the SAs, connections, certificates, pools,
algorithms, counters and statistics of a daemon, what its log tells, and this
host's routes, firewall and IPsec policies. No key and no shared secret is in
it: what could hold one is left out. Addresses and identities are in it.`,
		Example: `  cvlanctl ipsec bundle
  cvlanctl ipsec bundle --file case-4711.tar.gz --daemon-log /var/log/charon.log`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
	opts.GatherOptions.flags(cmd)
	cmd.Flags().StringVarP(&opts.File, "file", "f", "", "the archive (default cvlanctl-bundle-TIME.tar.gz)")
	return cmd
}

// archive collects files of a bundle.
type archive struct {
	at  time.Time
	tar *tar.Writer
	err error
}

func (a *archive) file(name string, b []byte) {
	if a.err != nil {
		return
	}
	a.err = a.tar.WriteHeader(&tar.Header{Name: "cvlanctl-bundle/" + name, Mode: 0o600, Size: int64(len(b)), ModTime: a.at, Typeflag: tar.TypeReg})
	if a.err == nil {
		_, a.err = a.tar.Write(b)
	}
}

func (a *archive) json(name string, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil && a.err == nil {
		a.err = fmt.Errorf("%s: %w", name, err)
	}
	a.file(name, append(print.Escape(b), '\n'))
}

func runIPsecBundle(ctx context.Context, app *App, o *IPsecBundleOptions) error {
	return app.withBackend(ctx, func(ctx context.Context, c *vici.Client) error {
		facts, err := gather(ctx, app, c, &o.GatherOptions)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		zip := gzip.NewWriter(&b)
		a := &archive{at: facts.Now, tar: tar.NewWriter(zip)}
		if err := fillBundle(ctx, app, c, facts, a); err != nil {
			return err
		}
		if err := errors.Join(a.err, a.tar.Close(), zip.Close()); err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
		name := o.File
		if name == "" {
			name = "cvlanctl-bundle-" + facts.Now.UTC().Format("20060102-150405") + ".tar.gz"
		}
		if err := os.WriteFile(name, b.Bytes(), 0o600); err != nil {
			return fmt.Errorf("bundle: %w", err)
		}
		if !app.Output.Text() {
			d := map[string]any{"schema": "cvlanctl/bundle/v1", "source": facts.Source, "file": name, "octets": b.Len()}
			return document(app, d, []map[string]any{d})
		}
		_, err = fmt.Fprintln(app.Term.Out, app.Term.Paint(term.Good, cleaned(fmt.Sprintf("%s: %d octets. No secrets are in it; addresses and identities are.", name, b.Len()))))
		return err
	})
}

func fillBundle(ctx context.Context, app *App, c *vici.Client, facts *diag.Facts, a *archive) error {
	s, err := c.Snapshot(ctx)
	if err != nil {
		return err
	}
	stats := facts.Stats
	if stats == nil {
		stats = &engine.Stats{}
	}
	findings := diag.Diagnose(facts, rule.All())
	a.json("diagnosis.json", diag.Report{Source: facts.Source, Findings: findings})
	a.file("diagnosis.md", report.New(facts, findings, report.Options{Version: version}).Markdown())
	a.json("status.json", doc.NewStatus(facts.Source, s, stats, nil))
	a.json("sas.json", doc.NewLiveSAs(facts.Source, s, facts.Now, nil))
	a.json("connections.json", doc.NewConns(facts.Source, s))
	authorities, err := c.Authorities(ctx)
	if err != nil {
		a.json("authorities-error.json", err.Error())
	}
	a.json("certificates.json", doc.NewCerts(facts.Source, facts.Certificates, authorities, facts.Now))
	if algorithms, err := c.Algorithms(ctx); err == nil {
		a.json("algorithms.json", doc.NewAlgs(facts.Source, algorithms, facts.Now))
	}
	if pools, err := c.Pools(ctx, false); err == nil {
		a.json("pools.json", doc.NewPools(facts.Source, pools, facts.Now))
	}
	if facts.Stats != nil {
		a.json("stats.json", doc.NewStats(facts.Source, s.Version, facts.Stats, facts.Now))
	}
	if counters, err := c.Counters(ctx, ""); err == nil {
		a.json("counters.json", doc.NewCounters(facts.Source, []engine.Counters{counters}, false, facts.Now, underscored))
	}
	a.json("policies.json", doc.NewPolicies(facts.Source, facts.Policies, facts.Now))
	if facts.Host != nil {
		a.json("host.json", doc.NewHost(facts.Host))
	}
	log, err := app.daemonLog(c)
	if err != nil {
		return err
	}
	a.file("log.txt", openLog(log))
	a.file("README.txt", []byte(bundleText(app, facts)))
	return nil
}

func bundleText(app *App, facts *diag.Facts) string {
	return fmt.Sprintf("Made by cvlanctl %s at %s from %s.\n"+
		"diagnosis.md is for people; start there. The other files say what it was made from.\n"+
		"Log lines that could hold a key are left out. Addresses, names and identities are as they were.\n",
		version, facts.Now.UTC().Format(time.RFC3339), facts.Source)
}

// secretive matches a line of charon's log that could tell a key or a secret,
// or announces octets that do.
var secretive = regexp.MustCompile(`(?i)=> ?\d+ bytes @|secret|password|\bkey material\b|\bpsk\b|shared key =>|\bSK_|private key =>|keymat|KEYMAT|MSK|SKEYSEED`)

// octetLine matches a line of octets in hexadecimal: charon writes keys so, 16
// octets a line, each line with the prefix of its first.
var octetLine = regexp.MustCompile(`^\s*\d+: (?:[0-9A-Fa-f]{2}(?:\s|$)){1,16}`)

// openLog gives the lines of charon's log that tell no secret, cleaned.
func openLog(log []byte) []byte {
	var b bytes.Buffer
	_ = vici.ReadLog(bytes.NewReader(log), func(e *event.Event) {
		if e.Log == nil || e.Log.Level > 2 || secretive.MatchString(e.Log.Text) || octetLine.MatchString(e.Log.Text) {
			return
		}
		fmt.Fprintf(&b, "%s %s %s[%d] %s\n", e.Time.UTC().Format(time.RFC3339Nano), e.Log.Group, cleaned(e.Log.IKE), e.Log.IKEID, cleaned(e.Log.Text))
	}) // from memory: nothing can fail but a line that is not charon's
	return b.Bytes()
}
