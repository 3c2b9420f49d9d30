package ike

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// bench is two endpoints joined directly. Tests take the keys of one of them to
// send what no engine would.
type bench struct {
	tb   testing.TB
	now  time.Time
	a, b *Endpoint
	sa   *SA // of a, the initiator
	sb   *SA // of b
}

var (
	benchA = netip.MustParseAddr("192.0.2.1")
	benchB = netip.MustParseAddr("192.0.2.2")
)

func benchConnection(tb testing.TB, local, remote netip.Addr, own, peer, ts, peerTS string) *Connection {
	tb.Helper()
	id := func(s string) wire.ID {
		id, err := auth.ParseID(s)
		if err != nil {
			tb.Fatal(err)
		}
		return id
	}
	proposals := func(p wire.ProtocolID, s ...string) [][]wire.Transform {
		ps, err := ParseProposals(p, s...)
		if err != nil {
			tb.Fatal(err)
		}
		return ps
	}
	selector := func(s string) []wire.TrafficSelector {
		return []wire.TrafficSelector{PrefixSelector(netip.MustParsePrefix(s))}
	}
	return &Connection{Name: "gw", Local: local, Remote: remote, LocalID: id(own), RemoteID: auth.Exactly(id(peer)),
		Credentials: auth.SharedKeys{{Key: suite.NewSecret([]byte("a key of the tests"))}},
		Proposals:   proposals(wire.ProtocolIKE, "aes128gcm16-prfsha256-curve25519-ecp256"),
		Children: []*ChildConfig{{Name: "net", Proposals: proposals(wire.ProtocolESP, "aes128gcm16-curve25519-ecp256"),
			LocalTS: selector(ts), RemoteTS: selector(peerTS)}}}
}

func newBench(tb testing.TB, set Settings) *bench {
	tb.Helper()
	x := &bench{tb: tb, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), a: NewEndpoint(set), b: NewEndpoint(set)}
	for _, err := range []error{
		x.a.Add(benchConnection(tb, benchA, benchB, "a.example", "b.example", "10.1.0.0/16", "10.2.0.0/16")),
		x.b.Add(benchConnection(tb, benchB, benchA, "b.example", "a.example", "10.2.0.0/16", "10.1.0.0/16")),
	} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	return x
}

// begin has a send its first message and gives it.
func (x *bench) begin() Datagram {
	x.tb.Helper()
	sa, out, err := x.a.Initiate(x.now, "gw", netip.Addr{})
	if err != nil || len(out.Datagrams) != 1 {
		x.tb.Fatalf("initiate: %v, %d datagrams", err, len(out.Datagrams))
	}
	x.sa = sa
	return out.Datagrams[0]
}

// pass hands a datagram of one side to the other.
func (x *bench) pass(to *Endpoint, d Datagram) Output {
	return x.take(to, &Datagram{Local: d.Remote, Remote: d.Local, Marked: d.Marked, Octets: d.Octets})
}

// take steps an endpoint with a datagram: what it refuses it has to explain.
func (x *bench) take(to *Endpoint, d *Datagram) Output {
	x.tb.Helper()
	out := to.Step(x.now, Input{Datagram: d})
	if f := Unexplained(&out); f != "" {
		x.tb.Error(f)
	}
	return out
}

// up sets the tunnel up.
func (x *bench) up() *bench {
	x.tb.Helper()
	to, other := x.b, x.a
	queue := []Datagram{x.begin()}
	for len(queue) > 0 {
		out := x.pass(to, queue[0])
		queue = append(queue[1:], out.Datagrams...)
		to, other = other, to
	}
	for _, s := range x.b.SAs() {
		x.sb = s
	}
	if x.sb == nil || len(x.sa.children) != 1 || len(x.sb.children) != 1 {
		x.tb.Fatalf("no tunnel: %s", x.sa.why)
	}
	return x
}

// sealedBy makes a message that only the holder of an SA's keys can make.
func sealedBy(tb testing.TB, s *SA, h wire.Header, first wire.PayloadType, plain []byte) []byte {
	tb.Helper()
	s.prepare()
	b, err := s.sealed(h, wire.PayloadSK, first, nil, plain)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// forge gives b a request of a's keys and gives the inner payloads of the
// answer, nil where there is none.
func (x *bench) forge(h wire.Header, ps []wire.Payload) ([]wire.Payload, Output) {
	x.tb.Helper()
	first := wire.PayloadNone
	if len(ps) > 0 {
		first = ps[0].Type
	}
	return x.forgeOctets(h, first, wire.AppendPayloads(nil, ps))
}

func (x *bench) forgeOctets(h wire.Header, first wire.PayloadType, plain []byte) ([]wire.Payload, Output) {
	x.tb.Helper()
	out := x.take(x.b, &Datagram{Local: x.sb.path.local, Remote: x.sb.path.remote, Octets: sealedBy(x.tb, x.sa, h, first, plain)})
	if len(out.Datagrams) == 0 {
		return nil, out
	}
	raw := out.Datagrams[0].Octets
	m, err := wire.Parse(raw)
	if err != nil {
		x.tb.Fatal(err)
	}
	if _, sealed := m.Sealed(); !sealed {
		return nil, out // for nobody
	}
	opened, inner, _, err := x.sa.unseal(raw, m)
	if err != nil {
		x.tb.Fatal(err)
	}
	answer, _ := wire.ParsePayloads(inner, wire.Version2, opened)
	return answer, out
}

// request is the header of a's next request.
func (x *bench) request(t wire.ExchangeType) wire.Header { return x.sa.header(t, x.sa.out.next, false) }

func notifyPayload(n wire.Notify) []wire.Payload {
	return []wire.Payload{payload(wire.PayloadNotify, &n)}
}

// childPayloads is a request for a child as a would send it.
func (x *bench) childPayloads() []wire.Payload {
	var o *childOffer
	x.sa.now = x.now
	o = x.sa.offerChild(x.sa.conn.Children[0], true)
	if err := o.exchange(x.sa); err != nil {
		x.tb.Fatal(err)
	}
	return o.payloads(x.sa)
}

// ikePayloads is a request for a new IKE SA as a would send it.
func (x *bench) ikePayloads() []wire.Payload {
	t := &rekeyIKETask{}
	x.sa.now = x.now
	_, ps, _ := t.build(x.sa)
	x.sa.state = engine.IKEEstablished
	return ps
}

func without(ps []wire.Payload, t wire.PayloadType) []wire.Payload {
	return slices.DeleteFunc(slices.Clone(ps), func(p wire.Payload) bool { return p.Type == t })
}

// edit changes the payload of a type.
func edit[B wire.Body](ps []wire.Payload, t wire.PayloadType, f func(B)) []wire.Payload {
	f(wire.First(ps, t).Body.(B))
	return ps
}

func TestBentRequestsAreAnsweredAsTheRFCSays(t *testing.T) {
	info, create := wire.ExchangeInformational, wire.ExchangeCreateChildSA
	del := func(p wire.ProtocolID, size uint8, spis ...[]byte) []wire.Payload {
		return []wire.Payload{payload(wire.PayloadDelete, &wire.Delete{Protocol: p, SPISize: size, SPIs: spis})}
	}
	rows := []struct {
		name   string
		header func(*wire.Header)
		x      wire.ExchangeType
		ps     func(x *bench) []wire.Payload
		answer wire.NotifyType // 0: no error in the answer
		silent bool
		ends   bool
	}{
		{name: "empty", x: info},
		{name: "unknown payload", x: info, ps: func(*bench) []wire.Payload { return []wire.Payload{{Type: 99, Body: &wire.Unknown{Data: []byte{1}}}} }},
		{name: "unknown critical payload", x: info, answer: wire.NotifyUnsupportedCriticalPayload, ps: func(*bench) []wire.Payload {
			return []wire.Payload{{Type: 99, Critical: true, Body: &wire.Unknown{Data: []byte{1}}}}
		}},
		{name: "reserved bits", x: info, ps: func(*bench) []wire.Payload {
			return []wire.Payload{{Type: wire.PayloadVendor, Reserved: 0x55, Body: &wire.VendorID{Data: []byte{1}}}}
		}},
		{name: "higher minor version", x: info, header: func(h *wire.Header) { h.Version = 0x21 }},
		{name: "version flag", x: info, header: func(h *wire.Header) { h.Flags |= wire.FlagVersion }},
		{name: "unknown exchange", x: 99, answer: wire.NotifyInvalidSyntax},
		{name: "IKE_AUTH once more", x: wire.ExchangeIKEAuth, answer: wire.NotifyInvalidSyntax, ps: func(x *bench) []wire.Payload {
			return []wire.Payload{payload(wire.PayloadIDi, &x.sa.localID), payload(wire.PayloadAuth, &wire.Auth{Method: 2, Data: make([]byte, 32)})}
		}},
		{name: "message id ahead of the window", x: info, silent: true, header: func(h *wire.Header) { h.MessageID += 2 }},
		{name: "message id of long ago", x: info, silent: true, header: func(h *wire.Header) { h.MessageID = 0 }},
		{name: "other initiator flag", x: info, silent: true, header: func(h *wire.Header) { h.Flags &^= wire.FlagInitiator }},
		{name: "other SPI", x: info, silent: true, header: func(h *wire.Header) { h.InitiatorSPI++ }},
		{name: "response to no request", x: info, silent: true, header: func(h *wire.Header) { h.Flags |= wire.FlagResponse }},

		{name: "deletion of an unknown child", x: info, ps: func(*bench) []wire.Payload { return del(wire.ProtocolESP, 4, []byte{1, 2, 3, 4}) }},
		{name: "deletion of an AH SA", x: info, ps: func(*bench) []wire.Payload { return del(wire.ProtocolAH, 4, []byte{1, 2, 3, 4}) }},
		{name: "INVALID_SELECTORS", x: info, ps: func(*bench) []wire.Payload { return notify(wire.NotifyInvalidSelectors, nil) }},
		{name: "INVALID_SPI", x: info, ps: func(*bench) []wire.Payload { return notify(wire.NotifyInvalidSPI, []byte{1, 2, 3, 4}) }},
		{name: "unknown error", x: info, ps: func(*bench) []wire.Payload { return notify(8000, nil) }},
		{name: "unknown status", x: info, ps: func(*bench) []wire.Payload { return notify(40000, nil) }},
		{name: "AUTHENTICATION_FAILED", x: info, ends: true, ps: func(*bench) []wire.Payload { return notify(wire.NotifyAuthenticationFailed, nil) }},
		{name: "INVALID_SYNTAX", x: info, ends: true, ps: func(*bench) []wire.Payload { return notify(wire.NotifyInvalidSyntax, nil) }},

		{name: "child", x: create, ps: (*bench).childPayloads},
		{name: "child, payloads in another order", x: create, ps: func(x *bench) []wire.Payload { ps := x.childPayloads(); slices.Reverse(ps); return ps }},
		{name: "child without Nonce", x: create, answer: wire.NotifyInvalidSyntax, ps: func(x *bench) []wire.Payload { return without(x.childPayloads(), wire.PayloadNonce) }},
		{name: "child without TSr", x: create, answer: wire.NotifyInvalidSyntax, ps: func(x *bench) []wire.Payload { return without(x.childPayloads(), wire.PayloadTSr) }},
		{name: "child without KE", x: create, answer: wire.NotifyInvalidKEPayload, ps: func(x *bench) []wire.Payload { return without(x.childPayloads(), wire.PayloadKE) }},
		{name: "child with two SAs", x: create, answer: wire.NotifyInvalidSyntax, ps: func(x *bench) []wire.Payload {
			ps := x.childPayloads()
			return append(ps, ps[0])
		}},
		{name: "child of AH", x: create, answer: wire.NotifyNoProposalChosen, ps: func(x *bench) []wire.Payload {
			return edit(x.childPayloads(), wire.PayloadSA, func(s *wire.SA) { s.Proposals[0].Protocol = wire.ProtocolAH })
		}},
		{name: "child with an unknown transform type", x: create, answer: wire.NotifyNoProposalChosen, ps: func(x *bench) []wire.Payload {
			return edit(x.childPayloads(), wire.PayloadSA, func(s *wire.SA) {
				s.Proposals[0].Transforms = append(slices.Clone(s.Proposals[0].Transforms), wire.Transform{Type: 200, ID: 1})
			})
		}},
		{name: "child with an unknown attribute", x: create, answer: wire.NotifyNoProposalChosen, ps: func(x *bench) []wire.Payload {
			return edit(x.childPayloads(), wire.PayloadSA, func(s *wire.SA) {
				ts := slices.Clone(s.Proposals[0].Transforms)
				ts[0].Attributes = append(slices.Clone(ts[0].Attributes), wire.Attribute{Type: 77, Short: true})
				s.Proposals[0].Transforms = ts
			})
		}},
		{name: "child with a KE value of zeros", x: create, answer: wire.NotifyInvalidSyntax, ps: func(x *bench) []wire.Payload {
			return edit(x.childPayloads(), wire.PayloadKE, func(k *wire.KE) { k.Data = make([]byte, 32) })
		}},
		{name: "child with a KE value of another length", x: create, answer: wire.NotifyInvalidSyntax, ps: func(x *bench) []wire.Payload {
			return edit(x.childPayloads(), wire.PayloadKE, func(k *wire.KE) { k.Data = k.Data[:31] })
		}},
		{name: "child with an SPI of 8 octets", x: create, answer: wire.NotifyInvalidSyntax, ps: func(x *bench) []wire.Payload {
			return edit(x.childPayloads(), wire.PayloadSA, func(s *wire.SA) { s.Proposals[0].SPI = make([]byte, 8) })
		}},
		{name: "child for other addresses", x: create, answer: wire.NotifyTSUnacceptable, ps: func(x *bench) []wire.Payload {
			return edit(x.childPayloads(), wire.PayloadTSr, func(ts *wire.TS) { ts.Selectors = []wire.TrafficSelector{host(benchA)} })
		}},
		{name: "child with selectors of an unknown type only", x: create, answer: wire.NotifyTSUnacceptable, ps: func(x *bench) []wire.Payload {
			return edit(x.childPayloads(), wire.PayloadTSr, func(ts *wire.TS) {
				ts.Selectors = []wire.TrafficSelector{{Type: 200, Data: []byte{0, 0, 0, 1}}}
			})
		}},
		{name: "rekeying of an unknown child", x: create, answer: wire.NotifyChildSANotFound, ps: func(x *bench) []wire.Payload {
			return append(notifyPayload(wire.Notify{Protocol: wire.ProtocolESP, SPI: []byte{1, 2, 3, 4}, Type: wire.NotifyRekeySA}), x.childPayloads()...)
		}},
		{name: "rekeying of an AH SA", x: create, answer: wire.NotifyChildSANotFound, ps: func(x *bench) []wire.Payload {
			return append(notifyPayload(wire.Notify{Protocol: wire.ProtocolAH, SPI: spiOctets(x.sa.children[0].in), Type: wire.NotifyRekeySA}), x.childPayloads()...)
		}},
		{name: "new IKE SA", x: create, ps: (*bench).ikePayloads},
		{name: "new IKE SA without KE", x: create, answer: wire.NotifyInvalidSyntax, ps: func(x *bench) []wire.Payload { return without(x.ikePayloads(), wire.PayloadKE) }},
		{name: "new IKE SA with SPI 0", x: create, answer: wire.NotifyInvalidSyntax, ps: func(x *bench) []wire.Payload {
			return edit(x.ikePayloads(), wire.PayloadSA, func(s *wire.SA) { s.Proposals[0].SPI = make([]byte, 8) })
		}},
		{name: "new IKE SA with an unknown cipher", x: create, answer: wire.NotifyNoProposalChosen, ps: func(x *bench) []wire.Payload {
			return edit(x.ikePayloads(), wire.PayloadSA, func(s *wire.SA) {
				s.Proposals[0].Transforms = slices.Clone(s.Proposals[0].Transforms)
				s.Proposals[0].Transforms[0].ID = 999
			})
		}},
		{name: "new IKE SA with another group", x: create, answer: wire.NotifyInvalidKEPayload, ps: func(x *bench) []wire.Payload {
			return edit(x.ikePayloads(), wire.PayloadKE, func(k *wire.KE) { k.Group = wire.KEModp2048 })
		}},
		{name: "new IKE SA with a KE value of zeros", x: create, answer: wire.NotifyInvalidSyntax, ps: func(x *bench) []wire.Payload {
			return edit(x.ikePayloads(), wire.PayloadKE, func(k *wire.KE) { k.Data = make([]byte, 32) })
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			x := newBench(t, Settings{Packets: true}).up()
			h := x.request(row.x)
			if row.header != nil {
				row.header(&h)
			}
			var ps []wire.Payload
			if row.ps != nil {
				ps = row.ps(x)
			}
			answer, out := x.forge(h, ps)
			if row.silent {
				if answer != nil || out.Err != nil && !out.Err.Survived {
					t.Errorf("%d datagrams and %v, want silence", len(out.Datagrams), out.Err)
				}
				return
			}
			if answer == nil {
				t.Fatalf("no answer: %v", out.Err)
			}
			m := &message{payloads: answer}
			switch n := m.refusal(); {
			case row.answer == 0 && n != nil, row.answer != 0 && (n == nil || n.Type != row.answer):
				t.Errorf("answer %s, %v; want error %s", payloadNames(answer), n, row.answer)
			case row.answer == wire.NotifyUnsupportedCriticalPayload && (len(n.Data) != 1 || n.Data[0] != 99):
				t.Errorf("the answer names payload %v, want 99", n.Data)
			case row.answer != 0 && (out.Err == nil || out.Err.RFC == "" || out.Err.Error() == ""):
				if row.answer != wire.NotifyChildSANotFound {
					t.Errorf("the error is %v", out.Err)
				}
			}
			row.ends = row.ends || row.answer == wire.NotifyInvalidSyntax // always fatal (RFC 7296 2.21.3)
			if x.sb.ended() != row.ends {
				t.Errorf("ended: %v (%s), want %v", x.sb.ended(), x.sb.why, row.ends)
			}
			if row.ends {
				return
			}
			// The SA still answers.
			h = x.request(wire.ExchangeInformational)
			h.MessageID++
			if h2 := x.sb.rekey.next; h2 == nil {
				if answer, _ := x.forge(h, nil); answer == nil {
					t.Error("the SA does not answer any more")
				}
			}
		})
	}
}

func TestRequestsThatAreNotAuthenticChangeNothing(t *testing.T) {
	x := newBench(t, Settings{}).up()
	good := sealedBy(t, x.sa, x.request(wire.ExchangeInformational), wire.PayloadDelete,
		wire.AppendPayloads(nil, []wire.Payload{payload(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolIKE})}))
	before := *x.sb
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 0x40
		x.b.Step(x.now, Input{Datagram: &Datagram{Local: x.sb.path.local, Remote: netip.MustParseAddrPort("203.0.113.9:500"), Octets: bad}})
		x.b.Step(x.now, Input{Datagram: &Datagram{Local: x.sb.path.local, Remote: x.sb.path.remote, Octets: good[:i]}})
	}
	if x.sb.state != before.state || x.sb.in.next != before.in.next || x.sb.path != before.path || x.sb.timers != before.timers {
		t.Errorf("the state changed: %s, next %d", x.sb.state, x.sb.in.next)
	}
	clear := wire.Message{Header: x.request(wire.ExchangeInformational), Payloads: []wire.Payload{payload(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolIKE})}}
	out := x.b.Step(x.now, Input{Datagram: &Datagram{Local: x.sb.path.local, Remote: x.sb.path.remote, Octets: clear.Append(nil)}})
	if x.sb.ended() || out.Err == nil || !out.Err.Survived {
		t.Errorf("a deletion in the clear: %v", out.Err)
	}
}

func TestStrangersAreAnsweredInTheClearAndSparingly(t *testing.T) {
	x := newBench(t, Settings{}).up()
	rows := []struct {
		name string
		h    wire.Header
		want wire.NotifyType
	}{
		{"unknown SPI", wire.Header{InitiatorSPI: 1, ResponderSPI: 2, Version: wire.Version2, Exchange: wire.ExchangeInformational, Flags: wire.FlagInitiator, MessageID: 7}, wire.NotifyInvalidIKESPI},
		{"unknown SPI of a responder", wire.Header{InitiatorSPI: 1, ResponderSPI: 2, Version: wire.Version2, Exchange: wire.ExchangeInformational, MessageID: 7}, wire.NotifyInvalidIKESPI},
		{"major version 3", wire.Header{InitiatorSPI: 1, Version: 0x30, Exchange: wire.ExchangeIKESAInit, Flags: wire.FlagInitiator}, wire.NotifyInvalidMajorVersion},
		{"response", wire.Header{InitiatorSPI: 1, ResponderSPI: 2, Version: wire.Version2, Exchange: wire.ExchangeInformational, Flags: wire.FlagResponse}, 0},
		{"IKEv1", wire.Header{InitiatorSPI: 1, Version: wire.Version1, Exchange: 2}, 0},
		{"IKE_SA_INIT with a responder's SPI", wire.Header{InitiatorSPI: 1, ResponderSPI: 2, Version: wire.Version2, Exchange: wire.ExchangeIKESAInit, Flags: wire.FlagInitiator}, 0},
		{"IKE_SA_INIT with message id 1", wire.Header{InitiatorSPI: 1, Version: wire.Version2, Exchange: wire.ExchangeIKESAInit, Flags: wire.FlagInitiator, MessageID: 1}, 0},
	}
	for _, row := range rows {
		m := wire.Message{Header: row.h}
		out := x.b.Step(x.now, Input{Datagram: &Datagram{Local: x.sb.path.local, Remote: x.sb.path.remote, Octets: m.Append(nil)}})
		if row.want == 0 {
			if len(out.Datagrams) > 0 || out.Err == nil {
				t.Errorf("%s: answered, or no error", row.name)
			}
			continue
		}
		if len(out.Datagrams) != 1 {
			t.Errorf("%s: %d answers", row.name, len(out.Datagrams))
			continue
		}
		answer, err := wire.Parse(out.Datagrams[0].Octets)
		if err != nil || wire.FindNotify(answer.Payloads, row.want) == nil || answer.MessageID != row.h.MessageID || !answer.Response() || answer.Initiator() == row.h.Initiator() {
			t.Errorf("%s: answer %+v, %v", row.name, answer.Header, err)
		}
	}
	answers := 0
	m := wire.Message{Header: rows[0].h}
	for range 100 {
		answers += len(x.b.Step(x.now, Input{Datagram: &Datagram{Local: x.sb.path.local, Remote: x.sb.path.remote, Octets: m.Append(nil)}}).Datagrams)
	}
	if answers > 10 {
		t.Errorf("%d answers to strangers in a second", answers)
	}
	for _, d := range []Datagram{{Octets: []byte{0xff}, Marked: true}, {Octets: []byte{1, 2, 3, 4, 5, 6, 7, 8, 9}, Marked: true}} {
		if out := x.b.Step(x.now, Input{Datagram: &d}); out.Err != nil || len(out.Datagrams) > 0 {
			t.Errorf("%x: %v", d.Octets, out.Err)
		}
	}
	for _, d := range []Datagram{{}, {Octets: []byte{1}}, {Octets: []byte{0, 0, 0, 0, 1}, Marked: true}, {Octets: []byte{1}, Marked: true}} {
		if out := x.b.Step(x.now, Input{Datagram: &d}); out.Err == nil || len(out.Datagrams) > 0 {
			t.Errorf("%x: no error", d.Octets)
		}
	}
}

func TestBentAnswersToInitEndTheAttemptOrAreIgnored(t *testing.T) {
	rows := []struct {
		name  string
		alter func(m *wire.Message)
		ends  bool
		want  string
	}{
		{"NO_PROPOSAL_CHOSEN", func(m *wire.Message) { m.Payloads = notify(wire.NotifyNoProposalChosen, nil) }, true, "refuses IKE_SA_INIT"},
		{"a group that was not offered", func(m *wire.Message) { m.Payloads = notify(wire.NotifyInvalidKEPayload, []byte{0, 14}) }, true, "MODP_2048"},
		{"the group that was sent", func(m *wire.Message) { m.Payloads = notify(wire.NotifyInvalidKEPayload, []byte{0, 31}) }, true, "wants group"},
		{"a group cut off", func(m *wire.Message) { m.Payloads = notify(wire.NotifyInvalidKEPayload, []byte{0}) }, true, "wants group"},
		{"a cookie of 65 octets", func(m *wire.Message) { m.Payloads = notify(wire.NotifyCookie, make([]byte, 65)) }, true, "65 octets"},
		{"SPI 0", func(m *wire.Message) { m.ResponderSPI = 0 }, true, "SPI 0"},
		{"two proposals", func(m *wire.Message) {
			edit(m.Payloads, wire.PayloadSA, func(s *wire.SA) { s.Proposals = append(s.Proposals, s.Proposals[0]) })
		}, true, "exactly one proposal"},
		{"a proposal with another number", func(m *wire.Message) {
			edit(m.Payloads, wire.PayloadSA, func(s *wire.SA) { s.Proposals[0].Number = 9 })
		}, true, "not offered"},
		{"another cipher", func(m *wire.Message) {
			edit(m.Payloads, wire.PayloadSA, func(s *wire.SA) { s.Proposals[0].Transforms[0].ID = wire.EncrAESCBC })
		}, true, "not exactly one"},
		{"two ciphers", func(m *wire.Message) {
			edit(m.Payloads, wire.PayloadSA, func(s *wire.SA) {
				s.Proposals[0].Transforms = append(s.Proposals[0].Transforms, s.Proposals[0].Transforms[0])
			})
		}, true, "not exactly one"},
		{"an unknown transform type", func(m *wire.Message) {
			edit(m.Payloads, wire.PayloadSA, func(s *wire.SA) {
				s.Proposals[0].Transforms = append(s.Proposals[0].Transforms, wire.Transform{Type: 99})
			})
		}, true, "not offered"},
		{"no PRF", func(m *wire.Message) {
			edit(m.Payloads, wire.PayloadSA, func(s *wire.SA) {
				s.Proposals[0].Transforms = slices.DeleteFunc(s.Proposals[0].Transforms, func(t wire.Transform) bool { return t.Type == wire.TransformPRF })
			})
		}, true, "PRF"},
		{"KE of another group", func(m *wire.Message) {
			edit(m.Payloads, wire.PayloadKE, func(k *wire.KE) { k.Group = wire.KEECP256 })
		}, true, "sent was"},
		{"KE of zeros", func(m *wire.Message) {
			edit(m.Payloads, wire.PayloadKE, func(k *wire.KE) { k.Data = make([]byte, 32) })
		}, true, "low order"},
		{"no Nonce", func(m *wire.Message) { m.Payloads = without(m.Payloads, wire.PayloadNonce) }, false, "is missing"},
		{"a message id of 1", func(m *wire.Message) { m.MessageID = 1 }, false, ""},
		{"an initiator flag", func(m *wire.Message) { m.Flags |= wire.FlagInitiator }, false, ""},
		{"major version 3", func(m *wire.Message) { m.Version = 0x30 }, false, "major version"},
		{"an unknown critical payload", func(m *wire.Message) {
			m.Payloads = append(m.Payloads, wire.Payload{Type: 99, Critical: true, Body: &wire.Unknown{}})
		}, false, "critical"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			x := newBench(t, Settings{})
			out := x.pass(x.b, x.begin())
			m, err := wire.Parse(out.Datagrams[0].Octets)
			if err != nil {
				t.Fatal(err)
			}
			row.alter(m)
			d := out.Datagrams[0]
			d.Octets = m.Append(nil)
			got := x.pass(x.a, d)
			if x.sa.ended() != row.ends {
				t.Errorf("ended %v (%s), want %v", x.sa.ended(), x.sa.why, row.ends)
			}
			if row.want != "" && (got.Err == nil || !strings.Contains(strings.ToLower(got.Err.Error()), strings.ToLower(row.want))) {
				t.Errorf("error %v, want %q", got.Err, row.want)
			}
			if !row.ends {
				if got := x.pass(x.a, out.Datagrams[0]); len(got.Datagrams) != 1 {
					t.Errorf("the true answer is not taken after a forged one: %v", got.Err)
				}
			}
		})
	}
}

func TestBentInitRequestsAreRefused(t *testing.T) {
	rows := []struct {
		name  string
		alter func(m *wire.Message)
		want  wire.NotifyType
	}{
		{"no KE", func(m *wire.Message) { m.Payloads = without(m.Payloads, wire.PayloadKE) }, wire.NotifyInvalidSyntax},
		{"an unknown critical payload", func(m *wire.Message) {
			m.Payloads = append(m.Payloads, wire.Payload{Type: 99, Critical: true, Body: &wire.Unknown{}})
		}, wire.NotifyUnsupportedCriticalPayload},
		{"a KE value of zeros", func(m *wire.Message) {
			edit(m.Payloads, wire.PayloadKE, func(k *wire.KE) { k.Data = make([]byte, 32) })
		}, wire.NotifyInvalidSyntax},
		{"a KE of another group", func(m *wire.Message) {
			edit(m.Payloads, wire.PayloadKE, func(k *wire.KE) { k.Group = wire.KEModp2048 })
		}, wire.NotifyInvalidKEPayload},
		{"another cipher", func(m *wire.Message) {
			edit(m.Payloads, wire.PayloadSA, func(s *wire.SA) { s.Proposals[0].Transforms[0].ID = wire.Encr3DES })
		}, wire.NotifyNoProposalChosen},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			x := newBench(t, Settings{})
			d := x.begin()
			m, err := wire.Parse(d.Octets)
			if err != nil {
				t.Fatal(err)
			}
			row.alter(m)
			d.Octets = m.Append(nil)
			out := x.pass(x.b, d)
			if len(out.Datagrams) != 1 || out.Err == nil || out.Err.Notify != row.want {
				t.Fatalf("%d answers, %v; want %s", len(out.Datagrams), out.Err, row.want)
			}
			if h := x.b.Held(); h != (Holdings{}) {
				t.Errorf("the responder keeps %+v", h)
			}
		})
	}
}

func TestBentAnswersToTheChildAreUndone(t *testing.T) {
	rows := []struct {
		name  string
		alter func([]wire.Payload) []wire.Payload
		want  string
	}{
		{"wider selectors", func(ps []wire.Payload) []wire.Payload {
			return edit(ps, wire.PayloadTSr, func(ts *wire.TS) {
				ts.Selectors = []wire.TrafficSelector{PrefixSelector(netip.MustParsePrefix("10.0.0.0/8"))}
			})
		}, "widened"},
		{"transport mode", func(ps []wire.Payload) []wire.Payload { return append(ps, notify(wire.NotifyUseTransportMode, nil)...) }, "mode"},
		{"another group", func(ps []wire.Payload) []wire.Payload {
			return edit(ps, wire.PayloadKE, func(k *wire.KE) { k.Group = wire.KEModp2048 })
		}, "group"},
		{"a KE value of zeros", func(ps []wire.Payload) []wire.Payload {
			return edit(ps, wire.PayloadKE, func(k *wire.KE) { k.Data = make([]byte, 32) })
		}, "low order"},
		{"two proposals", func(ps []wire.Payload) []wire.Payload {
			return edit(ps, wire.PayloadSA, func(s *wire.SA) { s.Proposals = append(s.Proposals, s.Proposals[0]) })
		}, "exactly one"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			x := newBench(t, Settings{}).up()
			out := x.a.Command(x.now, x.sa, RekeyChild{SPI: x.sa.children[0].in})
			answer := x.pass(x.b, out.Datagrams[0])
			raw := answer.Datagrams[0].Octets
			m, err := wire.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			plain, first, _, err := x.sa.unseal(raw, m)
			if err != nil {
				t.Fatal(err)
			}
			inner, _ := wire.ParsePayloads(first, wire.Version2, plain)
			inner = row.alter(inner)
			d := answer.Datagrams[0]
			d.Octets = sealedBy(t, x.sb, m.Header, inner[0].Type, wire.AppendPayloads(nil, inner))
			got := x.pass(x.a, d)
			if got.Err == nil || !strings.Contains(got.Err.Error(), row.want) || !got.Err.Survived {
				t.Errorf("error %v, want %q", got.Err, row.want)
			}
			if len(got.Datagrams) != 1 || x.sa.ended() {
				t.Errorf("%d requests follow, want a deletion of what the peer made", len(got.Datagrams))
			}
			if n := len(slices.DeleteFunc(slices.Clone(x.sa.children), func(c *child) bool { return !c.installed })); n != 1 {
				t.Errorf("%d children are installed, want the old one", n)
			}
		})
	}
}

func TestEventsOfRefusedTransformsNameBothSides(t *testing.T) {
	x := newBench(t, Settings{})
	x.b.conns[0].Proposals, _ = ParseProposals(wire.ProtocolIKE, "aes256-sha256-curve25519", "aes128gcm16-prfsha512-curve25519")
	out := x.pass(x.b, x.begin())
	var lines []string
	for _, e := range out.Events {
		if c := e.Check; c != nil && !c.OK {
			lines = append(lines, c.What+": "+c.Local+" / "+c.Remote)
		}
	}
	want := []string{
		"ENCR of proposal 1 with our proposal 1: aes256 / aes128gcm16",
		"INTEG of proposal 1 with our proposal 1: sha256 / none",
		"PRF of proposal 1 with our proposal 2: prfsha512 / prfsha256",
		"IKE proposals: aes256-sha256-curve25519, aes128gcm16-prfsha512-curve25519 / aes128gcm16-prfsha256-curve25519-ecp256",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("events:\n%s\nwant:\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if out.Events[0].Check.Kind != event.CheckTransform {
		t.Errorf("kind %s", out.Events[0].Check.Kind)
	}
}
