//go:build !linux

package lab

var guestEnv []string

func needsShield() bool { return false }

func shielded(start func() (*Process, error)) (*Process, error) { return start() }
