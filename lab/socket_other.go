//go:build !linux

package lab

import "net"

// ListenUDP needs Linux.
func (ns *NS) ListenUDP(string) (*net.UDPConn, error) { return nil, ErrNotRoot }

// Do needs Linux.
func (ns *NS) Do(func() error) error { return ErrNotRoot }
