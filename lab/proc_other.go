//go:build !linux

package lab

import (
	"syscall"

	"github.com/cloudvlan/cvlanctl/lab/need"
)

func dieWithParent() *syscall.SysProcAttr { return nil }

func killGroup(int) error { return need.ErrNotRoot }

func nudge(*Process) {} // no guest runs there
