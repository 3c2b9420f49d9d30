package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// DiagnoseOptions is what pcap diagnose takes.
type DiagnoseOptions struct {
	ReadOptions
	VerdictOptions
	Files []string
}

// NewCmdPcapDiagnose makes `cvlanctl pcap diagnose`.
func NewCmdPcapDiagnose(app *App, runF func(context.Context, *DiagnoseOptions) error) *cobra.Command {
	opts := &DiagnoseOptions{}
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
	opts.VerdictOptions.flags(cmd)
	return cmd
}

func runDiagnose(ctx context.Context, app *App, o *DiagnoseOptions) error {
	if err := o.ready(); err != nil {
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
	facts := &diag.Facts{Source: sourceName(o.Files), Trace: t, Now: t.Last}
	// A capture that could not be read to its end cannot vouch for what was
	// found: the failure decides the exit code.
	return o.judge(app, facts, shortName(o.Files), failed)
}
