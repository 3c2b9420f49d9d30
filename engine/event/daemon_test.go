package event_test

import (
	"net/netip"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func TestSummaryOfDaemonEvents(t *testing.T) {
	sa := &engine.IKESA{Name: "gw", UniqueID: 3, Local: engine.Side{Host: netip.MustParseAddr("192.0.2.1"), ID: "a"},
		Remote: engine.Side{Host: netip.MustParseAddr("192.0.2.2"), ID: "b"}, Children: []*engine.ChildSA{{Name: "net", UniqueID: 7}}}
	rows := []struct {
		want string
		e    event.Event
	}{
		{"child-up gw[3] 192.0.2.1[a]...192.0.2.2[b] net{7}", event.Event{Change: &event.Change{Kind: event.ChildUp, SA: sa}}},
		{"alert peer-auth-failed gw[3] 192.0.2.1[a]...192.0.2.2[b]", event.Event{Alert: &event.Alert{Type: "peer-auth-failed", SA: sa}}},
		{"alert shutdown-signal", event.Event{Alert: &event.Alert{Type: "shutdown-signal"}}},
		{"table of 1 IKE SAs", event.Event{Table: &event.Table{SAs: []*engine.IKESA{sa}}}},
		{"nothing to initiate", event.Event{Log: &event.Log{Text: "nothing to initiate"}}},
	}
	for _, r := range rows {
		if got := event.Summary(&r.e); got != r.want {
			t.Errorf("%q, want %q", got, r.want)
		}
	}
}

func TestChainOfALoggedMessage(t *testing.T) {
	m := event.LogMessage{Payloads: []string{"IDi", "N(INIT_CONTACT)", "CPRQ(ADDR DNS)", "EAP/REQ/ID", "No", "N(WHO_KNOWS)", "WHAT"}}
	want := []wire.PayloadType{wire.PayloadIDi, wire.PayloadNotify, wire.PayloadCP, wire.PayloadEAP, wire.PayloadNonce}
	chain := m.Chain()
	if len(chain) != len(want) {
		t.Fatalf("%d payloads: %v", len(chain), chain)
	}
	for i, p := range chain {
		if p.Type != want[i] {
			t.Errorf("payload %d is %s, want %s", i, p.Type, want[i])
		}
	}
	if wire.FindNotify(chain, wire.NotifyInitialContact) == nil {
		t.Error("the notify has lost its type")
	}
}
