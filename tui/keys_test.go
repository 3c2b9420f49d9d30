package tui_test

import (
	"testing"

	"github.com/cloudvlan/cvlanctl/tui"
)

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
