package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// captures gives the recorded corpus, each with its key table where it has
// one.
func captures(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("../../../testdata/captures/*.pcap*")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("there is no recorded capture")
	}
	return all
}

func keysOf(capture string) []string {
	keys := strings.TrimSuffix(capture, filepath.Ext(capture)) + ".keys"
	if _, err := os.Stat(keys); err != nil {
		return nil
	}
	return []string{"--keys", keys}
}

// schema compiles docs/schema/<kind>.json, or the definition in it that a
// line of jsonl must meet.
func schema(t *testing.T, kind, definition string) *jsonschema.Schema {
	t.Helper()
	path := "../../../docs/schema/" + kind + ".json"
	if definition != "" {
		path += "#/$defs/" + definition
	}
	s, err := jsonschema.NewCompiler().Compile(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(s *jsonschema.Schema, doc []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return fmt.Errorf("no JSON: %w", err)
	}
	return s.Validate(v)
}

// TestEveryDocumentMeetsItsSchema runs every command on every recorded
// capture, with and without keys, in all forms for programs.
func TestEveryDocumentMeetsItsSchema(t *testing.T) {
	commands := []struct{ name, kind, item, list string }{
		{"decode", "decode", "frame", "frames"},
		{"exchanges", "exchanges", "exchange", "exchanges"},
		{"sas", "sas", "ike_sa", "ike_sas"},
		{"diagnose", "diagnosis", "finding", "findings"},
	}
	for _, c := range commands {
		t.Run(c.name, func(t *testing.T) {
			document, item := schema(t, c.kind, ""), schema(t, c.kind, c.item)
			for _, file := range captures(t) {
				for _, keys := range [][]string{nil, keysOf(file)} {
					args := append([]string{"pcap", c.name, file}, keys...)
					out := succeed(t, append(args, "-o", "json")...)
					if err := validate(document, out); err != nil {
						t.Fatalf("%s -o json: %v", strings.Join(args, " "), err)
					}
					lines := succeed(t, append(args, "-o", "jsonl")...)
					n := 0
					for line := range bytes.Lines(lines) {
						n++
						if err := validate(item, line); err != nil {
							t.Fatalf("%s -o jsonl, line %d: %v\n%s", strings.Join(args, " "), n, err, line)
						}
					}
					if want := items(t, out, c.list); n != want {
						t.Errorf("%s: %d lines of jsonl, %d items in the document", strings.Join(args, " "), n, want)
					}
				}
			}
		})
	}
}

// succeed runs a command that is expected to exit with 0, or with 3 for
// findings, and gives what it wrote.
func succeed(t *testing.T, args ...string) []byte {
	t.Helper()
	code, out, errs := run(t, "", nil, args...)
	if code != exitFine && code != exitFindings {
		t.Fatalf("%s: exit code %d: %s", strings.Join(args, " "), code, errs)
	}
	return []byte(out)
}

func items(t *testing.T, doc []byte, list string) int {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(doc, &m); err != nil {
		t.Fatal(err)
	}
	var all []json.RawMessage
	if err := json.Unmarshal(m[list], &all); err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestVersionAndCatalogueMeetTheirSchemas(t *testing.T) {
	for kind, args := range map[string][]string{"version": {"version"}, "catalogue": {"explain"}} {
		if err := validate(schema(t, kind, ""), succeed(t, append(args, "-o", "json")...)); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestYAMLIsTheSameDocument proves that -o yaml says what -o json says.
func TestYAMLIsTheSameDocument(t *testing.T) {
	file := "../../../testdata/captures/cookie.pcap"
	for _, command := range []string{"decode", "exchanges", "sas", "diagnose"} {
		var fromJSON, fromYAML any
		if err := json.Unmarshal(succeed(t, "pcap", command, file, "-o", "json"), &fromJSON); err != nil {
			t.Fatal(err)
		}
		text := succeed(t, "pcap", command, file, "-o", "yaml")
		asJSON, err := yaml.YAMLToJSON(text)
		if err != nil {
			t.Fatalf("%s: %v\n%s", command, err, text)
		}
		if err := json.Unmarshal(asJSON, &fromYAML); err != nil {
			t.Fatal(err)
		}
		a, b := fmt.Sprint(fromJSON), fmt.Sprint(fromYAML)
		if a != b {
			t.Errorf("%s: YAML differs from JSON:\n%s\n%s", command, b, a)
		}
	}
}

// TestSchemasAreStrict proves that a field nobody described is refused: a test
// of the test.
func TestSchemasAreStrict(t *testing.T) {
	s := schema(t, "version", "")
	if err := validate(s, []byte(`{"schema":"cvlanctl/version/v1","version":"1","go":"go1","os":"linux","arch":"amd64","fips":false,"more":1}`)); err == nil {
		t.Error("a further field passes")
	}
	if err := validate(s, []byte(`{"schema":"cvlanctl/version/v2","version":"1","go":"go1","os":"linux","arch":"amd64","fips":false}`)); err == nil {
		t.Error("another schema passes")
	}
}
