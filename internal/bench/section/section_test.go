package section

import "testing"

func TestOneSectionIsReplacedAndTheOthersStay(t *testing.T) {
	page := "# Performance\n\n## Decoding\n\nold\n\nlines\n\n## The engine\n\nfast\n"
	rows := []struct{ name, heading, want string }{
		{"first", "Decoding", "# Performance\n\n## Decoding\n\nnew\n\n## The engine\n\nfast\n"},
		{"last", "The engine", "# Performance\n\n## Decoding\n\nold\n\nlines\n\n## The engine\n\nnew\n"},
		{"added", "The screen", page + "\n## The screen\n\nnew\n"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if got := Replace(page, r.heading, "\nnew\n\n"); got != r.want {
				t.Errorf("have %q, want %q", got, r.want)
			}
			if once, twice := Replace(page, r.heading, "new"), Replace(Replace(page, r.heading, "new"), r.heading, "new"); once != twice {
				t.Errorf("written twice: %q, once: %q", twice, once)
			}
		})
	}
}
