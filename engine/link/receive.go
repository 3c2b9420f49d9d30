package link

import (
	"net/netip"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// incoming is a batch of packets that were opened.
type incoming struct {
	bufs [][]byte
	open [][]byte // what came out of them, as the device takes it
}

// receiver opens ESP packets, on one goroutine: the first stage of a lane to
// the device.
type receiver struct {
	p    *Plane
	lane *lane[*incoming]
	now  *incoming // that is being filled; nil for none
	seen []*planeChild
}

func (p *Plane) newReceiver() *receiver {
	n := max(p.device.BatchSize(), 1)
	r := &receiver{p: p}
	r.lane = newLane(p, func() *incoming {
		b := &incoming{bufs: make([][]byte, n), open: make([][]byte, 0, n)}
		for i := range b.bufs {
			b.bufs[i] = make([]byte, offset+maxDatagram)
		}
		return b
	}, p.deliver)
	return r
}

// deliver writes what was opened.
func (p *Plane) deliver(b *incoming) {
	p.write.Lock()
	_, _ = p.device.Write(b.open, offset) // what a device does not take is lost, as on a full link
	p.write.Unlock()
	b.open = b.open[:0]
}

// Receive takes ESP packets that came in UDP. The engine calls it on one
// goroutine.
func (p *Plane) Receive(packets []ESPPacket) {
	if !p.closed.Load() {
		p.udp.take(packets)
	}
}

// receiveRaw takes the packets of the socket for ESP alone until it is closed.
func (p *Plane) receiveRaw(b *batchConn) {
	r := p.newReceiver()
	var turn shift
	for {
		turn.pause()
		packets, err := b.read()
		if p.closed.Load() || err != nil && gone(err) {
			return
		}
		if err == nil {
			r.take(packets)
		}
	}
}

// take opens packets and hands what comes out to the device.
func (r *receiver) take(packets []ESPPacket) {
	for i := range packets {
		e, err := wire.ParseESP(packets[i].Octets)
		c := r.p.tables.in(e.SPI)
		if err != nil || c == nil {
			r.p.noSA.Add(1)
			continue
		}
		b := r.room()
		if b == nil {
			return // the plane has ended
		}
		buf := b.bufs[len(b.open)]
		// A dropped packet was counted by the SA.
		inner, err := c.in.Open(buf[:offset], packets[i].Octets, packets[i].TOS)
		if err != nil {
			continue
		}
		b.open = append(b.open, inner)
		r.heard(c, packets[i].Remote)
	}
	r.flush()
	now := r.p.clock.Load()
	for _, c := range r.seen {
		c.lastIn.Store(now)
		r.p.used(c)
	}
	r.seen = r.seen[:0]
}

// heard notes a sign of life, and tells it now and then.
func (r *receiver) heard(c *planeChild, from netip.AddrPort) {
	if n := len(r.seen); n == 0 || r.seen[n-1] != c {
		r.seen = append(r.seen, c)
	}
	path := c.path.Load()
	moved := path.encap && from != path.remote
	now := r.p.clock.Load()
	if last := c.told.Load(); !moved && now-last < int64(heardEvery.Seconds()) {
		return
	}
	c.told.Store(now)
	if !path.encap {
		from = netip.AddrPort{} // a raw packet has no port to follow
	}
	r.p.at.Reports.Heard(c.update.SPIs.In, from)
}

// room gives a batch that takes one more packet, nil once the plane has ended.
func (r *receiver) room() *incoming {
	if r.now != nil && len(r.now.open) == len(r.now.bufs) {
		r.flush()
	}
	if r.now == nil {
		r.now, _ = r.lane.take()
	}
	return r.now
}

// flush hands on what was opened.
func (r *receiver) flush() {
	if r.now == nil || len(r.now.open) == 0 {
		return
	}
	r.lane.put(r.now, len(r.now.open))
	r.now = nil
}
