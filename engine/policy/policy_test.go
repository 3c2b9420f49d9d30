package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write the golden files, the schema and the reference anew")

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got); -update writes it anew:\n%s", path, diff)
	}
}

// files gives the policies of a folder of testdata by name.
func files(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatalf("there is no policy in testdata/%s", dir)
	}
	all := map[string][]byte{}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(path), ".yaml")] = b
	}
	return all
}

// elsewhere reads policies as if they stood in /etc/cvlan.
var elsewhere = Options{Dir: "/etc/cvlan", NoFiles: true}

func example(t *testing.T, name string, data []byte) *Policy {
	t.Helper()
	p, findings := Parse(t.Context(), name, data, elsewhere)
	for _, f := range findings {
		t.Error(f)
	}
	if p == nil {
		t.Fatal("no policy")
	}
	return p
}

func TestFindingsReadAsRecorded(t *testing.T) {
	for name, data := range files(t, "lint") {
		t.Run(name, func(t *testing.T) {
			p, findings := Parse(t.Context(), name+".yaml", data, elsewhere)
			if p != nil {
				t.Error("a policy with errors is given as usable")
			}
			var b strings.Builder
			for _, f := range findings {
				b.WriteString(f.Code + "\t" + f.String() + "\n")
			}
			golden(t, filepath.Join("testdata", "lint", name+".golden"), b.String())
		})
	}
}

func TestRenderedPoliciesReadAsRecorded(t *testing.T) {
	for name, data := range files(t, "examples") {
		t.Run(name, func(t *testing.T) {
			r, err := NewTree(example(t, name, data)).Swanctl(t.Context(), false)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", "render", name+".conf"), string(r.Conf))
		})
	}
}

// TestEffectivePolicyMeansTheSame proves that what is shown is a policy, says
// the same, and shows itself again.
func TestEffectivePolicyMeansTheSame(t *testing.T) {
	schema := compiled(t)
	for name, data := range files(t, "examples") {
		t.Run(name, func(t *testing.T) {
			p := example(t, name, data)
			shown, err := json.MarshalIndent(Effective(p), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if err := validate(schema, shown); err != nil {
				t.Errorf("does not meet the schema: %v", err)
			}
			text, err := yaml.JSONToYAML(shown)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", "render", name+".show.yaml"), string(text))
			again := example(t, name, text)
			if diff := cmp.Diff(conf(t, p), conf(t, again)); diff != "" {
				t.Errorf("means something else:\n%s", diff)
			}
			twice, err := json.MarshalIndent(Effective(again), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(shown), string(twice)); diff != "" {
				t.Errorf("shows itself differently:\n%s", diff)
			}
		})
	}
}

// conf gives the rendered connections of a policy sorted by line, because maps
// have no order of their own.
func conf(t *testing.T, p *Policy) []string {
	t.Helper()
	r, err := NewTree(p).Swanctl(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(r.Conf), "\n")
	slices.Sort(lines)
	return lines
}

const schemaPath = "../../docs/schema/policy.json"

func TestSchemaIsFresh(t *testing.T) {
	s, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, schemaPath, string(s))
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(schemaPath)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(s *jsonschema.Schema, doc []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

// TestSchemaAndStrictReadingAgree proves that every example meets the schema,
// and that what the reading refuses by form alone the schema refuses too.
func TestSchemaAndStrictReadingAgree(t *testing.T) {
	schema := compiled(t)
	for name, data := range files(t, "examples") {
		doc, err := yaml.YAMLToJSON(data)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(schema, doc); err != nil {
			t.Errorf("example %s: %v", name, err)
		}
	}
	byForm := []string{"wrong-type", "unknown-key", "unknown-value", "bad-name"}
	refused := 0
	for name, data := range files(t, "lint") {
		_, findings := Parse(t.Context(), name, data, elsewhere)
		form := slices.ContainsFunc(findings, func(f Finding) bool { return slices.Contains(byForm, f.Code) })
		doc, err := yaml.YAMLToJSON(data)
		if err != nil || !form {
			continue
		}
		refused++
		if validate(schema, doc) == nil {
			t.Errorf("%s meets the schema", name)
		}
	}
	if refused < 4 {
		t.Errorf("only %d cases were compared", refused)
	}
	// Each key by itself: a value of the wrong form is refused by both.
	for name, bad := range map[string]string{
		"mode": "defaults: {mode: tunel}", "start": "defaults: {start: 1}", "close": "defaults: {close: restart}", "nat": "defaults: {nat: yes}",
		"time": "defaults: {dpd: {interval: 30}}", "time words": "defaults: {dpd: {interval: soon}}",
		"retries": "defaults: {dpd: {retries: 99}}", "octets": "defaults: {esp: {octets: {rekey: 1XB}}}",
		"packets": "defaults: {esp: {packets: {rekey: -1}}}", "mobike": "defaults: {ike: {mobike: 1}}",
		"secret": "node: {key: text}", "secret of two": "node: {key: {env: A, file: b}}", "schema": "schema: other/v1",
		"path": "node: {certificate: 'a,b'}", "authority": "authorities: {x: {}}", "URI": "authorities: {x: {certificate: c, crl: ftp://x}}",
		"name": "authorities: {-x: {certificate: c}}", "pool": "pools: {x: {dns: 10.0.0.1}}",
	} {
		text := "version: 1\npeers: {}\n" + bad + "\n"
		if !strings.HasPrefix(bad, "node") {
			text += "node: {}\n"
		}
		if _, findings := Parse(t.Context(), name, []byte(text), elsewhere); !Failed(findings) {
			t.Errorf("%s: %s is read", name, bad)
		}
		doc, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if validate(schema, doc) == nil {
			t.Errorf("%s: %s meets the schema", name, bad)
		}
	}
}

// TestGuideNamesEveryKey proves that the table of keys in the guide is the one
// that the reading uses.
func TestGuideNamesEveryKey(t *testing.T) {
	const path, begin, end = "../../docs/policy.md", "<!-- keys: written by go test ./engine/policy -update -->\n", "<!-- end of keys -->\n"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the keys", path)
	}
	golden(t, path, before+begin+Reference()+end+after)
}

func FuzzParse(f *testing.F) {
	for _, dir := range []string{"examples", "lint"} {
		for _, data := range files(f, dir) {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, findings := Parse(context.Background(), "fuzz", data, elsewhere)
		if (p == nil) != Failed(findings) {
			t.Fatalf("policy given: %t, findings: %v", p != nil, findings)
		}
		if len(findings) > maxFindings+1 {
			t.Fatalf("%d findings", len(findings))
		}
		if p == nil {
			return
		}
		r, err := NewTree(p).Swanctl(context.Background(), false)
		if err != nil {
			t.Fatal(err)
		}
		if depth := braces(string(r.Conf)); depth != 0 {
			t.Fatalf("braces of the rendered file do not match:\n%s", r.Conf)
		}
		shown, err := json.Marshal(Effective(p))
		if err != nil {
			t.Fatal(err)
		}
		again, findings := Parse(context.Background(), "again", shown, elsewhere)
		if again == nil {
			t.Fatalf("the effective policy is refused: %v\n%s", findings, shown)
		}
	})
}

// braces counts what stays open outside of quotes and comments.
func braces(conf string) int {
	depth := 0
	for line := range strings.Lines(conf) {
		quoted := false
		for i := 0; i < len(line); i++ {
			switch c := line[i]; {
			case quoted && c == '\\':
				i++
			case c == '"':
				quoted = !quoted
			case quoted:
			case c == '#':
				i = len(line)
			case c == '{':
				depth++
			case c == '}':
				depth--
			}
		}
	}
	return depth
}
