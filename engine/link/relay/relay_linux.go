package relay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listen opens a socket for a host outside, in front of which a Relay may
// stand: the address is shared with the relay's sockets, of which the kernel
// prefers those that are connected to who sends.
func Listen(a netip.AddrPort) (*net.UDPConn, error) {
	c, err := (&net.ListenConfig{Control: share}).ListenPacket(context.Background(), "udp", a.String())
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(errors.New("no UDP socket"), c.Close())
	}
	return u, nil
}

// share lets several sockets have one address.
func share(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
	return errors.Join(err, failed)
}

// listenFront opens the socket that takes what the inside sends to its peer.
func listenFront(w Way) (*net.UDPConn, error) {
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(w.Outside), Control: share}
	c, err := d.Dial("udp", w.Inside.String())
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(errors.New("no UDP socket"), c.Close())
	}
	return u, nil
}

func (f *front) send(b []byte, _ netip.AddrPort) error {
	_, err := f.conn.Write(b) // it is connected to the inside
	return err
}
