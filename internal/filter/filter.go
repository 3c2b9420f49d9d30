// Package filter selects events by an expression: our own terms, such as
// peer=192.0.2.1 or spi=be9debbe, and the part of the BPF language that makes
// sense for IKE, ESP and AH, such as "host 192.0.2.1 and udp port 4500".
//
// Contract: Parse refuses what it does not understand with the column and
// what was expected there; Match only reads the event. A Filter is safe for
// concurrent use.
//
// The language:
//
//	expression = all { ("or" | "||") all }
//	all        = one { ["and" | "&&"] one }
//	one        = ("not" | "!") one | "(" expression ")" | term
//	term       = key "=" value { "," value }
//	           | ["src" | "dst"] ("host" address | "net" prefix | ["udp" | "tcp"] ("port" number | "portrange" from-to))
//	           | "udp" | "tcp" | "ip" | "ip6" | "ike" | "esp" | "ah"
//
// Keys: peer, src, dst (address or prefix), port, sport, dport (number or
// from-to), spi (8 hex digits for ESP and AH, 16 for IKE), proto, encap,
// exchange, mid (message id) and frame (number or from-to).
package filter

import (
	"fmt"
	"net/netip"

	"github.com/cloudvlan/cvlanctl/engine/event"
)

// Filter is a parsed expression. The nil Filter matches everything.
type Filter struct {
	text  string
	match predicate
}

type predicate func(*facts) bool

// Parse reads an expression. The empty one matches everything.
func Parse(text string) (*Filter, error) {
	p := parser{text: text}
	p.next()
	if p.kind == end {
		return nil, p.err
	}
	m := p.expression(0)
	if p.err == nil && p.kind != end {
		p.fail("expected \"and\", \"or\" or the end, got %q", p.word)
	}
	if p.err != nil {
		return nil, p.err
	}
	return &Filter{text, m}, nil
}

// String gives the expression as it was written, "" for the nil Filter.
func (f *Filter) String() string {
	if f == nil {
		return ""
	}
	return f.text
}

// Match says whether the event is selected. An event about a hole in the
// source is about everything, and always matches.
func (f *Filter) Match(e *event.Event) bool {
	if f == nil || e.Gap != nil {
		return true
	}
	x := factsOf(e)
	return f.match(&x)
}

// SyntaxError says what is wrong with an expression, and where.
type SyntaxError struct {
	Column int // of the first character not understood, counted from 1
	What   string
}

// Error gives column and fault.
func (e *SyntaxError) Error() string { return fmt.Sprintf("filter, column %d: %s", e.Column, e.What) }

// facts is what terms look at, the same for every kind of event.
type facts struct {
	event        *event.Event
	src, dst     netip.Addr
	sport, dport uint16
}

func factsOf(e *event.Event) facts {
	x := facts{event: e}
	switch {
	case e.Packet != nil:
		p := e.Packet
		x.src, x.dst, x.sport, x.dport = p.Src, p.Dst, p.SrcPort, p.DstPort
	case e.ICMP != nil:
		i := e.ICMP
		x.src, x.dst, x.sport, x.dport = i.Src, i.Dst, i.SrcPort, i.DstPort
	case e.Loss != nil:
		l := e.Loss
		x.src, x.dst, x.sport, x.dport = l.Src, l.Dst, l.SrcPort, l.DstPort
	}
	return x
}

// udp and tcp are IP protocol numbers; the others follow from event.Proto.
const (
	protoTCP = 6
	protoUDP = 17
)

// transport says whether the event's packet was carried in UDP or TCP.
func (x *facts) transport(number uint8) bool {
	switch e := x.event; {
	case e.Packet != nil && number == protoTCP:
		return e.Packet.Encap == event.TCP
	case e.Packet != nil:
		return e.Packet.Encap == event.UDP || e.Packet.Encap == event.UDPNATT
	case e.ICMP != nil:
		return e.ICMP.Protocol == number
	case e.Loss != nil:
		return e.Loss.Protocol == number
	}
	return false
}

// side says which end of a packet a term is about.
type side uint8

const (
	either side = iota
	source
	destination
)

func (x *facts) address(s side, p netip.Prefix) bool {
	return s != destination && p.Contains(x.src.Unmap()) || s != source && p.Contains(x.dst.Unmap())
}

func (x *facts) port(s side, r span) bool {
	return s != destination && r.holds(uint64(x.sport)) || s != source && r.holds(uint64(x.dport))
}

func (x *facts) spi(v uint64, ike bool) bool {
	switch e := x.event; {
	case e.Packet != nil && ike && e.Packet.IKE != nil:
		h := &e.Packet.IKE.Message.Header
		return uint64(h.InitiatorSPI) == v || uint64(h.ResponderSPI) == v
	case e.Packet != nil && !ike && e.Packet.ESP != nil:
		return uint64(e.Packet.ESP.SPI) == v
	case e.Packet != nil && !ike && e.Packet.AH != nil:
		return uint64(e.Packet.AH.SPI) == v
	case e.ICMP != nil:
		return ike && uint64(e.ICMP.SPI) == v
	case e.Loss != nil:
		return ike && uint64(e.Loss.SPI) == v
	}
	return false
}

// span is a closed range of numbers.
type span struct{ low, high uint64 }

func (r span) holds(v uint64) bool { return v >= r.low && v <= r.high }
