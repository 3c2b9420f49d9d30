package enginetest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// bending changes the messages that the Peer sends, before they are proved and
// sealed. A nil one changes nothing.
type bending struct {
	header   func(*wire.Header)
	payloads func([]wire.Payload) []wire.Payload
	id       func(*wire.ID)
}

func (b *bending) clear(m *wire.Message) {
	if b.header != nil {
		b.header(&m.Header)
	}
	if b.payloads != nil {
		m.Payloads = b.payloads(m.Payloads)
	}
}

// octets seals a message of the Peer's, bent.
func (b *bending) octets(p *Peer, s *PeerSA, h wire.Header, ps ...wire.Payload) []byte {
	if b.header != nil {
		b.header(&h)
	}
	if b.payloads != nil {
		ps = b.payloads(ps)
	}
	return p.Octets(s, h, ps...)
}

// bothRoles runs a scenario with the Host as the responder and as the initiator.
func bothRoles(t *testing.T, f func(t *testing.T, initiator bool)) {
	t.Helper()
	t.Run("responder", func(t *testing.T) { f(t, false) })
	t.Run("initiator", func(t *testing.T) { f(t, true) })
}

// passes shows that a bending changes nothing: in IKE_SA_INIT, IKE_AUTH,
// CREATE_CHILD_SA and INFORMATIONAL, requests and answers.
func (b bending) passes(t *testing.T) {
	t.Helper()
	bothRoles(t, func(t *testing.T, initiator bool) {
		p := NewPeer(t, withoutPFS)
		if b.id != nil {
			b.id(&p.ID)
		}
		var s *PeerSA
		var m *wire.Message
		if initiator {
			s, m = p.InitResponse(p.Begin())
			b.clear(m)
			p.Responded(s, m)
			p.Send(b.octets(p, s, s.Header(wire.ExchangeIKEAuth, 1, true), p.AuthResponse(s)...))
		} else {
			s, m = p.InitRequest()
			b.clear(m)
			p.Initiated(s, m)
			p.Send(b.octets(p, s, s.Header(wire.ExchangeIKEAuth, 1, false), p.AuthRequest(s)...))
			s.Next++
			p.Take(s)
		}
		if p.SA(); len(p.Host.Plane.Children) != 1 {
			t.Fatalf("%d children after IKE_AUTH: %v", len(p.Host.Plane.Children), p.Host.Errs)
		}
		for _, x := range []wire.ExchangeType{wire.ExchangeCreateChildSA, wire.ExchangeInformational} {
			var ps []wire.Payload
			if x == wire.ExchangeCreateChildSA {
				ps = p.newChild(3)
			}
			p.Send(b.octets(p, s, s.Header(x, s.Next, false), ps...))
			s.Next++
			if h := p.Take(s); !h.Message.Response() || h.Error() != 0 {
				t.Errorf("%s is answered with %s", x, h.Error())
			}
		}
		if len(p.Host.Plane.Children) != 2 {
			t.Errorf("%d children after CREATE_CHILD_SA", len(p.Host.Plane.Children))
		}
		p.Host.Command(p.SA(), ike.Probe{})
		h := p.Take(s).Message
		p.Send(b.octets(p, s, s.Header(wire.ExchangeInformational, h.MessageID, true)))
		p.Run(30 * time.Second)
		p.Silent() // the answer was taken
		p.SA()
	})
}

// reserve sets every bit that RFC 7296 reserves in payloads.
func reserve(ps []wire.Payload) []wire.Payload {
	ps = bentPayloads(ps)
	all := [3]uint8{0xff, 0xff, 0xff}
	for i := range ps {
		switch b := ps[i].Body.(type) {
		case *wire.SA:
			sa := &wire.SA{Proposals: slices.Clone(b.Proposals)}
			for j := range sa.Proposals {
				sa.Proposals[j].Reserved = 0xff
				ts := slices.Clone(sa.Proposals[j].Transforms)
				for k := range ts {
					ts[k].Reserved1, ts[k].Reserved2 = 0xff, 0xff
				}
				sa.Proposals[j].Transforms = ts
			}
			ps[i].Body = sa
		case *wire.KE:
			c := *b
			c.Reserved = 0xffff
			ps[i].Body = &c
		case *wire.Auth:
			c := *b
			c.Reserved = all
			ps[i].Body = &c
		case *wire.TS:
			c := *b
			c.Reserved = all
			ps[i].Body = &c
		}
	}
	return ps
}

func critical(ps []wire.Payload) []wire.Payload {
	ps = slices.Clone(ps)
	for i := range ps {
		ps[i].Critical = true
	}
	return ps
}

func reversed(ps []wire.Payload) []wire.Payload {
	ps = slices.Clone(ps)
	slices.Reverse(ps)
	return ps
}

func with(more ...wire.Payload) func([]wire.Payload) []wire.Payload {
	return func(ps []wire.Payload) []wire.Payload { return append(slices.Clone(ps), more...) }
}

// TestBendingsThatMeanNothingPassInEveryMessage bends each message of the
// Peer's, in both roles, in the ways that a receiver has to overlook.
func TestBendingsThatMeanNothingPassInEveryMessage(t *testing.T) {
	for name, b := range map[string]bending{
		"add_notify": {payloads: with(Note(40959, 1, 2, 3))},
		"add_payload": {payloads: with(wire.Payload{Type: 99, Body: &wire.Unknown{Data: []byte{1}}},
			Body(wire.PayloadVendor, &wire.VendorID{Data: []byte("nobody")}))},
		"set_critical":    {payloads: critical},
		"set_reserved":    {payloads: reserve, header: func(h *wire.Header) { h.Flags |= 0xc7 }},
		"set_ike_version": {header: func(h *wire.Header) { h.Version = 0x2f; h.Flags |= wire.FlagVersion }},
		"unsort_message":  {payloads: reversed},
		// AUTH covers the identity with its reserved octets as they were sent.
		"rebuild_auth": {id: func(id *wire.ID) { id.Reserved = [3]uint8{1, 2, 3} }},
	} {
		t.Run(name, b.passes)
	}
}

// TestUnknownCriticalPayloadsInAnswersAreNotBelieved adds one to the answers of
// the Peer: RFC 7296 2.5 has no answer to an answer.
func TestUnknownCriticalPayloadsInAnswersAreNotBelieved(t *testing.T) {
	extra := wire.Payload{Type: 99, Critical: true, Body: &wire.Unknown{Data: []byte{1}}}
	p := NewPeer(t)
	_, m := p.InitResponse(p.Begin())
	m.Payloads = append(m.Payloads, extra)
	p.Send(m.Append(nil))
	p.Silent()
	p = NewPeer(t)
	s, m := p.InitResponse(p.Begin())
	h := p.Responded(s, m)
	p.Answer(s, h, append(p.AuthResponse(s), extra)...)
	if n := len(p.Host.Established()); n != 0 {
		t.Errorf("%d IKE SAs after such an answer to IKE_AUTH", n)
	}
}

// TestPretendedProofsAreRefusedByEitherSide has the Peer go on as if it had
// proved itself.
func TestPretendedProofsAreRefusedByEitherSide(t *testing.T) {
	bothRoles(t, func(t *testing.T, initiator bool) {
		for _, method := range []wire.AuthMethod{wire.AuthSharedKey, wire.AuthRSA, wire.AuthECDSA256, wire.AuthDigitalSignature, wire.AuthNull, 200} {
			p := NewPeer(t)
			pretend := &wire.Auth{Method: method, Data: make([]byte, 32)}
			if method == wire.AuthDigitalSignature { // it says that Ed25519 comes
				pretend.Data = append([]byte{7, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70}, make([]byte, 64)...)
			}
			replace := func(ps []wire.Payload) []wire.Payload {
				wire.First(ps, wire.PayloadAuth).Body = pretend
				return ps
			}
			if initiator {
				s, m := p.InitResponse(p.Begin())
				h := p.Responded(s, m)
				p.Answer(s, h, replace(p.AuthResponse(s))...)
				if told := p.Take(s); told.Error() != wire.NotifyAuthenticationFailed {
					t.Errorf("method %s: the host tells %s", method, told.Error())
				}
			} else {
				s, m := p.InitRequest()
				p.Initiated(s, m)
				if a := p.Ask(s, wire.ExchangeIKEAuth, replace(p.AuthRequest(s))...); a.Error() != wire.NotifyAuthenticationFailed {
					t.Errorf("method %s is answered with %s", method, a.Error())
				}
			}
			if len(p.Host.Established()) != 0 || len(p.Host.Plane.Children) != 0 {
				t.Errorf("method %s is believed", method)
			}
		}
	})
}

// lengths gives a chain of payloads once for each payload and each change of
// its length.
func lengths(plain []byte, first wire.PayloadType) map[string][]byte {
	out := map[string][]byte{}
	at, typ := 0, first
	for typ != wire.PayloadNone && at+4 <= len(plain) {
		n := int(binary.BigEndian.Uint16(plain[at+2:]))
		for _, diff := range []int{-n, -n + 3, -1, 1, 4, 0xffff - n} {
			bent := slices.Clone(plain)
			binary.BigEndian.PutUint16(bent[at+2:], uint16(n+diff))
			out[fmt.Sprintf("%s %+d", typ, diff)] = bent
		}
		typ = wire.PayloadType(plain[at])
		at += n
	}
	return out
}

// TestWrongLengthsOfPayloadsSetUpNothing changes the length of each payload of
// each message that sets up a tunnel. What comes of it may differ with what the
// octets then mean; no IKE SA may come of it unless all its payloads still say
// what they said, and the Host goes on answering.
func TestWrongLengthsOfPayloadsSetUpNothing(t *testing.T) {
	bothRoles(t, func(t *testing.T, initiator bool) {
		begin := func(t *testing.T) (*Peer, *PeerSA, *wire.Message) {
			p := NewPeer(t)
			if initiator {
				s, m := p.InitResponse(p.Begin())
				return p, s, m
			}
			s, m := p.InitRequest()
			return p, s, m
		}
		_, _, m := begin(t)
		clear := m.Append(nil)
		for name, bent := range lengths(clear[wire.HeaderLength:], m.Payloads[0].Type) {
			p, _, m := begin(t)
			octets := m.Append(nil)[:wire.HeaderLength]
			p.Send(append(octets, bent...))
			for _, s := range p.Host.Endpoint.SAs() {
				if i, r := s.SPIs(); !initiator || r != 0 {
					t.Errorf("IKE_SA_INIT, %s: IKE SA %s %s comes of it: %s", name, i, r, s.Waiting())
				}
			}
		}
		auth := func(p *Peer, s *PeerSA) []wire.Payload {
			if initiator {
				return p.AuthResponse(s)
			}
			return p.AuthRequest(s)
		}
		reach := func(t *testing.T) (*Peer, *PeerSA, []wire.Payload) {
			p, s, m := begin(t)
			if initiator {
				p.Responded(s, m)
			} else {
				p.Initiated(s, m)
			}
			return p, s, auth(p, s)
		}
		_, _, ps := reach(t)
		names := make([]string, 0, 64)
		for name := range lengths(wire.AppendPayloads(nil, ps), ps[0].Type) {
			names = append(names, name)
		}
		for _, name := range names {
			p, s, ps := reach(t)
			bent := lengths(wire.AppendPayloads(nil, ps), ps[0].Type)[name]
			b, err := s.Seal(s.Header(wire.ExchangeIKEAuth, 1, initiator), ps[0].Type, bent)
			if err != nil {
				t.Fatal(err)
			}
			p.Send(b)
			if len(p.Host.Established()) != 0 || len(p.Host.Plane.Children) != 0 {
				t.Errorf("IKE_AUTH, %s: a tunnel comes of it", name)
			}
		}
	})
}
