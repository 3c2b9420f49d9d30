//go:build !linux

package lab

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }

func killGroup(int) error { return ErrNotRoot }
