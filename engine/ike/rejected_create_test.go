package ike

import (
	"net/netip"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// askedChild has an end take a request for a child, changed.
func askedChild(alter func(ps []wire.Payload) []wire.Payload) func(*testing.T, string) Output {
	return asked(wire.ExchangeCreateChildSA, func(x *bench, _, far end) []wire.Payload { return alter(x.childRequestOf(far)) })
}

// askedIKE has an end take a request for a new IKE SA, changed.
func askedIKE(alter func(ps []wire.Payload) []wire.Payload) func(*testing.T, string) Output {
	return asked(wire.ExchangeCreateChildSA, func(x *bench, _, far end) []wire.Payload { return alter(x.ikeRequestOf(far)) })
}

// part changes one payload.
func part[B wire.Body](t wire.PayloadType, f func(B)) func([]wire.Payload) []wire.Payload {
	return func(ps []wire.Payload) []wire.Payload { return edit(ps, t, f) }
}

func missing(t wire.PayloadType) func([]wire.Payload) []wire.Payload {
	return func(ps []wire.Payload) []wire.Payload { return without(ps, t) }
}

func as(n wire.NotifyType, data ...byte) func([]wire.Payload) []wire.Payload {
	return func([]wire.Payload) []wire.Payload { return notify(n, data) }
}

// answered changes the answer to what an end asks for by a command.
func answered(c func(end) Command, alter func([]wire.Payload) []wire.Payload) func(*testing.T, string) Output {
	return bentAnswer(c, func(_ *bench, ps []wire.Payload) []wire.Payload { return alter(ps) })
}

func spiOf(octets []byte) func(*wire.SA) { return func(s *wire.SA) { s.Proposals[0].SPI = octets } }

func wider(ts *wire.TS) {
	ts.Selectors = []wire.TrafficSelector{PrefixSelector(netip.MustParsePrefix("10.0.0.0/8"))}
}

func onlyHost(ts *wire.TS) { ts.Selectors = []wire.TrafficSelector{host(benchA)} }

// meanwhile gives the request of one end while the other waits for something.
func meanwhile(c func(own end) Command, request func(x *bench, far end) []wire.Payload) func(*testing.T, string) Output {
	return func(t *testing.T, role string) Output {
		x := newBench(t, Settings{}).up()
		own, far := x.ends(role)
		x.say(t, own.e, own.s, c(own))
		return x.asks(own, far, wire.ExchangeCreateChildSA, request(x, far))
	}
}

// again gives an end the same wish of the other's twice.
func again(request func(x *bench, far end) []wire.Payload) func(*testing.T, string) Output {
	return func(t *testing.T, role string) Output {
		x := newBench(t, Settings{}).up()
		own, far := x.ends(role)
		x.asks(own, far, wire.ExchangeCreateChildSA, request(x, far))
		far.s.out.next++
		return x.asks(own, far, wire.ExchangeCreateChildSA, request(x, far))
	}
}

// rejectedChildren are the refusals of CHILD SAs in CREATE_CHILD_SA: of
// requests, and of answers.
var rejectedChildren = []rejection{
	{name: "a child without Nonce", do: askedChild(missing(wire.PayloadNonce))},
	{name: "a child without TSr", do: askedChild(missing(wire.PayloadTSr))},
	{name: "a child without KE", do: askedChild(missing(wire.PayloadKE))},
	{name: "a child with KE of another group", do: askedChild(part(wire.PayloadKE, otherGroupOf))},
	{name: "a child with a KE value of zeros", do: askedChild(part(wire.PayloadKE, zeros(32)))},
	{name: "a child with another cipher", do: askedChild(part(wire.PayloadSA, otherCipher))},
	{name: "a child with a cipher that this program does not have", do: asked(wire.ExchangeCreateChildSA, func(x *bench, own, far end) []wire.Payload {
		own.s.conn.Children[0].Proposals = withIDEA(own.s.conn.Children[0].Proposals)
		return part(wire.PayloadSA, chooseIDEA)(x.childRequestOf(far))
	})},
	{name: "a child of AH", do: askedChild(part(wire.PayloadSA, func(s *wire.SA) { s.Proposals[0].Protocol = wire.ProtocolAH }))},
	{name: "a child with an SPI of 8 octets", do: askedChild(part(wire.PayloadSA, spiOf(make([]byte, 8))))},
	{name: "a child for other addresses", do: askedChild(part(wire.PayloadTSr, onlyHost))},
	{name: "a child where none is configured", do: func(t *testing.T, role string) Output {
		x := newBench(t, Settings{}).up()
		own, far := x.ends(role)
		ps := x.childRequestOf(far)
		own.s.conn.Children = nil
		return x.asks(own, far, wire.ExchangeCreateChildSA, ps)
	}},
	{name: "a child too many", do: func(t *testing.T, role string) Output {
		x := newBench(t, Settings{MaxChildren: 1}).up()
		own, far := x.ends(role)
		return x.asks(own, far, wire.ExchangeCreateChildSA, x.childRequestOf(far))
	}},
	{name: "a child in transport mode", held: true, do: askedChild(func(ps []wire.Payload) []wire.Payload {
		return append(ps, notify(wire.NotifyUseTransportMode, nil)...)
	})},
	{name: "the rekeying of a child that nobody has", held: true, do: askedChild(func(ps []wire.Payload) []wire.Payload { return replaces(0x01020304, ps) })},
	{name: "the rekeying of an SA of AH", held: true, do: askedChild(func(ps []wire.Payload) []wire.Payload {
		return append(notifyPayload(wire.Notify{Protocol: wire.ProtocolAH, SPI: []byte{1, 2, 3, 4}, Type: wire.NotifyRekeySA}), ps...)
	})},
	{name: "a child while the IKE SA is rekeyed", held: true, do: meanwhile(rekeyIKEOf, func(x *bench, far end) []wire.Payload { return x.childRequestOf(far) })},
	{name: "a child while the IKE SA is deleted", held: true, do: meanwhile(func(end) Command { return DeleteIKE{} }, func(x *bench, far end) []wire.Payload { return x.childRequestOf(far) })},
	{name: "the rekeying of a child that is being deleted", held: true, do: meanwhile(func(own end) Command { return DeleteChild{SPI: own.s.children[0].in} },
		func(x *bench, far end) []wire.Payload { return replaces(far.s.children[0].in, x.childRequestOf(far)) })},

	{name: "the rekeying of a child that the peer has rekeyed already", held: true, do: again(func(x *bench, far end) []wire.Payload {
		return replaces(far.s.children[0].in, x.childRequestOf(far))
	})},

	{name: "a child answered with wider selectors", do: answered(rekeyChildOf, part(wire.PayloadTSr, wider))},
	{name: "a child answered in transport mode", do: answered(rekeyChildOf, func(ps []wire.Payload) []wire.Payload {
		return append(ps, notify(wire.NotifyUseTransportMode, nil)...)
	})},
	{name: "a child answered with KE of another group", do: answered(rekeyChildOf, part(wire.PayloadKE, otherGroupOf))},
	{name: "a child answered without KE", do: answered(rekeyChildOf, missing(wire.PayloadKE))},
	{name: "a child answered with a KE value of zeros", do: answered(rekeyChildOf, part(wire.PayloadKE, zeros(32)))},
	{name: "a child answered with two proposals", do: answered(rekeyChildOf, part(wire.PayloadSA, twice))},
	{name: "a child answered with another cipher", do: answered(rekeyChildOf, part(wire.PayloadSA, otherCipher))},
	{name: "a child answered with an SPI of 8 octets", do: answered(rekeyChildOf, part(wire.PayloadSA, spiOf(make([]byte, 8))))},
	{name: "a child answered without selectors", do: answered(rekeyChildOf, func(ps []wire.Payload) []wire.Payload {
		return without(without(without(ps, wire.PayloadTSi), wire.PayloadTSr), wire.PayloadSA)
	})},
	{name: "a child answered with TEMPORARY_FAILURE", do: answered(rekeyChildOf, as(wire.NotifyTemporaryFailure))},
	{name: "a child answered with NO_PROPOSAL_CHOSEN", do: answered(rekeyChildOf, as(wire.NotifyNoProposalChosen))},
	{name: "a child answered with INVALID_KE_PAYLOAD", do: answered(rekeyChildOf, as(wire.NotifyInvalidKEPayload, 0, 14))},
	{name: "a new child answered with TS_UNACCEPTABLE", do: func(t *testing.T, role string) Output {
		x := newBench(t, Settings{}).up()
		own, far := x.ends(role)
		more := *own.s.conn.Children[0]
		more.Name = "more"
		own.s.conn.Children = append(own.s.conn.Children, &more)
		x.say(t, own.e, own.s, AddChild{Name: "more"})
		return x.answers(own, far, notify(wire.NotifyTSUnacceptable, nil))
	}},
}

// rejectedRekeyings are the refusals of new IKE SAs in CREATE_CHILD_SA.
var rejectedRekeyings = []rejection{
	{name: "a new IKE SA without KE", do: askedIKE(missing(wire.PayloadKE))},
	{name: "a new IKE SA with KE of another group", do: askedIKE(part(wire.PayloadKE, otherGroupOf))},
	{name: "a new IKE SA with a KE value of zeros", do: askedIKE(part(wire.PayloadKE, zeros(32)))},
	{name: "a new IKE SA with another cipher", do: askedIKE(part(wire.PayloadSA, otherCipher))},
	{name: "a new IKE SA with a cipher that this program does not have", do: asked(wire.ExchangeCreateChildSA, func(x *bench, own, far end) []wire.Payload {
		own.s.conn.Proposals = withIDEA(own.s.conn.Proposals)
		return part(wire.PayloadSA, chooseIDEA)(x.ikeRequestOf(far))
	})},
	{name: "a new IKE SA with SPI 0", do: askedIKE(part(wire.PayloadSA, spiOf(make([]byte, 8))))},
	{name: "a new IKE SA too many", do: func(t *testing.T, role string) Output {
		x := newBench(t, Settings{}).up()
		own, far := x.ends(role)
		ps := x.ikeRequestOf(far)
		own.e.set.MaxSAs = 1
		return x.asks(own, far, wire.ExchangeCreateChildSA, ps)
	}},
	{name: "a new IKE SA while a child is rekeyed", held: true, do: meanwhile(rekeyChildOf, func(x *bench, far end) []wire.Payload { return x.ikeRequestOf(far) })},
	{name: "a new IKE SA while the old one is deleted", held: true, do: meanwhile(func(end) Command { return DeleteIKE{} }, func(x *bench, far end) []wire.Payload { return x.ikeRequestOf(far) })},

	{name: "a new IKE SA in place of one that is replaced already", held: true, do: again(func(x *bench, far end) []wire.Payload { return x.ikeRequestOf(far) })},

	{name: "a new IKE SA answered without KE", do: answered(rekeyIKEOf, missing(wire.PayloadKE))},
	{name: "a new IKE SA answered with KE of another group", do: answered(rekeyIKEOf, part(wire.PayloadKE, otherGroupOf))},
	{name: "a new IKE SA answered with a KE value of zeros", do: answered(rekeyIKEOf, part(wire.PayloadKE, zeros(32)))},
	{name: "a new IKE SA answered with another cipher", do: answered(rekeyIKEOf, part(wire.PayloadSA, otherCipher))},
	{name: "a new IKE SA answered with SPI 0", do: answered(rekeyIKEOf, part(wire.PayloadSA, spiOf(make([]byte, 8))))},
	{name: "a new IKE SA answered with NO_ADDITIONAL_SAS", do: answered(rekeyIKEOf, as(wire.NotifyNoAdditionalSAs))},
	{name: "a new IKE SA answered with INVALID_KE_PAYLOAD", do: answered(rekeyIKEOf, as(wire.NotifyInvalidKEPayload, 0, 14))},
}
