package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici"
)

// IPsecSAsOptions is what ipsec list-sas takes.
type IPsecSAsOptions struct {
	IKE   string
	Child string
	WatchOptions
	FailOn diag.Severity // 0: findings leave the exit code alone
}

// NewCmdIPsecSAs makes `cvlanctl ipsec list-sas`.
func NewCmdIPsecSAs(app *App, runF func(context.Context, *IPsecSAsOptions) error) *cobra.Command {
	opts := &IPsecSAsOptions{}
	if runF == nil {
		runF = func(ctx context.Context, o *IPsecSAsOptions) error { return runIPsecSAs(ctx, app, o) }
	}
	cmd := &cobra.Command{
		Use:   "list-sas",
		Short: "Show the security associations, and what is configured and down",
		Long: `Show the IKE SAs and CHILD SAs of the daemon, and beside them every configured
child that has none, with its last failure and when it was last up as far as
that is known. An SA that is busy at the moment is left out instead of waited
for.`,
		Example: `  cvlanctl ipsec list-sas
  cvlanctl ipsec list-sas --watch
  cvlanctl ipsec list-sas --ike office -o wide
  cvlanctl ipsec list-sas -o json | jq '.down[].child'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
	cmd.Flags().StringVar(&opts.IKE, "ike", "", "only this connection")
	cmd.Flags().StringVar(&opts.Child, "child", "", "only this child")
	opts.flags(cmd)
	failOnFlag(cmd, &opts.FailOn)
	complete(cmd, "ike", completeNames(app, false))
	return cmd
}

// wanted says what the options narrow the listing to; nil is everything.
func (o *IPsecSAsOptions) wanted(s *backend.Snapshot) doc.Wanted {
	if o.IKE == "" && o.Child == "" {
		return nil
	}
	has := make(map[string]bool) // connections with the child
	for i := range s.Tunnels {
		for j := range s.Tunnels[i].Children {
			if s.Tunnels[i].Children[j].Name == o.Child {
				has[s.Tunnels[i].Name] = true
			}
		}
	}
	return func(connection, child string) bool {
		switch {
		case o.IKE != "" && connection != o.IKE, o.Child != "" && !has[connection]:
			return false
		}
		return o.Child == "" || child == "" || child == o.Child
	}
}

func runIPsecSAs(ctx context.Context, app *App, o *IPsecSAsOptions) error {
	var past recollection
	show := func(ctx context.Context, t *term.Terminal, c *vici.Client) error {
		s, err := c.Snapshot(ctx)
		if err != nil {
			return err
		}
		now := time.Now()
		want := o.wanted(s)
		findings, err := app.findings(ctx, c, &past, s, now)
		if err != nil {
			return err
		}
		found := above(findings, want)
		switch app.Output {
		case print.Table:
			err = liveTable(s, findings, now, want).Write(t, app.Output)
			if err == nil {
				err = writeOtherFindings(t, s, findings, want)
			}
		case print.Wide:
			err = writeLiveSAs(app, t, s, findings, now, want)
			if err == nil {
				err = writeOtherFindings(t, s, findings, want)
			}
		default:
			d := doc.NewLiveSAs(c.Source(), s, now, want)
			d.Findings = found
			err = print.Document(t.Out, app.Output, d, d.IKESAs)
		}
		if err == nil && !o.Watch {
			err = failOn(found, o.FailOn)
		}
		return err
	}
	return o.run(ctx, app, show)
}
