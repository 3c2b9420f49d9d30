package event

import (
	"strconv"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Summary says in one line what an event is, without time and addresses:
//
//	IKE_AUTH request 1: SK{ IDi AUTH SA TSi TSr N(MOBIKE_SUPPORTED) }
//	ESP spi c0a80101 seq 17
//
// Text from the wire in it is escaped by package wire.
func Summary(e *Event) string { return string(AppendSummary(nil, e)) }

// AppendSummary appends what Summary gives.
func AppendSummary(b []byte, e *Event) []byte {
	switch {
	case e.Packet != nil:
		return appendPacket(b, e.Packet)
	case e.ICMP != nil:
		return appendICMP(b, e.ICMP)
	case e.Loss != nil:
		return appendLoss(b, e.Loss)
	case e.Gap != nil:
		b = append(b, "gap: "...)
		return append(b, e.Gap.What...)
	case e.Log != nil, e.Change != nil, e.Alert != nil, e.Table != nil:
		return appendDaemon(b, e)
	}
	return b
}

func appendPacket(b []byte, p *Packet) []byte {
	switch {
	case p.IKE != nil:
		b = appendMessage(b, p)
	case p.ESP != nil:
		b = appendESP(append(b, "ESP"...), p.ESP)
	case p.AH != nil:
		b = appendESP(append(b, "AH"...), p.AH)
	default:
		b = append(b, "NAT keepalive"...)
	}
	for i := range p.Outer {
		b = append(b, " in "...)
		b = append(b, p.Outer[i].Kind...)
	}
	if n := len(p.IPFragments); n > 1 {
		b = append(b, " ("...)
		b = strconv.AppendInt(b, int64(n), 10)
		b = append(b, " IP fragments)"...)
	}
	if p.Truncated {
		b = append(b, " (cut by the capture)"...)
	}
	return b
}

func appendMessage(b []byte, p *Packet) []byte {
	k := p.IKE
	h := &k.Message.Header
	b = append(b, h.Exchange.String()...)
	if p.Proto == IKEv2 {
		if h.Response() {
			b = append(b, " response "...)
		} else {
			b = append(b, " request "...)
		}
		b = strconv.AppendUint(b, uint64(h.MessageID), 10)
	} else {
		b = append(b, " (IKEv1)"...)
		if h.MessageID != 0 {
			b = append(b, " id "...)
			b = appendHex32(b, h.MessageID)
		}
	}
	b = append(b, ':')
	b = appendChain(b, k.Message.Payloads, k)
	if k.DecryptError != "" {
		b = append(b, " - "...)
		b = append(b, k.DecryptError...)
	}
	if k.Err != nil {
		b = append(b, " - malformed: "...)
		b = append(b, k.Err.Error()...)
	}
	return b
}

// AppendChain appends a payload chain in short form: " SA KE Nonce".
func AppendChain(b []byte, ps []wire.Payload) []byte { return appendChain(b, ps, nil) }

func appendChain(b []byte, ps []wire.Payload, k *IKE) []byte {
	for i := range ps {
		b = appendShort(append(b, ' '), &ps[i], k)
	}
	return b
}

// appendShort appends one payload in short form.
func appendShort(b []byte, p *wire.Payload, k *IKE) []byte {
	switch body := p.Body.(type) {
	case *wire.Notify:
		return appendNotify(b, body)
	case *wire.V1Notify:
		b = append(b, "N("...)
		b = append(b, body.Type.String()...)
		return append(b, ')')
	case *wire.KE:
		b = append(b, "KE("...)
		b = append(b, body.Group.String()...)
		return append(b, ')')
	case *wire.EAP:
		b = append(b, "EAP("...)
		b = append(b, body.Code.String()...)
		if body.HasType {
			b = append(b, ' ')
			b = append(b, body.Type.String()...)
		}
		return append(b, ')')
	case *wire.Delete:
		b = append(b, "D("...)
		b = append(b, body.Protocol.String()...)
		for _, spi := range body.SPIs {
			b = append(b, ' ')
			b = appendHexBytes(b, spi)
		}
		return append(b, ')')
	case *wire.Encrypted:
		return appendSealed(b, "SK", body.First, k)
	case *wire.V1Encrypted:
		return appendSealed(b, "encrypted", 0, k)
	case *wire.Fragment:
		b = append(b, "SKF "...)
		b = strconv.AppendUint(b, uint64(body.Number), 10)
		b = append(b, '/')
		b = strconv.AppendUint(b, uint64(body.Total), 10)
		if k != nil && k.Inner != nil {
			return appendSealed(append(b, ' '), "", 0, k)
		}
		return b
	}
	return append(b, p.Type.String()...)
}

// appendSealed appends an encrypted payload: with keys its contents, without
// them the type of the first payload, where it can be read.
func appendSealed(b []byte, name string, first wire.PayloadType, k *IKE) []byte {
	b = append(b, name...)
	switch {
	case k != nil && k.Inner != nil:
		b = append(b, '{')
		b = appendChain(b, k.Inner, nil)
		return append(b, " }"...)
	case first != 0:
		b = append(b, "{ "...)
		b = append(b, first.String()...)
		return append(b, " ... }"...)
	}
	return append(b, "{}"...)
}

func appendNotify(b []byte, n *wire.Notify) []byte {
	b = append(b, "N("...)
	b = append(b, n.Type.String()...)
	if n.Type == wire.NotifyInvalidKEPayload && len(n.Data) == 2 {
		b = append(b, ' ')
		b = append(b, wire.KEMethod(uint16(n.Data[0])<<8|uint16(n.Data[1])).String()...)
	}
	return append(b, ')')
}

func appendESP(b []byte, s *SecurityPacket) []byte {
	b = append(b, " spi "...)
	b = appendHex32(b, uint32(s.SPI))
	b = append(b, " seq "...)
	b = strconv.AppendUint(b, uint64(s.Seq), 10)
	if in := s.Inner; in != nil {
		b = append(b, " { "...)
		if in.Src.IsValid() {
			b = in.Src.AppendTo(b)
			b = appendPort(b, in.SrcPort)
			b = append(b, " > "...)
			b = in.Dst.AppendTo(b)
			b = appendPort(b, in.DstPort)
			b = append(b, ' ')
		}
		b = append(b, ProtocolName(in.Protocol)...)
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(in.Length), 10)
		b = append(b, " }"...)
	}
	if s.DecryptError != "" {
		b = append(b, " - "...)
		b = append(b, s.DecryptError...)
	}
	return b
}

func appendPort(b []byte, port uint16) []byte {
	if port == 0 {
		return b
	}
	return strconv.AppendUint(append(b, ':'), uint64(port), 10)
}

func appendICMP(b []byte, e *ICMPError) []byte {
	b = append(b, "ICMP from "...)
	b = e.From.AppendTo(b)
	b = append(b, ": "...)
	b = append(b, e.What...)
	if e.MTU != 0 {
		b = append(b, ", MTU "...)
		b = strconv.AppendUint(b, uint64(e.MTU), 10)
	}
	b = append(b, ", about "...)
	b = e.Src.AppendTo(b)
	b = appendPort(b, e.SrcPort)
	b = append(b, " > "...)
	b = e.Dst.AppendTo(b)
	b = appendPort(b, e.DstPort)
	return append(append(b, ' '), ProtocolName(e.Protocol)...)
}

func appendLoss(b []byte, l *FragmentLoss) []byte {
	b = append(b, "IP fragments lost: "...)
	b = strconv.AppendInt(b, int64(l.Have), 10)
	b = append(b, " of a datagram "...)
	b = l.Src.AppendTo(b)
	b = appendPort(b, l.SrcPort)
	b = append(b, " > "...)
	b = l.Dst.AppendTo(b)
	b = appendPort(b, l.DstPort)
	b = append(b, ", "...)
	return append(b, l.Why...)
}

// ProtocolName names an IP protocol number, as /etc/protocols does.
func ProtocolName(p uint8) string {
	switch p {
	case 1:
		return "icmp"
	case 4:
		return "ipip"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 41:
		return "ipv6"
	case 47:
		return "gre"
	case 50:
		return "esp"
	case 51:
		return "ah"
	case 58:
		return "ipv6-icmp"
	case 89:
		return "ospf"
	case 132:
		return "sctp"
	}
	return "protocol " + strconv.Itoa(int(p))
}
