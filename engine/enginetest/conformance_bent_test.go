package enginetest

import (
	"slices"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// offersIKE shows that all of a policy's transforms and proposals are offered.
func offersIKE(t *testing.T, texts ...string) {
	want := Proposals(t, wire.ProtocolIKE, texts...)
	p := NewPeer(t, func(a, _ *ike.Connection, _, _ *ike.Settings) { a.Proposals = want })
	offered(t, PayloadOf[*wire.SA](t, p.Begin().Inner, wire.PayloadSA), want)
}

func offersESP(t *testing.T, texts ...string) {
	want := Proposals(t, wire.ProtocolESP, texts...)
	p := NewPeer(t, func(a, _ *ike.Connection, _, _ *ike.Settings) { a.Children[0].Proposals = want })
	s, m := p.InitResponse(p.Begin())
	offered(t, PayloadOf[*wire.SA](t, p.Responded(s, m).Inner, wire.PayloadSA), want)
}

func offered(t *testing.T, sa *wire.SA, want [][]wire.Transform) {
	t.Helper()
	if len(sa.Proposals) != len(want) {
		t.Fatalf("%d proposals, want %d", len(sa.Proposals), len(want))
	}
	for i, ts := range want {
		if sa.Proposals[i].Number != uint8(i+1) {
			t.Errorf("proposal %d has number %d", i+1, sa.Proposals[i].Number)
		}
		for _, x := range ts {
			if !slices.ContainsFunc(sa.Proposals[i].Transforms, func(y wire.Transform) bool {
				return x.Type == y.Type && x.ID == y.ID && x.KeyLength() == y.KeyLength()
			}) {
				t.Errorf("proposal %d does not offer %s %d", i+1, x.Type, x.ID)
			}
		}
	}
}

func noProposalEndsTheAttempt(t *testing.T) {
	p := NewPeer(t)
	h := p.Begin()
	m := wire.Message{Header: wire.Header{InitiatorSPI: h.Message.InitiatorSPI, Version: wire.Version2, Exchange: wire.ExchangeIKESAInit,
		Flags: wire.FlagResponse}, Payloads: []wire.Payload{Note(wire.NotifyNoProposalChosen)}}
	p.Send(m.Append(nil))
	p.Run(10 * time.Second)
	p.Silent()
	if len(p.Host.Endpoint.SAs()) != 0 || len(p.Host.Errs) == 0 {
		t.Error("the attempt goes on")
	}
}

func inconsistentIKEChoice(t *testing.T) {
	p := NewPeer(t)
	p.Proposal = Proposals(t, wire.ProtocolIKE, "aes128-sha256-prfsha256-curve25519")[0]
	_, m := p.InitResponse(p.Begin())
	p.Send(m.Append(nil))
	p.Silent()
	if len(p.Host.Endpoint.SAs()) != 0 || len(p.Host.Checks("proposal", true)) != 0 {
		t.Error("a proposal that was not offered is taken")
	}
}

func inconsistentChildChoice(t *testing.T) {
	p := NewPeer(t)
	s, m := p.InitResponse(p.Begin())
	h := p.Responded(s, m)
	p.Answer(s, h, append([]wire.Payload{Body(wire.PayloadIDr, &p.ID), p.Proof(s)}, p.ChildPayloads(PeerESPSPI, false, "aes128-sha1-noesn")...)...)
	if len(p.Host.Plane.Children) != 0 {
		t.Error("a proposal that was not offered is taken")
	}
}

func ikeStandsWithoutChild(t *testing.T) {
	for _, n := range []wire.NotifyType{wire.NotifyNoProposalChosen, wire.NotifyTSUnacceptable, wire.NotifySinglePairRequired,
		wire.NotifyInternalAddressFailure, wire.NotifyFailedCPRequired} {
		p := NewPeer(t)
		s, m := p.InitResponse(p.Begin())
		h := p.Responded(s, m)
		p.Answer(s, h, Body(wire.PayloadIDr, &p.ID), p.Proof(s), Note(n))
		if len(p.Host.Established()) != 1 || len(p.Host.Plane.Children) != 0 {
			t.Errorf("%s: %d IKE SAs, %d children; want 1, 0", n, len(p.Host.Established()), len(p.Host.Plane.Children))
		}
	}
}

func narrowedAnswerIsTaken(t *testing.T) {
	p := NewPeer(t)
	s, m := p.InitResponse(p.Begin())
	h := p.Responded(s, m)
	ps := p.AuthResponse(s)
	wire.First(ps, wire.PayloadTSr).Body = &wire.TS{Selectors: Selectors("10.2.3.0/24")}
	p.Answer(s, h, ps...)
	for _, u := range p.Host.Plane.Children {
		if want := Selectors("10.2.3.0/24")[0]; len(u.RemoteTS) != 1 || u.RemoteTS[0].Start != want.Start || u.RemoteTS[0].End != want.End {
			t.Errorf("remote selectors %+v", u.RemoteTS)
		}
	}
	if len(p.Host.Plane.Children) != 1 {
		t.Error("no child")
	}
}

// clearMessagesEndNothing sends errors that nothing protects.
func clearMessagesEndNothing(t *testing.T, up func(*Peer) *PeerSA) {
	p := NewPeer(t)
	s := up(p)
	for _, n := range []wire.NotifyType{wire.NotifyInvalidIKESPI, wire.NotifyInvalidSyntax, wire.NotifyAuthenticationFailed, wire.NotifyInvalidMajorVersion} {
		for _, response := range []bool{false, true} {
			m := wire.Message{Header: s.Header(wire.ExchangeInformational, s.Next, response), Payloads: []wire.Payload{Note(n)}}
			p.Send(m.Append(nil))
		}
	}
	p.Silent()
	p.Ask(s, wire.ExchangeInformational)
	p.SA()
}

func errorsInInformational(t *testing.T, up func(*Peer) *PeerSA, n wire.NotifyType) {
	p := NewPeer(t)
	s := up(p)
	if a := p.Ask(s, wire.ExchangeInformational, Note(n, 1, 2, 3, 4)); len(a.Inner) != 0 {
		t.Errorf("the answer to %s holds %d payloads", n, len(a.Inner))
	}
	if p.SA(); len(p.Host.Plane.Children) != 1 {
		t.Errorf("%s ended a child", n)
	}
}

func initialContactEndsTheOld(t *testing.T, up func(*Peer) *PeerSA) {
	p := NewPeer(t)
	old := up(p)
	s, m := p.InitRequest()
	s.SPIi++ // not the SPI of the first
	m.InitiatorSPI = s.SPIi
	p.Initiated(s, m)
	a := p.Ask(s, wire.ExchangeIKEAuth, append(p.AuthRequest(s), Note(wire.NotifyInitialContact))...)
	if a.Error() != 0 {
		t.Fatalf("refused: %s", a.Error())
	}
	p.Run(time.Second)
	p.Silent() // the old one goes without a word
	if i, _ := p.SA().SPIs(); i != s.SPIi || i == old.SPIi || len(p.Host.Plane.Children) != 1 {
		t.Errorf("IKE SA %s stands with %d children", i, len(p.Host.Plane.Children))
	}
}

// bend sets the bits of a message that are reserved: of its flags, and of
// every payload in the clear.
func bend(m *wire.Message) {
	m.Flags |= 0xc7
	for i := range m.Payloads {
		m.Payloads[i].Reserved = 0x7f
	}
}

func bentPayloads(ps []wire.Payload) []wire.Payload {
	ps = slices.Clone(ps)
	for i := range ps {
		ps[i].Reserved = 0x7f
	}
	return ps
}

func reservedInResponses(t *testing.T, where string) {
	p := NewPeer(t)
	s, m := p.InitResponse(p.Begin())
	switch where {
	case "init":
		bend(m)
	case "version":
		m.Flags |= wire.FlagVersion
	}
	request := p.Responded(s, m)
	h := s.Header(wire.ExchangeIKEAuth, 1, true)
	ps := p.AuthResponse(s)
	if where == "auth" {
		h.Flags |= 0xc7
		ps = bentPayloads(ps)
	}
	if request.Message.Exchange != wire.ExchangeIKEAuth {
		t.Fatalf("the host goes on with %s", request.Message.Exchange)
	}
	p.Send(p.Octets(s, h, ps...))
	p.Host.Command(p.SA(), ike.Probe{})
	h = s.Header(wire.ExchangeInformational, p.Take(s).Message.MessageID, true)
	if where == "informational" {
		h.Flags |= 0xd7
	}
	p.Send(p.Octets(s, h))
	p.Run(time.Minute)
	p.Silent()
}

func childRequestIsWellFormed(t *testing.T) {
	p, h, _ := stage(t, "child")
	header(t, h, wire.ExchangeCreateChildSA, 2, wire.FlagInitiator)
	holds(t, h, wire.PayloadSA, wire.PayloadNonce, wire.PayloadKE, wire.PayloadTSi, wire.PayloadTSr)
	n := h.Notify(wire.NotifyRekeySA)
	if n == nil || n.Protocol != wire.ProtocolESP || len(n.SPI) != 4 {
		t.Fatalf("REKEY_SA %+v", n)
	}
	for spi := range p.Host.Plane.Children {
		if got := wire.ESPSPI(uint32(n.SPI[0])<<24 | uint32(n.SPI[1])<<16 | uint32(n.SPI[2])<<8 | uint32(n.SPI[3])); got != spi {
			t.Errorf("REKEY_SA names %s, the child is %s", got, spi)
		}
	}
}

func childRekeyRefusedIsRetried(t *testing.T) {
	p, _, refuse := stage(t, "child")
	refuse()
	p.Silent()
	p.Run(30 * time.Second)
	if len(p.Inbox) == 0 || len(p.Host.Plane.Children) != 1 {
		t.Errorf("%d requests after the refusal, %d children", len(p.Inbox), len(p.Host.Plane.Children))
	}
}
