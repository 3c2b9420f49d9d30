package diag

import (
	"fmt"
	"slices"
	"strings"
)

// Markdown writes the Catalogue as a document for readers, with what the
// given rules need in order to recognise each fault.
func Markdown(rules []Rule) string {
	byID := make(map[string]*Rule, len(rules))
	for i := range rules {
		byID[rules[i].ID] = &rules[i]
	}
	var b strings.Builder
	total, recognised := 0, 0
	for _, f := range families {
		for i := range f.entries {
			total++
			if byID[f.entries[i].ID] != nil {
				recognised++
			}
		}
	}
	fmt.Fprintf(&b, `# Findings

What can go wrong with an IPsec tunnel, what shows it, and what to change. This
page is generated from the catalogue that `+"`cvlanctl explain`"+` prints; %d faults, of
which %d are recognised by a rule so far.

The severity is the usual one; a finding may be better or worse than that in a
given case. The owner says whose the fault is: an external one comes with no
advice to change a configuration.

`, total, recognised)
	for _, f := range families {
		fmt.Fprintf(&b, "* %s: ", f.title)
		for i := range f.entries {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "[%[1]s](#%[1]s)", f.entries[i].ID)
		}
		b.WriteString("\n")
	}
	for _, f := range families {
		fmt.Fprintf(&b, "\n## %s\n", f.title)
		for i := range f.entries {
			writeEntry(&b, &f.entries[i], byID[f.entries[i].ID])
		}
	}
	return b.String()
}

func writeEntry(b *strings.Builder, e *Entry, r *Rule) {
	fmt.Fprintf(b, "\n### %s\n\n**%s.** %s, %s.", e.ID, e.Title, e.Severity, e.Ownership)
	if len(e.Aliases) > 0 {
		fmt.Fprintf(b, " Also known as %s.", strings.Join(e.Aliases, ", "))
	}
	fmt.Fprintf(b, "\n\n%s\n\n%s\n\n", e.Symptom, e.Cause)
	for _, s := range e.Shows {
		fmt.Fprintf(b, "* On %s: %s\n", s.Source, s.What)
	}
	if r != nil {
		fmt.Fprintf(b, "* Recognised from: %s.\n", strings.Join(r.Needs, "; "))
		if len(r.After) > 0 {
			fmt.Fprintf(b, "* Taken for a consequence of: %s.\n", links(r.After))
		}
	}
	b.WriteString("\n| side | platform | change |\n|---|---|---|\n")
	for _, m := range e.Remedies {
		change := strings.ReplaceAll(m.Change, "|", `\|`)
		if m.Platform != "any" {
			change = "`" + change + "`"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", m.Side, m.Platform, change)
	}
	sure := e.Sure()
	fmt.Fprintf(b, "\nHow sure: %s at best. %s", sure.Confidence, sure.Why)
	if sure.Surer != "" {
		fmt.Fprintf(b, " Surer by: %s.", strings.TrimSuffix(sure.Surer, "."))
	}
	b.WriteString("\n")
	if e.Distinguish != "" {
		fmt.Fprintf(b, "\nTo tell it from its neighbours: %s\n", e.Distinguish)
	}
	var tail []string
	if len(e.RFC) > 0 {
		tail = append(tail, strings.Join(e.RFC, ", "))
	}
	if len(e.Related) > 0 {
		tail = append(tail, "see also "+links(e.Related))
	}
	if len(tail) > 0 {
		fmt.Fprintf(b, "\n%s.\n", strings.Join(tail, "; "))
	}
}

func links(ids []string) string {
	out := slices.Clone(ids)
	for i, id := range out {
		out[i] = fmt.Sprintf("[%[1]s](#%[1]s)", id)
	}
	return strings.Join(out, ", ")
}
