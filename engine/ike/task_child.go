package ike

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// childOffer is a CHILD SA that this side has asked for.
type childOffer struct {
	cfg     *ChildConfig
	in      wire.ESPSPI
	withKE  bool // of CREATE_CHILD_SA, not of IKE_AUTH
	group   wire.KEMethod
	ke      suite.KeyExchange // nil without PFS
	ni      []byte
	offered *wire.SA
	local   []wire.TrafficSelector
	remote  []wire.TrafficSelector
	gone    bool // the peer set it up and deleted it again
}

// offerChild prepares the request for a child.
func (s *SA) offerChild(cfg *ChildConfig, withKE bool) *childOffer {
	return &childOffer{cfg: cfg, in: s.own.espSPI(), withKE: withKE,
		local:  orOwn(cfg.LocalTS, s.path.local.Addr()),
		remote: orOwn(cfg.RemoteTS, s.path.remote.Addr())}
}

// drop gives the SPI back where the request came to nothing.
func (o *childOffer) drop(s *SA) {
	if o != nil {
		s.dropSPI(o.in)
		o.in = 0
	}
}

// payloads gives SA, [Nonce, KE,] TSi, TSr and the notifies of the request.
func (o *childOffer) payloads(s *SA) []wire.Payload {
	o.offered = offer(wire.ProtocolESP, spiOctets(o.in), o.cfg.Proposals, o.withKE)
	var ps []wire.Payload
	if o.cfg.Transport {
		ps = append(ps, payload(wire.PayloadNotify, &wire.Notify{Type: wire.NotifyUseTransportMode}))
	}
	ps = append(ps, payload(wire.PayloadSA, o.offered))
	if o.ni != nil {
		ps = append(ps, payload(wire.PayloadNonce, &wire.Nonce{Data: o.ni}))
	}
	if o.ke != nil {
		ps = append(ps, payload(wire.PayloadKE, &wire.KE{Group: o.group, Data: o.ke.Public()}))
	}
	return append(ps, payload(wire.PayloadTSi, &wire.TS{Selectors: o.local}), payload(wire.PayloadTSr, &wire.TS{Selectors: o.remote}))
}

// words says what was asked for.
func (o *childOffer) words() string {
	text := fmt.Sprintf("child %s: %s", o.cfg.Name, proposalWords(o.offered.Proposals))
	if o.ke != nil {
		text += "; KE " + o.group.String()
	}
	return text + fmt.Sprintf("; TSi %s, TSr %s; %s", selectorWords(o.local), selectorWords(o.remote), modeWord(o.cfg.Transport))
}

// exchange makes the key for PFS where the proposals ask for one.
func (o *childOffer) exchange(s *SA) error {
	o.ni = s.set.Source.Nonce()
	if o.group == 0 {
		all := groups(o.cfg.Proposals)
		if len(all) == 0 {
			return nil
		}
		o.group = all[0]
	}
	var err error
	o.ke, err = suite.NewKeyExchange(o.group)
	return err
}

// childTask is CREATE_CHILD_SA for a new child (RFC 7296 1.3.1).
type childTask struct {
	cfg   *ChildConfig
	offer *childOffer
	group wire.KEMethod // that the peer has asked for
	tries int
}

func (t *childTask) name() string  { return "child " + t.cfg.Name }
func (t *childTask) abandon(s *SA) { t.offer.drop(s) }

// addChild queues the setting up of a configured child.
func (s *SA) addChild(name string) {
	cfg := s.conn.child(name)
	if cfg == nil {
		s.fail(&Failure{Survived: true, Text: fmt.Sprintf("connection %q has no child %q", s.conn.Name, name)})
		return
	}
	if s.waiting(func(t task) bool { c, ok := t.(*childTask); return ok && c.cfg == cfg }) {
		return
	}
	s.push(&childTask{cfg: cfg})
}

func (t *childTask) build(s *SA) (wire.ExchangeType, []wire.Payload, bool) {
	if c := s.sameChild(t.cfg); c != nil {
		s.note("duplicate", t.cfg.Name, "child SA %s stands already", c)
		return 0, nil, false
	}
	t.offer = s.offerChild(t.cfg, true)
	t.offer.group = t.group
	if err := t.offer.exchange(s); err != nil {
		t.offer.drop(s)
		s.fail(&Failure{Payload: wire.PayloadKE, Text: err.Error(), Survived: true})
		return 0, nil, false
	}
	return wire.ExchangeCreateChildSA, t.offer.payloads(s), true
}

func (t *childTask) answer(s *SA, m *message) {
	o := t.offer
	t.offer = nil
	if n := m.refusal(); n != nil {
		s.answeredBy(n.Type, t.name(), o.words())
		o.drop(s)
		t.refused(s, n)
		return
	}
	if c := s.takeChild(o, m, o.ni, nil, nil); c != nil {
		s.addInstalled(c, true)
		delete(s.attempts, t.name())
	}
}

// refused does what the recovery table says about a refusal.
func (t *childTask) refused(s *SA, n *wire.Notify) {
	if n.Type == wire.NotifyInvalidKEPayload {
		if want, ok := otherGroup(s, n, t.cfg.Proposals, t.tries); ok {
			t.group = want
			t.tries++
			s.push(t)
			return
		}
	}
	s.fail(&Failure{Payload: wire.PayloadNotify, Notify: n.Type, RFC: "RFC 7296 1.3", Peer: true, Survived: true,
		Child: t.cfg.Name, Text: "the peer refuses child " + t.cfg.Name})
	r := s.recover(n.Type, "child")
	switch r.Action {
	case RecoverRetry:
		s.retry(t, r)
	case RecoverDelete:
		s.end(engine.IKEFailed, fmt.Sprintf("the peer refuses %s: %s", t.name(), n.Type), false)
	}
}

// otherGroup reads INVALID_KE_PAYLOAD: the group that the peer wants, if we
// have it and have not tried too often.
func otherGroup(s *SA, n *wire.Notify, proposals [][]wire.Transform, tries int) (wire.KEMethod, bool) {
	want, ok := n.AcceptedGroup()
	have := groups(proposals)
	ok = ok && slices.Contains(have, want) && tries < maxInitTries
	return want, s.check(event.Check{Kind: event.CheckKE, RFC: "RFC 7296 1.3", What: "group that the peer wants", OK: ok,
		Local: fmt.Sprint(have), Remote: want.String()})
}

// takeChild takes the peer's acceptance of a child that this side asked for: it
// gives the child with its keys, not yet installed. It gives nil where the child
// could not be set up; the peer is then told to forget it. nr is nil where the
// response brings a nonce of its own.
func (s *SA) takeChild(o *childOffer, m *message, ni, nr []byte, old *child) *child {
	sa, tsi, tsr := find[*wire.SA](m, wire.PayloadSA), find[*wire.TS](m, wire.PayloadTSi), find[*wire.TS](m, wire.PayloadTSr)
	if n := m.refusal(); n != nil || sa == nil || tsi == nil || tsr == nil {
		o.drop(s)
		f := &Failure{RFC: "RFC 7296 1.2", Text: "the peer set up no child " + o.cfg.Name}
		if n != nil {
			s.answeredBy(n.Type, "child "+o.cfg.Name, o.words())
			f.Notify, f.Payload = n.Type, wire.PayloadNotify
			s.recover(n.Type, "child")
		} else {
			f = s.malformed(0, f.RFC, "answer about child "+o.cfg.Name, "SA, TSi and TSr, or an error", m.payloads, f.Text)
		}
		f.Survived, f.Peer, f.Child = true, true, o.cfg.Name
		s.fail(f)
		return nil
	}
	c := &child{cfg: o.cfg, in: o.in, initiator: true, replaces: old}
	chosen, f := s.chosen(o.offered, sa)
	if f == nil {
		f = c.adopt(s, o, chosen, m, tsi, tsr)
	}
	var shared suite.Secret
	if f == nil {
		shared, f = o.secret(s, chosen, m)
	}
	if n := find[*wire.Nonce](m, wire.PayloadNonce); nr == nil && n != nil {
		nr = n.Data
	}
	if f == nil {
		f = c.derive(s, shared, ni, nr)
	}
	if f != nil {
		f.Survived = true
		s.fail(f)
		if len(sa.Proposals) > 0 && len(sa.Proposals[0].SPI) == 4 {
			// The peer believes in it: close it.
			c.out = wire.ESPSPI(binary.BigEndian.Uint32(sa.Proposals[0].SPI))
			s.adopt(c)
			s.closeChild(c, f.Text)
		} else {
			o.drop(s)
		}
		return nil
	}
	if i := slices.Index(s.deleted, c.out); i >= 0 {
		s.deleted = slices.Delete(s.deleted, i, i+1)
		s.note("collision", c.cfg.Name, "the peer deleted child SA %s before its answer came", c)
		c.keys.Wipe()
		o.gone = true
		o.drop(s)
		return nil
	}
	return c
}

// adopt takes the peer's choice of proposal, selectors and mode.
func (c *child) adopt(s *SA, o *childOffer, chosen *wire.Proposal, m *message, tsi, tsr *wire.TS) *Failure {
	if len(chosen.SPI) != 4 {
		return s.badSPI(chosen, "4 octets")
	}
	c.out, c.proposal = wire.ESPSPI(binary.BigEndian.Uint32(chosen.SPI)), *chosen
	c.local, c.remote = cloneSelectors(tsi.Selectors), cloneSelectors(tsr.Selectors)
	okL := s.check(event.Check{Kind: event.CheckSelector, RFC: "RFC 7296 2.9", What: "TSi of child " + o.cfg.Name, OK: within(c.local, o.local),
		Local: selectorWords(o.local), Remote: selectorWords(tsi.Selectors)})
	okR := s.check(event.Check{Kind: event.CheckSelector, RFC: "RFC 7296 2.9", What: "TSr of child " + o.cfg.Name, OK: within(c.remote, o.remote),
		Local: selectorWords(o.remote), Remote: selectorWords(tsr.Selectors)})
	if !okL || !okR {
		return &Failure{Payload: wire.PayloadTSi, RFC: "RFC 7296 2.9", Text: "the peer widened the selectors"}
	}
	c.transport = m.has(wire.NotifyUseTransportMode) != nil
	if !s.check(event.Check{Kind: event.CheckMode, RFC: "RFC 7296 1.3.1", What: "mode of child " + o.cfg.Name, OK: c.transport == o.cfg.Transport,
		Local: modeWord(o.cfg.Transport), Remote: modeWord(c.transport)}) {
		return &Failure{RFC: "RFC 7296 1.3.1", Text: "the peer has another mode"}
	}
	return nil
}

func modeWord(transport bool) string {
	if transport {
		return "TRANSPORT"
	}
	return "TUNNEL"
}

// secret gives the shared secret of PFS, empty without.
func (o *childOffer) secret(s *SA, chosen *wire.Proposal, m *message) (suite.Secret, *Failure) {
	ke := find[*wire.KE](m, wire.PayloadKE)
	want := group(chosen)
	if want == 0 {
		return suite.Secret{}, nil
	}
	if f := s.sameGroup("RFC 7296 1.3.1", o.group, ke, want); f != nil {
		return suite.Secret{}, f
	}
	shared, err := o.ke.Shared(ke.Data)
	if err != nil {
		return suite.Secret{}, s.badValue(ke, err)
	}
	return shared, nil
}

// derive makes the child's keys.
func (c *child) derive(s *SA, shared suite.Secret, ni, nr []byte) *Failure {
	t := espTransforms(&c.proposal)
	keys, err := s.prf.DeriveChild(s.keys.D, shared, ni, nr, t.EncrID, t.EncrBits, t.IntegID)
	shared.Wipe()
	if err != nil {
		return s.noKeys(&c.proposal, "RFC 7296 2.17", err)
	}
	c.keys = keys
	return nil
}

// childRequest is what a responder needs beside the message.
type childRequest struct {
	ni, nr  []byte
	configs []*ChildConfig
	old     *child // to be replaced, nil for a new one
	withKE  bool
}

// selectChild finds the child whose selectors have something in common with the
// peer's, and what that is; nil where there is none. Each comparison is
// reported.
func (s *SA) selectChild(configs []*ChildConfig, tsi, tsr *wire.TS, wantsTransport bool) (cfg *ChildConfig, local, remote []wire.TrafficSelector) {
	if len(configs) == 0 {
		s.check(event.Check{Kind: event.CheckSelector, RFC: "RFC 7296 2.9", What: "TSi and TSr against children", Local: "no child is configured",
			Remote: pairWords(tsi, tsr)})
	}
	for _, o := range configs {
		mine, theirs := orOwn(o.LocalTS, s.path.local.Addr()), orOwn(o.RemoteTS, s.path.remote.Addr())
		l, r := narrow(tsr.Selectors, mine), narrow(tsi.Selectors, theirs)
		okR := s.check(event.Check{Kind: event.CheckSelector, RFC: "RFC 7296 2.9", What: "TSr against child " + o.Name, OK: len(l) > 0,
			Local: selectorWords(mine), Remote: selectorWords(tsr.Selectors)})
		okL := s.check(event.Check{Kind: event.CheckSelector, RFC: "RFC 7296 2.9", What: "TSi against child " + o.Name, OK: len(r) > 0,
			Local: selectorWords(theirs), Remote: selectorWords(tsi.Selectors)})
		if !okL || !okR {
			continue
		}
		// One that is fit for the mode goes before one that is not.
		if cfg == nil || cfg.Transport != wantsTransport && o.Transport == wantsTransport {
			cfg, local, remote = o, l, r
		}
	}
	return cfg, local, remote
}

// acceptChild decides about a child that the peer asks for. It gives the child
// with its keys, not yet installed, and the payloads of the answer; or a
// refusal.
func (s *SA) acceptChild(m *message, q childRequest) (c *child, ps, refusal []wire.Payload) {
	sa, tsi, tsr := find[*wire.SA](m, wire.PayloadSA), find[*wire.TS](m, wire.PayloadTSi), find[*wire.TS](m, wire.PayloadTSr)
	refuse := func(t wire.NotifyType, data []byte, f *Failure) (*child, []wire.Payload, []wire.Payload) {
		f.Notify, f.Survived = t, true
		s.fail(f)
		return nil, nil, notify(t, data)
	}
	if sa == nil || tsi == nil || tsr == nil {
		return refuse(wire.NotifyInvalidSyntax, nil, s.malformed(0, "RFC 7296 1.3", "request for a child", "SA, TSi and TSr", m.payloads, "SA, TSi or TSr is missing"))
	}
	if len(s.children) >= s.set.MaxChildren {
		return refuse(wire.NotifyNoAdditionalSAs, nil, s.refused(0, event.Check{Kind: event.CheckLimit, RFC: "RFC 7296 1.3", What: "CHILD SAs",
			Local: fmt.Sprintf("at most %d", s.set.MaxChildren), Remote: fmt.Sprintf("one more than %d", len(s.children))}, "too many CHILD SAs"))
	}
	wantsTransport := m.has(wire.NotifyUseTransportMode) != nil
	cfg, local, remote := s.selectChild(q.configs, tsi, tsr, wantsTransport)
	if cfg == nil {
		return refuse(wire.NotifyTSUnacceptable, nil, &Failure{Payload: wire.PayloadTSi, RFC: "RFC 7296 2.9", Text: "no child has the selectors " + pairWords(tsi, tsr)})
	}
	var sent wire.KEMethod
	ke := find[*wire.KE](m, wire.PayloadKE)
	if ke != nil {
		sent = ke.Group
	}
	chosen, ok := s.choose(wire.ProtocolESP, sa.Proposals, cfg.Proposals, q.withKE, sent)
	if !ok {
		return refuse(wire.NotifyNoProposalChosen, nil, unfit("no proposal of child "+cfg.Name, wire.ProtocolESP, sa.Proposals, cfg.Proposals, q.withKE))
	}
	if len(chosen.SPI) != 4 {
		return refuse(wire.NotifyInvalidSyntax, nil, s.badSPI(chosen, "4 octets"))
	}
	c = &child{cfg: cfg, out: wire.ESPSPI(binary.BigEndian.Uint32(chosen.SPI)), proposal: *chosen, local: local, remote: remote, replaces: q.old}
	c.proposal.Transforms = slices.Clone(chosen.Transforms)
	var shared suite.Secret
	var public []byte
	if want := group(chosen); want != 0 && q.withKE {
		if ke == nil || ke.Group != want {
			return refuse(wire.NotifyInvalidKEPayload, []byte{uint8(want >> 8), uint8(want)}, s.otherGroupWanted("RFC 7296 1.3", want, sent))
		}
		var err error
		if public, shared, err = suite.Respond(want, ke.Data); err != nil {
			return refuse(wire.NotifyInvalidSyntax, nil, s.badValue(ke, err))
		}
	}
	if f := c.derive(s, shared, q.ni, q.nr); f != nil {
		return refuse(wire.NotifyNoProposalChosen, nil, f)
	}
	c.in = s.own.espSPI()
	// The mode is the peer's to ask for and ours to grant.
	c.transport = s.check(event.Check{Kind: event.CheckMode, RFC: "RFC 7296 1.3.1", What: "mode of child " + cfg.Name,
		OK: wantsTransport == cfg.Transport, Local: modeWord(cfg.Transport), Remote: modeWord(wantsTransport)}) && cfg.Transport
	var nonce []byte
	if q.withKE {
		nonce = q.nr
	}
	return c, c.payloads(chosen, nonce, public), nil
}

// payloads gives those of the answer about a child that the peer asked for;
// nonce and public are nil where the exchange has no nonces and no key exchange.
func (c *child) payloads(chosen *wire.Proposal, nonce, public []byte) []wire.Payload {
	kept := *chosen
	kept.SPI = spiOctets(c.in)
	var ps []wire.Payload
	if c.transport {
		ps = append(ps, payload(wire.PayloadNotify, &wire.Notify{Type: wire.NotifyUseTransportMode}))
	}
	ps = append(ps, payload(wire.PayloadSA, &wire.SA{Proposals: []wire.Proposal{kept}}))
	if nonce != nil {
		ps = append(ps, payload(wire.PayloadNonce, &wire.Nonce{Data: nonce}))
	}
	if public != nil {
		ps = append(ps, payload(wire.PayloadKE, &wire.KE{Group: group(chosen), Data: public}))
	}
	return append(ps, payload(wire.PayloadTSi, &wire.TS{Selectors: c.remote}), payload(wire.PayloadTSr, &wire.TS{Selectors: c.local}))
}

// answerCreate answers CREATE_CHILD_SA: a new child, a child's replacement, or
// the IKE SA's.
func (s *SA) answerCreate(m *message) []wire.Payload {
	sa, nonce := find[*wire.SA](m, wire.PayloadSA), find[*wire.Nonce](m, wire.PayloadNonce)
	if sa == nil || nonce == nil || len(sa.Proposals) == 0 {
		f := s.malformed(0, "RFC 7296 1.3", "CREATE_CHILD_SA request", "an SA with a proposal, and a Nonce", m.payloads, "SA or Nonce is missing")
		f.Notify, f.Survived = wire.NotifyInvalidSyntax, true
		s.fail(f)
		return notify(wire.NotifyInvalidSyntax, nil)
	}
	if sa.Proposals[0].Protocol == wire.ProtocolIKE {
		return s.answerIKERekey(m, sa, bytes.Clone(nonce.Data))
	}
	switch {
	case s.state == engine.IKEDeleting || s.asking(func(t task) bool { _, ok := t.(*deleteIKETask); return ok }),
		s.state == engine.IKERekeyed || s.state == engine.IKECreated, // or it may be the loser of a collision
		s.state == engine.IKERekeying || s.asking(func(t task) bool { _, ok := t.(*rekeyIKETask); return ok }):
		if e := s.rekey.elder; e != nil && e.rekey.peer != nil && e.rekey.peer.spare == s {
			s.spareStays() // who asks on it takes it for the one that stands
		}
		return s.temporary("RFC 7296 2.25.2", childAsked(m), s.pending())
	}
	if n := m.has(wire.NotifyRekeySA); n != nil {
		return s.answerChildRekey(m, n, bytes.Clone(nonce.Data))
	}
	nr := s.set.Source.Nonce()
	c, ps, refusal := s.acceptChild(m, childRequest{ni: bytes.Clone(nonce.Data), nr: nr, configs: s.conn.Children, withKE: true})
	if refusal != nil {
		return refusal
	}
	s.addInstalled(c, true)
	return ps
}
