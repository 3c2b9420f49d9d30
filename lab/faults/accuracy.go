package faults

import (
	"fmt"
	"strings"
)

// Accuracy is the table of faults and sources.
type Accuracy struct {
	rows []row
}

type row struct {
	fault   Fault
	results map[Source]Result
}

// Add takes the results of a fault.
func (a *Accuracy) Add(f *Fault, results []Result) {
	r := row{*f, map[Source]Result{}}
	for _, x := range results {
		r.results[x.Source] = x
	}
	a.rows = append(a.rows, r)
}

// Share gives how many of the faults that a source can see it names first,
// from 0 to 1.
func (a *Accuracy) Share(s Source) float64 {
	first, all := a.count(s)
	if all == 0 {
		return 1
	}
	return float64(first) / float64(all)
}

func (a *Accuracy) count(s Source) (first, all int) {
	for _, r := range a.rows {
		x, ok := r.results[s]
		if !ok || r.fault.Healthy() || x.Verdict == Unseen || x.Verdict == Stumbled {
			continue
		}
		all++
		if x.Verdict == First {
			first++
		}
	}
	return first, all
}

// Markdown gives the page docs/accuracy.md.
func (a *Accuracy) Markdown() string {
	var b strings.Builder
	b.WriteString("# How often the diagnosis is right\n\nWritten by `make lab-faults`: real daemons, one thing set wrong at a time.\n" +
		"A strongSwan stands at both ends, our engine at one of them, or Libreswan or OpenIKED answers or calls; the host is looked at\ntogether with the initiator.\n" +
		"**first**: the right id comes first; **not first**: it is among the findings; **missed**: nothing is found;\n**wrong**: something else; **-**: the source cannot see it.\n\n")
	faults, healthy := 0, 0
	for _, r := range a.rows {
		if r.fault.Healthy() {
			healthy++
		} else {
			faults++
		}
	}
	fmt.Fprintf(&b, "%d faults, %d healthy variants.\n\n| source | right first | of |\n|---|---|---|\n", faults, healthy)
	for _, s := range Sources() {
		first, all := a.count(s)
		fmt.Fprintf(&b, "| %s | %d | %d |\n", s, first, all)
	}
	a.section(&b, "Faults", false)
	a.section(&b, "Healthy variants (first: no finding above info)", true)
	b.WriteString("\n## Why a source cannot see a fault\n\n")
	for _, r := range a.rows {
		if r.fault.Hidden != "" {
			fmt.Fprintf(&b, "- %s: %s.\n", r.fault.Name, r.fault.Hidden)
		}
		for _, s := range Sources() {
			if why := r.fault.NoEngine[s]; why != "" {
				fmt.Fprintf(&b, "- %s, %s: %s.\n", r.fault.Name, s, why)
			}
		}
	}
	var faultsOnly []Fault
	for _, r := range a.rows {
		if !r.fault.Healthy() {
			faultsOnly = append(faultsOnly, r.fault)
		}
	}
	without(&b, faultsOnly)
	return b.String()
}

func (a *Accuracy) section(b *strings.Builder, title string, healthy bool) {
	fmt.Fprintf(b, "\n## %s\n\n| fault |", title)
	for _, s := range Sources() {
		fmt.Fprintf(b, " %s |", s)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(Sources())) + "\n")
	for _, r := range a.rows {
		if r.fault.Healthy() != healthy {
			continue
		}
		fmt.Fprintf(b, "| %s |", r.fault.Name)
		for _, s := range Sources() {
			x := r.results[s]
			cell := string(x.Verdict)
			switch {
			case x.Verdict == First && !healthy:
				cell = "first: " + r.fault.want(s)
			case x.Verdict == Wrong && len(x.Findings) > 0:
				cell = "wrong: " + x.Findings[0].ID + instead(r.fault.want(s))
			case x.Verdict == NotFirst || x.Verdict == Missed:
				cell += ": " + r.fault.want(s)
			}
			fmt.Fprintf(b, " %s |", cell)
		}
		b.WriteString("\n")
	}
}

func instead(id string) string {
	if id == "" {
		return ""
	}
	return ", not " + id
}
