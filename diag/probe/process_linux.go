package probe

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cloudvlan/cvlanctl/diag"
)

// other says whether a process is in another network namespace than its caller,
// and names that.
func other(h *diag.HostFacts, pid int) bool {
	if pid <= 0 {
		return false
	}
	theirs, err := os.Readlink(namespaceOf(pid))
	ours, mine := os.Readlink("/proc/thread-self/ns/net")
	if err = errors.Join(err, mine); err != nil {
		unseen(h, "the daemon's network namespace", fmt.Errorf("process %d: %w; the facts below are of this program's own", pid, err))
		return false
	}
	if theirs != ours {
		h.Namespace = theirs
	}
	return theirs != ours
}

func namespaceOf(pid int) string { return fmt.Sprintf("/proc/%d/ns/net", pid) }

// enter goes into the network namespace of a process. The caller's goroutine
// must end afterwards: its thread is not given back, and ends with it. Not ok,
// with the reason in Unseen, where it may not.
func enter(h *diag.HostFacts, pid int) (ok bool) {
	runtime.LockOSThread()
	f, err := os.Open(namespaceOf(pid))
	if err == nil {
		err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		unseen(h, "this host", fmt.Errorf("the daemon (process %d) runs in another network namespace, %s, and it cannot be entered: %w", pid, h.Namespace, err))
		return false
	}
	h.Notes = append(h.Notes, fmt.Sprintf("the daemon (process %d) runs in another network namespace, %s: routes, firewall, sockets and XFRM are of that one", pid, h.Namespace))
	return true
}

// rootOf gives the folder in which a process sees its files.
func rootOf(pid int) string {
	if pid <= 0 {
		return "/"
	}
	return fmt.Sprintf("/proc/%d/root", pid)
}

// swanctlOf gives the folders that a daemon's environment names, by
// SWANCTL_DIR and beside STRONGSWAN_CONF.
func swanctlOf(pid int) []string {
	if pid <= 0 {
		return nil
	}
	b, err := readFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return nil // not permitted: the default stands
	}
	var l []string
	for _, v := range strings.Split(string(b), "\x00") {
		if dir, ok := strings.CutPrefix(v, "SWANCTL_DIR="); ok {
			l = append(l, dir)
		}
		if conf, ok := strings.CutPrefix(v, "STRONGSWAN_CONF="); ok {
			l = append(l, filepath.Join(filepath.Dir(conf), "swanctl"))
		}
	}
	return l
}

// Listener gives the process that listens on a unix socket, 0 where that
// cannot be told: nobody does, or it is in another PID namespace.
func Listener(path string) int {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return 0
	}
	defer func() { _ = c.Close() }() // nothing was written
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) { // an error leaves the pid at 0
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}
