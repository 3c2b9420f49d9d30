package dissect

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/cloudvlan/cvlanctl/capture/ipflow"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// icmp makes the event of an ICMP error that is about an IKE, ESP or AH
// packet.
func (d *Dissector) icmp(g *ipflow.Datagram) bool {
	b := g.Payload
	if len(b) < 8 {
		return false
	}
	e := &event.ICMPError{From: g.Src, To: g.Dst, V6: g.Proto == ipflow.ProtoICMPv6, Type: b[0], Code: b[1]}
	var ok bool
	if e.V6 {
		e.What, ok = icmp6Meaning(e.Type, e.Code)
		if e.Type == 2 {
			e.MTU = binary.BigEndian.Uint32(b[4:])
		}
	} else {
		e.What, ok = icmp4Meaning(e.Type, e.Code)
		if e.Type == 3 && e.Code == 4 {
			e.MTU = uint32(binary.BigEndian.Uint16(b[6:]))
		}
	}
	if !ok || !d.quoted(e, b[8:]) {
		return false
	}
	d.event = event.Event{Time: g.Time, Frame: g.Frame, ICMP: e}
	return true
}

// quoted reads the packet that an ICMP error quotes; it says false where that
// is none of ours.
func (d *Dissector) quoted(e *event.ICMPError, b []byte) bool {
	if len(b) < 20 {
		return false
	}
	var rest []byte
	switch b[0] >> 4 {
	case 4:
		n := int(b[0]&15) * 4
		if n < 20 || len(b) < n {
			return false
		}
		e.Protocol = b[9]
		e.Src, e.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		if binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return e.Protocol == ipflow.ProtoESP
		}
		rest = b[n:]
	case 6:
		if len(b) < 40 {
			return false
		}
		e.Protocol = b[6]
		e.Src, e.Dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		rest = b[40:]
	default:
		return false
	}
	switch e.Protocol {
	case ipflow.ProtoESP, ipflow.ProtoAH:
		return true
	case ipflow.ProtoUDP:
	default:
		return false
	}
	if len(rest) < 8 {
		return false
	}
	e.SrcPort, e.DstPort = binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
	udp := rest[8:]
	if e.SrcPort == portNATT || e.DstPort == portNATT {
		if len(udp) >= 4 && marked(udp) {
			udp = udp[4:]
		} else {
			udp = nil
		}
	}
	if len(udp) >= 8 {
		e.SPI = wire.SPI(binary.BigEndian.Uint64(udp))
	}
	for _, port := range []uint16{e.SrcPort, e.DstPort} {
		if port == portIKE || port == portNATT {
			return true
		}
	}
	_, known := d.endpoints[netip.AddrPortFrom(e.Dst, e.DstPort)]
	return known
}

// icmp4Meaning names the ICMP errors (RFC 792, RFC 1812 5.2.7.1).
func icmp4Meaning(typ, code uint8) (string, bool) {
	switch typ {
	case 3:
		names := []string{
			0: "network unreachable", 1: "host unreachable", 2: "protocol unreachable", 3: "port unreachable",
			4: "fragmentation needed", 5: "source route failed", 6: "destination network unknown",
			7: "destination host unknown", 9: "network administratively prohibited",
			10: "host administratively prohibited", 11: "network unreachable for this type of service",
			12: "host unreachable for this type of service", 13: "communication administratively prohibited",
		}
		if int(code) < len(names) && names[code] != "" {
			return names[code], true
		}
		return fmt.Sprintf("destination unreachable, code %d", code), true
	case 11:
		if code == 1 {
			return "fragment reassembly time exceeded", true
		}
		return "time to live exceeded", true
	case 12:
		return "parameter problem", true
	}
	return "", false
}

// icmp6Meaning names the ICMPv6 errors (RFC 4443 3).
func icmp6Meaning(typ, code uint8) (string, bool) {
	switch typ {
	case 1:
		names := []string{"no route to destination", "communication administratively prohibited",
			"beyond scope of source address", "address unreachable", "port unreachable",
			"source address failed ingress or egress policy", "reject route to destination"}
		if int(code) < len(names) {
			return names[code], true
		}
		return fmt.Sprintf("destination unreachable, code %d", code), true
	case 2:
		return "packet too big", true
	case 3:
		if code == 1 {
			return "fragment reassembly time exceeded", true
		}
		return "hop limit exceeded", true
	case 4:
		return "parameter problem", true
	}
	return "", false
}

// loss makes the event of a datagram whose IP fragments stayed incomplete; it
// says false where it was none of ours, or where only the capture's end or our
// own limits are to blame.
func (d *Dissector) loss(l *ipflow.FragmentLoss) bool {
	if l.Reason == ipflow.LossLimit {
		return false
	}
	e := &event.FragmentLoss{
		Src: l.Src, Dst: l.Dst, SrcPort: l.SrcPort, DstPort: l.DstPort, Protocol: l.Proto,
		Have: len(l.Frames), First: l.HasFirst, Last: l.Total > 0, Frames: l.Frames, Why: l.Reason.String(),
	}
	head := l.Head
	switch {
	case l.Proto == ipflow.ProtoESP:
	case !l.HasFirst && (l.Proto == ipflow.ProtoUDP || l.Proto == 0):
		// It may have been ours: the trace knows whether these hosts have an SA.
	case l.Proto != ipflow.ProtoUDP:
		return false
	default:
		if l.SrcPort == portNATT || l.DstPort == portNATT {
			if len(head) < 4 || !marked(head) {
				break // ESP in UDP
			}
			head = head[4:]
		} else if l.SrcPort != portIKE && l.DstPort != portIKE {
			return false
		}
		if h, err := wire.ParseHeader(head); err == nil {
			e.SPI, e.Exchange, e.MessageID = h.InitiatorSPI, h.Exchange, h.MessageID
		}
	}
	d.event = event.Event{Time: l.LastTime, ICMP: nil, Loss: e}
	if len(l.Frames) > 0 {
		d.event.Frame = l.Frames[len(l.Frames)-1]
	}
	return true
}
