package event_test

import (
	"net/netip"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/event"
)

func TestALineNamesTheConnectionOrElseThePeer(t *testing.T) {
	peer := netip.MustParseAddr("192.0.2.1")
	for _, row := range []struct {
		name, ike, text string
		e               event.Event
	}{
		{"a comparison of a connection", "gw", "ke: group: local x, remote y: they do not fit",
			event.Event{Check: &event.Check{IKE: "gw", IKEID: 7, Peer: peer, Kind: event.CheckKE, What: "group", Local: "x", Remote: "y"}}},
		{"one of nobody's", "", "peer 192.0.2.1: ke: group: local x, remote y",
			event.Event{Check: &event.Check{Peer: peer, Kind: event.CheckKE, What: "group", Local: "x", Remote: "y", OK: true}}},
		{"a refusal of the peer's", "gw", "refusal: child net: here aes128; the peer says NO_PROPOSAL_CHOSEN (RFC 7296 3.10.1)",
			event.Event{Check: &event.Check{IKE: "gw", Kind: event.CheckRefusal, What: "child net", Local: "aes128", Remote: "NO_PROPOSAL_CHOSEN", RFC: "RFC 7296 3.10.1"}}},
		{"a request that is put off", "gw", "busy: request: here IKE SA REKEYING; the peer asks for a new child: later",
			event.Event{Check: &event.Check{IKE: "gw", Kind: event.CheckBusy, What: "request", Local: "IKE SA REKEYING", Remote: "a new child", Why: "later"}}},
		{"a step of a connection", "gw", "ended: by command", event.Event{Step: &event.Step{IKE: "gw", Peer: peer, Kind: "ended", Text: "by command"}}},
		{"a step of nobody's", "", "peer 192.0.2.1: ended: no proposal fits", event.Event{Step: &event.Step{Peer: peer, Kind: "ended", Text: "no proposal fits"}}},
	} {
		if l := event.Line(&row.e); l.IKE != row.ike || l.Text != row.text {
			t.Errorf("%s: %q, %q; want %q, %q", row.name, l.IKE, l.Text, row.ike, row.text)
		}
	}
}
