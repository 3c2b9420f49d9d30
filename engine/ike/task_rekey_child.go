package ike

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// rekeyChildTask replaces a CHILD SA (RFC 7296 1.3.3, 2.8).
type rekeyChildTask struct {
	old   *child
	offer *childOffer
	group wire.KEMethod
	tries int
}

func (t *rekeyChildTask) name() string { return "rekeying of child " + t.old.cfg.Name }

func (t *rekeyChildTask) abandon(s *SA) {
	t.offer.drop(s)
	t.old.own = nil
}

// queueChildRekey asks for a child's replacement, unless one is on its way or
// stands already.
func (s *SA) queueChildRekey(c *child) {
	if c.own != nil || c.peer != nil || c.closing() || c.state == engine.ChildRekeyed {
		s.note("rekey", c.cfg.Name, "child SA %s is being replaced, or closed, already", c)
		return
	}
	c.own = &rekeyChildTask{old: c}
	s.push(c.own)
}

func (t *rekeyChildTask) build(s *SA) (wire.ExchangeType, []wire.Payload, bool) {
	if t.old.closing() || t.old.peer != nil || !slices.Contains(s.children, t.old) {
		t.old.own = nil
		return 0, nil, false
	}
	t.offer = s.offerChild(t.old.cfg, true)
	t.offer.group = t.group
	if t.group == 0 {
		t.offer.group = group(&t.old.proposal) // what worked before
	}
	if err := t.offer.exchange(s); err != nil {
		t.abandon(s)
		s.fail(&Failure{Payload: wire.PayloadKE, Text: err.Error(), Survived: true})
		return 0, nil, false
	}
	t.old.state = engine.ChildRekeying
	ps := []wire.Payload{payload(wire.PayloadNotify,
		&wire.Notify{Protocol: wire.ProtocolESP, SPI: spiOctets(t.old.in), Type: wire.NotifyRekeySA})}
	return wire.ExchangeCreateChildSA, append(ps, t.offer.payloads(s)...), true
}

// lowest gives the lower of two nonces, octet for octet (RFC 7296 2.8.1).
func lowest(a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		return a
	}
	return b
}

func (t *rekeyChildTask) answer(s *SA, m *message) {
	o, old := t.offer, t.old
	t.offer, old.own = nil, nil
	if n := m.refusal(); n != nil {
		s.answeredBy(n.Type, t.name(), o.words())
		o.drop(s)
		t.refused(s, n)
		return
	}
	var nr []byte
	if n := find[*wire.Nonce](m, wire.PayloadNonce); n != nil {
		nr = bytes.Clone(n.Data)
	}
	c := s.takeChild(o, m, o.ni, nr, old)
	if c == nil {
		t.failed(s, o)
		return
	}
	delete(s.attempts, t.name())
	rival := old.peer
	switch {
	case rival == nil:
		t.replaced(s, c)
	case bytes.Compare(lowest(o.ni, nr), rival.lowest) < 0:
		s.note("collision", old.cfg.Name, "both sides replaced child SA %s; ours has the lowest nonce and goes", old)
		s.loses(old, c)
	default:
		s.note("collision", old.cfg.Name, "both sides replaced child SA %s; the peer's has the lowest nonce and goes", old)
		rival.child.redundant = true
		if !rival.child.gone {
			rival.child.state, rival.child.replaces = engine.ChildRekeyed, nil
			s.awaitDelete(rival.child)
		}
		old.peer = nil
		t.replaced(s, c)
	}
}

const redundantChild = "the redundant SA of a collision"

// loses takes a replacement of ours that is redundant, because it has the
// lowest nonce, and ours to close (RFC 7296 2.8.1). It is closed when the peer
// deletes the old child: by that the peer shows that it has its own. A peer that
// has lost our answer, and does not ask again, knows of ours alone.
func (s *SA) loses(old, c *child) {
	rival := old.peer
	c.redundant = true
	if old.gone {
		c.state, c.replaces = engine.ChildRekeyed, nil
		c.keys.Wipe()
		s.adopt(c)
		s.closeChild(c, redundantChild)
		s.useOutbound(rival.child)
		return
	}
	s.installChild(c, false)
	c.state, c.replaces = engine.ChildRekeyed, nil
	old.state = engine.ChildRekeyed
	rival.spare = c
	switch {
	case rival.child.gone:
		s.keepSpareChild(old)
	case old.closing():
		s.closeChild(c, redundantChild)
	default:
		s.awaitDelete(old)
	}
}

// keepSpareChild puts our replacement of a child, which had lost, into its place
// after all: the peer knows nothing of its own.
func (s *SA) keepSpareChild(old *child) {
	rival, c := old.peer.child, old.peer.spare
	old.peer = nil
	s.note("collision", old.cfg.Name, "the peer has not got its own replacement of child SA %s; ours stays", old)
	rival.redundant = true
	if !rival.gone {
		rival.state, rival.replaces = engine.ChildRekeyed, nil
		s.closeChild(rival, "the peer has not got it")
	}
	c.redundant, c.replaces, c.state = false, old, engine.ChildInstalled
	s.useOutbound(c)
	s.change(event.ChildRekey, s.model([]*child{old, rival}), c)
	s.closeChild(old, "replaced by "+c.String())
}

// hasSpare says whether both sides have replaced the child, and which of both
// stays is not known yet.
func (c *child) hasSpare() bool {
	return c.peer != nil && c.peer.spare != nil && !c.peer.spare.closing()
}

// collision finds the child that was replaced by both sides, of which c is the
// one replacement or the other; nil where both, or neither, are known to stand.
func (s *SA) collision(c *child) *child {
	for _, o := range s.children {
		if o.hasSpare() && (o.peer.child == c || o.peer.spare == c) {
			return o
		}
	}
	return nil
}

// failed goes on after an answer that led to no child.
func (t *rekeyChildTask) failed(s *SA, o *childOffer) {
	old := t.old
	switch {
	case old.closing() || old.peer != nil:
	case o.gone:
		s.closeChild(old, "the peer has closed its replacement already")
	default:
		old.state = engine.ChildInstalled
		old.own = &rekeyChildTask{old: old, group: t.group, tries: t.tries}
		s.retry(old.own, &unknownError)
	}
}

// replaced puts a child into the place of the old one, which is closed.
func (t *rekeyChildTask) replaced(s *SA, c *child) {
	s.addInstalled(c, true)
	if t.old.gone {
		c.replaces = nil
		return
	}
	t.old.state = engine.ChildRekeyed
	s.closeChild(t.old, "replaced by "+c.String())
}

// awaitDelete closes a child that the peer has to delete, should it not.
func (s *SA) awaitDelete(c *child) {
	if c.gone {
		return
	}
	c.rekeyAt = time.Time{}
	due := s.now.Add(s.set.Retransmit.Total())
	if c.expireAt.IsZero() || due.Before(c.expireAt) {
		c.expireAt = due
	}
}

// refused does what the recovery table says about a refusal.
func (t *rekeyChildTask) refused(s *SA, n *wire.Notify) {
	old := t.old
	if old.gone || old.peer != nil {
		s.note("collision", old.cfg.Name, "the peer has replaced or closed child SA %s; our own request is void (%s)", old, n.Type)
		return
	}
	old.state = engine.ChildInstalled
	if old.closing() {
		old.state = engine.ChildDeleting
		return
	}
	s.fail(&Failure{Payload: wire.PayloadNotify, Notify: n.Type, RFC: "RFC 7296 1.3.3", Peer: true, Survived: true,
		Text: "the peer refuses " + t.name()})
	if n.Type == wire.NotifyInvalidKEPayload {
		if want, ok := otherGroup(s, n, old.cfg.Proposals, t.tries); ok {
			old.own = &rekeyChildTask{old: old, group: want, tries: t.tries + 1}
			s.push(old.own)
			return
		}
	}
	r := s.recover(n.Type, "child rekey")
	switch r.Action {
	case RecoverReset: // the peer does not have it: it goes, and comes anew
		cfg := old.cfg
		s.removeChild(old, engine.ChildDeleted)
		s.addChild(cfg.Name)
	case RecoverDelete:
		s.end(engine.IKEFailed, fmt.Sprintf("the peer refuses %s: %s", t.name(), n.Type), false)
	case RecoverRetry:
		old.own = &rekeyChildTask{old: old, group: t.group, tries: t.tries}
		s.retry(old.own, r)
	}
}

// answerChildRekey answers the peer's request to replace a child.
func (s *SA) answerChildRekey(m *message, n *wire.Notify, ni []byte) []wire.Payload {
	notFound := []wire.Payload{payload(wire.PayloadNotify,
		&wire.Notify{Protocol: n.Protocol, SPI: bytes.Clone(n.SPI), Type: wire.NotifyChildSANotFound})}
	var old *child
	if n.Protocol == wire.ProtocolESP && len(n.SPI) == 4 {
		old = s.byOut(wire.ESPSPI(binary.BigEndian.Uint32(n.SPI)))
	}
	if !s.check(event.Check{Kind: event.CheckChild, RFC: "RFC 7296 2.25", What: "child SA that the peer replaces", OK: old != nil,
		Local: s.childSPIs(), Remote: fmt.Sprintf("%s %x", n.Protocol, n.SPI), Why: wire.NotifyChildSANotFound.String() + " is answered"}) {
		return notFound
	}
	if o := s.collision(old); o != nil && o.peer.spare == old {
		s.keepSpareChild(o) // who replaces it takes it for the one that stands
	}
	if old.closing() || old.peer != nil {
		return s.temporary("RFC 7296 2.25.1", childAsked(m), old.pending())
	}
	nr := s.set.Source.Nonce()
	c, ps, refusal := s.acceptChild(m, childRequest{ni: ni, nr: nr, configs: []*ChildConfig{old.cfg}, old: old, withKE: true})
	if refusal != nil {
		return refusal
	}
	old.peer = &childRival{child: c, lowest: lowest(ni, nr)}
	s.addInstalled(c, false)
	if !s.asking(func(t task) bool { return t == old.own }) {
		old.state = engine.ChildRekeyed
	}
	s.awaitDelete(old)
	return ps
}
