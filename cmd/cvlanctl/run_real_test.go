package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
)

// built is where the program lies once a test has asked for it; it goes when all
// tests have ended.
var built string

var build = sync.OnceValue(func() error {
	dir, err := os.MkdirTemp("", "cvl-program-")
	if err != nil {
		return err
	}
	built = filepath.Join(dir, "cvlanctl")
	out, err := exec.Command("go", "build", "-o", built, ".").CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return os.Chmod(dir, 0o755) // for other users too
})

// program builds the program itself.
func program(t *testing.T) string {
	t.Helper()
	if err := build(); err != nil {
		t.Fatalf("building the program: %v", err)
	}
	return built
}

// bench is a strongSwan that waits for our engine.
func bench(t *testing.T) *lab.Bench {
	t.Helper()
	return benchOf(t, nil)
}

// benchOf is bench with a change of the peer's end.
func benchOf(t *testing.T, change func(theirs *lab.End)) *lab.Bench {
	t.Helper()
	return lay(t, lab.Scenario{Name: "program", Ends: func(a, b *lab.End) error {
		a.Absent = true
		b.ESP = "aes256gcm16"
		if change != nil {
			change(b)
		}
		return nil
	}})
}

// lay lays a bench until the test ends.
func lay(t *testing.T, s lab.Scenario) *lab.Bench {
	t.Helper()
	lab.Need(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	b := lab.BenchFor(ctx, t, s)
	return b
}

// policy writes the policy of our end.
func policy(t *testing.T, b *lab.Bench, start string) string {
	t.Helper()
	return policyOf(t, b, start, b.InnerB+"/32")
}

// policyOf is policy with the remote networks of its tunnel.
func policyOf(t *testing.T, b *lab.Bench, start, remote string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cvl-policy-") // readable for other users, unlike a test's own
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // a temporary folder
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "site.yaml")
	text := fmt.Sprintf(`version: 1
node: {identity: initiator.lab, addresses: %s}
peers:
  gw: {addresses: %s, identity: responder.lab, auth: psk, psk: {file: psk}}
tunnels:
  net: {peer: gw, local: %s/32, remote: %s, start: %s, esp: {proposals: aes256gcm16}}
`, b.OuterA, b.OuterB, b.InnerA, remote, start)
	for name, content := range map[string]string{"site.yaml": text, "psk": "lab only: never use this\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// asNobody runs the program in our end's namespace as an ordinary user.
func asNobody(b *lab.Bench, binary string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", b.NSA.Name, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", binary}, args...)...)
}

// powerless proves that a process is nobody's and has no right that root has. It
// must have become the program by now.
func powerless(t *testing.T, pid int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Name:\tcvlanctl\n", "Uid:\t65534\t65534\t65534\t65534\n", "Gid:\t65534\t65534\t65534\t65534\n", "CapPrm:\t0000000000000000\n", "CapEff:\t0000000000000000\n", "CapAmb:\t0000000000000000\n"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("the program has rights: no %q in %s", want, status)
		}
	}
}

// TestAnOrdinaryUserPingsThroughATunnelToStrongSwan proves that a tunnel needs
// no root: the stack within the process carries it.
func TestAnOrdinaryUserPingsThroughATunnelToStrongSwan(t *testing.T) {
	b := bench(t)
	binary, file := program(t), policy(t, b, "none")
	out, err := asNobody(b, binary, "ipsec", "up", "gw/net", "--config", file, "--netstack", "--ping", b.InnerB, "--count", "3", "--size", "1000").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"IKE_SA_INIT 0 request", "IKE_AUTH 1 response", "gw/net is up", "1008 octets from " + b.InnerB, "3 of 3 pings answered"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not told:\n%s", want, out)
		}
	}
	if err := lab.Eventually(t.Context(), time.Minute, "the peer to hear that it is over", func() bool {
		text, err := b.B.Swanctl(t.Context(), "--list-sas")
		return err == nil && !strings.Contains(text, "ESTABLISHED")
	}); err != nil {
		t.Error(err)
	}

	t.Run("for programs", func(t *testing.T) {
		out, err := asNobody(b, binary, "ipsec", "up", "gw/net", "--config", file, "--netstack", "--ping", b.InnerB, "--count", "2", "-o", "json").Output()
		var told struct {
			Success bool
			Events  []struct{ Kind string }
			Pings   []struct {
				Address  string
				Answered bool
				RTT      float64
			}
		}
		if err := errors.Join(err, json.Unmarshal(out, &told)); err != nil || !told.Success || len(told.Events) == 0 || len(told.Pings) != 2 || !told.Pings[1].Answered || told.Pings[1].RTT <= 0 || told.Pings[1].Address != b.InnerB {
			t.Errorf("%v\n%s", err, out)
		}
		for _, e := range told.Events {
			if e.Kind == "unknown" {
				t.Errorf("an event that tells nothing:\n%s", out)
			}
		}
	})
	t.Run("a host that does not answer", func(t *testing.T) {
		out, err := asNobody(b, binary, "ipsec", "up", "gw/net", "--config", file, "--netstack", "--ping", "10.200.0.1", "--count", "1").CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "the tunnel is up, and 10.200.0.1 answers none") {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("TCP through the tunnel", func(t *testing.T) {
		var server net.Listener
		if err := b.NSB.Do(func() (err error) {
			server, err = net.Listen("tcp", b.InnerB+":8080")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = server.Close() }() // nobody connects any more
		go func() {
			for {
				c, err := server.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, "hello from behind")
				_ = c.Close()
			}
		}()
		cmd := asNobody(b, binary, "ipsec", "up", "gw/net", "--config", file, "--netstack", "--forward", "18080:"+b.InnerB+":8080")
		var told bytes.Buffer
		cmd.Stdout, cmd.Stderr = &told, &told
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}()
		defer powerless(t, cmd.Process.Pid)
		if err := lab.Eventually(t.Context(), time.Minute, "an answer through the tunnel", func() bool {
			var c net.Conn
			if err := b.NSA.Do(func() (err error) {
				c, err = net.DialTimeout("tcp", "127.0.0.1:18080", time.Second)
				return err
			}); err != nil {
				return false
			}
			defer func() { _ = c.Close() }()
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			out, err := io.ReadAll(c)
			return err == nil && string(out) == "hello from behind"
		}); err != nil {
			t.Errorf("%v\n%s", err, told.String())
		}
	})
	t.Run("a tunnel that does not come up", func(t *testing.T) {
		wrong := filepath.Join(filepath.Dir(file), "psk")
		if err := os.WriteFile(wrong, []byte("another key\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := asNobody(b, binary, "ipsec", "up", "gw/net", "--config", file, "--netstack", "--ping", b.InnerB).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), "AUTHENTICATION_FAILED") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}
