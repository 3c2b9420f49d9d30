package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
)

// TUIOptions is what tui takes.
type TUIOptions struct {
	ReadOptions
	Source string // pcap:FILE
}

// NewCmdTUI makes `cvlanctl tui`.
func NewCmdTUI(app *App, runF func(context.Context, *TUIOptions) error) *cobra.Command {
	opts := &TUIOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *TUIOptions) error { return runTUI(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "tui --source pcap:FILE",
		Short: "The screen: tunnels, exchanges, diagnoses and packets",
		Example: `  cvlanctl tui --source pcap:trace.pcap
  cvlanctl tui --source pcap:trace.pcap --keys keys/`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runF(cmd.Context(), opts)
		},
	}
	opts.flags(cmd)
	cmd.Flags().StringVar(&opts.Source, "source", "", "what to look at: pcap:FILE")
	fromEnv(cmd.Flags(), "source")
	complete(cmd, "source", completeSource)
	return cmd
}

// sourceFile gives the capture file that a source names.
func sourceFile(source string) (string, error) {
	kind, name, ok := strings.Cut(source, ":")
	switch {
	case source == "":
		return "", usagef("no source is named; --source pcap:FILE opens a capture")
	case !ok || kind != "pcap":
		return "", usagef("source %q is not understood; it is pcap:FILE", source)
	case name == "":
		return "", usagef("source %q names no file", source)
	}
	return name, nil
}

func runTUI(ctx context.Context, app *App, o *TUIOptions) error {
	name, err := sourceFile(o.Source)
	if err != nil {
		return err
	}
	if name == "-" {
		return usagef("the screen cannot read its capture from standard input, which its keys come from; write it to a file first")
	}
	if !app.Term.InTTY || !app.Term.OutTTY {
		return usagef("the screen needs a terminal; 'cvlanctl pcap diagnose %s' gives text", name)
	}
	return openScreen(ctx, app, o, name)
}
