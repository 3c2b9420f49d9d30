package enginetest

import (
	"bytes"
	_ "embed"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/suite"
)

var updatePage = flag.Bool("conformance.update", false, "write docs/conformance.md")

const conformancePage = "../../docs/conformance.md"

// noSecret is what goes into a child's keys without PFS.
var noSecret suite.Secret

// ipv6Ready are the ids of the IPv6 Ready IKEv2 tests for end nodes, a line
// each; behind the id stands why a test is left out, where it is, or which test
// of another package shows it.
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

// bears fails the test where a test of another package, by package and name, is
// not there or does not bear an id.
func bears(t *testing.T, id, test string) {
	t.Helper()
	pkg, name, _ := strings.Cut(test, ".")
	files, err := filepath.Glob(filepath.Join("../..", pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("func "+name+"(")) && bytes.Contains(text, []byte(id)) {
			return
		}
	}
	t.Errorf("%s is not shown by %s: there is no such test", id, test)
}

func TestEveryEndNodeTestOfIPv6ReadyIsAccountedFor(t *testing.T) {
	var page bytes.Buffer
	lines := strings.Split(strings.TrimSpace(ipv6Ready), "\n")
	if len(lines) != 163 {
		t.Errorf("%d ids, the list has 163", len(lines))
	}
	shown, elsewhere, rows, seen := 0, 0, "", map[string]bool{}
	for _, line := range lines {
		id, why, _ := strings.Cut(line, "\t")
		run := scenario(id)
		if test, ok := strings.CutPrefix(why, "shown by "); ok {
			bears(t, id, test)
			shown++
			elsewhere++
			rows += fmt.Sprintf("| %s | %s |\n", id, why)
			continue
		}
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
	if n := len(initiatorScenarios) + len(responderScenarios); n != shown-elsewhere {
		t.Errorf("%d tests, of which %d are in the list", n, shown-elsewhere)
	}
	fmt.Fprintf(&page, "# Conformance\n\nThe IPv6 Ready Logo's IKEv2 conformance tests (2.0.0a) for end nodes: %d, of which %d are shown by a test that bears\n"+
		"the id: in `engine/enginetest`, against a scripted peer or between two engines under virtual time, or where it says. The others are\n"+
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
