package native

import (
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/event"
)

func TestAFloodOfMessagesDoesNotPushOutWhatCouldNotBeAgreedOn(t *testing.T) {
	var m memory
	m.add(&event.Event{Check: &event.Check{Kind: event.CheckProposal}})
	for range 3 * maxToldMessages {
		m.add(&event.Event{Packet: &event.Packet{Octets: make([]byte, 100), IKE: &event.IKE{}}})
		m.add(&event.Event{Check: &event.Check{Kind: event.CheckMessage}})
		m.add(&event.Event{Check: &event.Check{Kind: event.CheckProposal, OK: true}})
		m.add(&event.Event{Packet: &event.Packet{ESP: &event.SecurityPacket{}}})
	}
	all := m.all()
	if len(all) != 1+maxToldMessages || all[0].Check == nil || all[0].Number != 1 {
		t.Errorf("%d events, the first %+v", len(all), all[0])
	}
	for i, e := range all[1:] {
		if e.Number <= all[i].Number {
			t.Fatalf("number %d comes after %d", e.Number, all[i].Number)
		}
	}
	for range maxMessageOctets / 50_000 {
		m.add(&event.Event{Packet: &event.Packet{Octets: make([]byte, 30_000), IKE: &event.IKE{Plain: make([]byte, 30_000)}}})
	}
	if m.octets > maxMessageOctets {
		t.Errorf("%d octets are kept", m.octets)
	}
	for range 2 * maxToldEvents {
		m.add(&event.Event{Step: &event.Step{}})
	}
	if n := len(m.events); n != maxToldEvents {
		t.Errorf("%d events are kept", n)
	}
}
