package trace

import (
	"bytes"
	"encoding/binary"
	"slices"
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
	sa.noteNotifies(m)
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
		sa.NATD.Request = t.natHashes(m)
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
	if m := x.Request; m != nil && m.Payloads != nil && (sa.NATD.Request.SrcSeen != m.Src || x.Variant || x != sa.Exchanges[len(sa.Exchanges)-1]) {
		sa.NATD.Request = t.natHashes(m) // the request that was answered, not the last one
	}
	sa.NATD.Response = t.natHashes(m)
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
		sa.VendorIDs = append(sa.VendorIDs, VendorID{by, bytes.Clone(v.Data), name})
	}
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
