package trace_test

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var (
	alice = netip.MustParseAddrPort("192.0.2.1:500")
	bob   = netip.MustParseAddrPort("192.0.2.2:500")
	start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

// script feeds a trace with messages at chosen times.
type script struct {
	t     *testing.T
	trace *trace.Trace
	frame int64
	now   time.Duration
	last  []byte // octets of the last message
}

func newScript(t *testing.T, o trace.Options) *script {
	return &script{t: t, trace: trace.New(o)}
}

// at sets the time since the start.
func (s *script) at(d time.Duration) *script { s.now = d; return s }

// sent is a message on its way.
type sent struct {
	spiI, spiR wire.SPI
	exchange   wire.ExchangeType
	id         uint32
	flags      wire.Flags
	payloads   []wire.Payload
}

// send puts a message on the wire from one end to the other.
func (s *script) send(from, to netip.AddrPort, m sent) []byte {
	msg := wire.Message{Header: wire.Header{
		InitiatorSPI: m.spiI, ResponderSPI: m.spiR, Version: wire.Version2,
		Exchange: m.exchange, Flags: m.flags, MessageID: m.id,
	}, Payloads: m.payloads}
	octets := msg.Append(nil)
	s.octets(from, to, octets)
	return octets
}

// octets puts a message on the wire as it is.
func (s *script) octets(from, to netip.AddrPort, octets []byte) {
	s.frame++
	s.last = octets
	parsed, err := wire.Parse(octets)
	p := &event.Packet{
		Src: from.Addr(), SrcPort: from.Port(), Dst: to.Addr(), DstPort: to.Port(),
		Proto: event.IKEv2, Encap: event.UDP, Length: len(octets), Octets: octets,
		IKE: &event.IKE{Message: parsed, Err: err},
	}
	if n := len(parsed.Payloads); n > 0 {
		if f, ok := parsed.Payloads[n-1].Body.(*wire.Fragment); ok {
			p.IKE.Fragment = &event.Fragment{Number: f.Number, Total: f.Total}
		}
	}
	s.trace.Add(&event.Event{Time: start.Add(s.now), Frame: s.frame, Packet: p})
}

// esp puts an ESP packet on the wire.
func (s *script) esp(from, to netip.AddrPort, spi wire.ESPSPI, seq uint32) {
	s.frame++
	s.trace.Add(&event.Event{Time: start.Add(s.now), Frame: s.frame, Packet: &event.Packet{
		Src: from.Addr(), Dst: to.Addr(), Proto: event.ESP, Encap: event.IP, Length: 120,
		ESP: &event.SecurityPacket{SPI: spi, Seq: seq},
	}})
}

func saPayload(transforms ...wire.Transform) wire.Payload {
	return wire.Payload{Type: wire.PayloadSA, Body: &wire.SA{Proposals: []wire.Proposal{{
		Number: 1, Protocol: wire.ProtocolIKE, Transforms: transforms,
	}}}}
}

func nonce() wire.Payload {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return wire.Payload{Type: wire.PayloadNonce, Body: &wire.Nonce{Data: b}}
}

func ke() wire.Payload {
	return wire.Payload{Type: wire.PayloadKE, Body: &wire.KE{Group: wire.KEECP256, Data: make([]byte, 64)}}
}

func notify(t wire.NotifyType, data []byte) wire.Payload {
	return wire.Payload{Type: wire.PayloadNotify, Body: &wire.Notify{Type: t, Data: data}}
}

// sealed makes an SK payload whose first inner payload is of type first and
// whose sealed data has n octets.
func sealed(first wire.PayloadType, n int) []wire.Payload {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return []wire.Payload{{Type: wire.PayloadSK, Next: first, Body: &wire.Encrypted{First: first, Data: b}}}
}

func suitePayload(t *testing.T) wire.Payload {
	ts, err := wire.ParseProposal(wire.ProtocolIKE, "aes256gcm16-prfsha256-ecp256")
	if err != nil {
		t.Fatal(err)
	}
	return saPayload(ts...)
}

// initiate plays an IKE_SA_INIT exchange.
func (s *script) initiate(spiI, spiR wire.SPI) {
	s.send(alice, bob, sent{spiI: spiI, exchange: wire.ExchangeIKESAInit, flags: wire.FlagInitiator,
		payloads: []wire.Payload{suitePayload(s.t), ke(), nonce()}})
	s.now += 10 * time.Millisecond
	s.send(bob, alice, sent{spiI: spiI, spiR: spiR, exchange: wire.ExchangeIKESAInit, flags: wire.FlagResponse,
		payloads: []wire.Payload{suitePayload(s.t), ke(), nonce()}})
}

// exchange plays an encrypted exchange of the initiator.
func (s *script) exchange(spiI, spiR wire.SPI, x wire.ExchangeType, id uint32, asks, answers wire.PayloadType) {
	s.send(alice, bob, sent{spiI, spiR, x, id, wire.FlagInitiator, sealed(asks, 200)})
	s.now += 10 * time.Millisecond
	s.send(bob, alice, sent{spiI, spiR, x, id, wire.FlagResponse, sealed(answers, 200)})
}

// one gives the only SA of a trace.
func (s *script) one() *trace.IKESA {
	s.t.Helper()
	if len(s.trace.SAs) != 1 {
		s.t.Fatalf("%d SAs, want 1", len(s.trace.SAs))
	}
	return s.trace.SAs[0]
}

func TestRequestAndResponseArePairedAndTimed(t *testing.T) {
	s := newScript(t, trace.Options{})
	s.initiate(1, 2)
	sa := s.one()
	if len(sa.Exchanges) != 1 {
		t.Fatalf("%d exchanges, want 1", len(sa.Exchanges))
	}
	x := sa.Exchanges[0]
	if rtt, ok := x.RTT.Get(); !ok || rtt != 10*time.Millisecond {
		t.Errorf("round-trip time %v, %v", rtt, ok)
	}
	if x.Request.Frame != 1 || x.Response.Frame != 2 || x.By != trace.Initiator {
		t.Errorf("frames %d and %d by %v", x.Request.Frame, x.Response.Frame, x.By)
	}
	if sa.Suite.Keyword != "aes256gcm16-prfsha256-ecp256" {
		t.Errorf("suite %q", sa.Suite.Keyword)
	}
	if sa.ResponderSPI != 2 || sa.State != engine.IKEConnecting {
		t.Errorf("responder SPI %v, state %v", sa.ResponderSPI, sa.State)
	}
}

func TestOnlyByteIdenticalRepeatsAreRetransmissions(t *testing.T) {
	s := newScript(t, trace.Options{})
	init := sent{spiI: 1, exchange: wire.ExchangeIKESAInit, flags: wire.FlagInitiator,
		payloads: []wire.Payload{suitePayload(t), ke(), nonce()}}
	octets := s.send(alice, bob, init)
	s.at(4*time.Second).octets(alice, bob, octets)
	s.at(11*time.Second).octets(alice, bob, octets)
	s.at(12 * time.Second)
	init.payloads = append([]wire.Payload{notify(wire.NotifyCookie, []byte("cookie"))}, init.payloads...)
	s.send(alice, bob, init)

	sa := s.one()
	if len(sa.Exchanges) != 2 {
		t.Fatalf("%d exchanges, want the first and its variant", len(sa.Exchanges))
	}
	if x := sa.Exchanges[0]; x.RequestRepeats != 2 || len(x.Repeats) != 2 || x.Repeats[1].Frame != 3 {
		t.Errorf("repeats %d, %v", x.RequestRepeats, x.Repeats)
	}
	if x := sa.Exchanges[1]; !x.Variant || x.RequestRepeats != 0 {
		t.Errorf("variant %v with %d repeats", x.Variant, x.RequestRepeats)
	}
}

func TestRoundTripTimeCountsFromTheLastTransmission(t *testing.T) {
	s := newScript(t, trace.Options{})
	s.initiate(1, 2)
	s.at(time.Second)
	octets := s.send(alice, bob, sent{1, 2, wire.ExchangeIKEAuth, 1, wire.FlagInitiator, sealed(wire.PayloadIDi, 200)})
	s.at(5*time.Second).octets(alice, bob, octets)
	s.at(5*time.Second + 20*time.Millisecond)
	s.send(bob, alice, sent{1, 2, wire.ExchangeIKEAuth, 1, wire.FlagResponse, sealed(wire.PayloadIDr, 200)})
	x := s.one().Exchanges[1]
	if rtt := x.RTT.Or(0); rtt != 20*time.Millisecond || x.RequestRepeats != 1 {
		t.Errorf("round-trip time %v after %d repeats", rtt, x.RequestRepeats)
	}
}

func TestStateWithoutKeysFollowsTheFirstInnerPayload(t *testing.T) {
	const gcm = 8 + 9 + 16 // IV, a lone Notify with its padding, tag
	rows := []struct {
		name  string
		first wire.PayloadType
		size  int
		want  engine.IKEState
	}{
		{"IDr is success", wire.PayloadIDr, 200, engine.IKEEstablished},
		{"AUTH is success after EAP", wire.PayloadAuth, 200, engine.IKEEstablished},
		{"EAP is one more round", wire.PayloadEAP, 60, engine.IKEConnecting},
		{"a lone Notify is a refusal", wire.PayloadNotify, gcm, engine.IKEFailed},
		{"a Notify before much else is a status", wire.PayloadNotify, 300, engine.IKEEstablished},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := newScript(t, trace.Options{})
			s.initiate(1, 2)
			s.send(alice, bob, sent{1, 2, wire.ExchangeIKEAuth, 1, wire.FlagInitiator, sealed(wire.PayloadIDi, 200)})
			s.send(bob, alice, sent{1, 2, wire.ExchangeIKEAuth, 1, wire.FlagResponse, sealed(row.first, row.size)})
			if got := s.one().State; got != row.want {
				t.Errorf("state %v, want %v", got, row.want)
			}
		})
	}
}

func TestErrorInInitEndsTheAttemptAndANewOneRevivesIt(t *testing.T) {
	s := newScript(t, trace.Options{})
	s.send(alice, bob, sent{spiI: 1, exchange: wire.ExchangeIKESAInit, flags: wire.FlagInitiator,
		payloads: []wire.Payload{suitePayload(t), ke(), nonce()}})
	s.send(bob, alice, sent{spiI: 1, exchange: wire.ExchangeIKESAInit, flags: wire.FlagResponse,
		payloads: []wire.Payload{notify(wire.NotifyNoProposalChosen, nil)}})
	sa := s.one()
	if sa.State != engine.IKEFailed || sa.Ended != trace.EndFailed || sa.EndedBy != trace.Responder {
		t.Fatalf("state %v, ended %q by %v", sa.State, sa.Ended, sa.EndedBy)
	}
	s.initiate(1, 2)
	if sa.State != engine.IKEConnecting || sa.Ended != "" {
		t.Errorf("after another attempt: state %v, ended %q", sa.State, sa.Ended)
	}
}

func TestInvalidKEIsNoFailure(t *testing.T) {
	s := newScript(t, trace.Options{})
	s.send(alice, bob, sent{spiI: 1, exchange: wire.ExchangeIKESAInit, flags: wire.FlagInitiator,
		payloads: []wire.Payload{suitePayload(t), ke(), nonce()}})
	s.send(bob, alice, sent{spiI: 1, exchange: wire.ExchangeIKESAInit, flags: wire.FlagResponse,
		payloads: []wire.Payload{notify(wire.NotifyInvalidKEPayload, []byte{0, 31})}})
	if got := s.one().State; got != engine.IKEConnecting {
		t.Errorf("state %v", got)
	}
}

func TestAnSAWhoseBeginningIsMissingIsPartial(t *testing.T) {
	s := newScript(t, trace.Options{})
	s.exchange(1, 2, wire.ExchangeInformational, 7, wire.PayloadNone, wire.PayloadNone)
	sa := s.one()
	if !sa.Partial || sa.State != engine.IKEEstablished || sa.Suite.Keyword != "" {
		t.Errorf("partial %v, state %v, suite %q", sa.Partial, sa.State, sa.Suite.Keyword)
	}
	if sa.DPD.Probes != 1 || sa.DPD.Answered != 1 || sa.DPD.RTT.Or(0) != 10*time.Millisecond {
		t.Errorf("DPD %+v", sa.DPD)
	}
}

func TestARekeyedIKESAIsLinkedWithoutKeys(t *testing.T) {
	s := newScript(t, trace.Options{})
	s.initiate(1, 2)
	s.exchange(1, 2, wire.ExchangeIKEAuth, 1, wire.PayloadIDi, wire.PayloadIDr)
	s.exchange(1, 2, wire.ExchangeCreateChildSA, 2, wire.PayloadSA, wire.PayloadSA)
	s.exchange(1, 2, wire.ExchangeInformational, 3, wire.PayloadDelete, wire.PayloadNone)
	s.exchange(3, 4, wire.ExchangeInformational, 0, wire.PayloadNone, wire.PayloadNone)
	if len(s.trace.SAs) != 2 {
		t.Fatalf("%d SAs", len(s.trace.SAs))
	}
	old, young := s.trace.SAs[0], s.trace.SAs[1]
	if old.Successor != young || young.Predecessor != old {
		t.Fatal("the generations are not linked")
	}
	if old.State != engine.IKERekeyed || young.State != engine.IKEEstablished || young.Partial {
		t.Errorf("states %v and %v, partial %v", old.State, young.State, young.Partial)
	}
}

func TestADeleteOfAChildDoesNotEndTheIKESA(t *testing.T) {
	s := newScript(t, trace.Options{})
	s.initiate(1, 2)
	s.exchange(1, 2, wire.ExchangeIKEAuth, 1, wire.PayloadIDi, wire.PayloadIDr)
	s.exchange(1, 2, wire.ExchangeInformational, 2, wire.PayloadDelete, wire.PayloadDelete)
	sa := s.one()
	if sa.State != engine.IKEDeleted {
		t.Fatalf("state %v after what may have been the end", sa.State)
	}
	s.exchange(1, 2, wire.ExchangeInformational, 3, wire.PayloadNone, wire.PayloadNone)
	if sa.State != engine.IKEEstablished || sa.Ended != "" {
		t.Errorf("state %v, ended %q although the SA goes on", sa.State, sa.Ended)
	}
}

func TestFragmentsMakeOneMessageAndARepeatedSetOneRetransmission(t *testing.T) {
	s := newScript(t, trace.Options{})
	s.initiate(1, 2)
	part := func(number uint16) []byte {
		first := wire.PayloadNone
		if number == 1 {
			first = wire.PayloadIDi
		}
		return s.send(alice, bob, sent{1, 2, wire.ExchangeIKEAuth, 1, wire.FlagInitiator, []wire.Payload{
			{Type: wire.PayloadSKF, Next: first, Body: &wire.Fragment{First: first, Number: number, Total: 3, Data: make([]byte, 100+int(number))}},
		}})
	}
	a, b, c := part(1), part(2), part(3)
	s.at(4 * time.Second)
	for _, octets := range [][]byte{a, b, c} {
		s.octets(alice, bob, octets)
	}
	x := s.one().Exchanges[1]
	if m := x.Request; m.Fragments != 3 || m.First != wire.PayloadIDi || len(m.Frames) != 3 || m.Length != len(a)+len(b)+len(c) {
		t.Errorf("%d fragments, first %v, frames %v, %d octets", m.Fragments, m.First, m.Frames, m.Length)
	}
	if x.RequestRepeats != 1 {
		t.Errorf("%d retransmissions", x.RequestRepeats)
	}
}

func TestNATVerdictComesFromTheHashes(t *testing.T) {
	inside := netip.MustParseAddrPort("10.0.0.5:500")
	rows := []struct {
		name               string
		source, target     netip.AddrPort // what the initiator hashes
		rSource, rTarget   netip.AddrPort // what the responder hashes
		wantLocal, wantRem bool
	}{
		{"no NAT", alice, bob, bob, alice, false, false},
		{"the initiator is behind a NAT", inside, bob, bob, alice, true, false},
		{"the responder is behind a NAT", alice, bob, inside, alice, false, true},
		{"the responder sees another initiator than the tap", alice, bob, bob, inside, true, false},
		{"both", inside, bob, netip.MustParseAddrPort("10.9.9.9:500"), alice, true, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := newScript(t, trace.Options{})
			s.send(alice, bob, sent{spiI: 1, exchange: wire.ExchangeIKESAInit, flags: wire.FlagInitiator, payloads: []wire.Payload{
				suitePayload(t), ke(), nonce(),
				notify(wire.NotifyNATDetectionSourceIP, engine.NATHash(1, 0, row.source)),
				notify(wire.NotifyNATDetectionDestinationIP, engine.NATHash(1, 0, row.target)),
			}})
			s.send(bob, alice, sent{spiI: 1, spiR: 2, exchange: wire.ExchangeIKESAInit, flags: wire.FlagResponse, payloads: []wire.Payload{
				suitePayload(t), ke(), nonce(),
				notify(wire.NotifyNATDetectionSourceIP, engine.NATHash(1, 2, row.rSource)),
				notify(wire.NotifyNATDetectionDestinationIP, engine.NATHash(1, 2, row.rTarget)),
			}})
			nat := s.one().NAT
			local, okL := nat.Local.Get()
			remote, okR := nat.Remote.Get()
			if !okL || !okR || local != row.wantLocal || remote != row.wantRem || nat.Any.Or(false) != (local || remote) {
				t.Errorf("verdict %+v", nat)
			}
		})
	}
}

func TestWithoutHashesNoVerdictIsGuessed(t *testing.T) {
	s := newScript(t, trace.Options{})
	s.initiate(1, 2)
	nat := s.one().NAT
	if !nat.Local.IsZero() || !nat.Remote.IsZero() || !nat.Any.IsZero() {
		t.Errorf("verdict %+v", nat)
	}
}

func TestSequenceNumbersTellLossReorderingAndDuplicatesApart(t *testing.T) {
	rows := []struct {
		name                                 string
		seq                                  []uint32
		missing, duplicates, reordered, gaps int64
		resets                               int64
	}{
		{name: "in order", seq: []uint32{1, 2, 3, 4}},
		{name: "one lost", seq: []uint32{1, 2, 4, 5}, missing: 1, gaps: 1},
		{name: "a burst lost", seq: []uint32{1, 2, 10, 11}, missing: 7, gaps: 7},
		{name: "late, not lost", seq: []uint32{1, 3, 2, 4}, reordered: 1, gaps: 1},
		{name: "twice", seq: []uint32{1, 2, 2, 3}, duplicates: 1},
		{name: "twice and late", seq: []uint32{1, 2, 5, 3, 3, 6}, missing: 1, duplicates: 1, reordered: 1, gaps: 2},
		{name: "the capture began out of order", seq: []uint32{8, 7, 9}, reordered: 1},
		{name: "started again", seq: []uint32{5000, 5001, 1, 2}, resets: 1},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := newScript(t, trace.Options{})
			for _, seq := range row.seq {
				s.esp(alice, bob, 0xc0000001, seq)
			}
			f := s.trace.Flows[0]
			if f.Missing != row.missing || f.Duplicates != row.duplicates || f.Reordered != row.reordered ||
				f.LongestGap != row.gaps || f.Resets != row.resets || f.Packets != int64(len(row.seq)) {
				t.Errorf("missing %d duplicates %d reordered %d longest gap %d resets %d packets %d",
					f.Missing, f.Duplicates, f.Reordered, f.LongestGap, f.Resets, f.Packets)
			}
		})
	}
}

func TestFlowsAreJoinedToTheSABetweenTheirHosts(t *testing.T) {
	s := newScript(t, trace.Options{})
	s.initiate(1, 2)
	s.exchange(1, 2, wire.ExchangeIKEAuth, 1, wire.PayloadIDi, wire.PayloadIDr)
	s.esp(alice, bob, 0xa, 1)
	s.esp(bob, alice, 0xb, 1)
	s.esp(bob, alice, 0xb, 2)
	sa := s.one()
	if len(sa.Children) != 1 || len(sa.Flows) != 2 {
		t.Fatalf("%d children, %d flows", len(sa.Children), len(sa.Flows))
	}
	c := sa.Children[0]
	if c.SPIOut.Or(0) != 0xa || c.SPIIn.Or(0) != 0xb || c.PacketsIn.Or(0) != 2 || c.PacketsOut.Or(0) != 1 {
		t.Errorf("child %+v", c)
	}
	if sa.Flows[0].Certain {
		t.Error("a join without keys is called certain")
	}
}

func TestAMoveOfAnAddressIsNotedAndTheSAStaysOne(t *testing.T) {
	s := newScript(t, trace.Options{})
	s.initiate(1, 2)
	s.exchange(1, 2, wire.ExchangeIKEAuth, 1, wire.PayloadIDi, wire.PayloadIDr)
	elsewhere := netip.MustParseAddrPort("198.51.100.7:4500")
	s.send(elsewhere, bob, sent{1, 2, wire.ExchangeInformational, 2, wire.FlagInitiator, sealed(wire.PayloadNotify, 200)})
	sa := s.one()
	if len(sa.Moves) != 1 || sa.Moves[0].To != elsewhere || sa.Moves[0].By != trace.Initiator {
		t.Fatalf("moves %+v", sa.Moves)
	}
	s.esp(netip.MustParseAddrPort("198.51.100.7:0"), bob, 0xc, 1)
	if s.trace.Flows[0].SA != sa {
		t.Error("a flow from the new address is not joined")
	}
}

func TestMemoryIsBoundedByTheOptions(t *testing.T) {
	s := newScript(t, trace.Options{MaxSAs: 50, MaxFlows: 40, KeepFirst: 2, KeepLast: 3})
	for i := range 500 {
		s.at(time.Duration(i) * time.Second)
		s.initiate(wire.SPI(1000+i), wire.SPI(2000+i))
		s.esp(alice, bob, wire.ESPSPI(5000+i), 1)
	}
	if n := len(s.trace.SAs); n > 50 {
		t.Errorf("%d SAs are kept", n)
	}
	if n := len(s.trace.Flows); n > 40 {
		t.Errorf("%d flows are kept", n)
	}
	last := s.trace.SAs[len(s.trace.SAs)-1]
	if last.InitiatorSPI != 1499 {
		t.Errorf("the youngest SA kept is %v", last.InitiatorSPI)
	}
	for id := range uint32(100) {
		s.exchange(1499, 2499, wire.ExchangeInformational, id+2, wire.PayloadNone, wire.PayloadNone)
	}
	if len(last.Exchanges) != 5 || last.Skipped != 96 {
		t.Errorf("%d exchanges kept, %d skipped", len(last.Exchanges), last.Skipped)
	}
	if last.Exchanges[4].MessageID != 101 || last.Exchanges[0].Type != wire.ExchangeIKESAInit {
		t.Error("the first and the last exchanges are not the ones kept")
	}
	if s.trace.Counts.Forgotten == 0 {
		t.Error("nothing says that something was forgotten")
	}
}

func TestSelectorTextIsSwanctls(t *testing.T) {
	a := netip.MustParseAddr
	rows := []struct {
		s    wire.TrafficSelector
		want string
	}{
		{wire.TrafficSelector{Start: a("10.0.0.0"), End: a("10.0.0.255"), EndPort: 65535}, "10.0.0.0/24"},
		{wire.TrafficSelector{Start: a("0.0.0.0"), End: a("255.255.255.255"), EndPort: 65535}, "0.0.0.0/0"},
		{wire.TrafficSelector{Start: a("10.0.0.1"), End: a("10.0.0.9"), EndPort: 65535}, "10.0.0.1..10.0.0.9"},
		{wire.TrafficSelector{Start: a("10.0.0.1"), End: a("10.0.0.1"), Protocol: 6, StartPort: 443, EndPort: 443}, "10.0.0.1/32[tcp/443]"},
		{wire.TrafficSelector{Start: a("fd00::"), End: a("fd00::ffff:ffff:ffff:ffff"), Protocol: 17, StartPort: 1, EndPort: 9}, "fd00::/64[udp/1-9]"},
		{wire.TrafficSelector{Start: a("10.0.0.1"), End: a("10.0.0.1"), Protocol: 47, EndPort: 65535}, "10.0.0.1/32[gre]"},
		{wire.TrafficSelector{Start: a("10.0.0.1"), End: a("10.0.0.1"), StartPort: 65535}, "10.0.0.1/32[0/OPAQUE]"},
	}
	for _, row := range rows {
		if got := trace.SelectorText(&row.s); got != row.want {
			t.Errorf("%q, want %q", got, row.want)
		}
	}
}

func BenchmarkAddESP(b *testing.B) {
	tr := trace.New(trace.Options{})
	e := &event.Event{Time: start, Packet: &event.Packet{Src: alice.Addr(), Dst: bob.Addr(), Proto: event.ESP, Encap: event.IP,
		Length: 120, ESP: &event.SecurityPacket{}}}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e.Packet.ESP.SPI = wire.ESPSPI(0x1000 + i%400)
		e.Packet.ESP.Seq = uint32(i / 400)
		tr.Add(e)
	}
	if len(tr.Flows) > 400 {
		b.Fatal(fmt.Sprint(len(tr.Flows)))
	}
}
