package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici"
)

// IPsecConnsOptions is what ipsec list-conns takes: nothing.
type IPsecConnsOptions struct{}

// NewCmdIPsecConns makes `cvlanctl ipsec list-conns`.
func NewCmdIPsecConns(app *App, runF func(context.Context, *IPsecConnsOptions) error) *cobra.Command {
	opts := &IPsecConnsOptions{}
	if runF == nil {
		runF = func(ctx context.Context, _ *IPsecConnsOptions) error { return runIPsecConns(ctx, app) }
	}
	return &cobra.Command{
		Use:   "list-conns",
		Short: "Show what is configured, and what of it is up",
		Long: `Show the loaded connections and their children, and which of them are up.
strongSwan does not tell over VICI which proposals are configured.`,
		Example: `  cvlanctl ipsec list-conns
  cvlanctl ipsec list-conns -o wide
  cvlanctl ipsec list-conns -o json | jq '.connections[] | select(.up | not) | .name'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
}

func runIPsecConns(ctx context.Context, app *App) error {
	return app.withBackend(ctx, func(ctx context.Context, c *vici.Client) error {
		s, err := c.Snapshot(ctx)
		if err != nil {
			return err
		}
		if app.Output.Text() {
			return connTable(s).Write(app.Term, app.Output)
		}
		d := doc.NewConns(c.Source(), s)
		return document(app, d, d.Connections)
	})
}

// connTable gives connections and children as a table.
func connTable(s *backend.Snapshot) *print.Rows {
	rows := &print.Rows{
		Columns: []print.Column{
			{Title: "name"}, {Title: "up"}, {Title: "version"}, {Title: "local"}, {Title: "remote"}, {Title: "auth"},
			{Title: "rekey", Right: true}, {Title: "DPD", Right: true}, {Title: "identities", Wide: true}, {Title: "actions", Wide: true},
		},
		Empty: "No connection is loaded.",
	}
	now := time.Now()
	for i := range s.Tunnels {
		t := &s.Tunnels[i]
		c := t.Connection
		if c == nil {
			c = &engine.Connection{Version: "no longer configured"}
		}
		rows.Add(print.C(t.Name), upCell(t.Up(), &t.Past, now), print.C(c.Version),
			print.C(joined(c.LocalAddrs)), print.C(joined(c.RemoteAddrs)), print.C(authText(c)),
			print.C(interval(c.RekeyTime.Get())), print.C(interval(c.DPDDelay.Get())), print.C(identities(c)), print.C(""))
		for j := range t.Children {
			child := &t.Children[j]
			g := child.Config
			if g == nil {
				g = &engine.ChildConfig{Mode: "no longer configured"}
			}
			var actions []string
			if g.DPDAction != "" && g.DPDAction != "none" {
				actions = append(actions, "DPD "+g.DPDAction)
			}
			if g.CloseAction != "" && g.CloseAction != "none" {
				actions = append(actions, "close "+g.CloseAction)
			}
			rows.Add(print.C("  "+child.Name), upCell(child.Up(), &child.Past, now), print.C(g.Mode),
				print.C(joined(g.LocalTS)), print.C(joined(g.RemoteTS)), print.C(""),
				print.C(interval(g.RekeyTime.Get())), print.C(""), print.C(""), print.C(strings.Join(actions, ", ")))
		}
	}
	return rows
}

// upCell says whether something is up, and since when where that is known.
func upCell(up bool, p *backend.Past, now time.Time) print.Cell {
	if !up {
		return print.Cell{Text: "down", Meaning: term.Bad}
	}
	return print.Cell{Text: strings.TrimSpace("up " + age(p.UpSince, now)), Meaning: term.Good}
}

// interval gives a configured interval; 0 is never.
func interval(d time.Duration, known bool) string {
	switch {
	case !known:
		return ""
	case d == 0:
		return "never"
	}
	return span(d)
}

// authText says how both sides prove who they are.
func authText(c *engine.Connection) string {
	side := func(rounds []engine.AuthRound) string {
		var all []string
		for _, r := range rounds {
			text := r.Class
			if r.EAPType != "" {
				text = fmt.Sprintf("%s-%s", text, r.EAPType)
			}
			all = append(all, text)
		}
		return strings.Join(all, " + ")
	}
	local, remote := side(c.Local), side(c.Remote)
	switch {
	case local == remote:
		return local
	case local == "" || remote == "":
		return local + remote
	}
	return local + " / " + remote
}

// identities gives the configured identities of both sides.
func identities(c *engine.Connection) string {
	side := func(rounds []engine.AuthRound) string {
		var all []string
		for _, r := range rounds {
			if r.ID != "" {
				all = append(all, r.ID)
			}
		}
		if len(all) == 0 {
			return "%any"
		}
		return strings.Join(all, " + ")
	}
	if len(c.Local)+len(c.Remote) == 0 {
		return ""
	}
	return side(c.Local) + " ... " + side(c.Remote)
}
