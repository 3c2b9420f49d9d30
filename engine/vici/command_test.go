package vici_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/lab"
)

// up gives a client of the initiator, whose tunnel is up.
func up(t *testing.T) *vici.Client {
	t.Helper()
	c := client(t)
	// Our listings leave out an SA that charon is busy with, as after what the test
	// before did: swanctl waits for it. One that is there and not yet at rest can
	// take no further child.
	var text string
	if err := lab.Eventually(t.Context(), time.Minute, "SAs at rest", func() bool {
		var err error
		text, err = peers(t).A.Swanctl(timeout(t, time.Minute), "--list-sas")
		return err == nil && strings.Count(text, "gw: #") == strings.Count(text, ", ESTABLISHED, ") && !strings.Contains(text, ", REKEY")
	}); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if !strings.Contains(text, ", INSTALLED, ") {
		if err := c.Up(timeout(t, time.Minute), backend.Target{Child: "net"}, backend.UpOptions{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// down takes the tunnel down.
func down(t *testing.T, c *vici.Client) {
	t.Helper()
	err := c.Down(timeout(t, time.Minute), backend.Target{IKE: "gw"}, backend.DownOptions{}, nil)
	if err != nil && !errors.Is(err, backend.ErrRefused) { // nothing was up
		t.Fatal(err)
	}
}

func tunnel(t *testing.T, c *vici.Client, child string) (*backend.Tunnel, *backend.Child) {
	t.Helper()
	s, err := c.Snapshot(timeout(t, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.Tunnels {
		for j := range s.Tunnels[i].Children {
			if s.Tunnels[i].Name == "gw" && s.Tunnels[i].Children[j].Name == child {
				return &s.Tunnels[i], &s.Tunnels[i].Children[j]
			}
		}
	}
	t.Fatalf("child %s is not in %+v", child, s.Tunnels)
	return nil, nil
}

// TestUpShowsTheLadderAsItHappens proves that bringing up tells every message
// in order, and that the fold makes exchanges of it.
func TestUpShowsTheLadderAsItHappens(t *testing.T) {
	c := client(t)
	down(t, c)
	tr := trace.New(trace.Options{})
	var messages []string
	var selected string
	err := c.Up(timeout(t, time.Minute), backend.Target{Child: "net"}, backend.UpOptions{}, func(e *event.Event) {
		tr.Add(e)
		if m := e.Log.Message; m != nil && m.Name != "INFORMATIONAL" { // a liveness check may follow at once
			messages = append(messages, m.Name)
		}
		if p := e.Log.Proposals; p != nil && p.Selected != "" {
			selected = p.Selected
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"IKE_SA_INIT", "IKE_SA_INIT", "IKE_AUTH", "IKE_AUTH"}; !slices.Equal(messages, want) {
		t.Errorf("messages %v", messages)
	}
	if selected == "" {
		t.Error("no proposal was told")
	}
	if len(tr.SAs) != 1 || len(tr.SAs[0].Exchanges) < 2 {
		t.Fatalf("%d SAs", len(tr.SAs))
	}
	for _, x := range tr.SAs[0].Exchanges[:2] {
		if x.Request == nil || x.Response == nil || x.Request.Length == 0 || x.Response.Length == 0 || !x.Request.Src.IsValid() {
			t.Errorf("exchange %+v", x)
		}
	}
	auth := tr.SAs[0].Exchanges[1]
	if auth.Response.Notify(wire.NotifyMobikeSupported) == nil {
		t.Errorf("payloads of the response are %v", auth.Response.Payloads)
	}
	if sa := tr.SAs[0]; sa.State != engine.IKEEstablished {
		t.Errorf("state %s", sa.State)
	}
}

func TestEveryConfiguredChildIsInTheJoin(t *testing.T) {
	c := up(t)
	tun, net := tunnel(t, c, "net")
	if !tun.Up() || !net.Up() || net.LastUp.IsZero() || net.UpSince.IsZero() || net.Config == nil {
		t.Errorf("net: %+v", net)
	}
	if _, spare := tunnel(t, c, "spare"); spare.Up() || len(spare.SAs) != 0 || spare.Config == nil || !spare.LastUp.IsZero() {
		t.Errorf("spare: %+v", spare)
	}
	down(t, c)
	tun, net = tunnel(t, c, "net")
	if tun.Up() || net.Up() || net.LastUp.IsZero() || net.LastDown.IsZero() || !net.UpSince.IsZero() {
		t.Errorf("net after down: %+v", net)
	}
}

// TestFailureIsTold proves that bringing up what the peer refuses says what was
// refused, and that the join remembers it.
func TestFailureIsTold(t *testing.T) {
	c := up(t)
	var failure *event.LogFailure
	err := c.Up(timeout(t, time.Minute), backend.Target{Child: "spare"}, backend.UpOptions{}, func(e *event.Event) {
		if e.Log.Failure != nil && failure == nil {
			failure = e.Log.Failure
		}
	})
	if !errors.Is(err, backend.ErrRefused) {
		t.Fatalf("up: %v", err)
	}
	if failure == nil || failure.Notify != "TS_UNACCEPTABLE" && failure.Notify != "NO_PROPOSAL_CHOSEN" || failure.Local {
		t.Errorf("failure %+v", failure)
	}
	if _, spare := tunnel(t, c, "spare"); spare.Failure == nil || spare.Failure.Notify != failure.Notify {
		t.Errorf("the join forgot: %+v", spare.Past)
	}
	if tun, net := tunnel(t, c, "net"); tun.Failure != nil || net.Failure != nil {
		t.Errorf("another's failure: %+v, %+v", tun.Failure, net.Failure)
	}
}

func TestRekeyChildAndIKE(t *testing.T) {
	c := up(t)
	ctx := timeout(t, time.Minute)
	next := func(kind event.ChangeKind, rekey func() (int, error)) *event.Change {
		started := false
		for e, err := range c.Events(ctx, backend.EventOptions{Every: -1, NoLog: true}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Table != nil && !started {
				started = true
				if n, err := rekey(); n != 1 || err != nil {
					t.Fatalf("%d SAs, %v", n, err)
				}
			}
			if e.Change != nil && e.Change.Kind == kind {
				return e.Change
			}
		}
		t.Fatalf("no %s", kind)
		return nil
	}
	child := next(event.ChildRekey, func() (int, error) {
		return c.Rekey(ctx, backend.Target{Child: "net"}, backend.RekeyOptions{})
	})
	if o, n := child.Old.Children, child.SA.Children; len(o) != 1 || len(n) != 1 || o[0].SPIIn == n[0].SPIIn || o[0].Name != "net" {
		t.Errorf("child rekeying from %+v to %+v", o, n)
	}
	ike := next(event.IKERekey, func() (int, error) {
		return c.Rekey(ctx, backend.Target{IKE: "gw"}, backend.RekeyOptions{})
	})
	if ike.Old.InitiatorSPI == ike.SA.InitiatorSPI || ike.SA.Name != "gw" || ike.SA.InitiatorSPI == 0 {
		t.Errorf("IKE rekeying from %v to %v", ike.Old.InitiatorSPI, ike.SA.InitiatorSPI)
	}
}

// TestDPDWaitsForTheDaemonsOwnCheck proves that a liveness check is followed
// from its request to its answer.
func TestDPDWaitsForTheDaemonsOwnCheck(t *testing.T) {
	c := up(t)
	probe, err := c.DPD(timeout(t, time.Minute), "gw", nil)
	if err != nil || !probe.Answered || probe.Sent.IsZero() {
		t.Errorf("%+v, %v", probe, err)
	}
	if _, err := c.DPD(timeout(t, time.Minute), "nobody", nil); !errors.Is(err, backend.ErrRefused) {
		t.Errorf("a connection that is not there: %v", err)
	}
	r := clientOf(t, peers(t).B)
	if _, err := r.DPD(timeout(t, time.Minute), "gw", nil); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("a connection without checks: %v", err)
	}
}

func TestLoadAndUnload(t *testing.T) {
	c := client(t)
	ctx := timeout(t, time.Minute)
	names := func() []string {
		conns, err := c.Connections(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, conn := range conns {
			all = append(all, conn.Name)
		}
		return all
	}
	var s backend.Section
	s.Set("version", "2")
	s.SetList("local_addrs", "192.0.2.1")
	s.SetList("remote_addrs", "192.0.2.77")
	s.SetList("proposals", "aes256-sha256-modp2048")
	s.Sub("local").Set("auth", "psk")
	s.Sub("remote").Set("auth", "psk")
	s.Sub("children").Sub("one").SetList("remote_ts", "10.77.0.0/16")
	if err := c.LoadConnection(ctx, "extra", &s); err != nil || !slices.Contains(names(), "extra") {
		t.Fatalf("load: %v, connections %v", err, names())
	}
	if err := c.Install(ctx, backend.Target{Child: "one", IKE: "extra"}); err != nil {
		t.Errorf("install: %v", err)
	}
	if p, err := c.Policies(ctx); err != nil || len(p) != 1 || p[0].Child != "one" || p[0].Connection != "extra" {
		t.Errorf("policies %+v, %v", p, err)
	}
	if err := c.Uninstall(ctx, backend.Target{Child: "one", IKE: "extra"}); err != nil {
		t.Errorf("uninstall: %v", err)
	}
	if err := c.UnloadConnection(ctx, "extra"); err != nil || slices.Contains(names(), "extra") {
		t.Errorf("unload: %v, connections %v", err, names())
	}
	if err := c.UnloadConnection(ctx, "extra"); !errors.Is(err, backend.ErrRefused) {
		t.Errorf("unloading twice: %v", err)
	}
	secret := backend.Secret{ID: "s1", Type: "IKE", Data: []byte("secret"), Owners: []string{"extra.example"}}
	if err := c.LoadSecret(ctx, secret); err != nil {
		t.Fatal(err)
	}
	if cr, err := c.Credentials(ctx); err != nil || !slices.Contains(cr.Secrets, "s1") {
		t.Errorf("credentials %+v, %v", cr, err)
	}
	if err := c.UnloadSecret(ctx, "s1"); err != nil {
		t.Error(err)
	}
	if err := c.LoadCertificate(ctx, backend.CertificateData{Data: []byte("no certificate")}); !errors.Is(err, backend.ErrRefused) {
		t.Errorf("a certificate that is none: %v", err)
	}
	var bad backend.Section
	bad.SetList("proposals", "no-such-thing")
	if err := c.LoadConnection(ctx, "bad", &bad); !errors.Is(err, backend.ErrRefused) {
		t.Errorf("a connection that is none: %v", err)
	}
}

func TestPoolsAlgorithmsCountersAndStats(t *testing.T) {
	peers(t)
	r := clientOf(t, peers(t).B)
	ctx := timeout(t, time.Minute)
	pools, err := r.Pools(ctx, true)
	if err != nil || len(pools) != 1 || pools[0].Name != "office" || pools[0].Size == 0 || pools[0].Base == "" {
		t.Errorf("pools %+v, %v", pools, err)
	}
	algs, err := r.Algorithms(ctx)
	if err != nil || !slices.Contains(algs, engine.Algorithm{Kind: "aead", Name: "AES_GCM_16", Plugin: "openssl"}) {
		t.Errorf("%d algorithms, %v", len(algs), err)
	}
	up(t)
	if n, err := r.Counters(ctx, ""); err != nil || n.Counts["ike-init-in-req"] == 0 || len(n.Counts) != 21 {
		t.Errorf("counters %+v, %v", n, err)
	}
	if err := r.ResetCounters(ctx, ""); err != nil {
		t.Error(err)
	}
	if n, err := r.Counters(ctx, ""); err != nil || n.Counts["ike-init-in-req"] != 0 {
		t.Errorf("counters after their reset %+v, %v", n, err)
	}
	s, err := r.Stats(ctx)
	if err != nil || s.Workers["total"] == 0 || s.Since.IsZero() || !slices.Contains(s.Plugins, "vici") || s.IKESAs.Or(-1) < 1 {
		t.Errorf("stats %+v, %v", s, err)
	}
	if err := r.ReloadSettings(ctx); err != nil {
		t.Error(err)
	}
	for _, list := range []func() error{
		func() error { _, err := r.Certificates(ctx); return err },
		func() error { _, err := r.Authorities(ctx); return err },
		func() error { return r.FlushCertificates(ctx, "") },
	} {
		if err := list(); err != nil {
			t.Error(err)
		}
	}
}

// TestKilledDaemonIsNoticedAndComesBack proves on a real charon that a crash
// is a gap, and that the stream heals by itself.
func TestKilledDaemonIsNoticedAndComesBack(t *testing.T) {
	b := peers(t)
	goroutines(t)
	c := up(t)
	step, killed := 0, time.Time{}
	for e, err := range c.Events(timeout(t, time.Minute), backend.EventOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case step == 0 && e.Table != nil:
			killed = time.Now()
			if err := b.A.Kill(); err != nil {
				t.Fatal(err)
			}
			step++
		case step == 1 && e.Gap != nil:
			t.Logf("noticed after %v", time.Since(killed))
			if c.State().Live {
				t.Error("the state is live")
			}
			if err := b.A.Start(timeout(t, time.Minute)); err != nil {
				t.Fatal(err)
			}
			step++
		case step == 2 && e.Table != nil:
			if !e.Table.First || len(e.Table.SAs) != 0 || !c.State().Live {
				t.Errorf("after the restart %+v", e.Table)
			}
			step++
		}
		if step == 3 {
			break
		}
	}
	if step != 3 {
		t.Fatalf("stopped at step %d", step)
	}
	if err := b.A.Load(timeout(t, time.Minute), b.EndA.SwanctlConf()); err != nil {
		t.Fatal(err)
	}
}
