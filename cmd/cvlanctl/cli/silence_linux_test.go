package cli

import (
	"strings"
	"syscall"
	"testing"
)

// TestTheMonitorSaysThatADaemonHangs stops a real daemon, which then neither
// answers nor hangs up, and lets it go on.
func TestTheMonitorSaysThatADaemonHangs(t *testing.T) {
	r := peers(t)
	pid, err := r.A.PID()
	if err != nil {
		t.Fatal(err)
	}
	signal := func(s syscall.Signal) {
		if err := syscall.Kill(pid, s); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { signal(syscall.SIGCONT) })
	stage := 0
	code, out, errs := onScreen(t, false, func(text string) bool {
		switch {
		case stage == 0 && strings.Contains(text, "following the daemon"):
			signal(syscall.SIGSTOP)
			stage++
		case stage == 1 && strings.Contains(text, "NO ANSWER for "):
			signal(syscall.SIGCONT)
			stage++
		case stage == 2 && strings.Contains(text, "answers again"):
			stage++
		}
		return stage == 3
	}, "ipsec", "monitor", "--source", r.source())
	if stage != 3 || code != exitInterrupted {
		t.Errorf("stage %d, exit code %d: %s%s", stage, code, out, errs)
	}
}
