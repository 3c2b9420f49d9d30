package backend_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }

func conn(name string, children ...string) *engine.Connection {
	c := &engine.Connection{Name: name}
	for _, n := range children {
		c.Children = append(c.Children, &engine.ChildConfig{Name: n})
	}
	return c
}

func sa(name string, id uint32, s engine.IKEState, children ...string) *engine.IKESA {
	x := &engine.IKESA{Name: name, UniqueID: id, State: s}
	for i, n := range children {
		x.Children = append(x.Children, &engine.ChildSA{Name: n, UniqueID: uint32(i + 1), State: engine.ChildInstalled})
	}
	return x
}

func TestJoinKeepsWhatIsConfiguredAndWhatIsActive(t *testing.T) {
	tunnels := backend.Join(
		[]*engine.Connection{conn("a", "x", "y"), conn("b", "x"), conn("c")},
		[]*engine.IKESA{sa("b", 1, engine.IKEEstablished, "x", "x", "orphan"), sa("gone", 2, engine.IKEEstablished, "x"), sa("c", 3, engine.IKEConnecting)}, nil)
	var got []string
	for _, tun := range tunnels {
		line := fmt.Sprintf("%s config=%t up=%t sas=%d:", tun.Name, tun.Connection != nil, tun.Up(), len(tun.SAs))
		for _, c := range tun.Children {
			line += fmt.Sprintf(" %s config=%t up=%t sas=%d", c.Name, c.Config != nil, c.Up(), len(c.SAs))
		}
		got = append(got, line)
	}
	want := `a config=true up=false sas=0: x config=true up=false sas=0 y config=true up=false sas=0
b config=true up=true sas=1: x config=true up=true sas=2 orphan config=false up=true sas=1
c config=true up=false sas=1:
gone config=false up=true sas=1: x config=false up=true sas=1`
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

// logged makes a log line's event of connection gw.
func logged(s int, l event.Log) *event.Event {
	l.IKE, l.IKEID = "gw", 1
	return &event.Event{Time: at(s), Log: &l}
}

func failure(s int, kind string) *event.Event {
	return logged(s, event.Log{Text: kind, Failure: &event.LogFailure{Kind: kind}})
}

func TestHistory(t *testing.T) {
	wanted := logged(0, event.Log{Step: &event.LogStep{Kind: "child-start", Detail: map[string]string{"child": "net"}}})
	established := func(s int) *event.Event {
		return logged(s, event.Log{Established: &event.LogEstablished{Name: "gw"}})
	}
	childUp := func(s int) *event.Event {
		return logged(s, event.Log{Established: &event.LogEstablished{Child: true, Name: "net"}})
	}
	table := func(s int, sas ...*engine.IKESA) *event.Event {
		return &event.Event{Time: at(s), Table: &event.Table{SAs: sas}}
	}
	rows := []struct {
		name       string
		events     []*event.Event
		conn, net  string // last failure of each
		count      int
		up, lastUp int // seconds of the child, -1 for never
	}{
		{"nothing is known at first", nil, "", "", 0, -1, -1},
		{"a failure of the IKE SA is one of the child wanted", []*event.Event{wanted, failure(1, "psk-mismatch")}, "psk-mismatch", "psk-mismatch", 1, -1, -1},
		{"a failure of the child leaves the connection alone", []*event.Event{wanted, established(0), failure(1, "ts-unacceptable")}, "", "ts-unacceptable", 1, -1, -1},
		{"what follows a failure does not hide it", []*event.Event{wanted, failure(1, "ts-unacceptable"), failure(1, "child-failed")}, "", "ts-unacceptable", 1, -1, -1},
		{"failures are counted", []*event.Event{wanted, failure(1, "psk-mismatch"), failure(5, "psk-mismatch"), failure(9, "psk-mismatch")}, "psk-mismatch", "psk-mismatch", 3, -1, -1},
		{"coming up ends a failure", []*event.Event{wanted, failure(1, "psk-mismatch"), established(5), childUp(5)}, "", "", 0, 5, 5},
		{"giving up is no answer", []*event.Event{wanted, logged(3, event.Log{Text: "giving up", Retransmit: &event.LogRetransmit{Kind: event.RetransmitGiveUp}})}, "no-response", "no-response", 1, -1, -1},
		{"missing from a table is down since then", []*event.Event{table(1, sa("gw", 1, engine.IKEEstablished, "net")), table(4, sa("gw", 1, engine.IKEEstablished, "net")), table(9)}, "", "", 0, -1, 4},
		{"going down is remembered", []*event.Event{table(1, sa("gw", 1, engine.IKEEstablished, "net")),
			{Time: at(6), Change: &event.Change{Kind: event.IKEDown, SA: sa("gw", 1, engine.IKEDeleting)}}}, "", "", 0, -1, 6},
		{"an alert is a failure", []*event.Event{{Time: at(1), Alert: &event.Alert{Type: "peer-auth-failed", SA: sa("gw", 1, engine.IKEConnecting)}}}, "peer-auth-failed", "", 1, -1, -1},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			var h backend.History
			for _, e := range r.events {
				h.Add(e)
			}
			c, n := h.Of("gw", ""), h.Of("gw", "net")
			kind := func(p backend.Past) string {
				if p.Failure == nil {
					return ""
				}
				return p.Failure.Kind
			}
			if kind(c) != r.conn || kind(n) != r.net {
				t.Errorf("failures %q and %q, want %q and %q", kind(c), kind(n), r.conn, r.net)
			}
			for _, p := range []backend.Past{c, n} {
				if p.Failure != nil && p.Failure.Count != r.count {
					t.Errorf("%d failures", p.Failure.Count)
				}
			}
			second := func(x time.Time) int {
				if x.IsZero() {
					return -1
				}
				return int(x.Sub(start).Seconds())
			}
			if second(n.UpSince) != r.up || second(n.LastUp) != r.lastUp {
				t.Errorf("up since %d, last up %d; want %d, %d", second(n.UpSince), second(n.LastUp), r.up, r.lastUp)
			}
		})
	}
}

func TestSectionsKeepTheirOrderAndReplace(t *testing.T) {
	var s backend.Section
	s.Set("version", "1")
	s.SetList("addrs")
	s.Sub("local").Set("auth", "psk")
	s.Set("version", "2")
	s.Sub("local").Set("id", "a")
	if len(s.Items) != 3 || s.Get("version").Value != "2" || s.Get("addrs").List == nil || len(s.Sub("local").Items) != 2 || s.Get("none") != nil {
		t.Errorf("%+v", s.Items)
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	for _, v := range []any{backend.Secret{Type: "IKE", ID: "s", Data: []byte("hunter2")}, backend.KeyData{Type: "rsa", Data: []byte("hunter2")},
		backend.TokenData{Handle: "01", PIN: "hunter2"}, &backend.Secret{Data: []byte("hunter2")}} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if text := fmt.Sprintf(format, v); strings.Contains(text, "hunter2") || strings.Contains(text, "0x68") || strings.Contains(text, "104") {
				t.Errorf("%s of %T: %s", format, v, text)
			}
		}
	}
}
