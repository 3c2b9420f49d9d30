//go:build !linux

package relay

import (
	"net"
	"net/netip"
)

// Listen opens a socket for a host outside.
func Listen(a netip.AddrPort) (*net.UDPConn, error) {
	return net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
}

// listenFront opens the socket that the inside speaks to.
func listenFront(w Way) (*net.UDPConn, error) {
	return net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(w.Outside.Addr(), 0)))
}

func (f *front) send(b []byte, inside netip.AddrPort) error {
	_, err := f.conn.WriteToUDPAddrPort(b, inside)
	return err
}
