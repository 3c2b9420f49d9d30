package cli

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/diag/grade"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// writeScanAdvice says what to take out of the host's configuration, and what
// the profile leaves.
func writeScanAdvice(app *App, d *doc.Scan, p *grade.Profile) error {
	var out []string
	for _, t := range d.Transforms {
		if t.Grade == grade.Weak.String() || t.Grade == grade.Forbidden.String() {
			out = append(out, t.Keyword)
		}
	}
	buffered := bufio.NewWriter(app.Term.Out)
	w := &wrapper{w: buffered, term: app.Term, width: columns(app.Term)}
	if len(out) > 0 {
		kept, add := keptProposals(d, p), ""
		if kept == "" {
			kept, add = p.Suite, "; what is left of it makes no proposal, so offer"
		}
		w.blank()
		w.line(term.Plain, "do: ", fmt.Sprintf("take %s out of what the host accepts%s:", strings.Join(out, ", "), add))
		software := "strongSwan"
		if strings.Contains(kept, "mlkem") {
			software = "strongSwan 6"
		}
		w.verbatim("    ", fmt.Sprintf("connections.<c>.proposals = %s   (%s)", kept, software))
	}
	if p.Note != "" {
		w.blank()
		w.line(term.Muted, "", p.Note)
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("writing the scan: %w", err)
	}
	return nil
}

// keptProposals writes what the host accepts and the profile is content with as
// swanctl's proposals: one with ciphers that protect by themselves, and one with
// those that need an integrity algorithm; "" where neither is whole, or where the
// profile wants a further key exchange, for which nothing was asked.
func keptProposals(d *doc.Scan, p *grade.Profile) string {
	if strings.Contains(p.Suite, "ke1_") {
		return ""
	}
	kept := map[string][]string{}
	for _, level := range []string{grade.Good.String(), grade.Allowed.String()} {
		more := map[string][]string{}
		for _, t := range d.Transforms {
			kind := t.Type
			if x, ok := wire.ParseKeyword(t.Keyword); ok && x.Type == wire.TransformEncr && wire.AEAD(x.ID) {
				kind = "AEAD"
			}
			if t.Grade == level && len(kept[kind]) == 0 {
				more[kind] = append(more[kind], t.Keyword)
			}
		}
		for kind, list := range more { // allowed only where nothing is good
			kept[kind] = list
		}
	}
	var proposals []string
	for _, kinds := range [][]string{{"AEAD", "PRF", "KE"}, {"ENCR", "INTEG", "KE"}} {
		var parts []string
		for _, kind := range kinds {
			if len(kept[kind]) == 0 {
				parts = nil
				break
			}
			parts = append(parts, kept[kind]...)
		}
		if parts != nil {
			proposals = append(proposals, strings.Join(parts, "-"))
		}
	}
	return strings.Join(proposals, ",")
}
