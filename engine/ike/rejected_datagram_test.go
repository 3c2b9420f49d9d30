package ike

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// stranger sends an endpoint what belongs to no IKE SA.
func stranger(d Datagram) func(*testing.T, string) Output {
	return func(t *testing.T, _ string) Output {
		x := newBench(t, Settings{})
		d.Local, d.Remote = netip.AddrPortFrom(benchB, 500), netip.AddrPortFrom(benchA, 500)
		return x.take(x.b, &d)
	}
}

func strangeHeader(h wire.Header) Datagram {
	m := wire.Message{Header: h}
	return Datagram{Octets: m.Append(nil)}
}

// standing sends an end of a tunnel that stands what make makes.
func standing(make func(t *testing.T, x *bench, own, far end) []byte) func(*testing.T, string) Output {
	return func(t *testing.T, role string) Output {
		x := newBench(t, Settings{}).up()
		own, far := x.ends(role)
		return x.sends(own, make(t, x, own, far))
	}
}

// empty is a sealed message of an end without payloads, its header changed.
func empty(alter func(*wire.Header)) func(*testing.T, *bench, end, end) []byte {
	return func(t *testing.T, _ *bench, _, far end) []byte {
		h := far.s.header(wire.ExchangeInformational, far.s.out.next, false)
		alter(&h)
		return sealedBy(t, far.s, h, 0, nil)
	}
}

// fragment is one fragment of a message of an end's.
func fragment(number, total byte, octets int) func(*testing.T, *bench, end, end) []byte {
	return func(t *testing.T, _ *bench, _, far end) []byte {
		b, err := far.s.sealed(far.s.header(wire.ExchangeInformational, far.s.out.next, false), wire.PayloadSKF, wire.PayloadNotify,
			[]byte{0, number, 0, total}, make([]byte, octets))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

// rejectedDatagrams are messages that are refused for what they are, before
// what they hold counts.
var rejectedDatagrams = []rejection{
	{name: "a datagram of nothing", role: "responder", do: stranger(Datagram{})},
	{name: "octets that are no header", role: "responder", do: stranger(Datagram{Octets: []byte{1, 2, 3}})},
	{name: "major version 3", role: "responder", do: stranger(strangeHeader(wire.Header{InitiatorSPI: 1, Version: 0x30, Exchange: wire.ExchangeIKESAInit, Flags: wire.FlagInitiator}))},
	{name: "IKEv1", role: "responder", do: stranger(strangeHeader(wire.Header{InitiatorSPI: 1, Version: wire.Version1, Exchange: 2}))},
	{name: "IKE_SA_INIT with an SPI of the responder", role: "responder", do: stranger(strangeHeader(wire.Header{InitiatorSPI: 1, ResponderSPI: 2, Version: wire.Version2,
		Exchange: wire.ExchangeIKESAInit, Flags: wire.FlagInitiator}))},
	{name: "an SPI that nobody has", role: "responder", do: stranger(strangeHeader(wire.Header{InitiatorSPI: 1, ResponderSPI: 2, Version: wire.Version2,
		Exchange: wire.ExchangeInformational, Flags: wire.FlagInitiator, MessageID: 7}))},
	{name: "the other flag of the initiator, and the same SPI", do: standing(func(t *testing.T, x *bench, own, far end) []byte {
		h := far.s.header(wire.ExchangeInformational, far.s.out.next, false)
		h.Flags ^= wire.FlagInitiator
		h.InitiatorSPI, h.ResponderSPI = h.ResponderSPI, h.InitiatorSPI
		return sealedBy(t, far.s, h, 0, nil)
	})},
	{name: "another SPI of the far side", do: standing(func(t *testing.T, x *bench, own, far end) []byte {
		h := far.s.header(wire.ExchangeInformational, far.s.out.next, false)
		if own.s.initiator {
			h.ResponderSPI++
		} else {
			h.InitiatorSPI++
		}
		return sealedBy(t, far.s, h, 0, nil)
	})},
	{name: "a deletion in the clear", do: standing(func(t *testing.T, x *bench, own, far end) []byte {
		m := wire.Message{Header: far.s.header(wire.ExchangeInformational, far.s.out.next, false),
			Payloads: []wire.Payload{payload(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolIKE})}}
		return m.Append(nil)
	})},
	{name: "IKE_AUTH before there are keys", role: "initiator", do: func(t *testing.T, _ string) Output {
		x := newBench(t, Settings{})
		d := x.begin()
		m := wire.Message{Header: wire.Header{InitiatorSPI: x.sa.spiI, ResponderSPI: 5, Version: wire.Version2, Exchange: wire.ExchangeIKEAuth, Flags: wire.FlagResponse, MessageID: 1},
			Payloads: notify(wire.NotifyAuthenticationFailed, nil)}
		return x.take(x.a, &Datagram{Local: d.Local, Remote: d.Remote, Octets: m.Append(nil)})
	}},
	{name: "an answer to no request", held: true, do: standing(empty(func(h *wire.Header) { h.Flags |= wire.FlagResponse; h.MessageID = 99 }))},
	{name: "a second answer to IKE_SA_INIT", role: "initiator", held: true, do: func(t *testing.T, _ string) Output {
		x := newBench(t, Settings{})
		d := x.pass(x.b, x.begin()).Datagrams[0]
		x.pass(x.a, d)
		return x.pass(x.a, d)
	}},
	{name: "a request ahead of the window", do: standing(empty(func(h *wire.Header) { h.MessageID += 2 }))},
	{name: "a request of long ago", role: "responder", do: func(t *testing.T, role string) Output {
		x := newBench(t, Settings{}).up()
		own, far := x.ends(role)
		for range 3 {
			x.pass(far.e, x.pass(own.e, x.say(t, far.e, far.s, Probe{})).Datagrams[0])
		}
		return x.sends(own, sealedBy(t, far.s, far.s.header(wire.ExchangeInformational, 2, false), 0, nil))
	}},
	{name: "a payload that is longer than the message", do: standing(func(t *testing.T, x *bench, own, far end) []byte {
		b := sealedBy(t, far.s, far.s.header(wire.ExchangeInformational, far.s.out.next, false), 0, nil)
		b[wire.HeaderLength+2] ^= 0x80
		return b
	})},
	{name: "a changed octet under the seal", do: standing(func(t *testing.T, x *bench, own, far end) []byte {
		b := sealedBy(t, far.s, far.s.header(wire.ExchangeInformational, far.s.out.next, false), 0, nil)
		b[len(b)-1] ^= 1
		return b
	})},
	{name: "fragment 0", do: standing(fragment(0, 2, 8))},
	{name: "fragment 3 of 2", do: standing(fragment(3, 2, 8))},
	{name: "200 fragments", do: standing(fragment(1, 200, 8))},
	{name: "fragments that were not agreed", do: func(t *testing.T, role string) Output {
		x := newBench(t, Settings{}).up()
		own, far := x.ends(role)
		own.s.peerFragments = false
		return x.sends(own, fragment(1, 2, 8)(t, x, own, far))
	}},
	{name: "fragments that are too long together", do: func(t *testing.T, role string) Output {
		x := newBench(t, Settings{}).up()
		own, far := x.ends(role)
		x.sends(own, fragment(1, 3, 40000)(t, x, own, far))
		return x.sends(own, fragment(2, 3, 40000)(t, x, own, far))
	}},
	{name: "fragments of which the rest does not come", held: true, do: func(t *testing.T, role string) Output {
		x := newBench(t, Settings{}).up()
		own, far := x.ends(role)
		out := x.sends(own, fragment(1, 3, 8)(t, x, own, far))
		x.now = out.Deadline
		return own.e.Step(x.now, Input{})
	}},
	{name: "an unknown critical payload", do: asked(wire.ExchangeInformational, func(*bench, end, end) []wire.Payload {
		return []wire.Payload{{Type: 99, Critical: true, Body: &wire.Unknown{Data: []byte{1}}}}
	})},
	{name: "a malformed payload under the seal", do: func(t *testing.T, role string) Output {
		x := newBench(t, Settings{}).up()
		own, far := x.ends(role)
		return x.sends(own, sealedBy(t, far.s, far.s.header(wire.ExchangeInformational, far.s.out.next, false), wire.PayloadNotify, []byte{0, 0, 0, 5, 1}))
	}},
	{name: "an answer with a malformed payload", do: func(t *testing.T, role string) Output {
		x := newBench(t, Settings{}).up()
		own, far := x.ends(role)
		d := x.say(t, own.e, own.s, Probe{})
		h, err := wire.ParseHeader(d.Octets)
		if err != nil {
			t.Fatal(err)
		}
		return x.sends(own, sealedBy(t, far.s, far.s.header(h.Exchange, h.MessageID, true), wire.PayloadDelete, []byte{0, 0, 0, 5, 1}))
	}},
	{name: "an exchange that nobody knows", do: asked(99, func(*bench, end, end) []wire.Payload { return nil })},
	{name: "IKE_AUTH once more", do: asked(wire.ExchangeIKEAuth, func(_ *bench, _, far end) []wire.Payload {
		return []wire.Payload{payload(wire.PayloadIDi, &far.s.localID), payload(wire.PayloadAuth, &wire.Auth{Method: 2, Data: make([]byte, 32)})}
	})},
	{name: "CREATE_CHILD_SA before IKE_AUTH", role: "responder", do: func(t *testing.T, _ string) Output {
		x := newBench(t, Settings{})
		x.pass(x.a, x.pass(x.b, x.begin()).Datagrams[0])
		for _, s := range x.b.SAs() {
			x.sb = s
		}
		first, plain := chain(notify(wire.NotifyInitialContact, nil))
		return x.pass(x.b, Datagram{Local: x.sa.path.local, Remote: x.sa.path.remote,
			Octets: sealedBy(t, x.sa, x.sa.header(wire.ExchangeInformational, 1, false), wire.PayloadType(first), plain)})
	}},
	{name: "a request that overtakes the answer to IKE_AUTH", role: "initiator", do: func(t *testing.T, _ string) Output {
		x := newBench(t, Settings{})
		x.pass(x.b, x.pass(x.a, x.pass(x.b, x.begin()).Datagrams[0]).Datagrams[0])
		for _, s := range x.b.SAs() {
			x.sb = s
		}
		own, far := x.ends("initiator")
		return x.asks(own, far, wire.ExchangeInformational, nil)
	}},
	{name: "a request to an IKE SA that has ended", held: true, do: func(t *testing.T, role string) Output {
		x := newBench(t, Settings{}).up()
		own, far := x.ends(role)
		x.pass(own.e, x.say(t, far.e, far.s, DeleteIKE{}))
		return x.sends(own, make28(far.s))
	}},
	{name: "a request from an address that is not followed", held: true, do: func(t *testing.T, role string) Output {
		x := newBench(t, Settings{}).up()
		own, far := x.ends(role)
		return x.take(own.e, &Datagram{Local: own.s.path.local, Remote: elsewhere,
			Octets: sealedBy(t, far.s, far.s.header(wire.ExchangeInformational, far.s.out.next, false), 0, nil)})
	}},
	{name: "no answer to a request", do: func(t *testing.T, role string) Output {
		x := newBench(t, Settings{}).up()
		own, _ := x.ends(role)
		own.e.Command(x.now, own.s, Probe{})
		return runOut(t, x, own.e)
	}},
	{name: "no IKE_AUTH after IKE_SA_INIT", role: "responder", do: func(t *testing.T, _ string) Output {
		x := newBench(t, Settings{})
		x.pass(x.b, x.begin())
		return runOut(t, x, x.b)
	}},
	{name: "the peer tells AUTHENTICATION_FAILED", do: asked(wire.ExchangeInformational, func(*bench, end, end) []wire.Payload {
		return notify(wire.NotifyAuthenticationFailed, nil)
	})},
	{name: "the peer tells INVALID_SELECTORS", do: asked(wire.ExchangeInformational, func(*bench, end, end) []wire.Payload {
		return notify(wire.NotifyInvalidSelectors, nil)
	})},
	{name: "the peer deletes a child that nobody has", held: true, do: asked(wire.ExchangeInformational, func(*bench, end, end) []wire.Payload {
		return []wire.Payload{payload(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolESP, SPISize: 4, SPIs: [][]byte{{1, 2, 3, 4}}})}
	})},
	{name: "the peer deletes an SA of AH", held: true, do: asked(wire.ExchangeInformational, func(*bench, end, end) []wire.Payload {
		return []wire.Payload{payload(wire.PayloadDelete, &wire.Delete{Protocol: wire.ProtocolAH, SPISize: 4, SPIs: [][]byte{{1, 2, 3, 4}}})}
	})},
}

// make28 is a header alone, of a request to come.
func make28(far *SA) []byte {
	m := wire.Message{Header: far.header(wire.ExchangeInformational, far.out.next, false)}
	return slices.Clone(m.Append(nil))
}

// runOut lets an endpoint's timers run out until something fails.
func runOut(t *testing.T, x *bench, e *Endpoint) Output {
	t.Helper()
	for range 100 {
		due := e.Deadline()
		if due.IsZero() {
			break
		}
		if x.now = due; x.now.IsZero() {
			x.now = x.now.Add(time.Second)
		}
		if out := e.Step(x.now, Input{}); out.Err != nil {
			return out
		}
	}
	t.Fatal("nothing fails")
	return Output{}
}
