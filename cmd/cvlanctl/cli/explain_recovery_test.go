package cli

import (
	"testing"
)

func TestExplainShowsTheRecoveryTable(t *testing.T) {
	code, out, errs := run(t, "", nil, "explain", "recovery")
	if code != exitFine || errs != "" {
		t.Errorf("exit code %d: %s", code, errs)
	}
	golden(t, "explain/recovery.txt", out)
	for _, output := range []string{"json", "jsonl"} {
		_, out, _ := run(t, "", nil, "explain", "recovery", "-o", output)
		holds(t, "recovery", "row", output, out)
	}
	if code, _, _ := run(t, "", nil, "explain", "no-proposal-ike"); code != exitFine {
		t.Errorf("a diagnosis: exit code %d", code)
	}
}
