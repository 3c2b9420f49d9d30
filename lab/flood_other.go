//go:build !linux

package lab

import (
	"context"
	"net/netip"

	"github.com/cloudvlan/cvlanctl/lab/need"
)

// Flood needs Linux.
func (ns *NS) Flood(context.Context, netip.AddrPort, int, func([]byte) int) (int, error) {
	return 0, need.ErrNotRoot
}
