package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/diag/grade"
	"github.com/cloudvlan/cvlanctl/diag/probe/scan"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// gradeMeaning gives the colour of a grade.
func gradeMeaning(level string) term.Meaning {
	switch level {
	case grade.Good.String():
		return term.Good
	case grade.Weak.String():
		return term.Warning
	case grade.Forbidden.String():
		return term.Bad
	}
	return term.Plain
}

// writeScan writes a scan for a person: what the host is, what it accepts, and
// what to change.
func writeScan(app *App, d *doc.Scan, r *scan.Result, p *grade.Profile) error {
	facts := &print.Rows{Columns: []print.Column{{Title: cleaned(scanTitle(d))}, {}}}
	for _, f := range scanFacts(d, r) {
		facts.Add(print.C("  "+f.what), f.cell)
	}
	if err := facts.Write(app.Term, app.Output); err != nil {
		return err
	}
	if len(d.Transforms) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(app.Term.Out); err != nil {
		return fmt.Errorf("writing the scan: %w", err)
	}
	rows := &print.Rows{Columns: []print.Column{{Title: "type"}, {Title: "accepted"}, {Title: "grade"}, {Title: p.Source}}}
	for _, t := range d.Transforms {
		rows.Add(print.C(t.Type), print.C(t.Keyword), print.Cell{Text: t.Grade, Meaning: gradeMeaning(t.Grade)}, print.C(t.Why))
	}
	if err := rows.Write(app.Term, app.Output); err != nil {
		return err
	}
	return writeScanAdvice(app, d, p)
}

func scanTitle(d *doc.Scan) string {
	if d.Target == d.Host {
		return d.Host
	}
	return d.Target + " (" + d.Host + ")"
}

type scanFact struct {
	what string
	cell print.Cell
}

// scanFacts gives what the host is, a line each.
func scanFacts(d *doc.Scan, r *scan.Result) []scanFact {
	var list []scanFact
	add := func(what string, m term.Meaning, format string, args ...any) {
		list = append(list, scanFact{what, print.Cell{Text: fmt.Sprintf(format, args...), Meaning: m}})
	}
	port := func(v scan.Verdict) (string, term.Meaning) {
		if v == scan.Answers {
			return "answers", term.Good
		}
		return wordless(v), term.Bad
	}
	plain := r.IKEv2
	if r.OnlyNATT {
		plain = scan.Silent
	}
	text, m := port(plain)
	if d.RTT != "" {
		text += fmt.Sprintf(", %.1f ms", float64(r.RTT.Microseconds())/1000)
	}
	add(fmt.Sprintf("IKEv2, port %d", d.Port), m, "%s", text)
	text, m = port(r.Port4500)
	add(fmt.Sprintf("IKEv2, port %d", d.NATTPort), m, "%s", text)
	if r.MajorVersion3 == wire.NotifyInvalidMajorVersion.String() && len(r.Accepted) == 0 {
		add("presence", term.Plain, "something speaks IKE there, and takes no proposal from this address")
	}
	switch r.IKEv1 {
	case scan.Answers:
		add("IKEv1", term.Warning, "answers; IKEv1 is deprecated (RFC 9395)")
	default:
		add("IKEv1", term.Plain, "no answer")
	}
	if r.Aggressive == scan.Answers && aggressiveTaken(r) {
		add("aggressive mode", term.Bad, "on: it gives a hash over the preshared key to whoever asks")
	}
	if d.Fragmentation != nil {
		add("fragmentation", term.Plain, "%s (RFC 7383)", yes(*d.Fragmentation))
	}
	if d.NATLocal != nil && d.NATRemote != nil {
		where := "none on the way"
		switch {
		case *d.NATLocal && *d.NATRemote:
			where = "in front of both sides, or the host forces encapsulation"
		case *d.NATLocal:
			where = "in front of this side"
		case *d.NATRemote:
			where = "in front of the host, or it forces encapsulation"
		}
		add("NAT", term.Plain, "%s", where)
	}
	if d.Cookie {
		add("cookie", term.Plain, "demanded: the host is loaded, or cautious")
	}
	if d.Critical != "" && d.Critical != wire.NotifyUnsupportedCriticalPayload.String() {
		add("unknown payload", term.Warning, "critical and not refused: %s (RFC 7296 2.5 wants UNSUPPORTED_CRITICAL_PAYLOAD)", d.Critical)
	}
	if len(d.Hashes) > 0 {
		add("signatures", term.Plain, "%s", strings.Join(d.Hashes, ", "))
	}
	for _, v := range d.Vendors {
		claims := v.Claims
		if claims == "" {
			claims = "unknown vendor id " + v.Data
		}
		add("claims to be", term.Plain, "%s", claims)
	}
	for _, t := range d.Transforms {
		if slices.Contains(d.Disagreements, t.Keyword) {
			add("disagreement", term.Bad, "%s: taken among others, alone %s", t.Keyword, t.Alone)
		}
	}
	if len(d.Doubtful) > 0 {
		add("doubtful", term.Warning, "%s: agreed to, then no answer to IKE_AUTH", strings.Join(d.Doubtful, ", "))
	}
	if n, named := confirmedOf(d); len(d.Transforms) > 0 && n+named == len(d.Transforms) {
		add("confirmed", term.Good, "%s", confirmedWords(n, named))
	} else if len(d.Transforms) > 0 {
		add("confirmed", term.Warning, "%d of %d", n+named, len(d.Transforms))
	}
	if !d.Complete {
		add("incomplete", term.Warning, "%s", d.Incomplete)
	}
	add("requests", term.Muted, "%d of at most %d", d.Requests, d.MaxRequests)
	return list
}

// confirmedOf counts what was confirmed in a proposal of its own, and what goes
// with a group that we cannot compute and was named again.
func confirmedOf(d *doc.Scan) (confirmed, named int) {
	for _, t := range d.Transforms {
		switch {
		case t.Confirmed:
			confirmed++
		case !t.Chosen && t.Alone == wire.NotifyInvalidKEPayload.String():
			named++
		}
	}
	return confirmed, named
}

func confirmedWords(confirmed, named int) string {
	words := fmt.Sprintf("all %d, each where the host had no choice", confirmed+named)
	if named > 0 {
		words += fmt.Sprintf("; %d of them by INVALID_KE_PAYLOAD", named)
	}
	return words
}

// aggressiveTaken says whether the answer to aggressive mode was no refusal.
func aggressiveTaken(r *scan.Result) bool {
	for _, q := range r.Questions {
		if q.Name == "IKEv1 aggressive mode" {
			return q.Outcome == scan.OutcomeAccepted
		}
	}
	return false
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
