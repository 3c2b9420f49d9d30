package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/engine/vici/vicitest"
)

func TestSourcesThatAreNoDaemonAreRefused(t *testing.T) {
	for source, want := range map[string]struct {
		code int
		says string
	}{
		"pcap:x.pcap":          {exitUsage, "no daemon"},
		"vici:relative":        {exitUsage, "vici:/path"},
		"vici:tcp://host":      {exitUsage, "tcp://host:port"},
		"auto:/x":              {exitUsage, "not understood"},
		"nonsense":             {exitUsage, "not understood"},
		"vici:/not/there/vici": {exitUnreachable, "Is charon running?"},
	} {
		code, _, errs := run(t, "", nil, "ipsec", "list-sas", "--source", source)
		if code != want.code || !strings.Contains(errs, want.says) {
			t.Errorf("--source %s: exit code %d, want %d: %q", source, code, want.code, errs)
		}
	}
	if code, _, errs := run(t, "", map[string]string{"CVLAN_SOURCE": "vici:/not/there/vici"}, "ipsec", "stats"); code != exitUnreachable {
		t.Errorf("CVLAN_SOURCE is not heard: exit code %d, %q", code, errs)
	}
}

func TestAutoSaysWhatItTried(t *testing.T) {
	dir := t.TempDir()
	paths := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}
	_, err := findDaemon(t.Context(), charons(paths))
	if exitCode(err) != exitUnreachable {
		t.Fatalf("exit code %d: %v", exitCode(err), err)
	}
	for _, p := range paths {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%s is not named in %q", p, err)
		}
	}
	f := office(t, nil)
	client, err := findDaemon(t.Context(), charons([]string{paths[0], strings.TrimPrefix(f.source, "vici:")}))
	if err != nil {
		t.Fatal(err)
	}
	if client.Source() != f.source {
		t.Errorf("found %s", client.Source())
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}

func TestASocketThatIsNotOursIsAMatterOfPermission(t *testing.T) {
	err := advise(&vici.Error{Kind: backend.ErrUnreachable, Op: "version", Err: &os.PathError{Op: "connect", Path: "/run/charon.vici", Err: syscall.EACCES}})
	if exitCode(err) != exitPermission || !strings.Contains(err.Error(), "root") {
		t.Errorf("exit code %d: %v", exitCode(err), err)
	}
}

// TestAHostileServerEndsInAClearErrorInTime proves that no misbehaviour makes
// a command hang, crash or succeed.
func TestAHostileServerEndsInAClearErrorInTime(t *testing.T) {
	for _, m := range vicitest.Misbehaviours() {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			f := serve(t, vicitest.NewRaw(m.Serve))
			begin := time.Now()
			code, out, errs := f.run(t, "status", "--timeout", "400ms")
			if code != exitFailed && code != exitUnreachable {
				t.Errorf("exit code %d", code)
			}
			if errs == "" || out != "" {
				t.Errorf("says %q and %q", out, errs)
			}
			if took := time.Since(begin); took > time.Minute {
				t.Errorf("took %s", took)
			}
		})
	}
}

// TestNamesAreCompletedFromTheDaemon proves what the shell offers.
func TestNamesAreCompletedFromTheDaemon(t *testing.T) {
	f := office(t, nil)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"ipsec", "up", ""}, "branch\nbranch/lan\nbranch/voice\ndepot\ndepot/net\n:4\n"},
		{[]string{"ipsec", "dpd", ""}, "branch\ndepot\n:4\n"},
		{[]string{"ipsec", "counters", "--name", ""}, "branch\ndepot\n:4\n"},
	} {
		code, out, _ := run(t, "", map[string]string{"CVLAN_SOURCE": f.source}, append([]string{"__complete"}, c.args...)...)
		if code != exitFine || out != c.want {
			t.Errorf("%v: exit code %d, %q", c.args, code, out)
		}
	}
	if _, out, _ := run(t, "", map[string]string{"CVLAN_SOURCE": "vici:/not/there"}, "__complete", "ipsec", "up", ""); out != ":4\n" {
		t.Errorf("without a daemon: %q", out)
	}
}

// TestTheDaemonsLogTellsItsPast proves that a log file fills in what a daemon
// does not tell: how a child that is down failed.
func TestTheDaemonsLogTellsItsPast(t *testing.T) {
	log := filepath.Join(t.TempDir(), "charon.log")
	lines := "1700000000 07[IKE] <branch|1> establishing CHILD_SA voice{5}\n" +
		"1700000001 07[IKE] <branch|1> received TS_UNACCEPTABLE notify, no CHILD_SA built\n"
	if err := os.WriteFile(log, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	f := office(t, nil)
	_, out, errs := f.run(t, "list-sas", "--daemon-log", log)
	for line := range strings.Lines(out) {
		if strings.Contains(line, "  voice") && !strings.Contains(line, "TS_UNACCEPTABLE") {
			t.Errorf("the failure is not told: %s%s", out, errs)
		}
	}
	code, out, _ := f.run(t, "list-sas", "--daemon-log", log, "-o", "json")
	holds(t, "sas", "", "json", out)
	if code != exitFine || !strings.Contains(out, `"notify": "TS_UNACCEPTABLE"`) {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, _, errs := f.run(t, "list-sas", "--daemon-log", log+"x"); code != exitUnreachable || !strings.Contains(errs, log) {
		t.Errorf("a log that is not there: exit code %d, %q", code, errs)
	}
}

func TestOneDebugLevelIsTaken(t *testing.T) {
	for level, want := range map[string]int{"-1": exitFine, "4": exitFine, "5": exitUsage, "x": exitUsage, "-2": exitUsage} {
		if code, _, _ := run(t, "", nil, "version", "--ipsec-debug="+level); code != want {
			t.Errorf("--ipsec-debug=%s: exit code %d", level, code)
		}
	}
}

func TestAnInterruptWinsOverUnreachable(t *testing.T) {
	err := &vici.Error{Kind: backend.ErrUnreachable, Op: "list-sas", Err: fmt.Errorf("no answer: %w", context.Canceled)}
	if code := exitCode(advise(err)); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
}
