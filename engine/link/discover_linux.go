package link

import (
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// KnownMTU asks the system for the path MTU to an address, by a socket that
// sends nothing: that of the route, or what routers on the way have told; 0 where
// it does not know.
func KnownMTU(remote netip.Addr) int {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(remote, 9)))
	if err != nil {
		return 0
	}
	defer func() { _ = c.Close() }() // nothing was sent
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	level, option := unix.IPPROTO_IP, unix.IP_MTU
	if remote.Is6() {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_MTU
	}
	mtu := 0
	if raw.Control(func(fd uintptr) { mtu, err = unix.GetsockoptInt(int(fd), level, option) }) != nil || err != nil {
		return 0
	}
	return mtu
}
