package lab

import (
	"syscall"
	"time"
)

// dieWithParent puts a child into a process group of its own, so that a
// terminal's ctrl-C reaches this process alone and it can tear down in order,
// and has the kernel end the child if this process dies without doing so.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// killGroup ends every process of the group that a child leads.
func killGroup(pid int) error { return syscall.Kill(-pid, syscall.SIGKILL) }

// nudge has a guest look every few moments whether its card has something for
// it, as long as it runs.
//
// A tap device tells its reader of a packet by SIGIO, and only then wakes those
// that poll it. User Mode Linux polls when the signal comes: on another processor
// it may do so between the two, finds nothing, and the packet waits in the device,
// counted by nobody as lost, until the signal of the next one. A single ping is
// then never answered. A signal without a packet does no harm.
func nudge(p *Process) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.Done():
			return
		case <-tick.C:
			_ = p.cmd.Process.Signal(syscall.SIGIO) // it may have just ended
		}
	}
}
