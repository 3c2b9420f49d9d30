package trace

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

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
	if len(sa.Children) >= maxChildren {
		t.forgetChild(sa)
	}
	sa.Children = append(sa.Children, c)
	t.adopt(sa, c)
}

// forgetChild drops the oldest child that has ended, or else the oldest.
func (t *Trace) forgetChild(sa *IKESA) {
	i := max(0, slices.IndexFunc(sa.Children, func(c *engine.ChildSA) bool { return c.State != engine.ChildInstalled }))
	gone := sa.Children[i]
	sa.Children = slices.Delete(sa.Children, i, i+1)
	sa.Flows = slices.DeleteFunc(sa.Flows, func(f *Flow) bool { return f.Child == gone })
	// The hosts may be others by now than when it was adopted.
	for _, key := range sa.adopted[gone] {
		if t.byChild[key].child == gone {
			delete(t.byChild, key)
		}
	}
	delete(sa.adopted, gone)
	t.Counts.Forgotten++
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
			if sa.adopted == nil {
				sa.adopted = make(map[*engine.ChildSA][]flowKey)
			}
			if !slices.Contains(sa.adopted[c], key) {
				sa.adopted[c] = append(sa.adopted[c], key)
			}
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
