package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// CompletionOptions is what completion takes.
type CompletionOptions struct {
	Shell string
}

// NewCmdCompletion makes `cvlanctl completion`.
func NewCmdCompletion(app *App, runF func(*cobra.Command, *CompletionOptions) error) *cobra.Command {
	if runF == nil {
		runF = func(cmd *cobra.Command, o *CompletionOptions) error { return runCompletion(app, cmd, o) }
	}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print the completion script of a shell",
		Example: `  source <(cvlanctl completion bash)
  cvlanctl completion zsh > "${fpath[1]}/_cvlanctl"
  cvlanctl completion fish | source`,
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("%q needs the name of one shell", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runF(cmd, &CompletionOptions{Shell: args[0]})
		},
	}
}

func runCompletion(app *App, cmd *cobra.Command, o *CompletionOptions) error {
	root, out := cmd.Root(), app.Term.Out
	var err error
	switch o.Shell {
	case "bash":
		err = root.GenBashCompletionV2(out, true)
	case "zsh":
		err = root.GenZshCompletion(out)
	case "fish":
		err = root.GenFishCompletion(out, true)
	case "powershell":
		err = root.GenPowerShellCompletionWithDesc(out)
	default:
		return usagef("no completion for %q; the shells are bash, zsh, fish and powershell", o.Shell)
	}
	if err != nil {
		return fmt.Errorf("writing the completion script: %w", err)
	}
	return nil
}
