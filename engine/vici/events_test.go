package vici_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
	"github.com/cloudvlan/cvlanctl/engine/vici/vicitest"
)

// TestStreamHealsAfterARestart proves the order of a restart as a reader sees
// it: a table, the gap, a first table again, and then events as before.
func TestStreamHealsAfterARestart(t *testing.T) {
	goroutines(t)
	path := filepath.Join(t.TempDir(), "vici")
	first := vicitest.NewDaemon(3, 2)
	if err := first.Listen("unix", path); err != nil {
		t.Fatal(err)
	}
	c := vici.New(vici.Addr{Network: "unix", Address: path})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	tr := trace.New(trace.Options{})
	var second *vicitest.Server
	step := 0
	for e, err := range c.Events(ctx, backend.EventOptions{Every: -1}) {
		if err != nil {
			t.Fatal(err)
		}
		tr.Add(e)
		switch {
		case step == 0 && e.Table != nil:
			if !e.Table.First || len(e.Table.SAs) != 2 || !c.State().Live || !tr.Daemon.Connected {
				t.Fatalf("first table %+v, state %+v", e.Table, c.State())
			}
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			step++
		case step == 1 && e.Gap != nil:
			if !e.Gap.Away || c.State().Live || tr.Daemon.Connected {
				t.Fatalf("gap %+v, state %+v", e.Gap, c.State())
			}
			if s, err := c.Snapshot(ctx); err == nil || s != nil {
				t.Fatalf("a snapshot of a daemon that is away: %v, %v", s, err)
			}
			second = vicitest.NewDaemon(3, 1)
			if err := second.Listen("unix", path); err != nil {
				t.Fatal(err)
			}
			step++
		case step == 2 && e.Table != nil:
			if !e.Table.First || len(e.Table.SAs) != 1 || !tr.Daemon.Connected {
				t.Fatalf("table after the restart %+v", e.Table)
			}
			second.Raise("ike-updown", vicitest.SA(0, false))
			step++
		case step == 3 && e.Change != nil:
			if e.Change.Kind != event.IKEDown || e.Change.SA.Name != vicitest.Name(0) {
				t.Fatalf("change %+v", e.Change)
			}
			step++
			cancel()
		}
	}
	if step != 4 {
		t.Fatalf("stopped at step %d", step)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

func TestLastSnapshotIsMarkedWhenTheDaemonIsAway(t *testing.T) {
	s := vicitest.NewDaemon(2, 1)
	path := filepath.Join(t.TempDir(), "vici")
	if err := s.Listen("unix", path); err != nil {
		t.Fatal(err)
	}
	c := vici.New(vici.Addr{Network: "unix", Address: path})
	live, err := c.Snapshot(timeout(t, time.Minute))
	if err != nil || !live.State.Live {
		t.Fatalf("%+v, %v", live, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	stale, err := c.Snapshot(timeout(t, time.Minute))
	if err == nil || stale == nil || stale.State.Live || stale.State.Err == nil || !stale.At.Equal(live.At) {
		t.Errorf("%+v, %v", stale, err)
	}
	if !live.State.Live {
		t.Error("the snapshot given before was changed")
	}
}

// TestSlowReaderIsToldWhatItMissed proves that a reader never holds the daemon
// up, and learns how much was dropped.
func TestSlowReaderIsToldWhatItMissed(t *testing.T) {
	goroutines(t)
	s := vicitest.NewDaemon(1, 0)
	c := serve(t, s)
	const sent = 500
	var got, dropped uint64
	for e, err := range c.Events(timeout(t, time.Minute), backend.EventOptions{Every: -1, Buffer: 8}) {
		switch {
		case err != nil:
			t.Fatal(err)
		case e.Table != nil:
			for range sent {
				s.Raise("log", packet.Value("group", "IKE"), packet.Value("level", "1"), packet.Value("msg", "x"))
			}
			s.Raise("log", packet.Value("msg", "last"))
		case e.Gap != nil:
			dropped += e.Gap.Dropped
		case e.Log != nil:
			got++
		}
		if e != nil && e.Log != nil && e.Log.Text == "last" {
			break
		}
	}
	if got+dropped != sent+1 {
		t.Errorf("%d events read and %d dropped of %d", got, dropped, sent+1)
	}
	if dropped == 0 {
		t.Error("nothing was dropped: the test shows nothing")
	}
}

// TestRekeyAndUpdateEvents proves the two events whose shape differs from a
// listing's.
func TestRekeyAndUpdateEvents(t *testing.T) {
	goroutines(t)
	s := vicitest.NewDaemon(2, 2)
	c := serve(t, s)
	old, now := vicitest.SA(0, false).Section, vicitest.SA(1, false).Section
	child := vicitest.SA(0, true).Section
	inner := child[len(child)-1].Section[0].Section
	var kinds []event.ChangeKind
	for e, err := range c.Events(timeout(t, time.Minute), backend.EventOptions{Every: -1, NoLog: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Table != nil {
			s.Raise("ike-rekey", packet.Sub("gw", packet.Sub("old", old...), packet.Sub("new", now...)))
			s.Raise("ike-update", packet.Value("local-host", "192.0.2.9"), packet.Value("local-port", "4501"),
				packet.Value("remote-host", "198.18.0.1"), packet.Value("remote-port", "4500"), packet.Sub("gw", old...))
			s.Raise("child-rekey", packet.Sub("gw", append(old, packet.Sub("child-sas", packet.Sub("net",
				packet.Sub("old", inner...), packet.Sub("new", inner...))))...))
			s.Raise("alert", packet.Value("type", "peer-auth-failed"), packet.Sub("ike-sa", packet.Sub("gw", old...)))
		}
		if a := e.Alert; a != nil {
			if a.Type != "peer-auth-failed" || a.SA == nil || a.SA.UniqueID != 1 {
				t.Errorf("alert %+v", a)
			}
			break
		}
		if e.Change == nil {
			continue
		}
		kinds = append(kinds, e.Change.Kind)
		switch ch := e.Change; ch.Kind {
		case event.IKERekey:
			if ch.Old.UniqueID != 1 || ch.SA.UniqueID != 2 || ch.SA.Name != "gw" {
				t.Errorf("rekey %d to %d", ch.Old.UniqueID, ch.SA.UniqueID)
			}
		case event.IKEUpdate:
			if ch.SA.Local.AddrPort().String() != "192.0.2.9:4501" || ch.Old.Local.AddrPort().String() != "192.0.2.1:4500" {
				t.Errorf("update %v from %v", ch.SA.Local, ch.Old.Local)
			}
		case event.ChildRekey:
			if len(ch.SA.Children) != 1 || len(ch.Old.Children) != 1 || ch.SA.Children[0].Name != "net" {
				t.Errorf("children %v, %v", ch.SA.Children, ch.Old.Children)
			}
		}
	}
	if len(kinds) != 3 {
		t.Errorf("changes %v", kinds)
	}
}
