package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// SAsOptions is what pcap sas takes.
type SAsOptions struct {
	ReadOptions
	Files []string
}

// NewCmdPcapSAs makes `cvlanctl pcap sas`.
func NewCmdPcapSAs(app *App, runF func(context.Context, *SAsOptions) error) *cobra.Command {
	opts := &SAsOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *SAsOptions) error { return runSAs(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "sas FILE...",
		Short: "Show the security associations that a capture shows",
		Long: `Show the IKE SAs and CHILD SAs that a capture shows: states, suites, NAT,
traffic in each direction, how they ended and what replaced them. What a
capture cannot know is left out. The local side is the initiator of the IKE SA.`,
		Example: `  cvlanctl pcap sas trace.pcap
  cvlanctl pcap sas -o wide trace.pcap
  cvlanctl pcap sas -o json --keys keys/ trace.pcap | jq '.ike_sas[].child_sas'`,
		Args:              atLeastOneFile,
		ValidArgsFunction: completeCapture,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Files = args
			return runF(cmd.Context(), opts)
		},
	}
	opts.flags(cmd)
	return cmd
}

func runSAs(ctx context.Context, app *App, o *SAsOptions) error {
	r, err := o.open(ctx, app, o.Files)
	if err != nil {
		return err
	}
	t, failed := r.fold(ctx, trace.Options{TablesOnly: true})
	if interrupted(failed) {
		return failed
	}
	switch app.Output {
	case print.Table:
		err = saTable(t).Write(app.Term, app.Output)
	case print.Wide:
		err = writeSAs(app.Term, t)
	default:
		err = print.Fields(app.Term.Out, app.Output, doc.SAs(t, sourceName(o.Files)), "ike_sas")
	}
	return errors.Join(err, failed)
}
