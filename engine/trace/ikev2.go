package trace

import (
	"hash/maphash"
	"net/netip"
	"slices"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// addIKEv2 places a message in its exchange and its SA.
func (t *Trace) addIKEv2(e *event.Event) {
	p := e.Packet
	h := &p.IKE.Message.Header
	sender := Responder
	if h.Initiator() {
		sender = Initiator
	}
	sa := t.findSA(h)
	if sa == nil {
		sa = t.addSA(e, h, sender)
		if h.Exchange != wire.ExchangeIKESAInit {
			sa.Partial = true
			t.findPredecessor(e, sa)
		}
	}
	sa.touch(e)
	t.follow(e, sa, sender)
	if p.IKE.Decrypted {
		sa.Decrypted = true
	} else if p.IKE.DecryptError != "" {
		sa.WrongKey = true
	}

	by := sender
	if h.Response() {
		by = other(sender)
	}
	digest := t.digest(p)
	x := sa.find(by, h.MessageID, h.Exchange)
	if x == nil {
		x = t.addExchange(sa, by, h)
		x.place(h.Response(), t.newMessage(e, digest))
	} else {
		switch t.merge(e, x, h, digest) {
		case repeated:
			return
		case different:
			// Another request with the message id of an earlier one:
			// IKE_SA_INIT again with a cookie or another KE.
			x = t.addExchange(sa, by, h)
			x.Variant = true
			x.place(false, t.newMessage(e, digest))
		}
	}
	t.learn(e, sa, x, h.Response())
	if t.options.TablesOnly {
		x.forget()
	}
}

// forget drops payloads that were only borrowed from an event.
func (x *Exchange) forget() {
	for _, m := range []*Message{x.Request, x.Response} {
		if m != nil && !m.Decrypted {
			m.Payloads = nil
		}
	}
}

// merged is what became of a message whose exchange was there already.
type merged uint8

const (
	learned   merged = iota // it says something new
	repeated                // it says nothing new
	different               // it is another request
)

func other(o Origin) Origin {
	if o == Initiator {
		return Responder
	}
	return Initiator
}

// digest identifies the octets of a packet.
func (t *Trace) digest(p *event.Packet) uint64 {
	return maphash.Bytes(t.seed, p.Octets) | 1 // 0 means none
}

// find gives the youngest kept exchange with this key.
func (sa *IKESA) find(by Origin, id uint32, typ wire.ExchangeType) *Exchange {
	for i := len(sa.Exchanges) - 1; i >= 0; i-- {
		x := sa.Exchanges[i]
		if x.MessageID == id && x.By == by && x.Type == typ {
			return x
		}
	}
	return nil
}

func (t *Trace) addExchange(sa *IKESA, by Origin, h *wire.Header) *Exchange {
	x := &Exchange{SA: sa, Type: h.Exchange, MessageID: h.MessageID, By: by}
	if keep := t.options.KeepFirst + t.options.KeepLast; len(sa.Exchanges) >= keep {
		sa.Exchanges = slices.Delete(sa.Exchanges, t.options.KeepFirst, t.options.KeepFirst+1)
		sa.Skipped++
		t.Counts.Forgotten++
	}
	sa.Exchanges = append(sa.Exchanges, x)
	return x
}

func (x *Exchange) place(response bool, m *Message) {
	if response {
		x.Response = m
		x.measure()
	} else {
		x.Request = m
	}
}

// measure sets the round-trip time once both messages are there.
func (x *Exchange) measure() {
	if x.Request == nil || x.Response == nil {
		return
	}
	sent := x.Request.Time
	for i := range x.Repeats {
		if r := &x.Repeats[i]; !r.Response && !r.Time.After(x.Response.Time) {
			sent = r.Time
		}
	}
	if rtt := x.Response.Time.Sub(sent); rtt >= 0 {
		x.RTT = engine.Some(rtt)
	}
}

// merge takes a message into an exchange that has its key already: the first
// response, a part of a set of IKE fragments, or a retransmission.
func (t *Trace) merge(e *event.Event, x *Exchange, h *wire.Header, digest uint64) merged {
	response := h.Response()
	m := x.Request
	if response {
		m = x.Response
	}
	if m == nil {
		x.place(response, t.newMessage(e, digest))
		return learned
	}
	if f := e.Packet.IKE.Fragment; f != nil && m.fragments != nil {
		if i := int(f.Number) - 1; i >= 0 && i < len(m.fragments) && m.fragments[i] == 0 {
			m.fragments[i] = digest
			return t.addFragment(e, m)
		}
		if f.Number != 1 {
			return repeated // a set sent again is counted once, by its first fragment
		}
	} else if m.digest != digest && !response && !equalButTruncated(m, e.Packet) {
		return different
	}
	if response {
		x.ResponseRepeats++
	} else {
		x.RequestRepeats++
	}
	if len(x.Repeats) < maxRepeats {
		x.Repeats = append(x.Repeats, Repeat{e.Frame, e.Time, response})
	}
	return repeated
}

// addFragment adds one more IKE fragment to a message.
func (t *Trace) addFragment(e *event.Event, m *Message) merged {
	k := e.Packet.IKE
	m.Frames = append(m.Frames, e.Frame)
	m.Length += e.Packet.Length
	m.Fragments++
	before := m.First
	if k.Fragment.Number == 1 {
		m.First, _ = k.Message.Sealed()
	}
	if k.Inner != nil {
		t.open(m, k)
		return learned
	}
	if m.First != before {
		return learned
	}
	return repeated
}

// equalButTruncated says that a packet cannot be told from m because the
// capture cut it short.
func equalButTruncated(m *Message, p *event.Packet) bool {
	return p.Truncated && m.Length == p.Length
}

// newMessage makes the trace's own copy of a message.
func (t *Trace) newMessage(e *event.Event, digest uint64) *Message {
	p := e.Packet
	k := p.IKE
	src, dst := addrPorts(p)
	m := &Message{
		Frame:        e.Frame,
		Time:         e.Time,
		Src:          src,
		Dst:          dst,
		Encap:        p.Encap,
		Length:       p.Length,
		Header:       k.Message.Header,
		DecryptError: k.DecryptError,
		IPFragments:  len(p.IPFragments),
		digest:       digest,
	}
	m.First, m.Encrypted = k.Message.Sealed()
	if len(p.IPFragments) > 0 {
		m.Frames = slices.Clone(p.IPFragments)
	}
	if len(k.Message.Problems) > 0 {
		m.Problems = slices.Clone(k.Message.Problems)
	}
	if f := k.Fragment; f != nil {
		n := min(int(f.Total), maxFragments)
		m.fragments = make([]uint64, n)
		if i := int(f.Number) - 1; i >= 0 && i < n {
			m.fragments[i] = digest
		}
		m.Fragments, m.FragmentTotal = 1, int(f.Total)
		m.Frames = []int64{e.Frame}
	}
	switch {
	case t.options.TablesOnly && k.Inner == nil:
		m.Payloads = k.Message.Payloads // borrowed until forget
		return m
	case t.options.KeepOctets || !m.Encrypted:
		m.Octets = slices.Clone(p.Octets)
	}
	switch {
	case k.Inner != nil:
		t.open(m, k)
	case !m.Encrypted:
		// Parsed again from the trace's own octets: payloads alias them.
		if own, _ := wire.Parse(m.Octets); own != nil {
			m.Payloads = own.Payloads
		}
	}
	return m
}

// open takes over what keys have opened.
func (t *Trace) open(m *Message, k *event.IKE) {
	m.Decrypted = true
	m.DecryptError = ""
	m.Plain = slices.Clone(k.Plain)
	if m.First == wire.PayloadNone && len(k.Inner) > 0 {
		// Of a message whose fragments its source joined itself, only the last one
		// is here, and does not say it.
		m.First = k.Inner[0].Type
	}
	m.Payloads, m.Problems = wire.ParsePayloads(m.First, m.Header.Version, m.Plain)
}

// follow notes changes of an SA's addresses.
func (t *Trace) follow(e *event.Event, sa *IKESA, sender Origin) {
	i, r := addrPorts(e.Packet)
	if sender == Responder {
		i, r = r, i
	}
	us := Initiator
	if sa.ours() == Responder { // a daemon has told the SA, and is its responder
		us, i, r = Responder, r, i
	}
	t.move(e, sa, us, &sa.Local, i)
	t.move(e, sa, other(us), &sa.Remote, r)
	if e.Packet.Encap == event.UDPNATT {
		sa.floated = true
	}
}

func (t *Trace) move(e *event.Event, sa *IKESA, by Origin, side *engine.Side, now netip.AddrPort) {
	before := netip.AddrPortFrom(side.Host, side.Port)
	if before == now {
		return
	}
	if len(sa.Moves) >= maxMoves {
		t.leave(sa) // it is not to be known by ever more places
	}
	side.Host, side.Port = now.Addr(), now.Port()
	t.byEnds[ends(netip.AddrPortFrom(sa.Local.Host, sa.Local.Port), netip.AddrPortFrom(sa.Remote.Host, sa.Remote.Port))] = sa
	if before.Addr() != now.Addr() || len(sa.Moves) >= maxMoves {
		t.reindex(sa, sa.Local.Host, sa.Remote.Host)
	} else if !sa.floated && e.Packet.Encap == event.UDPNATT {
		return // the move to port 4500 belongs to every SA behind a NAT
	}
	if e.Packet.IKE.Message.Header.Exchange == wire.ExchangeIKESAInit {
		return
	}
	if len(sa.Moves) < maxMoves {
		sa.Moves = append(sa.Moves, Move{e.Time, e.Frame, by, before, now})
	}
}

// leave makes an SA unknown where it is now.
func (t *Trace) leave(sa *IKESA) {
	at := ends(netip.AddrPortFrom(sa.Local.Host, sa.Local.Port), netip.AddrPortFrom(sa.Remote.Host, sa.Remote.Port))
	if t.byEnds[at] == sa {
		delete(t.byEnds, at)
	}
	key := pair(sa.Local.Host, sa.Remote.Host)
	l := slices.DeleteFunc(t.byHosts[key], func(o *IKESA) bool { return o == sa })
	if len(l) == 0 {
		delete(t.byHosts, key)
		return
	}
	t.byHosts[key] = l
}
