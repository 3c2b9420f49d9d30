package link

import (
	"slices"
	"sync"
)

// What waits for a tunnel is bounded: a tunnel comes up within seconds or not
// at all, and whoever can send into a trap must not fill the memory by it.
const (
	holdPackets = 128     // of one trap
	holdOctets  = 1 << 18 // of one trap
	holdTotal   = 1 << 22 // octets of all traps
	holdSeconds = 30
)

// trapName names a trap among those of a plane.
type trapName struct{ connection, child string }

// heldPacket is a packet that waits, and until which second.
type heldPacket struct {
	octets []byte
	until  int64
}

// holds keeps the packets that spring traps until their tunnels stand, in the
// order in which they came. Its zero value is empty. It is safe for concurrent
// use.
type holds struct {
	mu     sync.Mutex
	queues map[trapName][]heldPacket
	octets int
}

// add takes a copy of a packet in and gives how many were dropped for it: the
// oldest of the trap where it has too many, itself where all have.
func (h *holds) add(trap trapName, packet []byte, now int64) (dropped int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.queues[trap]
	own := len(packet)
	for i := range q {
		own += len(q[i].octets)
	}
	for len(q) > 0 && (len(q) >= holdPackets || own > holdOctets) {
		own -= len(q[0].octets)
		h.octets -= len(q[0].octets)
		q = q[1:]
		dropped++
	}
	if h.octets+len(packet) > holdTotal {
		dropped++
	} else {
		q = append(q, heldPacket{slices.Clone(packet), now + holdSeconds})
		h.octets += len(packet)
	}
	h.put(trap, q)
	return dropped
}

// put sets what waits for a trap.
func (h *holds) put(trap trapName, q []heldPacket) {
	if len(q) == 0 {
		delete(h.queues, trap)
		return
	}
	if h.queues == nil {
		h.queues = map[trapName][]heldPacket{}
	}
	h.queues[trap] = q
}

// sift takes out the packets that go says true of, and gives how many.
func (h *holds) sift(goes func(trap trapName, p *heldPacket) bool) (gone int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for trap, q := range h.queues {
		var rest []heldPacket
		for i := range q {
			if !goes(trap, &q[i]) {
				rest = append(rest, q[i])
				continue
			}
			h.octets -= len(q[i].octets)
			gone++
		}
		h.put(trap, rest)
	}
	return gone
}

// expire drops what has waited long enough at a second.
func (h *holds) expire(now int64) (dropped int) {
	return h.sift(func(_ trapName, p *heldPacket) bool { return now > p.until })
}

// keep drops what waits for other traps than these.
func (h *holds) keep(traps []*planeTrap) (dropped int) {
	names := map[trapName]bool{}
	for _, t := range traps {
		names[t.name()] = true
	}
	return h.sift(func(trap trapName, _ *heldPacket) bool { return !names[trap] })
}
