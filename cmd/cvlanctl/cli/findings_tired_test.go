package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/vici"
)

// TestTenFaultsAsATiredOperatorReadsThem holds what a terminal of 80 columns shows
// of ten faults: what is wrong, how we know, what to type. Six are captures of the
// corpus, four what a charon wrote into its log.
func TestTenFaultsAsATiredOperatorReadsThem(t *testing.T) {
	const captures = "../../../testdata/captures/"
	for _, row := range []struct {
		name, capture string // of the corpus, or "" for a log of this name
		id            string
	}{
		{"another-psk", "", "psk-mismatch"},
		{"no-proposal", "no-proposal-ike", "no-proposal-ike"},
		{"selectors", "ts-unacceptable", "ts-unacceptable"},
		{"port-4500", "udp4500-blocked", "udp4500-blocked"},
		{"ip-fragments", "ike-auth-ip-fragment-loss", "ike-auth-ip-fragment-loss"},
		{"peer-gone", "dpd-peer-dies", "dpd-timeout"},
		{"certificate-is-over", "", "cert-expired"},
		{"no-esp-back", "esp-one-way-out", "esp-one-way-out"},
		{"group-at-rekeying", "", "pfs-mismatch-at-rekey"},
		{"one-identity-twice", "", "initial-contact-kills-sibling"},
	} {
		t.Run(row.name, func(t *testing.T) {
			screen, out, errs := term.Test("", nil)
			screen.Width = 80
			if row.capture == "" {
				readLog(t, screen, row.name)
			} else {
				file := captures + row.capture + ".pcap"
				if code := NewApp(screen).run(context.Background(), append([]string{"pcap", "diagnose", file}, keysOf(file)...)); code != exitFindings {
					t.Fatalf("exit code %d: %s", code, errs)
				}
			}
			for line := range strings.Lines(out.String()) {
				// A line to type is not broken.
				if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 && !strings.HasPrefix(line, "            ") {
					t.Errorf("a line of %d columns: %q", n, line)
				}
			}
			if first, _, _ := strings.Cut(out.String(), "\n\n2. "); !strings.Contains(first, "["+row.id+"]") {
				t.Errorf("%s is not what comes first", row.id)
			}
			golden(t, "tired/"+row.name+".txt", out.String())
		})
	}
}

// readLog diagnoses a charon's log.
func readLog(t *testing.T, screen *term.Terminal, name string) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "logs", name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // read only: nothing can be lost
	tr := trace.New(trace.Options{})
	if err := vici.ReadLog(f, tr.Add); err != nil {
		t.Fatal(err)
	}
	found := diag.Diagnose(&diag.Facts{Source: "vici:" + name, Trace: tr, Now: tr.Last}, rule.All())
	if err := writeFindings(screen, tr, name, found); err != nil {
		t.Fatal(err)
	}
}
