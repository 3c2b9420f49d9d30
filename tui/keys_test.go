package tui_test

import (
	"os"
	"testing"

	"github.com/cloudvlan/cvlanctl/tui"
)

func TestKeyReferenceIsFresh(t *testing.T) {
	const file = "../docs/keys.md"
	got := tui.KeysMarkdown()
	if *update {
		if err := os.MkdirAll("../docs", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s is not what the keys make; run go test ./tui -run TestKeyReferenceIsFresh -update", file)
	}
}

func TestNoKeyMeansTwoThingsAtOnce(t *testing.T) {
	for _, g := range tui.Keys() {
		seen := map[string]string{}
		for _, b := range g.Bindings {
			for _, k := range b.Keys {
				if other, ok := seen[k]; ok {
					t.Errorf("%s: %q means %q and %q", g.Title, k, other, b.Does)
				}
				seen[k] = b.Does
			}
		}
	}
}
