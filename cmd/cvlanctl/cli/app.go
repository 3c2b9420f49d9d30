// Package cli is the command tree of cvlanctl. It is the only place where
// concrete things (capture files, the dissector, the fold, the rules, the
// screen) are made and joined.
//
// Contract: results go to standard output and everything else to standard
// error; the exit code says what happened (exit.go). One file a command: NewCmdX
// makes it, XOptions holds what its flags said, runX does it.
package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// App is what all commands share.
type App struct {
	Term   *term.Terminal
	Output print.Format
	Log    *slog.Logger // to standard error

	Source     string        // --source as it was written; source.go reads it
	Timeout    time.Duration // 0 where not given
	IPsecDebug int           // -1 to 4
	DaemonLog  string        // path of a charon's log file, "" for none

	noColor  bool
	logLevel slog.LevelVar
}

// NewApp gives an App on t with the defaults of all flags.
func NewApp(t *term.Terminal) *App {
	a := &App{Term: t, Output: print.Table, IPsecDebug: 1}
	a.logLevel.Set(slog.LevelWarn)
	a.Log = slog.New(slog.NewTextHandler(t.Err, &slog.HandlerOptions{Level: &a.logLevel}))
	return a
}

// gcPercent lets the heap grow to five times what is in use between
// collections: decoding keeps a few MiB, and tables of many SAs are built much
// faster.
const gcPercent = 400

// Run runs the command line args (without the program's name) on t and gives
// the exit code. An interrupt ends the command cleanly, and so do SIGTERM and a
// terminal that is closed.
func Run(args []string, t *term.Terminal) int {
	// A write to a pipe that nobody reads any more must come back as an error
	// instead of ending the process.
	signal.Ignore(syscall.SIGPIPE)
	if _, set := t.Env("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
	}
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	return NewApp(t).run(ctx, args)
}

func (a *App) run(ctx context.Context, args []string) int {
	root := NewCmdRoot(a)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitFine
	}
	if !silent(err) {
		a.complain(cmd, err)
	}
	return exitCode(err)
}

// complain says on standard error what went wrong, and after a wrong command
// line where the right one is described.
func (a *App) complain(cmd *cobra.Command, err error) {
	code := exitCode(err)
	if code == exitInterrupted {
		fmt.Fprintln(a.Term.Err, "cvlanctl: interrupted")
		return
	}
	a.warn(err)
	if code == exitUsage && cmd != nil {
		fmt.Fprintf(a.Term.Err, "See '%s --help'.\n", cmd.CommandPath())
	}
}

// warn says err on standard error, each of its lines as one of ours.
func (a *App) warn(err error) {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(a.Term.Err, "cvlanctl: %s\n", clean.Text(strings.TrimRight(line, "\n")))
	}
}

// settings completes the flags that the command line left out from the
// environment, and puts the global ones to work.
func (a *App) settings(cmd *cobra.Command) error {
	var wrong error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Annotations[envAnnotation] == nil || wrong != nil {
			return
		}
		name := envName(f.Name)
		value, ok := a.Term.Env(name)
		if !ok || value == "" {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			wrong = usagef("environment variable %s: %w", name, err)
		}
	})
	if a.noColor {
		a.Term.Colour = false
	}
	return wrong
}

// envAnnotation marks flags that an environment variable can set.
const envAnnotation = "cvlanctl_env"

// envName gives the environment variable of a flag: CVLAN_LOG_LEVEL for
// log-level.
func envName(flag string) string {
	return "CVLAN_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnv lets the environment set a flag of fs and says so in its help.
func fromEnv(fs *pflag.FlagSet, names ...string) {
	for _, name := range names {
		f := fs.Lookup(name)
		if f.Annotations == nil {
			f.Annotations = map[string][]string{}
		}
		f.Annotations[envAnnotation] = []string{envName(name)}
		f.Usage += " [$" + envName(name) + "]"
	}
}
