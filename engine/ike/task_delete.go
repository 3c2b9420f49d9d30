package ike

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// deleteChildTask closes a CHILD SA (RFC 7296 1.4.1).
type deleteChildTask struct {
	child *child
	why   string
}

func (t *deleteChildTask) name() string  { return "deletion of child " + t.child.cfg.Name }
func (t *deleteChildTask) abandon(s *SA) {}

// closeChild queues the deletion of a child.
func (s *SA) closeChild(c *child, why string) {
	if c.closing() || s.ended() || s.state == engine.IKEDeleting {
		return
	}
	c.closer = &deleteChildTask{child: c, why: why}
	if c.state != engine.ChildRekeyed {
		c.state = engine.ChildDeleting
	}
	if c.peer != nil {
		s.useOutbound(c.peer.child)
	}
	s.note("delete", c.cfg.Name, "child SA %s: %s", c, why)
	s.push(c.closer)
}

func (t *deleteChildTask) build(s *SA) (wire.ExchangeType, []wire.Payload, bool) {
	if t.child.gone {
		return 0, nil, false
	}
	return wire.ExchangeInformational, []wire.Payload{payload(wire.PayloadDelete,
		&wire.Delete{Protocol: wire.ProtocolESP, SPISize: 4, SPIs: [][]byte{spiOctets(t.child.in)}})}, true
}

// answer ends the child whatever the response holds: where both sides deleted
// it at once, the response names nothing (RFC 7296 1.4.1).
func (t *deleteChildTask) answer(s *SA, _ *message) {
	s.removeChild(t.child, engine.ChildDeleted)
}

// deleteIKETask closes the IKE SA (RFC 7296 1.4.1), or tells the peer the error
// that it ends for.
type deleteIKETask struct {
	why   string
	error wire.NotifyType // 0 for a plain deletion
}

func (t *deleteIKETask) name() string  { return "deletion of the IKE SA" }
func (t *deleteIKETask) abandon(s *SA) {}

// closeIKE queues the deletion of the IKE SA in place of everything else.
func (s *SA) closeIKE(why string, n wire.NotifyType) {
	if s.ended() || s.state == engine.IKEDeleting {
		return
	}
	s.prepare()
	if s.keys == nil || s.initiator && !s.authenticated && n == 0 {
		s.end(engine.IKEDeleted, why, false)
		return
	}
	if r := s.rekey.peer; r != nil && s.rekey.next == nil {
		r.dropSpare(s)
	}
	s.state = engine.IKEDeleting
	queue := s.out.queue
	s.out.queue, s.out.waits = nil, nil
	for _, t := range queue {
		t.abandon(s)
	}
	for _, t := range []Timer{TimerRekey, TimerExpire, TimerDPD, TimerKeepalive, TimerDelete} {
		s.stop(t)
	}
	s.note("delete", "", "the IKE SA: %s", why)
	s.push(&deleteIKETask{why: why, error: n})
}

func (t *deleteIKETask) build(s *SA) (wire.ExchangeType, []wire.Payload, bool) {
	if t.error != 0 {
		return wire.ExchangeInformational, notify(t.error, nil), true
	}
	return wire.ExchangeInformational, []wire.Payload{payload(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolIKE})}, true
}

func (t *deleteIKETask) answer(s *SA, _ *message) {
	state := engine.IKEDeleted
	if t.error != 0 {
		state = engine.IKEFailed
	}
	s.end(state, t.why, false)
}

// maxUnknownDeletes bounds how many deletes of unknown SPIs are remembered.
const maxUnknownDeletes = 16

// answerInformational answers INFORMATIONAL: deletions, errors, news, and with
// nothing in it a sign of life.
func (s *SA) answerInformational(m *message) []wire.Payload {
	var spis [][]byte
	for i := range m.payloads {
		switch b := m.payloads[i].Body.(type) {
		case *wire.Delete:
			if b.Protocol == wire.ProtocolIKE {
				s.deletedByPeer()
				return nil
			}
			spis = s.deleteChildren(b, spis)
		case *wire.Notify:
			s.told(b)
		}
	}
	s.peerWindow(m)
	if len(spis) == 0 {
		return nil
	}
	return []wire.Payload{payload(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolESP, SPISize: 4, SPIs: spis})}
}

// told takes a notify of an INFORMATIONAL request.
func (s *SA) told(n *wire.Notify) {
	if !n.Type.Error() {
		return
	}
	s.answeredBy(n.Type, "INFORMATIONAL request", fmt.Sprintf("the IKE SA is %s, CHILD SAs: %d", s.state, len(s.children)))
	f := s.fail(&Failure{Payload: wire.PayloadNotify, Notify: n.Type, RFC: "RFC 7296 2.21", Peer: true, Text: "the peer tells an error"})
	if r := s.recover(n.Type, "INFORMATIONAL"); r.Action == RecoverDelete {
		s.over, s.why = true, "the peer tells "+n.Type.String()
		return
	}
	f.Survived = true
}

// deletedByPeer ends the IKE SA after the answer. A replacement that the peer
// has made, and that we did not know to have won, takes over (RFC 7296 2.25.2).
func (s *SA) deletedByPeer() {
	if r := s.rekey.peer; r != nil && s.rekey.next == nil && s.state != engine.IKEDeleting {
		switch {
		case r.sa.ended():
			s.keepSpareIKE()
		case r.spare == nil:
			s.note("collision", "", "the peer knows of its own rekeying only, and has finished it")
			s.succeed(r.sa)
		default:
			r.dropSpare(s)
			s.succeed(r.sa)
		}
	}
	if e := s.rekey.elder; e != nil && e.rekey.peer != nil && e.rekey.peer.sa == s {
		s.spareStays() // the peer takes its own for the redundant one
	}
	why := "deleted by the peer"
	switch {
	case s.rekey.next != nil:
		why = "replaced by " + s.rekey.next.name()
	case s.state != engine.IKEDeleting: // where we delete it too, it is not to stay
		s.res.Again = append(s.res.Again, s.revival(true)...)
	}
	s.state = engine.IKEDeleting
	s.over, s.why = true, why
}

// deleteChildren removes the children that a Delete payload names, and gives
// the SPIs to name in the answer: those of our side, except where both sides
// delete at once (RFC 7296 1.4.1).
func (s *SA) deleteChildren(d *wire.Delete, spis [][]byte) [][]byte {
	for _, octets := range d.SPIs {
		if d.Protocol != wire.ProtocolESP || len(octets) != 4 {
			s.detail(event.Check{Kind: event.CheckChild, RFC: "RFC 7296 3.11", What: "SA that the peer deletes", Local: s.childSPIs(),
				Remote: fmt.Sprintf("%s %s", d.Protocol, hexOf(octets))})
			continue
		}
		spi := wire.ESPSPI(binary.BigEndian.Uint32(octets))
		c := s.byOut(spi)
		if c == nil {
			s.detail(event.Check{Kind: event.CheckChild, RFC: "RFC 7296 1.4.1", What: "SA that the peer deletes", Local: s.childSPIs(),
				Remote: "ESP " + spi.String()})
			s.note("delete", "", "the peer deletes unknown child SA %s", spi)
			making := s.asking(func(t task) bool {
				switch t.(type) {
				case *childTask, *rekeyChildTask, *authTask:
					return true
				}
				return false
			})
			if making && len(s.deleted) < maxUnknownDeletes && !slices.Contains(s.deleted, spi) {
				s.deleted = append(s.deleted, spi)
			}
			continue
		}
		if !s.asking(func(t task) bool { return c.closer != nil && t == task(c.closer) }) {
			spis = append(spis, spiOctets(c.in))
		}
		if c.peer != nil {
			s.useOutbound(c.peer.child)
		}
		switch o := s.collision(c); {
		case o == nil:
		case o.peer.spare == c:
			o.peer.spare = nil
		default:
			s.keepSpareChild(o) // the peer takes its own for the redundant one
		}
		if c.stands(s) && !c.closing() && c.cfg.CloseAction != ActionClear {
			s.res.Again = append(s.res.Again, Again{Connection: s.conn, Child: c.cfg.Name, Action: c.cfg.CloseAction, Closed: true})
		}
		s.removeChild(c, engine.ChildDeleted)
	}
	return spis
}
