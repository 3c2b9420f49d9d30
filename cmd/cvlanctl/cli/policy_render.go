package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// PolicyRenderOptions is what policy render takes.
type PolicyRenderOptions struct {
	File        string
	OutputFile  string
	WithSecrets bool
}

// NewCmdPolicyRender makes `cvlanctl policy render`.
func NewCmdPolicyRender(app *App, runF func(context.Context, *PolicyRenderOptions) error) *cobra.Command {
	opts := &PolicyRenderOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *PolicyRenderOptions) error { return runPolicyRender(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "render FILE",
		Short: "Write a policy as swanctl.conf",
		Long: `Write a policy as swanctl.conf, to be loaded by 'swanctl --load-all --file'.

swanctl.conf cannot refer to a preshared key or password, only hold it. Without
--with-secrets their places are named in comments; with it they stand in the
text, which then goes to a file of mode 0600 and never to standard output.
Private keys have to be put into swanctl's folder private; comments say which.
'policy load' needs neither.`,
		Example: `  cvlanctl policy render site.yaml
  cvlanctl policy render site.yaml --with-secrets --output-file /etc/swanctl/conf.d/cvlan.conf`,
		Args:              onePolicy,
		ValidArgsFunction: completePolicy,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.File = args[0]
			return runF(cmd.Context(), opts)
		},
	}
	cmd.Flags().StringVar(&opts.OutputFile, "output-file", "", "the file to write, mode 0600, instead of standard output")
	cmd.Flags().BoolVar(&opts.WithSecrets, "with-secrets", false, "write preshared keys and passwords into the file")
	return cmd
}

func runPolicyRender(ctx context.Context, app *App, o *PolicyRenderOptions) error {
	switch {
	case !app.Output.Text():
		return usagef("policy render writes swanctl.conf; -o %s is for policy show", app.Output)
	case o.WithSecrets && o.OutputFile == "":
		return usagef("--with-secrets needs --output-file: secrets do not go to standard output")
	}
	p, err := readPolicy(ctx, app, o.File)
	if err != nil {
		return err
	}
	r, err := policy.NewTree(p).Swanctl(ctx, o.WithSecrets)
	if err != nil {
		return err
	}
	if o.OutputFile == "" {
		if _, err := app.Term.Out.Write(r.Conf); err != nil {
			return fmt.Errorf("writing swanctl.conf: %w", err)
		}
		return nil
	}
	if err := writePrivate(o.OutputFile, r.Conf); err != nil {
		return err
	}
	for _, k := range r.Keys {
		fmt.Fprintf(app.Term.Err, "The private key in %s must stand in swanctl's folder private.\n", clean.Text(k.From.String()))
	}
	return nil
}

// writePrivate replaces a file in one step by one that its owner alone can
// read.
func writePrivate(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".cvlanctl-*") // of mode 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = f.Write(data)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error before is what matters
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
