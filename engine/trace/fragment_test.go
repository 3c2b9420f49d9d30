package trace_test

import (
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// TestAMessageWhoseFragmentsItsSourceJoinedIsOpen tells of an IKE_AUTH request
// as an engine does that joined its fragments: with the last of them, which
// does not say what the first payload is.
func TestAMessageWhoseFragmentsItsSourceJoinedIsOpen(t *testing.T) {
	inner := []wire.Payload{{Type: wire.PayloadIDi, Body: &wire.ID{Type: wire.IDFQDN, Data: []byte("a.example")}}}
	plain := wire.AppendPayloads(nil, inner)
	last := wire.Message{Header: wire.Header{InitiatorSPI: 1, ResponderSPI: 2, Version: wire.Version2, Exchange: wire.ExchangeIKEAuth, Flags: wire.FlagInitiator, MessageID: 1},
		Payloads: []wire.Payload{{Type: wire.PayloadSKF, Body: &wire.Fragment{Number: 2, Total: 2, Data: make([]byte, 40)}}}}
	octets := last.Append(nil)
	parsed, err := wire.Parse(octets)
	if err != nil {
		t.Fatal(err)
	}
	tr := trace.New(trace.Options{})
	tr.Add(&event.Event{Time: start, Packet: &event.Packet{Src: alice.Addr(), SrcPort: alice.Port(), Dst: bob.Addr(), DstPort: bob.Port(), Proto: event.IKEv2,
		Encap: event.UDP, Length: len(octets), Octets: octets, IKE: &event.IKE{Message: parsed, Decrypted: true, Inner: inner, Plain: plain}}})
	if len(tr.SAs) != 1 || len(tr.SAs[0].Auth) != 1 || tr.SAs[0].Auth[0].Request == nil {
		t.Fatal("no IKE_AUTH request")
	}
	m := tr.SAs[0].Auth[0].Request
	if m.First != wire.PayloadIDi || wire.First(m.Payloads, wire.PayloadIDi) == nil || tr.SAs[0].Local.ID != "a.example" {
		t.Errorf("first payload %s, payloads %v, identity %q", m.First, m.Payloads, tr.SAs[0].Local.ID)
	}
}
