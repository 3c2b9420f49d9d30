package trace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// rekeyWindow is how long after a CREATE_CHILD_SA exchange the first message
// of a rekeyed IKE SA may come.
const rekeyWindow = 10 * time.Second

// learn reads a message that is new in its exchange, or that keys have just
// opened, and brings the SA up to date.
func (t *Trace) learn(e *event.Event, sa *IKESA, x *Exchange, response bool) {
	m := x.Request
	if response {
		m = x.Response
	}
	if h := &m.Header; sa.ResponderSPI == 0 && h.ResponderSPI != 0 {
		sa.ResponderSPI = h.ResponderSPI
	}
	if !response || x.Request == nil {
		x.Purpose = purpose(m)
	}
	switch m.Header.Exchange {
	case wire.ExchangeIKESAInit:
		t.learnInit(sa, x, m, response)
	case wire.ExchangeIKEAuth:
		if !slices.Contains(sa.Auth, x) && len(sa.Auth) < t.options.KeepFirst {
			sa.Auth = append(sa.Auth, x)
		}
		sa.learnAuth(x, m, response)
		t.learnChild(sa, x, response)
	case wire.ExchangeCreateChildSA:
		sa.alive()
		if response && m.Decrypted {
			t.learnCreate(e, sa, x)
		}
	case wire.ExchangeInformational:
		t.learnInformational(sa, x, m, response)
	}
	if response && x.RTT != (engine.Opt[time.Duration]{}) && x.Purpose == PurposeDPD {
		sa.DPD.Answered++
		sa.DPD.RTT = x.RTT
	}
	if sa.deleting && x.Purpose != PurposeDelete && !response {
		// The SA lives on: what was deleted was a child.
		sa.deleting = false
		if sa.State == engine.IKEDeleted {
			sa.State, sa.Ended = engine.IKEEstablished, ""
		}
	}
}

// purpose tells what a request is for from what can be read of it.
func purpose(m *Message) Purpose {
	switch m.Header.Exchange {
	case wire.ExchangeIKESAInit:
		return PurposeInit
	case wire.ExchangeIKEIntermediate, wire.ExchangeIKEFollowupKE:
		return PurposeIntermediate
	case wire.ExchangeIKEAuth:
		return PurposeAuth
	case wire.ExchangeCreateChildSA:
		return createPurpose(m)
	case wire.ExchangeInformational:
		return informationalPurpose(m)
	}
	return PurposeOther
}

func createPurpose(m *Message) Purpose {
	switch {
	case !m.Decrypted:
		// strongSwan and others put REKEY_SA first: a leading Notify is a
		// hint, not enough for a verdict.
		return PurposeCreate
	case m.Notify(wire.NotifyRekeySA) != nil:
		return PurposeRekeyChild
	case wire.First(m.Payloads, wire.PayloadTSi) != nil:
		return PurposeChild
	case wire.First(m.Payloads, wire.PayloadSA) != nil:
		return PurposeRekeyIKE
	}
	return PurposeCreate
}

func informationalPurpose(m *Message) Purpose {
	if m.Decrypted && (m.Notify(wire.NotifyUpdateSAAddresses) != nil || m.Notify(wire.NotifyCookie2) != nil ||
		m.Notify(wire.NotifyAdditionalIP4Address) != nil || m.Notify(wire.NotifyNATDetectionSourceIP) != nil) {
		return PurposeMobike
	}
	first := m.First
	if !m.Encrypted && len(m.Payloads) > 0 {
		first = m.Payloads[0].Type
	}
	switch first {
	case wire.PayloadNone:
		return PurposeDPD
	case wire.PayloadDelete:
		return PurposeDelete
	case wire.PayloadNotify:
		return PurposeNotify
	case wire.PayloadCP:
		return PurposeConfig
	}
	return PurposeInformational
}

func (t *Trace) learnInit(sa *IKESA, x *Exchange, m *Message, response bool) {
	by := Initiator
	if response {
		by = Responder
	}
	sa.noteVendors(m, by)
	if !response {
		if sa.State == engine.IKEFailed {
			sa.State, sa.Ended = engine.IKEConnecting, ""
		}
		sa.NATD.Request = t.natHashes(sa, m)
		sa.judgeNAT()
		if sa.Init == nil {
			sa.Init = x
		}
		return
	}
	p := wire.First(m.Payloads, wire.PayloadSA)
	if p == nil {
		if n := m.ErrorNotify(); n != nil && n.Type != wire.NotifyInvalidKEPayload {
			sa.fail(m, Responder)
		}
		return
	}
	sa.Init = x
	sa.ResponderSPI = m.Header.ResponderSPI
	if body, ok := p.Body.(*wire.SA); ok && len(body.Proposals) > 0 {
		sa.Suite = suiteOf(&body.Proposals[0])
	}
	if x.Request != nil {
		sa.NATD.Request = t.natHashes(sa, x.Request)
	}
	sa.NATD.Response = t.natHashes(sa, m)
	sa.judgeNAT()
}

// fail ends an SA that has not been established.
func (sa *IKESA) fail(m *Message, by Origin) {
	sa.State = engine.IKEFailed
	sa.Ended, sa.EndedAt, sa.EndedBy = EndFailed, m.Time, by
}

// alive notes that an exchange was seen that only an established SA has.
func (sa *IKESA) alive() {
	if sa.State == engine.IKEConnecting || sa.State == engine.IKEFailed {
		sa.State, sa.Ended = engine.IKEEstablished, ""
	}
}

// learnAuth follows the IKE_AUTH exchanges. Without keys the first inner
// payload tells how they go: IDr or AUTH is success so far, EAP is one more
// round, a short message with a Notify first is an error.
func (sa *IKESA) learnAuth(x *Exchange, m *Message, response bool) {
	if m.Decrypted {
		sa.learnIdentities(m, response)
	}
	if !response {
		if sa.State == engine.IKEEstablished && sa.Ended == "" && x.MessageID > 1 {
			sa.State = engine.IKEConnecting // EAP: there are more rounds
			sa.Established = time.Time{}
		}
		return
	}
	ok := false
	switch {
	case m.Decrypted:
		if n := authError(m); n != nil {
			sa.fail(m, Responder)
			return
		}
		ok = wire.First(m.Payloads, wire.PayloadAuth) != nil && wire.First(m.Payloads, wire.PayloadEAP) == nil
	case m.First == wire.PayloadIDr, m.First == wire.PayloadAuth:
		ok = true
	case m.First == wire.PayloadNotify:
		if sa.loneNotify(m) {
			sa.fail(m, Responder)
			return
		}
		ok = true
	}
	if ok {
		sa.State, sa.Ended = engine.IKEEstablished, ""
		sa.Established = m.Time
	}
}

// authError gives the notify with which IKE_AUTH refused the IKE SA. Errors
// about the CHILD SA come beside an AUTH payload and leave the IKE SA alone
// (RFC 7296 1.2).
func authError(m *Message) *wire.Notify {
	if wire.First(m.Payloads, wire.PayloadAuth) != nil {
		return nil
	}
	return m.ErrorNotify()
}

// loneNotify says whether an encrypted message is short enough to hold one
// Notify and nothing else. A Notify without SPI and data has 8 octets; the
// most that encryption adds around it is a 16-octet IV, padding to 16 and a
// 32-octet checksum.
func (sa *IKESA) loneNotify(m *Message) bool {
	const envelope = wire.HeaderLength + 4
	return m.Length <= envelope+16+16+32+8
}

func (sa *IKESA) learnIdentities(m *Message, response bool) {
	if p := wire.First(m.Payloads, wire.PayloadIDi); p != nil {
		if id, ok := p.Body.(*wire.ID); ok {
			sa.Local.ID = id.String()
		}
	}
	if p := wire.First(m.Payloads, wire.PayloadIDr); p != nil && (response || sa.Remote.ID == "") {
		if id, ok := p.Body.(*wire.ID); ok {
			sa.Remote.ID = id.String()
		}
	}
	by := Initiator
	if response {
		by = Responder
	}
	sa.noteVendors(m, by)
}

func (sa *IKESA) noteVendors(m *Message, by Origin) {
	for i := range m.Payloads {
		v, ok := m.Payloads[i].Body.(*wire.VendorID)
		if !ok || len(sa.VendorIDs) >= maxVendorIDs {
			continue
		}
		if slices.ContainsFunc(sa.VendorIDs, func(o VendorID) bool { return o.By == by && bytes.Equal(o.Data, v.Data) }) {
			continue
		}
		name, _ := wire.VendorName(v.Data)
		sa.VendorIDs = append(sa.VendorIDs, VendorID{by, v.Data, name})
	}
}

// learnCreate reads a decrypted CREATE_CHILD_SA exchange once it is answered.
func (t *Trace) learnCreate(e *event.Event, sa *IKESA, x *Exchange) {
	switch x.Purpose {
	case PurposeChild, PurposeRekeyChild:
		t.learnChild(sa, x, true)
	case PurposeRekeyIKE:
		if spiI, spiR, ok := rekeyedSPIs(x); ok {
			t.succeed(e, sa, x, spiI, spiR)
		}
	}
}

// rekeyedSPIs gives the SPIs of the IKE SA that an IKE rekey makes.
func rekeyedSPIs(x *Exchange) (spiI, spiR wire.SPI, ok bool) {
	req, resp := firstProposal(x.Request), firstProposal(x.Response)
	if req == nil || resp == nil || len(req.SPI) != 8 || len(resp.SPI) != 8 {
		return 0, 0, false
	}
	return wire.SPI(binary.BigEndian.Uint64(req.SPI)), wire.SPI(binary.BigEndian.Uint64(resp.SPI)), true
}

func firstProposal(m *Message) *wire.Proposal {
	if m == nil {
		return nil
	}
	p := wire.First(m.Payloads, wire.PayloadSA)
	if p == nil {
		return nil
	}
	if sa, ok := p.Body.(*wire.SA); ok && len(sa.Proposals) > 0 {
		return &sa.Proposals[0]
	}
	return nil
}

// succeed makes the IKE SA that a rekey creates, or links it where its first
// message came earlier.
func (t *Trace) succeed(e *event.Event, old *IKESA, x *Exchange, spiI, spiR wire.SPI) {
	h := wire.Header{InitiatorSPI: spiI, ResponderSPI: spiR, Version: wire.Version2}
	sa := t.findSA(&h)
	if sa == nil {
		// The response of x was sent by the responder of the rekey, who
		// becomes the responder of the new SA.
		sa = t.addSA(e, &h, Responder)
		sa.First, sa.FirstFrame = e.Time, e.Frame
		sa.Last, sa.LastFrame = e.Time, e.Frame
	}
	sa.Partial = false
	sa.State, sa.Established = engine.IKEEstablished, x.Response.Time
	if p := firstProposal(x.Response); p != nil {
		sa.Suite = suiteOf(p)
	}
	t.link(old, sa, x.By)
}

// link joins two generations of an IKE SA; by is who asked for the rekey in
// the old one and so is the initiator of the new one.
func (t *Trace) link(old, sa *IKESA, by Origin) {
	if sa.Predecessor != nil || old == sa {
		return
	}
	sa.Predecessor, old.Successor = old, sa
	old.State, old.Ended = engine.IKERekeyed, EndRekeyed
	sa.NAT, sa.NATD = old.NAT, old.NATD
	sa.Local.ID, sa.Remote.ID = old.Local.ID, old.Remote.ID
	sa.Children, old.Children = old.Children, nil
	sa.Flows, old.Flows = old.Flows, nil
	sa.inferred = old.inferred
	if by == Responder {
		sa.Local.ID, sa.Remote.ID = sa.Remote.ID, sa.Local.ID
		sa.NAT.Local, sa.NAT.Remote = sa.NAT.Remote, sa.NAT.Local
		for _, c := range sa.Children {
			swapSides(c)
		}
	}
	for _, f := range sa.Flows {
		f.SA = sa
		f.Inbound = f.Inbound != (by == Responder)
	}
	if !sa.inferred {
		for _, c := range sa.Children {
			t.adopt(sa, c)
		}
	}
}

// swapSides turns a child around for an SA whose initiator is the other side.
func swapSides(c *engine.ChildSA) {
	c.SPIIn, c.SPIOut = c.SPIOut, c.SPIIn
	c.LocalTS, c.RemoteTS = c.RemoteTS, c.LocalTS
	c.BytesIn, c.BytesOut = c.BytesOut, c.BytesIn
	c.PacketsIn, c.PacketsOut = c.PacketsOut, c.PacketsIn
	c.LastIn, c.LastOut = c.LastOut, c.LastIn
}

// findPredecessor links an SA that began without IKE_SA_INIT to one between
// the same hosts that has just had a CREATE_CHILD_SA exchange.
func (t *Trace) findPredecessor(e *event.Event, sa *IKESA) {
	l := t.byHosts[pair(e.Packet.Src, e.Packet.Dst)]
	for i := len(l) - 1; i >= 0 && i >= len(l)-8; i-- {
		old := l[i]
		if old == sa || old.Successor != nil || old.Decrypted {
			continue // keys would have shown the new SPIs
		}
		for j := len(old.Exchanges) - 1; j >= 0 && j >= len(old.Exchanges)-4; j-- {
			x := old.Exchanges[j]
			if x.Type == wire.ExchangeCreateChildSA && x.Response != nil && e.Time.Sub(x.Response.Time) < rekeyWindow {
				x.Purpose = PurposeRekeyIKE
				by := Initiator
				if sa.Local.Host != old.Local.Host {
					by = Responder
				}
				sa.State, sa.Established = engine.IKEEstablished, x.Response.Time
				sa.Partial = false
				t.link(old, sa, by)
				return
			}
		}
	}
	sa.State = engine.IKEEstablished
}

func (t *Trace) learnInformational(sa *IKESA, x *Exchange, m *Message, response bool) {
	if !m.Encrypted {
		return // unauthenticated: it says something about nobody's state
	}
	if response {
		return
	}
	switch x.Purpose {
	case PurposeDPD:
		sa.alive()
		sa.DPD.Probes++
	case PurposeDelete:
		sa.learnDelete(x, m)
	case PurposeNotify:
		// The initiator refuses the responder's authentication in an
		// INFORMATIONAL of its own (RFC 7296 2.21.2).
		if m.Decrypted && m.Notify(wire.NotifyAuthenticationFailed) != nil {
			sa.fail(m, x.By)
		} else if !m.Decrypted && x.By == Initiator && sa.loneNotify(m) && sa.afterAuth(x) {
			sa.fail(m, x.By)
		}
	}
}

// afterAuth says that x is the first request after IKE_AUTH.
func (sa *IKESA) afterAuth(x *Exchange) bool {
	if len(sa.Auth) == 0 {
		return false
	}
	last := sa.Auth[len(sa.Auth)-1]
	return x.MessageID == last.MessageID+1
}

func (sa *IKESA) learnDelete(x *Exchange, m *Message) {
	if !m.Decrypted {
		// Whether the IKE SA or a child was deleted, only keys tell; what
		// comes next will show it.
		sa.deleting = true
		if prev := sa.before(x); prev == nil || prev.Type != wire.ExchangeCreateChildSA || sa.Successor != nil {
			if sa.Ended != EndRekeyed {
				sa.State, sa.Ended = engine.IKEDeleted, EndDeleted
			}
			sa.EndedAt, sa.EndedBy = m.Time, x.By
		}
		return
	}
	for i := range m.Payloads {
		d, ok := m.Payloads[i].Body.(*wire.Delete)
		if !ok {
			continue
		}
		if d.Protocol == wire.ProtocolIKE {
			if sa.Ended != EndRekeyed {
				sa.State, sa.Ended = engine.IKEDeleted, EndDeleted
			}
			sa.EndedAt, sa.EndedBy = m.Time, x.By
			continue
		}
		for _, spi := range d.SPIs {
			if len(spi) == 4 {
				sa.deleteChild(wire.ESPSPI(binary.BigEndian.Uint32(spi)), x.By)
			}
		}
	}
}

// before gives the exchange that began before x, nil where there is none.
func (sa *IKESA) before(x *Exchange) *Exchange {
	if i := slices.Index(sa.Exchanges, x); i > 0 {
		return sa.Exchanges[i-1]
	}
	return nil
}

// deleteChild marks the child whose SPI towards the sender of the Delete this
// is.
func (sa *IKESA) deleteChild(spi wire.ESPSPI, by Origin) {
	for _, c := range sa.Children {
		mine := c.SPIOut
		if by == Initiator {
			mine = c.SPIIn
		}
		if v, ok := mine.Get(); ok && v == spi {
			c.State = engine.ChildDeleted
		}
	}
}

// learnChild reads the CHILD SA of a decrypted IKE_AUTH or CREATE_CHILD_SA
// exchange once it is answered. For EAP the request's SA payload is in the
// first IKE_AUTH and the response's in the last.
func (t *Trace) learnChild(sa *IKESA, x *Exchange, response bool) {
	if !response || x.Response == nil || !x.Response.Decrypted {
		return
	}
	answer := firstProposal(x.Response)
	request := x.Request
	if x.Type == wire.ExchangeIKEAuth && len(sa.Auth) > 0 {
		request = sa.Auth[0].Request
	}
	offer := firstProposal(request)
	if answer == nil || len(answer.SPI) != 4 {
		return
	}
	c := &engine.ChildSA{
		State:     engine.ChildInstalled,
		Mode:      "TUNNEL",
		Protocol:  strings.TrimPrefix(answer.Protocol.String(), "IPSEC_"),
		Suite:     suiteOf(answer),
		Installed: x.Response.Time,
		Encap:     engine.Some(x.Response.Encap == event.UDPNATT && sa.NAT.Any.Or(true)),
	}
	if x.Response.Notify(wire.NotifyUseTransportMode) != nil {
		c.Mode = "TRANSPORT"
	}
	// SPIs as the SA's initiator sees them: each side names its inbound one.
	theirs := engine.Some(wire.ESPSPI(binary.BigEndian.Uint32(answer.SPI)))
	var ours engine.Opt[wire.ESPSPI]
	if offer != nil && len(offer.SPI) == 4 {
		ours = engine.Some(wire.ESPSPI(binary.BigEndian.Uint32(offer.SPI)))
	}
	asker, answerer := selectors(x.Response, wire.PayloadTSi), selectors(x.Response, wire.PayloadTSr)
	if x.By == Responder {
		ours, theirs = theirs, ours
		asker, answerer = answerer, asker
	}
	c.SPIIn, c.SPIOut, c.LocalTS, c.RemoteTS = ours, theirs, asker, answerer
	if n := request.Notify(wire.NotifyRekeySA); n != nil && len(n.SPI) == 4 {
		sa.rekeyChild(wire.ESPSPI(binary.BigEndian.Uint32(n.SPI)), x.By)
	}
	if sa.inferred {
		sa.inferred, sa.Children = false, nil
	}
	sa.Children = append(sa.Children, c)
	t.adopt(sa, c)
}

// adopt makes a child known by its SPIs, and joins flows to it that were seen
// before.
func (t *Trace) adopt(sa *IKESA, c *engine.ChildSA) {
	for _, side := range []struct {
		host    netip.Addr
		spi     engine.Opt[wire.ESPSPI]
		inbound bool
	}{{sa.Local.Host, c.SPIIn, true}, {sa.Remote.Host, c.SPIOut, false}} {
		spi, ok := side.spi.Get()
		if !ok {
			continue
		}
		for _, proto := range []event.Proto{event.ESP, event.AH} {
			key := flowKey{side.host, spi, proto}
			t.byChild[key] = childRef{sa, c, side.inbound}
			f := t.byFlow[key]
			if f == nil || f.Certain {
				continue
			}
			if f.SA != nil {
				f.SA.Flows = slices.DeleteFunc(f.SA.Flows, func(o *Flow) bool { return o == f })
			}
			f.attach(sa, c, side.inbound)
			f.count()
		}
	}
}

func (sa *IKESA) rekeyChild(spi wire.ESPSPI, by Origin) {
	for _, c := range sa.Children {
		mine := c.SPIOut
		if by == Initiator {
			mine = c.SPIIn
		}
		if v, ok := mine.Get(); ok && v == spi && c.State == engine.ChildInstalled {
			c.State = engine.ChildRekeyed
		}
	}
}

// selectors gives the text of a TS payload's selectors, as swanctl writes
// them.
func selectors(m *Message, t wire.PayloadType) []string {
	p := wire.First(m.Payloads, t)
	if p == nil {
		return nil
	}
	ts, ok := p.Body.(*wire.TS)
	if !ok {
		return nil
	}
	out := make([]string, 0, len(ts.Selectors))
	for i := range ts.Selectors {
		out = append(out, SelectorText(&ts.Selectors[i]))
	}
	return out
}

// SelectorText writes a traffic selector as swanctl does: 10.0.0.0/24,
// 10.0.0.1..10.0.0.9, with [protocol/port] where it is restricted.
func SelectorText(s *wire.TrafficSelector) string {
	if !s.Start.IsValid() {
		return fmt.Sprintf("%s %x", s.Type, s.Data)
	}
	text := rangeText(s.Start, s.End)
	anyPort := s.StartPort == 0 && s.EndPort == 65535
	if s.Protocol == 0 && anyPort {
		return text
	}
	protocol, port := "0", ""
	if s.Protocol != 0 {
		protocol = event.ProtocolName(s.Protocol)
	}
	switch {
	case anyPort:
	case s.StartPort == 65535 && s.EndPort == 0:
		port = "/OPAQUE"
	case s.StartPort == s.EndPort:
		port = fmt.Sprintf("/%d", s.StartPort)
	default:
		port = fmt.Sprintf("/%d-%d", s.StartPort, s.EndPort)
	}
	return fmt.Sprintf("%s[%s%s]", text, protocol, port)
}

// rangeText writes a range of addresses as a prefix where it is one.
func rangeText(start, end netip.Addr) string {
	for bits := start.BitLen(); bits >= 0; bits-- {
		p := netip.PrefixFrom(start, bits)
		if p.Masked().Addr() != start {
			break
		}
		if lastAddr(p) == end {
			return p.String()
		}
	}
	return start.String() + ".." + end.String()
}

// lastAddr gives the highest address of a prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
