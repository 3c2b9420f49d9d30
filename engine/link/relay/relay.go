// Package relay is a NAT in user space: it stands between a host and another on
// the addresses of one machine, gives the host's UDP traffic another address and
// port, and can be told to misbehave.
//
// Contract: each pair of endpoints (Way) has at most MaxMappings mappings, made
// by traffic from the inside alone and forgotten when idle. What comes from
// outside without a mapping, or from elsewhere than the mapping's peer, is
// dropped (RFC 4787: address and port-dependent mapping and filtering). A datagram
// that a socket does not take is lost. Close ends all goroutines and sockets. It
// needs no rights.
//
// On Linux the host inside speaks to its peer's own address, as through any
// NAT. Elsewhere it speaks to an address of the relay's, which looks like a NAT
// in front of the peer too.
package relay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// MaxMappings bounds the mappings of one Way.
const MaxMappings = 64

const (
	defaultTimeout = 30 * time.Second
	maxDatagram    = 65535
)

// Way is a pair of endpoints that speak to each other through the NAT.
type Way struct {
	Inside  netip.AddrPort // the host behind the NAT
	Outside netip.AddrPort // its peer
}

// Packet is a datagram on its way. It is valid during the call that shows it.
type Packet struct {
	Way    int  // which of the ways, from 0
	Out    bool // from the inside to the outside
	Octets []byte
}

// Judge says whether a datagram passes. It is called on several goroutines.
type Judge func(Packet) bool

// Options are how a Relay translates.
type Options struct {
	// Outside is the address that the outside sees.
	Outside netip.Addr
	Ways    []Way
	// Timeout is after how much silence a mapping is forgotten: 30 s.
	Timeout time.Duration
}

// Mapping is one entry of the table.
type Mapping struct {
	Inside, Mapped, Outside netip.AddrPort
	LastUsed                time.Time
}

// Counts are the datagrams of a Relay.
type Counts struct {
	Out, In  uint64 // passed
	Dropped  uint64 // by the Judge
	Unmapped uint64 // without a mapping, or lost by a socket
	Mappings uint64 // made in all
}

// Relay is a running NAT. It is safe for concurrent use.
type Relay struct {
	o      Options
	fronts []*front
	judge  atomic.Pointer[Judge]
	stop   chan struct{}
	work   sync.WaitGroup
	once   sync.Once
	closed error

	timeout atomic.Int64 // nanoseconds

	out, in, dropped, unmapped, made atomic.Uint64

	mu   sync.Mutex
	done bool
}

// front is where the inside speaks to on one way.
type front struct {
	r    *Relay
	way  int
	conn *net.UDPConn
	// maps is the table, by the endpoint inside; of the Relay's mutex.
	maps map[netip.AddrPort]*mapping
}

// mapping is a socket on the outside.
type mapping struct {
	inside netip.AddrPort
	conn   *net.UDPConn
	used   atomic.Int64 // nanoseconds since 1970
}

// New opens the sockets and begins to translate.
func New(o Options) (*Relay, error) {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	r := &Relay{o: o, stop: make(chan struct{})}
	r.SetTimeout(o.Timeout)
	for i, w := range o.Ways {
		conn, err := listenFront(w)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("front of the NAT for %s: %w", w.Inside, err), r.Close())
		}
		r.fronts = append(r.fronts, &front{r: r, way: i, conn: conn, maps: map[netip.AddrPort]*mapping{}})
	}
	for _, f := range r.fronts {
		r.work.Go(f.outward)
	}
	r.work.Go(r.tidy)
	return r, nil
}

// Front gives the address that the inside has to speak to on a way.
func (r *Relay) Front(way int) netip.AddrPort { return addrOf(r.fronts[way].conn.LocalAddr()) }

func addrOf(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := u.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// SetJudge has every datagram judged; nil lets all pass.
func (r *Relay) SetJudge(j Judge) {
	if j == nil {
		r.judge.Store(nil)
		return
	}
	r.judge.Store(&j)
}

func (r *Relay) passes(p Packet) bool {
	if j := r.judge.Load(); j != nil && !(*j)(p) {
		r.dropped.Add(1)
		return false
	}
	return true
}

// SetTimeout changes after how much silence a mapping is forgotten.
func (r *Relay) SetTimeout(d time.Duration) { r.timeout.Store(int64(d)) }

// Rebind forgets all mappings: what the inside sends next gets new ports.
func (r *Relay) Rebind() {
	r.forget(func(*mapping) bool { return true })
}

// forget drops mappings.
func (r *Relay) forget(which func(*mapping) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.fronts {
		for inside, m := range f.maps {
			if which(m) {
				_ = m.conn.Close() // its reader sees it and ends
				delete(f.maps, inside)
			}
		}
	}
}

// Mappings gives the table, by the inside's endpoints.
func (r *Relay) Mappings() []Mapping {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Mapping
	for _, f := range r.fronts {
		for _, m := range f.maps {
			list = append(list, Mapping{Inside: m.inside, Mapped: addrOf(m.conn.LocalAddr()), Outside: r.o.Ways[f.way].Outside, LastUsed: time.Unix(0, m.used.Load())})
		}
	}
	slices.SortFunc(list, func(a, b Mapping) int { return a.Inside.Compare(b.Inside) })
	return list
}

// Counts counts the datagrams so far.
func (r *Relay) Counts() Counts {
	return Counts{Out: r.out.Load(), In: r.in.Load(), Dropped: r.dropped.Load(), Unmapped: r.unmapped.Load(), Mappings: r.made.Load()}
}

// Close ends it.
func (r *Relay) Close() error {
	r.once.Do(func() {
		close(r.stop)
		r.mu.Lock()
		r.done = true
		r.mu.Unlock()
		for _, f := range r.fronts {
			r.closed = errors.Join(r.closed, f.conn.Close())
		}
		r.Rebind()
		r.work.Wait()
	})
	return r.closed
}

// tidy forgets mappings that are idle.
func (r *Relay) tidy() {
	tick := time.NewTicker(min(max(r.o.Timeout/4, 10*time.Millisecond), 250*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-r.stop:
			return
		case now := <-tick.C:
			r.forget(func(m *mapping) bool { return now.UnixNano()-m.used.Load() >= r.timeout.Load() })
		}
	}
}

// outward carries datagrams from the inside until the socket is closed.
func (f *front) outward() {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := f.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // what an ICMP error told
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if from != f.r.o.Ways[f.way].Inside {
			f.r.unmapped.Add(1)
			continue
		}
		if !f.r.passes(Packet{Way: f.way, Out: true, Octets: buf[:n]}) {
			continue
		}
		m := f.mapping(from)
		if m == nil {
			f.r.unmapped.Add(1)
			continue
		}
		m.used.Store(time.Now().UnixNano())
		if _, err := m.conn.Write(buf[:n]); err != nil {
			f.r.unmapped.Add(1)
			continue
		}
		f.r.out.Add(1)
	}
}

// mapping gives the mapping of an endpoint inside, and makes it where there is
// none; nil where none can be made.
func (f *front) mapping(inside netip.AddrPort) *mapping {
	r := f.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := f.maps[inside]; m != nil || r.done || len(f.maps) >= MaxMappings {
		return m
	}
	conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(r.o.Outside, 0)), net.UDPAddrFromAddrPort(r.o.Ways[f.way].Outside))
	if err != nil {
		return nil
	}
	m := &mapping{inside: inside, conn: conn}
	m.used.Store(time.Now().UnixNano())
	f.maps[inside] = m
	r.made.Add(1)
	r.work.Go(func() { f.inward(m) })
	return m
}

// inward carries datagrams to the inside until the mapping is forgotten.
func (f *front) inward(m *mapping) {
	buf := make([]byte, maxDatagram)
	for {
		n, err := m.conn.Read(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		if !f.r.passes(Packet{Way: f.way, Octets: buf[:n]}) {
			continue
		}
		m.used.Store(time.Now().UnixNano())
		if err := f.send(buf[:n], m.inside); err != nil {
			f.r.unmapped.Add(1)
			continue
		}
		f.r.in.Add(1)
	}
}
