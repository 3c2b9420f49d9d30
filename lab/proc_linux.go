package lab

import "syscall"

// dieWithParent puts a child into a process group of its own, so that a
// terminal's ctrl-C reaches this process alone and it can tear down in order,
// and has the kernel end the child if this process dies without doing so.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// killGroup ends every process of the group that a child leads.
func killGroup(pid int) error { return syscall.Kill(-pid, syscall.SIGKILL) }
