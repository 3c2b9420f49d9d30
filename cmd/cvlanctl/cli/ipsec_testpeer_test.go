package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// maskTest takes out what differs from run to run.
func maskTest(s string) string {
	s = maskScan(s)
	s = regexp.MustCompile(`\d+(\.\d+)?(µs|ms|s)\b`).ReplaceAllString(s, "N")
	s = regexp.MustCompile(`firewall.*`).ReplaceAllString(s, "(firewall)")
	s = regexp.MustCompile(`(?m)^(pass|skip)(  host settings) .*`).ReplaceAllString(s, "(either)$2 ...")
	return regexp.MustCompile(`in \d+\.\d s`).ReplaceAllString(s, "in N s")
}

// TestATestOfAPeerShowsItsSteps tests an endpoint that agrees to nothing.
func TestATestOfAPeerShowsItsSteps(t *testing.T) {
	flags := scanned(t, "aes128-sha256-modp3072")[:4]
	psk := filepath.Join(t.TempDir(), "psk")
	if err := os.WriteFile(psk, []byte("a key of this test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"ipsec", "test-peer", "127.0.0.1", "--id", "me", "--remote-id", "gw", "--psk-file", psk, "--ike", "aes256gcm16-prfsha384-ecp384",
		"--local-ts", "10.1.0.1/32", "--remote-ts", "10.2.0.1/32", "--wait", "2s", "--tries", "1"}, flags...)
	code, out, errs := run(t, "", nil, args...)
	if code != exitFindings || errs != "" {
		t.Errorf("exit code %d: %s", code, errs)
	}
	golden(t, "ipsec/test-peer.txt", maskTest(out))
	for _, output := range []string{"json", "jsonl"} {
		_, out, _ := run(t, "", nil, append(args, "-o", output)...)
		holds(t, "test-peer", "step", output, out)
	}
}

func TestATestOfAPeerRefusesWhatItCannotTest(t *testing.T) {
	for _, x := range []struct{ args, want string }{
		{"", "needs one PEER"},
		{"127.0.0.1", "--id says who we are"},
		{"127.0.0.1 --ladder 3", "--ladder=12"},
		{"127.0.0.1 --id me", "one of --psk-file and --psk-env"},
		{"127.0.0.1 --id me --psk-file /nonexistent/psk", "psk"},
		{"127.0.0.1 --id me --psk-env X --ike nonsense", "nonsense"},
		{"office --config /nonexistent/site.yaml", "site.yaml"},
	} {
		code, _, errs := run(t, "", nil, append([]string{"ipsec", "test-peer"}, strings.Fields(x.args)...)...)
		if code == exitFine || !strings.Contains(errs, x.want) {
			t.Errorf("%q: exit code %d: %s", x.args, code, errs)
		}
	}
}
