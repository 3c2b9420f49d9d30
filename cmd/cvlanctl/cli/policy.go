package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// NewCmdPolicy makes `cvlanctl policy`, under which stand the commands on a
// policy file.
func NewCmdPolicy(app *App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Check a CloudVLAN policy, and turn it into tunnels",
		Long: `A CloudVLAN policy is one YAML file that says which tunnels this node is to
have, with whom, and how both sides prove who they are. docs/policy.md
describes it; docs/schema/policy.json is its JSON schema.`,
		Example: `  cvlanctl policy check site.yaml
  cvlanctl policy show site.yaml -o json | jq '.peers[].ike.proposals'
  cvlanctl policy render site.yaml --output-file /etc/swanctl/conf.d/cvlan.conf
  cvlanctl policy load site.yaml --dry-run`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		NewCmdPolicyCheck(app, nil),
		NewCmdPolicyShow(app, nil),
		NewCmdPolicyRender(app, nil),
		NewCmdPolicyLoad(app, nil),
	)
	return cmd
}

// onePolicy refuses all but one argument.
func onePolicy(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return usagef("%q needs one FILE: a policy", cmd.CommandPath())
	}
	return nil
}

// completePolicy offers policy files.
func completePolicy(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// invalidError is a policy with errors, which were shown.
type invalidError struct {
	file  string
	count int
}

// Error says how many errors there are.
func (e *invalidError) Error() string {
	return fmt.Sprintf("%s: %s; the policy cannot be used", e.file, plural(int64(e.count), "error"))
}

// readPolicy reads a policy that is to be used: its findings go to standard
// error, and one of severity error ends the command.
func readPolicy(ctx context.Context, app *App, file string) (*policy.Policy, error) {
	p, findings, err := policy.Load(ctx, file, policy.Options{Now: time.Now()})
	if err != nil {
		return nil, unreachableFile(err)
	}
	for _, f := range findings {
		fmt.Fprintln(app.Term.Err, clean.Text(f.String()))
	}
	return p, invalid(file, findings)
}

// unreachableFile marks the failure to read the policy itself.
func unreachableFile(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return &unreachableError{err}
}

// invalid gives the error of a policy with errors.
func invalid(file string, findings []policy.Finding) error {
	n := 0
	for _, f := range findings {
		if f.Severity == policy.Error {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return &invalidError{file, n}
}

func policyMeaning(s policy.Severity) term.Meaning {
	if s == policy.Error {
		return term.Bad
	}
	return term.Warning
}
