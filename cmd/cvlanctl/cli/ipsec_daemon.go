package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/engine/vici/daemon"
)

// IPsecDaemonOptions is what the commands of ipsec daemon take.
type IPsecDaemonOptions struct {
	Dir     string
	UserESP bool   // start only
	NetNS   string // start only
}

// daemonDir is the private folder of a daemon that this program starts.
func daemonDir() string {
	if os.Geteuid() == 0 {
		return "/run/cvlanctl-charon"
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("cvlanctl-charon-%d", os.Geteuid()))
}

// NewCmdIPsecDaemon makes `cvlanctl ipsec daemon`.
func NewCmdIPsecDaemon(app *App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "daemon",
		Short: "Start and stop a strongSwan of one's own",
		Long: `Start a strongSwan charon with a private folder for its configuration, socket
and log, and stop it again. It is refused where an IKE daemon runs already.
What is started here is found by the other commands without --source.`,
		Example: `  cvlanctl ipsec daemon start
  cvlanctl ipsec daemon status
  cvlanctl ipsec daemon stop`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(NewCmdIPsecDaemonStart(app, nil), NewCmdIPsecDaemonStop(app, nil), NewCmdIPsecDaemonStatus(app, nil))
	return cmd
}

func (o *IPsecDaemonOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.Dir, "dir", "", "private folder of the daemon (default /run/cvlanctl-charon for root)")
}

func (o *IPsecDaemonOptions) dir() string {
	if o.Dir == "" {
		return daemonDir()
	}
	return o.Dir
}

// NewCmdIPsecDaemonStart makes `cvlanctl ipsec daemon start`.
func NewCmdIPsecDaemonStart(app *App, runF func(context.Context, *IPsecDaemonOptions) error) *cobra.Command {
	opts := &IPsecDaemonOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *IPsecDaemonOptions) error { return runIPsecDaemonStart(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Start a charon and wait until it answers",
		Example: `  cvlanctl ipsec daemon start
  cvlanctl ipsec daemon start --ipsec-debug 2 --user-esp
  cvlanctl ipsec daemon start --netns red --dir /run/red-charon`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
	opts.flags(cmd)
	cmd.Flags().BoolVar(&opts.UserESP, "user-esp", false, "let the daemon do ESP itself, for a kernel without it")
	cmd.Flags().StringVar(&opts.NetNS, "netns", "", "run it in this network namespace")
	return cmd
}

func runIPsecDaemonStart(ctx context.Context, app *App, o *IPsecDaemonOptions) error {
	ctx, cancel := app.patience(ctx, defaultTimeout)
	defer cancel()
	config := daemon.Config{Dir: o.dir(), Level: app.IPsecDebug, UserESP: o.UserESP}
	if o.NetNS != "" {
		config.Through = []string{"ip", "netns", "exec", o.NetNS}
	}
	app.warnKeys()
	d, err := daemon.Start(ctx, config)
	if user := os.Geteuid(); errors.Is(err, daemon.ErrDied) && user > 0 {
		return &advisedError{err, []string{fmt.Sprintf("Run it as root (it runs as user %d): charon sets routes and policies, and opens UDP ports 500 and 4500.", user)}}
	}
	if err != nil {
		return err
	}
	return showDaemon(ctx, app, d, "started")
}

// NewCmdIPsecDaemonStop makes `cvlanctl ipsec daemon stop`.
func NewCmdIPsecDaemonStop(app *App, runF func(context.Context, *IPsecDaemonOptions) error) *cobra.Command {
	opts := &IPsecDaemonOptions{}
	if runF == nil {
		runF = func(_ context.Context, o *IPsecDaemonOptions) error { return runIPsecDaemonStop(app, o) }
	}
	cmd := &cobra.Command{
		Use:     "stop",
		Short:   "Stop the charon that was started here, and remove its folder",
		Example: `  cvlanctl ipsec daemon stop`,
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
	opts.flags(cmd)
	return cmd
}

func runIPsecDaemonStop(app *App, o *IPsecDaemonOptions) error {
	d, err := daemon.Attach(o.dir())
	if errors.Is(err, daemon.ErrNotOurs) && !errors.Is(err, os.ErrPermission) {
		return writeDaemon(app, &doc.Daemon{Schema: doc.DaemonSchema, Dir: o.dir()}, term.Plain, "no daemon of ours runs in "+o.dir())
	}
	if err != nil {
		return err
	}
	pid := d.PID()
	if err := d.Stop(); err != nil {
		return err
	}
	return writeDaemon(app, &doc.Daemon{Schema: doc.DaemonSchema, Dir: o.dir(), PID: pid}, term.Good, fmt.Sprintf("stopped process %d; its folder %s is removed", pid, o.dir()))
}

// NewCmdIPsecDaemonStatus makes `cvlanctl ipsec daemon status`.
func NewCmdIPsecDaemonStatus(app *App, runF func(context.Context, *IPsecDaemonOptions) error) *cobra.Command {
	opts := &IPsecDaemonOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *IPsecDaemonOptions) error { return runIPsecDaemonStatus(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say whether a charon that was started here runs; exit with 5 where none does",
		Example: `  cvlanctl ipsec daemon status
  cvlanctl ipsec daemon status -o json | jq -r .source`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
	opts.flags(cmd)
	return cmd
}

func runIPsecDaemonStatus(ctx context.Context, app *App, o *IPsecDaemonOptions) error {
	ctx, cancel := app.patience(ctx, defaultTimeout)
	defer cancel()
	d, err := daemon.Attach(o.dir())
	if err == nil {
		return showDaemon(ctx, app, d, "running")
	}
	if other, found := findDaemon(ctx, charons(usualSockets())); found == nil {
		defer closeBackend(app, other)
		return &unreachableError{fmt.Errorf("%w; another one, not started here, answers at %s", err, other.Source())}
	}
	return &unreachableError{err}
}

// showDaemon tells of a daemon that runs.
func showDaemon(ctx context.Context, app *App, d *daemon.Daemon, what string) error {
	client, err := vici.Dial(ctx, d.Addr())
	if err != nil {
		return fmt.Errorf("process %d runs and does not answer: %w", d.PID(), err)
	}
	defer closeBackend(app, client)
	version, err := client.Version(ctx)
	if err != nil {
		return err
	}
	v := doc.NewDaemonVersion(version)
	x := &doc.Daemon{Schema: doc.DaemonSchema, Running: true, PID: d.PID(), Dir: d.Dir(), Source: d.Addr().String(), Log: d.LogPath(), Daemon: &v}
	return writeDaemon(app, x, term.Good, strings.Join([]string{
		fmt.Sprintf("%s %s, process %d, is %s", v.Daemon, v.Version, x.PID, what), "source  " + x.Source, "log     " + x.Log, "folder  " + x.Dir,
	}, "\n"))
}

// writeDaemon writes the document, or the text instead of it.
func writeDaemon(app *App, d *doc.Daemon, m term.Meaning, text string) error {
	if !app.Output.Text() {
		return document(app, d, []*doc.Daemon{d})
	}
	for line := range strings.Lines(text) {
		if _, err := fmt.Fprintln(app.Term.Out, app.Term.Paint(m, cleaned(strings.TrimRight(line, "\n")))); err != nil {
			return fmt.Errorf("writing of the daemon: %w", err)
		}
		m = term.Plain
	}
	return nil
}
