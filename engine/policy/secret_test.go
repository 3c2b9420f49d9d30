package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const hush = "correct horse battery staple"

func TestSecretsAreReadFromEveryPlaceAndNeverPrinted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "psk")
	if err := os.WriteFile(file, []byte(hush+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CVLAN_TEST_SECRET", hush)
	for name, ref := range map[string]SecretRef{
		"file": {File: file}, "environment": {Env: "CVLAN_TEST_SECRET"}, "command": {Command: []string{"printf", "%s\\n", hush}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := ref.Resolve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if string(s.Reveal()) != hush {
				t.Errorf("another secret, of %d octets", s.Len())
			}
			for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
				r := Request{Kind: KindSecret, Name: "x", secret: s}
				if text := fmt.Sprintf(format, r) + fmt.Sprintf(format, s); strings.Contains(text, hush) {
					t.Errorf("%s prints the secret", format)
				}
			}
		})
	}
}

func TestSecretsThatCannotBeReadSayWhereAndNotWhat(t *testing.T) {
	dir := t.TempDir()
	big, empty := filepath.Join(dir, "big"), filepath.Join(dir, "empty")
	for path, data := range map[string]string{big: strings.Repeat("x", maxSecret+1), empty: "\n"} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		ref  SecretRef
		want string
	}{
		"no file":            {SecretRef{File: filepath.Join(dir, "none")}, "no such file"},
		"too large a file":   {SecretRef{File: big}, "more than"},
		"an empty file":      {SecretRef{File: empty}, "it is empty"},
		"no variable":        {SecretRef{Env: "CVLAN_TEST_NOT_SET"}, "not set"},
		"no program":         {SecretRef{Command: []string{"cvlan-no-such-program"}}, "not found"},
		"a failing command":  {SecretRef{Command: []string{"sh", "-c", "echo " + hush + "; echo " + hush + " >&2; exit 3"}}, "exit status 3"},
		"a slow command":     {SecretRef{Command: []string{"sleep", "60"}, Timeout: 50 * time.Millisecond}, "no answer within"},
		"an endless command": {SecretRef{Command: []string{"sh", "-c", "exec yes " + hush}}, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := c.ref.Resolve(t.Context())
			if err == nil {
				t.Fatalf("a secret of %d octets", s.Len())
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), hush) {
				t.Errorf("%v; want %q", err, c.want)
			}
		})
	}
}

// TestRenderedSecretsStandInTheFileOnlyWhenAskedFor proves both ways.
func TestRenderedSecretsStandInTheFileOnlyWhenAskedFor(t *testing.T) {
	t.Setenv("CVLAN_TEST_SECRET", `0x"quoted\`)
	text := `{version: 1, node: {identity: a}, peers: {hub: {addresses: 192.0.2.1, identity: "b c", auth: psk, psk: {env: CVLAN_TEST_SECRET}}}, tunnels: {t: {peer: hub}}}`
	p, findings := Parse(t.Context(), "policy", []byte(text), Options{NoFiles: true})
	if p == nil {
		t.Fatal(findings)
	}
	tree := NewTree(p)
	without, err := tree.Swanctl(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	with, err := tree.Swanctl(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	const encoded = `secret = "0sMHgicXVvdGVkXA=="`
	if strings.Contains(string(without.Conf), "quoted") || strings.Contains(string(without.Conf), "secret =") || without.Secrets {
		t.Errorf("the secret stands there unasked:\n%s", without.Conf)
	}
	if !strings.Contains(string(with.Conf), encoded) || !strings.Contains(string(with.Conf), `id-2 = b c`) || !with.Secrets {
		t.Errorf("want %s:\n%s", encoded, with.Conf)
	}
}
