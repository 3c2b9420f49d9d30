package cli

import (
	"bufio"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/internal/typo"
)

// ExplainOptions is what explain takes.
type ExplainOptions struct {
	ID string // "" for the whole catalogue
}

// NewCmdExplain makes `cvlanctl explain`.
func NewCmdExplain(app *App, runF func(*ExplainOptions) error) *cobra.Command {
	if runF == nil {
		runF = func(o *ExplainOptions) error { return runExplain(app, o) }
	}
	cmd := &cobra.Command{
		Use:   "explain [ID]",
		Short: "The catalogue of diagnoses, offline",
		Long: `Explain a diagnosis: what an operator sees, why it happens, what shows it, what
to change, and how to tell it from its neighbours. Without ID, list them all.`,
		Example: `  cvlanctl explain
  cvlanctl explain no-proposal-ike
  cvlanctl explain -o json | jq -r '.entries[].id'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("%q takes one ID, got %d", cmd.CommandPath(), len(args))
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return diag.Names(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			opts := &ExplainOptions{}
			if len(args) > 0 {
				opts.ID = args[0]
			}
			return runF(opts)
		},
	}
	cmd.AddCommand(NewCmdExplainRecovery(app, nil))
	return cmd
}

func runExplain(app *App, o *ExplainOptions) error {
	entries := diag.All()
	if o.ID != "" {
		e, ok := diag.Lookup(strings.ToLower(o.ID))
		if !ok {
			return usagef("there is no diagnosis %q%s 'cvlanctl explain' lists them all", o.ID, cmp.Or(typo.Question(o.ID, diag.Names()), ";"))
		}
		entries = []diag.Entry{e}
	}
	rules := rule.All()
	if !app.Output.Text() {
		d := doc.NewCatalogue(entries, rules)
		return print.Document(app.Term.Out, app.Output, d, d.Entries)
	}
	if o.ID != "" {
		return writeEntry(app.Term, &entries[0], rules)
	}
	rows := &print.Rows{Columns: []print.Column{{Title: "ID"}, {Title: "severity"}, {Title: "found here"}, {Title: "what"}, {Title: "whose", Wide: true}}}
	for i := range entries {
		e := &entries[i]
		found := "-"
		if slices.ContainsFunc(rules, func(r diag.Rule) bool { return r.ID == e.ID }) {
			found = "yes"
		}
		rows.Add(print.C(e.ID), print.Cell{Text: e.Severity.String(), Meaning: severityMeaning(e.Severity)}, print.C(found), print.C(e.Title), print.C(string(e.Ownership)))
	}
	return rows.Write(app.Term, app.Output)
}

func writeEntry(t *term.Terminal, e *diag.Entry, rules []diag.Rule) error {
	w := &wrapper{w: bufio.NewWriter(t.Out), term: t, width: textWidth}
	if t.Width > 20 && t.Width < w.width {
		w.width = t.Width
	}
	w.line(term.Strong, "", e.ID+": "+e.Title)
	w.line(term.Muted, "", fmt.Sprintf("%s, %s", e.Severity, e.Ownership.Words(false)))
	if len(e.Aliases) > 0 {
		w.line(term.Muted, "", "also: "+strings.Join(e.Aliases, ", "))
	}
	section := func(title string, texts ...string) {
		texts = slices.DeleteFunc(texts, func(s string) bool { return s == "" })
		if len(texts) == 0 {
			return
		}
		w.blank()
		w.line(term.Strong, "", title)
		for _, text := range texts {
			w.line(term.Plain, "  ", text)
		}
	}
	section("What you see", e.Symptom)
	section("Why", e.Cause)
	var shows []string
	for _, s := range e.Shows {
		shows = append(shows, s.Source+": "+s.What)
	}
	section("What shows it", shows...)
	if len(e.Remedies) > 0 {
		w.blank()
		w.line(term.Strong, "", "What to change")
		f := diag.Finding{Remedies: e.Remedies}
		w.remedies(&f)
	}
	sure := e.Sure()
	section("How sure it can be", sure.Confidence.String()+" at best. "+sure.Why)
	section("What would make it surer", sure.Surer)
	section("How to tell it from its neighbours", e.Distinguish)
	section("RFC", strings.Join(e.RFC, ", "))
	section("See also", strings.Join(e.Related, ", "))
	for _, r := range rules {
		if r.ID == e.ID {
			section("This program looks for it in", strings.Join(r.Needs, ", "))
		}
	}
	return w.w.Flush()
}
