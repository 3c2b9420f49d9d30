//go:build !linux

package link

import "errors"

// ErrNoTUN says that this program makes no TUN devices on this system.
var ErrNoTUN = errors.New("TUN devices are made on Linux only; a stack within the process (--netstack) works everywhere")

// TUN is a device of the system.
type TUN struct {
	Device
	Name string
}

// OpenTUN needs Linux.
func OpenTUN(string, int, string) (*TUN, error) { return nil, ErrNoTUN }
