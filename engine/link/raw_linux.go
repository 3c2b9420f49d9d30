package link

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// protocolESP is the number of the IP protocol.
const protocolESP = 50

// ListenRaw opens a raw socket for ESP, bound to an address, which may be none
// of this host's. It needs CAP_NET_RAW.
func ListenRaw(local netip.Addr) (*net.IPConn, error) {
	network, level, option := "ip4", unix.IPPROTO_IP, unix.IP_FREEBIND
	if local.Is6() {
		network, level, option = "ip6", unix.IPPROTO_IPV6, unix.IPV6_FREEBIND
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if e := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) }); e != nil {
			return e
		}
		return err
	}}
	c, err := lc.ListenPacket(context.Background(), fmt.Sprintf("%s:%d", network, protocolESP), local.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.IPConn), nil
}
