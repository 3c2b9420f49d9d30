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

// NewReader reads a socket as a pump does.
func NewReader(c *net.UDPConn) (func() ([]ESPPacket, error), error) {
	b, err := newBatchConn(c)
	if err != nil {
		return nil, err
	}
	return b.read, nil
}
