package ike

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

const rfcAuth = "RFC 7296 2.15"

// authTask is IKE_AUTH as initiator (RFC 7296 1.2): the proof of both sides,
// and the first child.
type authTask struct {
	authorities [][]byte
	child       *childOffer
	method      wire.AuthMethod // of our own proof
}

func (t *authTask) name() string  { return "IKE_AUTH" }
func (t *authTask) abandon(s *SA) { t.child.drop(s) }

// words says what was asked for.
func (t *authTask) words(s *SA) string {
	text := "IDi " + s.localID.String()
	if want := s.conn.wantedID(); want.Type != 0 {
		text += ", IDr " + want.String()
	}
	if s.conn.AskEAP {
		text += ", no proof, which asks for EAP"
	} else {
		text += ", proof by " + t.method.String()
	}
	if t.child != nil {
		text += ", " + t.child.words()
	}
	return text
}

// requested notes the peer's CERTREQ payloads.
func (t *authTask) requested(m *message) { t.authorities = requested(m) }

// requested gives the authorities of the peer's CERTREQ payloads.
func requested(m *message) [][]byte {
	var out [][]byte
	for i := range m.payloads {
		c, ok := m.payloads[i].Body.(*wire.CertReq)
		if !ok || c.Encoding != wire.CertX509Signature {
			continue
		}
		for b := c.Authority; len(b) >= 20 && len(out) < 256; b = b[20:] {
			out = append(out, bytes.Clone(b[:20]))
		}
	}
	return out
}

// wantedID is the IDr to ask for: the peer's, where only one is wanted.
func (c *Connection) wantedID() wire.ID {
	id, _ := c.RemoteID.ID()
	return id
}

func (t *authTask) build(s *SA) (wire.ExchangeType, []wire.Payload, bool) {
	s.localID = s.conn.LocalID
	want := s.conn.wantedID()
	proof := &auth.Proof{}
	if !s.conn.AskEAP {
		signed := s.prf.SignedOctets(s.initRequest, s.nr, s.keys.PI, wire.AppendBody(nil, &s.localID))
		var err error
		if proof, err = s.conn.Credentials.Prove(&auth.Statement{Prover: s.localID, Verifier: want, PRF: s.prf, Signed: signed,
			Hashes: s.peerHashes, Requested: t.authorities}); err != nil {
			s.credentialTrouble(err)
			s.end(engine.IKEFailed, err.Error(), false)
			return 0, nil, false
		}
	}
	t.method = proof.Auth.Method
	ps := []wire.Payload{payload(wire.PayloadIDi, &s.localID)}
	for i := range proof.Certs {
		ps = append(ps, payload(wire.PayloadCert, &proof.Certs[i]))
	}
	if !s.conn.OmitInitialContact && s.conn.Unique != UniqueNever && len(s.own.siblings(s)) == 0 {
		ps = append(ps, payload(wire.PayloadNotify, &wire.Notify{Type: wire.NotifyInitialContact}))
	}
	ps = append(ps, authorities([]*Connection{s.conn})...)
	if want.Type != 0 {
		ps = append(ps, payload(wire.PayloadIDr, &want))
	}
	if !s.conn.AskEAP {
		ps = append(ps, payload(wire.PayloadAuth, &proof.Auth))
	}
	if s.set.Window > 1 {
		ps = append(ps, s.windowNotify())
	}
	if cfg := s.conn.firstChild(); cfg != nil && (!s.conn.Childless || !s.peerChildless) {
		t.child = s.offerChild(cfg, false)
		ps = append(ps, t.child.payloads(s)...)
	}
	return wire.ExchangeIKEAuth, ps, true
}

// windowNotify tells the peer how many requests it may have outstanding (RFC
// 7296 2.3).
func (s *SA) windowNotify() wire.Payload {
	n := uint32(s.set.Window)
	return payload(wire.PayloadNotify, &wire.Notify{Type: wire.NotifySetWindowSize, Data: []byte{uint8(n >> 24), uint8(n >> 16), uint8(n >> 8), uint8(n)}})
}

// firstChild is the child that goes with IKE_AUTH, nil for none.
func (c *Connection) firstChild() *ChildConfig {
	for _, ch := range c.Children {
		if !ch.Wait {
			return ch
		}
	}
	return nil
}

// credentialTrouble reports what our own credentials cannot do.
func (s *SA) credentialTrouble(err error) {
	f := &Failure{Payload: wire.PayloadAuth, RFC: rfcAuth, Text: err.Error()}
	var e *auth.Error
	if errors.As(err, &e) {
		f.Text, f.RFC = e.What, e.RFC
		s.check(event.Check{Kind: e.Kind, What: "our own proof", Local: e.What, Remote: s.announced(), RFC: e.RFC})
	}
	s.fail(f)
}

// announced says what a proof of ours has to suit: what the peer has told of
// itself, or is wanted to be.
func (s *SA) announced() string {
	hashes := make([]string, 0, len(s.peerHashes))
	for _, h := range s.peerHashes {
		hashes = append(hashes, h.String())
	}
	if len(hashes) == 0 {
		return "no signature hashes announced"
	}
	return "signature hashes " + strings.Join(hashes, ", ")
}

// verify checks the peer's proof.
func (s *SA) verify(c *Connection, m *message, peer, own wire.ID, signed []byte) *auth.Verdict {
	p := &auth.Proof{Auth: *find[*wire.Auth](m, wire.PayloadAuth)}
	for i := range m.payloads {
		if cert, ok := m.payloads[i].Body.(*wire.Cert); ok && len(p.Certs) < 32 {
			p.Certs = append(p.Certs, *cert)
		}
	}
	v := c.Credentials.Verify(&auth.Statement{Prover: peer, Verifier: own, PRF: s.prf, Signed: signed, Hashes: c.Credentials.Hashes()}, p, s.now)
	for _, check := range v.Checks {
		s.check(check)
	}
	return v
}

// answer takes the responder's proof and its view of the first child.
func (t *authTask) answer(s *SA, m *message) {
	idr, proof := find[*wire.ID](m, wire.PayloadIDr), find[*wire.Auth](m, wire.PayloadAuth)
	if e := find[*wire.EAP](m, wire.PayloadEAP); e != nil && s.conn.AskEAP {
		t.child.drop(s)
		f := &Failure{Payload: wire.PayloadEAP, Notify: wire.NotifyAuthenticationFailed, RFC: "RFC 7296 2.16",
			Text: fmt.Sprintf("the responder begins EAP by %s, which is not known here", e.Type)}
		s.fail(f)
		s.closeIKE(f.Text, f.Notify)
		return
	}
	if proof == nil || idr == nil {
		t.child.drop(s)
		n := m.refusal()
		if n == nil {
			f := s.malformed(0, "RFC 7296 1.2", "IKE_AUTH response", "IDr and AUTH, or an error", m.payloads,
				"no IDr and AUTH, and no error either: "+payloadNames(m.payloads))
			s.fail(f)
			s.end(engine.IKEFailed, f.Text, false)
			return
		}
		s.answeredBy(n.Type, "IKE_AUTH", t.words(s))
		s.recover(n.Type, "IKE_AUTH")
		s.fail(&Failure{Payload: wire.PayloadNotify, Notify: n.Type, RFC: "RFC 7296 2.21.2", Peer: true, Text: "the responder refuses IKE_AUTH"})
		s.end(engine.IKEFailed, fmt.Sprintf("the responder refuses IKE_AUTH: %s", n.Type), false)
		return
	}
	s.remoteID = wire.ID{Type: idr.Type, Data: bytes.Clone(idr.Data)}
	reject := func(f *Failure) {
		t.child.drop(s)
		f.Notify = wire.NotifyAuthenticationFailed
		s.fail(f)
		s.closeIKE(f.Text, wire.NotifyAuthenticationFailed)
	}
	want, got := s.conn.RemoteID.Words(idr)
	if !s.check(event.Check{Kind: event.CheckIdentity, RFC: "RFC 7296 3.5", What: "IDr", Local: want, Remote: got, OK: s.conn.RemoteID.Match(&s.remoteID)}) {
		reject(&Failure{Payload: wire.PayloadIDr, RFC: "RFC 7296 3.5",
			Text: fmt.Sprintf("the responder is %s, wanted is %s", idr.String(), s.conn.RemoteID.String())})
		return
	}
	signed := s.prf.SignedOctets(s.initResponse, s.ni, s.keys.PR, wire.AppendBody(nil, idr))
	if v := s.verify(s.conn, m, s.remoteID, s.localID, signed); v.Err != nil {
		reject(&Failure{Payload: wire.PayloadAuth, RFC: v.Err.RFC, Text: v.Err.What})
		return
	}
	s.peerWindow(m)
	s.up()
	if t.child != nil {
		if c := s.takeChild(t.child, m, s.ni, s.nr, nil); c != nil {
			s.addInstalled(c, true)
		}
	}
	for _, ch := range s.conn.Children {
		if !ch.Wait && (t.child == nil || ch != t.child.cfg) {
			s.addChild(ch.Name)
		}
	}
}

// peerWindow notes how many requests the peer takes at once.
func (s *SA) peerWindow(m *message) {
	if n := m.has(wire.NotifySetWindowSize); n != nil {
		if size, ok := n.WindowSize(); ok && size > 0 {
			s.out.size = int(min(size, 64, uint32(max(s.set.Window, 1))))
		}
	}
}

// answerAuth answers IKE_AUTH as responder.
func (s *SA) answerAuth(m *message) []wire.Payload {
	f := s.admit(m)
	var ps []wire.Payload
	if f == nil {
		ps, f = s.proof(m)
	}
	if f != nil {
		f.Notify = wire.NotifyAuthenticationFailed
		s.fail(f)
		s.over, s.why = true, f.Text
		return notify(wire.NotifyAuthenticationFailed, nil)
	}
	s.peerWindow(m)
	s.up()
	if find[*wire.SA](m, wire.PayloadSA) == nil {
		return ps // RFC 6023
	}
	c, more, refusal := s.acceptChild(m, childRequest{ni: s.ni, nr: s.nr, configs: s.conn.Children})
	if refusal != nil {
		return append(ps, refusal...)
	}
	s.addInstalled(c, true)
	return append(ps, more...)
}

// admit finds the initiator's connection and checks its proof, and whether one
// more IKE SA with it may stand. It gives why not.
func (s *SA) admit(m *message) *Failure {
	idi, proof := find[*wire.ID](m, wire.PayloadIDi), find[*wire.Auth](m, wire.PayloadAuth)
	if idi == nil {
		return s.malformed(wire.PayloadIDi, rfcAuth, "IKE_AUTH request", "IDi", m.payloads, "no IDi")
	}
	s.remoteID = wire.ID{Type: idi.Type, Data: bytes.Clone(idi.Data)}
	conn := s.identify(m, &s.remoteID)
	if conn == nil {
		s.explain(m, idi, proof)
		return &Failure{Payload: wire.PayloadIDi, RFC: "RFC 7296 3.5", Text: fmt.Sprintf("no connection for %s", s.remoteID.String())}
	}
	s.localID = conn.LocalID
	if proof == nil {
		return s.refused(wire.PayloadAuth, event.Check{Kind: event.CheckMethod, RFC: "RFC 7296 2.16", What: "authentication method of " + s.remoteID.String(),
			Local: "a proof in AUTH", Remote: "EAP", Why: "the initiator left AUTH out"}, "the initiator asks for EAP, which this connection does not have")
	}
	signed := s.prf.SignedOctets(s.initRequest, s.nr, s.keys.PI, wire.AppendBody(nil, idi))
	if v := s.verify(conn, m, s.remoteID, s.localID, signed); v.Err != nil {
		if s.set.Explain {
			s.compareChild(m, conn)
		}
		return &Failure{Payload: wire.PayloadAuth, RFC: v.Err.RFC, Text: v.Err.What}
	}
	s.conn = conn
	if !s.unique(m) {
		return &Failure{RFC: "RFC 7296 2.4", Text: fmt.Sprintf("an IKE SA with %s stands already, and is kept", s.remoteID.String())}
	}
	return nil
}

// proof makes IDr, CERT and AUTH, by which the responder proves itself.
func (s *SA) proof(m *message) ([]wire.Payload, *Failure) {
	signed := s.prf.SignedOctets(s.initResponse, s.ni, s.keys.PR, wire.AppendBody(nil, &s.localID))
	own, err := s.conn.Credentials.Prove(&auth.Statement{Prover: s.localID, Verifier: s.remoteID, PRF: s.prf, Signed: signed,
		Hashes: s.peerHashes, Requested: requested(m)})
	if err != nil {
		s.credentialTrouble(err)
		return nil, &Failure{Payload: wire.PayloadAuth, RFC: rfcAuth, Text: err.Error()}
	}
	ps := []wire.Payload{payload(wire.PayloadIDr, &s.localID)}
	for i := range own.Certs {
		ps = append(ps, payload(wire.PayloadCert, &own.Certs[i]))
	}
	ps = append(ps, payload(wire.PayloadAuth, &own.Auth))
	if s.set.Window > 1 {
		ps = append(ps, s.windowNotify())
	}
	return ps, nil
}

// identify finds the connection for the identities of an IKE_AUTH request. What
// others want that stand before it is told only where none fits: it is no fault
// then that these do not.
func (s *SA) identify(m *message, idi *wire.ID) *Connection {
	idr := find[*wire.ID](m, wire.PayloadIDr)
	var all []event.Check
	compare := func(c *Connection, what string, p auth.Pattern, id *wire.ID) bool {
		want, got := p.Words(id)
		all = append(all, event.Check{Kind: event.CheckIdentity, RFC: "RFC 7296 3.5", What: what + " for connection " + c.Name,
			Local: want, Remote: got, OK: p.Match(id)})
		return all[len(all)-1].OK
	}
	var found *Connection
	for _, c := range s.choices {
		before := len(all)
		fits := compare(c, "IDi", c.RemoteID, idi)
		if idr != nil {
			fits = compare(c, "IDr", auth.Exactly(c.LocalID), idr) && fits
		}
		if fits {
			all, found = all[before:], c
			break
		}
	}
	for _, c := range all {
		s.check(c)
	}
	return found
}

// unique does with other SAs of the same peer what is configured; it says
// whether the new one may stand.
func (s *SA) unique(m *message) bool {
	first := m.has(wire.NotifyInitialContact) != nil
	if s.conn.Unique == UniqueNever || s.conn.Unique == UniqueNo && !first {
		return true
	}
	others := s.own.siblings(s)
	if len(others) == 0 {
		return true
	}
	if !first && s.conn.Unique == UniqueKeep {
		return s.check(event.Check{Kind: event.CheckUnique, RFC: "RFC 7296 2.4", What: "IKE SAs with " + s.remoteID.String(),
			Local: fmt.Sprintf("%d stand and are kept", len(others)), Remote: "a new one"})
	}
	for _, o := range others {
		if first {
			o.endSoon("the peer has no other IKE SA, it says (INITIAL_CONTACT)")
		} else {
			o.deleteSoon("replaced by a new IKE SA of the same peer")
		}
		s.res.Related = append(s.res.Related, o)
	}
	return true
}
