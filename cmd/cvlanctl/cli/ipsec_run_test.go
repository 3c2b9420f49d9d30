package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/capture/keylog"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/lab"
)

// runPeer starts an engine that waits for a node "a", on an address of loopback
// that no other process of these tests has, and gives the policy file of that
// node.
func runPeer(t *testing.T) (peer *native.Engine, file string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("psk", "tests only\n")
	pid := os.Getpid()
	own, other := fmt.Sprintf("127.77.%d.%d", pid>>8&0xff, pid&0xff), fmt.Sprintf("127.78.%d.%d", pid>>8&0xff, pid&0xff)
	file = write("a.yaml", fmt.Sprintf(`version: 1
node: {identity: a.example, addresses: %s}
peers:
  office: {addresses: %s, port: 5500, identity: b.example, auth: psk, psk: {file: psk}}
tunnels:
  lan: {peer: office, local: 10.1.0.0/24, remote: 10.2.0.0/24, start: start}
`, own, other))
	p, findings, err := policy.Load(t.Context(), write("b.yaml", fmt.Sprintf(`version: 1
node: {identity: b.example, addresses: %s}
peers:
  a: {identity: a.example, auth: psk, psk: {file: psk}}
tunnels:
  lan: {peer: a, local: 10.2.0.0/24, remote: 10.1.0.0/24}
`, other)), policy.Options{})
	if p == nil {
		t.Fatal(findings, err)
	}
	peer, err = native.Start(t.Context(), native.Options{Policy: p, Local: netip.MustParseAddr(other), Ports: ike.Ports{IKE: 5500, NATT: 5501}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := peer.Close(); err != nil {
			t.Error(err)
		}
	})
	return peer, file
}

// TestRunBringsTunnelsUpAndTellsThePeerWhenItEnds proves it in text and in JSON
// lines, and that key tables are written for the owner alone.
func TestRunBringsTunnelsUpAndTellsThePeerWhenItEnds(t *testing.T) {
	peer, file := runPeer(t)
	keys := filepath.Join(t.TempDir(), "keys")
	up := func(s string) bool { return strings.Contains(s, "CHILD SA up") || strings.Contains(s, `"child-up"`) }
	for _, form := range []string{"table", "jsonl"} {
		code, out, errs := onScreen(t, false, up, "ipsec", "run", "--config", file, "--port", "5500", "--natt-port", "5501", "--key-dir", keys, "--socket", "none", "--data", "none", "-o", form)
		if code != exitInterrupted || !up(out) {
			t.Fatalf("%s: exit code %d: %s%s", form, code, out, errs)
		}
		// Our farewell was answered before the command ended.
		if sas, err := peer.SAs(t.Context(), backend.Filter{}); err != nil || len(sas) != 0 {
			t.Errorf("%s: the peer still has %d IKE SAs (%v)", form, len(sas), err)
		}
		if form == "jsonl" {
			for line := range bytes.Lines([]byte(out)) {
				if !json.Valid(line) {
					t.Errorf("no JSON: %s", line)
				}
			}
		}
	}
	tables, err := keylog.Load([]string{keys})
	if err != nil {
		t.Fatal(err)
	}
	if v2, _, esp := tables.Len(); v2 != 1 || esp != 2 {
		t.Errorf("the last run's tables have %d IKE SAs and %d ESP SAs", v2, esp)
	}
	for _, name := range []string{keylog.TableIKEv2, keylog.TableESP} {
		info, err := os.Stat(filepath.Join(keys, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestRunRefusesWhatItCannotDo(t *testing.T) {
	trap := filepath.Join(t.TempDir(), "trap.yaml")
	text := "version: 1\nnode: {identity: a}\npeers: {hub: {addresses: 127.0.0.1, identity: b, auth: psk, psk: {env: X}}}\ntunnels: {t: {peer: hub, start: trap}}\n"
	if err := os.WriteFile(trap, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, says string
		code       int
		args       []string
	}{
		{"no policy", "needs --config", exitUsage, nil},
		{"nothing to do", "nothing to do", exitUsage, []string{"--local", "127.0.0.1"}},
		{"one port for both", "must differ", exitUsage, []string{"--config", trap, "--port", "4500"}},
		{"no address", "is not one address", exitUsage, []string{"--config", trap, "--local", "any"}},
		{"a file that is not there", "no such file", exitUnreachable, []string{"--config", trap + "x"}},
		{"a device for the kernel's ESP", "--mtu is for a TUN device", exitUsage, []string{"--config", trap, "--data", "xfrm", "--mtu", "1300"}},
		{"a way to carry traffic that there is not", "is none of [auto xfrm tun none]", exitUsage, []string{"--config", trap, "--data", "esp"}},
		{"a trap policy", "start trap", exitFailed, []string{"--config", trap}},
	} {
		t.Run(row.name, func(t *testing.T) {
			code, out, errs := run(t, "", nil, append([]string{"ipsec", "run", "--socket", "none", "--data", "none"}, row.args...)...)
			if code != row.code || out != "" || !strings.Contains(errs, row.says) {
				t.Errorf("exit code %d, want %d; %q, %q", code, row.code, out, errs)
			}
		})
	}
}

// TestKeyTablesOpenTheCaptureOfTheirOwnEngine proves that our own decoder opens
// every message of a tunnel to a real strongSwan, rekeyings and farewell
// included, with the tables that the engine wrote.
func TestKeyTablesOpenTheCaptureOfTheirOwnEngine(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lab.Need(t)
	var ours, theirs lab.End
	bench, err := lab.NewBench(ctx, lab.Scenario{Name: "run", Ends: func(a, b *lab.End) error {
		b.ESP = "aes256gcm16-ecp256"
		a.Absent = true
		ours, theirs = *a, *b
		return nil
	}}, t.TempDir())
	defer func() {
		if err := bench.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "psk"), []byte("lab only: never use this"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, findings := policy.Parse(ctx, "policy.yaml", fmt.Appendf(nil, `version: 1
node: {identity: %q, addresses: %s}
peers:
  gw: {addresses: %s, identity: %q, auth: psk, psk: {file: psk}}
tunnels:
  net: {peer: gw, local: %s, remote: %s}
`, ours.Local.ID, bench.OuterA, bench.OuterB, theirs.Local.ID, ours.LocalTS, theirs.LocalTS), policy.Options{Dir: dir})
	if p == nil {
		t.Fatal(findings)
	}
	packets := filepath.Join(dir, "run.pcap")
	recorder, err := lab.Record(ctx, bench.NSA, "eth0", packets)
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(dir, "keys")
	engine, err := native.Start(ctx, native.Options{Policy: p, Keys: &keyTables{dir: keys},
		Listen: func(a netip.AddrPort) (*net.UDPConn, error) { return bench.NSA.ListenUDP(a.String()) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		engine.Up(ctx, backend.Target{Child: "net"}, backend.UpOptions{}, nil),
		replaced(ctx, engine, event.ChildRekey, backend.Target{Child: "net"}),
		replaced(ctx, engine, event.IKERekey, backend.Target{IKE: "gw"}),
		engine.Close()); err != nil {
		t.Fatal(err)
	}
	lines := func() (sealed, opened int) {
		for line := range bytes.Lines(succeed(t, "pcap", "decode", packets, "--keys", keys, "-o", "jsonl")) {
			var frame struct {
				IKE struct{ Encrypted, Decrypted bool }
			}
			if err := json.Unmarshal(line, &frame); err != nil {
				t.Fatal(err)
			}
			if frame.IKE.Encrypted {
				sealed++
			}
			if frame.IKE.Decrypted {
				opened++
			}
		}
		return sealed, opened
	}
	// IKE_AUTH, two for the child's rekeying, two for the IKE SA's, and the
	// farewell: six exchanges of two messages.
	if err := lab.Eventually(ctx, time.Minute, "the capture to hold the farewell", func() bool { n, _ := lines(); return n >= 12 }); err != nil {
		t.Error(err)
	}
	if err := recorder.Stop(); err != nil {
		t.Error(err)
	}
	if sealed, opened := lines(); sealed != opened {
		t.Errorf("%d of %d messages are opened", opened, sealed)
	}
}

// replaced has something rekeyed and waits for it.
func replaced(ctx context.Context, e *native.Engine, kind event.ChangeKind, target backend.Target) error {
	for ev, err := range e.Events(ctx, backend.EventOptions{Every: -1}) {
		switch {
		case err != nil:
			return err
		case ev.Table != nil:
			if _, err := e.Rekey(ctx, target, backend.RekeyOptions{}); err != nil {
				return err
			}
		case ev.Change != nil && ev.Change.Kind == kind:
			return nil
		}
	}
	return ctx.Err()
}
