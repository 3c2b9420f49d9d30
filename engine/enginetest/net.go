// Package enginetest sets IKE endpoints against each other over a simulated
// network, under virtual time: with loss, reordering, duplication, delay, a
// largest packet, NATs that forget their mappings, partitions and restarts.
//
// Contract: everything that happens follows from the seed, except the keys,
// whose randomness is crypto/rand's and decides nothing. No goroutine runs and
// no real time passes. Every network keeps a ladder of its messages, which a
// failing test prints.
package enginetest

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/ike"
)

// Start is the time at which every simulation begins.
var Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Fate says what the network does with a packet.
type Fate uint8

// The fates of a packet.
const (
	Deliver Fate = iota
	Drop
	Hold // until Release
)

// Packet is a datagram on its way.
type Packet struct {
	From, To *Host // To is nil where nobody has the address
	Src, Dst netip.AddrPort
	Marked   bool
	Octets   []byte
	Due      time.Time
	Label    string // what the ladder calls it
	seq      int
}

// Link says how bad the network is. The zero Link loses nothing and takes a
// millisecond.
type Link struct {
	Loss, Duplicate float64       // probabilities
	Delay, Jitter   time.Duration // of a packet; Jitter is the most that is added
	MTU             int           // octets of an IP packet that still pass, 0 for any
}

// Net is a simulated network with its hosts.
type Net struct {
	Link Link
	// Stuck says that a simulation did not come to rest: it was given up after
	// a great many steps.
	Stuck bool
	// Judge, where it is set, decides the fate of each packet before Link does.
	Judge  func(*Packet) Fate
	Ladder Ladder
	Faults []string // what an endpoint did and none may do

	now   time.Time
	rng   *rand.Rand
	hosts []*Host
	queue packets
	held  []*Packet
	cut   bool
	seq   int
}

// New makes a network from a seed.
func New(seed uint64) *Net {
	return &Net{now: Start, rng: rand.New(rand.NewPCG(seed, 1))}
}

// Now is the virtual time.
func (n *Net) Now() time.Time { return n.now }

// Rand is the simulation's randomness.
func (n *Net) Rand() *rand.Rand { return n.rng }

// Cut separates all hosts, or joins them again.
func (n *Net) Cut(cut bool) {
	n.cut = cut
	n.Ladder.note(n.now, map[bool]string{true: "the network is cut", false: "the network is whole again"}[cut])
}

// Held gives the packets that wait for Release, oldest first.
func (n *Net) Held() []*Packet { return n.held }

// Release delivers a held packet now.
func (n *Net) Release(p *Packet) {
	for i, h := range n.held {
		if h == p {
			n.held = append(n.held[:i:i], n.held[i+1:]...)
			n.arrive(p)
			return
		}
	}
}

// Discard drops a held packet.
func (n *Net) Discard(p *Packet) {
	for i, h := range n.held {
		if h == p {
			n.held = append(n.held[:i:i], n.held[i+1:]...)
			n.Ladder.packet(n.now, p, "dropped")
			return
		}
	}
}

// find gives the host with an address, where there is one.
func (n *Net) find(a netip.Addr) *Host {
	for _, h := range n.hosts {
		if h.outer() == a {
			return h
		}
	}
	return nil
}

// send puts a datagram of a host onto the network.
func (n *Net) send(h *Host, d ike.Datagram, label string) {
	src := d.Local
	if h.nat != nil {
		src = h.nat.translate(d.Local)
	}
	n.seq++
	p := &Packet{From: h, To: n.find(d.Remote.Addr()), Src: src, Dst: d.Remote, Marked: d.Marked, Octets: d.Octets, Label: label, seq: n.seq}
	fate := Deliver
	if n.Judge != nil {
		fate = n.Judge(p)
	}
	ip := 28
	if d.Remote.Addr().Is6() {
		ip = 48
	}
	switch {
	case fate == Hold:
		n.held = append(n.held, p)
		n.Ladder.packet(n.now, p, "held")
		return
	case fate == Drop, n.cut, p.To == nil, n.Link.MTU > 0 && len(d.Octets)+ip > n.Link.MTU, n.rng.Float64() < n.Link.Loss:
		n.Ladder.packet(n.now, p, "lost")
		return
	}
	n.enqueue(p)
	if n.rng.Float64() < n.Link.Duplicate {
		twin := *p
		n.seq++
		twin.seq = n.seq
		n.enqueue(&twin)
	}
}

func (n *Net) enqueue(p *Packet) {
	delay := n.Link.Delay
	if delay == 0 {
		delay = time.Millisecond
	}
	if n.Link.Jitter > 0 {
		delay += time.Duration(n.rng.Int64N(int64(n.Link.Jitter)))
	}
	p.Due = n.now.Add(delay)
	heap.Push(&n.queue, p)
}

// arrive hands a packet to its host.
func (n *Net) arrive(p *Packet) {
	h := p.To
	dst := p.Dst
	if h.nat != nil {
		inner, ok := h.nat.inward(p.Dst)
		if !ok {
			n.Ladder.packet(n.now, p, "no mapping")
			return
		}
		dst = inner
	}
	n.Ladder.packet(n.now, p, "")
	n.step(h, ike.Input{Datagram: &ike.Datagram{Local: dst, Remote: p.Src, Marked: dst.Port() == h.set.Ports.NATT, Octets: p.Octets}})
}

// maxFaults bounds the faults that are kept of one simulation.
const maxFaults = 20

// step steps a host's endpoint. What it refuses it has to explain.
func (n *Net) step(h *Host, in ike.Input) {
	out := h.Endpoint.Step(n.now, in)
	if f := ike.Unexplained(&out); f != "" && len(n.Faults) < maxFaults {
		n.Faults = append(n.Faults, h.Name+": "+f)
	}
	h.take(out)
}

// finish fails a test in which an endpoint did what none may do, and shows the
// ladder of one that failed.
func (n *Net) finish(tb TB) {
	for _, f := range n.Faults {
		tb.Errorf("%s", f)
	}
	if tb.Failed() {
		tb.Logf("ladder:\n%s", n.Ladder.String())
	}
}

// next gives when something happens next, zero for never.
func (n *Net) next() time.Time {
	var first time.Time
	if len(n.queue) > 0 {
		first = n.queue[0].Due
	}
	for _, h := range n.hosts {
		if d := h.Endpoint.Deadline(); !d.IsZero() && (first.IsZero() || d.Before(first)) {
			first = d
		}
	}
	return first
}

// Run lets a span of virtual time pass.
func (n *Net) Run(d time.Duration) {
	n.RunUntil(d, func() bool { return false })
}

// maxSteps bounds a simulation that does not come to rest.
const maxSteps = 1_000_000

// RunUntil lets time pass until done says true, at most a span of it. It says
// whether done did.
func (n *Net) RunUntil(limit time.Duration, done func() bool) bool {
	end := n.now.Add(limit)
	for steps := 0; !n.Stuck && !done(); steps++ {
		due := n.next()
		if due.IsZero() || due.After(end) {
			n.now = end
			return false
		}
		if steps == maxSteps {
			n.Stuck = true
			n.Ladder.note(n.now, fmt.Sprintf("given up after %d steps without an end", steps))
			return false
		}
		if due.After(n.now) {
			n.now = due
		}
		for len(n.queue) > 0 && !n.queue[0].Due.After(n.now) {
			n.arrive(heap.Pop(&n.queue).(*Packet))
		}
		for _, h := range n.hosts {
			if d := h.Endpoint.Deadline(); !d.IsZero() && !d.After(n.now) {
				n.step(h, ike.Input{})
			}
		}
	}
	return !n.Stuck
}

// Settle lets time pass until no packet is on its way; timers may still run.
func (n *Net) Settle() {
	n.RunUntil(time.Second, func() bool { return len(n.queue) == 0 })
}

// packets is a heap, the next due first.
type packets []*Packet

func (q packets) Len() int { return len(q) }
func (q packets) Less(i, j int) bool {
	if !q[i].Due.Equal(q[j].Due) {
		return q[i].Due.Before(q[j].Due)
	}
	return q[i].seq < q[j].seq
}
func (q packets) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push adds a packet; heap.Push calls it.
func (q *packets) Push(x any) { *q = append(*q, x.(*Packet)) }

// Pop takes the last packet; heap.Pop calls it.
func (q *packets) Pop() any {
	last := len(*q) - 1
	p := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return p
}
