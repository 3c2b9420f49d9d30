package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/cloudvlan/cvlanctl/lab"
)

// patience is how long anything may take on a busy machine.
const patience = time.Minute

// ending is a place where engines run and end, one after another: an end of a
// bench, and all that its system has before the first of them.
type ending struct {
	t       *testing.T
	b       *lab.Bench
	binary  string
	file    string // the policy
	socket  string
	before  string
	running *exec.Cmd
	out     lockedBuffer
}

// lockedBuffer is written by a program that runs and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newEnding lays a bench whose tunnel leads to a network that the peer itself is
// in: so there is a route of the engine's that does not go with its device.
func newEnding(t *testing.T) *ending {
	t.Helper()
	b := benchOf(t, func(theirs *lab.End) { theirs.LocalTS += ",192.0.0.0/16" })
	e := &ending{t: t, b: b, binary: program(t)}
	e.file = policyOf(t, b, "start", fmt.Sprintf("[%s/32, 192.0.0.0/16]", b.InnerB))
	e.socket = filepath.Join(filepath.Dir(e.file), "engine.vici")
	e.before = e.system()
	return e
}

// system gives the links, addresses, rules, routes and policies of our end.
func (e *ending) system() string {
	e.t.Helper()
	out, err := e.b.NSA.Exec(e.t.Context(), "sh", "-c", `ip -o link; ip -o addr; ip rule; ip -6 rule; ip route show table all; ip -6 route show table all
ip xfrm policy 2>/dev/null; ip xfrm state 2>/dev/null; true`)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

// clean proves that the system is as it was.
func (e *ending) clean() {
	e.t.Helper()
	if now := e.system(); now != e.before {
		e.t.Errorf("before:\n%s\nafter:\n%s", e.before, now)
	}
}

// command is the engine in our end's namespace. There are few ways to the
// process itself: ip netns exec replaces itself by the program, as does exec.
func (e *ending) command(wrap ...string) *exec.Cmd {
	args := append([]string{"netns", "exec", e.b.NSA.Name}, wrap...)
	e.running = exec.Command("ip", append(args, e.binary, "ipsec", "run", "--config", e.file, "--data", "tun", "--socket", e.socket, "-o", "jsonl")...)
	return e.running
}

// start starts the engine, and waits until its tunnel carries pings.
func (e *ending) start(wrap ...string) {
	e.t.Helper()
	cmd := e.command(wrap...)
	cmd.Stdout, cmd.Stderr = &e.out, &e.out
	if err := cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = cmd.Process.Kill() }) // where the test did not come so far
	e.carries()
}

// carries waits until the tunnel of our end carries pings: without its route
// they would go in the clear.
func (e *ending) carries() {
	e.t.Helper()
	if err := lab.Eventually(e.t.Context(), patience, "the tunnel to carry pings", func() bool {
		routes, err := e.b.NSA.Exec(e.t.Context(), "ip", "route", "show", e.b.InnerB)
		if err != nil || !strings.Contains(routes, "dev cvl") {
			return false
		}
		n, err := lab.Ping(e.t.Context(), e.b.NSA, e.b.InnerA, e.b.InnerB, 1, time.Second)
		return err == nil && n == 1
	}); err != nil {
		e.t.Fatalf("%v; the program: %s", err, e.out.String())
	}
	if !strings.Contains(e.system(), e.b.OuterB+" dev eth0 proto 157") {
		e.t.Error("there is no route to the peer outside of the tunnel: the test proves little")
	}
}

// stop ends the engine by a signal and waits for its end.
func (e *ending) stop(s os.Signal) {
	e.t.Helper()
	if err := e.running.Process.Signal(s); err != nil {
		e.t.Fatal(err)
	}
	_ = e.running.Wait() // how it ends is told by what it leaves
}

// told waits until the peer has no SA left.
func (e *ending) told() {
	e.t.Helper()
	if err := lab.Eventually(e.t.Context(), patience, "the peer to hear of the end", func() bool {
		text, err := e.b.B.Swanctl(e.t.Context(), "--list-sas")
		return err == nil && !strings.Contains(text, "ESTABLISHED")
	}); err != nil {
		e.t.Errorf("%v; the program: %s", err, e.out.String())
	}
}

func TestTheEngineLeavesNothingBehindHoweverItEnds(t *testing.T) {
	e := newEnding(t)
	for name, signal := range map[string]syscall.Signal{"an interrupt": syscall.SIGINT, "SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			e.t = t
			e.start()
			e.stop(signal)
			e.clean()
			e.told()
		})
	}
	t.Run("a closed terminal", func(t *testing.T) {
		e.t = t
		// Tests that run under nohup would hand down that a hang-up is ignored.
		heard := make(chan os.Signal, 1)
		signal.Notify(heard, syscall.SIGHUP)
		defer signal.Stop(heard)
		cmd := e.command()
		terminal, err := pty.Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		// Nobody reads it: what the engine tells has room in it.
		e.carries()
		if err := terminal.Close(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		e.clean()
		e.told()
	})
	t.Run("SIGKILL, and the next start", func(t *testing.T) {
		e.t = t
		e.start()
		e.stop(syscall.SIGKILL)
		left := strings.ReplaceAll(e.system(), e.b.OuterB+" dev eth0 proto 157", "")
		if strings.Contains(left, "cvl0") || strings.Contains(left, e.b.InnerB) {
			t.Errorf("left behind: %s", left)
		}
		// Another policy: the route to this peer is not wanted any more.
		e.file = policyOf(t, e.b, "start", e.b.InnerB+"/32")
		cmd := e.command()
		cmd.Stdout, cmd.Stderr = &e.out, &e.out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if err := lab.Eventually(t.Context(), patience, "the next start to clean up", func() bool {
			system := e.system()
			return strings.Contains(system, e.b.InnerB+" dev cvl0") && !strings.Contains(system, "proto 157")
		}); err != nil {
			t.Error(err)
		}
		e.stop(syscall.SIGTERM)
		e.clean()
		e.told()
	})
}

// onDisk runs a program with a small disk of its own in the place where the
// engine keeps its notes; what it tells goes to a file there.
const onDisk = `mkdir -p /run/cvlanctl && mount -t tmpfs -o size=256k tmpfs /run/cvlanctl && %s exec "$@" >/run/cvlanctl/told`

// fill fills the disk of a process until nothing more goes in.
func fill(t *testing.T, pid int) {
	t.Helper()
	f, err := os.Create(fmt.Sprintf("/proc/%d/root/run/cvlanctl/fill", pid))
	if err != nil {
		t.Fatal(err)
	}
	for size := 4096; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	_ = f.Close() // it is full
}

func TestTheEngineEndsCleanlyOnAFullDisk(t *testing.T) {
	e := newEnding(t)
	t.Run("that fills while its tunnel is up", func(t *testing.T) {
		e.t = t
		e.start("unshare", "-m", "sh", "-c", fmt.Sprintf(onDisk, ""), "sh")
		fill(t, e.running.Process.Pid)
		done := make(chan error, 1)
		go func() { done <- e.running.Wait() }()
		var ended error
		if err := lab.Eventually(t.Context(), patience, "the engine to end", func() bool {
			// Something to tell: what is left of its last page fills first.
			_, _ = e.b.B.Swanctl(t.Context(), "--rekey", "--child", "net")
			select {
			case ended = <-done:
				return true
			default:
				return false
			}
		}); err != nil {
			t.Fatal(err)
		}
		if err := ended; err == nil || !strings.Contains(e.out.String(), "no space left on device") {
			t.Errorf("it ended with %v: %s", err, e.out.String())
		}
		e.clean()
		e.told()
	})
	t.Run("that is full from the start", func(t *testing.T) {
		e.t = t
		e.out = lockedBuffer{}
		cmd := e.command("unshare", "-m", "sh", "-c", strings.ReplaceAll(fmt.Sprintf(onDisk, "dd if=/dev/zero of=/run/cvlanctl/fill bs=1k 2>/dev/null;"), "/run/cvlanctl/told", "/dev/stderr"), "sh")
		cmd.Stdout, cmd.Stderr = &e.out, &e.out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() }) // where the test did not come so far
		// What could not be taken back after a crash is not set at all.
		if err := lab.Eventually(t.Context(), patience, "it to say why the tunnel carries nothing", func() bool {
			return strings.Contains(e.out.String(), "cannot be noted down, and so not be set") && strings.Contains(e.out.String(), "no space left on device")
		}); err != nil {
			t.Errorf("%v: %s", err, e.out.String())
		}
		if system := e.system(); strings.Contains(system, "proto 157") || strings.Contains(system, e.b.InnerB) {
			t.Errorf("there is %s", system)
		}
		e.stop(syscall.SIGTERM)
		e.clean()
		e.told()
	})
}

// TestAllTunnelsAreBackAfterACrash kills an engine with several children, and
// starts it again.
func TestAllTunnelsAreBackAfterACrash(t *testing.T) {
	b := benchOf(t, nil)
	if err := lab.Address(t.Context(), b.NSB, "lo", "10.2.0.2/32"); err != nil {
		t.Fatal(err)
	}
	conf := strings.Replace(b.EndB.SwanctlConf(), "children {\n", `children {
second { local_ts = 10.2.0.2/32
remote_ts = 10.1.0.1/32
esp_proposals = aes256gcm16 }
six { local_ts = fd00:2::1/128
remote_ts = fd00:1::1/128
esp_proposals = aes256gcm16 }
`, 1)
	if err := b.B.Load(t.Context(), conf); err != nil {
		t.Fatal(err)
	}
	e := &ending{t: t, b: b, binary: program(t), file: policyOf(t, b, "start", b.InnerB+"/32")}
	text, err := os.ReadFile(e.file)
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, `  second: {peer: gw, local: 10.1.0.1/32, remote: 10.2.0.2/32, start: start, esp: {proposals: aes256gcm16}}
  six: {peer: gw, local: "fd00:1::1/128", remote: "fd00:2::1/128", start: start, esp: {proposals: aes256gcm16}}
`...)
	if err := os.WriteFile(e.file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	e.socket = filepath.Join(filepath.Dir(e.file), "engine.vici")
	run := func() {
		t.Helper()
		cmd := e.command()
		cmd.Stdout, cmd.Stderr = &e.out, &e.out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() }) // where the test did not come so far
		for _, way := range [][2]string{{"10.1.0.1", "10.2.0.1"}, {"10.1.0.1", "10.2.0.2"}, {"fd00:1::1", "fd00:2::1"}} {
			if err := lab.Eventually(t.Context(), patience, "pings to "+way[1], func() bool {
				n, err := lab.Ping(t.Context(), b.NSA, way[0], way[1], 1, time.Second)
				return err == nil && n == 1
			}); err != nil {
				t.Errorf("%v; the program: %s", err, e.out.String())
			}
		}
		if err := lab.Eventually(t.Context(), patience, "the peer to have these SAs alone", func() bool {
			text, err := b.B.Swanctl(t.Context(), "--list-sas")
			return err == nil && strings.Count(text, "ESTABLISHED") == 1 && strings.Count(text, "INSTALLED") == 3
		}); err != nil {
			t.Error(err)
		}
	}
	run()
	e.stop(syscall.SIGKILL)
	run()
	e.stop(syscall.SIGTERM)
	e.told()
}
