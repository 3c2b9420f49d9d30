//go:build !linux

package lab

import "net"

// ListenUDP needs Linux.
func (ns *NS) ListenUDP(string) (*net.UDPConn, error) { return nil, ErrNotRoot }
