package doc

import (
	"slices"

	"github.com/cloudvlan/cvlanctl/diag"
)

// CatalogueSchema is the kind of the document of `explain`.
const CatalogueSchema = "cvlanctl/catalogue/v1"

// Catalogue is the document of `explain`.
type Catalogue struct {
	Schema  string  `json:"schema"`
	Entries []Entry `json:"entries"`
}

// Entry is one diagnosis of the catalogue.
type Entry struct {
	ID          string   `json:"id"`
	Aliases     []string `json:"aliases,omitempty"`
	Title       string   `json:"title"`
	Severity    string   `json:"severity"`
	Ownership   string   `json:"ownership"`
	Symptom     string   `json:"symptom,omitempty"`
	Cause       string   `json:"cause,omitempty"`
	Shows       []Shows  `json:"shows,omitempty"`
	Remedies    []Remedy `json:"remedies,omitempty"`
	Confidence  string   `json:"confidence"` // at best
	Why         string   `json:"why"`        // so sure, and no more
	Surer       string   `json:"surer,omitempty"`
	Distinguish string   `json:"distinguish,omitempty"`
	RFC         []string `json:"rfc,omitempty"`
	Related     []string `json:"related,omitempty"`
	Rule        bool     `json:"rule"` // this program has a rule that finds it
	Needs       []string `json:"needs,omitempty"`
}

// Shows says what shows a diagnosis on one source.
type Shows struct {
	Source string `json:"source"`
	What   string `json:"what"`
}

// Remedy is one change on one side.
type Remedy struct {
	Side     string `json:"side"`
	Platform string `json:"platform"`
	Change   string `json:"change"`
}

// NewCatalogue makes the document of entries; rules say which of them are
// looked for.
func NewCatalogue(entries []diag.Entry, rules []diag.Rule) *Catalogue {
	d := &Catalogue{Schema: CatalogueSchema, Entries: []Entry{}}
	for i := range entries {
		e := &entries[i]
		x := Entry{
			ID: e.ID, Aliases: e.Aliases, Title: e.Title, Severity: e.Severity.String(), Ownership: string(e.Ownership),
			Symptom: e.Symptom, Cause: e.Cause, Distinguish: e.Distinguish, RFC: e.RFC, Related: e.Related,
		}
		sure := e.Sure()
		x.Confidence, x.Why, x.Surer = sure.Confidence.String(), sure.Why, sure.Surer
		for _, s := range e.Shows {
			x.Shows = append(x.Shows, Shows(s))
		}
		for _, r := range e.Remedies {
			x.Remedies = append(x.Remedies, Remedy{r.Side, r.Platform, r.Change})
		}
		if n := slices.IndexFunc(rules, func(r diag.Rule) bool { return r.ID == e.ID }); n >= 0 {
			x.Rule, x.Needs = true, rules[n].Needs
		}
		d.Entries = append(d.Entries, x)
	}
	return d
}
