package ike

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var updateRejections = flag.Bool("rejections.update", false, "write testdata/rejections.txt anew")

// rejection is one place where a message, or a part of one, is refused.
type rejection struct {
	name string
	role string // "initiator" or "responder": who refuses; "" for either, tried in both
	do   func(t *testing.T, role string) Output
	held bool // it holds, or is ignored: there is no failure
}

// TestEveryRejectionTellsTheValuesOfBothSides provokes each place where the
// engine refuses something, in each role that it can happen in, and compares
// what it tells with the table in testdata. Values that chance makes stand
// there as "...".
func TestEveryRejectionTellsTheValuesOfBothSides(t *testing.T) {
	const path = "testdata/rejections.txt"
	var b strings.Builder
	for _, group := range [][]rejection{rejectedDatagrams, rejectedInits, rejectedProofs, rejectedChildren, rejectedRekeyings} {
		for _, r := range group {
			roles := []string{"initiator", "responder"}
			if r.role != "" {
				roles = []string{r.role}
			}
			for _, role := range roles {
				t.Run(r.name+"/"+role, func(t *testing.T) {
					out := r.do(t, role)
					if (out.Err == nil) != r.held {
						t.Errorf("the failure is %v", out.Err)
					}
					if f := Unexplained(&out); f != "" {
						t.Error(f)
					}
					fmt.Fprintf(&b, "%s, %s\n%s", r.name, role, told(&out))
				})
			}
		}
	}
	got := b.String()
	if *updateRejections {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	have, wanted := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range min(len(have), len(wanted)) {
		if have[i] != wanted[i] {
			t.Fatalf("line %d of %s:\ngot  %s\nwant %s\n(-rejections.update writes it anew)", i+1, path, have[i], wanted[i])
		}
	}
	t.Fatalf("%d lines, %s has %d", len(have), path, len(wanted))
}

// random are what chance makes: SPIs, hashes, MACs, cookies.
var random = regexp.MustCompile(`\b[0-9a-f]{8,}\b`)

// told writes the checks that did not hold.
func told(out *Output) string {
	var b strings.Builder
	for _, e := range out.Events {
		c := e.Check
		if c == nil || c.OK {
			continue
		}
		fmt.Fprintf(&b, "\t%s: %s: here %s; the peer %s", c.Kind, c.What, c.Local, c.Remote)
		if c.Why != "" {
			fmt.Fprintf(&b, " (%s)", c.Why)
		}
		fmt.Fprintf(&b, " [%s]\n", c.RFC)
	}
	if b.Len() == 0 {
		return "\tnothing is told\n"
	}
	return random.ReplaceAllString(b.String(), "...")
}

// end is one end of a tunnel that stands.
type end struct {
	e *Endpoint
	s *SA
}

// ends gives the end that plays a role, and the other.
func (x *bench) ends(role string) (own, far end) {
	own, far = end{x.a, x.sa}, end{x.b, x.sb}
	if role == "responder" {
		own, far = far, own
	}
	return own, far
}

// sends gives one end octets of the other's.
func (x *bench) sends(own end, octets []byte) Output {
	return x.take(own.e, &Datagram{Local: own.s.path.local, Remote: own.s.path.remote, Marked: own.s.path.marked, Octets: octets})
}

// asks gives one end a request that only the other can have made.
func (x *bench) asks(own, far end, t wire.ExchangeType, ps []wire.Payload) Output {
	x.tb.Helper()
	first, plain := chain(ps)
	return x.sends(own, sealedBy(x.tb, far.s, far.s.header(t, far.s.out.next, false), wire.PayloadType(first), plain))
}

// answers gives one end an answer of the other's to its oldest request.
func (x *bench) answers(own, far end, ps []wire.Payload) Output {
	x.tb.Helper()
	sent, err := wire.ParseHeader(own.s.out.requests[0].wire[0])
	if err != nil {
		x.tb.Fatal(err)
	}
	first, plain := chain(ps)
	return x.sends(own, sealedBy(x.tb, far.s, far.s.header(sent.Exchange, sent.MessageID, true), wire.PayloadType(first), plain))
}

// opened gives what stands in a sealed message to an SA.
func opened(tb testing.TB, to *SA, raw []byte) (*wire.Message, []wire.Payload) {
	tb.Helper()
	m, err := wire.Parse(raw)
	if err != nil {
		tb.Fatal(err)
	}
	to.prepare()
	plain, first, _, err := to.unseal(raw, m)
	if err != nil {
		tb.Fatal(err)
	}
	ps, _ := wire.ParsePayloads(first, wire.Version2, plain)
	return m, ps
}

// bentInit has the message of IKE_SA_INIT changed that a role takes.
func bentInit(alter func(x *bench, m *wire.Message)) func(*testing.T, string) Output {
	return bentInitWith(nil, alter)
}

// bentInitWith is bentInit with the two connections changed first.
func bentInitWith(prepare func(a, b *Connection), alter func(x *bench, m *wire.Message)) func(*testing.T, string) Output {
	return func(t *testing.T, role string) Output {
		x := newBench(t, Settings{})
		if prepare != nil {
			prepare(x.a.conns[0], x.b.conns[0])
		}
		d, to := x.begin(), x.b
		if role == "initiator" {
			d, to = x.pass(x.b, d).Datagrams[0], x.a
		}
		m, err := wire.Parse(d.Octets)
		if err != nil {
			t.Fatal(err)
		}
		if alter != nil {
			alter(x, m)
		}
		d.Octets = m.Append(nil)
		return x.pass(to, d)
	}
}

// bentAuth has the message of IKE_AUTH changed that a role takes, and the two
// connections before it all.
func bentAuth(prepare func(a, b *Connection), alter func(x *bench, ps []wire.Payload) []wire.Payload) func(*testing.T, string) Output {
	return func(t *testing.T, role string) Output {
		x := newBench(t, Settings{})
		if prepare != nil {
			prepare(x.a.conns[0], x.b.conns[0])
		}
		d := x.pass(x.a, x.pass(x.b, x.begin()).Datagrams[0]).Datagrams[0]
		for _, s := range x.b.SAs() {
			x.sb = s
		}
		own, from, to := x.sb, x.sa, x.b
		if role == "initiator" {
			d = x.pass(x.b, d).Datagrams[0]
			own, from, to = x.sa, x.sb, x.a
		}
		m, ps := opened(t, own, d.Octets)
		if alter != nil {
			ps = alter(x, ps)
		}
		first, plain := chain(ps)
		d.Octets = sealedBy(t, from, m.Header, wire.PayloadType(first), plain)
		return x.pass(to, d)
	}
}

// bentAnswer has an end ask for something and the answer to it changed.
func bentAnswer(c func(own end) Command, alter func(x *bench, ps []wire.Payload) []wire.Payload) func(*testing.T, string) Output {
	return func(t *testing.T, role string) Output {
		x := newBench(t, Settings{}).up()
		own, far := x.ends(role)
		d := x.pass(far.e, x.say(t, own.e, own.s, c(own))).Datagrams[0]
		m, ps := opened(t, own.s, d.Octets)
		first, plain := chain(alter(x, ps))
		d.Octets = sealedBy(t, far.s, m.Header, wire.PayloadType(first), plain)
		return x.pass(own.e, d)
	}
}

// asked has an end take a request that the other end could send, changed.
func asked(t wire.ExchangeType, make func(x *bench, own, far end) []wire.Payload) func(*testing.T, string) Output {
	return func(tt *testing.T, role string) Output {
		x := newBench(tt, Settings{}).up()
		own, far := x.ends(role)
		return x.asks(own, far, t, make(x, own, far))
	}
}

// childRequestOf is a request for a child as an end would send it.
func (x *bench) childRequestOf(far end) []wire.Payload {
	far.s.now = x.now
	o := far.s.offerChild(far.s.conn.Children[0], true)
	if err := o.exchange(far.s); err != nil {
		x.tb.Fatal(err)
	}
	return o.payloads(far.s)
}

// ikeRequestOf is a request for a new IKE SA as an end would send it.
func (x *bench) ikeRequestOf(far end) []wire.Payload {
	far.s.now = x.now
	_, ps, _ := (&rekeyIKETask{}).build(far.s)
	far.s.state = engine.IKEEstablished
	return ps
}

// replaces says in a request which child it is to replace.
func replaces(spi wire.ESPSPI, ps []wire.Payload) []wire.Payload {
	return append(notifyPayload(wire.Notify{Protocol: wire.ProtocolESP, SPI: spiOctets(spi), Type: wire.NotifyRekeySA}), ps...)
}

var elsewhere = netip.MustParseAddrPort("203.0.113.9:500")

func zeros(n int) func(*wire.KE)   { return func(k *wire.KE) { k.Data = make([]byte, n) } }
func otherGroupOf(k *wire.KE)      { k.Group = wire.KEModp2048 }
func rekeyChildOf(own end) Command { return RekeyChild{SPI: own.s.children[0].in} }
func rekeyIKEOf(end) Command       { return RekeyIKE{} }
func twice(s *wire.SA)             { s.Proposals = append(s.Proposals, s.Proposals[0]) }

// withIDEA adds a cipher that this program knows by name only.
func withIDEA(proposals [][]wire.Transform) [][]wire.Transform {
	out := make([][]wire.Transform, 0, len(proposals))
	for _, ts := range proposals {
		out = append(out, append([]wire.Transform{{Type: wire.TransformEncr, ID: wire.EncrIDEA}}, ts...))
	}
	return out
}

// chooseIDEA has it chosen.
func chooseIDEA(s *wire.SA) {
	s.Proposals[0].Transforms = append([]wire.Transform(nil), s.Proposals[0].Transforms...)
	s.Proposals[0].Transforms[0] = wire.Transform{Type: wire.TransformEncr, ID: wire.EncrIDEA}
}

func otherCipher(s *wire.SA) {
	s.Proposals[0].Transforms = append([]wire.Transform(nil), s.Proposals[0].Transforms...)
	s.Proposals[0].Transforms[0] = wire.Transform{Type: wire.TransformEncr, ID: wire.Encr3DES}
}
