package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/engine/policy"
)

// PolicyShowOptions is what policy show takes.
type PolicyShowOptions struct {
	File string
}

// NewCmdPolicyShow makes `cvlanctl policy show`.
func NewCmdPolicyShow(app *App, runF func(context.Context, *PolicyShowOptions) error) *cobra.Command {
	opts := &PolicyShowOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *PolicyShowOptions) error { return runPolicyShow(ctx, app, o) }
	}
	return &cobra.Command{
		Use:   "show FILE",
		Short: "Print a policy with every default written out",
		Long: `Print a policy with every default written out and every path absolute, as YAML
or JSON. What it prints is itself a policy, and means the same. Secrets stay
references: what they refer to is not read.`,
		Example: `  cvlanctl policy show site.yaml
  cvlanctl policy show site.yaml -o json | jq '.tunnels[].esp.lifetime'`,
		Args:              onePolicy,
		ValidArgsFunction: completePolicy,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.File = args[0]
			return runF(cmd.Context(), opts)
		},
	}
}

func runPolicyShow(ctx context.Context, app *App, o *PolicyShowOptions) error {
	p, err := readPolicy(ctx, app, o.File)
	if err != nil {
		return err
	}
	form := app.Output
	if form.Text() {
		form = print.YAML
	}
	f := policy.Effective(p)
	return print.Document(app.Term.Out, form, f, []*policy.File{f})
}
