package demo_test

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/demo"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// patience bounds every wait of these tests.
const patience = time.Minute

// begin starts a demo.
func begin(t *testing.T, faults ...string) *demo.Demo {
	t.Helper()
	var o demo.Options
	for _, id := range faults {
		f, err := demo.FindFault(id)
		if err != nil {
			t.Fatal(err)
		}
		o.Faults = append(o.Faults, f)
	}
	d, err := demo.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// follow folds the events of a demo until enough says so.
func follow(t *testing.T, d *demo.Demo, what string, enough func(*trace.Trace, *event.Event) bool) *trace.Trace {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tr := trace.New(trace.Options{})
	for e, err := range d.Backend().Events(ctx, backend.EventOptions{Every: 100 * time.Millisecond}) {
		if err != nil {
			t.Fatal(err)
		}
		tr.Add(e)
		if enough(tr, e) {
			return tr
		}
	}
	t.Fatalf("%s: not within %s; %d IKE SAs, traffic %+v", what, patience, len(tr.SAs), d.Traffic())
	return nil
}

func TestTunnelsBehindTheNATCarryTrafficAreProbedAndRekeyed(t *testing.T) {
	t.Parallel()
	d := begin(t)
	seen := map[string]int{}
	tr := follow(t, d, "a life in brief", func(tr *trace.Trace, e *event.Event) bool {
		if e.Change != nil {
			name := string(e.Change.Kind)
			if len(e.Change.SA.Children) == 1 {
				name += " " + e.Change.SA.Children[0].Name
			}
			seen[name]++
		}
		probes := 0
		for _, sa := range tr.SAs {
			probes += sa.DPD.Answered
		}
		traffic := d.Traffic()
		return e.Change != nil && e.Change.Kind == event.ChildRekey && seen["child-rekey lan"] > 1 && seen["child-rekey lan6"] > 0 && seen["ike-rekey"] > 0 && probes > 0 && traffic.Answered > 20 && traffic.Transfers > 1
	})
	// The tables have each CHILD SA once, whoever told of it first.
	for _, sa := range tr.SAs {
		for i, c := range sa.Children {
			if slices.ContainsFunc(sa.Children[:i], func(o *engine.ChildSA) bool { return o.SPIIn == c.SPIIn }) || c.UniqueID == 0 {
				t.Errorf("child SA %s{%d} %s of %d is there twice", c.Name, c.UniqueID, c.SPIIn.Or(0), len(sa.Children))
			}
		}
	}
	if traffic := d.Traffic(); traffic.Failed > 0 || traffic.Pings-traffic.Answered > 2 {
		t.Errorf("traffic %+v, which no fault disturbs", traffic)
	}
	if seen["ike-up"] != 1 || seen["ike-down"]+seen["child-down lan"]+seen["child-down lan6"] != 0 {
		t.Errorf("what happened: %v", seen)
	}
	if findings := diagnose(d, tr); !diag.Healthy(findings) || !slices.Contains(ids(findings), "nat-detected-unexpectedly") {
		t.Errorf("findings of a sound tunnel behind a NAT: %v", ids(findings))
	}
	if runtime.GOOS == "linux" && !tr.SAs[0].Local.Host.IsLoopback() {
		t.Errorf("the branch speaks from %s", tr.SAs[0].Local.Host)
	}
}

func diagnose(d *demo.Demo, tr *trace.Trace) []diag.Finding {
	p := &diag.Probe{Connection: demo.Connection}
	p.Local, p.Remote = d.Ends()
	t := d.Traffic()
	for _, o := range t.Sizes {
		p.Inner = append(p.Inner, diag.ProbeSize{Octets: o.Octets, Sent: o.Sent, Answered: o.Answered})
	}
	for _, o := range t.Quiet {
		p.Quiet = append(p.Quiet, diag.ProbeQuiet{Silence: o.Silence, Sent: o.Sent, Answered: o.Answered})
	}
	return diag.Diagnose(&diag.Facts{Source: d.Backend().Source(), Trace: tr, Now: time.Now(), Live: true, Probe: p}, rule.All())
}

func ids(findings []diag.Finding) []string {
	var all []string
	for i := range findings {
		all = append(all, findings[i].ID)
	}
	return all
}

// TestEachFaultLeadsToItsDiagnosis proves it from the branch's view alone: what
// the hub sees, it does not tell.
func TestEachFaultLeadsToItsDiagnosis(t *testing.T) {
	t.Parallel()
	var work sync.WaitGroup // they wait rather than work: all at once
	defer work.Wait()
	finds := map[string]string{
		// A responder does not say why it refuses an initiator.
		"psk-mismatch": "auth-failed-opaque", "responder-no-peer-config": "auth-failed-opaque",
		// The engines bear it, see below.
		"nat-rebinding": "",
	}
	for _, f := range demo.Faults {
		want, other := finds[f.ID]
		if !other {
			want = f.ID
		}
		if want == "" {
			continue
		}
		work.Go(func() {
			t.Run(f.ID, func(t *testing.T) {
				d := begin(t, f.ID)
				follow(t, d, want, func(tr *trace.Trace, e *event.Event) bool {
					return e.Table != nil && slices.Contains(ids(diagnose(d, tr)), want)
				})
			})
		})
	}
}

func TestFaultsOfThePathShowInTheTraffic(t *testing.T) {
	t.Parallel()
	var work sync.WaitGroup
	defer work.Wait()
	for id, shows := range map[string]func(*demo.Demo) bool{
		"esp-path-loss":       func(d *demo.Demo) bool { x := d.Traffic(); return x.Answered > 5 && x.Answered < x.Pings },
		"mtu-pmtu-blackhole":  func(d *demo.Demo) bool { x := d.Traffic(); return x.Answered > 5 && x.Failed > 0 && x.Transfers == 0 },
		"nat-rebinding":       func(d *demo.Demo) bool { return d.NAT().Mappings > 4 && d.Traffic().Transfers > 1 },
		"nat-mapping-timeout": func(d *demo.Demo) bool { return d.NAT().Mappings > 3 && d.Traffic().Answered > 20 },
	} {
		work.Go(func() {
			t.Run(id, func(t *testing.T) {
				d := begin(t, id)
				follow(t, d, "the traffic to show it", func(*trace.Trace, *event.Event) bool { return shows(d) })
			})
		})
	}
}

func TestATunnelThatIsTakenDownStaysDownUntilItIsWanted(t *testing.T) {
	t.Parallel()
	d := begin(t)
	up := func(tr *trace.Trace, e *event.Event) bool {
		return e.Table != nil && len(e.Table.SAs) == 1 && len(e.Table.SAs[0].Children) == 2
	}
	follow(t, d, "both tunnels to be up", up)
	b := d.Backend()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.Down(ctx, backend.Target{IKE: demo.Connection}, backend.DownOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	// Longer than it takes to be brought up again.
	quiet := time.Now().Add(3 * time.Second)
	follow(t, d, "quiet", func(_ *trace.Trace, e *event.Event) bool {
		if e.Table != nil && len(e.Table.SAs) > 0 {
			t.Fatalf("there is an IKE SA again: %+v", e.Table.SAs[0])
		}
		return time.Now().After(quiet)
	})
	if err := b.Up(ctx, backend.Target{IKE: demo.Connection, Child: "lan"}, backend.UpOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	follow(t, d, "both tunnels to be up again", up)
}

func TestAnUnknownFaultIsRefusedWithThoseThatThereAre(t *testing.T) {
	if _, err := demo.FindFault("gremlins"); err == nil || len(err.Error()) < 100 {
		t.Errorf("%v", err)
	}
}

// TestEveryFaultIsInTheCatalogueOrSaysSo proves that explain knows the faults.
func TestEveryFaultIsInTheCatalogueOrSaysSo(t *testing.T) {
	for _, f := range demo.Faults {
		if _, ok := diag.Lookup(f.ID); !ok && f.ID != "nat-rebinding" {
			t.Errorf("%s is no diagnosis", f.ID)
		}
	}
}

// TestTheDemoIsBrokenAndMendedWhileItIsWatched makes one fault in the settings
// and one in the network, and mends both.
func TestTheDemoIsBrokenAndMendedWhileItIsWatched(t *testing.T) {
	t.Parallel()
	d := begin(t)
	up := func(_ *trace.Trace, e *event.Event) bool {
		return e.Table != nil && len(e.Table.SAs) == 1 && len(e.Table.SAs[0].Children) == 2
	}
	follow(t, d, "both tunnels to be up", up)
	for _, id := range []string{"psk-mismatch", "no-response-to-sa-init"} {
		want := id
		if id == "psk-mismatch" {
			want = "auth-failed-opaque"
		}
		f, err := demo.FindFault(id)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Make(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		follow(t, d, want, func(tr *trace.Trace, e *event.Event) bool {
			return e.Table != nil && slices.Contains(ids(diagnose(d, tr)), want)
		})
		if err := d.Make(t.Context()); err != nil {
			t.Fatal(err)
		}
		follow(t, d, "both tunnels to be up again", up)
	}
}
