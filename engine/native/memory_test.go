package native

import (
	"testing"
	"time"

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
	all := m.all(time.Time{})
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
	if n := m.events.count; n != maxToldEvents {
		t.Errorf("%d events are kept", n)
	}
}

func TestOnlyWhatIsNewIsRecalled(t *testing.T) {
	var m memory
	at := func(n int) time.Time { return time.Unix(int64(n), 0) }
	for n := range 2*maxToldEvents + 100 { // the ring has gone round
		m.add(&event.Event{Time: at(n), Step: &event.Step{}})
		if n%10 == 0 {
			m.add(&event.Event{Time: at(n), Packet: &event.Packet{IKE: &event.IKE{}}})
		}
	}
	const since = 2*maxToldEvents + 80
	all := m.all(at(since))
	if len(all) != 22 {
		t.Fatalf("%d events, want 20 and 2 messages", len(all))
	}
	for i, e := range all {
		if e.Time.Before(at(since)) || i > 0 && e.Number <= all[i-1].Number {
			t.Errorf("event %d of %s at place %d", e.Number, e.Time, i)
		}
	}
}

func BenchmarkAFullMemory(b *testing.B) {
	for name, ev := range map[string]event.Event{
		"event": {Step: &event.Step{}}, "message": {Packet: &event.Packet{Octets: make([]byte, 100), IKE: &event.IKE{}}}} {
		b.Run(name, func(b *testing.B) {
			var m memory
			for range max(maxToldEvents, maxToldMessages) {
				e := ev
				m.add(&e)
			}
			b.ReportAllocs()
			for b.Loop() {
				e := ev
				m.add(&e)
			}
		})
	}
}
