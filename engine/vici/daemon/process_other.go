//go:build !linux

package daemon

import (
	"errors"
	"syscall"
)

func ownSession() *syscall.SysProcAttr { return nil }

// startTime needs Linux.
func startTime(int) (uint64, error) {
	return 0, errors.New("the start time of a process is not known on this system")
}

// ikeSockets needs Linux.
func ikeSockets(string) int { return 0 }
