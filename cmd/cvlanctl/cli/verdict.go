package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
)

// VerdictOptions are what every command takes that says what is wrong, whatever
// it looks at.
type VerdictOptions struct {
	ReportOptions
	VendorOptions
	FailOn diag.Severity

	platforms map[string]string // of hosts, as ready has read them
}

func (o *VerdictOptions) flags(cmd *cobra.Command) {
	o.FailOn = diag.High
	o.ReportOptions.flags(cmd)
	o.VendorOptions.flags(cmd)
	cmd.Flags().Var((*severityFlag)(&o.FailOn), "fail-on", "exit with 3 from this severity on: critical, high, medium, low, info")
	fromEnv(cmd.Flags(), "fail-on")
	complete(cmd, "fail-on", words("critical", "high", "medium", "low", "info"))
}

// ready refuses what cannot be done before anything is gathered.
func (o *VerdictOptions) ready() (err error) {
	if err := o.check(); err != nil {
		return err
	}
	o.platforms, err = o.vendors()
	return err
}

// judge runs the rules over facts and says what they find, under a heading where
// people read it, and in the report where one is wanted. failed is what went
// wrong with gathering the facts: it comes before the findings in the exit code.
func (o *VerdictOptions) judge(app *App, facts *diag.Facts, heading string, failed error) error {
	facts.Vendors = o.platforms
	findings := diag.Diagnose(facts, rule.All())
	var err error
	if app.Output.Text() {
		if err = writeFindings(app.Term, facts.Trace, heading, findings); err == nil {
			writeNotes(app, facts.Host)
		}
	} else {
		err = print.Document(app.Term.Out, app.Output, diag.Report{Source: facts.Source, Findings: findings}, findings)
	}
	if err = errors.Join(err, o.write(facts, findings), failed); err != nil {
		return err
	}
	if worst := diag.Worst(findings); len(findings) > 0 && worst.AtLeast(o.FailOn) {
		return &findingsError{worst.String()}
	}
	return nil
}

// severityFlag is the value of --fail-on.
type severityFlag diag.Severity

// String gives the severity's word.
func (s *severityFlag) String() string { return diag.Severity(*s).String() }

// Set reads the severity's word.
func (s *severityFlag) Set(word string) error {
	v, err := diag.ParseSeverity(word)
	if err != nil {
		return err
	}
	*s = severityFlag(v)
	return nil
}

// Type names the value in help.
func (s *severityFlag) Type() string { return "severity" }
