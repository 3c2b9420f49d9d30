package diag_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
)

var idForm = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)+$`)

func TestEveryEntryIsCompleteAndItsReferencesResolve(t *testing.T) {
	sides := []string{"initiator", "responder", "local", "remote", "both", "network"}
	platforms := []string{"strongswan", "libreswan", "cisco", "fortios", "pan-os", "windows", "azure", "aws", "linux", "any"}
	sources := []string{"capture", "capture with keys", "engine", "strongswan", "host"}
	seen := map[string]bool{}
	for _, e := range diag.All() {
		for _, id := range append([]string{e.ID}, e.Aliases...) {
			if !idForm.MatchString(id) {
				t.Errorf("%s: %q is no id", e.ID, id)
			}
			if seen[id] {
				t.Errorf("%s: %q stands twice in the catalogue", e.ID, id)
			}
			seen[id] = true
			if got, ok := diag.Lookup(id); !ok || got.ID != e.ID {
				t.Errorf("Lookup(%q) = %q, %v", id, got.ID, ok)
			}
		}
		if e.Severity.String() == "" || !slices.Contains(diag.Owners(), e.Ownership) {
			t.Errorf("%s: severity %d, ownership %q", e.ID, e.Severity, e.Ownership)
		}
		for name, text := range map[string]string{"title": e.Title, "symptom": e.Symptom, "cause": e.Cause} {
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s: no %s", e.ID, name)
			}
		}
		if len(e.Shows) == 0 || len(e.Remedies) == 0 {
			t.Errorf("%s: %d sources, %d remedies", e.ID, len(e.Shows), len(e.Remedies))
		}
		for _, s := range e.Shows {
			if !slices.Contains(sources, s.Source) || s.What == "" {
				t.Errorf("%s: shows %q: %q", e.ID, s.Source, s.What)
			}
		}
		for _, r := range e.Remedies {
			if !slices.Contains(sides, r.Side) || !slices.Contains(platforms, r.Platform) || r.Change == "" {
				t.Errorf("%s: remedy %+v", e.ID, r)
			}
		}
		for _, id := range e.Related {
			if other, ok := diag.Lookup(id); !ok || other.ID == e.ID {
				t.Errorf("%s is related to %q", e.ID, id)
			}
		}
		for _, ref := range e.RFC {
			if !regexp.MustCompile(`^RFC \d{3,5}( \d+(\.\d+)*)?$`).MatchString(ref) {
				t.Errorf("%s: %q is no reference to an RFC", e.ID, ref)
			}
		}
	}
	if n := len(diag.All()); n != 121 {
		t.Errorf("the catalogue has %d entries, want 121", n)
	}
	has := map[string]bool{}
	for _, r := range rule.All() {
		has[r.ID] = true
	}
	for _, e := range diag.All() {
		if !has[e.ID] {
			t.Errorf("no rule recognises %s on any source", e.ID)
		}
	}
	if _, ok := diag.Lookup("no-such-fault"); ok {
		t.Error("Lookup finds what is not there")
	}
}

// configuration matches what only stands in a configuration: an assignment
// or a command of one of the platforms.
var configuration = regexp.MustCompile(`(?i)connections\.|secrets\.|charon\.|=|config vpn|crypto |set-vpn|swanctl`)

func TestAnExternalFaultNeverComesWithConfigurationAdvice(t *testing.T) {
	for _, e := range diag.All() {
		if e.Ownership != diag.External {
			continue
		}
		for _, r := range e.Remedies {
			if r.Side != "network" || r.Platform != "any" || configuration.MatchString(r.Change) {
				t.Errorf("%s is external and advises %+v", e.ID, r)
			}
		}
	}
}

func TestEveryRuleReportsAnIDOfTheCatalogueAndSaysWhatItNeeds(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rule.All() {
		if e, ok := diag.Lookup(r.ID); !ok || e.ID != r.ID {
			t.Errorf("rule %q is not in the catalogue", r.ID)
		}
		if seen[r.ID] {
			t.Errorf("two rules for %q", r.ID)
		}
		seen[r.ID] = true
		if len(r.Needs) == 0 || r.Find == nil {
			t.Errorf("rule %q: needs %q, find %v", r.ID, r.Needs, r.Find != nil)
		}
		for _, id := range r.After {
			if e, ok := diag.Lookup(id); !ok || e.ID != id || id == r.ID {
				t.Errorf("rule %q comes after %q", r.ID, id)
			}
		}
	}
}

// owners are the sides that can mend a fault of theirs.
var owners = map[diag.Ownership][]string{
	diag.External:    {"network"},
	diag.LocalConfig: {"local", "both", "initiator", "responder"},
	diag.PeerConfig:  {"remote", "both", "initiator", "responder"},
	diag.Host:        {"local", "both", "responder"},
	diag.Credential:  {"local", "remote", "both", "initiator", "responder"},
	diag.Software:    {"local", "remote", "both", "initiator", "responder"},
}

// TestEveryRuleSaysHowSureItIsWhyWhoseFaultItIsAndWhatToChangeOnThatSide holds
// of every rule's fault what an operator has to be told.
func TestEveryRuleSaysHowSureItIsWhyWhoseFaultItIsAndWhatToChangeOnThatSide(t *testing.T) {
	for _, r := range rule.All() {
		for _, gap := range gaps(r.ID) {
			t.Errorf("%s: %s", r.ID, gap)
		}
	}
	for _, id := range []string{"no-such-fault", ""} {
		if len(gaps(id)) == 0 {
			t.Errorf("nothing is missing of %q", id)
		}
	}
}

// gaps lists what the catalogue does not say of a fault.
func gaps(id string) []string {
	e, ok := diag.Lookup(id)
	var missing []string
	if !ok {
		missing = append(missing, "it is not in the catalogue")
	}
	sure := e.Sure()
	switch {
	case sure.Confidence.String() == "" || sure.Why == "":
		missing = append(missing, "it does not say how sure it is, and why")
	case sure.Confidence != diag.Certain && sure.Surer == "":
		missing = append(missing, "it is not certain, and does not say what would make it surer")
	}
	sides := owners[e.Ownership]
	if len(sides) == 0 {
		missing = append(missing, "it does not say whose fault it is")
	}
	if !slices.ContainsFunc(e.Remedies, func(r diag.Remedy) bool { return slices.Contains(sides, r.Side) }) {
		missing = append(missing, fmt.Sprintf("it is a matter of %s, and nothing is to be changed there: %+v", e.Ownership, e.Remedies))
	}
	return missing
}

// weakNames are algorithms that no advice may spread.
var weakNames = regexp.MustCompile(`\b(3des|des|md5|sha1|modp(768|1024|1536)|group ?(1|2|5))\b`)

func TestNoRemedyAdvisesWeakAlgorithms(t *testing.T) {
	for _, e := range diag.All() {
		for _, r := range e.Remedies {
			if m := weakNames.FindString(strings.ToLower(r.Change)); m != "" && !strings.HasPrefix(r.Change, "update-crypto-policies") {
				t.Errorf("%s advises %q in %q", e.ID, m, r.Change)
			}
		}
	}
}

func TestNamesListsIDsAndAliasesInOrder(t *testing.T) {
	names := diag.Names()
	if !slices.IsSorted(names) || !slices.Contains(names, "clock-skew") || !slices.Contains(names, "dpd-timeout") {
		t.Errorf("%d names, sorted %v", len(names), slices.IsSorted(names))
	}
}
