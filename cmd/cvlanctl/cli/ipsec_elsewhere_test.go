package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/engine/native/nativetest"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// serveAt serves a backend at a socket.
func serveAt(t *testing.T, b backend.Backend) string {
	t.Helper()
	path := filepath.Join(socketDir(t), "vici")
	screen, _, _ := term.Test("", nil)
	l, err := NewApp(screen).listenEngine(path)
	if err != nil {
		t.Fatal(err)
	}
	end := serveEngine(b, l)
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	return path
}

// configure gives an engine a connection gw, and the secret "tests only" or
// another.
func configure(t *testing.T, e *native.Engine, psk string, words ...string) {
	t.Helper()
	if err := errors.Join(e.LoadSecret(t.Context(), backend.Secret{ID: "psk", Type: "IKE", Data: []byte(psk)}), e.LoadConnection(t.Context(), "gw", nativetest.Section(words...))); err != nil {
		t.Fatal(err)
	}
}

// inProcess folds what an engine tells while something is done, from the first
// Table to one of after the end, and gives what the rules say of it.
func inProcess(t *testing.T, e *native.Engine, do func()) []diag.Finding {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tr := trace.New(trace.Options{})
	var over atomic.Pointer[time.Time]
	begun, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for ev, err := range e.Events(ctx, backend.EventOptions{Every: 20 * time.Millisecond}) {
			if err != nil {
				t.Error(err)
				return
			}
			if ev.Table == nil || ev.Table.First {
				tr.Add(ev)
			}
			if ev.Table == nil {
				continue
			}
			if ev.Table.First {
				close(begun)
			}
			// One of before the end may catch an SA on its way, which nobody sees who
			// comes later, and may be under way still.
			if end := over.Load(); end != nil && ev.Time.After(*end) {
				tr.Add(ev)
				return
			}
		}
	}()
	<-begun
	do()
	end := time.Now()
	over.Store(&end)
	<-done
	conns, err := e.Connections(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return diag.Diagnose(&diag.Facts{Source: "here", Trace: tr, Now: time.Now(), Live: true, Connections: conns}, rule.All())
}

// seen is what a finding says, without the moments at which it was looked at.
type seen struct {
	ID, Severity, Confidence, Summary, Connection, Remedies string
	Evidence                                                []string
}

func seenOf(t *testing.T, findings []diag.Finding) []seen {
	t.Helper()
	var l []seen
	for i := range findings {
		f := &findings[i]
		s := seen{ID: f.ID, Severity: f.Severity.String(), Confidence: f.Confidence.String(), Summary: f.Summary, Connection: f.Subject.Connection}
		for _, r := range f.Remedies {
			s.Remedies += r.Side + " " + r.Change + "\n"
		}
		for _, e := range f.Evidence {
			s.Evidence = append(s.Evidence, e.What)
		}
		l = append(l, s)
	}
	return l
}

// TestAnEngineElsewhereIsJudgedAsOneInTheSameProcess proves that what two sides
// could not agree on, with both sides' values, is known to whoever comes later
// and from another process, by either name of the source: to diagnose, status,
// list-sas and the screen.
func TestAnEngineElsewhereIsJudgedAsOneInTheSameProcess(t *testing.T) {
	for _, row := range []struct {
		name, id  string
		psk       string
		initiator []string
		responder []string
	}{
		{name: "another key", id: "psk-mismatch", psk: "tests only\n"},
		{name: "another proposal", id: "no-proposal-ike", initiator: []string{"proposals=aes128-sha256-ecp384"}},
		{name: "another identity", id: "responder-no-peer-config", initiator: []string{"local.id=c.example"}},
		{name: "other selectors", id: "ts-unacceptable", responder: []string{"children.net.remote_ts=10.7.0.0/24"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			told := native.Options{Version: "1.2.3", Settings: ike.Settings{Packets: true}}
			a, b := nativetest.Start(t, told), nativetest.Start(t, told)
			psk := "tests only"
			if row.psk != "" {
				psk = row.psk
			}
			common := []string{"proposals=aes256-sha256-ecp256", "local.auth=psk", "remote.auth=psk"}
			configure(t, a, psk, slices.Concat(common, []string{"local.id=a.example", "remote.id=b.example", "remote_addrs=127.0.0.1", fmt.Sprint("remote_port=", b.LocalAddr().Port()),
				"children.net.local_ts=10.1.0.0/24", "children.net.remote_ts=10.2.0.0/24"}, row.initiator)...)
			configure(t, b, "tests only", slices.Concat(common, []string{"local.id=b.example", "remote.id=a.example",
				"children.net.local_ts=10.2.0.0/24", "children.net.remote_ts=10.1.0.0/24"}, row.responder)...)
			want := inProcess(t, b, func() {
				if err := a.Up(t.Context(), backend.Target{IKE: "gw", Child: "net"}, backend.UpOptions{}, nil); err == nil {
					t.Error("it comes up")
				}
			})
			if len(want) == 0 || want[0].ID != row.id {
				t.Fatalf("in the process: %+v", want)
			}
			path := serveAt(t, b)
			for _, kind := range []string{"engine:", "vici:"} {
				judgedAlike(t, kind+path, seenOf(t, want))
			}
		})
	}
}

// judgedAlike holds what each face says of an engine at a socket against what is
// said in its process.
func judgedAlike(t *testing.T, source string, want []seen) {
	t.Helper()
	code, out, errs := run(t, "", nil, "ipsec", "diagnose", "--source", source, "--no-host", "--listen", "100ms", "-o", "json")
	var d struct {
		Findings []struct {
			ID, Severity, Confidence, Summary string
			Subject                           struct{ Connection string }
			Remedies                          []struct{ Side, Change string }
			Evidence                          []struct{ What string }
		}
	}
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	var got []seen
	for _, f := range d.Findings {
		s := seen{ID: f.ID, Severity: f.Severity, Confidence: f.Confidence, Summary: f.Summary, Connection: f.Subject.Connection}
		for _, r := range f.Remedies {
			s.Remedies += r.Side + " " + r.Change + "\n"
		}
		for _, e := range f.Evidence {
			s.Evidence = append(s.Evidence, e.What)
		}
		got = append(got, s)
	}
	if diff := cmp.Diff(want, got); diff != "" || code != exitFindings {
		t.Errorf("diagnose of %s, exit code %d: %s", source, code, diff)
	}
	for _, command := range []string{"status", "list-sas"} {
		if code, out, errs := run(t, "", nil, "ipsec", command, "--source", source, "--fail-on", "high", "-o", "json"); code != exitFindings || !strings.Contains(out, want[0].ID) {
			t.Errorf("%s of %s, exit code %d: %s%s", command, source, code, out, errs)
		}
		if _, out, _ := run(t, "", nil, "ipsec", command, "--source", source); !strings.Contains(out, want[0].ID) {
			t.Errorf("%s of %s does not name the finding:\n%s", command, source, out)
		}
	}
	screen, _, _ := term.Test("", nil)
	app := NewApp(screen)
	app.Source = source
	client, err := app.backend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	options, wait := watch(ctx, app, daemonOnScreen{Backend: client})
	var shown []seen
	for ctx.Err() == nil && cmp.Diff(want, shown) != "" {
		time.Sleep(10 * time.Millisecond)
		options.Data.Hold()
		shown = seenOf(t, options.Data.Findings())
		options.Data.Release()
	}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("the screen of %s: %s", source, diff)
	}
	cancel()
	wait()
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}
