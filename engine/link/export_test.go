package link

import "net"

// NewReader reads a socket as a pump does.
func NewReader(c *net.UDPConn) (func() ([]ESPPacket, error), error) {
	b, err := newBatchConn(c)
	if err != nil {
		return nil, err
	}
	return b.read, nil
}
