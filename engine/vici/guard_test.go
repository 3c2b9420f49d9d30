package vici

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	govici "github.com/strongswan/govici/vici"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
	"github.com/cloudvlan/cvlanctl/engine/vici/vicitest"
)

func TestAddresses(t *testing.T) {
	rows := []struct{ in, want string }{
		{"vici", "vici:/var/run/charon.vici"},
		{"vici:", "vici:/var/run/charon.vici"},
		{"vici:/tmp/x", "vici:/tmp/x"},
		{"vici:unix:///tmp/x", "vici:/tmp/x"},
		{"/tmp/x", "vici:/tmp/x"},
		{"vici:tcp://127.0.0.1:4502", "vici:tcp://127.0.0.1:4502"},
		{"vici:tcp://[::1]:4502", "vici:tcp://[::1]:4502"},
		{"vici:tcp://127.0.0.1", ""},
		{"vici:tcp://:4502", ""},
		{"vici:relative", ""},
		{"vici:unix://relative", ""},
		{"vici:http://x:1", ""},
		{"vici:/tmp/\x00", ""},
	}
	for _, r := range rows {
		a, err := ParseAddr(r.in)
		if (err == nil) != (r.want != "") || err == nil && a.String() != r.want {
			t.Errorf("%q became %v, %v", r.in, a, err)
		}
		if err == nil {
			if again, err := ParseAddr(a.String()); err != nil || again != a {
				t.Errorf("%v does not survive its own text: %v, %v", a, again, err)
			}
		}
	}
}

// FuzzSegment proves that what the guard lets through govici decodes without a
// panic, and the readers of this package read.
func FuzzSegment(f *testing.F) {
	f.Add(vicitest.AppendPacket(nil, packet.Event, "list-sa", []packet.Element{vicitest.SA(1, true)}))
	f.Add(vicitest.AppendPacket(nil, packet.Event, "list-conn", []packet.Element{vicitest.Connection(1)}))
	f.Add(vicitest.AppendPacket(nil, packet.Response, "", nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		segment, err := readSegment(bytes.NewReader(b))
		if err != nil || checkSegment(segment[4:]) != nil || segment[4] != packetEvent {
			return
		}
		client, server := net.Pipe()
		s, err := govici.NewSession(govici.WithDialContext(pipe(client)))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = errors.Join(s.Close(), server.Close()) }() // both ends go
		events := make(chan govici.Event, 1)
		s.NotifyEvents(events)
		name := string(segment[6 : 6+int(segment[5])])
		go func() {
			buf := make([]byte, 4096)
			if _, err := server.Read(buf); err != nil {
				return
			}
			_, _ = server.Write(vicitest.AppendPacket(nil, packet.Confirm, "", nil)) // the reader may be gone
			_, _ = server.Write(segment)
		}()
		if err := s.Subscribe(name); err != nil {
			t.Fatalf("subscribing to %q: %v", name, err)
		}
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatal("govici refuses what the guard lets through")
			}
			w := &watch{client: New(Addr{}), ring: newRing(1)}
			w.convert(e)
			section{e.Message}.each(func(name string, sub section) {
				ikeSA(name, sub, time.Unix(0, 0))
				connection(name, sub)
				pool(name, sub)
			})
		case <-time.After(time.Minute):
			t.Fatal("the event did not arrive")
		}
	})
}

func TestSegmentsOfEveryLengthAreCutSafely(t *testing.T) {
	whole := vicitest.AppendPacket(nil, packet.Event, "list-sa", []packet.Element{vicitest.SA(1, true)})
	if err := checkSegment(whole[4:]); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		_, err := readSegment(bytes.NewReader(whole[:n]))
		if n == 0 && !errors.Is(err, io.EOF) || n > 0 && !errors.Is(err, errCutShort) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		if n > 5 && checkSegment(whole[4:n]) == nil && n < len(whole) && n != 6+int(whole[5]) {
			t.Fatalf("a message cut at %d is well-formed", n)
		}
	}
}

func TestSettingsBecomeAMessageInTheirOrder(t *testing.T) {
	var s backend.Section
	s.Set("version", "2")
	s.SetList("local_addrs", "192.0.2.1")
	s.SetList("none")
	s.Sub("local-2").Set("auth", "eap")
	s.Sub("local-1").Set("auth", "psk")
	m, err := message(&s)
	if err != nil {
		t.Fatal(err)
	}
	keys := m.Keys()
	if len(keys) != 5 || keys[3] != "local-2" || keys[4] != "local-1" || (section{m}).sub("local-1").text("auth") != "psk" {
		t.Errorf("%v", m)
	}
	var bad backend.Section
	bad.Set("", "x")
	if _, err := message(&bad); err == nil {
		t.Error("a setting without a name")
	}
}

// pipe gives a dial function for one end of a pipe.
func pipe(c net.Conn) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) { return c, nil }
}
