package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici"
)

// IPsecUpOptions is what ipsec up and ipsec down take.
type IPsecUpOptions struct {
	Name   string
	NoWait bool
	Force  bool   // down only
	KeyDir string // up only
	HereOptions
}

// NewCmdIPsecUp makes `cvlanctl ipsec up`.
func NewCmdIPsecUp(app *App, runF func(context.Context, *IPsecUpOptions) error) *cobra.Command {
	opts := &IPsecUpOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *IPsecUpOptions) error {
			if err := o.checkHere(); err != nil {
				return err
			}
			if o.Config != "" {
				return runUpHere(ctx, app, o)
			}
			return runIPsecUp(ctx, app, o)
		}
	}
	cmd := &cobra.Command{
		Use:   "up NAME",
		Short: "Bring a tunnel up, and say why where it does not come up",
		Long: `Bring a child up, or all children of a connection. The exchanges are drawn as
they happen. Where it fails, what the peer or this side refused is told, and
the exit code is 1.

With --config the tunnel is one of a policy, and of our own engine in this
process: it stands until it is interrupted. With --netstack it needs no root:
--ping and --forward use it from inside the process.`,
		Example: `  cvlanctl ipsec up office
  cvlanctl ipsec up office/lan --timeout 10s
  cvlanctl ipsec up office -o json | jq -r '.failures[].text'
  cvlanctl ipsec up office --config site.yaml --netstack --ping 10.2.0.1
  cvlanctl ipsec up office --config site.yaml --netstack --forward 8080:10.2.0.1:80
  cvlanctl ipsec up office --key-dir keys/ && cvlanctl pcap decode --keys keys/ office.pcap`,
		Args:              oneName,
		ValidArgsFunction: completeNames(app, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Name = args[0]
			return runF(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.NoWait, "no-wait", false, "only start it")
	cmd.Flags().StringVar(&opts.KeyDir, "key-dir", "", "have the daemon tell the keys of the SAs, and write Wireshark's key tables into this folder; they open all traffic")
	opts.HereOptions.flags(cmd)
	return cmd
}

// keyLevel is the level from which on a strongSwan tells keys.
const keyLevel = 4

// warnKeys warns that what follows holds keys.
func (a *App) warnKeys() {
	if a.IPsecDebug >= keyLevel {
		fmt.Fprintln(a.Term.Err, "cvlanctl: --ipsec-debug 4 makes the daemon tell the keys of these SAs, preshared keys too; treat the output as a secret")
	}
}

// warnLockUp warns of what a charon may do that tells its log at the level of
// keys over VICI, and says how to get the keys without that.
func (a *App) warnLockUp(c *vici.Client) {
	if !c.Addr().Engine {
		fmt.Fprintln(a.Term.Err, "cvlanctl: a charon that tells its log at level 4 over VICI can lock itself up for good (seen with 5.9.8) and must then be started anew; "+
			"without that danger the keys come from its log file: filelog { charon { ike = 4, chd = 4, mgr = 2 } }, then cvlanctl pcap keys LOG --key-dir DIR")
	}
}

func runIPsecUp(ctx context.Context, app *App, o *IPsecUpOptions) error {
	if o.KeyDir != "" && o.NoWait {
		return usagef("--key-dir and --no-wait exclude each other: the keys come with the exchanges")
	}
	return app.withBackend(ctx, func(ctx context.Context, c *vici.Client) (err error) {
		a, t, err := app.begin(ctx, c, "up", o.Name)
		if err != nil {
			return err
		}
		if t.up() {
			a.say(term.Good, "%s is up already", t)
			a.doc.Already = true
			return a.finish(nil)
		}
		app.warnKeys()
		if app.IPsecDebug >= keyLevel && o.KeyDir == "" {
			app.warnLockUp(c)
		}
		level, add := app.IPsecDebug, a.add
		if o.KeyDir != "" {
			keys, failed := newDaemonKeys(o.KeyDir)
			if failed != nil {
				return failed
			}
			fmt.Fprintf(app.Term.Err, "cvlanctl: the key tables in %s open all traffic of these SAs; treat them as secrets\n", o.KeyDir)
			defer func() {
				_, failed := keys.write()
				err = errors.Join(err, failed)
			}()
			app.warnLockUp(c)
			level, add = keyLevel, keys.before(a.add)
		}
		for _, goal := range t.goals() {
			err := c.Up(ctx, goal, backend.UpOptions{LogLevel: engine.Some(level), NoWait: o.NoWait}, add)
			if err != nil {
				return a.finish(a.failure(ctx, name(goal)+" did not come up", err))
			}
			if o.NoWait {
				a.say(term.Plain, "%s is being brought up", name(goal))
			} else {
				a.say(term.Good, "%s is up", name(goal))
			}
		}
		return a.finish(nil)
	})
}

// goals are what has to be brought up for a target to be up.
func (t *target) goals() []backend.Target {
	var goals []backend.Target
	for i := range t.children {
		c := &t.children[i]
		if c.Config != nil && (c.Config.Mode == "PASS" || c.Config.Mode == "DROP") || c.Up() {
			continue
		}
		goals = append(goals, backend.Target{IKE: t.connection, Child: c.Name})
	}
	if len(t.children) == 0 {
		goals = append(goals, backend.Target{IKE: t.connection})
	}
	return goals
}

func name(t backend.Target) string {
	if t.Child == "" {
		return t.IKE
	}
	return t.IKE + "/" + t.Child
}

// failure gives the error of an action that failed: what did not work, and why
// as far as is known.
func (a *action) failure(ctx context.Context, what string, err error) error {
	why := a.reason()
	switch {
	case errors.Is(err, context.Canceled), ctx.Err() == nil && !errors.Is(err, backend.ErrRefused):
		return err // interrupted, or the daemon is at fault
	case why == "":
		return fmt.Errorf("%s: %w", what, failedError(err))
	case strings.Contains(err.Error(), why): // our own engine says it in both places
		return fmt.Errorf("%s: %s", what, why)
	}
	return fmt.Errorf("%s: %s (%w)", what, why, failedError(err))
}

// failedError keeps the words of an error and not its kind: that the daemon
// waited in vain for a peer does not make the daemon unreachable.
func failedError(err error) error { return errors.New(err.Error()) }

// NewCmdIPsecDown makes `cvlanctl ipsec down`.
func NewCmdIPsecDown(app *App, runF func(context.Context, *IPsecUpOptions) error) *cobra.Command {
	opts := &IPsecUpOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *IPsecUpOptions) error { return runIPsecDown(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "down NAME",
		Short: "Take a tunnel down",
		Long: `Take the SAs of a child down, or the IKE SAs of a connection with all that
belongs to them. What is configured to start by itself may come up again.`,
		Example: `  cvlanctl ipsec down office
  cvlanctl ipsec down office/lan
  cvlanctl ipsec down office --force`,
		Args:              oneName,
		ValidArgsFunction: completeNames(app, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Name = args[0]
			return runF(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.NoWait, "no-wait", false, "only start it")
	cmd.Flags().BoolVar(&opts.Force, "force", false, "do not wait for the peer's answer to the delete")
	return cmd
}

func runIPsecDown(ctx context.Context, app *App, o *IPsecUpOptions) error {
	return app.withBackend(ctx, func(ctx context.Context, c *vici.Client) error {
		a, t, err := app.begin(ctx, c, "down", o.Name)
		if err != nil {
			return err
		}
		if !t.active() {
			a.say(term.Plain, "%s is down already", t)
			a.doc.Already = true
			return a.finish(nil)
		}
		app.warnKeys()
		if app.IPsecDebug >= keyLevel && o.KeyDir == "" {
			app.warnLockUp(c)
		}
		goal := backend.Target{IKE: t.connection, Child: t.child}
		err = c.Down(ctx, goal, backend.DownOptions{LogLevel: engine.Some(app.IPsecDebug), Force: o.Force, NoWait: o.NoWait}, a.add)
		if err != nil {
			return a.finish(a.failure(ctx, t.String()+" did not go down", err))
		}
		a.say(term.Good, "%s is down", t)
		return a.finish(nil)
	})
}
