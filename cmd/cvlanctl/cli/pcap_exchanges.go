package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// ExchangesOptions is what pcap exchanges takes.
type ExchangesOptions struct {
	ReadOptions
	Files []string
}

// NewCmdPcapExchanges makes `cvlanctl pcap exchanges`.
func NewCmdPcapExchanges(app *App, runF func(context.Context, *ExchangesOptions) error) *cobra.Command {
	opts := &ExchangesOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *ExchangesOptions) error { return runExchanges(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "exchanges FILE...",
		Short: "Pair requests with responses: the ladder",
		Long: `Pair requests with responses and draw them as a ladder, one for each IKE SA:
time, exchange, message id, size, payloads; retransmissions and requests
without a response are drawn as such.`,
		Example: `  cvlanctl pcap exchanges trace.pcap
  cvlanctl pcap exchanges --filter spi=0edaee72093903a1 trace.pcap
  cvlanctl pcap exchanges -o jsonl trace.pcap | jq 'select(.response|not)'`,
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

func runExchanges(ctx context.Context, app *App, o *ExchangesOptions) error {
	r, err := o.open(ctx, app, o.Files)
	if err != nil {
		return err
	}
	t, failed := r.fold(ctx, trace.Options{})
	if interrupted(failed) {
		return failed
	}
	if app.Output.Text() {
		err = writeLadders(app.Term, t)
	} else {
		err = print.Fields(app.Term.Out, app.Output, doc.Exchanges(t, sourceName(o.Files)), "exchanges")
	}
	return errors.Join(err, failed)
}
