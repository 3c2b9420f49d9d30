//go:build !linux

package lab

import (
	"net"

	"github.com/cloudvlan/cvlanctl/lab/need"
)

// ListenUDP needs Linux.
func (ns *NS) ListenUDP(string) (*net.UDPConn, error) { return nil, need.ErrNotRoot }

// Do needs Linux.
func (ns *NS) Do(func() error) error { return need.ErrNotRoot }
