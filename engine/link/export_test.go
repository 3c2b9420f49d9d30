package link

import "net"

// Bounds of what waits for a tunnel.
const (
	HoldPackets = holdPackets
	HoldTotal   = holdTotal
	HoldSeconds = holdSeconds
	LateFor     = lateFor
)

// Second has a plane do what is due at a second, as its clock does.
func (p *Plane) Second(now int64) { p.second(now) }

// NewReader takes a socket as a pump does, and reads from it until it is closed.
func NewReader(c *net.UDPConn) (read func() ([]ESPPacket, error), stop func() error, err error) {
	b, err := takeConn(c)
	if err != nil {
		return nil, nil, err
	}
	return b.read, b.close, nil
}
