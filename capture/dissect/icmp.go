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
// packet; it says false for every other ICMP message.
func (d *Dissector) icmp(g *ipflow.Datagram) bool {
	q, ok := ipflow.ICMPError(g)
	if !ok || !d.ours(&q) {
		return false
	}
	e := &event.ICMPError{
		From: g.Src, To: g.Dst, V6: g.Proto == ipflow.ProtoICMPv6,
		Type: q.Type, Code: q.Code, MTU: uint32(q.MTU), What: q.Name,
		Src: q.Src, Dst: q.Dst, SrcPort: q.SrcPort, DstPort: q.DstPort, Protocol: q.Proto,
	}
	if e.What == "" {
		e.What = fmt.Sprintf("ICMP type %d, code %d", q.Type, q.Code)
	}
	if q.Proto == ipflow.ProtoUDP {
		udp := q.Payload
		if (q.SrcPort == wire.PortNATT || q.DstPort == wire.PortNATT) && len(udp) >= 4 {
			if marked(udp) {
				udp = udp[4:]
			} else {
				udp = nil // ESP
			}
		}
		if len(udp) >= 8 {
			e.SPI = wire.SPI(binary.BigEndian.Uint64(udp))
		}
	}
	d.event = event.Event{Time: g.Time, Frame: g.Frame, ICMP: e}
	return true
}

// ours says whether a quoted packet is IKE, ESP or AH.
func (d *Dissector) ours(q *ipflow.Quote) bool {
	switch q.Proto {
	case ipflow.ProtoESP, ipflow.ProtoAH:
		return true
	case ipflow.ProtoUDP:
	default:
		return false
	}
	for _, port := range []uint16{q.SrcPort, q.DstPort} {
		if port == wire.PortIKE || port == wire.PortNATT {
			return true
		}
	}
	_, known := d.endpoints[netip.AddrPortFrom(q.Dst, q.DstPort)]
	return known
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
		if l.SrcPort == wire.PortNATT || l.DstPort == wire.PortNATT {
			if len(head) < 4 || !marked(head) {
				break // ESP in UDP
			}
			head = head[4:]
		} else if l.SrcPort != wire.PortIKE && l.DstPort != wire.PortIKE {
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
