package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheDemoRunsForAnOrdinaryUserInAnEmptyFolder runs this test binary, which
// is the program under its name, as a user who owns nothing.
func TestTheDemoRunsForAnOrdinaryUserInAnEmptyFolder(t *testing.T) {
	dir, err := os.MkdirTemp("", "cvl-demo-") // readable for other users, unlike a test's own
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // a temporary folder
	binary, empty := filepath.Join(dir, "cvlanctl"), filepath.Join(dir, "empty")
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	copyProgram(t, binary)
	argv := []string{binary, "demo", "--headless", "-o", "jsonl"}
	if os.Geteuid() == 0 {
		argv = append([]string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}, argv...)
	}
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = empty, []string{"PATH=" + os.Getenv("PATH")}
	out, errs, err := untilTold(cmd, func(out string) bool {
		return strings.Contains(out, `"kind":"ike-up"`) && strings.Count(out, `"kind":"child-up"`) > 1 && strings.Contains(out, `"kind":"child-rekey"`)
	})
	if err == nil || exitStatus(err) != "130" {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	kinds := map[string]int{}
	for line := range strings.Lines(out) {
		var e struct{ Kind string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		kinds[e.Kind]++
	}
	if kinds["ike-up"] != 1 || kinds["child-up"] != 2 {
		t.Errorf("events: %v", kinds)
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
		t.Errorf("left in its folder: %v, %v", left, err)
	}
}

// copyProgram copies this test binary.
func copyProgram(t *testing.T, to string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }() // read only: nothing can be lost
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(f, from); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
