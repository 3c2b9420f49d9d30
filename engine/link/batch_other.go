//go:build !linux

package link

import (
	"fmt"
	"net"
	"net/netip"
)

// batchConn moves datagrams one by one: other systems have no call for many.
type batchConn struct {
	local   netip.AddrPort
	udp     *net.UDPConn
	buffer  []byte
	packets []ESPPacket
}

func newBatchConn(c net.PacketConn) (*batchConn, error) {
	u, ok := c.(*net.UDPConn)
	if !ok {
		return nil, fmt.Errorf("socket %v is not UDP", c.LocalAddr())
	}
	local, err := localAddr(u)
	if err != nil {
		return nil, err
	}
	return &batchConn{local: local, udp: u, buffer: make([]byte, maxDatagram)}, nil
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
