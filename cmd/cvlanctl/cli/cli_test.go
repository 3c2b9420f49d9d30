package cli

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
)

var update = flag.Bool("update", false, "write the golden files anew")

// run runs a command line on buffers.
func run(t *testing.T, in string, env map[string]string, args ...string) (code int, out, errs string) {
	t.Helper()
	screen, o, e := term.Test(in, env)
	code = NewApp(screen).run(context.Background(), args)
	return code, o.String(), e.String()
}

// golden compares text with testdata/golden/<name>.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
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

// TestWhatAPersonReads holds the text and JSON of every command on a few
// captures in golden files.
func TestWhatAPersonReads(t *testing.T) {
	forms := []struct {
		name string
		args []string
	}{
		{"decode.txt", []string{"decode"}},
		{"decode-verbose.txt", []string{"decode", "--verbose", "--filter", "frame=1-4"}},
		{"decode-hex.txt", []string{"decode", "--hex", "--filter", "frame=2"}},
		{"decode.json", []string{"decode", "-o", "json", "--filter", "frame=1-4"}},
		{"exchanges.txt", []string{"exchanges"}},
		{"exchanges.json", []string{"exchanges", "-o", "json"}},
		{"sas.txt", []string{"sas"}},
		{"sas-wide.txt", []string{"sas", "-o", "wide"}},
		{"sas.json", []string{"sas", "-o", "json"}},
		{"diagnose.txt", []string{"diagnose"}},
		{"diagnose.json", []string{"diagnose", "-o", "json"}},
	}
	for _, name := range []string{"no-proposal-ike", "behind-nat", "dpd-peer-dies", "ikev1-main-mode"} {
		file := "../../../testdata/captures/" + name + ".pcap"
		for _, f := range forms {
			t.Run(name+"/"+f.name, func(t *testing.T) {
				args := append([]string{"pcap"}, f.args...)
				args = append(append(args, file), keysOf(file)...)
				golden(t, name+"/"+f.name, string(succeed(t, args...)))
			})
		}
	}
}

func TestColourAndWidthBelongToATerminal(t *testing.T) {
	file := "../../../testdata/captures/cookie.pcap"
	show := func(colour bool, width int, args ...string) string {
		screen, out, _ := term.Test("", nil)
		screen.OutTTY, screen.Colour, screen.Width = true, colour, width
		if code := NewApp(screen).run(context.Background(), args); code != exitFine {
			t.Fatalf("%v: exit code %d", args, code)
		}
		return out.String()
	}
	if out := show(true, 200, "pcap", "sas", file); !strings.Contains(out, "\x1b[") {
		t.Error("a terminal with colour gets none")
	}
	if out := show(true, 200, "pcap", "sas", "--no-color", file); strings.Contains(out, "\x1b[") {
		t.Error("--no-color does not turn colour off")
	}
	for line := range strings.Lines(show(false, 60, "pcap", "sas", file)) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 60 {
			t.Errorf("a line of %d columns on a terminal of 60: %q", n, line)
		}
	}
}

func TestSettingsComeFromFlagThenEnvironment(t *testing.T) {
	env := map[string]string{"CVLAN_OUTPUT": "json"}
	if _, out, _ := run(t, "", env, "version"); !strings.HasPrefix(out, "{") {
		t.Errorf("CVLAN_OUTPUT=json is not heard: %q", out)
	}
	if _, out, _ := run(t, "", env, "version", "-o", "table"); strings.HasPrefix(out, "{") {
		t.Errorf("-o table does not win over CVLAN_OUTPUT: %q", out)
	}
	code, _, errs := run(t, "", map[string]string{"CVLAN_OUTPUT": "xml"}, "version")
	if code != exitUsage || !strings.Contains(errs, "CVLAN_OUTPUT") {
		t.Errorf("a wrong CVLAN_OUTPUT: exit code %d, %q", code, errs)
	}
}
