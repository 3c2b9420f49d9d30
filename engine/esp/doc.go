// Package esp carries IP packets in ESP (RFC 4303): it seals and opens the
// packets of one SA, keeps sequence numbers and the anti-replay window, finds
// the SA for a packet by its selectors (RFC 4301 4.4.1), and answers packets
// that are too big.
//
// Contract: pure. Nothing is opened, no clock is asked, and the steady path
// allocates nothing. Packets are read as hostile: every length is checked
// before it is used. An Out and an In may be used by several goroutines;
// packets of one Out are numbered in the order of the calls. Counters are
// read without a lock at any time.
package esp

import (
	"errors"
	"sync/atomic"
)

// The reasons for dropping a packet. Match them with errors.Is.
var (
	// ErrFragment says that a fragment was to go in transport mode, whose ESP is
	// put on whole packets (RFC 4303 3.3.4).
	ErrFragment = errors.New("a fragment cannot go in transport mode")
	// ErrExhausted says that an SA has used up its sequence numbers (RFC 4303
	// 3.3.3): it must be rekeyed.
	ErrExhausted = errors.New("the sequence numbers of the SA are used up")
	// ErrReplay says that a packet came before, or is older than the window.
	ErrReplay = errors.New("a packet that came before, or is too old to tell")
	// ErrSelectors says that an inner packet is not one that the SA is for.
	ErrSelectors = errors.New("the packet is outside the SA's selectors")
	// ErrDummy says that an ESP packet carries nothing, by intention (RFC 4303
	// 2.6). It is no error of the peer.
	ErrDummy = errors.New("a dummy packet")
	// ErrMalformed says that what should be an IP or ESP packet is none.
	ErrMalformed = errors.New("malformed packet")
	// ErrCongestion says that a packet was marked as having met congestion,
	// but its sender does not take part in ECN: it counts as lost (RFC 6040 4.2).
	ErrCongestion = errors.New("congestion was experienced by a packet without ECN")
)

// Counters are what an SA of one direction has carried and dropped.
type Counters struct {
	packets, octets                                           atomic.Uint64
	replayed, integrity, malformed, selectors, dummy, exhaust atomic.Uint64
}

// Count is Counters at one moment.
type Count struct {
	Packets   uint64 // carried
	Octets    uint64 // of the inner packets
	Replayed  uint64 // dropped: came before, or too old
	Integrity uint64 // dropped: wrong key or changed on the way
	Malformed uint64 // dropped
	Selectors uint64 // dropped: outside the SA's selectors
	Dummy     uint64 // dropped as they should be
	Exhausted uint64 // not sent: no sequence number left
}

// Read gives the counters as they are now.
func (c *Counters) Read() Count {
	return Count{Packets: c.packets.Load(), Octets: c.octets.Load(), Replayed: c.replayed.Load(), Integrity: c.integrity.Load(),
		Malformed: c.malformed.Load(), Selectors: c.selectors.Load(), Dummy: c.dummy.Load(), Exhausted: c.exhaust.Load()}
}

func (c *Counters) carried(octets int) {
	c.packets.Add(1)
	c.octets.Add(uint64(octets))
}
