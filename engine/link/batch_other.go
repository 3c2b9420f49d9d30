//go:build !linux

package link

import (
	"errors"
	"net"
	"net/netip"
)

// batchConn moves datagrams one by one: other systems have no call for many.
type batchConn struct {
	local   netip.AddrPort
	udp     *net.UDPConn
	own     bool // it ends with it
	buffer  []byte
	packets []ESPPacket
}

// shareConn makes ready the socket of a connection to write to; somebody else
// reads from it and ends it.
func shareConn(c *net.UDPConn) (*batchConn, error) {
	local, err := localAddr(c)
	if err != nil {
		return nil, err
	}
	return &batchConn{local: local, udp: c}, nil
}

// takeConn makes ready the socket of a connection, which is its own from then on.
func takeConn(c *net.UDPConn) (*batchConn, error) {
	b, err := shareConn(c)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	b.own, b.buffer = true, make([]byte, maxDatagram)
	return b, nil
}

// takeRaw says that there is no ESP without UDP here.
func takeRaw(in, out *net.IPConn) (*batchConn, error) {
	return nil, errors.Join(errors.New("ESP without UDP needs Linux"), in.Close(), out.Close())
}

// close ends it.
func (b *batchConn) close() error {
	if !b.own {
		return nil
	}
	return b.udp.Close()
}

// send writes one datagram.
func (b *batchConn) send(octets []byte, to netip.AddrPort) error {
	_, err := b.udp.WriteToUDPAddrPort(octets, to)
	return err
}

// read gives the datagram that has come. It is valid until the next read.
func (b *batchConn) read() ([]ESPPacket, error) {
	n, from, err := b.udp.ReadFromUDPAddrPort(b.buffer)
	if err != nil {
		return nil, err
	}
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	b.packets = append(b.packets[:0], ESPPacket{Remote: from, Octets: b.buffer[:n:n]})
	return b.packets, nil
}

// sender writes packets. It is for one goroutine.
type sender struct {
	conn    *batchConn
	dropped func(packets int, err error)
}

func newSender(b *batchConn, dropped func(packets int, err error)) *sender {
	return &sender{b, dropped}
}

// add writes a packet at once.
func (s *sender) add(packet []byte, to net.Addr, _ uint8) {
	if _, err := s.conn.udp.WriteTo(packet, to); err != nil {
		s.dropped(1, err)
	}
}

// flush does nothing: all is written.
func (s *sender) flush() {}
