package main

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/lab"
)

// TestTheLadderNamesWhyAPeerRefusesWithoutAReason has a real strongSwan refuse
// us for one reason after another, of which it tells none.
func TestTheLadderNamesWhyAPeerRefusesWithoutAReason(t *testing.T) {
	b := bench(t)
	binary, file := program(t), policy(t, b, "none")
	var table []string
	const key = "lab only: never use this"
	secret := func(s string) func(*lab.End) {
		return func(e *lab.End) {
			e.Secrets = []string{"ike-lab {\nsecret = 0x" + hex.EncodeToString([]byte(s)) + "\n}"}
		}
	}
	for _, x := range []struct {
		name   string
		ours   string
		change func(*lab.End)
		id     string
		says   string // of the try that is accepted
	}{
		{"a key with a line feed", key, secret(key + "\n"), "psk-mismatch", "with a line feed (LF) after it"},
		{"a key in quotes", key, secret(`"` + key + `"`), "psk-mismatch", "in double quotes"},
		{"a key that strongSwan reads as hexadecimal", "0xc0ffee00c0ffee00", func(e *lab.End) { e.Secrets = []string{"ike-lab {\nsecret = 0xc0ffee00c0ffee00\n}"} }, "psk-mismatch", "hexadecimal"},
		{"an identity of another type", key, func(e *lab.End) { e.Remote.ID = "keyid:initiator.lab" }, "id-type-mismatch", "initiator.lab as ID_KEY_ID"},
		{"our address as identity", key, func(e *lab.End) { e.Remote.ID = b.OuterA }, "responder-no-peer-config", b.OuterA + " as ID_IPV4_ADDR"},
		{"another identity of the peer", key, func(e *lab.End) { e.Local.ID = "other.lab" }, "idr-mismatch", "without asking for the peer's identity"},
		{"quite another key", key, secret("correct horse"), "auth-failed-opaque", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			defer func() { table = append(table, ladderRow(t, x.name, x.says, x.id)) }()
			if err := os.WriteFile(filepath.Join(filepath.Dir(file), "psk"), []byte(x.ours+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			end := b.EndB
			x.change(&end)
			if err := b.B.Load(t.Context(), end.SwanctlConf()); err != nil {
				t.Fatal(err)
			}
			d, code, _ := testPeer(t, b, binary, "net", "--config", file, "--ladder", "--pace", "50ms")
			if code == 0 || len(d.Findings) == 0 || d.Findings[0].ID != x.id {
				t.Errorf("exit code %d, findings %v, want %s first", code, d.Findings, x.id)
			}
			for _, s := range d.Steps {
				if s.Step != "authentication" {
					continue
				}
				n := len(s.Tries)
				if s.Status != "fail" || n == 0 || n > 12 {
					t.Fatalf("%s: %s, %d tries", s.Status, s.Detail, n)
				}
				for i, try := range s.Tries {
					if last := i == n-1; try.Accepted != (last && x.says != "") {
						t.Errorf("try %d of %d: %+v", i+1, n, try)
					}
				}
				if !strings.Contains(s.Tries[n-1].Change, x.says) {
					t.Errorf("accepted is %s, want %q", s.Tries[n-1].Change, x.says)
				}
			}
			if text, err := b.B.Swanctl(t.Context(), "--list-sas"); err != nil || strings.TrimSpace(text) != "" {
				t.Errorf("left at the peer (%v): %s", err, text)
			}
		})
	}
	ladderTable(t, table)
}
