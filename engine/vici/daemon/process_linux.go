package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// ownSession keeps the terminal's signals from the daemon.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

var errGone = errors.New("no such process")

// startTime gives when a process was started, in ticks since the system's
// start. A process that has ended and was not yet waited for is gone.
func startTime(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, errGone
	}
	// The name in parentheses may hold anything: what counts follows the last.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	const state, start = 0, 19
	if len(fields) <= start || string(fields[state]) == "Z" {
		return 0, errGone
	}
	return strconv.ParseUint(string(fields[start]), 10, 64)
}

// ikeSockets counts the IPv4 sockets on UDP port 500 in the network of a
// process, 0 where the system does not tell.
func ikeSockets(pid string) int {
	b, err := os.ReadFile("/proc/" + pid + "/net/udp")
	if err != nil {
		return 0
	}
	n := 0
	for line := range bytes.Lines(b) {
		if f := bytes.Fields(line); len(f) > 1 && bytes.HasSuffix(f[1], []byte(":01F4")) {
			n++
		}
	}
	return n
}
