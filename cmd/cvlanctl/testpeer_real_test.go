package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
)

// remedy is a change that a finding advises.
type remedy struct{ Side, Platform, Change string }

// tested is the document of a test, as far as it matters here.
type tested struct {
	Status string
	Steps  []struct {
		Step, Status, Detail string
		Findings             []struct{ ID, Ownership string }
		Tries                []struct {
			Kind, Change, Answer string
			Accepted             bool
		}
	}
	Findings []struct {
		ID, Summary string
		Remedies    []remedy
	}
	ESP struct {
		Worst      string
		Transforms []struct {
			Keyword, Suite, Grade string
			Accepted              bool
		}
	}
}

// testPeer runs the program's test of the bench's peer.
func testPeer(t *testing.T, b *lab.Bench, binary string, args ...string) (tested, int, time.Duration) {
	t.Helper()
	return testPeerIn(t, b.NSA.Name, binary, args...)
}

// testPeerIn runs the program's test within a namespace.
func testPeerIn(t *testing.T, namespace, binary string, args ...string) (tested, int, time.Duration) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "ip", append([]string{"netns", "exec", namespace, binary, "ipsec", "test-peer", "-o", "json"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	var d tested
	if err := json.Unmarshal(out.Bytes(), &d); err != nil {
		t.Fatalf("%v: exit code %d\n%s%s", err, code, out.String(), errs.String())
	}
	if t.Failed() || testing.Verbose() {
		for _, s := range d.Steps {
			t.Logf("%s  %-26s %s %v %v", s.Status, s.Step, s.Detail, s.Findings, s.Tries)
		}
	}
	return d, code, took
}

// TestATestOfAPeerNamesTheStepThatFailsAndWhy tests a strongSwan that is
// healthy, and then broken in one place after another.
func TestATestOfAPeerNamesTheStepThatFailsAndWhy(t *testing.T) {
	b := bench(t)
	binary, file := program(t), policy(t, b, "none")

	d, code, took := testPeer(t, b, binary, "net", "--config", file)
	t.Logf("a healthy peer takes %s", took)
	if code != 0 {
		t.Errorf("a healthy peer: exit code %d", code)
	}
	for _, s := range d.Steps {
		if s.Status != "pass" && s.Step != "host settings" {
			t.Errorf("a healthy peer: %s: %s: %s %v", s.Step, s.Status, s.Detail, s.Findings)
		}
	}
	if err := lab.Eventually(t.Context(), time.Minute, "nothing to be left at the peer", func() bool {
		text, err := b.B.Swanctl(t.Context(), "--list-sas")
		return err == nil && strings.TrimSpace(text) == ""
	}); err != nil {
		t.Error(err)
	}

	changed := func(from, to string) func(*testing.T) []string {
		return func(t *testing.T) []string {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(text), from) {
				t.Fatalf("the policy has no %q", from)
			}
			path := filepath.Join(filepath.Dir(file), "changed.yaml")
			if err := os.WriteFile(path, []byte(strings.Replace(string(text), from, to, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			return []string{"net", "--config", path}
		}
	}
	filter := func(rule string) func(*testing.T) []string {
		return func(t *testing.T) []string {
			if err := b.NSB.NFT(t.Context(), "table inet away { chain in { type filter hook input priority 0; "+rule+"; }; }"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if _, err := b.NSB.Exec(context.WithoutCancel(t.Context()), "nft", "delete", "table", "inet", "away"); err != nil {
					t.Error(err)
				}
			})
			return []string{"net", "--config", file}
		}
	}
	for _, x := range []struct {
		name  string
		spoil func(*testing.T) []string
		step  string
		id    string
		wait  string // shorter where many questions stay without an answer
	}{
		{"a wrong preshared key", changed("psk: {file: psk}", "psk: {file: other}"), "authentication", "auth-failed-opaque", "1s"},
		{"no common proposal", changed("auth: psk,", "auth: psk, ike: {proposals: aes128-sha256-modp3072},"), "proposal", "no-proposal-ike", "1s"},
		{"no common selectors", changed("remote: "+b.InnerB+"/32", "remote: 10.77.0.0/24"), "child SA and selectors", "ts-unacceptable", "1s"},
		{"no common ESP proposal", changed("proposals: aes256gcm16", "proposals: aes128-sha256"), "child SA and selectors", "no-proposal-child-initial", "1s"},
		{"port 4500 blocked at the peer", filter("udp dport 4500 drop"), "UDP 4500", "udp4500-blocked", "1s"},
		{"both ports blocked at the peer", filter("udp dport {500, 4500} drop"), "UDP 500", "no-response-to-sa-init", "100ms"},
		{"large packets lost", filter("udp length > 1000 drop"), "path MTU and fragments", "ike-auth-ip-fragment-loss", "250ms"},
		{"full packets lost within the tunnel", filter("udp length > 1400 drop"), "traffic through the tunnel", "mtu-pmtu-blackhole", "250ms"},
	} {
		t.Run(x.name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(filepath.Dir(file), "other"), []byte("another key of the lab\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			d, code, _ := testPeer(t, b, binary, append(x.spoil(t), "--wait", x.wait)...)
			if code == 0 {
				t.Error("exit code 0")
			}
			for _, s := range d.Steps {
				if s.Step != x.step {
					continue
				}
				if s.Status != "fail" && s.Status != "warn" {
					t.Errorf("%s: %s: %s", s.Step, s.Status, s.Detail)
				}
				for _, f := range s.Findings {
					if f.ID == x.id {
						return
					}
				}
				t.Errorf("%s has %v and not %s", s.Step, s.Findings, x.id)
			}
		})
	}
}

// TestATestOfAPeerGradesExactlyTheESPThatIsConfiguredThere asks a strongSwan for
// one ESP algorithm after another.
func TestATestOfAPeerGradesExactlyTheESPThatIsConfiguredThere(t *testing.T) {
	b := benchOf(t, func(e *lab.End) { e.ESP = "aes256gcm16-chacha20poly1305,aes256-aes128-sha256-sha1" })
	d, code, _ := testPeer(t, b, program(t), "net", "--config", policy(t, b, "none"), "--grade", "rfc")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	want := map[string]string{"aes256gcm16": "good", "chacha20poly1305": "good", "aes256": "good", "aes128": "good", "sha256": "good", "sha1": "weak"}
	for _, x := range d.ESP.Transforms {
		grade, configured := want[x.Keyword]
		if x.Accepted != configured || configured && x.Grade != grade || x.Accepted && !strings.Contains(x.Suite, x.Keyword) {
			t.Errorf("%s: accepted %t as %s, graded %s", x.Keyword, x.Accepted, x.Suite, x.Grade)
		}
		delete(want, x.Keyword)
	}
	if len(want) > 0 || d.ESP.Worst != "weak" || len(d.ESP.Transforms) > 40 {
		t.Errorf("not asked for: %v; worst %q of %d", want, d.ESP.Worst, len(d.ESP.Transforms))
	}
	if text, err := b.B.Swanctl(t.Context(), "--list-sas"); err != nil || strings.TrimSpace(text) != "" {
		t.Errorf("left at the peer (%v): %s", err, text)
	}
}
