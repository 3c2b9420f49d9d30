package ike

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// initTask is IKE_SA_INIT as initiator (RFC 7296 1.2).
type initTask struct {
	group   wire.KEMethod
	ke      suite.KeyExchange
	cookie  []byte
	offered *wire.SA
	tries   int // of cookies and other groups
}

// maxInitTries bounds how often a peer can have IKE_SA_INIT sent anew.
const maxInitTries = 4

func (t *initTask) name() string    { return "IKE_SA_INIT" }
func (t *initTask) abandon(s *SA)   {}
func (t *initTask) again(s *SA)     { s.out.next = 0; s.push(t) }
func (t *initTask) exhausted() bool { return t.tries >= maxInitTries }

func (t *initTask) build(s *SA) (wire.ExchangeType, []wire.Payload, bool) {
	if t.ke == nil {
		var err error
		if t.ke, err = s.own.spareKeys().Take(t.group); err != nil {
			s.fail(&Failure{Payload: wire.PayloadKE, Text: err.Error()})
			s.end(engine.IKEFailed, err.Error(), false)
			return 0, nil, false
		}
	}
	if s.ni == nil {
		s.ni = s.set.Source.Nonce()
	}
	t.offered = offer(wire.ProtocolIKE, nil, s.conn.Proposals, true)
	var ps []wire.Payload
	if t.cookie != nil {
		ps = append(ps, payload(wire.PayloadNotify, &wire.Notify{Type: wire.NotifyCookie, Data: t.cookie}))
	}
	ps = append(ps, payload(wire.PayloadSA, t.offered),
		payload(wire.PayloadKE, &wire.KE{Group: t.group, Data: t.ke.Public()}),
		payload(wire.PayloadNonce, &wire.Nonce{Data: s.ni}))
	ps = append(ps, s.natPayloads(s.spiI, 0, s.path, s.conn.ForceEncap)...)
	return wire.ExchangeIKESAInit, append(ps, s.initOptions(s.conn, nil)...), true
}

// initOptions gives the notifies of IKE_SA_INIT that say what this side can do.
// To a request only what it offers is answered.
func (s *SA) initOptions(c *Connection, request *message) []wire.Payload {
	var ps []wire.Payload
	if !c.NoFragmentation && (request == nil || request.has(wire.NotifyFragmentationSupported) != nil) {
		ps = append(ps, payload(wire.PayloadNotify, &wire.Notify{Type: wire.NotifyFragmentationSupported}))
	}
	if hashes := c.Credentials.Hashes(); len(hashes) > 0 && (request == nil || request.has(wire.NotifySignatureHashAlgorithms) != nil) {
		var data []byte
		for _, h := range hashes {
			data = append(data, uint8(h>>8), uint8(h))
		}
		ps = append(ps, payload(wire.PayloadNotify, &wire.Notify{Type: wire.NotifySignatureHashAlgorithms, Data: data}))
	}
	if request != nil {
		ps = append(ps, payload(wire.PayloadNotify, &wire.Notify{Type: wire.NotifyChildlessIKEv2Supported}))
	}
	return ps
}

// peerOptions notes what the peer says that it can do.
func (s *SA) peerOptions(m *message, noFragments bool) {
	s.peerFragments = !noFragments && m.has(wire.NotifyFragmentationSupported) != nil
	if n := m.has(wire.NotifySignatureHashAlgorithms); n != nil {
		if hs, ok := n.HashAlgorithms(); ok {
			s.peerHashes = slices.Clone(hs)
		}
	}
	s.peerChildless = m.has(wire.NotifyChildlessIKEv2Supported) != nil
}

// initMessage takes a message of IKE_SA_INIT, which nothing protects.
func (s *SA) initMessage(m *message, parsed *wire.Message, problem *wire.Problem) {
	if !m.response {
		if s.initiator || s.state != engine.IKECreated && s.state != engine.IKEConnecting || m.id != 0 {
			return
		}
		if s.repeat(0, m.raw, m.path) || s.in.answered(0) != nil {
			return
		}
		s.initRequested(m, parsed, problem)
		return
	}
	if !s.initiator || s.keys != nil || m.id != 0 || !s.expectsAnswer(0) {
		s.check(event.Check{Kind: event.CheckMessage, RFC: "RFC 7296 2.1", What: "message id of an answer to IKE_SA_INIT",
			Local: s.requestIDs(), Remote: fmt.Sprint(m.id), Why: "late, or repeated"})
		return
	}
	var form *wire.Form
	if problem == nil {
		var wrong []wire.Problem
		form, wrong = wire.Match(parsed, nil)
		problem = wire.FirstFatal(wrong)
	}
	if problem != nil { // a forgery, perhaps: the true answer may still come
		f := s.malformed(problem.Payload, problem.RFC, "IKE_SA_INIT response", formWords(form), m.payloads, problem.What)
		f.Survived = true
		s.fail(f)
		return
	}
	s.response(m)
}

// answer takes the responder's choice, or what it wants instead.
func (t *initTask) answer(s *SA, m *message) {
	f, again := t.wanted(s, m)
	if f == nil && !again {
		f = t.accepted(s, m)
	}
	switch {
	case again:
		t.again(s)
	case f != nil:
		s.fail(f)
		why := f.Text
		if f.Peer && f.Notify != 0 {
			why += ": " + f.Notify.String()
		}
		s.end(engine.IKEFailed, why, false)
	}
}

// wanted reads what the responder wants instead of the request: a cookie,
// another group, or nothing at all. again says that it is to be asked so.
func (t *initTask) wanted(s *SA, m *message) (f *Failure, again bool) {
	if n := m.has(wire.NotifyCookie); n != nil && m.has(wire.NotifyInvalidKEPayload) == nil && find[*wire.KE](m, wire.PayloadKE) == nil {
		return t.cookieWanted(s, n)
	}
	if n := m.has(wire.NotifyInvalidKEPayload); n != nil {
		return t.groupWanted(s, n)
	}
	if n := m.refusal(); n != nil {
		s.answeredBy(n.Type, "IKE_SA_INIT", fmt.Sprintf("%s; KE %s", proposalWords(t.offered.Proposals), t.group))
		s.recover(n.Type, "IKE_SA_INIT")
		return &Failure{Payload: wire.PayloadNotify, Notify: n.Type, RFC: "RFC 7296 2.21.1", Peer: true, Text: "the responder refuses IKE_SA_INIT"}, false
	}
	return nil, false
}

// cookieWanted takes the cookie to come back with (RFC 7296 2.6).
func (t *initTask) cookieWanted(s *SA, n *wire.Notify) (f *Failure, again bool) {
	if t.exhausted() || len(n.Data) == 0 || len(n.Data) > 64 {
		f = s.refused(wire.PayloadNotify, event.Check{Kind: event.CheckCookie, RFC: "RFC 7296 2.6", What: "cookie that the responder demands",
			Local: fmt.Sprintf("1 to 64 octets, in at most %d attempts", maxInitTries), Remote: fmt.Sprintf("%d octets after %d attempts", len(n.Data), t.tries)},
			fmt.Sprintf("a cookie of %d octets for the %s time", len(n.Data), ordinal(t.tries+1)))
		f.Notify, f.Peer = n.Type, true
		return f, false
	}
	t.tries++
	t.cookie = bytes.Clone(n.Data)
	s.note("cookie", "", "the responder demands a cookie")
	return nil, true
}

// groupWanted takes the group to come back with (RFC 7296 1.2).
func (t *initTask) groupWanted(s *SA, n *wire.Notify) (f *Failure, again bool) {
	want, ok := n.AcceptedGroup()
	have := groups(s.conn.Proposals)
	fits := ok && slices.Contains(have, want) && want != t.group && !t.exhausted()
	if !s.check(event.Check{Kind: event.CheckKE, RFC: "RFC 7296 1.2", What: "group that the responder wants", OK: fits,
		Local: fmt.Sprint(have), Remote: want.String()}) {
		return &Failure{Payload: wire.PayloadKE, Notify: n.Type, RFC: "RFC 7296 1.2", Peer: true,
			Text: fmt.Sprintf("the responder wants group %s; %s was sent, possible are %v", want, t.group, have)}, false
	}
	t.tries++
	t.group, t.ke = want, nil
	return nil, true
}

// accepted takes the responder's choice and begins IKE_AUTH.
func (t *initTask) accepted(s *SA, m *message) *Failure {
	sa, ke, nonce := find[*wire.SA](m, wire.PayloadSA), find[*wire.KE](m, wire.PayloadKE), find[*wire.Nonce](m, wire.PayloadNonce)
	h, err := wire.ParseHeader(m.raw)
	if err != nil || h.ResponderSPI == 0 {
		return s.malformed(0, "RFC 7296 3.1", "SPI of the responder", "one that is not 0", m.payloads, "the responder chose SPI 0")
	}
	if sa == nil || ke == nil || nonce == nil {
		return s.malformed(0, "RFC 7296 1.2", "IKE_SA_INIT response", "SA, KE and Nonce, or an error", m.payloads, "SA, KE or Nonce is missing")
	}
	chosen, f := s.chosen(t.offered, sa)
	if f != nil {
		return f
	}
	if f := s.sameGroup("RFC 7296 3.4", t.group, ke, group(chosen)); f != nil {
		return f
	}
	shared, err := t.ke.Shared(ke.Data)
	if err != nil {
		return s.badValue(ke, err)
	}
	s.spiR = h.ResponderSPI
	s.nr = bytes.Clone(nonce.Data)
	s.initResponse = bytes.Clone(m.raw)
	s.peerOptions(m, s.conn.NoFragmentation)
	if err := s.derive(chosen, shared); err != nil {
		return s.noKeys(chosen, "RFC 7296 2.14", err)
	}
	if s.detectNAT(s.spiI, s.spiR, m) || s.conn.ForceEncap {
		s.float()
	}
	auth := &authTask{}
	auth.requested(m)
	s.push(auth)
	return nil
}

// derive makes the keys of a new IKE SA.
func (s *SA) derive(chosen *wire.Proposal, shared suite.Secret) error {
	prf, err := suite.NewPRF(ikeTransforms(chosen).PRFID)
	if err != nil {
		return err
	}
	return s.install(chosen, prf, prf.SKEYSEED(s.ni, s.nr, shared))
}

// install makes keys and ciphers from SKEYSEED.
func (s *SA) install(chosen *wire.Proposal, prf suite.PRF, seed suite.Secret) error {
	ts := ikeTransforms(chosen)
	keys, err := suite.DeriveIKE(ts, seed, s.ni, s.nr, s.spiI, s.spiR)
	seed.Wipe()
	if err != nil {
		return err
	}
	i, r, err := keys.Ciphers(ts)
	if err != nil {
		return err
	}
	s.keys, s.prf, s.proposal = keys, prf, *chosen
	s.seal, s.open = i, r
	if !s.initiator {
		s.seal, s.open = r, i
	}
	return nil
}

// initRequested answers IKE_SA_INIT as responder.
func (s *SA) initRequested(m *message, parsed *wire.Message, problem *wire.Problem) {
	data, f := s.initAccepted(m, parsed, problem)
	if f == nil {
		return
	}
	s.fail(f)
	if octets, err := s.protect(wire.ExchangeIKESAInit, 0, true, notify(f.Notify, data)); err == nil {
		s.transmit(m.path, octets...)
	}
	s.end(engine.IKEFailed, f.Text, false)
}

// initAccepted makes the keys and sends the answer to IKE_SA_INIT; or gives the
// failure that the initiator is told, and the data of its notify.
func (s *SA) initAccepted(m *message, parsed *wire.Message, problem *wire.Problem) ([]byte, *Failure) {
	refuse := func(t wire.NotifyType, data []byte, f *Failure) ([]byte, *Failure) {
		f.Notify = t
		return data, f
	}
	var form *wire.Form
	if problem == nil {
		var wrong []wire.Problem
		form, wrong = wire.Match(parsed, nil)
		problem = wire.FirstFatal(wrong)
	}
	if problem != nil {
		var data []byte
		n := problem.Notify
		switch n {
		case wire.NotifyUnsupportedCriticalPayload:
			data = []byte{uint8(problem.Payload)}
		case 0:
			n = wire.NotifyInvalidSyntax
		}
		return refuse(n, data, s.malformed(problem.Payload, problem.RFC, "IKE_SA_INIT request", formWords(form), m.payloads, problem.What))
	}
	sa, ke, nonce := find[*wire.SA](m, wire.PayloadSA), find[*wire.KE](m, wire.PayloadKE), find[*wire.Nonce](m, wire.PayloadNonce)
	if sa == nil || ke == nil || nonce == nil {
		return refuse(wire.NotifyInvalidSyntax, nil, s.malformed(0, "RFC 7296 1.2", "IKE_SA_INIT request", "SA, KE and Nonce", m.payloads, "SA, KE or Nonce is missing"))
	}
	chosen, conns := s.chooseConnection(sa.Proposals, ke.Group)
	if chosen == nil {
		return refuse(wire.NotifyNoProposalChosen, nil, unfit("no proposal", wire.ProtocolIKE, sa.Proposals, s.proposals(), true))
	}
	if want := group(chosen); want != ke.Group {
		return refuse(wire.NotifyInvalidKEPayload, []byte{uint8(want >> 8), uint8(want)}, s.otherGroupWanted("RFC 7296 1.2", want, ke.Group))
	}
	public, shared, err := suite.RespondFirst(s.own.spareKeys(), ke.Group, ke.Data)
	if err != nil {
		return refuse(wire.NotifyInvalidSyntax, nil, s.badValue(ke, err))
	}
	s.choices = conns
	s.ni, s.nr = bytes.Clone(nonce.Data), s.set.Source.Nonce()
	s.initRequest = bytes.Clone(m.raw)
	s.peerOptions(m, conns[0].NoFragmentation)
	kept := *chosen
	kept.SPI = nil
	octets, err := s.protect(wire.ExchangeIKESAInit, 0, true, s.initAnswer(m, &kept, &wire.KE{Group: ke.Group, Data: public}))
	if err == nil {
		err = ikeTransforms(&kept).Possible()
	}
	if err != nil {
		return refuse(wire.NotifyNoProposalChosen, nil, s.noKeys(&kept, "RFC 7296 2.14", err))
	}
	// The keys are made when the peer has its answer, see Endpoint.Prepare; while
	// it makes its own.
	s.proposal = kept
	s.putOff = func() error {
		secret, err := shared()
		if err != nil {
			return err
		}
		return s.derive(&kept, secret)
	}
	s.initResponse = octets[0]
	s.state = engine.IKEConnecting
	s.start(TimerHalfOpen, s.set.HalfOpen)
	s.in.keep(answer{id: 0, digest: sha256.Sum256(m.raw), wire: octets}, s.set.Window)
	s.transmit(m.path, octets...)
	return nil, nil
}

// initAnswer gives the payloads of the answer to IKE_SA_INIT.
func (s *SA) initAnswer(m *message, chosen *wire.Proposal, ke *wire.KE) []wire.Payload {
	nat := s.detectNAT(s.spiI, 0, m)
	ps := []wire.Payload{payload(wire.PayloadSA, &wire.SA{Proposals: []wire.Proposal{*chosen}}),
		payload(wire.PayloadKE, ke), payload(wire.PayloadNonce, &wire.Nonce{Data: s.nr})}
	conn := s.choices[0]
	if nat {
		ps = append(ps, s.natPayloads(s.spiI, s.spiR, m.path, conn.ForceEncap)...)
	}
	ps = append(ps, authorities(s.choices)...)
	return append(ps, s.initOptions(conn, m)...)
}

// chooseConnection selects a proposal, and the connections that have it. What
// the initiator's KE fits goes first, to save a round trip.
func (s *SA) chooseConnection(received []wire.Proposal, sent wire.KEMethod) (*wire.Proposal, []*Connection) {
	var best *wire.Proposal
	var conns []*Connection
	for _, c := range s.choices {
		p, ok := s.choose(wire.ProtocolIKE, received, c.Proposals, true, sent)
		if !ok {
			continue
		}
		switch {
		case best == nil, group(best) != sent && group(p) == sent:
			best, conns = p, []*Connection{c}
		case sameTransforms(best.Transforms, p.Transforms):
			conns = append(conns, c)
		}
	}
	return best, conns
}

// proposals gives those of all connections that may be meant.
func (s *SA) proposals() [][]wire.Transform {
	var all [][]wire.Transform
	for _, c := range s.choices {
		all = append(all, c.Proposals...)
	}
	return all
}

// authorities gives the CERTREQ payloads for connections that trust
// authorities (RFC 7296 3.7).
func authorities(conns []*Connection) []wire.Payload {
	var all []byte
	for _, c := range conns {
		for _, h := range c.Credentials.Authorities() {
			if len(all) < 20*64 {
				all = append(all, h...)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	return []wire.Payload{payload(wire.PayloadCertReq, &wire.CertReq{Encoding: wire.CertX509Signature, Authority: all})}
}

// up finishes authentication on either side.
func (s *SA) up() {
	s.state = engine.IKEEstablished
	s.authenticated = true
	s.established, s.heard = s.now, s.now
	s.stop(TimerHalfOpen)
	s.lifetime()
	s.hear()
	s.keepaliveTimer()
	s.initRequest, s.initResponse, s.choices = nil, nil, nil
	s.change(event.IKEUp, nil)
}

// lifetime starts the timers of the IKE SA's own replacement and end.
func (s *SA) lifetime() {
	rekey, expire := s.conn.Lifetime.draw(s.set.Source)
	if rekey > 0 {
		s.start(TimerRekey, rekey)
		s.start(TimerExpire, expire)
	}
}

// draw gives when to rekey and when to end, after the start; 0 for never.
func (l *Lifetime) draw(src Source) (rekey, expire time.Duration) {
	if l.Rekey <= 0 {
		return 0, 0
	}
	over := l.Over
	if over <= 0 {
		over = l.Rekey / 10
	}
	rekey = l.Rekey
	if l.Jitter > 0 {
		rekey -= min(time.Duration(src.Jitter(int64(l.Jitter)+1)), l.Rekey/2)
	}
	return rekey, l.Rekey + over
}
