package ike

import (
	"cmp"
	"container/heap"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Endpoint is all IKE SAs of one host. It finds the SA of a datagram, makes
// SAs for both roles, demands cookies when too many requests lead to nothing,
// and keeps the clock of them all. Like an SA it is a fold over its inputs.
type Endpoint struct {
	set      Settings
	conns    []*Connection
	sas      map[wire.SPI]*member
	inits    map[[sha256.Size]byte]*member // responders that wait for IKE_AUTH, by their request
	esp      map[wire.ESPSPI]*SA           // nil while no child has the SPI yet
	peers    map[string][]*SA              // those that stand, by whom they are with
	sources  map[netip.Addr]int            // half-open SAs of an address
	half     int
	due      deadlines
	cookies  cookies
	spares   suite.Spares
	settled  bool      // a connection came, or an SA stands, since spares were made
	answered *SA       // whose IKE_SA_INIT was answered last, and whose keys may be to be made
	strange  allowance // answers to messages for nobody
	told     allowance // events about them
	steps    []*SA     // to be ticked in this step
	now      time.Time
}

// member is an SA with what the Endpoint keeps about it.
type member struct {
	sa     *SA
	due    time.Time
	index  int // in the heap, -1 where it has no deadline
	half   bool
	peer   string // the key under which it is in peers, "" for none
	source netip.Addr
	digest [sha256.Size]byte
}

// NewEndpoint makes an Endpoint. Zero settings stand for the defaults.
func NewEndpoint(set Settings) *Endpoint {
	return &Endpoint{set: set.withDefaults(), sas: map[wire.SPI]*member{}, inits: map[[sha256.Size]byte]*member{},
		esp: map[wire.ESPSPI]*SA{}, peers: map[string][]*SA{}, sources: map[netip.Addr]int{}}
}

// Add takes a connection in: for requests of peers, and for Initiate.
func (e *Endpoint) Add(c *Connection) error {
	if err := c.Check(); err != nil {
		return err
	}
	if e.Connection(c.Name) != nil {
		return fmt.Errorf("connection %q is there already", c.Name)
	}
	e.conns = append(e.conns, c)
	if list := groups(c.Proposals); len(list) > 0 {
		e.spares.Want(list[0])
		e.settled = true
	}
	return nil
}

// Drop takes a connection out; IKE SAs that were made from it stand.
func (e *Endpoint) Drop(name string) {
	e.conns = slices.DeleteFunc(e.conns, func(c *Connection) bool { return c.Name == name })
}

// Connection finds a connection by its name, nil where there is none.
func (e *Endpoint) Connection(name string) *Connection {
	for _, c := range e.conns {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// SAs gives all SAs, in no order; those that have ended may linger among them.
func (e *Endpoint) SAs() []*SA {
	list := make([]*SA, 0, len(e.sas))
	for _, m := range e.sas {
		list = append(list, m.sa)
	}
	return list
}

// Find gives the SA with a local SPI, nil where there is none.
func (e *Endpoint) Find(local wire.SPI) *SA {
	if m := e.sas[local]; m != nil {
		return m.sa
	}
	return nil
}

// Parent gives the SA that has a CHILD SA of an inbound SPI, nil where none has.
func (e *Endpoint) Parent(in wire.ESPSPI) *SA { return e.esp[in] }

// HalfOpen is how many initiators have not yet proved themselves.
func (e *Endpoint) HalfOpen() int { return e.half }

// Deadline is when the next tick is due, zero for never.
func (e *Endpoint) Deadline() time.Time {
	if len(e.due) == 0 {
		return time.Time{}
	}
	return e.due[0].due
}

// Initiate begins an IKE SA from a connection. The local address must be known
// by now: that of the connection, or local.
func (e *Endpoint) Initiate(now time.Time, name string, local netip.Addr) (*SA, Output, error) {
	c := e.Connection(name)
	switch {
	case c == nil:
		return nil, Output{}, fmt.Errorf("no connection %q", name)
	case !c.Remote.IsValid():
		return nil, Output{}, fmt.Errorf("connection %q has no remote address to initiate to", name)
	case len(e.sas) >= e.set.MaxSAs:
		return nil, Output{}, fmt.Errorf("there are %d IKE SAs, which is the most", len(e.sas))
	}
	if c.Local.IsValid() && !c.Local.IsUnspecified() {
		local = c.Local
	}
	if !local.IsValid() {
		return nil, Output{}, fmt.Errorf("connection %q: no local address", name)
	}
	e.now = now
	s := &SA{own: e, set: &e.set, conn: c, initiator: true, state: engine.IKEConnecting, spiI: e.ikeSPI(), localID: c.LocalID, now: now,
		path: path{local: netip.AddrPortFrom(local, e.set.Ports.IKE), remote: netip.AddrPortFrom(c.Remote, c.remotePorts().IKE)}}
	s.push(&initTask{group: groups(c.Proposals)[0]})
	var out Output
	e.step(e.take(s), Input{}, &out)
	e.settle(&out)
	return s, out, out.errorOrNil()
}

// errorOrNil keeps a nil Failure from becoming an error that is not nil.
func (o *Output) errorOrNil() error {
	if o.Err == nil {
		return nil
	}
	return o.Err
}

// Step takes a datagram, or does what time asks for. Whatever comes, all
// deadlines up to now are met.
func (e *Endpoint) Step(now time.Time, in Input) Output {
	e.now = now
	var out Output
	if in.Datagram != nil {
		e.datagram(in.Datagram, &out)
	}
	for len(e.due) > 0 && !e.due[0].due.After(now) {
		m := e.due[0]
		e.step(m, Input{}, &out)
		if m.index == 0 && len(e.due) > 0 && e.due[0] == m && !m.due.After(now) {
			// Nothing may hold the loop: an SA sets what is past anew or stops it.
			m.due = now.Add(time.Millisecond)
			heap.Fix(&e.due, 0)
		}
	}
	e.settle(&out)
	return out
}

// Command gives a command to an SA of this Endpoint.
func (e *Endpoint) Command(now time.Time, s *SA, c Command) Output {
	e.now = now
	var out Output
	if m := e.sas[s.LocalSPI()]; m != nil && m.sa == s {
		e.step(m, Input{Command: c}, &out)
	} else {
		out.Err = &Failure{Text: "no such IKE SA"}
	}
	e.settle(&out)
	return out
}

// take puts an SA under the Endpoint's care.
func (e *Endpoint) take(s *SA) *member {
	m := &member{sa: s, index: -1}
	e.sas[s.LocalSPI()] = m
	return m
}

// step steps one SA and takes up what comes out.
func (e *Endpoint) step(m *member, in Input, all *Output) {
	out := m.sa.Step(e.now, in)
	all.Datagrams = append(all.Datagrams, out.Datagrams...)
	all.Events = append(all.Events, out.Events...)
	all.Updates = append(all.Updates, out.Updates...)
	all.Again = append(all.Again, out.Again...)
	if all.Err == nil {
		all.Err = out.Err
	}
	for _, n := range out.Successors {
		all.Successors = append(all.Successors, n)
		e.schedule(e.take(n), n.Deadline())
	}
	e.steps = append(e.steps, out.Related...)
	if m.half && !m.sa.halfOpen() {
		e.closeHalf(m)
	}
	e.file(m)
	if out.Done {
		e.forget(m)
		return
	}
	e.schedule(m, out.Deadline)
}

// settle ticks the SAs that others have told something.
func (e *Endpoint) settle(out *Output) {
	for len(e.steps) > 0 {
		s := e.steps[0]
		e.steps = e.steps[1:]
		if m := e.sas[s.LocalSPI()]; m != nil && m.sa == s {
			e.step(m, Input{}, out)
		}
	}
	out.Deadline = e.Deadline()
}

// file keeps the SAs that stand findable by their peer.
func (e *Endpoint) file(m *member) {
	key := ""
	if m.sa.active() {
		key = peerKey(&m.sa.remoteID)
	}
	if key == m.peer {
		return
	}
	e.settled = true
	if m.peer != "" {
		rest := slices.DeleteFunc(e.peers[m.peer], func(s *SA) bool { return s == m.sa })
		if e.peers[m.peer] = rest; len(rest) == 0 {
			delete(e.peers, m.peer)
		}
	}
	if key != "" {
		e.peers[key] = append(e.peers[key], m.sa)
	}
	m.peer = key
}

// peerKey is the same for identities that auth.SameID takes for one.
func peerKey(id *wire.ID) string {
	kind := string(rune(id.Type))
	switch id.Type {
	case wire.IDFQDN, wire.IDRFC822Addr:
		return kind + strings.ToLower(string(id.Data))
	case wire.IDDERASN1DN: // several forms of one name are the same
		return kind
	}
	return kind + string(id.Data)
}

// schedule sets when an SA is due.
func (e *Endpoint) schedule(m *member, due time.Time) {
	m.due = due
	switch {
	case due.IsZero() && m.index >= 0:
		heap.Remove(&e.due, m.index)
	case due.IsZero():
	case m.index >= 0:
		heap.Fix(&e.due, m.index)
	default:
		heap.Push(&e.due, m)
	}
}

// forget drops an SA that is done.
func (e *Endpoint) forget(m *member) {
	e.schedule(m, time.Time{})
	delete(e.sas, m.sa.LocalSPI())
	e.closeHalf(m)
}

// closeHalf counts a half-open SA out.
func (e *Endpoint) closeHalf(m *member) {
	if !m.half {
		return
	}
	m.half = false
	e.half--
	delete(e.inits, m.digest)
	if e.sources[m.source]--; e.sources[m.source] <= 0 {
		delete(e.sources, m.source)
	}
}

// datagram finds whom a datagram is for.
func (e *Endpoint) datagram(d *Datagram, out *Output) {
	ignore := func(c event.Check, format string, args ...any) {
		c.Kind = event.CheckMessage
		e.stranger(c, d.Remote.Addr(), out)
		if out.Err == nil {
			out.Err = &Failure{RFC: c.RFC, Text: fmt.Sprintf(format, args...), Survived: true}
		}
	}
	octets := d.Octets
	kind, rest := wire.ClassifyUDP(octets, d.Marked)
	switch kind {
	case wire.UDPIKE, wire.UDPIKEMarked:
		octets = rest
	case wire.UDPKeepalive, wire.UDPESP:
		return // ESP is the data plane's
	default:
		ignore(event.Check{RFC: "RFC 3948 2", What: "datagram", Local: "IKE, ESP or a keepalive", Remote: fmt.Sprintf("%d octets", len(d.Octets)) + octetWords(d.Octets)},
			"a datagram of %d octets", len(d.Octets))
		return
	}
	h, err := wire.ParseHeader(octets)
	if err != nil {
		ignore(event.Check{RFC: "RFC 7296 3.1", What: "header", Local: "an IKE header", Remote: fmt.Sprintf("%d octets", len(octets)), Why: err.Error()}, "%v", err)
		return
	}
	p := path{local: d.Local, remote: d.Remote, marked: d.Marked}
	if h.Version.Major() != 2 {
		if h.Version.Major() > 2 && !h.Response() && e.strange.take(e.now) {
			e.unprotected(&h, p, wire.NotifyInvalidMajorVersion, out)
		}
		ignore(event.Check{SPIi: h.InitiatorSPI, SPIr: h.ResponderSPI, RFC: "RFC 7296 2.5", What: "major version", Local: "2",
			Remote: fmt.Sprint(h.Version.Major())}, "major version %d", h.Version.Major())
		return
	}
	if h.Exchange == wire.ExchangeIKESAInit && !h.Response() {
		if h.Initiator() && h.ResponderSPI == 0 && h.InitiatorSPI != 0 && h.MessageID == 0 {
			e.initRequest(d, octets, &h, out)
			return
		}
		ignore(event.Check{SPIi: h.InitiatorSPI, RFC: "RFC 7296 3.1", What: "header of an IKE_SA_INIT request",
			Local: "an SPI of the initiator, none of the responder, the initiator flag and message id 0", Remote: headerWords(&h)},
			"an IKE_SA_INIT request with wrong SPIs, flags or message id")
		return
	}
	local := h.InitiatorSPI // of a message from the original responder
	if h.Initiator() {
		local = h.ResponderSPI
	}
	m := e.sas[local]
	if m == nil {
		if !h.Response() && e.strange.take(e.now) {
			e.unprotected(&h, p, wire.NotifyInvalidIKESPI, out)
		}
		ignore(event.Check{SPIi: h.InitiatorSPI, SPIr: h.ResponderSPI, RFC: "RFC 7296 2.21.4", What: fmt.Sprintf("SPI of %s message %d", h.Exchange, h.MessageID),
			Local: fmt.Sprintf("%d IKE SAs, none with it", len(e.sas)), Remote: local.String()}, "no IKE SA with SPI %s", local)
		return
	}
	e.step(m, Input{Datagram: d}, out)
}

// unprotected answers in the clear what belongs to no SA (RFC 7296 1.5, 2.5).
func (e *Endpoint) unprotected(h *wire.Header, p path, n wire.NotifyType, out *Output) {
	m := wire.Message{Header: wire.Header{InitiatorSPI: h.InitiatorSPI, ResponderSPI: h.ResponderSPI, Version: wire.Version2,
		Exchange: h.Exchange, Flags: wire.FlagResponse, MessageID: h.MessageID}, Payloads: notify(n, nil)}
	if !h.Initiator() {
		m.Flags |= wire.FlagInitiator
	}
	e.send(&m, p, out)
}

func (e *Endpoint) send(m *wire.Message, p path, out *Output) {
	b := m.Append(nil)
	if p.marked {
		b = wire.AppendMarked(nil, b)
	}
	out.Datagrams = append(out.Datagrams, Datagram{Local: p.local, Remote: p.remote, Marked: p.marked, Octets: b})
}

// What an SA needs of its Endpoint.

func (e *Endpoint) busy() bool { return len(e.sas) >= e.set.MaxSAs }

func (e *Endpoint) ikeSPI() wire.SPI {
	for {
		spi := e.set.Source.IKESPI()
		if _, taken := e.sas[spi]; !taken && spi != 0 {
			return spi
		}
	}
}

func (e *Endpoint) espSPI() wire.ESPSPI {
	for {
		spi := e.set.Source.ESPSPI()
		if _, taken := e.esp[spi]; !taken && spi > 255 {
			e.esp[spi] = nil
			return spi
		}
	}
}

func (e *Endpoint) bindESP(spi wire.ESPSPI, s *SA) { e.esp[spi] = s }

func (e *Endpoint) freeESP(spi wire.ESPSPI) { delete(e.esp, spi) }

func (e *Endpoint) siblings(s *SA) []*SA {
	want := s.remoteID
	if want.Type == 0 && s.conn != nil {
		want = s.conn.wantedID()
	}
	var list []*SA
	for _, o := range e.peers[peerKey(&want)] {
		if o != s && o.active() && auth.SameID(&o.localID, &s.localID) && auth.SameID(&o.remoteID, &want) {
			list = append(list, o)
		}
	}
	// In a stable order: what follows has to replay.
	slices.SortFunc(list, func(a, b *SA) int { return cmp.Compare(a.LocalSPI(), b.LocalSPI()) })
	return list
}

// Holdings counts what an Endpoint holds, for tests of what is given back.
type Holdings struct {
	SAs, HalfOpen, Sources, Requests, ESPSPIs, Deadlines, Peers int
}

// Held counts what the Endpoint holds.
func (e *Endpoint) Held() Holdings {
	return Holdings{SAs: len(e.sas), HalfOpen: e.half, Sources: len(e.sources), Requests: len(e.inits), ESPSPIs: len(e.esp),
		Deadlines: len(e.due), Peers: len(e.peers)}
}
