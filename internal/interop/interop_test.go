package interop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fake is a test whose end is ours to decide.
type fake struct {
	cleanups        []func()
	failed, skipped bool
	errors          []string
}

func (f *fake) Helper()                        {}
func (f *fake) Cleanup(g func())               { f.cleanups = append(f.cleanups, g) }
func (f *fake) Failed() bool                   { return f.failed }
func (f *fake) Skipped() bool                  { return f.skipped }
func (f *fake) Errorf(format string, _ ...any) { f.errors = append(f.errors, format) }
func (f *fake) end() {
	for i := len(f.cleanups) - 1; i >= 0; i-- {
		f.cleanups[i]()
	}
}

func TestARowSaysHowItsTestEnded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "rows")
	t.Setenv(Folder, dir)
	parent := &fake{}
	rec := Open(parent, "Some Daemon", "1.0")
	for _, sub := range []struct {
		t       *fake
		feature string
	}{{&fake{}, "PRF: prfsha256"}, {&fake{failed: true}, "PRF: prfsha384"}, {&fake{skipped: true}, "PRF: prfsha512"}} {
		rec.Entry(sub.t, Initiator, sub.feature).Detail("seen %d", 1)
		sub.t.end()
	}
	rec.Lacks(Responder, "PRF: prfsha384", "not built in")
	parent.end()
	if len(parent.errors) > 0 {
		t.Fatal(parent.errors)
	}
	rows, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []Row{
		{"Some Daemon", "1.0", Initiator, "PRF: prfsha256", Works, "seen 1"},
		{"Some Daemon", "1.0", Initiator, "PRF: prfsha384", Fails, "seen 1"},
		{"Some Daemon", "1.0", Responder, "PRF: prfsha384", Lacks, "not built in"},
	}
	if len(rows) != len(want) {
		t.Fatalf("rows: %v", rows)
	}
	for i := range want {
		if rows[i] != want[i] {
			t.Errorf("row %d is %v, want %v", i, rows[i], want[i])
		}
	}
}

func TestANewRowTakesThePlaceOfTheOldOne(t *testing.T) {
	dir := t.TempDir()
	row := Row{Peer: "a", Version: "1", Role: Initiator, Feature: "path: IPv6", Outcome: Fails}
	other := Row{Peer: "b", Version: "1", Role: Initiator, Feature: "path: IPv6", Outcome: Works}
	if err := Merge(dir, []Row{row, other}); err != nil {
		t.Fatal(err)
	}
	row.Outcome, row.Version = Works, "2"
	if err := Merge(dir, []Row{row}); err != nil {
		t.Fatal(err)
	}
	rows, err := Read(dir)
	if err != nil || len(rows) != 2 || rows[0] != row || rows[1] != other {
		t.Errorf("rows %v, error %v", rows, err)
	}
}

func TestNothingIsWrittenInAnOrdinaryTest(t *testing.T) {
	t.Setenv(Folder, "")
	f := &fake{}
	Open(f, "a", "1")
	if len(f.cleanups) != 0 {
		t.Error("a recorder without a folder means to write")
	}
}

func TestADamagedFileOfRowsIsNamedWithItsLine(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.jsonl"), []byte("{\"peer\":\"a\"}\n{\"nobody\":1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("error %v, want one of line 2", err)
	}
}

func TestThePageHasATableForEachGroupInOrder(t *testing.T) {
	page := string(Page([]Row{
		{"z", "1", Initiator, "path: IPv6", Works, ""},
		{"z", "1", Responder, "key exchange: modp10240", Fails, "a|b"},
		{"z", "1", Initiator, "key exchange: modp2048", Works, "one"},
		{"z", "1", Responder, "key exchange: modp2048", Lacks, "two"},
	}))
	at := -1
	for _, want := range []string{"| z 1 | 4 | 2 | 1 | 1 |\n", "## z 1", "| key exchange | we initiate | we respond | detail |",
		"| modp2048 | works | peer lacks it | initiating: one; responding: two |", `| modp10240 | - | fails | a\|b |`, "| path |", "| IPv6 | works | - | - |"} {
		i := strings.Index(page, want)
		if i <= at {
			t.Errorf("%q is missing or out of order in\n%s", want, page)
		}
		at = i
	}
}
