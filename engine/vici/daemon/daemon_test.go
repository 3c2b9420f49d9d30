package daemon_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/engine/vici/daemon"
	"github.com/cloudvlan/cvlanctl/lab"
)

// private gives a configuration for a daemon in a namespace of its own.
// Without root it skips the test; in CI that is a failure.
func private(t *testing.T) daemon.Config {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	lab.Need(t)
	ns, err := lab.NewNS(ctx, "daemon")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ns.Delete(); err != nil {
			t.Error(err)
		}
	})
	dir, err := os.MkdirTemp("", "cvl-d-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // a temporary folder
	return daemon.Config{Dir: filepath.Join(dir, "d"), UserESP: true, Through: []string{"ip", "netns", "exec", ns.Name}}
}

func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func gone(t *testing.T, d *daemon.Daemon) {
	t.Helper()
	if err := syscall.Kill(d.PID(), 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d: %v", d.PID(), err)
	}
	if _, err := os.Stat(d.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("folder %s: %v", d.Dir(), err)
	}
}

func TestStartedDaemonAnswersAndLeavesNothingBehind(t *testing.T) {
	d, err := daemon.Start(limit(t), private(t))
	if err != nil {
		t.Fatal(err)
	}
	c, err := vici.Dial(limit(t), d.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // never fails
	if s, err := c.Stats(limit(t)); err != nil || len(s.Plugins) < 10 {
		t.Errorf("%+v, %v", s, err)
	}
	if info, err := os.Stat(d.Dir()); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder %v, %v", info, err)
	}
	if d.Err() != nil {
		t.Errorf("it runs, but: %v", d.Err())
	}
	if err := d.Stop(); err != nil {
		t.Fatal(err)
	}
	gone(t, d)
	if err := d.Stop(); err != nil {
		t.Errorf("stopping twice: %v", err)
	}
}

// TestAnotherProcessFindsAndStopsIt proves what commands start and stop do in
// two runs of the program.
func TestAnotherProcessFindsAndStopsIt(t *testing.T) {
	c := private(t)
	d, err := daemon.Start(limit(t), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := daemon.Start(limit(t), c); !errors.Is(err, daemon.ErrPresent) {
		t.Errorf("a second one in the same folder: %v", err)
	}
	second := c
	second.Dir = filepath.Join(filepath.Dir(c.Dir), "e")
	if _, err := daemon.Start(limit(t), second); !errors.Is(err, daemon.ErrPresent) {
		t.Errorf("a second one on the same ports: %v", err)
	}
	if _, err := os.Stat(second.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the second one's folder: %v", err)
	}
	found, err := daemon.Attach(c.Dir)
	if err != nil || found.PID() != d.PID() {
		t.Fatalf("%v, %v", found, err)
	}
	if err := found.Stop(); err != nil {
		t.Fatal(err)
	}
	gone(t, d)
	<-d.Done()
	if _, err := daemon.Attach(c.Dir); !errors.Is(err, daemon.ErrNotOurs) {
		t.Errorf("after its end: %v", err)
	}
}

func TestDeathIsNoticedWithItsReason(t *testing.T) {
	d, err := daemon.Start(limit(t), private(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(d.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-d.Done():
	case <-limit(t).Done():
		t.Fatal("its death was not noticed")
	}
	if err := d.Err(); !errors.Is(err, daemon.ErrDied) || !strings.Contains(err.Error(), "killed") || !strings.Contains(err.Error(), "last words") {
		t.Error(err)
	}
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	gone(t, d)
}

func TestDaemonThatCannotStartSaysWhy(t *testing.T) {
	c := private(t)
	c.Plugins = []string{"pem", "vici"} // charon needs more than that
	_, err := daemon.Start(limit(t), c)
	if !errors.Is(err, daemon.ErrDied) || !strings.Contains(err.Error(), "last words") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(c.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	rows := []struct {
		name   string
		config daemon.Config
		want   string
	}{
		{"a path too long for a socket", daemon.Config{Binary: "/bin/true", Dir: "/tmp/" + strings.Repeat("x", 120)}, "octets"},
		{"a folder that would break the configuration", daemon.Config{Binary: "/bin/true", Dir: filepath.Join(t.TempDir(), "a}b"), Through: []string{"env"}}, "cannot stand"},
		{"a program that is not there", daemon.Config{Binary: "/no/such/charon", Dir: filepath.Join(t.TempDir(), "d"), Through: []string{"/no/such/env"}}, "starting"},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if _, err := daemon.Start(limit(t), r.config); err == nil || !strings.Contains(err.Error(), r.want) {
				t.Errorf("%v", err)
			}
			if _, err := os.Stat(r.config.Dir); err == nil {
				t.Error("a folder stays behind")
			}
		})
	}
	if errors.Is(daemon.ErrPresent, backend.ErrRefused) {
		t.Error("a daemon that is there is no refusal of a command")
	}
}
