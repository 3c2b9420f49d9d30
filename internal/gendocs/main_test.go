package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommittedPagesAreWhatTheProgramWrites(t *testing.T) {
	if err := run("../../docs", true); err != nil {
		t.Fatal(err)
	}
}

func TestStalePagesAreFoundAndRewritten(t *testing.T) {
	dir := t.TempDir()
	if err := run(dir, true); err == nil {
		t.Fatal("an empty folder passes as fresh")
	}
	if err := run(dir, false); err != nil {
		t.Fatal(err)
	}
	if err := run(dir, true); err != nil {
		t.Fatalf("just written, and not fresh: %v", err)
	}
	gone := filepath.Join(dir, "commands", "cvlanctl_gone.md")
	if err := os.WriteFile(gone, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(dir, true); err == nil || !strings.Contains(err.Error(), "cvlanctl_gone.md") {
		t.Fatalf("the page of a command that is gone is not named: %v", err)
	}
	if err := run(dir, false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(gone); err == nil {
		t.Fatal("the page of a command that is gone is still there")
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	pages, err := generate("../../docs")
	if err != nil {
		t.Fatal(err)
	}
	for name, page := range pages {
		if strings.HasPrefix(name, "commands/") && !bytes.Contains(page, []byte("### Examples")) {
			t.Errorf("%s has no example", name)
		}
	}
}
