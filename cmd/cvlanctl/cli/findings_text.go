package cli

import (
	"bufio"
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/internal/clean"
)

// maxEvidenceShown is how many observations of a finding are written as text;
// JSON holds all that the finding kept.
const maxEvidenceShown = 6

// textWidth is the width of running text where the terminal does not say, and
// at most: longer lines are hard to read.
const textWidth = 92

// columns is the width of running text on a terminal.
func columns(t *term.Terminal) int {
	if t.Width > 20 && t.Width < textWidth {
		return t.Width
	}
	return textWidth
}

// writeFindings writes a diagnosis for an operator: for each finding what is
// wrong, how that is known and what to change.
func writeFindings(t *term.Terminal, tr *trace.Trace, name string, findings []diag.Finding) error {
	w := &wrapper{w: bufio.NewWriter(t.Out), term: t, width: columns(t), live: tr.Daemon.Known}
	w.line(term.Plain, "", fmt.Sprintf("%s: %s", name, contents(tr)))
	switch {
	case len(findings) == 0:
		w.line(term.Good, "", "Nothing wrong was found.")
	case diag.Healthy(findings):
		w.line(term.Good, "", "Nothing wrong was found; worth knowing:")
	}
	faulty := !diag.Healthy(findings)
	for i := range findings {
		w.blank()
		if faulty && findings[i].Severity >= diag.Info { // ranked: nothing but these from here on
			w.asides(i+1, findings[i:])
			break
		}
		w.finding(i+1, &findings[i])
	}
	return w.w.Flush()
}

// contents says in a line what was looked at.
func contents(tr *trace.Trace) string {
	up := 0
	for _, sa := range tr.SAs {
		if sa.State == engine.IKEEstablished {
			up++
		}
	}
	c := tr.Counts
	words := fmt.Sprintf("%s (%d established)", plural(int64(len(tr.SAs)), "IKE SA"), up)
	messages := c.IKEv1 + c.IKEv2
	if messages > 0 || !tr.Daemon.Known { // a daemon tells of those while it is watched
		words += ", " + plural(messages, "IKE message")
	}
	if !tr.Daemon.Known { // and of no packets
		words += ", " + plural(c.ESP+c.AH, "ESP packet")
	}
	return words
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// wrapper writes cleaned text, broken at spaces.
type wrapper struct {
	w     *bufio.Writer
	term  *term.Terminal
	width int
	live  bool // of a daemon: then one side is ours
}

func (w *wrapper) blank() { w.w.WriteString("\n") }

// line writes text behind a label, with further lines under the text.
func (w *wrapper) line(m term.Meaning, label, text string) {
	text = clean.Text(text)
	indent := strings.Repeat(" ", ansi.StringWidth(label))
	for i, part := range wrap(text, max(w.width-len(indent), 20)) {
		if i > 0 {
			label = indent
		}
		fmt.Fprintf(w.w, "%s%s\n", label, w.term.Paint(m, part))
	}
}

// wrap breaks text at spaces into lines of at most width columns. A word that
// is longer stays whole: it may be meant to be copied.
func wrap(text string, width int) []string {
	var lines []string
	line, used := "", 0
	for word := range strings.FieldsSeq(text) {
		wide := ansi.StringWidth(word)
		if used > 0 && used+1+wide > width {
			lines = append(lines, line)
			line, used = "", 0
		}
		if used > 0 {
			line += " "
			used++
		}
		line += word
		used += wide
	}
	return append(lines, line)
}

// verbatim writes a line that is meant to be copied: never broken.
func (w *wrapper) verbatim(indent, text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(w.w, "%s%s\n", indent, w.term.Paint(term.Strong, clean.Text(strings.TrimRight(line, "\n"))))
	}
}

func (w *wrapper) finding(n int, f *diag.Finding) {
	w.line(severityMeaning(f.Severity), fmt.Sprintf("%d. ", n), f.Summary)
	about := fmt.Sprintf("%s, %s, %s", f.Severity, confidenceText(f.Confidence), f.Ownership.Words(w.live))
	w.line(term.Muted, "   ", fmt.Sprintf("[%s] %s%s", f.ID, about, subjectText(&f.Subject)))
	if f.Cause != "" {
		w.line(term.Plain, "   why:   ", f.Cause)
	}
	w.evidence(f)
	w.remedies(f)
	if len(f.Claims) > 0 {
		w.line(term.Plain, "   peer:  ", strings.Join(f.Claims, "; "))
	}
	if len(f.Consequences) > 0 {
		w.line(term.Plain, "   hence: ", strings.Join(f.Consequences, ", "))
	}
	if f.Surer != "" {
		w.line(term.Plain, "   surer: ", f.Surer)
	}
}

// asides writes what is no fault, beside one: in short, so that nobody takes it
// for what is to be mended.
func (w *wrapper) asides(n int, findings []diag.Finding) {
	w.line(term.Muted, "", "Worth knowing, and no fault:")
	for i := range findings {
		f := &findings[i]
		w.line(severityMeaning(f.Severity), fmt.Sprintf("%d. ", n+i), f.Summary)
		w.line(term.Muted, "   ", fmt.Sprintf("[%s] %s; cvlanctl explain %s", f.ID, confidenceText(f.Confidence), f.ID))
	}
}

func (w *wrapper) evidence(f *diag.Finding) {
	label := "   seen:  "
	seen := f.Sightings()
	for i, e := range seen {
		if i == maxEvidenceShown {
			w.line(term.Plain, "          ", fmt.Sprintf("and %d more", len(seen)-i))
			break
		}
		text := e.Words()
		if e.Frame > 0 {
			text = fmt.Sprintf("frame %d: %s", e.Frame, text)
		}
		w.line(term.Plain, label, text)
		label = "          "
	}
	if f.Count > 1 {
		w.line(term.Plain, "          ", fmt.Sprintf("%d times in all", f.Count))
	}
}

// remedies writes what to change, one side and platform after the other. Lines
// for systems that nobody is known to have are only named.
func (w *wrapper) remedies(f *diag.Finding) {
	label := "   do:    "
	var others []string
	for _, r := range f.Remedies {
		switch {
		case r.Other:
			if !slices.Contains(others, r.Platform) {
				others = append(others, r.Platform)
			}
			continue
		case r.Platform == "any" || r.Platform == "":
			w.line(term.Plain, label, fmt.Sprintf("%s: %s", sideText(r.Side), r.Change))
		default:
			w.line(term.Plain, label, fmt.Sprintf("%s, %s:", sideText(r.Side), r.Platform))
			w.verbatim("            ", r.Change)
		}
		label = "          "
	}
	if len(others) > 0 {
		w.line(term.Plain, label, fmt.Sprintf("for %s: cvlanctl explain %s", strings.Join(others, ", "), f.ID))
	}
}

func severityMeaning(s diag.Severity) term.Meaning {
	switch s {
	case diag.Critical, diag.High:
		return term.Bad
	case diag.Medium, diag.Low:
		return term.Warning
	}
	return term.Plain
}

func confidenceText(c diag.Confidence) string {
	switch c {
	case diag.Certain:
		return "certain"
	case diag.Likely:
		return "likely"
	}
	return "a hint only"
}

func sideText(side string) string {
	switch side {
	case "initiator", "responder":
		return "on the " + side
	case "local", "remote":
		return "on the " + side + " side"
	case "both":
		return "on both sides"
	case "network":
		return "in the network"
	}
	return side
}

func subjectText(s *diag.Subject) string {
	var parts []string
	if s.Connection != "" {
		parts = append(parts, s.Connection)
	}
	if s.Local != "" || s.Remote != "" {
		parts = append(parts, s.Local+" -> "+s.Remote)
	}
	if s.SPIi != "" && s.SPIi != diag.NoSPI {
		parts = append(parts, "IKE SA "+s.SPIi)
	}
	if s.ChildSPI != "" {
		parts = append(parts, "SPI "+s.ChildSPI)
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, ", ")
}
