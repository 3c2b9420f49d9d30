package ike

import (
	"testing"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// say has e send what a command makes it send, and s its SA.
func (x *bench) say(t *testing.T, e *Endpoint, s *SA, c Command) Datagram {
	t.Helper()
	out := e.Command(x.now, s, c)
	if len(out.Datagrams) != 1 {
		t.Fatalf("%T sent %d datagrams, want 1", c, len(out.Datagrams))
	}
	return out.Datagrams[0]
}

// late are the states at the end of an SA, or of one of its children: what the
// far side says then is what crossings are made of. Each brings an SA of x.b
// (or of x.a, for answers: there it is the side that asks) there.
var late = []struct {
	name  string
	state engine.IKEState
	bring func(t *testing.T, x *bench, own, far *Endpoint, s, other *SA)
}{
	{"its own DELETE of the IKE SA is on its way", engine.IKEDeleting, func(t *testing.T, x *bench, own, _ *Endpoint, s, _ *SA) {
		x.say(t, own, s, DeleteIKE{})
	}},
	{"the far side has rekeyed the IKE SA, and not deleted it yet", engine.IKERekeyed, func(t *testing.T, x *bench, own, far *Endpoint, _, other *SA) {
		x.pass(own, x.say(t, far, other, RekeyIKE{}))
	}},
	{"it has rekeyed the IKE SA itself, and its DELETE is on its way", engine.IKEDeleting, func(t *testing.T, x *bench, own, far *Endpoint, s, _ *SA) {
		d := x.say(t, own, s, RekeyIKE{})
		for _, answer := range x.pass(far, d).Datagrams {
			x.pass(own, answer)
		}
	}},
	{"both sides rekey the IKE SA", engine.IKERekeying, func(t *testing.T, x *bench, own, far *Endpoint, s, other *SA) {
		d := x.say(t, far, other, RekeyIKE{})
		x.say(t, own, s, RekeyIKE{})
		x.pass(own, d)
	}},
	{"both sides rekey the child SA", engine.IKEEstablished, func(t *testing.T, x *bench, own, far *Endpoint, s, other *SA) {
		d := x.say(t, far, other, RekeyChild{SPI: other.children[0].in})
		x.say(t, own, s, RekeyChild{SPI: s.children[0].in})
		x.pass(own, d)
	}},
	{"the far side has rekeyed the child SA, and not deleted it yet", engine.IKEEstablished, func(t *testing.T, x *bench, own, far *Endpoint, _, other *SA) {
		x.pass(own, x.say(t, far, other, RekeyChild{SPI: other.children[0].in}))
	}},
	{"it deletes the child SA that the far side rekeys", engine.IKEEstablished, func(t *testing.T, x *bench, own, far *Endpoint, s, other *SA) {
		d := x.say(t, far, other, RekeyChild{SPI: other.children[0].in})
		x.say(t, own, s, DeleteChild{SPI: s.children[0].in})
		x.pass(own, d)
	}},
	{"the far side deletes the IKE SA that it rekeys", engine.IKEDeleted, func(t *testing.T, x *bench, own, far *Endpoint, s, other *SA) {
		d := x.say(t, far, other, DeleteIKE{})
		x.say(t, own, s, RekeyIKE{})
		x.pass(own, d)
	}},
}

func TestLateStatesAreThoseOfTheirNames(t *testing.T) {
	for _, l := range late {
		t.Run(l.name, func(t *testing.T) {
			x := newBench(t, Settings{}).up()
			l.bring(t, x, x.b, x.a, x.sb, x.sa)
			if x.sb.state != l.state {
				t.Errorf("state is %s, want %s", x.sb.state, l.state)
			}
			x = newBench(t, Settings{}).up()
			l.bring(t, x, x.a, x.b, x.sa, x.sb)
			if x.sa.state != l.state {
				t.Errorf("as initiator the state is %s, want %s", x.sa.state, l.state)
			}
			x.over(t, x.a)
			x.over(t, x.b)
		})
	}
}

// FuzzLateRequest sends requests that pass the integrity check to an SA in
// each of the late states.
func FuzzLateRequest(f *testing.F) {
	for exchange, chains := range seedPayloads(f) {
		for _, ps := range chains {
			first, plain := chain(ps)
			for state := range late {
				f.Add(uint8(state), uint8(exchange), first, plain)
			}
		}
	}
	f.Fuzz(func(t *testing.T, state, exchange, first uint8, plain []byte) {
		if len(plain) > 4096 || exchange == uint8(wire.ExchangeIKESAInit) {
			return
		}
		x := newBench(t, Settings{}).up()
		late[int(state)%len(late)].bring(t, x, x.b, x.a, x.sb, x.sa)
		h := x.sa.header(wire.ExchangeType(exchange), x.sb.in.next, false)
		out := x.b.Step(x.now, Input{Datagram: &Datagram{Local: x.sb.path.local, Remote: x.sb.path.remote,
			Octets: sealedBy(t, x.sa, h, wire.PayloadType(first), plain)}})
		x.sound(t, x.b, out)
		x.over(t, x.b)
	})
}

// FuzzLateResponse sends answers that pass the integrity check to an SA that
// waits for one in each of the late states.
func FuzzLateResponse(f *testing.F) {
	for _, chains := range seedPayloads(f) {
		for _, ps := range chains {
			first, plain := chain(ps)
			for state := range late {
				f.Add(uint8(state), first, plain)
			}
		}
	}
	f.Fuzz(func(t *testing.T, state, first uint8, plain []byte) {
		if len(plain) > 4096 {
			return
		}
		x := newBench(t, Settings{}).up()
		late[int(state)%len(late)].bring(t, x, x.a, x.b, x.sa, x.sb)
		if len(x.sa.out.requests) == 0 {
			return // it only waits for the far side
		}
		sent, err := wire.ParseHeader(x.sa.out.requests[0].wire[0])
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
