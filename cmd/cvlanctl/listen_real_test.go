package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
)

// calling is a strongSwan that calls our engine.
func calling(t *testing.T) *lab.Bench {
	t.Helper()
	return lay(t, lab.Scenario{Name: "calling", Ends: func(a, b *lab.End) error {
		b.Absent = true
		a.ESP = "aes256gcm16"
		return nil
	}})
}

// TestAPeerThatCallsIsToldWhatIsWrongWithWhatItSends has a real strongSwan call
// with one thing set wrong after another.
func TestAPeerThatCallsIsToldWhatIsWrongWithWhatItSends(t *testing.T) {
	b := calling(t)
	binary := program(t)
	dir, err := os.MkdirTemp("", "cvl-listen-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // a temporary folder
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var table []string
	const key = "lab only: never use this"
	file := write("site.yaml", `version: 1
node: {identity: responder.lab, addresses: `+b.OuterB+`}
peers:
  gw: {addresses: `+b.OuterA+`, identity: initiator.lab, auth: psk, psk: {file: psk}}
  branch: {addresses: 198.51.100.9, identity: branch.lab, auth: psk, psk: {file: other}}
tunnels:
  net: {peer: gw, local: `+b.InnerB+`/32, remote: `+b.InnerA+`/32, start: none, esp: {proposals: aes256gcm16}}
`)
	write("other", "the key of the branch\n")
	secret := func(s string) func(*lab.End) {
		return func(e *lab.End) {
			e.Secrets = []string{"ike-lab {\nsecret = 0x" + hex.EncodeToString([]byte(s)) + "\n}"}
		}
	}
	for _, x := range []struct {
		name   string
		ours   string // our key, where it is another one
		change func(*lab.End)
		step   string // that fails; "" for none
		id     string
		says   string // in the step's words
	}{
		{"nothing wrong", key, func(*lab.End) {}, "", "", ""},
		{"a key with a line feed", key, secret(key + "\n"), "authentication", "psk-mismatch", "with a line feed (LF) after it"},
		{"a key with a line end of Windows", key, secret(key + "\r\n"), "authentication", "psk-mismatch", "CR LF"},
		{"a key in quotes", key, secret(`"` + key + `"`), "authentication", "psk-mismatch", "in double quotes"},
		{"a key with a blank", key, secret(key + " "), "authentication", "psk-mismatch", "with a blank after it"},
		{"a key that strongSwan reads as hexadecimal", "0xc0ffee00c0ffee00", func(e *lab.End) { e.Secrets = []string{"ike-lab {\nsecret = 0xc0ffee00c0ffee00\n}"} }, "authentication", "psk-mismatch", "hexadecimal"},
		{"a key that strongSwan reads as base64", "0swP/uAMD/7gA=", func(e *lab.End) { e.Secrets = []string{"ike-lab {\nsecret = 0swP/uAMD/7gA=\n}"} }, "authentication", "psk-mismatch", "read as base64"},
		{"a key in Latin-1", "schlüssel", secret("schl\xfcssel"), "authentication", "psk-mismatch", "Latin-1"},
		{"a key in UTF-16", key, secret(strings.Join(strings.Split(key, ""), "\x00") + "\x00"), "authentication", "psk-mismatch", "UTF-16, little endian"},
		{"a key with a byte order mark", key, secret("\ufeff" + key), "authentication", "psk-mismatch", "byte order mark"},
		{"a key in capitals", key, secret(strings.ToUpper(key)), "authentication", "psk-mismatch", "in capitals"},
		{"the key of another connection", key, secret("the key of the branch"), "authentication", "psk-mismatch", "of connection branch"},
		{"quite another key", key, secret("correct horse"), "authentication", "psk-mismatch", "different pre-shared keys"},
		{"another cipher", key, func(e *lab.End) { e.Proposals = "aes128-sha256-ecp256" }, "proposal", "no-proposal-ike", "ENCR differs: "},
		{"an identity of another type", key, func(e *lab.End) { e.Local.ID = "keyid:initiator.lab" }, "identities", "id-type-mismatch", "initiator.lab"},
		{"another identity", key, func(e *lab.End) { e.Local.ID = "stranger.lab" }, "identities", "responder-no-peer-config", "IDi is stranger.lab there, and initiator.lab is wanted here"},
		{"another identity asked for", key, func(e *lab.End) { e.Remote.ID = "other.lab" }, "identities", "responder-no-peer-config", "other.lab"},
		{"other selectors", key, func(e *lab.End) { e.RemoteTS = "10.99.0.0/24" }, "child SA and selectors", "ts-unacceptable", "10.99.0.0/24"},
		{"another ESP cipher", key, func(e *lab.End) { e.ESP = "aes128-sha256" }, "child SA and selectors", "no-proposal-child-initial", "ENCR differs: "},
	} {
		t.Run(x.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			write("psk", x.ours+"\n")
			end := b.EndA
			x.change(&end)
			if err := b.A.Load(ctx, end.SwanctlConf()); err != nil {
				t.Fatal(err)
			}
			judgeCall(t, called(ctx, t, b, binary, file), x.step, x.id, x.says)
			table = append(table, callRow(t, x.name, x.step, x.id))
		})
	}
	callTable(t, table)
}

// called has the peer call as soon as the program listens, and gives what the
// program says of it.
func called(ctx context.Context, t *testing.T, b *lab.Bench, binary, file string) *tested {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if _, err := b.NSB.Exec(ctx, "sh", "-c", "ss -Hlun 'sport = :500' | grep -q ."); err == nil {
				_, _ = b.A.Swanctl(ctx, "--initiate", "--child", "net") // most are refused
				return
			}
		}
	}()
	d, code, _ := testPeerIn(t, b.NSB.Name, binary, "gw", "--config", file, "--listen", "--call", "40s")
	cancel()
	<-done
	if (code == 0) != (d.Status == "pass") {
		t.Errorf("exit code %d of a test that says %s", code, d.Status)
	}
	return &d
}

// judgeCall holds that a step fails, and no other, with what it has to find and
// to say; "" for none.
func judgeCall(t *testing.T, d *tested, step, id, says string) {
	t.Helper()
	if step == "" {
		for _, s := range d.Steps {
			if s.Status != "pass" && s.Step != "host settings" {
				t.Errorf("%s: %s: %s %v", s.Step, s.Status, s.Detail, s.Findings)
			}
		}
		return
	}
	if id != "" && (len(d.Findings) == 0 || d.Findings[0].ID != id) {
		t.Errorf("findings %v, want %s first", d.Findings, id)
	}
	for _, s := range d.Steps {
		if s.Step != step {
			if s.Status == "fail" {
				t.Errorf("%s failed too: %s", s.Step, s.Detail)
			}
			continue
		}
		if s.Status != "fail" || !strings.Contains(s.Detail, says) {
			t.Errorf("%s: %s: %s, want %q", s.Step, s.Status, s.Detail, says)
		}
		if id != "" && (len(s.Findings) == 0 || s.Findings[0].ID != id) {
			t.Errorf("%s has %v and not %s", s.Step, s.Findings, id)
		}
	}
}

// callRows are those of the tests of calls, which run one after the other.
var callRows []string

func callRow(t *testing.T, sent, step, id string) string {
	if step == "" {
		return fmt.Sprintf("| %s | none | | %s |\n", sent, right(t))
	}
	if id == "" {
		return fmt.Sprintf("| %s | %s | none | %s |\n", sent, step, right(t))
	}
	return fmt.Sprintf("| %s | %s | `%s` | %s |\n", sent, step, id, right(t))
}

// callTable adds rows to the table of peers that call.
func callTable(t *testing.T, rows []string) {
	callRows = append(callRows, rows...)
	section(t, "A peer that calls", "| what the peer sends | step that has to fail | finding | right |\n|---|---|---|---|\n"+strings.Join(callRows, ""))
}
