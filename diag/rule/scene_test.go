package rule_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// scene tells a story in events, packet by packet. Told with keys, encrypted
// messages are open; without, only their first payload type and their length
// show, as on a wire.
type scene struct {
	t     *testing.T
	trace *trace.Trace
	keys  bool
	frame int64
	now   time.Duration
	// a initiates, b responds; port is what both use now.
	a, b       netip.Addr
	port       uint16
	spiI, spiR wire.SPI
	last       *event.Packet
	serial     byte
}

var (
	alice = netip.MustParseAddr("192.0.2.1")
	bob   = netip.MustParseAddr("192.0.2.2")
	begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func newScene(t *testing.T, keys bool) *scene {
	return &scene{t: t, trace: trace.New(trace.Options{}), keys: keys, a: alice, b: bob, port: 500, spiI: 0xa1, spiR: 0xb1}
}

// wait lets time pass.
func (s *scene) wait(d time.Duration) *scene { s.now += d; return s }

// anew begins another IKE SA between the same hosts.
func (s *scene) anew() *scene { s.spiI += 0x100; s.spiR += 0x100; s.port = 500; return s }

// by is a side and a direction: the initiator's request, and so on.
type by struct {
	from     trace.Origin
	response bool
}

var (
	ask    = by{trace.Initiator, false}
	answer = by{trace.Responder, true}
	askR   = by{trace.Responder, false} // the responder asks
	answeR = by{trace.Initiator, true}
)

func (s *scene) add(e event.Event) {
	s.frame++
	e.Time, e.Frame = begin.Add(s.now), s.frame
	s.trace.Add(&e)
}

func (s *scene) send(w by, m *wire.Message) *event.Packet {
	from, to := s.a, s.b
	if w.from == trace.Responder {
		from, to = to, from
	} else {
		m.Flags |= wire.FlagInitiator
	}
	if w.response {
		m.Flags |= wire.FlagResponse
	}
	octets := m.Append(nil)
	parsed, err := wire.Parse(octets)
	if err != nil {
		s.t.Fatalf("the scene's own message: %v", err)
	}
	p := &event.Packet{
		Src: from, Dst: to, SrcPort: s.port, DstPort: s.port, Proto: event.IKEv2, Encap: event.UDP,
		Length: len(octets), Octets: octets, IKE: &event.IKE{Message: parsed},
	}
	if s.port == 4500 {
		p.Encap = event.UDPNATT
	}
	s.last = p
	return p
}

// clear sends a message in the clear.
func (s *scene) clear(w by, typ wire.ExchangeType, id uint32, payloads ...wire.Payload) *scene {
	m := &wire.Message{Header: wire.Header{InitiatorSPI: s.spiI, ResponderSPI: s.spiR, Version: wire.Version2, Exchange: typ, MessageID: id}, Payloads: payloads}
	if typ == wire.ExchangeIKESAInit && !w.response {
		m.ResponderSPI = 0
	}
	s.add(event.Event{Packet: s.send(w, m)})
	return s
}

// sealed sends an encrypted message of the suite of init: AES-GCM with 16
// octets of ICV.
func (s *scene) sealed(w by, typ wire.ExchangeType, id uint32, inner ...wire.Payload) *scene {
	first := wire.PayloadNone
	if len(inner) > 0 {
		first = inner[0].Type
	}
	plain := wire.AppendPayloads(nil, inner)
	data := make([]byte, 8+len(plain)+1+16)
	s.serial++
	data[0] = s.serial // two messages never have the same octets
	m := &wire.Message{
		Header:   wire.Header{InitiatorSPI: s.spiI, ResponderSPI: s.spiR, Version: wire.Version2, Exchange: typ, MessageID: id},
		Payloads: []wire.Payload{{Type: wire.PayloadSK, Next: first, Body: &wire.Encrypted{First: first, Data: data}}},
	}
	p := s.send(w, m)
	if s.keys {
		p.IKE.Decrypted, p.IKE.Plain = true, plain
		p.IKE.Inner, _ = wire.ParsePayloads(first, wire.Version2, plain)
		if p.IKE.Inner == nil {
			p.IKE.Inner = []wire.Payload{}
		}
	}
	s.add(event.Event{Packet: p})
	return s
}

// again repeats the last message, each time after the given wait.
func (s *scene) again(waits ...time.Duration) *scene {
	for _, d := range waits {
		s.wait(d)
		s.add(event.Event{Packet: s.last})
	}
	return s
}

// backoff is strongSwan's.
func backoff() []time.Duration {
	return []time.Duration{4 * time.Second, 7200 * time.Millisecond, 13 * time.Second, 23 * time.Second}
}

// esp sends n ESP packets from one host to another, one every interval.
func (s *scene) esp(from, to netip.Addr, spi wire.ESPSPI, firstSeq uint32, n int, every time.Duration) *scene {
	for i := range n {
		s.espPacket(from, to, spi, firstSeq+uint32(i), 120)
		s.wait(every)
	}
	return s
}

func (s *scene) espPacket(from, to netip.Addr, spi wire.ESPSPI, seq uint32, length int) {
	p := &event.Packet{Src: from, Dst: to, Proto: event.ESP, Encap: event.IP, Length: length, ESP: &event.SecurityPacket{SPI: spi, Seq: seq}}
	if s.port == 4500 {
		p.SrcPort, p.DstPort, p.Encap = 4500, 4500, event.UDPNATT
	}
	s.add(event.Event{Packet: p})
}

// The payloads of the stories.

func proposal(t *testing.T, proto wire.ProtocolID, words ...string) wire.Payload {
	t.Helper()
	sa := &wire.SA{}
	for i, w := range words {
		ts, err := wire.ParseProposal(proto, w)
		if err != nil {
			t.Fatal(err)
		}
		p := wire.Proposal{Number: uint8(i + 1), Protocol: proto, Transforms: ts}
		if proto == wire.ProtocolESP {
			p.SPI = []byte{0xc0, 0, 0, byte(i + 1)}
		}
		sa.Proposals = append(sa.Proposals, p)
	}
	return wire.Payload{Type: wire.PayloadSA, Body: sa}
}

const goodIKE, goodESP = "aes256gcm16-prfsha256-ecp256", "aes256gcm16"

func ke(group wire.KEMethod) wire.Payload {
	return wire.Payload{Type: wire.PayloadKE, Body: &wire.KE{Group: group, Data: make([]byte, 64)}}
}

func nonce() wire.Payload {
	return wire.Payload{Type: wire.PayloadNonce, Body: &wire.Nonce{Data: make([]byte, 32)}}
}

func notify(t wire.NotifyType, data ...byte) wire.Payload {
	return wire.Payload{Type: wire.PayloadNotify, Body: &wire.Notify{Type: t, Data: data}}
}

func u16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

func fqdn(typ wire.PayloadType, name string) wire.Payload {
	return wire.Payload{Type: typ, Body: &wire.ID{Type: wire.IDFQDN, Data: []byte(name)}}
}

func auth(method wire.AuthMethod, n int) wire.Payload {
	return wire.Payload{Type: wire.PayloadAuth, Body: &wire.Auth{Method: method, Data: make([]byte, n)}}
}

func ts(typ wire.PayloadType, prefixes ...string) wire.Payload {
	body := &wire.TS{}
	for _, p := range prefixes {
		first, last, _ := strings.Cut(p, "-")
		body.Selectors = append(body.Selectors, wire.TrafficSelector{
			Type: wire.TSIPv4AddrRange, EndPort: 65535, Start: netip.MustParseAddr(first), End: netip.MustParseAddr(last),
		})
	}
	return wire.Payload{Type: typ, Body: body}
}

func eap(code wire.EAPCode, typ wire.EAPType, data ...byte) wire.Payload {
	return wire.Payload{Type: wire.PayloadEAP, Body: &wire.EAP{Code: code, Type: typ, HasType: code <= wire.EAPResponse, Data: data}}
}

func deletes(proto wire.ProtocolID) wire.Payload {
	d := &wire.Delete{Protocol: proto}
	if proto != wire.ProtocolIKE {
		d.SPISize, d.SPIs = 4, [][]byte{{0xc0, 0, 0, 1}}
	}
	return wire.Payload{Type: wire.PayloadDelete, Body: d}
}

// The parts that most stories share.

// natd gives the NAT detection notifies that fit the scene's addresses.
func (s *scene) natd(w by, spiR wire.SPI) []wire.Payload {
	from, to := netip.AddrPortFrom(s.a, s.port), netip.AddrPortFrom(s.b, s.port)
	if w.from == trace.Responder {
		from, to = to, from
	}
	return []wire.Payload{
		notify(wire.NotifyNATDetectionSourceIP, engine.NATHash(s.spiI, spiR, from)...),
		notify(wire.NotifyNATDetectionDestinationIP, engine.NATHash(s.spiI, spiR, to)...),
	}
}

// initWith is an IKE_SA_INIT exchange that agrees on the given proposal.
func (s *scene) initWith(words string) *scene {
	s.clear(ask, wire.ExchangeIKESAInit, 0, append([]wire.Payload{proposal(s.t, wire.ProtocolIKE, words), ke(wire.KEECP256), nonce()}, s.natd(ask, 0)...)...)
	s.wait(20 * time.Millisecond)
	return s.clear(answer, wire.ExchangeIKESAInit, 0, append([]wire.Payload{proposal(s.t, wire.ProtocolIKE, words), ke(wire.KEECP256), nonce()}, s.natd(answer, s.spiR)...)...)
}

func (s *scene) init() *scene { return s.initWith(goodIKE).wait(20 * time.Millisecond) }

// authRequest is the first IKE_AUTH request of a shared key.
func (s *scene) authRequest() *scene {
	return s.sealed(ask, wire.ExchangeIKEAuth, 1,
		fqdn(wire.PayloadIDi, "a.example"), fqdn(wire.PayloadIDr, "b.example"), auth(wire.AuthSharedKey, 32), proposal(s.t, wire.ProtocolESP, goodESP),
		ts(wire.PayloadTSi, "10.1.0.0-10.1.0.255"), ts(wire.PayloadTSr, "10.2.0.0-10.2.0.255"))
}

func (s *scene) authResponse() *scene {
	return s.wait(20*time.Millisecond).sealed(answer, wire.ExchangeIKEAuth, 1,
		fqdn(wire.PayloadIDr, "b.example"), auth(wire.AuthSharedKey, 32), proposal(s.t, wire.ProtocolESP, goodESP),
		ts(wire.PayloadTSi, "10.1.0.0-10.1.0.255"), ts(wire.PayloadTSr, "10.2.0.0-10.2.0.255"))
}

// tunnel brings an IKE SA and a child up.
func (s *scene) tunnel() *scene { return s.init().authRequest().authResponse().wait(time.Second) }

// ping sends ESP in both directions.
func (s *scene) ping(n int) *scene {
	for i := range n {
		s.espPacket(s.a, s.b, 0xc0000002, uint32(i+1), 120)
		s.wait(10 * time.Millisecond)
		s.espPacket(s.b, s.a, 0xc0000001, uint32(i+1), 120)
		s.wait(time.Second)
	}
	return s
}

// rekey is a CHILD rekey with the Delete of the old SA.
func (s *scene) rekey(id uint32) *scene {
	return s.sealed(ask, wire.ExchangeCreateChildSA, id, notify(wire.NotifyRekeySA), proposal(s.t, wire.ProtocolESP, goodESP), nonce(),
		ts(wire.PayloadTSi, "10.1.0.0-10.1.0.255"), ts(wire.PayloadTSr, "10.2.0.0-10.2.0.255")).
		wait(20*time.Millisecond).
		sealed(answer, wire.ExchangeCreateChildSA, id, proposal(s.t, wire.ProtocolESP, goodESP), nonce(),
			ts(wire.PayloadTSi, "10.1.0.0-10.1.0.255"), ts(wire.PayloadTSr, "10.2.0.0-10.2.0.255")).
		sealed(ask, wire.ExchangeInformational, id+1, deletes(wire.ProtocolESP)).wait(20*time.Millisecond).
		sealed(answer, wire.ExchangeInformational, id+1, deletes(wire.ProtocolESP))
}

// probe is an empty INFORMATIONAL exchange.
func (s *scene) probe(id uint32) *scene {
	return s.sealed(ask, wire.ExchangeInformational, id).wait(10*time.Millisecond).sealed(answer, wire.ExchangeInformational, id)
}

// findings diagnoses the scene as it stands; the source has listened for the
// given time after the last packet.
func (s *scene) findings(after time.Duration) []diag.Finding {
	return diag.Diagnose(&diag.Facts{Source: "scene", Trace: s.trace, Now: begin.Add(s.now + after)}, rule.All())
}

// brief is what the tables compare.
func brief(found []diag.Finding) []string {
	l := []string{}
	for _, f := range found {
		b := fmt.Sprintf("%s %s %s", f.Severity, f.ID, f.Confidence)
		if len(f.Consequences) > 0 {
			b += " > " + strings.Join(f.Consequences, " ")
		}
		l = append(l, b)
	}
	return l
}

// story is one row of a table: what happens, and what is found without keys
// and with them.
type story struct {
	name        string
	tell        func(*scene)
	sealed      []string
	open        []string
	says        string // part of the first finding's summary, with keys
	sealedOnly  bool   // the story is the same with keys
	afterwards  time.Duration
	onlyWithKey bool
}

func tell(t *testing.T, stories []story) {
	t.Helper()
	for _, row := range stories {
		run := func(name string, keys bool, want []string) {
			t.Run(name, func(t *testing.T) {
				s := newScene(t, keys)
				row.tell(s)
				found := s.findings(row.afterwards)
				if want == nil {
					want = []string{}
				}
				if d := cmp.Diff(want, brief(found)); d != "" {
					for _, f := range found {
						t.Log(line(f))
					}
					t.Errorf("(-want +got):\n%s", d)
				}
				if (keys || row.sealedOnly) && row.says != "" && (len(found) == 0 || !strings.Contains(found[0].Summary, row.says)) {
					for _, f := range found {
						t.Log(line(f))
					}
					t.Errorf("no summary says %q", row.says)
				}
				for _, f := range found {
					checkFinding(t, f)
				}
			})
		}
		if !row.onlyWithKey {
			run(row.name, false, row.sealed)
		}
		if row.sealedOnly {
			row.open = row.sealed
		}
		run(row.name+" with keys", true, row.open)
	}
}

// checkFinding holds what is true of every finding.
func checkFinding(t *testing.T, f diag.Finding) {
	t.Helper()
	if f.Summary == "" || f.Cause == "" || len(f.Evidence) == 0 || f.Count < 1 || f.FirstSeen.IsZero() || f.LastSeen.Before(f.FirstSeen) {
		t.Errorf("%s is not complete: %+v", f.ID, f)
	}
	if f.Confidence != diag.Certain && f.Surer == "" {
		t.Errorf("%s is %s and does not say what would make it surer", f.ID, f.Confidence)
	}
	if f.Confidence == diag.Certain && f.Surer != "" && f.ID != "auth-failed-opaque" {
		t.Errorf("%s is certain and wants %q", f.ID, f.Surer)
	}
	if f.Ownership == diag.External {
		for _, r := range f.Remedies {
			if r.Side != "network" {
				t.Errorf("%s is external and advises %+v", f.ID, r)
			}
		}
	}
	for _, e := range f.Evidence {
		if e.Frame == 0 || e.What == "" {
			t.Errorf("%s has evidence without a frame or words: %+v", f.ID, e)
		}
	}
}
