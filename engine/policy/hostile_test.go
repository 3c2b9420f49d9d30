package policy

import (
	"strings"
	"testing"
)

// TestShapesThatCostMoreThanTheirSizeAreRefused holds the bounds in front of
// the YAML library: each of these would keep it busy for minutes.
func TestShapesThatCostMoreThanTheirSizeAreRefused(t *testing.T) {
	const octets = MaxSize - 64
	for name, c := range map[string]struct{ begin, again, code string }{
		"lines within a text":  {"a: |\n  ", "\n", "not-taken"},
		"keys without a value": {"", "a:\n", "too-large"},
		"keys":                 {"", "a: b\n", "too-large"},
		"items":                {"", "- a\n", "too-large"},
		"words in braces":      {"a: {", "a,", "too-large"},
		"words in brackets":    {"a: [", "a,", "too-large"},
		"brackets":             {"a: ", "[", "too-deep"},
		"braces":               {"a: ", "{", "too-deep"},
		"dashes":               {"", "- ", "too-deep"},
		"keys of keys":         {"", "a: ", "too-deep"},
		"anchors":              {"a: ", "&a ", "not-taken"},
		"lines":                {"", "# x\n", "too-large"},
	} {
		t.Run(name, func(t *testing.T) {
			data := c.begin + strings.Repeat(c.again, (octets-len(c.begin))/len(c.again))
			p, findings := Parse(t.Context(), "hostile", []byte(data), elsewhere)
			if p != nil || len(findings) != 1 || findings[0].Code != c.code {
				t.Errorf("findings: %.3v", findings)
			}
		})
	}
	_, findings := Parse(t.Context(), "hostile", make([]byte, MaxSize+1), elsewhere)
	if len(findings) != 1 || findings[0].Code != "too-large" {
		t.Errorf("a file beyond the limit: %v", findings)
	}
}

// TestManyFindingsAreCounted proves that a file cannot make us say more than a
// person reads.
func TestManyFindingsAreCounted(t *testing.T) {
	var b strings.Builder
	b.WriteString("version: 1\nnode: {}\npeers:\n")
	for i := range 300 {
		b.WriteString("  p" + strings.Repeat("x", i%50) + ": 1\n")
	}
	_, findings := Parse(t.Context(), "many", []byte(b.String()), elsewhere)
	if len(findings) != maxFindings+1 || findings[maxFindings].Code != "too-many-findings" || !strings.Contains(findings[maxFindings].Message, "100 more") {
		t.Errorf("%d findings, the last: %v", len(findings), findings[len(findings)-1])
	}
}
