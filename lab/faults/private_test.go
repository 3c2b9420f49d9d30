package faults

import (
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/diag/report"
)

// whose tells who is in a tunnel of the lab: its addresses outside and inside, its
// identities, and the names in its certificates.
var whose = regexp.MustCompile(`\b(192\.0\.2\.\d+|198\.51\.100\.\d+|203\.0\.113\.\d+|10\.(1|2|9|77|88)\.\d+\.\d+|172\.16\.\d+\.\d+|fd00:[0-9a-f:]+|2001:db8:[0-9a-f:]+|[a-z-]+(\.|@)lab\b|carol\b|dave\b)|cvlanctl lab|(Lab|Another) (Root|Intermediate) CA`)

// tellsNobody holds that no form of a pseudonymised report of what a source found
// says who it is about.
func tellsNobody(t *testing.T, r *Result) {
	t.Helper()
	if r.Facts == nil {
		return
	}
	made := report.New(r.Facts, r.Findings, report.Options{Pseudonymise: true, Version: "test"})
	doc, err := made.JSON()
	if err != nil {
		t.Error(err)
	}
	for form, text := range map[string]string{"JSON": string(doc), "Markdown": string(made.Markdown()), "HTML": html.UnescapeString(string(made.HTML()))} {
		text = strings.ReplaceAll(text, `\_`, "_")
		if at := whose.FindStringIndex(text); at != nil {
			t.Errorf("%s: the pseudonymised report tells %q in %s: ...%s...", r.Source, text[at[0]:at[1]], form, text[max(0, at[0]-80):min(len(text), at[1]+80)])
		}
	}
}
