package probe

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cloudvlan/cvlanctl/lab/need"
)

// TestADaemonInAnotherNetworkNamespaceIsLookedAtThere has a process sleep in a
// network namespace of its own, which has no interface but an own loopback.
func TestADaemonInAnotherNetworkNamespaceIsLookedAtThere(t *testing.T) {
	need.Root(t)
	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill() // it sleeps for the test only
		_ = cmd.Wait()
	}()
	here, there := Host(context.Background(), Options{PID: os.Getpid()}), Host(context.Background(), Options{PID: cmd.Process.Pid})
	if here.Namespace != "" || len(here.Notes) > 0 {
		t.Errorf("our own namespace is taken for another one: %q %q", here.Namespace, here.Notes)
	}
	if there.Namespace == "" || len(there.Interfaces) >= len(here.Interfaces) || len(there.Notes) != 1 || !strings.Contains(there.Notes[0], "another network namespace") {
		t.Errorf("namespace %q, interfaces %+v, notes %q", there.Namespace, there.Interfaces, there.Notes)
	}
	for _, i := range there.Interfaces {
		if len(i.Prefixes) > 0 || i.Up {
			t.Errorf("an interface of this namespace: %+v", i)
		}
	}
	// Nothing of it stays: the next look is at our own again.
	if again := Host(context.Background(), Options{}); len(again.Interfaces) != len(here.Interfaces) {
		t.Errorf("%d interfaces afterwards, %d before", len(again.Interfaces), len(here.Interfaces))
	}
	if gone := Host(context.Background(), Options{PID: 1 << 30}); len(gone.Unseen) == 0 || gone.Unseen[0].What != "the daemon's network namespace" {
		t.Errorf("a process that is not there: %+v", gone.Unseen)
	}
}

func TestTheProcessBehindASocketIsKnown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if pid := Listener(path); pid != os.Getpid() {
		t.Errorf("process %d, want %d", pid, os.Getpid())
	}
	if pid := Listener(path + "-not-there"); pid != 0 {
		t.Errorf("process %d behind nothing", pid)
	}
}
