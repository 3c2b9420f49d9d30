package wire

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// treeText draws fields as an indented list with their spans.
func treeText(b *strings.Builder, fs []Field, depth int) {
	for _, f := range fs {
		fmt.Fprintf(b, "%4d %4d %s%s", f.Offset, f.Length, strings.Repeat("  ", depth), f.Name)
		if f.Value != "" {
			fmt.Fprintf(b, ": %s", f.Value)
		}
		b.WriteByte('\n')
		treeText(b, f.Children, depth+1)
	}
}

func TestTreesShowEveryPayloadInWordsWithItsSpan(t *testing.T) {
	for i, b := range seeds(t) {
		m, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		treeText(&got, m.Tree(), 0)
		file := filepath.Join("testdata", fmt.Sprintf("tree%d.golden", i))
		if *update {
			if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("%s differs; run with -update and read the change. Got:\n%s", file, got.String())
		}
	}
}

func TestTreesNeverShowSecrets(t *testing.T) {
	for _, p := range []Payload{
		{Type: PayloadEAP, Body: &EAP{Code: EAPResponse, Type: EAPGTC, HasType: true, Data: []byte("hunter2")}},
		{Type: PayloadCP, Body: &Config{Attributes: []ConfigAttribute{{Type: ConfigXauthUserPassword, Data: []byte("hunter2")}}}},
	} {
		b := AppendPayloads(nil, []Payload{p})
		ps, problems := ParsePayloads(p.Type, Version2, b)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		var got strings.Builder
		treeText(&got, []Field{ps[0].Tree()}, 0)
		if strings.Contains(got.String(), "hunter2") || strings.Contains(got.String(), "68756e74657232") ||
			!strings.Contains(got.String(), "[7 octets]") {
			t.Errorf("%s", got.String())
		}
	}
}
