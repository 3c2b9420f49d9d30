package enginetest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Host is one end: an Endpoint, and a data plane that only remembers.
type Host struct {
	Name     string
	Addr     netip.Addr
	Endpoint *ike.Endpoint
	Plane    Plane
	Source   *Source
	Events   []event.Event // those of this host, oldest first
	Errs     []*ike.Failure
	Again    []ike.Again

	net   *Net
	nat   *NAT
	set   ike.Settings
	conns []*ike.Connection

	forgotten int // IKE SAs that stood when it restarted: their end was never told
}

// AddHost puts a host onto the network. Its settings get a Source from the
// simulation's seed.
func (n *Net) AddHost(name string, addr netip.Addr, set ike.Settings, conns ...*ike.Connection) (*Host, error) {
	h := &Host{Name: name, Addr: addr, net: n, set: set, conns: conns, Source: &Source{rng: n.rng}}
	h.set.Source, h.set.Packets = h.Source, true
	if h.set.Ports == (ike.Ports{}) {
		h.set.Ports = ike.StandardPorts
	}
	n.hosts = append(n.hosts, h)
	return h, h.boot()
}

func (h *Host) boot() error {
	h.Endpoint = ike.NewEndpoint(h.set)
	h.Plane = Plane{Children: map[wire.ESPSPI]*ike.Update{}}
	for _, c := range h.conns {
		if err := h.Endpoint.Add(c); err != nil {
			return err
		}
	}
	return nil
}

// Restart makes the host forget everything, as a crash does.
func (h *Host) Restart() error {
	h.net.Ladder.note(h.net.now, h.Name+" restarts")
	h.forgotten += len(h.Established())
	return h.boot()
}

// Behind puts the host behind a NAT with an outer address.
func (h *Host) Behind(outer netip.Addr) *NAT {
	h.nat = &NAT{outer: outer, next: 20000, out: map[netip.AddrPort]uint16{}, in: map[uint16]netip.AddrPort{}}
	return h.nat
}

// outer is the address that others see.
func (h *Host) outer() netip.Addr {
	if h.nat != nil {
		return h.nat.outer
	}
	return h.Addr
}

// Initiate begins an IKE SA.
func (h *Host) Initiate(conn string) (*ike.SA, error) {
	s, out, err := h.Endpoint.Initiate(h.net.now, conn, h.Addr)
	h.take(out)
	return s, err
}

// Command gives a command to an SA.
func (h *Host) Command(s *ike.SA, c ike.Command) *ike.Failure {
	h.net.Ladder.note(h.net.now, fmt.Sprintf("%s: %T", h.Name, c))
	out := h.Endpoint.Command(h.net.now, s, c)
	h.take(out)
	return out.Err
}

// take does what an Endpoint's output says.
func (h *Host) take(out ike.Output) {
	h.Events = append(h.Events, out.Events...)
	for i := range out.Events {
		if e := &out.Events[i]; e.Step != nil {
			h.net.Ladder.note(h.net.now, fmt.Sprintf("%s: %s: %s", h.Name, e.Step.Kind, e.Step.Text))
		} else if e.Check != nil && !e.Check.OK {
			h.net.Ladder.note(h.net.now, fmt.Sprintf("%s: %s %s: local %s, remote %s %s", h.Name, e.Check.Kind, e.Check.What, e.Check.Local, e.Check.Remote, e.Check.Why))
		}
	}
	if out.Err != nil {
		h.Errs = append(h.Errs, out.Err)
	}
	for _, a := range out.Again {
		if a.Action == ike.ActionStart {
			h.restart(a)
		} else {
			h.Again = append(h.Again, a)
		}
	}
	for i := range out.Updates {
		h.Plane.apply(&out.Updates[i])
	}
	for _, d := range out.Datagrams {
		h.net.send(h, d, label(d, out.Events))
	}
}

// restart begins an IKE SA anew whose child is to be set up, unless one is on its
// way.
func (h *Host) restart(a ike.Again) {
	for _, s := range h.Endpoint.SAs() {
		st := s.State()
		if s.Connection() == a.Connection && s.Initiator() && (st == engine.IKEConnecting || st == engine.IKEEstablished || st == engine.IKERekeying) {
			return
		}
	}
	_, _ = h.Initiate(a.Connection.Name) // what fails is among the events
}

// Established gives the IKE SAs that stand.
func (h *Host) Established() []*ike.SA {
	var list []*ike.SA
	for _, s := range h.Endpoint.SAs() {
		if st := s.State(); st == engine.IKEEstablished || st == engine.IKERekeying {
			list = append(list, s)
		}
	}
	return list
}

// Checks gives the comparisons of a kind that came out so.
func (h *Host) Checks(kind event.CheckKind, ok bool) []*event.Check {
	var list []*event.Check
	for i := range h.Events {
		if c := h.Events[i].Check; c != nil && c.Kind == kind && c.OK == ok {
			list = append(list, c)
		}
	}
	return list
}

// Changes counts the changes of a kind.
func (h *Host) Changes(kind event.ChangeKind) int {
	n := 0
	for i := range h.Events {
		if c := h.Events[i].Change; c != nil && c.Kind == kind {
			n++
		}
	}
	return n
}

// Plane is a data plane that remembers what it was told.
type Plane struct {
	Children map[wire.ESPSPI]*ike.Update // by inbound SPI
	Faults   []string                    // orders that make no sense
	Sending  []wire.ESPSPI               // inbound SPIs of the children in the order in which they were told to send
}

func (p *Plane) apply(u *ike.Update) {
	have := p.Children[u.SPIs.In]
	switch {
	case u.Kind == ike.Install && have != nil:
		p.Faults = append(p.Faults, fmt.Sprintf("child %s installed twice", u.SPIs.In))
	case u.Kind == ike.Install:
		kept := *u
		p.Children[u.SPIs.In] = &kept
		if u.Outbound {
			p.Sending = append(p.Sending, u.SPIs.In)
		}
	case have == nil:
		p.Faults = append(p.Faults, fmt.Sprintf("%s of unknown child %s", u.Kind, u.SPIs.In))
	case u.Kind == ike.Remove:
		delete(p.Children, u.SPIs.In)
	case u.Kind == ike.Switch:
		have.Outbound = true
		p.Sending = append(p.Sending, u.SPIs.In)
	case u.Kind == ike.Move:
		have.Local, have.Remote, have.Encap = u.Local, u.Remote, u.Encap
	}
}

// NAT translates the source of one host's datagrams and remembers the mapping.
type NAT struct {
	outer netip.Addr
	next  uint16
	out   map[netip.AddrPort]uint16
	in    map[uint16]netip.AddrPort
}

func (n *NAT) translate(src netip.AddrPort) netip.AddrPort {
	port, ok := n.out[src]
	if !ok {
		n.next++
		port = n.next
		n.out[src], n.in[port] = port, src
	}
	return netip.AddrPortFrom(n.outer, port)
}

func (n *NAT) inward(dst netip.AddrPort) (netip.AddrPort, bool) {
	a, ok := n.in[dst.Port()]
	return a, ok
}

// Rebind makes the NAT forget its mappings: the next datagrams get other ports.
func (n *NAT) Rebind() {
	clear(n.out)
	clear(n.in)
}

// Source gives nonces and SPIs from the simulation's seed; tests may choose the
// next nonces.
type Source struct {
	rng    *rand.Rand
	nonces [][]byte
}

// NextNonces sets the first octet of the nonces to come, the others being 0.
func (s *Source) NextNonces(first ...byte) {
	for _, b := range first {
		n := make([]byte, 32)
		n[0] = b
		s.nonces = append(s.nonces, n)
	}
}

// Nonce gives the next chosen nonce, else a random one.
func (s *Source) Nonce() []byte {
	if len(s.nonces) > 0 {
		n := s.nonces[0]
		s.nonces = s.nonces[1:]
		return n
	}
	var b []byte
	for range 4 {
		b = binary.BigEndian.AppendUint64(b, s.rng.Uint64())
	}
	return b
}

// IKESPI gives a random SPI.
func (s *Source) IKESPI() wire.SPI { return wire.SPI(s.rng.Uint64() | 1) }

// ESPSPI gives a random SPI.
func (s *Source) ESPSPI() wire.ESPSPI { return wire.ESPSPI(s.rng.Uint32() | 0x100) }

// Jitter gives a random number under n.
func (s *Source) Jitter(n int64) int64 {
	if n <= 0 {
		return 0
	}
	return s.rng.Int64N(n)
}
