package link

import (
	"net/netip"
	"sync"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/esp"
)

// outgoing is a batch of packets that the device gave.
type outgoing struct {
	bufs  [][]byte
	sizes []int
	n     int
}

// transmitter seals the packets of the device: the second stage of their lane.
type transmitter struct {
	mu   sync.Mutex // what was held is sent beside the lane
	p    *Plane
	udp  *sender
	raw  *sender // nil before the first child without UDP
	seen []*planeChild
}

// transmit carries packets from the device to the peers until the device ends.
func (p *Plane) transmit() {
	n := max(p.device.BatchSize(), 1)
	l := newLane(p, func() *outgoing {
		b := &outgoing{bufs: make([][]byte, n), sizes: make([]int, n)}
		for i := range b.bufs {
			b.bufs[i] = make([]byte, offset+maxDatagram+tail)
		}
		return b
	}, p.out.batch)
	var turn shift
	for {
		turn.pause()
		b, ok := l.take()
		if !ok {
			return
		}
		n, err := p.device.Read(b.bufs, b.sizes, offset)
		if p.closed.Load() || err != nil && gone(err) {
			return
		}
		b.n = n
		l.put(b, n)
		if err != nil && n == 0 {
			// The device is unwell; do not spin on it.
			select {
			case <-p.stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

// batch seals and sends what the device gave at once.
func (t *transmitter) batch(b *outgoing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range b.n {
		t.packet(b.bufs[i], b.sizes[i])
	}
	t.flush()
}

// resend takes packets that the device gave earlier. The lock is the caller's.
func (t *transmitter) resend(packets [][]byte) {
	for _, b := range packets {
		buf := make([]byte, offset+len(b), offset+len(b)+tail)
		copy(buf[offset:], b)
		t.packet(buf, len(b))
	}
	t.flush()
}

func (t *transmitter) unsent(packets int, _ error) { t.p.unsent.Add(uint64(packets)) }

// packet seals one packet, which lies at offset in its buffer.
func (t *transmitter) packet(buf []byte, size int) {
	var h esp.Packet
	b := buf[offset : offset+size]
	if size == 0 || esp.ParsePacket(b, &h) != nil {
		t.p.noPolicy.Add(1)
		return
	}
	c, ok := t.p.tables.out(&h)
	if !ok {
		if !t.p.sprung(b, &h) {
			t.p.noPolicy.Add(1)
		}
		return
	}
	path := c.path.Load()
	most := c.out.MaxPacket(path.room)
	if t.p.o.ClampMSS {
		esp.ClampMSS(b, &h, most)
	}
	if h.Length > most {
		t.tooBig(c, path, b, &h, most)
		return
	}
	start := offset - c.out.HeaderLen()
	sealed, err := c.out.Seal(buf[start:start], b, &h)
	if err != nil {
		t.p.unsent.Add(1)
		return
	}
	t.send(c, path, sealed, h.TOS)
}

func (t *transmitter) send(c *planeChild, path *planePath, sealed []byte, tos uint8) {
	s := t.udp
	if !path.encap {
		if t.raw == nil {
			t.raw = newSender(t.p.raw, t.unsent)
		}
		s = t.raw
	}
	s.add(sealed, path.addr, esp.OuterTOS(tos))
	if n := len(t.seen); n == 0 || t.seen[n-1] != c {
		t.seen = append(t.seen, c)
	}
}

// tooBig answers a packet that does not fit, or takes it apart where its sender
// allows that.
func (t *transmitter) tooBig(c *planeChild, path *planePath, b []byte, h *esp.Packet, most int) {
	if h.DontFragment {
		answer := esp.TooBig(make([]byte, offset, offset+1500), b, h, most, netip.Addr{})
		if len(answer) > offset {
			t.p.write.Lock()
			_, _ = t.p.device.Write([][]byte{answer}, offset) // it is answered again
			t.p.write.Unlock()
		}
		return
	}
	esp.Fragment4(b, h, most, make([]byte, most), func(f []byte) {
		var part esp.Packet
		if esp.ParsePacket(f, &part) != nil {
			return
		}
		// Of the whole it was found that the SA is for it.
		sealed, err := c.out.Seal(nil, f, &part)
		if err != nil {
			t.p.unsent.Add(1)
			return
		}
		t.send(c, path, sealed, h.TOS)
	})
}

// flush writes what was sealed, and looks at the limits of who sent.
func (t *transmitter) flush() {
	t.udp.flush()
	if t.raw != nil {
		t.raw.flush()
	}
	now := t.p.clock.Load()
	for _, c := range t.seen {
		c.lastOut.Store(now)
		t.p.used(c)
	}
	t.seen = t.seen[:0]
}
