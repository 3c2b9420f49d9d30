package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
)

// shared is one pair of strongSwan daemons for all tests of this package, made
// when the first test asks for it.
var shared struct {
	once  sync.Once
	bench *lab.Bench
	dir   string
	err   error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.bench != nil {
		if err := shared.bench.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "closing the bench:", err)
			code = 1
		}
	}
	if shared.dir != "" {
		_ = os.RemoveAll(shared.dir) // a temporary folder
	}
	os.Exit(code)
}

// peers gives the shared pair. Without root it skips the test; in CI that is a
// failure.
func peers(t *testing.T) *real {
	t.Helper()
	lab.Need(t)
	shared.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if shared.dir, shared.err = os.MkdirTemp("", "cvl-cli-"); shared.err != nil {
			return
		}
		shared.bench, shared.err = lab.NewBench(ctx, lab.Scenario{Name: "cli", Ends: func(a, b *lab.End) error {
			a.Conn = append(a.Conn, "dpd_delay = 1s")
			a.Child = append(a.Child, "}", "spare {", "local_ts = 10.9.0.0/16", "remote_ts = 10.8.0.0/16", "esp_proposals = aes128gcm16")
			b.Pools = append(b.Pools, "office {\naddrs = 10.50.0.0/29\ndns = 10.50.0.7, 10.50.0.6\n}")
			return nil
		}}, shared.dir)
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	shared.bench.ShowOnFailure(t)
	return &real{shared.bench}
}

// real is a pair of strongSwan daemons; commands run on the initiator's.
type real struct{ *lab.Bench }

func (r *real) source() string { return "vici:" + r.A.Socket() }

// run runs a command on the initiator.
func (r *real) run(t *testing.T, args ...string) (int, string, string) {
	t.Helper()
	return run(t, "", nil, append([]string{"ipsec", "--source", r.source()}, args...)...)
}

// must runs a command that has to succeed, as JSON that meets its schema.
func (r *real) must(t *testing.T, kind string, args ...string) []byte {
	t.Helper()
	code, out, errs := r.run(t, append(args, "-o", "json")...)
	if code != exitFine {
		t.Fatalf("%v: exit code %d: %s\n%s", args, code, errs, out)
	}
	holds(t, kind, "", "json", out)
	return []byte(out)
}

// load configures the initiator anew: its usual self, changed by f where
// there is one.
func (r *real) load(t *testing.T, f func(*lab.End)) {
	t.Helper()
	end := r.EndA
	if f != nil {
		f(&end)
	}
	// Also while the test is being cleaned up, when its context has ended.
	if err := r.A.Load(context.WithoutCancel(t.Context()), end.SwanctlConf()); err != nil {
		t.Fatal(err)
	}
}

// TestATunnelIsDrivenFromEndToEnd brings a tunnel up, sends pings through it,
// rekeys, checks liveness and takes it down, on two real daemons.
func TestATunnelIsDrivenFromEndToEnd(t *testing.T) {
	r := peers(t)
	r.must(t, "action", "down", "gw")
	code, out, errs := r.run(t, "up", "gw/net")
	if code != exitFine {
		t.Fatalf("up: exit code %d: %s%s", code, out, errs)
	}
	for _, want := range []string{"IKE_SA_INIT 0 request", "IKE_SA_INIT 0 response", "IKE_AUTH 1 request", "IKE_AUTH 1 response", "selected proposal: ", "gw/net is up"} {
		if !strings.Contains(out, want) {
			t.Errorf("the ladder lacks %q:\n%s", want, out)
		}
	}
	if err := r.PingThrough(t.Context(), 2); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		args   []string
		events bool // and something is told of what happened
	}{
		{[]string{"up", "gw/net"}, false}, {[]string{"rekey", "gw/net"}, true}, {[]string{"rekey", "gw"}, true}, {[]string{"rekey", "gw", "--ike"}, true}, {[]string{"dpd", "gw"}, true},
	} {
		var d struct {
			Success bool
			Events  []json.RawMessage
			Probe   *struct{ Answered bool }
		}
		if err := json.Unmarshal(r.must(t, "action", c.args...), &d); err != nil {
			t.Fatal(err)
		}
		if !d.Success || c.events != (len(d.Events) > 0) {
			t.Errorf("%v: success %v, %d events", c.args, d.Success, len(d.Events))
		}
		if c.args[0] == "dpd" && (d.Probe == nil || !d.Probe.Answered) {
			t.Error("the liveness check tells no answer")
		}
	}
	if err := r.PingThrough(t.Context(), 1); err != nil {
		t.Errorf("after rekeying: %v", err)
	}
	if code, out, errs := r.run(t, "down", "gw"); code != exitFine || !strings.Contains(out, "INFORMATIONAL") {
		t.Errorf("down: exit code %d: %s%s", code, out, errs)
	}
}

// TestEveryListingOfARealDaemonMeetsItsSchema runs all listings in all forms,
// with a tunnel that is up.
func TestEveryListingOfARealDaemonMeetsItsSchema(t *testing.T) {
	r := peers(t)
	r.must(t, "action", "up", "gw/net")
	for _, form := range forms {
		r.must(t, form.kind, form.args...)
		for _, output := range []string{"table", "wide", "yaml", "jsonl"} {
			code, out, errs := r.run(t, append(form.args, "-o", output)...)
			if code != exitFine || out == "" && output != "jsonl" {
				t.Errorf("%v -o %s: exit code %d, %q %q", form.args, output, code, out, errs)
			}
			if out != "" {
				holds(t, form.kind, form.item, output, out)
			}
		}
	}
	r.must(t, "counters", "counters", "--reset")
}

// TestAFailingUpSaysWhy proves that each way to fail is named, on real daemons.
func TestAFailingUpSaysWhy(t *testing.T) {
	r := peers(t)
	r.must(t, "action", "down", "gw")
	t.Cleanup(func() { r.load(t, nil) })
	for _, c := range []struct {
		name, child string
		change      func(*lab.End)
		says        string // in the error
		finding     string // among the findings, "" for any or none
	}{
		{"wrong PSK", "net", func(e *lab.End) { e.Secrets = []string{"ike-lab {\nsecret = \"another one\"\n}"} }, "AUTHENTICATION_FAILED", ""},
		{"no common proposal", "net", func(e *lab.End) { e.Proposals = "aes128-sha256-modp2048" }, "NO_PROPOSAL_CHOSEN", "no-proposal-ike"},
		{"no common selectors", "spare", nil, "TS_UNACCEPTABLE", "ts-unacceptable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.load(t, c.change)
			r.fails(t, c.child, c.says, c.finding)
		})
	}
	t.Run("no answer", func(t *testing.T) {
		b := lab.BenchFor(t.Context(), t, lab.Scenario{Name: "alone", Quick: true, Ends: func(_, b *lab.End) error {
			b.Absent = true
			return nil
		}})
		(&real{b}).fails(t, "net", "peer not responding", "")
	})
}

// fails proves that a child does not come up, and that what says why is among
// what is told: words in the error, and an id among the findings, "" for any or
// none.
func (r *real) fails(t *testing.T, child, says, finding string) {
	t.Helper()
	code, out, errs := r.run(t, "up", "gw/"+child, "-o", "json")
	if code != exitFailed || !strings.Contains(errs, says) {
		t.Errorf("exit code %d, %q", code, errs)
	}
	holds(t, "action", "", "json", out)
	var d struct {
		Failures []json.RawMessage
		Findings []struct{ ID string }
	}
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Failures) == 0 {
		t.Error("no failure is told")
	}
	if finding != "" && (len(d.Findings) == 0 || d.Findings[0].ID != finding) {
		t.Errorf("findings %v, want %s", d.Findings, finding)
	}
}

// TestAKilledDaemonIsMissedAndFollowedAgain kills a charon
// under a monitor, and starts it again.
func TestAKilledDaemonIsMissedAndFollowedAgain(t *testing.T) {
	r := peers(t)
	leaves := nothingBehind(t)
	var killed time.Time
	restarted := make(chan error, 1)
	step := 0
	enough := func(s string) bool {
		switch {
		case step == 0 && strings.Contains(s, "following the daemon"):
			step, killed = 1, time.Now()
			if err := r.A.Kill(); err != nil {
				restarted <- err
				return true
			}
		case step == 1 && strings.Contains(s, "the daemon is away"):
			step = 2
			t.Logf("missed after %s", time.Since(killed).Round(time.Millisecond))
			go func() { restarted <- r.A.Start(context.WithoutCancel(t.Context())) }()
		}
		return step == 2 && strings.Contains(s, "the daemon is back")
	}
	code, out, errs := onScreen(t, false, enough, "ipsec", "monitor", "--source", r.source())
	if code != exitInterrupted || !strings.Contains(out, "the daemon is back") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	leaves()
	if err := <-restarted; err != nil {
		t.Fatal(err)
	}
	r.load(t, nil)
}

// TestADaemonOfOnesOwnIsStartedFoundAndStopped runs a charon in the
// responder's namespace's stead: in a fresh one.
func TestADaemonOfOnesOwnIsStartedFoundAndStopped(t *testing.T) {
	peers(t) // for the reasons to skip
	ns, err := lab.NewNS(t.Context(), "own")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ns.Delete(); err != nil {
			t.Error(err)
		}
	})
	tmp, err := os.MkdirTemp("", "cvl-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(tmp); err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(tmp, "own")
	daemon := func(want int, args ...string) (string, string) {
		t.Helper()
		code, out, errs := run(t, "", nil, append(append([]string{"ipsec", "daemon"}, args...), "--dir", dir, "-o", "json")...)
		if code != want {
			t.Fatalf("%v: exit code %d, want %d: %s%s", args, code, want, out, errs)
		}
		if code == exitFine {
			holds(t, "daemon", "", "json", out)
		}
		return out, errs
	}
	daemon(exitUnreachable, "status")
	out, _ := daemon(exitFine, "start", "--netns", ns.Name, "--user-esp")
	t.Cleanup(func() { run(t, "", nil, "ipsec", "daemon", "stop", "--dir", dir) })
	var d struct {
		Running bool
		PID     int
		Source  string
	}
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatal(err)
	}
	if !d.Running || d.PID == 0 {
		t.Errorf("started as %+v", d)
	}
	if code, out, errs := run(t, "", nil, "ipsec", "list-conns", "--source", d.Source); code != exitFine || !strings.Contains(out, "No connection is loaded") {
		t.Errorf("its listing: exit code %d: %s%s", code, out, errs)
	}
	if _, errs := daemon(exitFailed, "start", "--netns", ns.Name); !strings.Contains(errs, "running already") {
		t.Errorf("a second one: %q", errs)
	}
	daemon(exitFine, "status")
	daemon(exitFine, "stop")
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder stays: %v", err)
	}
	daemon(exitFine, "stop") // there is nothing to do
	daemon(exitUnreachable, "status")
}

// hung starts a charon anew that answers nothing any more, and says whether it
// was so. While it tells its log at level 4, charon 5.9.8 may lock itself up: the
// thread that waits for its sockets and the one that initiates wait for each
// other, once in some tens of times on a busy machine.
func (r *real) hung(t *testing.T) bool {
	t.Helper()
	if code, _, _ := r.run(t, "stats", "--timeout", "3s"); code == exitFine {
		return false
	}
	t.Log("charon has locked itself up; it is started anew")
	if err := r.A.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := r.A.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.load(t, nil)
	return true
}

// TestKeysAreWrittenOnRequestAndOpenTheTraffic has a real daemon tell its keys,
// and decodes what was captured of the same exchanges with them.
func TestKeysAreWrittenOnRequestAndOpenTheTraffic(t *testing.T) {
	r := peers(t)
	r.must(t, "action", "down", "gw")
	var dir, capture, out, errs string
	var code int
	var recorder *lab.Recorder
	for range 4 {
		dir, capture = filepath.Join(t.TempDir(), "keys"), filepath.Join(t.TempDir(), "trace.pcap")
		var err error
		if recorder, err = lab.Record(t.Context(), r.NSA, "eth0", capture); err != nil {
			t.Fatal(err)
		}
		if code, out, errs = r.run(t, "up", "gw/net", "--key-dir", dir, "--timeout", "30s"); code == exitFine || !r.hung(t) {
			break
		}
		if err := recorder.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if code != exitFine || !strings.Contains(errs, "open all traffic") || strings.Count(errs, "lock itself up") != 1 {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	if strings.Contains(out, "secret =>") || strings.Contains(out, "Sk_ei") {
		t.Errorf("keys stand in the output:\n%s", out)
	}
	if err := r.PingThrough(t.Context(), 2); err != nil {
		t.Error(err)
	}
	if err := recorder.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"ikev2_decryption_table", "esp_sa"} {
		info, err := os.Stat(filepath.Join(dir, table))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", table, info, err)
		}
	}
	_, decoded, errs := run(t, "", nil, "pcap", "decode", "--keys", dir, "-o", "jsonl", capture)
	if ike, esp := strings.Count(decoded, `"exchange":"IKE_AUTH"`), strings.Count(decoded, `"icv_ok":true`); ike != 2 || esp != 4 || strings.Contains(decoded, `"decrypt_error"`) {
		t.Errorf("%d messages of IKE_AUTH, %d ESP packets opened: %s\n%s", ike, esp, errs, decoded)
	}
	log := r.A.LogPath()
	if code, _, errs := run(t, "", nil, "pcap", "keys", log); code != exitUsage {
		t.Errorf("without a folder: exit code %d: %s", code, errs)
	}
	if code, out, errs := run(t, "", nil, "pcap", "keys", log, "--key-dir", dir, "--any-address"); code != exitFine || !strings.Contains(out, "IKEv2 SA") {
		t.Errorf("out of the log file: exit code %d: %s%s", code, out, errs)
	}
	_, decoded, _ = run(t, "", nil, "pcap", "decode", "--keys", dir, "-o", "jsonl", capture)
	if !strings.Contains(decoded, `"icv_ok":true`) {
		t.Error("the tables out of the log file open nothing")
	}
}
