package ike

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// initRequest takes the first message of a peer: repeated, without the cookie
// that is demanded, or the beginning of an SA.
func (e *Endpoint) initRequest(d *Datagram, octets []byte, h *wire.Header, out *Output) {
	check := func(c event.Check) {
		c.SPIi = h.InitiatorSPI
		e.stranger(c, d.Remote.Addr(), out)
	}
	fail := func(f *Failure) {
		if out.Err == nil {
			out.Err = f
		}
	}
	source := d.Remote.Addr()
	digest := sha256.Sum256(append(slices.Clone(octets), d.Remote.String()...))
	if m := e.inits[digest]; m != nil {
		e.step(m, Input{Datagram: d}, out)
		return
	}
	if e.set.CookieThreshold < 0 || e.half >= e.set.CookieThreshold {
		if !e.cookieOK(octets, d, h, check, out) {
			return
		}
	}
	if e.sources[source] >= e.set.HalfOpenPerSource || e.half >= e.set.MaxHalfOpen || len(e.sas) >= e.set.MaxSAs {
		check(event.Check{Kind: event.CheckLimit, RFC: "RFC 7296 2.6", What: "half-open IKE SAs",
			Local:  fmt.Sprintf("at most %d of an address, %d in all", e.set.HalfOpenPerSource, e.set.MaxHalfOpen),
			Remote: fmt.Sprintf("%d of %s, %d in all", e.sources[source], source, e.half)})
		fail(&Failure{RFC: "RFC 7296 2.6", Text: "too many half-open IKE SAs: the request is dropped", Survived: true})
		return
	}
	var choices []*Connection
	for _, c := range e.conns {
		if c.accepts(d.Local.Addr(), source) {
			choices = append(choices, c)
		}
	}
	if len(choices) == 0 {
		check(event.Check{Kind: event.CheckConnection, RFC: "RFC 7296 2.7", What: "connections for the addresses",
			Local: fmt.Sprintf("%d connections, none for %s", len(e.conns), d.Local.Addr()), Remote: source.String()})
		fail(&Failure{Notify: wire.NotifyNoProposalChosen, RFC: "RFC 7296 2.7", Survived: true,
			Text: fmt.Sprintf("no connection between %s and %s", d.Local.Addr(), source)})
		e.unprotected(h, path{local: d.Local, remote: d.Remote, marked: d.Marked}, wire.NotifyNoProposalChosen, out)
		return
	}
	s := &SA{own: e, set: &e.set, choices: choices, state: engine.IKECreated, spiI: h.InitiatorSPI, spiR: e.ikeSPI(), now: e.now,
		path: path{local: d.Local, remote: d.Remote, marked: d.Marked}}
	m := e.take(s)
	m.half, m.source, m.digest = true, source, digest
	e.half++
	e.sources[source]++
	e.inits[digest] = m
	e.step(m, Input{Datagram: d}, out)
	e.answered = s
}

// cookieOK says whether a request brings the cookie that is demanded; else it
// answers with the demand and keeps nothing.
func (e *Endpoint) cookieOK(octets []byte, d *Datagram, h *wire.Header, check func(event.Check), out *Output) bool {
	parsed, err := wire.Parse(octets)
	p := parsed.First(wire.PayloadNonce)
	if err != nil || p == nil {
		return true // the SA will refuse it, and be gone
	}
	ni := p.Body.(*wire.Nonce).Data
	source := d.Remote.Addr()
	if n := wire.FindNotify(parsed.Payloads, wire.NotifyCookie); n != nil {
		c := event.Check{Kind: event.CheckCookie, RFC: "RFC 7296 2.6", What: "cookie of " + source.String(),
			OK:    e.cookies.check(e.now, n.Data, source, h.InitiatorSPI, ni),
			Local: "one made for this nonce, address and SPI", Remote: hexOf(n.Data)}
		if c.OK {
			// Its sender gets what is sent to it: no stranger any more, of whom only some are told.
			c.SPIi, c.Peer = h.InitiatorSPI, source
			out.Events = append(out.Events, event.Event{Time: e.now, Check: &c})
			return true
		}
		check(c)
	} else {
		check(event.Check{Kind: event.CheckCookie, RFC: "RFC 7296 2.6", What: "cookie of " + source.String(), Remote: "none",
			Local: fmt.Sprintf("demanded, as %d IKE SAs are half-open", e.half)})
	}
	m := wire.Message{Header: wire.Header{InitiatorSPI: h.InitiatorSPI, Version: wire.Version2, Exchange: wire.ExchangeIKESAInit,
		Flags: wire.FlagResponse}, Payloads: notify(wire.NotifyCookie, e.cookies.make(e.now, source, h.InitiatorSPI, ni))}
	e.send(&m, path{local: d.Local, remote: d.Remote, marked: d.Marked}, out)
	return false
}
