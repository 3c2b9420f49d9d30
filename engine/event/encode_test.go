package event_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// everything compares all that is in events; times by their moment.
var everything = cmp.Exporter(func(reflect.Type) bool { return true })

// exactEvents has one of each kind of event.
func exactEvents(t *testing.T) []*event.Event {
	t.Helper()
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	sa := &engine.IKESA{Name: "gw", UniqueID: 7, State: engine.IKEEstablished, Local: engine.Side{Host: netip.MustParseAddr("192.0.2.1"), Port: 500, ID: "a"},
		NAT: engine.NAT{Local: engine.Some(false)}, Established: at, Timers: []engine.Timer{{Name: "dpd", Due: at}},
		Children: []*engine.ChildSA{{Name: "net", SPIIn: engine.Some(wire.ESPSPI(1)), BytesIn: engine.Some(uint64(1 << 60)), MarkIn: engine.Some(engine.Mark{Value: 1, Mask: 2})}}}
	message := &wire.Message{Header: wire.Header{InitiatorSPI: 1, ResponderSPI: 2, Version: wire.Version2, Exchange: wire.ExchangeInformational, Flags: wire.FlagInitiator, MessageID: 3},
		Payloads: []wire.Payload{{Type: wire.PayloadSK, Body: &wire.Encrypted{First: wire.PayloadNonce, Data: []byte("sealed octets")}}}}
	octets := message.Append(nil)
	parsed, err := wire.Parse(octets)
	if err != nil {
		t.Fatal(err)
	}
	plain := append([]byte{0, 0, 0, 20}, "0123456789abcdef"...)
	inner, problems := wire.ParsePayloads(wire.PayloadNonce, wire.Version2, plain)
	packet := &event.Packet{Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("2001:db8::1"), SrcPort: 500, DstPort: 4500, Proto: event.IKEv2, Encap: event.UDPNATT,
		Length: len(octets), Octets: octets, IKE: &event.IKE{Message: parsed, Decrypted: true, Inner: inner, InnerProblems: problems, Plain: plain}}
	empty := *packet
	message.Payloads[0].Body = &wire.Encrypted{Data: []byte("sealed nothing")}
	empty.Octets = message.Append(nil)
	nothing, err := wire.Parse(empty.Octets)
	if err != nil {
		t.Fatal(err)
	}
	empty.IKE = &event.IKE{Message: nothing, Decrypted: true, Inner: []wire.Payload{}}
	closed := *packet
	closed.IKE = &event.IKE{Message: parsed, DecryptError: "no key", Fragment: &event.Fragment{Number: 1, Total: 2}}
	return []*event.Event{
		{Time: at, Table: &event.Table{SAs: []*engine.IKESA{sa}, First: true}},
		{Time: at, Change: &event.Change{Kind: event.ChildRekey, SA: sa, Old: sa}},
		{Time: at, Alert: &event.Alert{Type: "cert-expired", SA: sa}},
		{Time: at, Log: &event.Log{Group: "IKE", Level: -1, Thread: 3, IKE: "gw", IKEID: 7, Text: "a \x00 line", Failure: &event.LogFailure{Kind: "notify", Notify: "TS_UNACCEPTABLE", Detail: map[string]string{"a": "b"}}}},
		{Time: at, Check: &event.Check{SPIi: 1, SPIr: 1<<64 - 1, Kind: event.CheckKE, What: "group", Local: "x", Remote: "y", Why: "because", RFC: "RFC 7296"}},
		{Time: at, Step: &event.Step{SPIi: 1, Kind: "retransmit", Child: "net", Text: "again"}},
		{Time: at, Gap: &event.Gap{What: "away", Dropped: 3, Away: true}},
		{Time: at, ICMP: &event.ICMPError{From: netip.MustParseAddr("192.0.2.9"), What: "port unreachable", SPI: 9}},
		{Time: at, Loss: &event.FragmentLoss{Have: 2, Frames: []int64{1, 2}, Why: "late"}},
		{Time: at, Frame: 5, Packet: packet}, {Time: at, Packet: &empty}, {Time: at, Packet: &closed},
		{Time: at, Packet: &event.Packet{Proto: event.ESP, Length: 8, ESP: &event.SecurityPacket{SPI: 1, Seq: 2, Inner: &event.Inner{Protocol: 1}}}},
	}
}

func TestEventsComeBackExactly(t *testing.T) {
	for i, want := range exactEvents(t) {
		b, err := event.Encode(want)
		if err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
		got, err := event.Decode(b)
		if err != nil {
			t.Fatalf("event %d: %v\n%s", i, err, b)
		}
		if d := cmp.Diff(want, got, everything); d != "" {
			t.Errorf("event %d: %s", i, d)
		}
	}
}

func TestWhatIsNoEventIsRefused(t *testing.T) {
	for _, text := range []string{"", "null", "{}", "[]", `{"Time":7}`, `{"Change":{}}`, `{"Change":{"SA":{"Children":[null]}}}`, `{"Change":{"SA":{},"Old":{"Children":[null]}}}`,
		`{"Table":{"SAs":[null]}}`, `{"Alert":{"SA":{"Children":[null]}}}`, `{"Packet":null}`, strings.Repeat("[", 100_000)} {
		if e, err := event.Decode([]byte(text)); err == nil {
			t.Errorf("%.40s is %+v", text, e)
		}
	}
}

func TestEachEventIsALineOfALog(t *testing.T) {
	want := []string{"", "[CHD 0 gw 7] CHILD_SA net{0} rekeyed, now with SPIs 00000001_i 00000000_o and TS  === ", "[IKE 1 gw 7] alert: cert-expired", "[IKE -1 gw 7] a \x00 line",
		"[CFG 1  0] ke: group: local x, remote y: they do not fit: because (RFC 7296)", "[CHD 1  0] retransmit: again", "[DMN 0  0] away: 3 are lost",
		"[NET 1  0] ", "[NET 1  0] ", "[ENC 1  0] INFORMATIONAL request 3: SK{ Nonce }; 192.0.2.1[500] to 2001:db8::1[4500]"}
	for i, e := range exactEvents(t)[:len(want)] {
		l := event.Line(e)
		switch {
		case l == nil && want[i] != "", l != nil && want[i] == "":
			t.Errorf("event %d: %+v", i, l)
		case l == nil:
		default:
			got := "[" + strings.Join([]string{l.Group, itoa(l.Level), l.IKE, itoa(int(l.IKEID))}, " ") + "] " + l.Text
			if !strings.HasPrefix(got, want[i]) {
				t.Errorf("event %d: %q, want %q", i, got, want[i])
			}
		}
	}
	sa := &engine.IKESA{Name: "gw", UniqueID: 7, Children: []*engine.ChildSA{{Name: "net"}}}
	for kind, text := range map[event.ChangeKind]string{event.IKEUp: "established", event.IKEDown: "deleted", event.IKERekey: "rekeyed", event.IKEUpdate: "moved", event.ChildUp: "established",
		event.ChildDown: "closed", "other": "other gw[7]"} {
		if l := event.Line(&event.Event{Change: &event.Change{Kind: kind, SA: sa}}); !strings.Contains(l.Text, text) || l.Level != 0 {
			t.Errorf("%s: %+v", kind, l)
		}
	}
	if l := event.Line(&event.Event{Check: &event.Check{OK: true}}); l.Level != 2 {
		t.Errorf("a comparison that succeeds is of level %d", l.Level)
	}
	if l := event.Line(&event.Event{Gap: &event.Gap{What: "away"}}); l.Text != "away" {
		t.Errorf("a gap of unknown size: %q", l.Text)
	}
}

func itoa(n int) string {
	if n < 0 {
		return "-" + itoa(-n)
	}
	return string(rune('0' + n))
}
