package cli

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/internal/typo"
)

// NewCmdRoot makes the whole tree.
func NewCmdRoot(app *App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cvlanctl",
		Short: "Find out why an IPsec tunnel does not work, and what to change",
		Long: `cvlanctl reads IKE, ESP and AH from captures and says what happened: the
exchanges, the security associations, what is wrong, how that is known, and
the line to change on either side. It shows and drives a running strongSwan
over VICI: what is up, what is down and why, and brings tunnels up and down.

Without a command it shows on the screen what is here: a charon, or an engine of
our own. Where neither is, it says where it looked, and offers the demo.

Results go to standard output, everything else to standard error.

Exit codes: 0 fine, 1 the operation failed, 2 wrong usage, 3 findings at or
above --fail-on, 4 not permitted, 5 source unreachable, 130 interrupted.`,
		Example: `  cvlanctl
  cvlanctl demo
  cvlanctl ipsec status
  cvlanctl ipsec up office
  cvlanctl pcap diagnose broken.pcap
  cvlanctl pcap decode -o jsonl trace.pcapng.gz | jq .ike.exchange
  cvlanctl tui --source pcap:broken.pcap
  cvlanctl explain no-proposal-ike`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runBare(cmd.Context(), app)
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return app.settings(cmd) },
	}
	cmd.SetIn(app.Term.In)
	cmd.SetOut(app.Term.Out)
	cmd.SetErr(app.Term.Err)
	cmd.SetFlagErrorFunc(badFlag)
	cmd.CompletionOptions.DisableDefaultCmd = true

	global := cmd.PersistentFlags()
	global.VarP(&app.Output, "output", "o", "form of the result: "+print.Names())
	global.BoolVar(&app.noColor, "no-color", false, "no colour, as NO_COLOR in the environment says too")
	global.Var((*levelFlag)(&app.logLevel), "log-level", "what is logged to standard error: debug, info, warn, error")
	fromEnv(global, "output", "log-level")
	app.sourceFlags(global)
	complete(cmd, "source", completeSource)
	complete(cmd, "ipsec-debug", words("-1", "0", "1", "2", "3", "4"))
	complete(cmd, "output", words("table", "wide", "json", "jsonl", "yaml"))
	complete(cmd, "log-level", words("debug", "info", "warn", "error"))

	cmd.AddCommand(
		NewCmdIPsec(app),
		NewCmdPcap(app),
		NewCmdPolicy(app),
		NewCmdTUI(app, nil),
		NewCmdDemo(app, nil),
		NewCmdExplain(app, nil),
		NewCmdVersion(app, nil),
		NewCmdCompletion(app, nil),
	)
	return cmd
}

// levelFlag is the value of --log-level.
type levelFlag slog.LevelVar

// String gives the level's word.
func (l *levelFlag) String() string {
	switch (*slog.LevelVar)(l).Level() {
	case slog.LevelDebug:
		return "debug"
	case slog.LevelInfo:
		return "info"
	case slog.LevelError:
		return "error"
	}
	return "warn"
}

// Set reads the level's word.
func (l *levelFlag) Set(s string) error {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[s]
	if !ok {
		return fmt.Errorf("%q is no level; it is one of debug, info, warn, error", s)
	}
	(*slog.LevelVar)(l).Set(level)
	return nil
}

// Type names the value in help.
func (l *levelFlag) Type() string { return "level" }

// badFlag says what is wrong with a flag, and which one may have been meant.
func badFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
		err = fmt.Errorf("%w%s", err, typo.Question("--"+unknown.GetSpecifiedName(), names))
	}
	return &usageError{err}
}

// noArgs refuses arguments, with the word that was not understood.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasAvailableSubCommands() {
		var names []string
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				names = append(names, c.Name())
			}
		}
		return usagef("unknown command %q for %q%s", args[0], cmd.CommandPath(), typo.Question(args[0], names))
	}
	return usagef("%q takes no argument, got %q", cmd.CommandPath(), args[0])
}

// atLeastOneFile refuses an empty list of files, and standard input twice.
func atLeastOneFile(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("%q needs at least one FILE; - is standard input", cmd.CommandPath())
	}
	stdin := 0
	for _, name := range args {
		if name == "-" {
			stdin++
		}
	}
	if stdin > 1 {
		return usagef("standard input can be named only once")
	}
	return nil
}
