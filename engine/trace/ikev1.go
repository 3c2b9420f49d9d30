package trace

import (
	"net/netip"
	"slices"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// maxMore bounds the messages of an IKEv1 exchange behind its first two.
const maxMore = 32

// addIKEv1 places an IKEv1 message. The header does not tell requests from
// responses: whoever sent the first message of an exchange asked, and what
// goes the same way again with the same octets is a retransmission.
func (t *Trace) addIKEv1(e *event.Event) {
	p := e.Packet
	h := &p.IKE.Message.Header
	sa := t.findSA(h)
	if sa == nil {
		sa = t.addSA(e, h, Initiator)
		sa.Partial = h.ResponderSPI != 0
	}
	sa.touch(e)
	sender := Responder
	if p.Src == sa.Local.Host {
		sender = Initiator
	}
	t.follow(e, sa, sender)
	if sa.ResponderSPI == 0 {
		sa.ResponderSPI = h.ResponderSPI
	}

	digest := t.digest(p)
	x := sa.findV1(h)
	if x == nil {
		x = t.addExchange(sa, sender, h)
		x.Purpose = v1Purpose(h.Exchange)
		x.Request = t.newMessage(e, digest)
		sa.learnV1(x, x.Request, sender)
		if x.Purpose == PurposeMain || x.Purpose == PurposeAggressive {
			sa.Init = x
		}
		return
	}
	for _, m := range x.messages() {
		if m.digest == digest && m.Src.Addr() == p.Src {
			response := m != x.Request
			if response {
				x.ResponseRepeats++
			} else {
				x.RequestRepeats++
			}
			if len(x.Repeats) < maxRepeats {
				x.Repeats = append(x.Repeats, Repeat{e.Frame, e.Time, response})
			}
			return
		}
	}
	m := t.newMessage(e, digest)
	switch {
	case x.Response == nil && sender != x.By:
		x.place(true, m)
	case len(x.More) < maxMore:
		x.More = append(x.More, m)
	}
	sa.learnV1(x, m, sender)
}

// messages gives all messages of an exchange in order.
func (x *Exchange) messages() []*Message {
	all := make([]*Message, 0, 2+len(x.More))
	if x.Request != nil {
		all = append(all, x.Request)
	}
	if x.Response != nil {
		all = append(all, x.Response)
	}
	return append(all, x.More...)
}

// findV1 gives the exchange of a message: phase 1 has message id 0, each
// later exchange its own.
func (sa *IKESA) findV1(h *wire.Header) *Exchange {
	for i := len(sa.Exchanges) - 1; i >= 0; i-- {
		x := sa.Exchanges[i]
		if x.MessageID == h.MessageID && x.Type == h.Exchange {
			return x
		}
	}
	return nil
}

func v1Purpose(t wire.ExchangeType) Purpose {
	switch t {
	case wire.ExchangeV1Main:
		return PurposeMain
	case wire.ExchangeV1Aggressive:
		return PurposeAggressive
	case wire.ExchangeV1Quick:
		return PurposeQuick
	case wire.ExchangeV1Informational:
		return PurposeInformational
	case wire.ExchangeV1Transaction:
		return PurposeConfig
	}
	return PurposeOther
}

// learnV1 reads what an IKEv1 message shows in the clear.
func (sa *IKESA) learnV1(x *Exchange, m *Message, sender Origin) {
	for i := range m.Payloads {
		switch body := m.Payloads[i].Body.(type) {
		case *wire.V1SA:
			if sender == Responder && x.Purpose != PurposeQuick {
				sa.Suite = suiteOfV1(body)
			}
		case *wire.V1ID:
			if sender == Initiator {
				sa.Local.ID = body.String()
			} else {
				sa.Remote.ID = body.String()
			}
		}
	}
	sa.noteVendors(m, sender)
	sa.natV1(m, sender)
	switch {
	case x.Purpose == PurposeQuick, x.Purpose == PurposeConfig:
		sa.establishV1(m)
	case x.Purpose == PurposeMain && sender == Responder && len(x.messages()) >= 6,
		x.Purpose == PurposeAggressive && sender == Initiator && len(x.messages()) >= 3:
		sa.establishV1(m)
	case x.Purpose == PurposeInformational && !m.Encrypted && sa.State == engine.IKEConnecting:
		if hasV1Error(m) {
			sa.fail(m, sender)
		}
	}
}

func (sa *IKESA) establishV1(m *Message) {
	if sa.State != engine.IKEEstablished {
		sa.State, sa.Ended, sa.Established = engine.IKEEstablished, "", m.Time
	}
}

// hasV1Error says whether a message carries an error notification (RFC 2408
// 3.14.1: types below 16384).
func hasV1Error(m *Message) bool {
	return slices.ContainsFunc(m.Payloads, func(p wire.Payload) bool {
		n, ok := p.Body.(*wire.V1Notify)
		return ok && n.Type < 16384
	})
}

// natV1 notes NAT-D payloads (RFC 3947 3.2): the first is about where the
// message goes, the others about where it comes from. Their hash function is
// the negotiated one, so only the keyless verdict of their being there is
// taken: the change to port 4500 says that one did not match.
func (sa *IKESA) natV1(m *Message, sender Origin) {
	n := 0
	for i := range m.Payloads {
		if _, ok := m.Payloads[i].Body.(*wire.V1NATD); ok {
			n++
		}
	}
	if n == 0 {
		if m.Encap == event.UDPNATT {
			sa.NAT.Any = engine.Some(true)
		}
		return
	}
	pair := &sa.NATD.Request
	if sender == Responder {
		pair = &sa.NATD.Response
	}
	pair.Seen, pair.SrcSeen, pair.DstSeen = true, m.Src, m.Dst
}

// suiteOfV1 gives the suite of a selected phase 1 transform.
func suiteOfV1(body *wire.V1SA) engine.Suite {
	var s engine.Suite
	if len(body.Proposals) == 0 || len(body.Proposals[0].Transforms) == 0 {
		return s
	}
	p := &body.Proposals[0]
	for _, a := range p.Transforms[0].Attributes {
		if !a.Short {
			continue
		}
		name := wire.V1AttributeValueName(p.Protocol, a.Type, a.Value)
		switch a.Type {
		case wire.V1AttrEncryption:
			s.EncrAlg, s.EncrID = name, a.Value
		case wire.V1AttrHash:
			s.IntegAlg, s.IntegID = name, a.Value
			s.PRFAlg = name
		case wire.V1AttrGroup:
			s.DHGroup, s.DHID = name, a.Value
		case wire.V1AttrKeyLength:
			s.EncrKeySize = int(a.Value)
		}
	}
	return s
}

// addrPorts gives the ends of a packet.
func addrPorts(p *event.Packet) (src, dst netip.AddrPort) {
	return netip.AddrPortFrom(p.Src, p.SrcPort), netip.AddrPortFrom(p.Dst, p.DstPort)
}
