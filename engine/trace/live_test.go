package trace

import (
	"net/netip"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var liveStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func after(ms int) time.Time { return liveStart.Add(time.Duration(ms) * time.Millisecond) }

func liveSA(id uint32, spi wire.SPI, state engine.IKEState, children ...*engine.ChildSA) *engine.IKESA {
	return &engine.IKESA{Name: "gw", UniqueID: id, Version: 2, State: state, InitiatorSPI: spi, ResponderSPI: spi + 1,
		Local:  engine.Side{Host: netip.MustParseAddr("192.0.2.1"), Port: 500, ID: "a"},
		Remote: engine.Side{Host: netip.MustParseAddr("192.0.2.2"), Port: 500, ID: "b"}, Initiator: engine.Some(true), Children: children}
}

func table(ms int, first bool, sas ...*engine.IKESA) *event.Event {
	return &event.Event{Time: after(ms), Table: &event.Table{First: first, SAs: sas}}
}

func change(ms int, kind event.ChangeKind, sa, old *engine.IKESA) *event.Event {
	return &event.Event{Time: after(ms), Change: &event.Change{Kind: kind, SA: sa, Old: old}}
}

func folded(events ...*event.Event) *Trace {
	t := New(Options{})
	for _, e := range events {
		t.Add(e)
	}
	return t
}

// message makes the log lines of a message and its datagram in the daemon's
// order.
func message(ms int, sent, response bool, x wire.ExchangeType, id uint32, payloads ...string) []*event.Event {
	m := &event.Event{Time: after(ms), Log: &event.Log{IKE: "gw", IKEID: 1,
		Message: &event.LogMessage{Sent: sent, Response: response, Exchange: x, MessageID: id, Payloads: payloads}}}
	a, b := netip.MustParseAddrPort("192.0.2.1:500"), netip.MustParseAddrPort("192.0.2.2:500")
	if !sent {
		a, b = b, a
	}
	d := &event.Event{Time: after(ms), Log: &event.Log{IKE: "gw", IKEID: 1, Datagram: &event.LogDatagram{Sent: sent, Src: a, Dst: b, Octets: 264}}}
	if sent {
		return []*event.Event{m, d}
	}
	return []*event.Event{d, m}
}

func TestAnSAThatEndsBeforeItIsListedHasItsNumberFromWhatTheEngineTells(t *testing.T) {
	m := &wire.Message{Header: wire.Header{InitiatorSPI: 7, Exchange: wire.ExchangeIKESAInit, Flags: wire.FlagInitiator}}
	tr := folded(
		&event.Event{Time: after(0), Packet: &event.Packet{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"),
			SrcPort: 500, DstPort: 500, Proto: event.IKEv2, IKE: &event.IKE{Message: m}}},
		&event.Event{Time: after(1), Step: &event.Step{Kind: "ended", Text: "by command", IKE: "gw", IKEID: 40, SPIi: 7}},
	)
	if len(tr.SAs) != 1 || tr.SAs[0].Name != "gw" || tr.SAs[0].UniqueID != 40 {
		t.Errorf("the SAs are %+v, want gw[40]", tr.SAs)
	}
}

func TestAPeersMoveIsToldOnceWhereTheDaemonIsTheResponder(t *testing.T) {
	us, before, now := netip.MustParseAddrPort("192.0.2.2:4500"), netip.MustParseAddrPort("198.51.100.7:20002"), netip.MustParseAddrPort("198.51.100.7:20003")
	packet := func(ms int, id uint32, src, dst netip.AddrPort, flags wire.Flags) *event.Event {
		m := &wire.Message{Header: wire.Header{InitiatorSPI: 7, ResponderSPI: 8, Exchange: wire.ExchangeInformational, MessageID: id, Flags: flags}}
		return &event.Event{Time: after(ms), Packet: &event.Packet{Src: src.Addr(), Dst: dst.Addr(), SrcPort: src.Port(), DstPort: dst.Port(),
			Proto: event.IKEv2, Encap: event.UDPNATT, IKE: &event.IKE{Message: m}}}
	}
	at := func(far netip.AddrPort) *engine.IKESA {
		return &engine.IKESA{Name: "gw", UniqueID: 1, Version: 2, State: engine.IKEEstablished, InitiatorSPI: 7, ResponderSPI: 8, Initiator: engine.Some(false),
			Local: engine.Side{Host: us.Addr(), Port: us.Port()}, Remote: engine.Side{Host: far.Addr(), Port: far.Port()}}
	}
	tr := folded(
		change(0, event.IKEUp, at(before), nil),
		packet(10, 0, us, before, 0), // the daemon asks
		packet(20, 2, now, us, wire.FlagInitiator),
		change(21, event.IKEUpdate, at(now), at(before)),
		packet(22, 2, us, now, wire.FlagResponse),
	)
	want := Move{Time: after(20), By: Initiator, From: before, To: now}
	if moves := tr.SAs[0].Moves; len(moves) != 1 || moves[0] != want {
		t.Errorf("the moves are %+v, want %+v alone", moves, want)
	}
}

func TestLogLinesBecomeExchangesWithSizesAndRoundTrip(t *testing.T) {
	var events []*event.Event
	events = append(events, message(0, true, false, wire.ExchangeIKESAInit, 0, "SA", "KE", "No", "N(NATD_S_IP)")...)
	events = append(events, message(20, false, true, wire.ExchangeIKESAInit, 0, "SA", "KE", "No")...)
	events = append(events, message(21, true, false, wire.ExchangeIKEAuth, 1, "IDi", "AUTH", "SA", "TSi", "TSr")...)
	events = append(events, &event.Event{Time: after(421), Log: &event.Log{IKE: "gw", IKEID: 1,
		Retransmit: &event.LogRetransmit{Kind: event.RetransmitRequest, Attempt: 1, MessageID: 1, Known: true}}})
	events = append(events, message(441, false, true, wire.ExchangeIKEAuth, 1, "N(AUTH_FAILED)")...)
	tr := folded(events...)
	if len(tr.SAs) != 1 || len(tr.SAs[0].Exchanges) != 2 {
		t.Fatalf("%d SAs, want 1 with 2 exchanges", len(tr.SAs))
	}
	sa := tr.SAs[0]
	init, auth := sa.Exchanges[0], sa.Exchanges[1]
	if init.By != Initiator || init.Purpose != PurposeInit || init.Request.Length != 264 || init.Response.Length != 264 {
		t.Errorf("IKE_SA_INIT: %+v", init)
	}
	if rtt, ok := init.RTT.Get(); !ok || rtt != 20*time.Millisecond {
		t.Errorf("round trip of IKE_SA_INIT is %v", rtt)
	}
	if auth.RequestRepeats != 1 || auth.Response == nil {
		t.Errorf("IKE_AUTH: %+v", auth)
	}
	if rtt, _ := auth.RTT.Get(); rtt != 20*time.Millisecond {
		t.Errorf("round trip counts from %v, not from the retransmission", rtt)
	}
	if n := auth.Response.ErrorNotify(); n == nil || n.Type != wire.NotifyAuthenticationFailed {
		t.Errorf("error notify is %v", n)
	}
	if got := init.Request.Src.String(); got != "192.0.2.1:500" {
		t.Errorf("request came from %s", got)
	}
	if init.Request.Notify(wire.NotifyNATDetectionSourceIP) == nil {
		t.Error("the request's notify is lost")
	}
}

func TestRoundTripBelowTheLogsGrainIsNotKnown(t *testing.T) {
	var events []*event.Event
	events = append(events, message(0, true, false, wire.ExchangeIKESAInit, 0, "SA")...)
	events = append(events, message(0, false, true, wire.ExchangeIKESAInit, 0, "SA")...)
	x := folded(events...).SAs[0].Exchanges[0]
	if rtt, ok := x.RTT.Get(); ok || x.Response == nil {
		t.Errorf("round trip %v from lines of the same batch", rtt)
	}
}

func TestResponderOfALogIsTheOneThatParsesTheFirstRequest(t *testing.T) {
	var events []*event.Event
	events = append(events, message(0, false, false, wire.ExchangeIKESAInit, 0, "SA")...)
	events = append(events, message(2, true, true, wire.ExchangeIKESAInit, 0, "SA")...)
	sa := folded(events...).SAs[0]
	if v, ok := sa.IKESA.Initiator.Get(); !ok || v {
		t.Errorf("initiator is %v, known %v", v, ok)
	}
	if len(sa.Exchanges) != 1 || sa.Exchanges[0].By != Initiator || sa.Exchanges[0].Response == nil {
		t.Errorf("exchanges %+v", sa.Exchanges)
	}
}

func TestTablesOfADaemon(t *testing.T) {
	child := &engine.ChildSA{Name: "net", UniqueID: 7, State: engine.ChildInstalled}
	up := func(id uint32, spi wire.SPI) *engine.IKESA { return liveSA(id, spi, engine.IKEEstablished, child) }
	away := &event.Event{Time: after(500), Gap: &event.Gap{What: "away", Away: true}}
	rows := []struct {
		name      string
		events    []*event.Event
		sas       int
		state     engine.IKEState
		ended     Ending
		connected bool
	}{
		{"an SA of the table is there", []*event.Event{table(0, true, up(1, 16))}, 1, engine.IKEEstablished, "", true},
		{"missing once it may be busy", []*event.Event{table(0, true, up(1, 16)), table(1000, false)}, 1, engine.IKEEstablished, "", true},
		{"missing twice it is gone", []*event.Event{table(0, true, up(1, 16)), table(1000, false), table(2000, false)}, 1, engine.IKEDeleted, EndVanished, true},
		{"never established and gone is failed", []*event.Event{table(0, true, liveSA(1, 16, engine.IKEConnecting)), table(1, false), table(2, false)}, 1, engine.IKEFailed, EndFailed, true},
		{"going down is a deletion", []*event.Event{table(0, true, up(1, 16)), change(10, event.IKEDown, liveSA(1, 16, engine.IKEDeleting), nil)}, 1, engine.IKEDeleted, EndDeleted, true},
		{"a daemon that is away has no live table", []*event.Event{table(0, true, up(1, 16)), away}, 1, engine.IKEEstablished, "", false},
		{"after a restart the same id is another SA", []*event.Event{table(0, true, up(1, 16)), away, table(1000, true, up(1, 32))}, 2, engine.IKEDeleted, EndVanished, true},
		{"after a lost connection the same SA lives on", []*event.Event{table(0, true, up(1, 16)), away, table(1000, true, up(1, 16))}, 1, engine.IKEEstablished, "", true},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			tr := folded(r.events...)
			if len(tr.SAs) != r.sas {
				t.Fatalf("%d SAs, want %d", len(tr.SAs), r.sas)
			}
			if sa := tr.SAs[0]; sa.State != r.state || sa.Ended != r.ended {
				t.Errorf("state %s, ended %q; want %s, %q", sa.State, sa.Ended, r.state, r.ended)
			}
			if tr.Daemon.Connected != r.connected {
				t.Errorf("connected %v", tr.Daemon.Connected)
			}
		})
	}
}

func TestRekeyedIKESAHandsItsChildrenOn(t *testing.T) {
	child := &engine.ChildSA{Name: "net", UniqueID: 7, State: engine.ChildInstalled}
	tr := folded(table(0, true, liveSA(1, 16, engine.IKEEstablished, child)),
		change(10, event.IKERekey, liveSA(2, 32, engine.IKEEstablished), liveSA(1, 16, engine.IKERekeyed)))
	old, now := tr.SAs[0], tr.SAs[1]
	if old.Successor != now || now.Predecessor != old || old.Ended != EndRekeyed || len(now.Children) != 1 || len(old.Children) != 0 {
		t.Errorf("old %+v, new %+v", old, now)
	}
}

func TestChildChangesReplaceByUniqueID(t *testing.T) {
	child := func(id uint32, s engine.ChildState) *engine.ChildSA {
		return &engine.ChildSA{Name: "net", UniqueID: id, State: s}
	}
	tr := folded(table(0, true, liveSA(1, 16, engine.IKEEstablished, child(7, engine.ChildInstalled))),
		change(1, event.ChildRekey, liveSA(1, 16, engine.IKEEstablished, child(8, engine.ChildInstalled)), liveSA(1, 16, engine.IKEEstablished, child(7, engine.ChildRekeyed))),
		change(2, event.ChildDown, liveSA(1, 16, engine.IKEEstablished, child(8, engine.ChildDeleting)), nil))
	got := tr.SAs[0].Children
	if len(got) != 2 || got[0].State != engine.ChildRekeyed || got[1].State != engine.ChildDeleted {
		t.Errorf("children %+v %+v", got[0], got[len(got)-1])
	}
}

func TestMovedSAKeepsOldAndNewAddresses(t *testing.T) {
	moved := liveSA(1, 16, engine.IKEEstablished)
	moved.Remote.Port = 4711
	tr := folded(table(0, true, liveSA(1, 16, engine.IKEEstablished)), change(5, event.IKEUpdate, moved, liveSA(1, 16, engine.IKEEstablished)))
	m := tr.SAs[0].Moves
	if len(m) != 1 || m[0].By != Responder || m[0].To.Port() != 4711 || m[0].From.Port() != 500 {
		t.Errorf("moves %+v", m)
	}
}

func TestFailuresAreKeptWithTheirSA(t *testing.T) {
	tr := folded(table(0, true, liveSA(1, 16, engine.IKEConnecting)), &event.Event{Time: after(3), Log: &event.Log{IKE: "gw", IKEID: 1, Text: "received NO_PROPOSAL_CHOSEN notify error",
		Failure: &event.LogFailure{Kind: "notify", Notify: "NO_PROPOSAL_CHOSEN"}}})
	f := tr.Daemon.Failures
	if len(f) != 1 || f[0].SA != tr.SAs[0] || f[0].Notify != "NO_PROPOSAL_CHOSEN" {
		t.Errorf("failures %+v", f)
	}
}

func TestFailuresAreBounded(t *testing.T) {
	tr := New(Options{})
	for i := range maxFailures + 5 {
		tr.Add(&event.Event{Time: after(i), Log: &event.Log{Failure: &event.LogFailure{Kind: "notify"}}})
	}
	if n := len(tr.Daemon.Failures); n != maxFailures || !tr.Daemon.Failures[0].Time.Equal(after(5)) {
		t.Errorf("%d failures from %v", n, tr.Daemon.Failures[0].Time)
	}
}

// TestLogOfARestartedDaemonStartsANewSA proves that an id that is used again
// before the first table does not add to the SA of the daemon that died.
func TestLogOfARestartedDaemonStartsANewSA(t *testing.T) {
	events := []*event.Event{table(0, true, liveSA(1, 16, engine.IKEEstablished)), {Time: after(10), Gap: &event.Gap{Away: true}}}
	events = append(events, message(20, true, false, wire.ExchangeIKESAInit, 0, "SA")...)
	events = append(events, table(30, true, liveSA(1, 32, engine.IKEConnecting)))
	tr := folded(events...)
	if len(tr.SAs) != 2 {
		t.Fatalf("%d SAs", len(tr.SAs))
	}
	old, now := tr.SAs[0], tr.SAs[1]
	if old.Ended != EndVanished || len(old.Exchanges) != 0 || len(now.Exchanges) != 1 || now.InitiatorSPI != 32 || now.Ended != "" {
		t.Errorf("old %+v\nnew %+v", old, now)
	}
}

func TestStrayMessagesDoNotPushOutWhatTwoSidesCouldNotAgreeOn(t *testing.T) {
	tr := New(Options{})
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tr.Add(&event.Event{Time: at, Check: &event.Check{Kind: event.CheckProposal, What: "IKE proposals", Local: "aes256", Remote: "aes128"}})
	for i := range 2 * maxFailures {
		tr.Add(&event.Event{Time: at.Add(time.Duration(i) * time.Second), Check: &event.Check{Kind: event.CheckMessage, What: "major version", Local: "2", Remote: "3"}})
	}
	if len(tr.Daemon.Checks) != 1 || tr.Daemon.Checks[0].Kind != event.CheckProposal {
		t.Errorf("%d comparisons are kept", len(tr.Daemon.Checks))
	}
}
