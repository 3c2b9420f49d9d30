package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/cloudvlan/cvlanctl/lab"
)

const policyExamples = "../../../engine/policy/testdata/"

// TestPolicyDocumentsMeetTheirSchemas proves it of check and show, on every
// example and every faulty policy.
func TestPolicyDocumentsMeetTheirSchemas(t *testing.T) {
	document, line, file := schema(t, "policy-check", ""), schema(t, "policy-check", "finding"), schema(t, "policy", "")
	for folder, want := range map[string]int{"examples": exitFine, "lint": exitFailed} {
		paths, err := filepath.Glob(policyExamples + folder + "/*.yaml")
		if err != nil || len(paths) == 0 {
			t.Fatalf("no policies in %s: %v", folder, err)
		}
		for _, path := range paths {
			code, out, errs := run(t, "", nil, "policy", "check", "--no-files", "-o", "json", path)
			if code != want {
				t.Errorf("%s: exit code %d, want %d: %s", path, code, want, errs)
			}
			if err := validate(document, []byte(out)); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			_, lines, _ := run(t, "", nil, "policy", "check", "--no-files", "-o", "jsonl", path)
			for l := range bytes.Lines([]byte(lines)) {
				if err := validate(line, l); err != nil {
					t.Errorf("%s: %v", path, err)
				}
			}
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "site.yaml")
	text := "version: 1\nnode: {identity: a}\npeers: {hub: {addresses: 192.0.2.2, identity: b, auth: psk, psk: {env: X}}}\ntunnels: {t: {peer: hub}}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := validate(file, succeed(t, "policy", "show", "-o", "json", path)); err != nil {
		t.Errorf("policy show: %v", err)
	}
	shown, err := yaml.YAMLToJSON(succeed(t, "policy", "show", path))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(file, shown); err != nil {
		t.Errorf("policy show as YAML: %v", err)
	}
}

// strongSwan starts one daemon and gives its socket.
func strongSwan(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	lab.Need(t)
	b := lab.BenchFor(ctx, t, lab.Scenario{Name: "load", Ends: func(a, _ *lab.End) error {
		a.Absent = true
		return nil
	}})
	return b.B.Socket()
}

// TestPolicyLoadChangesWhatDiffers loads a policy into a strongSwan: planned,
// done, done again, changed, emptied.
func TestPolicyLoadChangesWhatDiffers(t *testing.T) {
	socket := strongSwan(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "site.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("CVLAN_TEST_PSK", "lab only password")
	env := map[string]string{"XDG_STATE_HOME": filepath.Join(dir, "state")}
	document, line := schema(t, "policy-plan", ""), schema(t, "policy-plan", "step")
	load := func(wantChanges int, args ...string) string {
		t.Helper()
		args = append([]string{"policy", "load", path, "--source", "vici:" + socket, "-o", "json"}, args...)
		code, out, errs := run(t, "", env, args...)
		if code != exitFine {
			t.Fatalf("exit code %d: %s", code, errs)
		}
		if err := validate(document, []byte(out)); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		var d struct{ Changes int }
		if err := json.Unmarshal([]byte(out), &d); err != nil {
			t.Fatal(err)
		}
		if d.Changes != wantChanges {
			t.Errorf("%d changes, want %d:\n%s", d.Changes, wantChanges, out)
		}
		if strings.Contains(out+errs, "lab only password") {
			t.Error("the secret is printed")
		}
		return out
	}
	const site = `version: 1
node: {identity: a.example.org}
peers:
  hub: {addresses: 192.0.2.2, identity: b.example.org, auth: psk, psk: {env: CVLAN_TEST_PSK}}
  spoke: {addresses: 192.0.2.3, identity: c.example.org, auth: psk, psk: {env: CVLAN_TEST_PSK}}
tunnels:
  one: {peer: hub, local: 10.1.0.0/16, remote: 10.2.0.0/16}
  two: {peer: spoke, local: 10.1.0.0/16, remote: 10.3.0.0/16}
`
	write(site)
	load(4, "--dry-run")
	load(4)
	load(0)
	write(strings.Replace(site, "10.2.0.0/16", "10.4.0.0/16", 1))
	if out := load(1); !strings.Contains(out, `"changed in the policy"`) {
		t.Error(out)
	}
	write("version: 1\nnode: {}\npeers: {}\n")
	_, lines, _ := run(t, "", env, "policy", "load", path, "--source", "vici:"+socket, "--dry-run", "-o", "jsonl")
	n := 0
	for l := range bytes.Lines([]byte(lines)) {
		n++
		if err := validate(line, l); err != nil {
			t.Errorf("%v\n%s", err, l)
		}
	}
	if n != 4 {
		t.Errorf("%d lines, want 4:\n%s", n, lines)
	}
	_, text, _ := run(t, "", env, "policy", "load", path, "--source", "vici:"+socket, "--dry-run")
	golden(t, "policy-load.txt", strings.ReplaceAll(text, socket, "/run/charon.vici"))
	load(4)
	load(0)
	state, err := filepath.Glob(filepath.Join(dir, "state", "cvlanctl", "policy-*.json"))
	if err != nil || len(state) != 1 {
		t.Fatalf("files of state: %v, %v", state, err)
	}
	info, err := os.Stat(state[0])
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the state has mode %o", info.Mode().Perm())
	}
}
