package cli

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/engine/policy"
)

// socketDir gives a folder whose name is short enough for sockets.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cvl-e")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // a temporary folder
	return dir
}

// servedEngine runs the tunnels of a policy file as `ipsec run` does, at a
// socket.
func servedEngine(t *testing.T, file string) (*native.Engine, string) {
	t.Helper()
	p, findings, err := policy.Load(t.Context(), file, policy.Options{})
	if p == nil {
		t.Fatal(findings, err)
	}
	e, err := native.Start(t.Context(), native.Options{Policy: p, Ports: ike.Ports{IKE: 5500, NATT: 5501}, PeerNATT: 5501, Settings: ike.Settings{Packets: true}, Version: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(socketDir(t), "vici")
	screen, _, _ := term.Test("", nil)
	l, err := NewApp(screen).listenEngine(path)
	if err != nil {
		t.Fatal(err)
	}
	end := serveEngine(e, l)
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	return e, path
}

// TestEveryCommandReachesAnEngineInAnotherProcess proves all commands on a
// daemon, as text and as documents that meet their schemas.
func TestEveryCommandReachesAnEngineInAnotherProcess(t *testing.T) {
	_, file := runPeer(t)
	e, path := servedEngine(t, file)
	command := func(want int, args ...string) string {
		t.Helper()
		code, out, errs := run(t, "", nil, append([]string{"ipsec", "--source", "engine:" + path}, args...)...)
		if code != want {
			t.Fatalf("%v: exit code %d, want %d: %s%s", args, code, want, out, errs)
		}
		return out + errs
	}
	says := func(out string, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !strings.Contains(out, text) {
				t.Errorf("%q is missing:\n%s", text, out)
			}
		}
	}
	// It comes up by itself: what is wanted is to see how it does.
	if err := e.Up(t.Context(), backend.Target{IKE: "office", Child: "lan"}, backend.UpOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	says(command(exitFine, "down", "office"), "office is down")
	says(command(exitFine, "up", "office/lan"), "IKE_SA_INIT 0 request", "IKE_AUTH 1 response", "office/lan is up")
	says(command(exitFine, "status"), "cvlanctl 1.2.3", "engine:"+path, "1 configured, 1 up")
	says(command(exitFine, "list-sas"), "office[", "lan{", "ESTABLISHED", "INSTALLED")
	says(command(exitFine, "dpd", "office"), "office: the peer lives: it answered after ")
	says(command(exitFine, "rekey", "office/lan"), "office/lan is rekeyed")
	says(command(exitFine, "rekey", "office", "--ike"), "office is rekeyed")
	for _, form := range forms {
		for _, output := range []string{"table", "wide", "json", "jsonl"} {
			out := command(exitFine, append(form.args, "-o", output)...)
			if out != "" {
				holds(t, form.kind, form.item, output, out)
			}
		}
	}
	holds(t, "action", "", "json", command(exitFine, "down", "office/lan", "-o", "json"))
	holds(t, "action", "", "json", command(exitFine, "up", "office", "-o", "json"))
	holds(t, "action", "", "json", command(exitFine, "dpd", "office", "-o", "json"))
	says(command(exitFailed, "up", "office/none"), `no connection or child "office/none"`)
	says(command(exitFailed, "dpd", "nobody"), `no connection or child "nobody"`)

	// What is listed is what the engine itself says.
	var got doc.LiveSAs
	if err := json.Unmarshal([]byte(command(exitFine, "list-sas", "-o", "json")), &got); err != nil {
		t.Fatal(err)
	}
	s, err := e.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(doc.NewLiveSAs("engine:"+path, s, time.Now(), nil))
	if err != nil {
		t.Fatal(err)
	}
	var want doc.LiveSAs
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	for _, d := range []*doc.LiveSAs{&got, &want} { // the moments of the questions, and what is counted from them
		d.Time = ""
		for i := range d.IKESAs {
			sa := &d.IKESAs[i]
			sa.Time, sa.Established = "", ""
			for j := range sa.ChildSAs {
				sa.ChildSAs[j].InstallTime, sa.ChildSAs[j].UseIn, sa.ChildSAs[j].UseOut = "", "", ""
			}
		}
	}
	if d := cmp.Diff(want, got, cmp.Exporter(func(reflect.Type) bool { return true })); d != "" {
		t.Error(d)
	}
	if len(got.IKESAs) != 1 || len(got.IKESAs[0].Timers) < 3 || len(got.IKESAs[0].ChildSAs) != 1 {
		t.Errorf("SAs %+v", got.IKESAs)
	}
	says(command(exitFine, "down", "office"), "office is down")
}

// TestMonitorAndLogFollowAnEngineInAnotherProcess proves that its comparisons,
// steps, messages and changes are shown, as text and as JSON lines.
func TestMonitorAndLogFollowAnEngineInAnotherProcess(t *testing.T) {
	_, file := runPeer(t)
	e, path := servedEngine(t, file)
	for _, row := range []struct {
		command, output string
		level           string
		texts           []string
	}{
		{"monitor", "table", "", []string{"IKE SA up        office[", "CHILD SA up      office[", "CHILD SA down    office[", "IKE SA down      office["}},
		{"log", "table", "2", []string{"proposal: ", "identity: ", "IKE SA up        office[", "CHILD SA up      office[", "IKE_SA_INIT request 0: "}},
		{"log", "jsonl", "2", []string{`"kind":"check"`, `"kind":"step"`, `"kind":"packet"`, `"kind":"ike-up"`}},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { // life goes on until it is seen
			defer close(done)
			for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
				target := backend.Target{IKE: "office", Child: "lan"}
				_ = e.Up(ctx, target, backend.UpOptions{}, nil) // what comes of it is seen or not
				_ = e.Down(ctx, target, backend.DownOptions{}, nil)
				_ = e.Down(ctx, backend.Target{IKE: "office"}, backend.DownOptions{}, nil)
			}
		}()
		enough := func(s string) bool {
			for _, text := range row.texts {
				if !strings.Contains(s, text) {
					return false
				}
			}
			return true
		}
		args := []string{"ipsec", row.command, "--source", "engine:" + path, "-o", row.output}
		if row.level != "" {
			args = append(args, "--level", row.level)
		}
		code, out, errs := onScreen(t, false, enough, args...)
		cancel()
		<-done
		if !enough(out) || code != exitInterrupted {
			t.Errorf("%v: exit code %d: %.3000s%s", args, code, out, errs)
		}
		if row.output == "jsonl" {
			whole := out[:strings.LastIndexByte(out, '\n')+1]
			holds(t, "events", "event", "jsonl", whole)
		}
	}
}

// TestRunServesItsSocketAndTakesItAway proves the whole way: one process runs,
// another asks at the socket that --socket names.
func TestRunServesItsSocketAndTakesItAway(t *testing.T) {
	_, file := runPeer(t)
	path := filepath.Join(socketDir(t), "vici")
	asked := ""
	enough := func(s string) bool {
		if !strings.Contains(s, "CHILD SA up") {
			return false
		}
		if asked == "" {
			code, out, errs := run(t, "", nil, "ipsec", "list-sas", "--source", "engine:"+path)
			asked = out
			if code != exitFine || !strings.Contains(out, "lan{1}") {
				t.Errorf("list-sas: exit code %d: %s%s", code, out, errs)
			}
			if code, _, errs := run(t, "", nil, "ipsec", "run", "--config", file, "--data", "none", "--socket", path); code != exitFailed || !strings.Contains(errs, "Another engine runs") {
				t.Errorf("a second engine at the same socket: exit code %d: %s", code, errs)
			}
		}
		return true
	}
	code, out, errs := onScreen(t, false, enough, "ipsec", "run", "--config", file, "--port", "5500", "--natt-port", "5501", "--peer-natt-port", "5501", "--data", "none", "--socket", path)
	if code != exitInterrupted || asked == "" {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket is left")
	}
	if code, _, errs := run(t, "", nil, "ipsec", "status", "--source", "engine:"+path); code != exitUnreachable || !strings.Contains(errs, "unreachable") {
		t.Errorf("an engine that has gone: exit code %d: %s", code, errs)
	}
}

func TestUsualSocketIsInAPrivateFolder(t *testing.T) {
	dir := socketDir(t)
	screen, _, _ := term.Test("", nil)
	app := NewApp(screen)
	private := filepath.Join(dir, "p")
	for range 2 { // made, and then found
		if err := privateDir(private); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(private); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder %v, %v", info, err)
	}
	if err := os.Chmod(private, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := privateDir(private); err == nil || !strings.Contains(err.Error(), "others can write there") {
		t.Errorf("an open folder: %v", err)
	}
	if got := app.engineSocket(); os.Geteuid() == 0 && got != "/run/cvlanctl/engine.vici" || !strings.HasSuffix(got, "engine.vici") {
		t.Errorf("usual socket %s", got)
	}
	addrs := app.usualAddrs()
	if last := addrs[len(addrs)-1]; !last.Engine || last.Address != app.engineSocket() {
		t.Errorf("auto ends with %+v", last)
	}
	if code, _, errs := run(t, "", nil, "ipsec", "status", "--source", "engine:relative"); code != exitUsage {
		t.Errorf("a bad address: exit code %d: %s", code, errs)
	}
}
