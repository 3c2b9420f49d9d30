package cli

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine/vici"
)

// IPsecCertsOptions is what ipsec list-certs takes: nothing.
type IPsecCertsOptions struct{}

// NewCmdIPsecCerts makes `cvlanctl ipsec list-certs`.
func NewCmdIPsecCerts(app *App, runF func(context.Context, *IPsecCertsOptions) error) *cobra.Command {
	opts := &IPsecCertsOptions{}
	if runF == nil {
		runF = func(ctx context.Context, _ *IPsecCertsOptions) error { return runIPsecCerts(ctx, app) }
	}
	return &cobra.Command{
		Use:   "list-certs",
		Short: "Show the certificates, CRLs and public keys that the daemon has loaded",
		Example: `  cvlanctl ipsec list-certs
  cvlanctl ipsec list-certs -o wide
  cvlanctl ipsec list-certs -o json | jq '.certs[] | select(.state == "expired") | .subject'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runF(cmd.Context(), opts) },
	}
}

func runIPsecCerts(ctx context.Context, app *App) error {
	return app.withBackend(ctx, func(ctx context.Context, c *vici.Client) error {
		certs, err := c.Certificates(ctx)
		if err != nil {
			return err
		}
		authorities, err := c.Authorities(ctx)
		if err != nil {
			return err
		}
		d := doc.NewCerts(c.Source(), certs, authorities, time.Now())
		switch app.Output {
		case print.Table:
			return certTable(d).Write(app.Term, app.Output)
		case print.Wide:
			return writeCerts(app, d)
		}
		return document(app, d, d.Certs)
	})
}

// certTable gives a line for each certificate.
func certTable(d *doc.Certs) *print.Rows {
	rows := &print.Rows{
		Columns: []print.Column{{Title: "type"}, {Title: "subject"}, {Title: "issuer"}, {Title: "key"}, {Title: "state"}, {Title: "until"}},
		Empty:   "No certificate is loaded.",
	}
	for i := range d.Certs {
		c := &d.Certs[i]
		subject := c.Subject
		if subject == "" {
			subject = "sha256 " + c.SHA256[:16]
		}
		rows.Add(print.C(certKind(c)), print.C(subject), print.C(c.Issuer), print.C(keyText(c)), certState(c), print.C(shortTime(c.NotAfter)))
	}
	return rows
}

func certKind(c *doc.Cert) string {
	if c.Flag != "" && c.Flag != "NONE" {
		return c.Type + " " + c.Flag
	}
	return c.Type
}

func keyText(c *doc.Cert) string {
	var parts []string
	if c.KeyType != "" {
		parts = append(parts, fmt.Sprintf("%s %d", c.KeyType, c.KeyBits))
	}
	if c.HasKey {
		parts = append(parts, "private key here")
	}
	return strings.Join(parts, ", ")
}

func certState(c *doc.Cert) print.Cell {
	switch c.State {
	case "valid":
		return print.Cell{Text: "valid", Meaning: term.Good}
	case "expired":
		return print.Cell{Text: "expired", Meaning: term.Bad}
	case "not-yet":
		return print.Cell{Text: "not yet valid", Meaning: term.Bad}
	}
	if c.ParseError != "" {
		return print.Cell{Text: "unreadable", Meaning: term.Bad}
	}
	return print.Cell{Text: "unknown", Meaning: term.Muted}
}

// shortTime gives a document's time to the second.
func shortTime(s string) string {
	whole, _, _ := strings.Cut(s, ".")
	if whole == "" {
		return ""
	}
	return strings.Replace(whole, "T", " ", 1) + " UTC"
}

// writeCerts writes all that is known of every certificate and authority.
func writeCerts(app *App, d *doc.Certs) error {
	w := &details{Writer: bufio.NewWriter(app.Term.Out), app: app, term: app.Term}
	if len(d.Certs) == 0 {
		fmt.Fprintln(w, "No certificate is loaded.")
	}
	for i := range d.Certs {
		c := &d.Certs[i]
		if i > 0 {
			fmt.Fprintln(w)
		}
		state := certState(c)
		fmt.Fprintf(w, "%s  %s\n", app.Term.Paint(term.Strong, cleaned(certKind(c))), app.Term.Paint(state.Meaning, state.Text))
		w.line(2, "subject", c.Subject)
		w.line(2, "alt names", joined(c.AltNames))
		w.line(2, "issuer", c.Issuer)
		w.line(2, "serial", c.Serial)
		w.line(2, "from", shortTime(c.NotBefore))
		w.line(2, "until", shortTime(c.NotAfter))
		w.line(2, "key", keyText(c))
		w.line(2, "signature", c.Signature)
		if c.Revoked != nil {
			w.line(2, "revoked", plural(int64(*c.Revoked), "certificate"))
		}
		w.line(2, "sha256", c.SHA256)
		w.line(2, "unreadable", c.ParseError)
	}
	for _, a := range d.Authorities {
		fmt.Fprintf(w, "\n%s\n", app.Term.Paint(term.Strong, cleaned("authority "+a.Name)))
		w.line(2, "certificate", a.CACert)
		w.line(2, "CRL", joined(a.CRLURIs))
		w.line(2, "OCSP", joined(a.OCSPURIs))
		w.line(2, "hash and URL", a.CertURIBase)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the certificates: %w", err)
	}
	return nil
}
