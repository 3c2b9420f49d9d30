package cli

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestFindingsStandInStatusAndListSAsAndDecideTheExitCodeOnRequest uses the
// daemon of the fakes, one child of which sends and gets nothing back.
func TestFindingsStandInStatusAndListSAsAndDecideTheExitCodeOnRequest(t *testing.T) {
	f := office(t, nil)
	for _, command := range []string{"status", "list-sas"} {
		for _, form := range []string{"table", "wide", "json"} {
			for limit, want := range map[string]int{"": exitFine, "critical": exitFine, "high": exitFindings, "low": exitFindings} {
				args := []string{command, "-o", form}
				if limit != "" {
					args = append(args, "--fail-on", limit)
				}
				code, out, errs := f.run(t, args...)
				if code != want {
					t.Errorf("%s: exit code %d, want %d: %s", strings.Join(args, " "), code, want, errs)
				}
				if !strings.Contains(out, "esp-one-way-out") {
					t.Errorf("%s does not name the finding:\n%s", strings.Join(args, " "), out)
				}
			}
		}
	}
	_, out, _ := f.run(t, "list-sas", "-o", "json")
	holds(t, "sas", "", "json", out)
	var d struct {
		Findings []struct{ ID, Severity, Connection string }
	}
	if err := json.Unmarshal([]byte(out), &d); err != nil || len(d.Findings) != 1 || d.Findings[0].Severity != "high" || d.Findings[0].Connection != "branch" {
		t.Errorf("%v: %+v", err, d)
	}
	if code, out, _ := f.run(t, "list-sas", "--ike", "depot", "-o", "json", "--fail-on", "low"); code != exitFine || strings.Contains(out, "esp-one-way-out") {
		t.Errorf("another connection: exit code %d\n%s", code, out)
	}
}
