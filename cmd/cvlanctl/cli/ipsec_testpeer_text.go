package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/probe/peer"
)

// testMeaning gives the colour and the mark of a status.
func testMeaning(s peer.Status) (term.Meaning, string) {
	switch s {
	case peer.Pass:
		return term.Good, "pass"
	case peer.Warn:
		return term.Warning, "warn"
	case peer.Fail:
		return term.Bad, "FAIL"
	}
	return term.Muted, "skip"
}

// tryWords says what was tried and what the peer answered.
func tryWords(n, of int, try *diag.Try) (string, term.Meaning) {
	m, answer := term.Muted, try.Answer
	switch {
	case try.Accepted:
		m, answer = term.Good, "accepted"
	case answer == "":
		answer = "no answer"
	}
	return fmt.Sprintf("try %d of %d: %s: %s", n, of, cleaned(try.Says), cleaned(answer)), m
}

// tellTry shows another way to authenticate as it was tried.
func (t *testPeer) tellTry(n, of int, try diag.Try) {
	if !t.app.Output.Text() {
		return
	}
	words, m := tryWords(n, of, &try)
	if t.app.Term.OutTTY {
		fmt.Fprint(t.app.Term.Out, "\r\x1b[K")
	}
	fmt.Fprintf(t.app.Term.Out, "%s\n", t.app.Term.Paint(m, "      "+words))
	if t.app.Term.OutTTY {
		fmt.Fprintf(t.app.Term.Out, "      %s ...", peer.StepAuth)
	}
}

// tell shows a step as it ends.
func (t *testPeer) tell(s peer.Step) {
	switch {
	case s.Status == "" && t.app.Term.OutTTY && t.app.Output.Text():
		fmt.Fprintf(t.app.Term.Out, "      %s ...", s.Name)
	case s.Status == "":
	case t.app.Output == print.JSONL:
		b, err := json.Marshal(doc.NewTestPeerStep(&s))
		if err == nil {
			_, _ = t.app.Term.Out.Write(append(print.Escape(b), '\n')) // a reader that is gone ends the test by itself
		}
	case t.app.Output.Text():
		m, mark := testMeaning(s.Status)
		if t.app.Term.OutTTY {
			fmt.Fprint(t.app.Term.Out, "\r\x1b[K")
		}
		took := ""
		if s.Status != peer.Skip {
			took = fmt.Sprintf("%7.1f ms", ms(s.Duration))
		}
		t.writeStep(t.app.Term.Paint(m, mark), fmt.Sprintf("%-26s %10s", s.Name, took), cleaned(s.Detail))
	}
}

// writeStep writes a step on one line, or what is said of it under it where that
// is too long for the line.
func (t *testPeer) writeStep(mark, head, detail string) {
	if 6+len(head)+2+ansi.StringWidth(detail) <= columns(t.app.Term) {
		fmt.Fprintf(t.app.Term.Out, "%s  %s  %s\n", mark, head, detail)
		return
	}
	fmt.Fprintf(t.app.Term.Out, "%s  %s\n", mark, strings.TrimRight(head, " "))
	for _, part := range wrap(detail, columns(t.app.Term)-6) {
		fmt.Fprintf(t.app.Term.Out, "      %s\n", part)
	}
}

// close writes what was found, after the steps.
func (t *testPeer) close(r *peer.Report) error {
	out := bufio.NewWriter(t.app.Term.Out)
	w := &wrapper{w: out, term: t.app.Term, width: columns(t.app.Term), live: true}
	n := 0
	faults := slices.ContainsFunc(r.Findings, func(f diag.Finding) bool { return f.Severity < diag.Info })
	for i := range r.Findings {
		if r.Findings[i].Severity < diag.Info || !faults && r.Worst() != peer.Pass {
			n++
			w.blank()
			w.finding(n, &r.Findings[i])
		}
	}
	w.blank()
	m, words := term.Good, r.Verdict()
	switch r.Worst() {
	case peer.Fail:
		m, words = term.Bad, words+": see above"
	case peer.Warn:
		m, words = term.Warning, words+": see above"
	}
	w.line(m, "", fmt.Sprintf("%s, in %.1f s", words, r.Took.Seconds()))
	if err := out.Flush(); err != nil {
		return fmt.Errorf("writing the outcome: %w", err)
	}
	return nil
}
