package cli

import (
	"context"

	"github.com/spf13/cobra"
)

// TUIOptions is what tui takes.
type TUIOptions struct {
	ReadOptions
}

// NewCmdTUI makes `cvlanctl tui`.
func NewCmdTUI(app *App, runF func(context.Context, *TUIOptions) error) *cobra.Command {
	opts := &TUIOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *TUIOptions) error { return runTUI(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "tui",
		Short: "The screen: tunnels, exchanges, NAT, timers, diagnoses, packets and log",
		Long: `The screen: tunnels, exchanges, NAT, timers, diagnoses, packets and log, of a
running IKE daemon or of a capture. --source names it; without it the screen
shows the daemon that is here. Of a daemon it also takes orders: up, down, rekey,
dpd. ? shows the keys.`,
		Example: `  cvlanctl tui
  cvlanctl tui --source vici:/run/charon.vici
  cvlanctl tui --source pcap:trace.pcap --keys keys/`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runF(cmd.Context(), opts)
		},
	}
	opts.flags(cmd)
	return cmd
}

func runTUI(ctx context.Context, app *App, o *TUIOptions) error {
	kind, name, err := app.source()
	if err != nil {
		return err
	}
	if kind != "pcap" {
		if !app.Term.InTTY || !app.Term.OutTTY {
			return usagef("the screen needs a terminal; 'cvlanctl ipsec status' and 'cvlanctl ipsec list-sas' give text")
		}
		client, err := app.backend(ctx)
		if err != nil {
			return err
		}
		defer closeBackend(app, client)
		return watchScreen(ctx, app, daemonOnScreen{Backend: client})
	}
	switch {
	case name == "":
		return usagef("source %q names no file", app.Source)
	case name == "-":
		return usagef("the screen cannot read its capture from standard input, which its keys come from; write it to a file first")
	case !app.Term.InTTY || !app.Term.OutTTY:
		return usagef("the screen needs a terminal; 'cvlanctl pcap diagnose %s' gives text", name)
	}
	return openScreen(ctx, app, o, name)
}
