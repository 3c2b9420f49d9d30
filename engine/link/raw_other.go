//go:build !linux

package link

import (
	"errors"
	"net"
	"net/netip"
)

// ListenRaw says that there is no ESP without UDP here.
func ListenRaw(netip.Addr) (*net.IPConn, error) {
	return nil, errors.New("ESP without UDP needs Linux")
}
