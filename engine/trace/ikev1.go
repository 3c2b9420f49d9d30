package trace

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"

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
		if x.Purpose == PurposeQuick {
			t.learnQuick(sa, x)
		}
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
			if x.Purpose == PurposeQuick {
				continue // there the identities are the selectors
			}
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

// natV1 compares the NAT-D payloads of a message (RFC 3947 3.2) with the
// addresses that it was seen with: the first is about where it goes, the others
// about where it comes from. Their hash function is the negotiated one.
func (sa *IKESA) natV1(m *Message, sender Origin) {
	p := HashPair{SrcSeen: m.Src, DstSeen: m.Dst}
	for i := range m.Payloads {
		d, ok := m.Payloads[i].Body.(*wire.V1NATD)
		switch {
		case !ok:
		case p.DestHash == nil:
			p.DestHash = d.Data
		case len(p.SourceHashes) < 16:
			p.SourceHashes = append(p.SourceHashes, d.Data)
		}
	}
	want := func(a netip.AddrPort) []byte {
		return v1Hash(sa.Suite.IntegID, engine.AppendNATInput(nil, m.Header.InitiatorSPI, m.Header.ResponderSPI, a))
	}
	if p.DestHash == nil || want(m.Dst) == nil {
		return
	}
	p.Seen = len(p.SourceHashes) > 0
	p.Destination = matches(want(m.Dst), p.DestHash)
	p.Source = matches(want(m.Src), p.SourceHashes...)
	if sender == Responder {
		sa.NATD.Response = p
	} else {
		sa.NATD.Request = p
	}
	sa.judgeNAT()
}

// v1Hash computes a hash of IKEv1 (RFC 2409 appendix A); nil where it is not
// known.
func v1Hash(id uint16, b []byte) []byte {
	switch id {
	case 1:
		sum := md5.Sum(b)
		return sum[:]
	case 2:
		sum := sha1.Sum(b)
		return sum[:]
	case 4:
		sum := sha256.Sum256(b)
		return sum[:]
	case 5:
		sum := sha512.Sum384(b)
		return sum[:]
	case 6:
		sum := sha512.Sum512(b)
		return sum[:]
	}
	return nil
}

// learnQuick makes the child of a quick mode that keys have opened.
func (t *Trace) learnQuick(sa *IKESA, x *Exchange) {
	offer, answer := v1Proposal(x.Request), v1Proposal(x.Response)
	if offer == nil || answer == nil || len(offer.SPI) != 4 || len(answer.SPI) != 4 || len(answer.Transforms) == 0 {
		return
	}
	c := &engine.ChildSA{
		State:     engine.ChildInstalled,
		Mode:      "TUNNEL",
		Protocol:  answer.Protocol.String(),
		Installed: x.Response.Time,
		Suite:     espSuiteOfV1(answer.Protocol, &answer.Transforms[0]),
	}
	for _, a := range answer.Transforms[0].Attributes {
		if a.Type == wire.V1AttrEncapsulation && a.Short {
			if a.Value == 2 || a.Value == 4 || a.Value == 61444 {
				c.Mode = "TRANSPORT"
			}
			c.Encap = engine.Some(a.Value > 2)
		}
	}
	ours := engine.Some(wire.ESPSPI(binary.BigEndian.Uint32(offer.SPI)))
	theirs := engine.Some(wire.ESPSPI(binary.BigEndian.Uint32(answer.SPI)))
	asker, answerer := v1Selectors(x.Response)
	if x.By == Responder {
		ours, theirs = theirs, ours
		asker, answerer = answerer, asker
	}
	c.SPIIn, c.SPIOut, c.LocalTS, c.RemoteTS = ours, theirs, asker, answerer
	if sa.inferred {
		sa.inferred, sa.Children = false, nil
	}
	sa.Children = append(sa.Children, c)
	t.adopt(sa, c)
}

func v1Proposal(m *Message) *wire.V1Proposal {
	if m == nil {
		return nil
	}
	for i := range m.Payloads {
		if sa, ok := m.Payloads[i].Body.(*wire.V1SA); ok && len(sa.Proposals) > 0 {
			return &sa.Proposals[0]
		}
	}
	return nil
}

// v1Selectors gives the two identities of a quick mode message: what the
// asking side protects, and the other.
func v1Selectors(m *Message) (asker, answerer []string) {
	var ids []string
	for i := range m.Payloads {
		if id, ok := m.Payloads[i].Body.(*wire.V1ID); ok {
			ids = append(ids, id.String())
		}
	}
	if len(ids) != 2 {
		return nil, nil
	}
	return ids[:1], ids[1:]
}

// espSuiteOfV1 gives the suite of a quick mode's transform.
func espSuiteOfV1(p wire.V1ProtocolID, t *wire.V1Transform) engine.Suite {
	s := engine.Suite{EncrAlg: wire.V1TransformName(p, t.ID), EncrID: uint16(t.ID)}
	for _, a := range t.Attributes {
		if !a.Short {
			continue
		}
		switch a.Type {
		case wire.V1AttrSAAuth:
			s.IntegAlg, s.IntegID = wire.V1AttributeValueName(p, a.Type, a.Value), a.Value
		case wire.V1AttrSAKeyLength:
			s.EncrKeySize = int(a.Value)
		case wire.V1AttrSAGroup:
			s.DHGroup, s.DHID = wire.V1AttributeValueName(p, a.Type, a.Value), a.Value
		case wire.V1AttrESN:
			s.ESN = engine.Some(a.Value == 1)
		}
	}
	return s
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
	s.Keyword = v1Keyword(&s)
	return s
}

// v1Keyword writes a phase 1 suite in swanctl's spelling, "" where it has
// none.
func v1Keyword(s *engine.Suite) string {
	encr := map[uint16]string{1: "des", 5: "3des", 7: "aes"}[s.EncrID]
	hash := map[uint16]string{1: "md5", 2: "sha1", 4: "sha256", 5: "sha384", 6: "sha512"}[s.IntegID]
	if encr == "" || hash == "" {
		return ""
	}
	if s.EncrID == 7 {
		encr += strconv.Itoa(s.EncrKeySize)
	}
	group := wire.Transform{Type: wire.TransformKE, ID: s.DHID}
	return encr + "-" + hash + "-" + group.Keyword()
}

// addrPorts gives the ends of a packet.
func addrPorts(p *event.Packet) (src, dst netip.AddrPort) {
	return netip.AddrPortFrom(p.Src, p.SrcPort), netip.AddrPortFrom(p.Dst, p.DstPort)
}
