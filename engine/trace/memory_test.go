package trace_test

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// busy lets some IKE SAs live for a while, in rounds: liveness checks, request
// and answer, a repetition, rekeyings of the child that keys open, ESP on the
// child, a peer whose port and address change.
func busy(s *script, sas, rounds int) {
	peers := make([]netip.AddrPort, sas)
	for i := range sas {
		peers[i] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)}), 500)
		s.send(alice, peers[i], sent{spiI: wire.SPI(i + 1), exchange: wire.ExchangeIKESAInit, flags: wire.FlagInitiator,
			payloads: []wire.Payload{suitePayload(s.t), ke(), nonce()}})
		s.send(peers[i], alice, sent{spiI: wire.SPI(i + 1), spiR: wire.SPI(i + 1), exchange: wire.ExchangeIKESAInit, flags: wire.FlagResponse,
			payloads: []wire.Payload{suitePayload(s.t), ke(), nonce()}})
	}
	for round := range rounds {
		for i := range sas {
			s.now += time.Millisecond
			spi, id := wire.SPI(i+1), uint32(2*round+1)
			s.send(alice, peers[i], sent{spi, spi, wire.ExchangeInformational, id, wire.FlagInitiator, sealed(wire.PayloadNone, 40)})
			s.octets(alice, peers[i], s.last)
			s.send(peers[i], alice, sent{spi, spi, wire.ExchangeInformational, id, wire.FlagResponse, sealed(wire.PayloadNone, 40)})
			in, out := wire.ESPSPI(1<<24+round*sas+i), wire.ESPSPI(2<<24+round*sas+i)
			s.open(alice, peers[i], sent{spi, spi, wire.ExchangeCreateChildSA, id + 1, wire.FlagInitiator, childOf(s.t, in)})
			s.open(peers[i], alice, sent{spi, spi, wire.ExchangeCreateChildSA, id + 1, wire.FlagResponse, childOf(s.t, out)})
			s.esp(alice, peers[i], 0xc0000000+wire.ESPSPI(i), uint32(round+1))
			s.esp(peers[i], alice, 0xd0000000+wire.ESPSPI(i), uint32(round+1))
			port := uint16(1024 + round%60000)
			if i%2 == 0 {
				peers[i] = netip.AddrPortFrom(peers[i].Addr(), port)
			} else {
				peers[i] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18, byte(i), byte(round % 200)}), port)
			}
		}
	}
}

// childOf is a proposal for a child with an SPI.
func childOf(t *testing.T, spi wire.ESPSPI) []wire.Payload {
	t.Helper()
	ts, err := wire.ParseProposal(wire.ProtocolESP, "aes256gcm16")
	if err != nil {
		t.Fatal(err)
	}
	return []wire.Payload{{Type: wire.PayloadSA, Body: &wire.SA{Proposals: []wire.Proposal{{Number: 1, Protocol: wire.ProtocolESP,
		SPI: []byte{byte(spi >> 24), byte(spi >> 16), byte(spi >> 8), byte(spi)}, Transforms: ts}}}}, nonce(),
		{Type: wire.PayloadTSi, Body: &wire.TS{}}, {Type: wire.PayloadTSr, Body: &wire.TS{}}}
}

// open puts an encrypted message on the wire that keys open.
func (s *script) open(from, to netip.AddrPort, m sent) {
	plain := wire.AppendPayloads(nil, m.payloads)
	first := m.payloads[0].Type
	m.payloads = sealed(first, len(plain)+17)
	msg := wire.Message{Header: wire.Header{InitiatorSPI: m.spiI, ResponderSPI: m.spiR, Version: wire.Version2,
		Exchange: m.exchange, Flags: m.flags, MessageID: m.id}, Payloads: m.payloads}
	octets := msg.Append(nil)
	parsed, err := wire.Parse(octets)
	if err != nil {
		s.t.Fatal(err)
	}
	inner, _ := wire.ParsePayloads(first, wire.Version2, plain)
	s.frame++
	s.trace.Add(&event.Event{Time: start.Add(s.now), Frame: s.frame, Packet: &event.Packet{
		Src: from.Addr(), SrcPort: from.Port(), Dst: to.Addr(), DstPort: to.Port(), Proto: event.IKEv2, Encap: event.UDP,
		Length: len(octets), Octets: octets, IKE: &event.IKE{Message: parsed, Decrypted: true, Plain: plain, Inner: inner}}})
}

// held gives the octets that a trace of so many rounds keeps.
func held(t *testing.T, sas, rounds int) int64 {
	t.Helper()
	s := newScript(t, trace.Options{})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	busy(s, sas, rounds)
	s.last = nil
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := len(s.trace.SAs); n != sas {
		t.Fatalf("%d SAs, want %d", n, sas)
	}
	runtime.KeepAlive(s.trace)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

// What a trace keeps depends on how many SAs it has seen: ten times the
// frames of the same SAs need no more memory. Both are beyond what an SA keeps
// of exchanges, children and moves.
func TestMemoryGrowsWithTheSAsAndNotWithTheirFrames(t *testing.T) {
	const sas, rounds = 3, 300
	few, many := held(t, sas, rounds), held(t, sas, 10*rounds)
	t.Logf("%d SAs: %d KiB of %d rounds, %d KiB of %d", sas, few>>10, rounds, many>>10, 10*rounds)
	if many > few*5/4 {
		t.Errorf("%d octets after %d rounds, %d after ten times as many", few, rounds, many)
	}
	if twice := held(t, 2*sas, rounds); twice < few*3/2 {
		t.Errorf("%d octets of %d SAs and %d of %d: this does not measure what SAs keep", few, sas, twice, 2*sas)
	}
}

// A rule may skip an SA on the word of MayCarry: it never denies a notify that
// a message holds, and NAT detection is not taken for an error.
func TestMayCarryDeniesNoNotifyThatIsThereAndNoErrorIsSeenInNATDetection(t *testing.T) {
	for n := range 1 << 16 {
		typ := wire.NotifyType(n)
		s := newScript(t, trace.Options{})
		s.send(alice, bob, sent{spiI: 1, exchange: wire.ExchangeIKESAInit, flags: wire.FlagInitiator, payloads: []wire.Payload{notify(typ, nil)}})
		if !s.one().MayCarry(typ) {
			t.Fatalf("%s is there", typ)
		}
		if typ == wire.NotifyNATDetectionSourceIP || typ == wire.NotifyNATDetectionDestinationIP || typ == wire.NotifyFragmentationSupported || typ == wire.NotifyMobikeSupported {
			for e := range wire.NotifyType(64) {
				if s.one().MayCarry(e) {
					t.Errorf("%s looks like %s", typ, e)
				}
			}
		}
	}
}
