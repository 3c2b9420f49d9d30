package serve_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/native/nativetest"
	"github.com/cloudvlan/cvlanctl/engine/vici/serve"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// everything compares models with all that is in them; times by their moment.
var everything = cmp.Exporter(func(reflect.Type) bool { return true })

// TestOurClientLosesNothing proves that what our client has through the socket
// is what the engine says in the same process, to the nanosecond.
func TestOurClientLosesNothing(t *testing.T) {
	a, _ := pair(t)
	_, path := served(t, a, serve.Options{})
	c := client(t, path, true)
	if got := c.Source(); got != "engine:"+path {
		t.Errorf("source %q", got)
	}
	if err := c.Up(limited(t), backend.Target{IKE: "gw", Child: "net"}, backend.UpOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Up(limited(t), backend.Target{IKE: "gw", Child: "spare"}, backend.UpOptions{}, nil); err == nil {
		t.Fatal("the peer takes what it should refuse")
	}
	type lister struct {
		name string
		of   func(backend.Backend) (any, error)
	}
	ctx := limited(t)
	for _, l := range []lister{
		{"version", func(b backend.Backend) (any, error) { v, err := b.Version(ctx); return v, err }},
		{"stats", func(b backend.Backend) (any, error) { v, err := b.Stats(ctx); v.Running = 0; return v, err }},
		{"connections", func(b backend.Backend) (any, error) { v, err := b.Connections(ctx); return v, err }},
		{"SAs", func(b backend.Backend) (any, error) { v, err := b.SAs(ctx, backend.Filter{}); return v, err }},
		{"SAs of a child", func(b backend.Backend) (any, error) {
			v, err := b.SAs(ctx, backend.Filter{IKE: "gw", Child: "net"})
			return v, err
		}},
		{"policies", func(b backend.Backend) (any, error) { v, err := b.Policies(ctx); return v, err }},
		{"certificates", func(b backend.Backend) (any, error) { v, err := b.Certificates(ctx); return v, err }},
		{"authorities", func(b backend.Backend) (any, error) { v, err := b.Authorities(ctx); return v, err }},
		{"pools", func(b backend.Backend) (any, error) { v, err := b.Pools(ctx, true); return v, err }},
		{"algorithms", func(b backend.Backend) (any, error) { v, err := b.Algorithms(ctx); return v, err }},
		{"counters", func(b backend.Backend) (any, error) { v, err := b.Counters(ctx, "gw"); return v, err }},
		{"credentials", func(b backend.Backend) (any, error) {
			v, err := b.Credentials(ctx)
			return []int{len(v.Keys), len(v.Secrets)}, err
		}},
		{"snapshot", func(b backend.Backend) (any, error) {
			v, err := b.Snapshot(ctx)
			if v != nil {
				v.At, v.State = time.Time{}, backend.State{}
			}
			return v, err
		}},
	} {
		want, err := l.of(a)
		got, err2 := l.of(c)
		if err != nil || err2 != nil {
			t.Errorf("%s: %v, %v", l.name, err, err2)
		}
		if d := cmp.Diff(want, got, everything); d != "" {
			t.Errorf("%s: %s", l.name, d)
		}
	}
	s, err := c.Snapshot(ctx)
	if err != nil || s.Tunnels[0].Children[1].Failure == nil || !strings.Contains(s.Tunnels[0].Children[1].Failure.Text, "TS_UNACCEPTABLE") {
		t.Errorf("what failed is not known: %+v, %v", s.Tunnels[0], err)
	}
	probe, err := c.DPD(ctx, "gw", nil)
	if rtt, known := probe.RTT.Get(); err != nil || !probe.Answered || !known || rtt <= 0 || probe.Sent.IsZero() {
		t.Errorf("liveness check %+v, %v", probe, err)
	}
	if n, err := c.Rekey(ctx, backend.Target{Child: "net"}, backend.RekeyOptions{}); n != 1 || err != nil {
		t.Errorf("rekey: %d, %v", n, err)
	}
	if err := errors.Join(c.ResetCounters(ctx, "gw"), c.FlushCertificates(ctx, "")); err != nil {
		t.Error(err)
	}
	for kind, err := range map[error]error{
		backend.ErrUnsupported: c.ReloadSettings(ctx), backend.ErrRefused: c.UnloadConnection(ctx, "none"),
	} {
		if !errors.Is(err, kind) {
			t.Errorf("%v is not: %v", err, kind)
		}
	}
	if _, err := c.DPD(ctx, "none", nil); !errors.Is(err, backend.ErrRefused) {
		t.Errorf("a check of nobody: %v", err)
	}
	// The same socket as any VICI daemon's.
	plain := client(t, path, false)
	sas, err := plain.SAs(ctx, backend.Filter{})
	if err != nil || len(sas) != 1 || sas[0].Remote.ID != "b.example" || len(sas[0].Children) == 0 {
		t.Errorf("without the exact form: %+v, %v", sas, err)
	}
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, err := plain.DPD(short, "gw", nil); err == nil {
		t.Error("VICI has no liveness check: one that is answered came from somewhere")
	}
}

// TestConnectionsAndCredentialsAreLoadedThroughTheSocket proves that loading by
// our client is that by the engine itself.
func TestWhatTheEngineRemembersIsRecalledThroughTheSocketSinceATime(t *testing.T) {
	a, _ := pair(t)
	_, path := served(t, a, serve.Options{})
	c := client(t, path, true)
	up(t, a)
	all, err := a.Recall(limited(t), time.Time{})
	if err != nil || len(all) < 3 {
		t.Fatalf("%d events are remembered; %v", len(all), err)
	}
	for _, since := range []time.Time{{}, all[len(all)/2].Time} {
		want, err := a.Recall(limited(t), since)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Recall(limited(t), since)
		if err != nil || len(got) < len(want) { // there may be more by now
			t.Fatalf("%d events since %s, want %d; %v", len(got), since, len(want), err)
		}
		if diff := cmp.Diff(want, got[:len(want)], everything); diff != "" {
			t.Error(diff)
		}
	}
}

func TestConnectionsAndCredentialsAreLoadedThroughTheSocket(t *testing.T) {
	_, path := served(t, bare(t), serve.Options{})
	c := client(t, path, true)
	ctx := limited(t)
	if err := errors.Join(c.LoadConnection(ctx, "x", nativetest.Section("local.auth=psk", "remote.auth=psk", "local.id=a", "children.net.mode=tunnel")),
		c.LoadSecret(ctx, backend.Secret{ID: "s", Type: "IKE", Data: []byte("x"), Owners: []string{"a"}})); err != nil {
		t.Fatal(err)
	}
	conns, err := c.Connections(ctx)
	creds, err2 := c.Credentials(ctx)
	if err != nil || err2 != nil || len(conns) != 1 || !conns[0].Loaded.Or(false) || !slices.Equal(creds.Secrets, []string{"s"}) {
		t.Errorf("%+v, %+v, %v, %v", conns, creds, err, err2)
	}
	if err := errors.Join(c.UnloadConnection(ctx, "x"), c.UnloadSecret(ctx, "s"), c.ClearCredentials(ctx)); err != nil {
		t.Error(err)
	}
	if err := c.LoadConnection(ctx, "x", nativetest.Section("reauth_time=1h", "local.id=a")); !errors.Is(err, backend.ErrUnsupported) || !strings.Contains(err.Error(), "reauthentication") {
		t.Errorf("what cannot be had: %v", err)
	}
}

// told gives the events of a backend, as long as ctx lasts, in the form that
// nothing is lost in.
func told(ctx context.Context, t *testing.T, b backend.Backend, ready chan<- struct{}) []string {
	var list []string
	for e, err := range b.Events(ctx, backend.EventOptions{Every: -1}) {
		switch {
		case err != nil:
			t.Error(err)
			return list
		case e.Table != nil:
			if !e.Table.First {
				t.Error("a table that is not the first")
			}
			close(ready)
			continue
		}
		text, err := event.Encode(e)
		if err != nil {
			t.Error(err)
		}
		list = append(list, string(text))
		if e.Change != nil && e.Change.Kind == event.IKEDown {
			return list
		}
	}
	return list
}

// TestEveryEventOfTheEngineComesThroughTheSocket proves it for a whole life:
// checks, steps, changes and failures, in their order.
func TestEveryEventOfTheEngineComesThroughTheSocket(t *testing.T) {
	goroutines(t)
	a, _ := pair(t)
	_, path := served(t, a, serve.Options{})
	c := client(t, path, true)
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	type outcome struct {
		who  int
		list []string
	}
	outcomes := make(chan outcome, 2)
	for i, b := range []backend.Backend{a, c} {
		ready := make(chan struct{})
		go func() { outcomes <- outcome{i, told(ctx, t, b, ready)} }()
		<-ready
	}
	var progress []*event.Event
	if err := c.Up(ctx, backend.Target{IKE: "gw", Child: "net"}, backend.UpOptions{}, func(e *event.Event) { progress = append(progress, e) }); err != nil {
		t.Fatal(err)
	}
	if err := c.Up(ctx, backend.Target{IKE: "gw", Child: "spare"}, backend.UpOptions{}, nil); err == nil {
		t.Error("the peer takes what it should refuse")
	}
	if err := c.Down(ctx, backend.Target{IKE: "gw"}, backend.DownOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	var lists [2][]string
	for range lists {
		o := <-outcomes
		lists[o.who] = o.list
	}
	if d := cmp.Diff(lists[0], lists[1]); d != "" || len(lists[0]) < 15 {
		t.Errorf("%d events, %d through the socket: %s", len(lists[0]), len(lists[1]), d)
	}
	changes, checks := 0, 0
	for _, e := range progress {
		switch {
		case e.Change != nil:
			changes++
		case e.Check != nil:
			checks++
		}
	}
	if changes != 2 || checks == 0 {
		t.Errorf("progress of %d events has %d changes and %d checks", len(progress), changes, checks)
	}
}

// TestEventsOfAPlainClientAreThoseOfAnyDaemon proves VICI's own events, with
// what they hold.
func TestEventsOfAPlainClientAreThoseOfAnyDaemon(t *testing.T) {
	f := &fake{events: make(chan *event.Event)}
	_, path := served(t, &listing{fake: f}, serve.Options{})
	c := client(t, path, false)
	sa := func(id uint32) *engine.IKESA {
		return &engine.IKESA{Name: "gw", UniqueID: id, Version: 2, State: engine.IKEEstablished, InitiatorSPI: wire.SPI(id), Established: time.Now(),
			Children: []*engine.ChildSA{{Name: "net", UniqueID: 10 + id, State: engine.ChildInstalled, Protocol: "ESP", SPIIn: engine.Some(wire.ESPSPI(0xc0000000 + id))}}}
	}
	bare := func(id uint32) *engine.IKESA { s := sa(id); s.Children = nil; return s }
	send := []*event.Event{
		{Change: &event.Change{Kind: event.IKEUp, SA: bare(1)}}, {Change: &event.Change{Kind: event.ChildUp, SA: sa(1)}},
		{Change: &event.Change{Kind: event.ChildRekey, SA: sa(2), Old: sa(1)}}, {Change: &event.Change{Kind: event.ChildRekey, SA: sa(2)}},
		{Change: &event.Change{Kind: event.IKERekey, SA: bare(2), Old: bare(1)}}, {Change: &event.Change{Kind: event.IKEUpdate, SA: bare(2), Old: bare(2)}},
		{Change: &event.Change{Kind: event.ChildDown, SA: sa(2)}}, {Change: &event.Change{Kind: event.IKEDown, SA: bare(2)}},
		{Log: &event.Log{Group: "NET", Level: 1, Thread: 7, IKE: "gw", IKEID: 2, Text: "a line"}},
	}
	want := []string{"ike-up 1", "child-up 1 net 11", "child-rekey 2 net 12", "child-rekey 2 net 12", "ike-rekey 2 old 1", "ike-update 2 old 2", "child-down 2 net 12", "ike-down 2", "NET 1 7 gw 2 a line"}
	var got []string
	began := false
	for e, err := range c.Events(limited(t), backend.EventOptions{Every: -1}) {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case e.Table != nil && !began:
			began = true
			go func() {
				for _, e := range send {
					e.Time = time.Now()
					f.events <- e
				}
			}()
		case e.Change != nil:
			text := fmt.Sprintf("%s %d", e.Change.Kind, e.Change.SA.UniqueID)
			if e.Change.Old != nil && (e.Change.Kind == event.IKERekey || e.Change.Kind == event.IKEUpdate) {
				text += fmt.Sprintf(" old %d", e.Change.Old.UniqueID)
			}
			for _, ch := range e.Change.SA.Children {
				text += fmt.Sprintf(" %s %d", ch.Name, ch.UniqueID)
			}
			got = append(got, text)
		case e.Log != nil && e.Log.Group == "NET":
			got = append(got, fmt.Sprintf("%s %d %d %s %d %s", e.Log.Group, e.Log.Level, e.Log.Thread, e.Log.IKE, e.Log.IKEID, e.Log.Text))
		}
		if len(got) == len(want) {
			break
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// listing is a fake that lists SAs.
type listing struct {
	*fake
	sas []*engine.IKESA
}

func (l *listing) SAs(context.Context, backend.Filter) ([]*engine.IKESA, error) { return l.sas, nil }

func (l *listing) Version(context.Context) (engine.Version, error) {
	return engine.Version{Daemon: "fake", Version: "1"}, nil
}

// crowd gives so many IKE SAs with a child each.
func crowd(n int) []*engine.IKESA {
	all := make([]*engine.IKESA, n)
	for i := range all {
		all[i] = &engine.IKESA{Name: fmt.Sprintf("site-%04d", i), UniqueID: uint32(i + 1), Version: 2, State: engine.IKEEstablished, InitiatorSPI: wire.SPI(i + 1),
			Local: engine.Side{ID: "hub.example"}, Remote: engine.Side{ID: fmt.Sprintf("site-%04d.example", i)}, Established: time.Now(), Timers: []engine.Timer{{Name: "rekey", Due: time.Now().Add(time.Hour)}},
			Children: []*engine.ChildSA{{Name: "net", UniqueID: uint32(i + 1), ReqID: engine.Some(uint32(i + 1)), State: engine.ChildInstalled, Mode: "TUNNEL", Protocol: "ESP",
				SPIIn: engine.Some(wire.ESPSPI(i + 256)), BytesIn: engine.Some(uint64(i)), LocalTS: []string{"10.0.0.0/8"}, RemoteTS: []string{"192.0.2.0/24"}}}}
	}
	return all
}

// TestTwoThousandSAsAreListedWithoutLoss proves it for our client, in both of
// its ways, and for a real swanctl.
func TestTwoThousandSAsAreListedWithoutLoss(t *testing.T) {
	const many = 2000
	b := &listing{fake: &fake{}, sas: crowd(many)}
	_, path := served(t, b, serve.Options{Queue: 1})
	for _, exact := range []bool{true, false} {
		got, err := client(t, path, exact).SAs(limited(t), backend.Filter{})
		if err != nil || len(got) != many {
			t.Fatalf("exact %t: %d SAs, %v", exact, len(got), err)
		}
		for i, sa := range got {
			if sa.Name != b.sas[i].Name || len(sa.Children) != 1 || sa.Children[0].SPIIn != b.sas[i].Children[0].SPIIn || sa.Children[0].BytesIn.Or(0) != uint64(i) {
				t.Fatalf("exact %t: SA %d is %+v", exact, i, sa)
			}
		}
		if exact {
			if d := cmp.Diff(b.sas, got, everything); d != "" {
				t.Error(d)
			}
		}
	}
	raw := newSwanctl(t, path).ok("--list-sas", "--raw")
	if n := strings.Count(raw, "list-sa event"); n != many {
		t.Errorf("swanctl has %d SAs", n)
	}
}
