// Package report writes a diagnosis for the administrator of the other side:
// what is wrong, how that is known, and what to change there, in the other
// side's words.
//
// Contract: pure. A report holds what the findings hold and no secret; with
// Pseudonymise no address, identity or name of the original stands in it, and
// the same one is everywhere the same pseudonym. Text from strangers is
// cleaned.
package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"html"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// Options say what a report is about.
type Options struct {
	Pseudonymise bool
	Version      string // of this program
}

// Report is a diagnosis that can be sent.
type Report struct {
	diag.Report
	At      time.Time
	Version string
	Claims  []string // what the peers claim to be, by their vendor IDs
	roles   map[string]string
}

// New makes a report of findings and the facts that they are from. Neither is
// changed.
func New(f *diag.Facts, findings []diag.Finding, o Options) *Report {
	r := &Report{Report: diag.Report{Source: f.Source, Findings: slices.Clone(findings)}, At: f.Now, Version: o.Version, roles: roles(f.Trace)}
	r.Claims = claims(f.Trace)
	if o.Pseudonymise {
		newMask(f).report(r)
	}
	return r
}

// roles says which side of each IKE SA is ours, by its initiator's SPI.
func roles(t *trace.Trace) map[string]string {
	m := map[string]string{}
	for _, sa := range t.SAs {
		if initiator, ok := sa.IKESA.Initiator.Get(); ok && t.Daemon.Known {
			m[sa.InitiatorSPI.String()] = "responder"
			if initiator {
				m[sa.InitiatorSPI.String()] = "initiator"
			}
		}
	}
	return m
}

// maxClaims bounds what is listed of vendor IDs.
const maxClaims = 12

func claims(t *trace.Trace) []string {
	var l []string
	for _, sa := range t.SAs {
		for _, v := range sa.VendorIDs {
			if v.Name != "" && !slices.Contains(l, v.Name) && len(l) < maxClaims {
				l = append(l, v.Name)
			}
		}
	}
	return l
}

// side says whose change a remedy is, from the reader's view: the reader is
// the other side.
func (r *Report) side(f *diag.Finding, remedy *diag.Remedy) string {
	side := remedy.Side
	if ours := r.roles[f.Subject.SPIi]; ours != "" && (side == "initiator" || side == "responder") {
		side = "remote"
		if ours == remedy.Side {
			side = "local"
		}
	}
	switch side {
	case "local":
		return "on our side"
	case "remote":
		return "on your side"
	case "both":
		return "on both sides"
	case "network":
		return "in the network between us"
	}
	return "on the " + side
}

// ordered puts what the reader can do first, and of the same side the
// platform that the findings are about.
func (r *Report) ordered(f *diag.Finding) []diag.Remedy {
	l := slices.Clone(f.Remedies)
	rank := func(m diag.Remedy) int {
		switch r.side(f, &m) {
		case "on your side":
			return 0
		case "on both sides":
			return 1
		}
		return 2
	}
	slices.SortStableFunc(l, func(a, b diag.Remedy) int { return cmp.Compare(rank(a), rank(b)) })
	return l
}

// JSON gives the document of the schema cvlanctl/diagnosis/v1.
func (r *Report) JSON() ([]byte, error) {
	b, err := json.Marshal(r.Report)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// section is one paragraph of the report: the same for every form.
type section struct {
	level int // 1 title, 2 finding, 3 heading within, 0 text, -1 an item, -2 to be copied
	text  string
}

func (r *Report) sections() []section {
	l := []section{{1, "Diagnosis of an IPsec tunnel"}}
	l = append(l, section{0, fmt.Sprintf("Made at %s by cvlanctl %s from %s. \"We\" is the side that sends this report, \"you\" are the other side.", r.At.UTC().Format(time.RFC3339), r.Version, r.Source)})
	if len(r.Claims) > 0 {
		l = append(l, section{0, "By their vendor IDs the peers claim to be: " + strings.Join(r.Claims, ", ") + "."})
	}
	if len(r.Findings) == 0 {
		return append(l, section{0, "Nothing wrong was found."})
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		l = append(l, section{2, fmt.Sprintf("%d. %s", i+1, f.Summary)},
			section{0, fmt.Sprintf("%s, %s. Fault: %s. %s", f.Severity, f.Confidence, f.ID, between(&f.Subject))})
		if f.Cause != "" {
			l = append(l, section{0, f.Cause})
		}
		l = append(l, section{3, "How we know"})
		for _, e := range f.Sightings() {
			what := e.Words()
			if e.Frame > 0 {
				what = fmt.Sprintf("frame %d: %s", e.Frame, what)
			}
			if !e.Time.IsZero() {
				what = e.Time.UTC().Format("2006-01-02 15:04:05.000 UTC") + "  " + what
			}
			l = append(l, section{-1, what})
		}
		if len(f.Remedies) > 0 {
			l = append(l, section{3, "What to change"})
		}
		for _, m := range r.ordered(f) {
			if m.Platform == "any" || m.Platform == "" {
				l = append(l, section{-1, r.side(f, &m) + ": " + m.Change})
				continue
			}
			l = append(l, section{-1, fmt.Sprintf("%s, %s:", r.side(f, &m), m.Platform)}, section{-2, m.Change})
		}
		if f.Surer != "" {
			l = append(l, section{0, "What would make it surer: " + f.Surer + "."})
		}
	}
	return l
}

func between(s *diag.Subject) string {
	switch {
	case s.Local != "" && s.Remote != "":
		return fmt.Sprintf("Between %s and %s.", s.Local, s.Remote)
	case s.Connection != "":
		return "Connection " + s.Connection + "."
	}
	return ""
}

// Markdown gives the report for a mail or a ticket.
func (r *Report) Markdown() []byte {
	var b bytes.Buffer
	for _, s := range r.sections() {
		text := clean.Text(s.text)
		if s.level != -2 {
			text = escaped.Replace(text)
		}
		switch s.level {
		case -1:
			fmt.Fprintf(&b, "- %s\n", text)
		case -2:
			fmt.Fprintf(&b, "\n      %s\n\n", strings.ReplaceAll(text, "\n", "\n      "))
		case 0:
			fmt.Fprintf(&b, "\n%s\n", text)
		default:
			fmt.Fprintf(&b, "\n%s %s\n\n", strings.Repeat("#", s.level), text)
		}
	}
	return bytes.TrimLeft(b.Bytes(), "\n")
}

// escaped keeps a stranger's text from being read as Markdown or HTML.
var escaped = strings.NewReplacer("<", "&lt;", "`", "'", "*", `\*`, "_", `\_`, "[", `\[`, "|", `\|`)

// HTML gives the report as a page without scripts and without anything from
// elsewhere.
func (r *Report) HTML() []byte {
	var b bytes.Buffer
	b.WriteString("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Diagnosis of an IPsec tunnel</title>\n" +
		"<style>body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}pre{background:#eee;padding:.5em;white-space:pre-wrap}</style></head><body>\n")
	list := false
	for _, s := range r.sections() {
		item := s.level < 0
		if item != list {
			b.WriteString(map[bool]string{true: "<ul>\n", false: "</ul>\n"}[item])
			list = item
		}
		text := html.EscapeString(clean.Text(s.text))
		switch s.level {
		case -1:
			fmt.Fprintf(&b, "<li>%s</li>\n", text)
		case -2:
			fmt.Fprintf(&b, "<li><pre>%s</pre></li>\n", text)
		case 0:
			fmt.Fprintf(&b, "<p>%s</p>\n", text)
		default:
			fmt.Fprintf(&b, "<h%d>%s</h%d>\n", s.level, text, s.level)
		}
	}
	if list {
		b.WriteString("</ul>\n")
	}
	b.WriteString("</body></html>\n")
	return b.Bytes()
}
