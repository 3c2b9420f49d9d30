//go:build !linux

package link

import "net/netip"

// KnownMTU is 0: this program does not ask this system.
func KnownMTU(netip.Addr) int { return 0 }
