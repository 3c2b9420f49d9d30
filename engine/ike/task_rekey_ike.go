package ike

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// ikeRekey is what an IKE SA knows of its replacement.
type ikeRekey struct {
	own   *rekeyIKETask // queued or on its way
	peer  *ikeRival     // what the peer has put in its place
	next  *SA           // where the children went
	elder *SA           // the one that this one is to replace, until it is known which of two stays
}

// ikeRival is the peer's replacement of the IKE SA.
type ikeRival struct {
	sa     *SA
	lowest []byte // of the two nonces of the exchange that made it
	spare  *SA    // our own, which has lost, until the peer shows that it knows of its own
}

// rekeyIKETask replaces the IKE SA (RFC 7296 1.3.2, 2.8, 2.18).
type rekeyIKETask struct {
	group   wire.KEMethod
	ke      suite.KeyExchange
	spi     wire.SPI
	ni      []byte
	offered *wire.SA
	tries   int
}

func (t *rekeyIKETask) name() string  { return "rekeying of the IKE SA" }
func (t *rekeyIKETask) abandon(s *SA) { s.rekey.own = nil }

// name names an SA by its SPIs.
func (s *SA) name() string { return fmt.Sprintf("IKE SA %s %s", s.spiI, s.spiR) }

// queueIKERekey asks for the IKE SA's replacement, unless one is on its way.
func (s *SA) queueIKERekey() {
	if s.rekey.own != nil || s.rekey.peer != nil || s.rekey.next != nil || s.ended() || s.state == engine.IKEDeleting {
		s.note("rekey", "", "the IKE SA is being replaced, or closed, already")
		return
	}
	s.rekey.own = &rekeyIKETask{}
	s.push(s.rekey.own)
}

func (t *rekeyIKETask) build(s *SA) (wire.ExchangeType, []wire.Payload, bool) {
	if s.rekey.peer != nil || s.rekey.next != nil {
		s.rekey.own = nil
		return 0, nil, false
	}
	if t.group == 0 {
		t.group = group(&s.proposal)
	}
	var err error
	if t.ke, err = suite.NewKeyExchange(t.group); err != nil {
		s.rekey.own = nil
		s.fail(&Failure{Payload: wire.PayloadKE, Text: err.Error(), Survived: true})
		return 0, nil, false
	}
	s.state = engine.IKERekeying
	t.spi, t.ni = s.own.ikeSPI(), s.set.Source.Nonce()
	t.offered = offer(wire.ProtocolIKE, binary.BigEndian.AppendUint64(nil, uint64(t.spi)), s.conn.Proposals, true)
	return wire.ExchangeCreateChildSA, []wire.Payload{payload(wire.PayloadSA, t.offered),
		payload(wire.PayloadNonce, &wire.Nonce{Data: t.ni}),
		payload(wire.PayloadKE, &wire.KE{Group: t.group, Data: t.ke.Public()})}, true
}

// heir makes the SA that is to replace s.
func (s *SA) heir(initiator bool, spiI, spiR wire.SPI, chosen *wire.Proposal, shared suite.Secret, ni, nr []byte) (*SA, error) {
	n := &SA{own: s.own, set: s.set, conn: s.conn, initiator: initiator, state: engine.IKECreated, spiI: spiI, spiR: spiR,
		path: s.path, natLocal: s.natLocal, natRemote: s.natRemote, peerFragments: s.peerFragments, peerHashes: s.peerHashes,
		peerChildless: s.peerChildless, localID: s.localID, remoteID: s.remoteID, authenticated: true, ni: ni, nr: nr,
		heard: s.now, now: s.now}
	n.out.size = s.out.size
	prf, err := suite.NewPRF(ikeTransforms(chosen).PRFID)
	if err != nil {
		return nil, err
	}
	// The seed is made with the old PRF, the keys with the new (RFC 7296 2.18).
	kept := *chosen
	kept.SPI = nil
	if err := n.install(&kept, prf, s.prf.RekeySKEYSEED(s.keys.D, shared, ni, nr)); err != nil {
		return nil, err
	}
	shared.Wipe()
	n.start(TimerDelete, s.set.Retransmit.Total())
	s.res.Successors = append(s.res.Successors, n)
	return n, nil
}

// succeed hands everything to the SA that replaces this one.
func (s *SA) succeed(n *SA) {
	old := s.Model()
	for _, c := range s.children {
		n.adopt(c)
	}
	s.children = nil
	n.path = s.path
	n.deleted, n.rekey.elder = nil, nil
	n.state, n.established = engine.IKEEstablished, s.now
	n.dpd = s.dpd
	n.stop(TimerDelete)
	n.lifetime()
	n.hear()
	n.keepaliveTimer()
	n.childTimer()
	for _, t := range s.out.queue {
		switch t.(type) {
		case *childTask, *rekeyChildTask, *deleteChildTask:
			n.out.queue = append(n.out.queue, t)
			if due, ok := s.out.waits[t]; ok {
				if n.out.waits == nil {
					n.out.waits = map[task]time.Time{}
				}
				n.out.waits[t] = due
			}
		default:
			t.abandon(s)
		}
	}
	s.out.queue, s.out.waits = nil, nil
	s.rekey.next = n
	if s.state != engine.IKEDeleting {
		s.state = engine.IKERekeyed
	}
	for _, t := range []Timer{TimerRekey, TimerExpire, TimerDPD, TimerKeepalive, TimerChild} {
		s.stop(t)
	}
	s.start(TimerDelete, s.set.Retransmit.Total())
	s.res.Related = append(s.res.Related, n)
	s.emit(event.Event{Change: &event.Change{Kind: event.IKERekey, SA: n.Model(), Old: old}})
}

func (t *rekeyIKETask) answer(s *SA, m *message) {
	s.rekey.own = nil
	rival := s.rekey.peer
	if rival != nil && rival.sa.ended() && rival.sa.state != engine.IKEDeleted {
		rival = nil
	}
	if n := m.refusal(); n != nil {
		s.answeredBy(n.Type, t.name(), fmt.Sprintf("%s; KE %s", proposalWords(t.offered.Proposals), t.group))
		t.refused(s, n, rival)
		return
	}
	sa, ke, nonce := find[*wire.SA](m, wire.PayloadSA), find[*wire.KE](m, wire.PayloadKE), find[*wire.Nonce](m, wire.PayloadNonce)
	n, nr, f := t.made(s, m.payloads, sa, ke, nonce)
	if f != nil {
		s.fail(f)
		if s.state == engine.IKERekeying {
			s.state = engine.IKEEstablished
		}
		s.closeIKE("the answer to its rekeying makes no sense: "+f.Text, 0)
		return
	}
	switch {
	case s.state == engine.IKEDeleting:
		n.state = engine.IKEEstablished // and never up: nobody is told of its end
		n.deleteSoon("the IKE SA that it replaces is being deleted")
		s.res.Related = append(s.res.Related, n)
	case rival == nil:
		s.succeed(n)
		s.closeIKE("replaced by "+n.name(), 0)
	case bytes.Compare(lowest(t.ni, nr), rival.lowest) < 0 && rival.sa.ended():
		n.deleteSoon("the redundant SA of a collision")
		s.res.Related = append(s.res.Related, n)
		s.closeIKE("the peer has deleted what replaced it", 0)
	case bytes.Compare(lowest(t.ni, nr), rival.lowest) < 0:
		s.note("collision", "", "both sides replaced the IKE SA; ours has the lowest nonce and goes")
		// It goes when the peer deletes the old one, and shows by that that it has
		// its own: see loses.
		n.start(TimerDelete, 2*s.set.Retransmit.Total()) // should s end otherwise
		rival.spare, n.rekey.elder, rival.sa.rekey.elder = n, s, s
		s.state = engine.IKERekeyed
		s.start(TimerDelete, s.set.Retransmit.Total())
	default:
		s.note("collision", "", "both sides replaced the IKE SA; the peer's has the lowest nonce and goes")
		s.succeed(n)
		s.closeIKE("replaced by "+n.name(), 0)
	}
}

// dropSpare closes a replacement of ours that has lost, and of which the peer
// may know.
func (r *ikeRival) dropSpare(s *SA) {
	if n := r.spare; n != nil {
		r.spare, n.rekey.elder = nil, nil
		n.deleteSoon("the redundant SA of a collision")
		s.res.Related = append(s.res.Related, n)
	}
}

// keepSpareIKE closes the IKE SA and hands everything to our replacement, which
// had lost, after all: the peer knows nothing of its own. It says whether there
// is one.
func (s *SA) keepSpareIKE() bool {
	r := s.rekey.peer
	if r == nil || r.spare == nil || r.spare.ended() || s.rekey.next != nil {
		return false
	}
	s.note("collision", "", "the peer has not got its own replacement of the IKE SA; ours stays")
	r.sa.endSoon("the peer has not got it")
	s.res.Related = append(s.res.Related, r.sa)
	n := r.spare
	r.spare = nil
	s.succeed(n)
	s.closeIKE("replaced by "+n.name(), 0)
	return true
}

// spareStays tells the SA that both sides have replaced that ours stays, as the
// peer has shown on either replacement.
func (s *SA) spareStays() {
	if e := s.rekey.elder; e != nil {
		e.orders = append(e.orders, func(e *SA) { e.keepSpareIKE() })
		s.res.Related = append(s.res.Related, e)
	}
}

// made makes the new SA from the peer's answer.
func (t *rekeyIKETask) made(s *SA, ps []wire.Payload, sa *wire.SA, ke *wire.KE, nonce *wire.Nonce) (*SA, []byte, *Failure) {
	if sa == nil || ke == nil || nonce == nil {
		return nil, nil, s.malformed(0, "RFC 7296 1.3.2", "answer to the rekeying of the IKE SA", "SA, KE and Nonce, or an error", ps, "SA, KE or Nonce is missing")
	}
	chosen, f := s.chosen(t.offered, sa)
	if f != nil {
		return nil, nil, f
	}
	spi, ok := ikeSPIOf(chosen)
	if !ok {
		return nil, nil, s.badSPI(chosen, ikeSPIForm)
	}
	if f := s.sameGroup("RFC 7296 1.3.2", t.group, ke, group(chosen)); f != nil {
		return nil, nil, f
	}
	shared, err := t.ke.Shared(ke.Data)
	if err != nil {
		return nil, nil, s.badValue(ke, err)
	}
	nr := bytes.Clone(nonce.Data)
	n, err := s.heir(true, t.spi, spi, chosen, shared, t.ni, nr)
	if err != nil {
		return nil, nil, s.noKeys(chosen, "RFC 7296 2.18", err)
	}
	return n, nr, nil
}

const ikeSPIForm = "8 octets that are not all 0"

// ikeSPIOf gives the SPI of a proposal for an IKE SA.
func ikeSPIOf(p *wire.Proposal) (wire.SPI, bool) {
	if len(p.SPI) != 8 {
		return 0, false
	}
	spi := wire.SPI(binary.BigEndian.Uint64(p.SPI))
	return spi, spi != 0
}

// refused does what the recovery table says about a refusal.
func (t *rekeyIKETask) refused(s *SA, n *wire.Notify, rival *ikeRival) {
	if s.state == engine.IKEDeleting {
		return
	}
	if rival != nil && s.rekey.next == nil && !rival.sa.ended() {
		// The peer did not notice the collision: its own rekeying counts.
		s.note("collision", "", "the peer refuses our rekeying (%s); its own stands", n.Type)
		s.succeed(rival.sa)
		return
	}
	s.state = engine.IKEEstablished
	s.fail(&Failure{Payload: wire.PayloadNotify, Notify: n.Type, RFC: "RFC 7296 1.3.2", Peer: true, Survived: true,
		Text: "the peer refuses the rekeying of the IKE SA"})
	if n.Type == wire.NotifyInvalidKEPayload {
		if want, ok := otherGroup(s, n, s.conn.Proposals, t.tries); ok {
			s.rekey.own = &rekeyIKETask{group: want, tries: t.tries + 1}
			s.push(s.rekey.own)
			return
		}
	}
	switch r := s.recover(n.Type, "IKE rekey"); r.Action {
	case RecoverDelete:
		s.end(engine.IKEFailed, fmt.Sprintf("the peer refuses the rekeying of the IKE SA: %s", n.Type), false)
	case RecoverRetry:
		s.rekey.own = &rekeyIKETask{group: t.group, tries: t.tries}
		s.retry(s.rekey.own, r)
	}
}

// answerIKERekey answers the peer's request to replace the IKE SA.
func (s *SA) answerIKERekey(m *message, sa *wire.SA, ni []byte) []wire.Payload {
	refuse := func(t wire.NotifyType, data []byte, f *Failure) []wire.Payload {
		f.Notify, f.Survived = t, true
		s.fail(f)
		return notify(t, data)
	}
	busy := s.asking(func(t task) bool {
		switch t.(type) {
		case *childTask, *rekeyChildTask, *deleteChildTask:
			return true
		}
		return false
	})
	switch {
	case s.state == engine.IKEDeleting, busy,
		s.state == engine.IKERekeyed || s.rekey.peer != nil || s.rekey.next != nil || s.state == engine.IKECreated:
		return s.temporary("RFC 7296 2.25.2", "a new IKE SA: "+proposalWords(sa.Proposals), s.pending())
	case s.own.busy():
		return refuse(wire.NotifyNoAdditionalSAs, nil, s.refused(0, event.Check{Kind: event.CheckLimit, RFC: "RFC 7296 1.3", What: "IKE SAs",
			Local: fmt.Sprintf("at most %d", s.set.MaxSAs), Remote: "one more, to replace one that stands"}, "too many IKE SAs"))
	}
	ke := find[*wire.KE](m, wire.PayloadKE)
	if ke == nil {
		return refuse(wire.NotifyInvalidSyntax, nil, s.malformed(wire.PayloadKE, "RFC 7296 1.3.2", "request to replace the IKE SA", "SA, Nonce and KE", m.payloads, "KE is missing"))
	}
	chosen, ok := s.choose(wire.ProtocolIKE, sa.Proposals, s.conn.Proposals, true, ke.Group)
	if !ok {
		return refuse(wire.NotifyNoProposalChosen, nil, unfit("no proposal", wire.ProtocolIKE, sa.Proposals, s.conn.Proposals, true))
	}
	spi, ok := ikeSPIOf(chosen)
	if !ok {
		return refuse(wire.NotifyInvalidSyntax, nil, s.badSPI(chosen, ikeSPIForm))
	}
	if want := group(chosen); want != ke.Group {
		return refuse(wire.NotifyInvalidKEPayload, []byte{uint8(want >> 8), uint8(want)}, s.otherGroupWanted("RFC 7296 1.3", want, ke.Group))
	}
	public, shared, err := suite.Respond(ke.Group, ke.Data)
	if err != nil {
		return refuse(wire.NotifyInvalidSyntax, nil, s.badValue(ke, err))
	}
	own, nr := s.own.ikeSPI(), s.set.Source.Nonce()
	n, err := s.heir(false, spi, own, chosen, shared, ni, nr)
	if err != nil {
		return refuse(wire.NotifyNoProposalChosen, nil, s.noKeys(chosen, "RFC 7296 2.18", err))
	}
	s.rekey.peer = &ikeRival{sa: n, lowest: lowest(ni, nr)}
	if !s.asking(func(t task) bool { _, ok := t.(*rekeyIKETask); return ok }) {
		s.succeed(n)
	}
	kept := *chosen
	kept.SPI = binary.BigEndian.AppendUint64(nil, uint64(own))
	kept.Transforms = slices.Clone(chosen.Transforms)
	return []wire.Payload{payload(wire.PayloadSA, &wire.SA{Proposals: []wire.Proposal{kept}}),
		payload(wire.PayloadNonce, &wire.Nonce{Data: nr}), payload(wire.PayloadKE, &wire.KE{Group: ke.Group, Data: public})}
}
