package link

import (
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// message makes the octets of a message of IKEv2.
func message(x wire.ExchangeType, flags wire.Flags, payloads ...wire.Payload) []byte {
	m := wire.Message{Header: wire.Header{InitiatorSPI: 1, Version: wire.Version2, Exchange: x, Flags: flags}, Payloads: payloads}
	return m.Append(nil)
}

func TestStrangersWaitForReturningOnesAndAllForSAs(t *testing.T) {
	cookie := wire.Payload{Type: wire.PayloadNotify, Body: &wire.Notify{Type: wire.NotifyCookie, Data: make([]byte, 36)}}
	nat := wire.Payload{Type: wire.PayloadNotify, Body: &wire.Notify{Type: wire.NotifyNATDetectionSourceIP, Data: make([]byte, 20)}}
	nonce := wire.Payload{Type: wire.PayloadNonce, Body: &wire.Nonce{Data: make([]byte, 32)}}
	rows := []struct {
		name   string
		octets []byte
		want   urgency
	}{
		{"a request of IKE_SA_INIT", message(wire.ExchangeIKESAInit, wire.FlagInitiator, nonce), strange},
		{"one that begins with another notification", message(wire.ExchangeIKESAInit, wire.FlagInitiator, nat, nonce), strange},
		{"one whose cookie is not in front", message(wire.ExchangeIKESAInit, wire.FlagInitiator, nonce, cookie), strange},
		{"one that is cut off in its notification", message(wire.ExchangeIKESAInit, wire.FlagInitiator, nat)[:wire.HeaderLength+5], strange},
		{"one with a cookie", message(wire.ExchangeIKESAInit, wire.FlagInitiator, cookie, nonce), returning},
		{"an answer of IKE_SA_INIT", message(wire.ExchangeIKESAInit, wire.FlagResponse, nonce), ofSAs},
		{"a request of INFORMATIONAL", message(wire.ExchangeInformational, wire.FlagInitiator), ofSAs},
	}
	b := newInbox()
	for _, r := range rows {
		if got := urgencyOf(r.octets, false); got != r.want {
			t.Errorf("%s has urgency %d, want %d", r.name, got, r.want)
		}
		if got := urgencyOf(wire.AppendMarked(nil, r.octets), true); got != r.want {
			t.Errorf("%s behind a marker has urgency %d, want %d", r.name, got, r.want)
		}
		b.put(ike.Datagram{Octets: r.octets})
	}
	for _, want := range []urgency{ofSAs, ofSAs, returning, strange, strange, strange, strange} {
		queues := b.ready()
		got := strange
		for u, q := range queues {
			if len(q) > 0 {
				got = urgency(u)
				d := <-q
				b.taken(got, &d)
				break
			}
		}
		if got != want {
			t.Fatalf("urgency %d is taken, want %d", got, want)
		}
	}
	if n := b.octets.Load(); n != 0 {
		t.Errorf("%d octets are counted in an empty inbox", n)
	}
}

func TestWhatStrangersFillIsBounded(t *testing.T) {
	large := message(wire.ExchangeIKESAInit, wire.FlagInitiator, wire.Payload{Type: wire.PayloadNonce, Body: &wire.Nonce{Data: make([]byte, 60000)}})
	small := message(wire.ExchangeIKESAInit, wire.FlagInitiator)
	b := newInbox()
	for range 1000 {
		b.put(ike.Datagram{Octets: large})
	}
	if got, most := len(b.queues[strange]), strangerOctets/len(large); got != most {
		t.Errorf("%d large requests wait, want %d", got, most)
	}
	b = newInbox()
	for range 2 * strangerBacklog {
		b.put(ike.Datagram{Octets: small})
	}
	if got := len(b.queues[strange]); got != strangerBacklog || b.octets.Load() != int64(got*len(small)) {
		t.Errorf("%d small requests wait, of %d octets", got, b.octets.Load())
	}
	b.put(ike.Datagram{Octets: message(wire.ExchangeInformational, wire.FlagInitiator)})
	if len(b.queues[ofSAs]) != 1 {
		t.Error("a message of an SA was dropped for strangers")
	}
}
