// Package dissect turns captured frames into events: it finds IKE, ESP, AH and
// NAT keepalives among them, decodes them with engine/wire, puts IKE fragments
// together, and opens what keys open.
//
// Contract: input is hostile; whatever the frames hold, memory stays bounded.
// One Event is reused for all: what an iteration yields is valid until the
// next. A Dissector is not safe for concurrent use.
package dissect

import (
	"iter"
	"net/netip"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/capture/ipflow"
	"github.com/cloudvlan/cvlanctl/capture/keylog"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// maxEndpoints bounds the endpoints on other ports that are remembered as
// speaking IKE.
const maxEndpoints = 65536

// Options say how to read frames. The zero value reads without keys.
type Options struct {
	Keys *keylog.Tables // nil for none
}

// Dissector turns frames into events.
type Dissector struct {
	keys      *decrypter
	fragments fragments
	// endpoints holds the UDP endpoints on other ports that IKE was found on,
	// and whether it had a non-ESP marker there.
	endpoints map[netip.AddrPort]bool
	stats     func() ipflow.Stats

	// The one event that is reused, and its parts.
	event   event.Event
	packet  event.Packet
	ike     event.IKE
	message wire.Message
	esp     event.SecurityPacket
	set     event.Fragment
	vlans   []uint16
	outer   []event.Tunnel
}

// New makes a Dissector for one stream of frames.
func New(o Options) *Dissector {
	d := &Dissector{
		endpoints: make(map[netip.AddrPort]bool),
		fragments: newFragments(),
		stats:     func() ipflow.Stats { return ipflow.Stats{} },
	}
	if o.Keys != nil {
		d.keys = newDecrypter(o.Keys)
	}
	return d
}

// Stats counts what was met below the level of events.
func (d *Dissector) Stats() ipflow.Stats { return d.stats() }

// Events yields an event for each packet of interest, each ICMP error about
// one and each lost IP datagram; then the error that ended src, if any. It can
// be called once.
func (d *Dissector) Events(src capture.Source) iter.Seq2[*event.Event, error] {
	return func(yield func(*event.Event, error) bool) {
		running := true
		emit := func() {
			if running {
				running = yield(&d.event, nil)
			}
		}
		walker := ipflow.New(ipflow.Options{Loss: func(l ipflow.FragmentLoss) {
			if running && d.loss(&l) {
				emit()
			}
		}})
		d.stats = walker.Stats
		datagram := func(g *ipflow.Datagram) {
			if running && d.datagram(g) {
				emit()
			}
		}
		for frame, err := range src.Frames() {
			if err != nil {
				walker.Flush()
				if running {
					yield(nil, err)
				}
				return
			}
			// What cannot be taken apart is counted in Stats.
			_ = walker.Walk(frame, datagram)
			if !running {
				return
			}
		}
		walker.Flush()
	}
}

// datagram makes the event of one datagram; it says false where it is of no
// interest.
func (d *Dissector) datagram(g *ipflow.Datagram) bool {
	switch g.Proto {
	case ipflow.ProtoUDP:
		return d.udp(g)
	case ipflow.ProtoESP:
		d.begin(g, event.IP)
		return d.secure(event.ESP, g.Payload, g.Length)
	case ipflow.ProtoAH:
		d.begin(g, event.IP)
		return d.secure(event.AH, g.Payload, g.Length)
	case ipflow.ProtoTCP:
		if g.Encap == ipflow.TCPRecord {
			return d.framed(g, event.TCP)
		}
	case ipflow.ProtoICMP, ipflow.ProtoICMPv6:
		return d.icmp(g)
	}
	return false
}

// udp finds IKE and ESP in a UDP datagram.
func (d *Dissector) udp(g *ipflow.Datagram) bool {
	switch {
	case g.SrcPort == wire.PortNATT || g.DstPort == wire.PortNATT:
		return d.framed(g, event.UDPNATT)
	case g.SrcPort == wire.PortIKE || g.DstPort == wire.PortIKE:
		if len(g.Payload) >= 4 && marked(g.Payload) && wire.LooksLikeIKE(g.Payload[4:]) {
			// A NAT that makes port 500 of port 4500.
			return d.framed(g, event.UDPNATT)
		}
		d.begin(g, event.UDP)
		return d.decode(g.Payload)
	}
	return d.anyPort(g)
}

// anyPort finds IKE on a port that is not its own, and what follows it there.
func (d *Dissector) anyPort(g *ipflow.Datagram) bool {
	src, dst := netip.AddrPortFrom(g.Src, g.SrcPort), netip.AddrPortFrom(g.Dst, g.DstPort)
	if len(g.Payload) >= wire.HeaderLength && wire.LooksLikeIKE(g.Payload) {
		d.remember(src, dst, false)
		d.begin(g, event.UDP)
		return d.decode(g.Payload)
	}
	if len(g.Payload) >= wire.HeaderLength+4 && marked(g.Payload) && wire.LooksLikeIKE(g.Payload[4:]) {
		d.remember(src, dst, true)
		return d.framed(g, event.UDPNATT)
	}
	if len(d.endpoints) > 0 && d.endpoints[src] && d.endpoints[dst] {
		return d.framed(g, event.UDPNATT)
	}
	return false
}

// remember notes the two ends of an IKE message. Once a marker was seen there
// it stays so: ESP may come on the same ports.
func (d *Dissector) remember(src, dst netip.AddrPort, marker bool) {
	for _, e := range []netip.AddrPort{src, dst} {
		if old, ok := d.endpoints[e]; ok || len(d.endpoints) < maxEndpoints {
			d.endpoints[e] = old || marker
		}
	}
}

// marked says whether octets begin with the non-ESP marker (RFC 3948 2.2).
func marked(b []byte) bool { return b[0]|b[1]|b[2]|b[3] == 0 }

// framed tells IKE, ESP and keepalive apart where they share a port.
func (d *Dissector) framed(g *ipflow.Datagram, encap event.Encap) bool {
	d.begin(g, encap)
	switch kind, b := wire.ClassifyUDP(g.Payload, true); kind {
	case wire.UDPKeepalive:
		return d.keepalive(g.Payload)
	case wire.UDPIKEMarked:
		return d.decode(b)
	case wire.UDPESP:
		return d.secure(event.ESP, b, len(b))
	}
	return false
}

// keepalive makes the event of a NAT keepalive (RFC 3948 2.3).
func (d *Dissector) keepalive(b []byte) bool {
	d.packet.Proto, d.packet.Length, d.packet.Octets = event.Keepalive, len(b), b
	return true
}

// begin starts the event of a datagram.
func (d *Dissector) begin(g *ipflow.Datagram, encap event.Encap) {
	d.event = event.Event{Time: g.Time, Frame: g.Frame, Packet: &d.packet}
	d.packet = event.Packet{
		Src: g.Src, Dst: g.Dst, SrcPort: g.SrcPort, DstPort: g.DstPort,
		Encap: encap, TTL: g.TTL, Truncated: g.Truncated, IPFragments: g.Fragments,
	}
	if len(g.VLANs) > 0 {
		d.vlans = append(d.vlans[:0], g.VLANs...)
		d.packet.VLANs = d.vlans
	}
	if len(g.Outer) > 0 {
		d.outer = d.outer[:0]
		for i := range g.Outer {
			o := &g.Outer[i]
			d.outer = append(d.outer, event.Tunnel{Kind: o.Kind.String(), Src: o.Src, Dst: o.Dst, ID: o.ID})
		}
		d.packet.Outer = d.outer
	}
}

// decode decodes one IKE message.
func (d *Dissector) decode(b []byte) bool {
	if len(b) < wire.HeaderLength {
		return len(b) == 1 && b[0] == 0xff && d.keepalive(b)
	}
	d.ike = event.IKE{Message: &d.message, Err: d.message.Decode(b)}
	p := &d.packet
	p.IKE = &d.ike
	p.Octets = b
	p.Length = len(b)
	if p.Truncated {
		p.Length = max(p.Length, int(min(d.message.Length, 1<<16)))
	}
	p.Proto = event.IKEv2
	if d.message.Version.Major() == 1 {
		p.Proto = event.IKEv1
	}
	if p.Proto == event.IKEv2 {
		d.fragment()
		if d.keys != nil {
			d.keys.open(d)
		}
	} else if d.keys != nil {
		d.keys.openV1(d)
	}
	return true
}

// secure decodes the header of an ESP or AH packet.
func (d *Dissector) secure(proto event.Proto, b []byte, length int) bool {
	p := &d.packet
	p.Proto, p.Octets, p.Length = proto, b, length
	d.esp = event.SecurityPacket{}
	if proto == event.AH {
		h, err := wire.ParseAH(b)
		if err != nil {
			return false
		}
		d.esp.SPI, d.esp.Seq, d.esp.NextHeader = h.SPI, h.Sequence, h.NextHeader
		p.AH = &d.esp
		return true
	}
	h, err := wire.ParseESP(b)
	if err != nil {
		return false
	}
	d.esp.SPI, d.esp.Seq = h.SPI, h.Sequence
	p.ESP = &d.esp
	if d.keys != nil {
		d.keys.openESP(d)
	}
	return true
}
