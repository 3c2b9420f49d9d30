package tui_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/tui"
	"github.com/cloudvlan/cvlanctl/tui/feed"
	"github.com/cloudvlan/cvlanctl/tui/page"
)

// daemon is a strongSwan with an office that is up, a branch that failed and
// an archive that was never tried.
func daemon() *feed.Store {
	s := feed.NewStore(feed.Options{Title: "vici:/run/charon.vici", Live: true, Daemon: true,
		Diagnose: func(t *trace.Trace) []diag.Finding {
			return diag.Diagnose(&diag.Facts{Source: "vici", Trace: t, Now: t.Last, Live: true}, rule.All())
		}})
	duration := func(d time.Duration) engine.Opt[time.Duration] { return engine.Some(d) }
	round := func(id string) []engine.AuthRound { return []engine.AuthRound{{Class: "pre-shared key", ID: id}} }
	child := func(name, local, remote string) *engine.ChildConfig {
		return &engine.ChildConfig{Name: name, Mode: "TUNNEL", LocalTS: []string{local}, RemoteTS: []string{remote}, StartAction: "none"}
	}
	conn := func(name, remote, id string, children ...*engine.ChildConfig) *engine.Connection {
		return &engine.Connection{Name: name, LocalAddrs: []string{"192.0.2.1"}, RemoteAddrs: []string{remote}, Version: "IKEv2",
			RekeyTime: duration(4 * time.Hour), DPDDelay: duration(30 * time.Second), Local: round("hq.example.org"), Remote: round(id), Children: children}
	}
	s.SetConfiguration(engine.Version{Daemon: "charon-systemd", Version: "5.9.8"}, []*engine.Connection{
		conn("office", "192.0.2.2", "office.example.org", child("lan", "10.1.0.0/16", "10.2.0.0/16"), child("voice", "10.1.9.0/24", "10.2.9.0/24")),
		conn("branch", "198.51.100.7", "branch.example.org", child("net", "10.1.0.0/16", "10.3.0.0/16")),
		conn("archive", "203.0.113.9", hostile, child("backup", "10.1.0.0/16", "10.9.0.0/24")),
	})
	for n := range 12 {
		s.Add(&event.Event{Time: at(time.Duration(n) * time.Second), Table: &event.Table{SAs: []*engine.IKESA{officeSA(n)}, First: n == 0}})
	}
	log := func(after time.Duration, l event.Log) { s.Add(&event.Event{Time: at(after), Log: &l}) }
	log(12*time.Second, event.Log{Group: "IKE", Level: 0, IKE: "branch", IKEID: 2, Text: "initiating IKE_SA branch[2] to 198.51.100.7"})
	message := func(after time.Duration, m event.LogMessage) {
		way, verb := "response", "parsed"
		if !m.Response {
			way = "request"
		}
		if m.Sent {
			verb = "generating"
		}
		log(after, event.Log{Group: "ENC", Level: 1, IKE: "branch", IKEID: 2, Message: &m,
			Text: fmt.Sprintf("%s %s %s %d [ %s ]", verb, m.Name, way, m.MessageID, strings.Join(m.Payloads, " "))})
	}
	near, far := netip.MustParseAddrPort("192.0.2.1:500"), netip.MustParseAddrPort("198.51.100.7:500")
	sent := func(after time.Duration, octets int) {
		log(after, event.Log{Group: "NET", Level: 1, IKE: "branch", IKEID: 2, Datagram: &event.LogDatagram{Sent: true, Src: near, Dst: far, Octets: octets},
			Text: fmt.Sprintf("sending packet: from 192.0.2.1[500] to 198.51.100.7[500] (%d bytes)", octets)})
	}
	received := func(after time.Duration, octets int) {
		log(after, event.Log{Group: "NET", Level: 1, IKE: "branch", IKEID: 2, Datagram: &event.LogDatagram{Src: far, Dst: near, Octets: octets},
			Text: fmt.Sprintf("received packet: from 198.51.100.7[500] to 192.0.2.1[500] (%d bytes)", octets)})
	}
	message(12010*time.Millisecond, event.LogMessage{Sent: true, Exchange: wire.ExchangeIKESAInit, Name: "IKE_SA_INIT",
		Payloads: []string{"SA", "KE", "No", "N(NATD_S_IP)", "N(NATD_D_IP)"}})
	sent(12011*time.Millisecond, 264)
	received(12039*time.Millisecond, 272)
	message(12040*time.Millisecond, event.LogMessage{Exchange: wire.ExchangeIKESAInit, Name: "IKE_SA_INIT", Response: true,
		Payloads: []string{"SA", "KE", "No", "N(NATD_S_IP)", "N(NATD_D_IP)"}})
	message(12050*time.Millisecond, event.LogMessage{Sent: true, Exchange: wire.ExchangeIKEAuth, Name: "IKE_AUTH", MessageID: 1,
		Payloads: []string{"IDi", "N(INIT_CONTACT)", "IDr", "AUTH", "SA", "TSi", "TSr"}})
	sent(12051*time.Millisecond, 271)
	received(12989*time.Millisecond, 65)
	message(12990*time.Millisecond, event.LogMessage{Exchange: wire.ExchangeIKEAuth, Name: "IKE_AUTH", MessageID: 1, Response: true,
		Payloads: []string{"N(AUTH_FAILED)"}})
	log(13*time.Second, event.Log{Group: "IKE", Level: 1, IKE: "branch", IKEID: 2, Text: "received AUTHENTICATION_FAILED notify error" + hostile,
		Failure: &event.LogFailure{Kind: "notify", Notify: "AUTHENTICATION_FAILED"}})
	log(14*time.Second, event.Log{Group: "NET", Level: 1, IKE: "office", IKEID: 1, Text: "sending keep alive to 192.0.2.2[4500]"})
	s.Add(&event.Event{Time: at(15 * time.Second), Change: &event.Change{Kind: event.ChildDown, SA: &engine.IKESA{Name: "office", UniqueID: 1, State: engine.IKEEstablished,
		InitiatorSPI: 0x0edaee72093903a1, Children: []*engine.ChildSA{{Name: "voice", UniqueID: 9, State: engine.ChildInstalled}}}}})
	s.Add(&event.Event{Time: at(16 * time.Second), Table: &event.Table{SAs: []*engine.IKESA{officeSA(16)}}})
	s.Diagnose()
	return s
}

// officeSA is the SA of the office after some seconds, which grew each second.
func officeSA(seconds int) *engine.IKESA {
	octets := uint64(seconds * seconds * 40_000)
	child := &engine.ChildSA{Name: "lan", UniqueID: 3, State: engine.ChildInstalled, Mode: "TUNNEL", Protocol: "ESP", Encap: engine.Some(true),
		SPIIn: engine.Some(wire.ESPSPI(0xc1c2c3c4)), SPIOut: engine.Some(wire.ESPSPI(0xbe9debbe)), LocalTS: []string{"10.1.0.0/16"}, RemoteTS: []string{"10.2.0.0/16"},
		Suite: engine.Suite{Keyword: "aes256gcm16"}, BytesIn: engine.Some(octets), PacketsIn: engine.Some(octets / 1000), BytesOut: engine.Some(octets / 50),
		PacketsOut: engine.Some(octets / 2000), Installed: at(-30 * time.Minute),
		Timers: []engine.Timer{{Name: "rekey", Due: at(20 * time.Minute)}, {Name: "expire", Due: at(36 * time.Minute)}}}
	return &engine.IKESA{Name: "office", UniqueID: 1, Version: 2, State: engine.IKEEstablished, InitiatorSPI: 0x0edaee72093903a1, ResponderSPI: 0xf1e2d3c4b5a69788,
		Local:  engine.Side{Host: netip.MustParseAddr("192.0.2.1"), Port: 4500, ID: "hq.example.org"},
		Remote: engine.Side{Host: netip.MustParseAddr("192.0.2.2"), Port: 4500, ID: "office.example.org"}, Initiator: engine.Some(true),
		Suite: engine.Suite{Keyword: "aes256gcm16-prfsha256-ecp256"}, NAT: engine.NAT{Local: engine.Some(true), Remote: engine.Some(false), Any: engine.Some(true)},
		Established: at(-2 * time.Hour), Timers: []engine.Timer{{Name: "rekey", Due: at(110 * time.Minute)}}, Children: []*engine.ChildSA{child}}
}

var daemonScreens = []struct {
	name string
	keys []string
}{
	{"tunnels", nil},
	{"tunnel", []string{"enter"}},
	{"failed", []string{"down", "down", "down", "down", "enter"}},
	{"exchanges", []string{"2"}},
	{"nat", []string{"3"}},
	{"timers", []string{"4"}},
	{"diagnoses", []string{"5"}},
	{"evidence", []string{"5", "enter"}},
	{"evidence-message", []string{"5", "enter", "enter"}},
	{"packets", []string{"6"}},
	{"log", []string{"7"}},
	{"log-level", []string{"7", "l"}},
	{"question", []string{"D"}},
}

func TestADaemonsScreensAreAsTheyWereLookedAt(t *testing.T) {
	for _, size := range sizes {
		for _, s := range daemonScreens {
			name := fmt.Sprintf("daemon-%s-%dx%d", s.name, size.width, size.height)
			t.Run(name, func(t *testing.T) {
				d := drive(t, daemon(), size.width, size.height, takesOrders(new([]page.Order), nil), atSecond(17))
				golden(t, name+".txt", d.press(s.keys...).text())
			})
		}
	}
}

func atSecond(n int) func(*tui.Options) {
	return func(o *tui.Options) { o.Now = func() time.Time { return at(time.Duration(n) * time.Second) } }
}

// takesOrders makes the screen's daemon note its orders and answer so.
func takesOrders(orders *[]page.Order, err error) func(*tui.Options) {
	return func(o *tui.Options) {
		o.Act = func(order page.Order) (string, error) {
			*orders = append(*orders, order)
			return "done: " + order.String(), err
		}
	}
}

func TestWhatCutsTrafficIsAskedBefore(t *testing.T) {
	rows := []struct {
		name string
		keys []string
		want string // the order, "" for none
	}{
		{"down and yes", []string{"D", "y"}, "down office"},
		{"down and no", []string{"D", "n"}, ""},
		{"down and escape", []string{"D", "esc"}, ""},
		{"down and enter", []string{"D", "enter"}, ""},
		{"down of one child SA", []string{"down", "down", "D", "y"}, "down office/lan {3}"},
		{"rekey and yes", []string{"down", "r", "y"}, "rekey office [1]"},
		{"rekey and no", []string{"down", "r", "x"}, ""},
		{"up is not asked", []string{"down", "down", "down", "u"}, "up office/voice"},
		{"dpd is not asked", []string{"p"}, "dpd office"},
		{"command up", []string{":", "up branch", "enter"}, "up branch"},
		{"command up of a child by its name", []string{":", "up net", "enter"}, "up branch/net"},
		{"command down", []string{":", "down office/lan", "enter", "y"}, "down office/lan"},
		{"command down and no", []string{":", "down office/lan", "enter", "n"}, ""},
		{"command on nothing", []string{":", "up nobody", "enter"}, ""},
		{"what is up is not brought up", []string{"down", "down", "u"}, ""},
		{"what is down is not taken down", []string{"G", "D", "y"}, ""},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			var orders []page.Order
			d := drive(t, daemon(), 120, 40, takesOrders(&orders, nil), atSecond(17))
			d.press(r.keys...)
			switch {
			case r.want == "" && len(orders) > 0:
				t.Errorf("it did %s", orders[0].String())
			case r.want != "" && (len(orders) != 1 || orders[0].String() != r.want):
				t.Errorf("it did %v, want %s", orders, r.want)
			case r.want != "":
				d.has("done: " + r.want)
			}
		})
	}
}

func TestAFailedOrderIsSaid(t *testing.T) {
	d := drive(t, daemon(), 120, 40, takesOrders(new([]page.Order), errors.New("the peer refuses"+hostile)), atSecond(17))
	d.press("p").has("dpd office: the peer refuses")
	d.hasNot("\x9b31m", "\a")
}

func TestADaemonThatIsAwayIsNeverShownAsLive(t *testing.T) {
	s := daemon()
	s.Add(&event.Event{Time: at(17 * time.Second), Gap: &event.Gap{What: "the daemon hung up", Away: true}})
	d := drive(t, s, 120, 40, takesOrders(new([]page.Order), nil), atSecond(29))
	d.has("AWAY for 12s, trying again", "all of the past")
	d.hasNot("5.9.8 live", "healthy", "auth-failed-opaque")
	d.press("D").has("not now: the daemon is away")
	golden(t, "daemon-away-120x40.txt", d.text())
	s.Add(&event.Event{Time: at(30 * time.Second), Table: &event.Table{First: true}})
	d.send(tui.Tick(at(31 * time.Second)))
	d.has("5.9.8 live")
	d.hasNot("ESTABLISHED", "AWAY")
	d.press("7").has("the daemon is back")
}

func TestADaemonThatDoesNotAnswerIsNeverShownAsLive(t *testing.T) {
	s := daemon()
	d := drive(t, s, 120, 40, atSecond(19))
	d.has("5.9.8 live")
	d.send(tui.Tick(at(23 * time.Second)))
	d.has("NO ANSWER for 7s", "all of the past").hasNot("5.9.8 live")
	s.Add(&event.Event{Time: at(24 * time.Second), Table: &event.Table{SAs: []*engine.IKESA{officeSA(24)}}})
	d.send(tui.Tick(at(25 * time.Second)))
	d.has("5.9.8 live").hasNot("NO ANSWER", "all of the past")
}

func TestAPausedScreenStandsStill(t *testing.T) {
	s := daemon()
	d := drive(t, s, 120, 40, atSecond(17))
	d.press("4", "space")
	before := d.text()
	s.Add(&event.Event{Time: at(18 * time.Second), Table: &event.Table{}})
	s.Add(&event.Event{Time: at(19 * time.Second), Table: &event.Table{}})
	d.send(tui.Tick(at(60 * time.Second)))
	if d.text() != before {
		t.Errorf("it moved:\n%s\n%s", before, d.text())
	}
	d.has("paused").press("space").hasNot("paused", "rekey    ")
}

func TestTheLogFollowsItsEndUntilOneLooksBack(t *testing.T) {
	s := daemon()
	d := drive(t, s, 120, 40, atSecond(17))
	d.press("7").has("following  ")
	line := func(n int) string { return fmt.Sprintf("line number %d of many", n) }
	add := func(n int) {
		s.Add(&event.Event{Time: at(time.Duration(20+n) * time.Second), Log: &event.Log{Group: "IKE", Level: 1, IKE: "office", IKEID: 1, Text: line(n)}})
		d.send(tui.Tick(at(time.Duration(21+n) * time.Second)))
	}
	for n := range 60 {
		add(n)
	}
	d.has(line(59))
	d.press("g").hasNot(line(59), "following  ")
	add(60)
	d.hasNot(line(60))
	d.press("F").has(line(60), "following  ")
	d.press("/", "group=NET", "enter").has("sending keep alive")
	d.hasNot(line(59))
	add(61)
	d.hasNot(line(61))
	d.press("esc").has("filter cleared")
}

func TestALineOfTheLogLeadsToItsTunnelAndBack(t *testing.T) {
	d := drive(t, daemon(), 120, 40, atSecond(17))
	d.press("7", "/", "keep", "enter", "t").has("TUNNEL", "IKE [1]")
	d.press("esc").has("sending keep alive")
}

func TestAFindingsEvidenceIsOneKeyAwayAndBack(t *testing.T) {
	d := drive(t, daemon(), 120, 40, atSecond(17))
	d.press("1", "/", "branch", "enter", "f").has("evidence", "what to change")
	d.press("enter", "enter").has("INITIATOR", "▌").hasNot("what to change")
	d.press("esc").has("what to change")
	d.press("esc", "esc").has("TUNNEL")
}

func TestAMessageOfALogLeadsToItsLineAndBack(t *testing.T) {
	d := drive(t, daemon(), 120, 40, atSecond(17))
	d.press("2", "G", "enter").has("WHAT", "parsed IKE_AUTH response 1").hasNot("reading the packet")
	d.press("esc").has("INITIATOR")
}

func TestKeysAreWrittenOnlyAfterAQuestion(t *testing.T) {
	var orders []page.Order
	d := drive(t, daemon(), 120, 40, takesOrders(&orders, nil), atSecond(17))
	d.press(":", "up branch keys /tmp/k", "enter").has("write the keys of branch to /tmp/k? They open all its traffic; charon 5.9.8 may lock up over it. y or n")
	if d.press("n"); len(orders) != 0 {
		t.Fatalf("it did %v", orders)
	}
	d.press(":", "up branch keys /tmp/k", "enter", "y")
	if len(orders) != 1 || orders[0].KeyDir != "/tmp/k" || orders[0].String() != "up branch" {
		t.Errorf("it did %v", orders)
	}
	if d.press(":", "up branch", "enter"); orders[1].KeyDir != "" {
		t.Error("keys are written though nobody asked")
	}
}

func TestAConnectionThatIsDownShowsWhyItsLastSAEnded(t *testing.T) {
	s := daemon()
	for n := range 4 { // the daemon lists the SA of the branch no more
		s.Add(&event.Event{Time: at(time.Duration(17+n) * time.Second), Table: &event.Table{SAs: []*engine.IKESA{officeSA(17 + n)}}})
	}
	s.Diagnose()
	d := drive(t, s, 120, 40, atSecond(21))
	d.press("/", "branch", "enter").has("failed       8.0s ago: AUTHENTICATION_FAILED", "high")
	d.press("f").has("198.51.100.7 refused the authentication of 192.0.2.1")
}
