package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
)

// varying are the parts of a diagnosis that differ from run to run.
var varying = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`vici:/\S+`), "vici:SOCKET:"},
	{regexp.MustCompile(`\b[0-9a-f]{16}\b`), "SPI"},
	{regexp.MustCompile(`\b[0-9a-f]{8}\b`), "ESP-SPI"},
	{regexp.MustCompile(`(?s)^(\S+: )\d+ IKE SAs? \(\d+ established\).*?\n\n`), "${1}SAs\n\n"},
}

// TestThreeFaultsOfARealDaemonReadAsTheirGoldensSay breaks a real strongSwan in
// three ways and holds what the operator of the responder reads: what is
// wrong, how that is known, what to type. The report and the bundle of the
// same fault tell no secret and, on request, no name.
func TestThreeFaultsOfARealDaemonReadAsTheirGoldensSay(t *testing.T) {
	r := peers(t)
	ctx := context.WithoutCancel(t.Context())
	load := func(f func(*lab.End)) {
		end := r.EndB
		if f != nil {
			f(&end)
		}
		if err := r.B.Load(ctx, end.SwanctlConf()); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { load(nil) })
	// Nothing is left of other tests, on either side.
	for _, d := range []*lab.Daemon{r.A, r.B} {
		if err := lab.Eventually(ctx, time.Minute, "no SA to be left", func() bool {
			_, _ = d.Swanctl(ctx, "--terminate", "--ike", "gw", "--force") // says so where there is none
			text, err := d.Swanctl(ctx, "--list-sas")
			return err == nil && strings.TrimSpace(text) == ""
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, id string
		change   func(*lab.End)
	}{
		{"wrong-psk", "psk-mismatch", func(e *lab.End) { e.Secrets = []string{"ike-lab {\nsecret = \"another one\"\n}"} }},
		{"no-proposal", "no-proposal-ike", func(e *lab.End) { e.Proposals = "aes128-sha256-modp2048" }},
		{"selectors", "ts-unacceptable", func(e *lab.End) { e.LocalTS, e.RemoteTS = "172.16.5.0/24", "172.16.6.0/24" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			load(c.change)
			before, err := os.ReadFile(r.B.LogPath())
			if err != nil {
				t.Fatal(err)
			}
			if code, _, _ := r.run(t, "up", "gw/net"); code != exitFailed {
				t.Fatalf("up: exit code %d", code)
			}
			log := filepath.Join(t.TempDir(), "charon.log")
			if err := lab.Eventually(ctx, time.Minute, "the responder's log", func() bool {
				b, err := os.ReadFile(r.B.LogPath())
				return err == nil && bytes.Contains(b[len(before):], []byte("sending packet")) && os.WriteFile(log, b[len(before):], 0o600) == nil
			}); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			args := []string{"ipsec", "--source", "vici:" + r.B.Socket(), "--daemon-log", log}
			diagnose := append(args, "diagnose", "--no-host", "--listen", "200ms")
			code, out, errs := run(t, "", nil, append(diagnose, "--report", filepath.Join(dir, "r.md"))...)
			if code != exitFindings {
				t.Fatalf("exit code %d: %s%s", code, out, errs)
			}
			for _, v := range varying {
				out = v.re.ReplaceAllString(out, v.with)
			}
			golden(t, "diagnose/"+c.name+".txt", out)

			code, out, _ = run(t, "", nil, append(diagnose, "-o", "json", "--fail-on", "critical", "--pseudonymise", "--report", filepath.Join(dir, "r.json"))...)
			holds(t, "diagnosis", "", "json", out)
			var d struct {
				Findings []struct{ ID, Severity string }
			}
			if err := json.Unmarshal([]byte(out), &d); err != nil || len(d.Findings) == 0 || d.Findings[0].ID != c.id {
				t.Fatalf("%v: %s", err, out)
			}
			if want := map[bool]int{true: exitFindings, false: exitFine}[d.Findings[0].Severity == "critical"]; code != want {
				t.Errorf("--fail-on critical with %s: exit code %d", d.Findings[0].Severity, code)
			}
			masked, err := os.ReadFile(filepath.Join(dir, "r.json"))
			if err != nil {
				t.Fatal(err)
			}
			holds(t, "diagnosis", "", "json", string(masked))
			for _, name := range []string{r.OuterA, r.OuterB, "initiator.lab", "responder.lab", "172.16.5"} {
				if bytes.Contains(masked, []byte(name)) {
					t.Errorf("the pseudonymised report tells %s:\n%s", name, masked)
				}
			}
			open, err := os.ReadFile(filepath.Join(dir, "r.md"))
			if err != nil || !regexp.MustCompile("on (your|both) side").Match(open) || !bytes.Contains(open, []byte(c.id)) {
				t.Errorf("%v:\n%s", err, open)
			}
		})
	}
}

// TestABundleHoldsWhatASupportCaseWantsAndNoSecret looks for the shared key,
// for private keys and for every session key that the daemon logged.
func TestABundleHoldsWhatASupportCaseWantsAndNoSecret(t *testing.T) {
	r := peers(t)
	r.must(t, "action", "up", "gw/net")
	name := filepath.Join(t.TempDir(), "case.tar.gz")
	code, out, errs := r.run(t, "--daemon-log", r.A.LogPath(), "bundle", "--file", name, "--no-host", "--listen", "100ms", "-o", "json")
	if code != exitFine {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	holds(t, "bundle", "", "json", out)
	files := untar(t, name)
	for _, want := range []string{"README.txt", "diagnosis.md", "diagnosis.json", "sas.json", "connections.json", "certificates.json", "stats.json", "log.txt", "policies.json"} {
		if len(files[want]) == 0 {
			t.Errorf("%s is missing or empty", want)
		}
	}
	if !bytes.Contains(files["log.txt"], []byte("IKE_SA gw")) {
		t.Errorf("the log tells nothing: %.300s", files["log.txt"])
	}
	keys, err := r.Keys()
	if err != nil || len(keys.IKE) == 0 || len(keys.ESP) == 0 {
		t.Fatalf("the lab's daemons log no keys to look for: %v", err)
	}
	secrets := []string{"lab only: never use this", hex.EncodeToString([]byte("lab only: never use this")), "BEGIN PRIVATE", "BEGIN RSA PRIVATE", "BEGIN EC PRIVATE"}
	for _, k := range keys.IKE {
		secrets = append(secrets, hex.EncodeToString(k.EncrI), hex.EncodeToString(k.EncrR))
	}
	for file, b := range files {
		flat := strings.NewReplacer(" ", "", ":", "").Replace(strings.ToLower(string(b)))
		for _, s := range secrets {
			if s != "" && (bytes.Contains(b, []byte(s)) || strings.Contains(flat, strings.ToLower(strings.ReplaceAll(s, " ", "")))) {
				t.Errorf("%s holds the secret %.12s...", file, s)
			}
		}
	}
	for _, line := range bytes.Split(files["log.txt"], []byte("\n")) {
		if secretive.Match(line) {
			t.Errorf("the log tells %s", line)
		}
	}
}

func untar(t *testing.T, name string) map[string][]byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the archive can be read by others: %v %v", info.Mode(), err)
	}
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[strings.TrimPrefix(h.Name, "cvlanctl-bundle/")], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}
