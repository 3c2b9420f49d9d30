package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/engine/vici"
)

// PolicyLoadOptions is what policy load takes.
type PolicyLoadOptions struct {
	File      string
	DryRun    bool
	StateFile string
}

// policyPlan is the document of `policy load`.
type policyPlan struct {
	Schema  string       `json:"schema"`
	Source  string       `json:"source"`
	DryRun  bool         `json:"dry_run"`
	Changes int          `json:"changes"`
	Steps   []policyStep `json:"steps"`
}

// policyStep is one step, and what came of it.
type policyStep struct {
	policy.Step
	Done  bool   `json:"done"`
	Error string `json:"error,omitempty"`
}

// NewCmdPolicyLoad makes `cvlanctl policy load`.
func NewCmdPolicyLoad(app *App, runF func(context.Context, *PolicyLoadOptions) error) *cobra.Command {
	opts := &PolicyLoadOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *PolicyLoadOptions) error { return runPolicyLoad(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "load FILE",
		Short: "Load a policy into a strongSwan over VICI, as a difference",
		Long: `Load a policy into a strongSwan over VICI. What the daemon does not have is
loaded, what changed is replaced, what an earlier run loaded and the policy no
longer has is unloaded; everything else at the daemon is left alone. SAs that
are up stay up. Secrets are always loaded again: nobody can tell whether they
changed. One policy file serves a daemon: loading another replaces it.

What was loaded is noted, by name and digest, in a file of the user's state
folder. strongSwan has no way to unload a certificate: those of connections
that are gone stay known to it until 'swanctl --load-creds --clear'.`,
		Example: `  cvlanctl policy load site.yaml --dry-run
  cvlanctl policy load site.yaml --source vici:/run/charon.vici
  cvlanctl policy load site.yaml -o json | jq '.steps[] | select(.error)'`,
		Args:              onePolicy,
		ValidArgsFunction: completePolicy,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.File = args[0]
			return runF(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.DryRun, "dry-run", false, "say what would be done, and do nothing")
	cmd.Flags().StringVar(&opts.StateFile, "state-file", "", "where to note what was loaded (default one for each daemon in $XDG_STATE_HOME/cvlanctl)")
	return cmd
}

func runPolicyLoad(ctx context.Context, app *App, o *PolicyLoadOptions) error {
	p, err := readPolicy(ctx, app, o.File)
	if err != nil {
		return err
	}
	requests, err := policy.NewTree(p).VICI(ctx)
	if err != nil {
		return err
	}
	return app.withBackend(ctx, func(ctx context.Context, c *vici.Client) error {
		path := o.StateFile
		if path == "" {
			if path, err = statePath(app.Term, c.Source()); err != nil {
				return err
			}
		}
		state, err := policy.ReadState(path, c.Source())
		if err != nil {
			return err
		}
		plan, err := policy.NewPlan(ctx, c, requests, state)
		if err != nil {
			return err
		}
		d := &policyPlan{Schema: "cvlanctl/policy-plan/v1", Source: c.Source(), DryRun: o.DryRun, Changes: plan.Changes(), Steps: []policyStep{}}
		var failed error
		if o.DryRun {
			for _, s := range plan.Steps {
				d.Steps = append(d.Steps, policyStep{Step: s})
			}
		} else {
			failed = plan.Apply(ctx, c, func(s policy.Step, err error) {
				step := policyStep{Step: s, Done: err == nil}
				if err != nil {
					step.Error = err.Error()
				}
				d.Steps = append(d.Steps, step)
			})
			failed = errors.Join(failed, state.Write(path))
		}
		return errors.Join(writePlan(app, d), failed)
	})
}

// statePath gives the file that notes what was loaded into a daemon.
func statePath(t *term.Terminal, source string) (string, error) {
	dir, _ := t.Env("XDG_STATE_HOME")
	if !filepath.IsAbs(dir) {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no place to note what was loaded: %w; --state-file names one", err)
		}
		dir = filepath.Join(home, ".local", "state")
	}
	sum := sha256.Sum256([]byte(source))
	return filepath.Join(dir, "cvlanctl", "policy-"+hex.EncodeToString(sum[:8])+".json"), nil
}

func writePlan(app *App, d *policyPlan) error {
	if !app.Output.Text() {
		return print.Document(app.Term.Out, app.Output, d, d.Steps)
	}
	rows := &print.Rows{Columns: []print.Column{{Title: "action"}, {Title: "what"}, {Title: "name"}, {Title: "why"}}, Empty: "The policy is empty."}
	for _, s := range d.Steps {
		why := s.Why
		if s.Error != "" {
			why = "failed: " + s.Error
		}
		rows.Add(print.Cell{Text: string(s.Action), Meaning: stepMeaning(s)}, print.C(string(s.Kind)), print.C(s.Name), print.C(why))
	}
	if err := rows.Write(app.Term, app.Output); err != nil {
		return err
	}
	what := plural(int64(d.Changes), "change")
	if d.DryRun {
		what += ", none of them made"
	}
	_, err := fmt.Fprintf(app.Term.Out, "%s: %s\n", d.Source, what)
	return err
}

func stepMeaning(s policyStep) term.Meaning {
	switch {
	case s.Error != "":
		return term.Bad
	case s.Action == policy.ActionLoad:
		return term.Good
	case s.Action == policy.ActionReplace:
		return term.Busy
	case s.Action == policy.ActionUnload:
		return term.Warning
	case s.Action == policy.ActionKeep, s.Action == policy.ActionRefresh:
		return term.Muted
	}
	return term.Plain
}
