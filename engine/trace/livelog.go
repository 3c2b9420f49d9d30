package trace

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// clockGrain is how exactly a daemon's log lines are timed: they are stamped
// when they arrive, and arrive in batches. A round trip below it is not known.
const clockGrain = time.Millisecond

// addLog folds a line of a daemon's log in.
func (t *Trace) addLog(at time.Time, l *event.Log) {
	var sa *IKESA
	if l.IKEID != 0 {
		sa = t.byUnique[l.IKEID]
	}
	if sa == nil && l.SPIi != 0 {
		sa = t.findSA(&wire.Header{InitiatorSPI: l.SPIi, ResponderSPI: l.SPIr})
	}
	if sa == nil && l.IKEID != 0 && (l.Message != nil || l.Datagram != nil || l.Established != nil || l.Failure != nil) {
		sa = t.newLive(at, l.IKEID, l.IKE)
	}
	if f := l.Failure; f != nil {
		t.Daemon.Failures = bounded(t.Daemon.Failures, Failure{at, sa, l.IKE, l.Text, *f})
	}
	if l.Step != nil {
		t.addLogStep(at, sa, l)
	}
	if sa == nil {
		return
	}
	sa.Last = at
	if l.IKE != "" && (sa.Name == "" || sa.Name == "(unnamed)") {
		sa.Name = l.IKE
	}
	switch {
	case l.Message != nil:
		t.addLogMessage(at, sa, l.Message)
	case l.Datagram != nil:
		sa.addDatagram(at, l.Datagram)
	case l.Retransmit != nil:
		sa.addRetransmit(at, l.Retransmit)
	case l.Proposals != nil:
		sa.learnProposals(l.Proposals)
	case l.Step != nil && l.Step.Kind == "endpoint":
		sa.addEndpoint(at, l.Step.Detail)
	case l.Established != nil && !l.Established.Child:
		sa.State, sa.Established = engine.IKEEstablished, at
	}
}

// addEndpoint notes that an end has another address or port, by the details
// side, from and to, "192.0.2.1[4500]", of a log.
func (sa *IKESA) addEndpoint(at time.Time, detail map[string]string) {
	us := sa.ours()
	from, to := logEndpoint(detail["from"]), logEndpoint(detail["to"])
	if us == Nobody || !from.IsValid() || !to.IsValid() || len(sa.Moves) >= maxMoves {
		return
	}
	by := us
	if detail["side"] == "remote" {
		by = other(us)
	}
	sa.Moves = append(sa.Moves, Move{Time: at, By: by, From: from, To: to})
}

// logEndpoint reads "192.0.2.1[4500]"; the invalid one stands for anything else.
func logEndpoint(s string) netip.AddrPort {
	host, port, ok := strings.Cut(strings.TrimSuffix(s, "]"), "[")
	a, err := netip.ParseAddr(host)
	n, bad := strconv.ParseUint(port, 10, 16)
	if !ok || err != nil || bad != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, uint16(n))
}

func (sa *IKESA) learnProposals(p *event.LogProposals) {
	if p.Received != nil {
		sa.Offers.Received = p.Received
	}
	if p.Configured != nil {
		sa.Offers.Configured = p.Configured
	}
	if p.Selected != "" {
		sa.Offers.Selected = p.Selected
	}
}

// addLogMessage places a message that the daemon built or read.
func (t *Trace) addLogMessage(at time.Time, sa *IKESA, m *event.LogMessage) {
	if sa.ours() == Nobody && m.Exchange == wire.ExchangeIKESAInit {
		// Who sends the request, or reads the response, has begun.
		sa.IKESA.Initiator = engine.Some(m.Sent != m.Response)
	}
	by := sa.ours()
	if m.Sent == m.Response { // the peer asked
		by = other(by)
	}
	if sa.ours() == Nobody {
		by = Nobody
	}
	x := sa.find(by, m.MessageID, m.Exchange)
	h := wire.Header{InitiatorSPI: sa.InitiatorSPI, ResponderSPI: sa.ResponderSPI, Version: wire.Version2,
		Exchange: m.Exchange, MessageID: m.MessageID}
	if m.Response {
		h.Flags |= wire.FlagResponse
	}
	if x == nil || !m.Response && x.Response != nil {
		again := x != nil
		x = t.addExchange(sa, by, &h)
		x.Variant = again
	}
	msg := x.Request
	if m.Response {
		msg = x.Response
	}
	if msg == nil {
		msg = &Message{Time: at, Header: h, Encrypted: m.Exchange != wire.ExchangeIKESAInit, Logged: true}
		sa.Messages++
		x.place(m.Response, msg)
		if rtt, ok := x.RTT.Get(); ok && rtt < clockGrain {
			x.RTT = engine.Opt[time.Duration]{}
		}
	} else if m.Fragments == 0 && msg.Payloads != nil {
		return // the same line, told twice
	}
	if m.Fragments > 0 {
		x.addLoggedFragment(at, msg, m)
	} else {
		msg.Payloads = m.Chain()
		sa.noteNotifies(msg)
		msg.Decrypted = msg.Encrypted
		if len(msg.Payloads) > 0 {
			msg.First = msg.Payloads[0].Type
		}
	}
	if !m.Sent && sa.arrived != nil {
		sa.measure(msg, sa.arrived)
		sa.arrived = nil
	}
	sa.learnLogged(at, x, m)
}

// maxLoggedFragments bounds the fragments that are told apart in a log, far
// above what a message needs.
const maxLoggedFragments = 1024

// addLoggedFragment counts a fragment of a message; one that came before is a
// repetition of the message.
func (x *Exchange) addLoggedFragment(at time.Time, msg *Message, m *event.LogMessage) {
	if m.Fragment < 1 || m.Fragment > m.Fragments || m.Fragments > maxLoggedFragments {
		return
	}
	if len(msg.fragments) != m.Fragments {
		msg.fragments, msg.Fragments, msg.FragmentTotal = make([]uint64, m.Fragments), 0, m.Fragments
	}
	if seen := &msg.fragments[m.Fragment-1]; *seen == 0 {
		*seen = 1 // a log tells no octets
		msg.Fragments++
		return
	}
	if slices.IndexFunc(msg.fragments, func(seen uint64) bool { return seen != 0 }) != m.Fragment-1 {
		return // the first of them stands for all
	}
	if m.Response {
		x.ResponseRepeats++
	} else {
		x.RequestRepeats++
	}
	if len(x.Repeats) < maxRepeats {
		x.Repeats = append(x.Repeats, Repeat{Time: at, Response: m.Response})
	}
}

// learnLogged keeps what an SA knows of its exchanges.
func (sa *IKESA) learnLogged(at time.Time, x *Exchange, m *event.LogMessage) {
	if !m.Response && x.Request != nil && m.Fragments == 0 {
		x.Purpose = purpose(x.Request)
		if x.Purpose == PurposeDPD && m.Sent {
			sa.DPD.Probes++
		}
	}
	if x.Purpose == "" {
		x.Purpose = PurposeOther
	}
	switch x.Type {
	case wire.ExchangeIKESAInit:
		sa.Init = x
	case wire.ExchangeIKEAuth:
		if n := len(sa.Auth); n == 0 || sa.Auth[n-1] != x {
			sa.Auth = append(sa.Auth, x)
		}
	}
	if !m.Sent && m.Exchange != wire.ExchangeIKESAInit {
		sa.DPD.LastHeard = at
		if m.Response && x.Purpose == PurposeDPD {
			sa.DPD.Answered++
			sa.DPD.RTT = x.RTT
		}
	}
}

// measure takes size and addresses of a message from its datagram; several of
// a fragmented message add up.
func (sa *IKESA) measure(m *Message, d *event.LogDatagram) {
	m.Src, m.Dst = d.Src, d.Dst
	m.Length += d.Octets
	sa.Octets += int64(d.Octets)
	m.Encap = event.UDP
	if d.Src.Port() != 500 && d.Dst.Port() != 500 {
		m.Encap = event.UDPNATT
	}
}

// addDatagram joins a datagram with its message: one that is sent follows its
// message, one that is received comes before it.
func (sa *IKESA) addDatagram(at time.Time, d *event.LogDatagram) {
	local, remote := d.Dst, d.Src
	if d.Sent {
		local, remote = d.Src, d.Dst
	}
	sa.Local.Host, sa.Local.Port = local.Addr(), local.Port()
	sa.Remote.Host, sa.Remote.Port = remote.Addr(), remote.Port()
	if !d.Sent {
		sa.arrived, sa.at = d, at
		return
	}
	for i := len(sa.Exchanges) - 1; i >= 0 && i >= len(sa.Exchanges)-4; i-- {
		x := sa.Exchanges[i]
		for _, m := range []*Message{x.Response, x.Request} {
			if m != nil && m.Logged && sentBy(sa, x, m) && unsent(m) {
				sa.measure(m, d)
				return
			}
		}
	}
}

// sentBy says whether the daemon sent a message of an exchange.
func sentBy(sa *IKESA, x *Exchange, m *Message) bool {
	return (x.By == sa.ours()) == (m == x.Request)
}

// unsent says whether a message still lacks its datagram. The fragments of a
// message are sent one after the other.
func unsent(m *Message) bool {
	return m.Src == (netip.AddrPort{})
}

func (sa *IKESA) addRetransmit(at time.Time, r *event.LogRetransmit) {
	if r.Kind == event.RetransmitGiveUp {
		if sa.Ended == "" {
			sa.Ended, sa.EndedAt = EndNoAnswer, at
			if sa.Established.IsZero() {
				sa.State = engine.IKEFailed
			}
		}
		return
	}
	asker := sa.ours()
	if r.Kind == event.RetransmitResponse {
		asker = other(asker)
	}
	for i := len(sa.Exchanges) - 1; i >= 0; i-- {
		x := sa.Exchanges[i]
		if x.MessageID != r.MessageID || x.By != asker {
			continue
		}
		x.RequestRepeats++
		if len(x.Repeats) < maxRepeats {
			x.Repeats = append(x.Repeats, Repeat{Time: at})
		}
		if r.Kind == event.RetransmitResponse {
			x.ResponseRepeats++
			if len(x.Repeats) < maxRepeats {
				x.Repeats = append(x.Repeats, Repeat{Time: at, Response: true})
			}
		}
		return
	}
}
