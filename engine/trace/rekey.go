package trace

import (
	"encoding/binary"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

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
	sa.adopted, old.adopted = old.adopted, nil
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
