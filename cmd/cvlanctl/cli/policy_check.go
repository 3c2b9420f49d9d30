package cli

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// PolicyCheckOptions is what policy check takes.
type PolicyCheckOptions struct {
	File    string
	NoFiles bool
}

// policyCheck is the document of `policy check`.
type policyCheck struct {
	Schema   string           `json:"schema"`
	File     string           `json:"file"`
	Valid    bool             `json:"valid"`
	Findings []policy.Finding `json:"findings"`
}

// NewCmdPolicyCheck makes `cvlanctl policy check`.
func NewCmdPolicyCheck(app *App, runF func(context.Context, *PolicyCheckOptions) error) *cobra.Command {
	opts := &PolicyCheckOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *PolicyCheckOptions) error { return runPolicyCheck(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Say what is wrong in a policy, by line and column",
		Long: `Check a policy: unknown keys and algorithms, values that do not go together,
names that nothing has, files that are missing, selectors that overlap, timers
that cannot work, weak algorithms. Each finding stands with file, line and
column, and says what is allowed.

The exit code is 1 where one of them is an error; warnings leave it at 0.`,
		Example: `  cvlanctl policy check site.yaml
  cvlanctl policy check --no-files site.yaml
  cvlanctl policy check -o json site.yaml | jq '.findings[] | select(.severity=="error")'`,
		Args:              onePolicy,
		ValidArgsFunction: completePolicy,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.File = args[0]
			return runF(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.NoFiles, "no-files", false, "do not look at the files that the policy names")
	return cmd
}

func runPolicyCheck(ctx context.Context, app *App, o *PolicyCheckOptions) error {
	_, findings, err := policy.Load(ctx, o.File, policy.Options{NoFiles: o.NoFiles, Now: time.Now()})
	if err != nil {
		return unreachableFile(err)
	}
	bad := invalid(o.File, findings)
	if !app.Output.Text() {
		d := policyCheck{"cvlanctl/policy-check/v1", o.File, bad == nil, findings}
		if findings == nil {
			d.Findings = []policy.Finding{}
		}
		if err := print.Document(app.Term.Out, app.Output, d, d.Findings); err != nil {
			return err
		}
		return bad
	}
	w := bufio.NewWriter(app.Term.Out)
	for _, f := range findings {
		writePolicyFinding(w, app.Term, f)
	}
	if bad == nil {
		verdict := "can be used"
		if n := len(findings); n > 0 {
			verdict += ", with " + plural(int64(n), "warning")
		}
		fmt.Fprintf(w, "%s: %s\n", clean.Text(o.File), app.Term.Paint(term.Good, verdict))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the findings: %w", err)
	}
	return bad
}

// writePolicyFinding writes a finding on one line, as compilers do, so that
// editors find the place.
func writePolicyFinding(w *bufio.Writer, t *term.Terminal, f policy.Finding) {
	text := clean.Text(f.String())
	word := fmt.Sprintf(": %s: ", f.Severity)
	if before, after, ok := strings.Cut(text, word); ok {
		text = before + ": " + t.Paint(policyMeaning(f.Severity), string(f.Severity)) + ": " + after
	}
	fmt.Fprintln(w, text)
}
