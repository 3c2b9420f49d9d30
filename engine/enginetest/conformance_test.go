package enginetest

import (
	"bytes"
	_ "embed"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/suite"
)

var updatePage = flag.Bool("conformance.update", false, "write docs/conformance.md")

const conformancePage = "../../docs/conformance.md"

// noSecret is what goes into a child's keys without PFS.
var noSecret suite.Secret

// ipv6Ready are the ids of the IPv6 Ready IKEv2 tests for end nodes, a line
// each; behind the id stands why a test is left out, where it is.
//
//go:embed testdata/ipv6ready_ikev2.txt
var ipv6Ready string

// scenario finds the test of ours that bears an id.
func scenario(id string) func(*testing.T) {
	if rest, ok := strings.CutPrefix(id, "IKEv2.EN.I."); ok {
		return initiatorScenarios[rest]
	}
	rest, _ := strings.CutPrefix(id, "IKEv2.EN.R.")
	return responderScenarios[rest]
}

func TestEveryEndNodeTestOfIPv6ReadyIsAccountedFor(t *testing.T) {
	var page bytes.Buffer
	lines := strings.Split(strings.TrimSpace(ipv6Ready), "\n")
	if len(lines) != 163 {
		t.Errorf("%d ids, the list has 163", len(lines))
	}
	shown, rows, seen := 0, "", map[string]bool{}
	for _, line := range lines {
		id, why, _ := strings.Cut(line, "\t")
		run := scenario(id)
		switch {
		case seen[id]:
			t.Errorf("%s stands twice in the list", id)
		case run != nil && why != "":
			t.Errorf("%s has a test and is left out: %s", id, why)
		case run == nil && why == "":
			t.Errorf("%s has no test, and no reason why not", id)
		}
		seen[id] = true
		if run == nil {
			rows += fmt.Sprintf("| %s | left out: %s |\n", id, why)
			continue
		}
		shown++
		rows += fmt.Sprintf("| %s | shown |\n", id)
		t.Run(id, run)
	}
	if n := len(initiatorScenarios) + len(responderScenarios); n != shown {
		t.Errorf("%d tests, of which %d are in the list", n, shown)
	}
	fmt.Fprintf(&page, "# Conformance\n\nThe IPv6 Ready Logo's IKEv2 conformance tests (2.0.0a) for end nodes: %d, of which %d are shown by a test of\n"+
		"`engine/enginetest` that bears the id, against a scripted peer or between two engines, under virtual time. The others are\n"+
		"left out for the reason given. `go test -run IPv6Ready ./engine/enginetest` runs them; with `-args -conformance.update` it\n"+
		"writes this page.\n\n| id | |\n|---|---|\n%s", len(lines), shown, rows)
	if *updatePage {
		if err := os.WriteFile(conformancePage, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(conformancePage)
	if err != nil || !bytes.Equal(have, page.Bytes()) {
		t.Errorf("docs/conformance.md is not what the tests show (%v): run with -args -conformance.update", err)
	}
}
