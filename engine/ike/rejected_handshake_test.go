package ike

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/auth"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// saOf changes the SA payload of IKE_SA_INIT.
func saOf(f func(*wire.SA)) func(*bench, *wire.Message) {
	return func(_ *bench, m *wire.Message) { edit(m.Payloads, wire.PayloadSA, f) }
}

func keOf(f func(*wire.KE)) func(*bench, *wire.Message) {
	return func(_ *bench, m *wire.Message) { edit(m.Payloads, wire.PayloadKE, f) }
}

// instead answers with a notify in place of everything.
func instead(n wire.NotifyType, data ...byte) func(*bench, *wire.Message) {
	return func(_ *bench, m *wire.Message) { m.Payloads = notify(n, data) }
}

// initWith sends b the IKE_SA_INIT request of a, b having settings of its own.
func initWith(set Settings, alter func(b *Endpoint, m *wire.Message)) func(*testing.T, string) Output {
	return func(t *testing.T, _ string) Output {
		x := newBench(t, Settings{})
		b := NewEndpoint(set)
		if err := b.Add(x.b.conns[0]); err != nil {
			t.Fatal(err)
		}
		d := x.begin()
		m, err := wire.Parse(d.Octets)
		if err != nil {
			t.Fatal(err)
		}
		alter(b, m)
		d.Octets = m.Append(nil)
		return x.pass(b, d)
	}
}

// rejectedInits are the refusals of IKE_SA_INIT.
var rejectedInits = []rejection{
	{name: "no cookie while one is demanded", role: "responder", held: true, do: initWith(Settings{CookieThreshold: -1}, func(*Endpoint, *wire.Message) {})},
	{name: "a cookie that is not ours", role: "responder", held: true, do: initWith(Settings{CookieThreshold: -1}, func(_ *Endpoint, m *wire.Message) {
		m.Payloads = append(notify(wire.NotifyCookie, []byte("a cookie of somebody else")), m.Payloads...)
	})},
	{name: "too many half-open IKE SAs", role: "responder", do: initWith(Settings{MaxHalfOpen: -1}, func(*Endpoint, *wire.Message) {})},
	{name: "no connection between the addresses", role: "responder", do: initWith(Settings{}, func(b *Endpoint, _ *wire.Message) {
		b.conns[0].Remote = netip.MustParseAddr("198.51.100.7")
	})},
	{name: "IKE_SA_INIT without KE", role: "responder", do: bentInit(func(_ *bench, m *wire.Message) { m.Payloads = without(m.Payloads, wire.PayloadKE) })},
	{name: "IKE_SA_INIT without Nonce", do: bentInit(func(_ *bench, m *wire.Message) { m.Payloads = without(m.Payloads, wire.PayloadNonce) })},
	{name: "IKE_SA_INIT with an unknown critical payload", do: bentInit(func(_ *bench, m *wire.Message) {
		m.Payloads = append(m.Payloads, wire.Payload{Type: 99, Critical: true, Body: &wire.Unknown{}})
	})},
	{name: "IKE_SA_INIT with an encrypted payload at its end", do: bentInit(func(_ *bench, m *wire.Message) {
		m.Payloads = append(m.Payloads, payload(wire.PayloadSK, &wire.Encrypted{Data: make([]byte, 40)}))
	})},
	{name: "nothing but an encrypted payload in IKE_SA_INIT", do: bentInit(func(_ *bench, m *wire.Message) {
		m.Payloads = []wire.Payload{payload(wire.PayloadSK, &wire.Encrypted{Data: make([]byte, 40)})}
	})},
	{name: "a cookie beside a KE", role: "initiator", do: bentInit(func(_ *bench, m *wire.Message) {
		m.Payloads = append(notify(wire.NotifyCookie, []byte("a cookie")), *wire.First(m.Payloads, wire.PayloadKE))
	})},
	{name: "another cipher", do: bentInit(saOf(otherCipher))},
	{name: "another protocol", do: bentInit(saOf(func(s *wire.SA) { s.Proposals[0].Protocol = wire.ProtocolESP }))},
	{name: "a transform type that nobody knows", do: bentInit(saOf(func(s *wire.SA) {
		s.Proposals[0].Transforms = append(s.Proposals[0].Transforms, wire.Transform{Type: 99, ID: 1})
	}))},
	{name: "every part another", role: "responder", do: bentInitWith(func(_, b *Connection) {
		b.Proposals, _ = ParseProposals(wire.ProtocolIKE, "aes256-sha384-ecp384", "aes128gcm16-prfsha512-modp3072")
	}, nil)},
	{name: "a cipher that this program does not have", role: "responder", do: bentInitWith(func(a, b *Connection) {
		a.Proposals, b.Proposals = withIDEA(a.Proposals), withIDEA(b.Proposals)
	}, nil)},
	{name: "a cipher that this program does not have", role: "initiator", do: bentInitWith(func(a, _ *Connection) {
		a.Proposals = withIDEA(a.Proposals)
	}, saOf(chooseIDEA))},
	{name: "two proposals chosen", role: "initiator", do: bentInit(saOf(twice))},
	{name: "a proposal chosen that was not offered", role: "initiator", do: bentInit(saOf(func(s *wire.SA) { s.Proposals[0].Number = 9 }))},
	{name: "no PRF chosen", role: "initiator", do: bentInit(saOf(func(s *wire.SA) {
		s.Proposals[0].Transforms = slices.DeleteFunc(s.Proposals[0].Transforms, func(t wire.Transform) bool { return t.Type == wire.TransformPRF })
	}))},
	{name: "KE of another group", do: bentInit(keOf(otherGroupOf))},
	{name: "another group chosen than the KE is of", role: "initiator", do: bentInit(saOf(func(s *wire.SA) {
		for i := range s.Proposals[0].Transforms {
			if s.Proposals[0].Transforms[i].Type == wire.TransformKE {
				s.Proposals[0].Transforms[i].ID = uint16(wire.KEECP256)
			}
		}
	}))},
	{name: "a KE value of zeros", do: bentInit(keOf(zeros(32)))},
	{name: "a KE value of another length", do: bentInit(keOf(zeros(31)))},
	{name: "SPI 0", role: "initiator", do: bentInit(func(_ *bench, m *wire.Message) { m.ResponderSPI = 0 })},
	{name: "a cookie of 65 octets", role: "initiator", do: bentInit(instead(wire.NotifyCookie, make([]byte, 65)...))},
	{name: "a group wanted that was not offered", role: "initiator", do: bentInit(instead(wire.NotifyInvalidKEPayload, 0, 14))},
	{name: "NO_PROPOSAL_CHOSEN to IKE_SA_INIT", role: "initiator", do: bentInit(instead(wire.NotifyNoProposalChosen))},
	{name: "NAT detection hashes of other addresses", held: true, do: bentInit(func(_ *bench, m *wire.Message) {
		for _, t := range []wire.NotifyType{wire.NotifyNATDetectionSourceIP, wire.NotifyNATDetectionDestinationIP} {
			wire.FindNotify(m.Payloads, t).Data = make([]byte, 20)
		}
	})},
}

func otherKey(c *Connection) {
	c.Credentials = auth.SharedKeys{{Key: suite.NewSecret([]byte("another key of the tests"))}}
}

func keyForOthers(c *Connection) {
	c.Credentials = auth.SharedKeys{{Owners: []wire.ID{{Type: wire.IDFQDN, Data: []byte("x.example")}}, Key: suite.NewSecret([]byte("another key of the tests"))}}
}

// withOther has the side that refuses change its credentials before it takes the
// other's proof.
func withOther(change func(*Connection)) func(*testing.T, string) Output {
	return func(t *testing.T, role string) Output {
		return bentAuth(nil, func(x *bench, ps []wire.Payload) []wire.Payload {
			if role == "initiator" {
				change(x.a.conns[0])
			} else {
				change(x.b.conns[0])
			}
			return ps
		})(t, role)
	}
}

// proofOf changes one payload of IKE_AUTH.
func proofOf[B wire.Body](t wire.PayloadType, f func(B)) func(*bench, []wire.Payload) []wire.Payload {
	return func(_ *bench, ps []wire.Payload) []wire.Payload { return edit(ps, t, f) }
}

// rejectedProofs are the refusals of IKE_AUTH. Those of certificates are made in
// package auth, whose checks pass through here as they are.
var rejectedProofs = []rejection{
	{name: "an identity of the initiator that is not wanted", role: "responder", do: bentAuth(nil, proofOf(wire.PayloadIDi, func(i *wire.ID) { i.Data = []byte("other.example") }))},
	{name: "an identity of another type", role: "responder", do: bentAuth(nil, proofOf(wire.PayloadIDi, func(i *wire.ID) { i.Type = wire.IDKeyID }))},
	{name: "an identity wanted of the responder that it has not", role: "responder", do: bentAuth(nil, proofOf(wire.PayloadIDr, func(i *wire.ID) { i.Data = []byte("other.example") }))},
	{name: "an identity of the responder that is not wanted", role: "initiator", do: bentAuth(nil, proofOf(wire.PayloadIDr, func(i *wire.ID) { i.Data = []byte("other.example") }))},
	{name: "IKE_AUTH without IDi", role: "responder", do: bentAuth(nil, func(_ *bench, ps []wire.Payload) []wire.Payload { return without(ps, wire.PayloadIDi) })},
	{name: "IKE_AUTH without AUTH", role: "responder", do: bentAuth(nil, func(_ *bench, ps []wire.Payload) []wire.Payload { return without(ps, wire.PayloadAuth) })},
	{name: "an answer to IKE_AUTH with nothing in it", role: "initiator", do: bentAuth(nil, func(*bench, []wire.Payload) []wire.Payload { return nil })},
	{name: "another method", do: bentAuth(nil, proofOf(wire.PayloadAuth, func(a *wire.Auth) { a.Method = wire.AuthRSA }))},
	{name: "another preshared key", do: withOther(otherKey)},
	{name: "a preshared key for others only", do: withOther(keyForOthers)},
	{name: "a proof that we cannot make", role: "initiator", do: func(t *testing.T, _ string) Output {
		x := newBench(t, Settings{})
		keyForOthers(x.a.conns[0])
		return x.pass(x.a, x.pass(x.b, x.begin()).Datagrams[0])
	}},
	{name: "a proof that we cannot make", role: "responder", do: func(t *testing.T, role string) Output {
		return bentAuth(func(_, b *Connection) {
			b.Credentials = failing{auth.SharedKeys{{Key: suite.NewSecret([]byte("a key of the tests"))}}}
		}, nil)(t, role)
	}},
	{name: "AUTHENTICATION_FAILED to IKE_AUTH", role: "initiator", do: bentAuth(nil, func(*bench, []wire.Payload) []wire.Payload {
		return notify(wire.NotifyAuthenticationFailed, nil)
	})},
	{name: "TS_UNACCEPTABLE to the first child", role: "initiator", do: bentAuth(nil, func(_ *bench, ps []wire.Payload) []wire.Payload {
		ps = without(without(without(ps, wire.PayloadSA), wire.PayloadTSi), wire.PayloadTSr)
		return append(ps, notify(wire.NotifyTSUnacceptable, nil)...)
	})},
	{name: "an answer without the first child, and without an error", role: "initiator", do: bentAuth(nil, func(_ *bench, ps []wire.Payload) []wire.Payload {
		return without(without(without(ps, wire.PayloadSA), wire.PayloadTSi), wire.PayloadTSr)
	})},
	{name: "a first child with other selectors", do: bentAuth(nil, func(_ *bench, ps []wire.Payload) []wire.Payload {
		return edit(ps, wire.PayloadTSi, func(ts *wire.TS) { ts.Selectors = []wire.TrafficSelector{host(benchA)} })
	})},
	{name: "another IKE SA that is kept", role: "responder", do: func(t *testing.T, _ string) Output {
		x := newBench(t, Settings{}).up()
		x.b.conns[0].Unique = UniqueKeep
		return x.pass(x.b, x.pass(x.a, x.pass(x.b, x.begin()).Datagrams[0]).Datagrams[0])
	}},
}
