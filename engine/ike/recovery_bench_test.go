package ike

import (
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// BenchmarkRecovery measures, for each row of the recovery table of which no
// timer is a part, the step from the error to what is done about it.
func BenchmarkRecovery(b *testing.B) {
	for i := range Recoveries {
		r := &Recoveries[i]
		if strings.HasPrefix(r.Words, "after "+retryWords) || waits[r.Cause] {
			continue
		}
		what := r.Cause
		if r.Error != 0 {
			what = r.Error.String()
		}
		b.Run(what+" during "+r.During, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				x := newBench(b, Settings{})
				d := x.trouble(r)
				b.StartTimer()
				out := x.pass(x.a, d)
				b.StopTimer()
				if out.Err == nil && len(out.Events) == 0 && len(out.Datagrams) == 0 {
					b.Fatal("nothing came of the error")
				}
			}
		})
	}
}

// waits are the causes that a timer tells.
var waits = map[string]bool{"no answer after the last repetition": true, "the peer does not delete what it replaced": true}

// trouble brings a into a row's situation and gives the datagram with the error.
func (x *bench) trouble(r *Recovery) Datagram {
	x.tb.Helper()
	if r.During == "IKE_SA_INIT" {
		d := x.begin()
		h, err := wire.ParseHeader(d.Octets)
		if err != nil {
			x.tb.Fatal(err)
		}
		m := wire.Message{Header: wire.Header{InitiatorSPI: h.InitiatorSPI, ResponderSPI: 7, Version: wire.Version2, Exchange: wire.ExchangeIKESAInit,
			Flags: wire.FlagResponse}, Payloads: notify(r.Error, wanted(r.Error))}
		return Datagram{Local: d.Remote, Remote: d.Local, Octets: m.Append(nil)}
	}
	x.up()
	switch {
	case r.Error == 0:
		return x.unasked(r)
	case r.During == "INFORMATIONAL":
		return x.fromB(wire.ExchangeInformational, 0, false, notify(r.Error, []byte{1, 2, 3, 4}))
	}
	var c Command = AddChild{Name: "net"}
	switch r.During {
	case "IKE rekey":
		c = RekeyIKE{}
	case "child rekey":
		c = RekeyChild{SPI: x.sa.children[0].in}
	default:
		for _, d := range x.a.Command(x.now, x.sa, DeleteChild{SPI: x.sa.children[0].in}).Datagrams {
			for _, back := range x.pass(x.b, d).Datagrams {
				x.pass(x.a, back)
			}
		}
	}
	if out := x.a.Command(x.now, x.sa, c); len(out.Datagrams) != 1 {
		x.tb.Fatalf("%T makes %d requests", c, len(out.Datagrams))
	}
	return x.fromB(wire.ExchangeCreateChildSA, x.sa.out.next-1, true, notify(r.Error, wanted(r.Error)))
}

// wanted is the data of a notify: the group that INVALID_KE_PAYLOAD asks for.
func wanted(n wire.NotifyType) []byte {
	if n == wire.NotifyInvalidKEPayload {
		return []byte{0, wire.KEECP256}
	}
	return nil
}

// fromB makes a message that b protects.
func (x *bench) fromB(t wire.ExchangeType, id uint32, response bool, ps []wire.Payload) Datagram {
	x.tb.Helper()
	first := wire.PayloadNone
	if len(ps) > 0 {
		first = ps[0].Type
	}
	return Datagram{Local: x.sb.path.local, Remote: x.sb.path.remote,
		Octets: sealedBy(x.tb, x.sb, x.sb.header(t, id, response), first, wire.AppendPayloads(nil, ps))}
}

// unasked makes the message of an error that this side sees by itself.
func (x *bench) unasked(r *Recovery) Datagram {
	x.tb.Helper()
	d := x.fromB(wire.ExchangeInformational, 0, false, nil)
	switch r.Cause {
	case "a message fails its integrity check":
		d.Octets[len(d.Octets)-1] ^= 1
	case "an error in the clear":
		m := wire.Message{Header: x.sb.header(wire.ExchangeInformational, 0, false), Payloads: notify(wire.NotifyInvalidIKESPI, nil)}
		d.Octets = m.Append(nil)
	case "a message for an SPI that nobody has":
		d.Octets[0] ^= 1
	case "a request outside the window":
		d = x.fromB(wire.ExchangeInformational, 9, false, nil)
	case "an authentic request that is malformed":
		d.Octets = sealedBy(x.tb, x.sb, x.sb.header(wire.ExchangeInformational, 0, false), wire.PayloadDelete, []byte{0, 0, 0, 9, 1})
	case "an authentic request with an unknown critical payload":
		d = x.fromB(wire.ExchangeInformational, 0, false, []wire.Payload{{Type: 99, Critical: true, Body: &wire.Unknown{Data: []byte{1}}}})
	default:
		x.tb.Fatalf("nobody knows how to provoke %q", r.Cause)
	}
	return d
}
