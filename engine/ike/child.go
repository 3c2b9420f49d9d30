package ike

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// child is one CHILD SA: a pair of ESP SAs (RFC 7296 1).
type child struct {
	cfg           *ChildConfig
	state         engine.ChildState
	in, out       wire.ESPSPI
	proposal      wire.Proposal
	local, remote []wire.TrafficSelector
	transport     bool
	keys          *suite.ChildKeys
	initiator     bool // this side began the exchange that made it
	installed     bool
	outbound      bool // it is used for sending
	since         time.Time
	rekeyAt       time.Time
	expireAt      time.Time

	// Of its replacement.
	replaces *child          // the old one, while that stands
	peer     *childRival     // what the peer has put in its place
	own      *rekeyChildTask // our own request for a replacement, queued or on its way
	closer   *deleteChildTask
	gone     bool
	// redundant is the loser of a collision: nobody is told of its end.
	redundant bool
}

// childRival is the peer's replacement of a child.
type childRival struct {
	child  *child
	lowest []byte // of the two nonces of the exchange that made it
	spare  *child // our own, which has lost, until the peer shows that it knows of its own
}

// closing says whether the child is on its way out.
func (c *child) closing() bool { return c.closer != nil || c.gone }

func spiOctets(spi wire.ESPSPI) []byte { return binary.BigEndian.AppendUint32(nil, uint32(spi)) }

// model gives the child in the words that all sources share.
func (c *child) model(s *SA) *engine.ChildSA {
	m := &engine.ChildSA{Name: c.cfg.Name, State: c.state, Mode: "TUNNEL", Protocol: "ESP", Encap: engine.Some(s.encap()),
		SPIIn: engine.Some(c.in), SPIOut: engine.Some(c.out), Suite: engine.SuiteOf(&c.proposal), Installed: c.since}
	if c.transport {
		m.Mode = "TRANSPORT"
	}
	for i := range c.local {
		m.LocalTS = append(m.LocalTS, event.SelectorText(&c.local[i]))
	}
	for i := range c.remote {
		m.RemoteTS = append(m.RemoteTS, event.SelectorText(&c.remote[i]))
	}
	if !c.rekeyAt.IsZero() {
		m.Timers = append(m.Timers, engine.Timer{Name: "rekey", Due: c.rekeyAt})
	}
	if !c.expireAt.IsZero() {
		m.Timers = append(m.Timers, engine.Timer{Name: "expire", Due: c.expireAt})
	}
	return m
}

// addInstalled takes a negotiated child into the SA and hands its keys to the
// data plane. outbound says that it is to be used for sending at once.
func (s *SA) addInstalled(c *child, outbound bool) {
	s.installChild(c, outbound)
	if c.replaces == nil {
		s.change(event.ChildUp, nil, c)
		return
	}
	s.change(event.ChildRekey, s.model([]*child{c.replaces}), c)
}

// installChild is addInstalled without telling anybody.
func (s *SA) installChild(c *child, outbound bool) {
	c.state, c.installed, c.outbound, c.since = engine.ChildInstalled, true, outbound, s.now
	rekey, expire := c.cfg.Lifetime.draw(s.set.Source)
	if rekey > 0 {
		c.rekeyAt, c.expireAt = s.now.Add(rekey), s.now.Add(expire)
	}
	u := Update{Kind: Install, Name: c.cfg.Name, SPIs: SPIPair{c.in, c.out}, Outbound: outbound,
		Transforms: espTransforms(&c.proposal), LocalTS: c.local, RemoteTS: c.remote, Transport: c.transport,
		Local: s.path.local, Remote: s.path.remote, Encap: s.encap()}
	u.Limits.SoftOctets, u.Limits.HardOctets = c.cfg.Octets.draw(s.set.Source)
	u.Limits.SoftPackets, u.Limits.HardPackets = c.cfg.Packets.draw(s.set.Source)
	i, r := ESPKeys{c.keys.EncrI, c.keys.IntegI}, ESPKeys{c.keys.EncrR, c.keys.IntegR}
	u.Out, u.In = i, r
	if !c.initiator {
		u.Out, u.In = r, i
	}
	if s.conn != nil {
		u.Connection = s.conn.Name
	}
	if c.replaces != nil {
		u.Replaces = SPIPair{c.replaces.in, c.replaces.out}
	}
	c.keys = nil // the data plane's from here on
	s.adopt(c)
	s.res.Updates = append(s.res.Updates, u)
}

// adopt makes a child one of the SA's.
func (s *SA) adopt(c *child) {
	s.children = append(s.children, c)
	s.own.bindESP(c.in, s)
}

// useOutbound makes a child the one that is sent with.
func (s *SA) useOutbound(c *child) {
	if c == nil || c.outbound || c.gone {
		return
	}
	c.outbound = true
	s.res.Updates = append(s.res.Updates, Update{Kind: Switch, Name: c.cfg.Name, SPIs: SPIPair{c.in, c.out}})
}

// removeChild takes a child out of the SA and of the data plane.
func (s *SA) removeChild(c *child, state engine.ChildState) {
	if c.gone {
		return
	}
	c.gone, c.state = true, state
	s.children = slices.DeleteFunc(slices.Clone(s.children), func(o *child) bool { return o == c })
	s.own.freeESP(c.in)
	if c.installed {
		s.res.Updates = append(s.res.Updates, Update{Kind: Remove, Name: c.cfg.Name, SPIs: SPIPair{c.in, c.out}})
		if c.stands(s) {
			s.change(event.ChildDown, nil, c)
		}
	}
	for _, o := range s.children {
		if o.replaces == c {
			o.replaces = nil
		}
	}
	if c.hasSpare() {
		s.closeChild(c.peer.spare, redundantChild)
	}
}

// stands says that nothing has taken the child's place, nor it another's: its
// end is the tunnel's.
func (c *child) stands(s *SA) bool { return c.peer == nil && !c.redundant && !s.replaced(c) }

// replaced says whether another child stands in the place of c.
func (s *SA) replaced(c *child) bool {
	return slices.ContainsFunc(s.children, func(o *child) bool { return o.replaces == c })
}

// dropOffer gives an SPI back that came to nothing.
func (s *SA) dropSPI(spi wire.ESPSPI) {
	if spi != 0 {
		s.own.freeESP(spi)
	}
}

// childSPIs lists the SPIs by which the peer can name the children.
func (s *SA) childSPIs() string {
	text := ""
	for i, c := range s.children {
		if i == 16 {
			return text + ", ..."
		}
		if i > 0 {
			text += ", "
		}
		text += c.out.String()
	}
	if text == "" {
		return "no child SA"
	}
	return "ESP " + text
}

// byOut finds a child by the SPI that the peer chose for it.
func (s *SA) byOut(spi wire.ESPSPI) *child {
	for _, c := range s.children {
		if c.out == spi {
			return c
		}
	}
	return nil
}

// childTimer sets the SA's timer to the earliest of its children's.
func (s *SA) childTimer() {
	s.stop(TimerChild)
	if s.ended() || s.state == engine.IKERekeyed || s.state == engine.IKEDeleting {
		return
	}
	for _, c := range s.children {
		s.timers[TimerChild] = earlier(s.timers[TimerChild], earlier(c.rekeyAt, c.expireAt))
	}
}

// childTicks rekeys and closes children whose time has come.
func (s *SA) childTicks() {
	for _, c := range slices.Clone(s.children) {
		if !c.expireAt.IsZero() && !c.expireAt.After(s.now) {
			c.expireAt, c.rekeyAt = time.Time{}, time.Time{}
			s.expired(c)
			continue
		}
		if !c.rekeyAt.IsZero() && !c.rekeyAt.After(s.now) {
			c.rekeyAt = time.Time{}
			s.queueChildRekey(c)
		}
	}
}

// expired closes a child whose lifetime is over.
func (s *SA) expired(c *child) {
	if c.hasSpare() {
		s.keepSpareChild(c)
		return
	}
	s.note("expire", c.cfg.Name, "the lifetime of child SA %s is over", c.in)
	s.closeChild(c, "its lifetime is over")
}

// sameChild finds a standing child of a configuration.
func (s *SA) sameChild(cfg *ChildConfig) *child {
	for _, c := range s.children {
		if c.cfg == cfg && !c.closing() && c.state != engine.ChildRekeyed {
			return c
		}
	}
	return nil
}

// String names a child for people.
func (c *child) String() string { return fmt.Sprintf("%s (%s in, %s out)", c.cfg.Name, c.in, c.out) }
