package ike

import (
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// sound fails where a step has left an SA, or what came out, in no sensible
// state.
func (x *bench) sound(t *testing.T, e *Endpoint, out Output) {
	t.Helper()
	if d := e.Deadline(); !d.IsZero() && d.Before(x.now) {
		t.Fatalf("a timer is %s in the past", x.now.Sub(d))
	}
	if out.Err != nil && (out.Err.Text == "" || out.Err.Error() == "") {
		t.Fatal("an error without words")
	}
	if f := Unexplained(&out); f != "" {
		t.Fatal(f)
	}
	for _, s := range e.SAs() {
		if s.Waiting() == "" {
			t.Fatal("an SA does not know what it waits for")
		}
		if s.ended() && (len(s.children) > 0 || len(s.out.requests) > 0 || s.why == "") {
			t.Fatalf("an SA that has ended holds %d children and %d requests; why: %q", len(s.children), len(s.out.requests), s.why)
		}
		for _, c := range s.children {
			if c.gone {
				t.Fatal("a child that is gone is still there")
			}
		}
	}
	for i := range out.Datagrams {
		octets := out.Datagrams[i].Octets
		if out.Datagrams[i].Marked {
			_, octets = wire.ClassifyUDP(octets, true)
		}
		if len(octets) > 0 {
			if _, err := wire.Parse(octets); err != nil {
				t.Fatalf("a datagram of ours is malformed: %v", err)
			}
		}
	}
}

// over lets everything run out: nothing may be left.
func (x *bench) over(t *testing.T, e *Endpoint) {
	t.Helper()
	for _, s := range e.SAs() {
		s.prepare()
		if s.keys != nil && !s.ended() {
			e.Command(x.now, s, DeleteIKE{})
		}
	}
	for steps := 0; !e.Deadline().IsZero(); steps++ {
		if steps == 10000 {
			t.Fatal("the timers do not come to an end")
		}
		x.now = e.Deadline()
		e.Step(x.now, Input{})
	}
	if h := e.Held(); h != (Holdings{}) {
		t.Fatalf("left at the end: %+v", h)
	}
}

// seedPayloads are chains that mean something, for the fuzzers to bend.
func seedPayloads(f *testing.F) map[wire.ExchangeType][][]wire.Payload {
	f.Helper()
	x := newBench(f, Settings{}).up()
	rekey := append(notifyPayload(wire.Notify{Protocol: wire.ProtocolESP, SPI: spiOctets(x.sa.children[0].in), Type: wire.NotifyRekeySA}), x.childPayloads()...)
	return map[wire.ExchangeType][][]wire.Payload{
		wire.ExchangeCreateChildSA: {x.childPayloads(), rekey, x.ikePayloads()},
		wire.ExchangeInformational: {
			nil, notify(wire.NotifyAuthenticationFailed, nil), notify(wire.NotifySetWindowSize, []byte{0, 0, 0, 4}),
			{payload(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolIKE})},
			{payload(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolESP, SPISize: 4, SPIs: [][]byte{spiOctets(x.sa.children[0].in)}})},
		},
	}
}

func chain(ps []wire.Payload) (uint8, []byte) {
	if len(ps) == 0 {
		return 0, nil
	}
	return uint8(ps[0].Type), wire.AppendPayloads(nil, ps)
}

// FuzzEstablishedRequest sends requests that pass the integrity check to an SA
// that stands.
func FuzzEstablishedRequest(f *testing.F) {
	for x, chains := range seedPayloads(f) {
		for _, ps := range chains {
			first, plain := chain(ps)
			f.Add(uint8(x), first, uint8(0), plain)
			f.Add(uint8(x), first, uint8(1), plain)
		}
	}
	f.Fuzz(func(t *testing.T, exchange, first, busy uint8, plain []byte) {
		if len(plain) > 4096 || exchange == uint8(wire.ExchangeIKESAInit) {
			return
		}
		x := newBench(t, Settings{}).up()
		switch busy % 4 { // b has something of its own on its way
		case 1:
			x.b.Command(x.now, x.sb, RekeyChild{SPI: x.sb.children[0].in})
		case 2:
			x.b.Command(x.now, x.sb, RekeyIKE{})
		case 3:
			x.b.Command(x.now, x.sb, DeleteChild{SPI: x.sb.children[0].in})
		}
		h := x.request(wire.ExchangeType(exchange))
		out := x.b.Step(x.now, Input{Datagram: &Datagram{Local: x.sb.path.local, Remote: x.sb.path.remote,
			Octets: sealedBy(t, x.sa, h, wire.PayloadType(first), plain)}})
		x.sound(t, x.b, out)
		if len(out.Datagrams) == 0 {
			t.Fatal("an authentic request was not answered")
		}
		x.over(t, x.b)
	})
}

// FuzzEstablishedResponse sends answers that pass the integrity check to an SA
// that waits for one.
func FuzzEstablishedResponse(f *testing.F) {
	for _, chains := range seedPayloads(f) {
		for _, ps := range chains {
			first, plain := chain(ps)
			for asked := range uint8(6) {
				f.Add(asked, first, plain)
			}
		}
	}
	f.Fuzz(func(t *testing.T, asked, first uint8, plain []byte) {
		if len(plain) > 4096 {
			return
		}
		x := newBench(t, Settings{}).up()
		c := []Command{RekeyChild{SPI: x.sa.children[0].in}, RekeyIKE{}, DeleteChild{SPI: x.sa.children[0].in}, DeleteIKE{}, Probe{}}
		if int(asked)%6 < 5 {
			x.a.Command(x.now, x.sa, c[int(asked)%6])
		} else {
			x.a.Command(x.now, x.sa, DeleteChild{SPI: x.sa.children[0].in})
			x.a.Command(x.now, x.sa, AddChild{Name: "net"})
		}
		r := x.sa.out.requests[0]
		sent, err := wire.ParseHeader(r.wire[0])
		if err != nil {
			t.Fatal(err)
		}
		h := x.sb.header(sent.Exchange, sent.MessageID, true)
		out := x.a.Step(x.now, Input{Datagram: &Datagram{Local: x.sa.path.local, Remote: x.sa.path.remote,
			Octets: sealedBy(t, x.sb, h, wire.PayloadType(first), plain)}})
		x.sound(t, x.a, out)
		x.over(t, x.a)
	})
}

// FuzzAuth sends IKE_AUTH messages that pass the integrity check to either
// side.
func FuzzAuth(f *testing.F) {
	x := newBench(f, Settings{})
	out := x.pass(x.b, x.begin())
	out = x.pass(x.a, out.Datagrams[0])
	m, err := wire.Parse(out.Datagrams[0].Octets)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range x.b.SAs() {
		s.prepare()
		plain, first, _, err := s.unseal(out.Datagrams[0].Octets, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(false, uint8(first), plain)
		f.Add(true, uint8(first), plain)
	}
	f.Fuzz(func(t *testing.T, response bool, first uint8, plain []byte) {
		if len(plain) > 4096 {
			return
		}
		x := newBench(t, Settings{})
		out := x.pass(x.b, x.begin())
		x.pass(x.a, out.Datagrams[0])
		for _, s := range x.b.SAs() {
			x.sb = s
		}
		from, to, e := x.sa, x.sb, x.b
		if response {
			from, to, e = x.sb, x.sa, x.a
		}
		h := from.header(wire.ExchangeIKEAuth, 1, response)
		got := e.Step(x.now, Input{Datagram: &Datagram{Local: to.path.local, Remote: to.path.remote,
			Octets: sealedBy(t, from, h, wire.PayloadType(first), plain)}})
		x.sound(t, e, got)
		if to.authenticated {
			t.Fatal("a proof over other nonces was believed")
		}
		x.over(t, e)
	})
}

// FuzzInit sends any octets to an endpoint that has an SA and to one that
// waits for the answer to IKE_SA_INIT.
func FuzzInit(f *testing.F) {
	x := newBench(f, Settings{})
	d := x.begin()
	f.Add(d.Octets, false)
	f.Add(x.pass(x.b, d).Datagrams[0].Octets, true)
	f.Fuzz(func(t *testing.T, octets []byte, response bool) {
		x := newBench(t, Settings{})
		d := x.begin()
		e, dg := x.b, &Datagram{Local: d.Remote, Remote: d.Local, Octets: octets}
		if response && len(octets) >= 8 {
			copy(octets, d.Octets[:8]) // the SPI, which the fuzzer cannot guess
			e, dg = x.a, &Datagram{Local: d.Local, Remote: d.Remote, Octets: octets}
		}
		out := e.Step(x.now, Input{Datagram: dg})
		x.sound(t, e, out)
		x.over(t, e)
	})
}

// FuzzFragments sends authentic fragments with any numbers.
func FuzzFragments(f *testing.F) {
	f.Add([]byte{1, 2, 2, 2}, []byte("some payloads"))
	f.Add([]byte{1, 1}, []byte{})
	f.Fuzz(func(t *testing.T, numbers, plain []byte) {
		if len(plain) > 2048 || len(numbers) > 64 {
			return
		}
		x := newBench(t, Settings{}).up()
		h := x.request(wire.ExchangeInformational)
		for i := 0; i+1 < len(numbers); i += 2 {
			b, err := x.sa.sealed(h, wire.PayloadSKF, wire.PayloadNotify, []byte{0, numbers[i], 0, numbers[i+1]}, plain)
			if err != nil {
				t.Fatal(err)
			}
			out := x.b.Step(x.now, Input{Datagram: &Datagram{Local: x.sb.path.local, Remote: x.sb.path.remote, Octets: b}})
			x.sound(t, x.b, out)
		}
		x.now = x.now.Add(time.Minute)
		x.b.Step(x.now, Input{})
		if x.sb.in.parts != nil && x.sb.state == engine.IKEEstablished {
			t.Fatal("an incomplete set of fragments is kept for ever")
		}
		x.over(t, x.b)
	})
}
