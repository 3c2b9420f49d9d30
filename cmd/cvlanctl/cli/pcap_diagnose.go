package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// DiagnoseOptions is what pcap diagnose takes.
type DiagnoseOptions struct {
	ReadOptions
	ReportOptions
	VendorOptions
	Files  []string
	FailOn diag.Severity
}

// NewCmdPcapDiagnose makes `cvlanctl pcap diagnose`.
func NewCmdPcapDiagnose(app *App, runF func(context.Context, *DiagnoseOptions) error) *cobra.Command {
	opts := &DiagnoseOptions{FailOn: diag.High}
	if runF == nil {
		runF = func(ctx context.Context, o *DiagnoseOptions) error { return runDiagnose(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "diagnose FILE...",
		Short: "Say what is wrong, how that is known, and what to change",
		Long: `Say what is wrong on a capture, how sure that is, how it is known, and what to
change on which side. The root cause comes first. The exit code is 3 where a
finding is as bad as --fail-on, or worse.`,
		Example: `  cvlanctl pcap diagnose broken.pcap
  cvlanctl pcap diagnose --fail-on medium -o json broken.pcap | jq -r '.findings[0].id'
  cvlanctl pcap diagnose --keys keys/ broken.pcap`,
		Args:              atLeastOneFile,
		ValidArgsFunction: completeCapture,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Files = args
			return runF(cmd.Context(), opts)
		},
	}
	opts.ReadOptions.flags(cmd)
	opts.ReportOptions.flags(cmd)
	opts.VendorOptions.flags(cmd)
	cmd.Flags().Var((*severityFlag)(&opts.FailOn), "fail-on", "exit with 3 from this severity on: critical, high, medium, low, info")
	fromEnv(cmd.Flags(), "fail-on")
	complete(cmd, "fail-on", words("critical", "high", "medium", "low", "info"))
	return cmd
}

func runDiagnose(ctx context.Context, app *App, o *DiagnoseOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	vendors, err := o.vendors()
	if err != nil {
		return err
	}
	r, err := o.open(ctx, app, o.Files)
	if err != nil {
		return err
	}
	t, failed := r.fold(ctx, trace.Options{})
	if interrupted(failed) {
		return failed
	}
	facts := &diag.Facts{Source: sourceName(o.Files), Trace: t, Now: t.Last, Vendors: vendors}
	findings := diag.Diagnose(facts, rule.All())
	if app.Output.Text() {
		err = writeFindings(app.Term, t, shortName(o.Files), findings)
	} else {
		err = print.Document(app.Term.Out, app.Output, diag.Report{Source: facts.Source, Findings: findings}, findings)
	}
	if err = errors.Join(err, o.write(facts, findings), failed); err != nil {
		// A capture that could not be read to its end cannot vouch for what
		// was found: the failure decides the exit code.
		return err
	}
	if worst := diag.Worst(findings); len(findings) > 0 && worst.AtLeast(o.FailOn) {
		return &findingsError{worst.String()}
	}
	return nil
}

// severityFlag is the value of --fail-on.
type severityFlag diag.Severity

// String gives the severity's word.
func (s *severityFlag) String() string { return diag.Severity(*s).String() }

// Set reads the severity's word.
func (s *severityFlag) Set(word string) error {
	v, err := diag.ParseSeverity(word)
	if err != nil {
		return err
	}
	*s = severityFlag(v)
	return nil
}

// Type names the value in help.
func (s *severityFlag) Type() string { return "severity" }
