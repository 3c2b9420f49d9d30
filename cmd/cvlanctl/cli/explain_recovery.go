package cli

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/engine/ike"
)

// NewCmdExplainRecovery makes `cvlanctl explain recovery`.
func NewCmdExplainRecovery(app *App, runF func() error) *cobra.Command {
	if runF == nil {
		runF = func() error { return runExplainRecovery(app) }
	}
	return &cobra.Command{
		Use:   "recovery",
		Short: "What our engine does about each error",
		Long: `Show the recovery table of our IKEv2 engine: for each error notify of a peer and
each error that our side sees by itself, whether it tries again, tells it and goes
on, deletes the SA, sets it up anew, or changes nothing. For a notify, the first
row that fits what was under way counts. Tries are those in a row; a row without a
number goes on as long as the SA lives. Waits are up to half as long again, at
random.`,
		Example: `  cvlanctl explain recovery
  cvlanctl explain recovery -o json | jq '.rows[] | select(.action == "retry")'`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return runF() },
	}
}

func runExplainRecovery(app *App) error {
	d := doc.NewRecovery(ike.Recoveries)
	if !app.Output.Text() {
		return print.Document(app.Term.Out, app.Output, d, d.Rows)
	}
	rows := &print.Rows{Columns: []print.Column{{Title: "error"}, {Title: "during"}, {Title: "action"}, {Title: "tries", Right: true}, {Title: "what happens"}, {Title: "RFC", Wide: true}}}
	for _, r := range d.Rows {
		what, tries := r.Notify, ""
		if what == "" {
			what = r.Cause
		}
		if r.Tries > 0 {
			tries = strconv.Itoa(r.Tries)
		}
		rows.Add(print.C(what), print.C(r.During), print.C(r.Action), print.C(tries), print.C(r.What), print.C(r.RFC))
	}
	return rows.Write(app.Term, app.Output)
}
