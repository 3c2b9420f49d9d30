// Package faults breaks real tunnels in one way at a time and judges what the
// rules find on each source that can see it: the VICI and log of either
// daemon, our own engine at either end, the host, a capture with keys and a
// capture without.
//
// Contract: one pair of ends serves many faults, one after the other. Nothing
// is judged by this package's own idea of a fault: only the findings of
// diag/rule count.
package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/capture/dissect"
	"github.com/cloudvlan/cvlanctl/capture/keylog"
	"github.com/cloudvlan/cvlanctl/capture/keylog/charonlog"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/probe"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/lab"
)

// Source is where a fault is looked for.
type Source string

// The sources. Host and EngineHost are the initiator together with its host, as
// `ipsec diagnose` has them.
const (
	VICIInitiator   Source = "VICI of the initiator"
	VICIResponder   Source = "VICI of the responder"
	EngineInitiator Source = "our engine as initiator"
	EngineResponder Source = "our engine as responder"
	EngineHost      Source = "our engine and host"
	Host            Source = "VICI and host"
	Keyed           Source = "capture with keys"
	Sealed          Source = "capture without keys"
)

// Sources lists them in the order of the table.
func Sources() []Source {
	return []Source{VICIInitiator, VICIResponder, EngineInitiator, EngineResponder, Host, EngineHost, Keyed, Sealed}
}

// views are what the initiator and the responder of a pair are looked at as; ""
// is a strongSwan that faces our engine.
var views = map[pairing][2]Source{
	charons: {VICIInitiator, VICIResponder}, engineAsks: {EngineInitiator, ""}, engineAnswer: {"", EngineResponder},
	engines: {EngineInitiator, EngineResponder}, kernels: {VICIInitiator, VICIResponder},
}

// hosts are the sources that have the initiator's host in view too.
var hosts = map[Source]Source{Host: VICIInitiator, EngineHost: EngineInitiator}

// Fault is one thing set wrong, or for a healthy variant nothing.
type Fault struct {
	Name string
	// Want holds the id that each source has to name first. Our engine names
	// what a daemon in its role does, and who sees the host too names what it
	// does without, unless they stand here too, with "" where they see nothing.
	// A source that is not in it cannot see the fault, for the reason Hidden.
	Want   map[Source]string
	Hidden string
	// NoEngine says why our engine cannot be at an end.
	NoEngine map[Source]string

	// Software answers in a guest in place of a strongSwan, "" for none, or with
	// Calls begins; Peer changes what it and our end have.
	Software lab.Software
	Calls    bool
	Peer     func(a *lab.End, g *lab.GatewayConnection) error

	// Native has our engine at both ends: their ESP is IP protocol 50, while
	// strongSwan's own ESP is always in UDP.
	Native bool
	// Kernel has a strongSwan in a guest at both ends, whose kernel does ESP.
	Kernel bool
	NAT    bool // the initiator is behind a NAT box
	IPv6   bool // outside
	Long   bool // it takes half a minute and more
	Road   *Road
	Ends   func(a, r *lab.End) error
	Upset  Upset // sets the hosts or the path wrong; nil where they are right
	// Act runs while the capture runs; bringing the child up, with its
	// outcome ignored, unless said otherwise.
	Act func(ctx context.Context, b *lab.Bench) error
}

// Healthy says that nothing is wrong.
func (f *Fault) Healthy() bool { return len(f.Want) == 0 && f.Hidden == "" }

// role gives the daemon whose view a source shares.
var role = map[Source]Source{EngineInitiator: VICIInitiator, EngineResponder: VICIResponder, Host: VICIInitiator}

// leftOut says that our engine is left out of a fault where it would be a
// source.
func (f *Fault) leftOut(s Source) bool {
	return f.NoEngine[s] != "" || s == EngineHost && f.NoEngine[EngineInitiator] != ""
}

// want gives the id that a source has to name first, "" where it sees nothing.
func (f *Fault) want(s Source) string {
	if f.leftOut(s) {
		return ""
	}
	if id, own := f.Want[s]; own {
		return id
	}
	if s != EngineHost {
		return f.Want[role[s]]
	}
	if id := f.Want[Host]; id != "" {
		return id
	}
	return f.want(EngineInitiator)
}

// sources are what a pair of ends shows of a fault.
func (f *Fault) sources(p pairing) []Source {
	switch {
	case f.Native != (p == engines), f.Kernel != (p == kernels), f.Software != "" && p == engineAnswer:
		return nil
	case f.Native:
		return []Source{EngineInitiator, EngineResponder, EngineHost, Sealed}
	case f.Calls && p == charons:
		return []Source{VICIResponder, Keyed, Sealed}
	case f.Calls:
		return []Source{EngineResponder}
	case p == engineAsks:
		return []Source{EngineInitiator, EngineHost}
	case p == engineAnswer:
		return []Source{EngineResponder}
	case f.Software != "":
		return []Source{VICIInitiator, Host, Keyed, Sealed}
	}
	return []Source{VICIInitiator, VICIResponder, Host, Keyed, Sealed}
}

// takes says that a pair of ends has something to show of a fault.
func (f *Fault) takes(p pairing) bool {
	for _, s := range f.sources(p) {
		if f.want(s) != "" || f.Healthy() && !f.leftOut(s) {
			return true
		}
	}
	return false
}

// Verdict is how well a source did.
type Verdict string

// The verdicts.
const (
	First    Verdict = "first"     // the right id first
	NotFirst Verdict = "not first" // it is among the findings
	Missed   Verdict = "missed"    // nothing was found
	Wrong    Verdict = "wrong"     // something else, or a fault in a healthy tunnel
	Unseen   Verdict = "-"         // the source cannot see it
	Stumbled Verdict = "not run"   // the lab itself failed
)

// Result is what a source found.
type Result struct {
	Source   Source
	Verdict  Verdict
	Findings []diag.Finding
	Facts    *diag.Facts // nil where the source cannot see the fault
}

// Run lets a fault happen to every pair of ends that shows it, and judges all
// sources.
func (l *Lab) Run(ctx context.Context, f *Fault) ([]Result, error) {
	seen := map[Source]Result{}
	for _, p := range pairings {
		if !f.takes(p) {
			continue
		}
		facts, err := l.happen(ctx, p, f)
		if err != nil {
			return nil, fmt.Errorf("fault %s, %s: %w", f.Name, p, err)
		}
		for s, known := range facts {
			seen[s] = f.judge(s, known)
		}
	}
	var results []Result
	for _, s := range Sources() {
		r, ok := seen[s]
		if !ok {
			r = Result{Source: s, Verdict: Unseen}
		}
		results = append(results, r)
	}
	return results, nil
}

// happen lets a fault happen to one pair and gives what each source knows.
func (l *Lab) happen(ctx context.Context, who pairing, f *Fault) (facts map[Source]*diag.Facts, err error) {
	p, err := l.stage(ctx, who, f)
	if err != nil {
		return nil, err
	}
	b := p.bench
	if f.Upset != nil {
		undo, err := f.Upset(ctx, b)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, undo(context.WithoutCancel(ctx))) }()
	}
	if f.Road != nil {
		p.road.lay(f.Road)
		defer p.road.lay(&Road{})
	}
	if err := p.mark(); err != nil {
		return nil, err
	}
	pcap := l.pcap()
	recorder, err := lab.Record(ctx, b.NSA, "eth0", pcap)
	if err != nil {
		return nil, err
	}
	err = l.act(ctx, f, b)
	time.Sleep(settle)
	facts = map[Source]*diag.Facts{}
	if err == nil {
		err = p.ask(ctx, f.looks(who), facts)
	}
	if err = errors.Join(err, recorder.Stop()); err != nil {
		return facts, err
	}
	now := time.Now()
	for _, source := range f.sources(who) {
		if source != Keyed && source != Sealed {
			continue
		}
		t, err := l.captured(b, pcap, source == Keyed)
		if err != nil {
			return nil, err
		}
		facts[source] = &diag.Facts{Source: "pcap:lab", Trace: t, Now: now}
	}
	for s := range facts {
		if !slices.Contains(f.sources(who), s) {
			delete(facts, s)
		}
	}
	return facts, nil
}

// looks says what the two ends of a pair are looked at as.
func (f *Fault) looks(who pairing) [2]Source {
	v := views[who]
	if !f.Calls {
		return v
	}
	if who == charons {
		return [2]Source{VICIResponder, ""} // ours stands first, and is called
	}
	return [2]Source{EngineResponder, ""}
}

// act lets happen what a fault wants. Whether a child comes up matters not
// where nothing else is to be done: the sources tell.
func (l *Lab) act(ctx context.Context, f *Fault, b *lab.Bench) error {
	switch {
	case f.Calls:
		// Who gives the order may wait for a tunnel that never comes up.
		patient, cancel := context.WithTimeout(ctx, 15*time.Second)
		defer cancel()
		_ = l.peers.gateways[f.Software].Initiate(patient, "gw")
		if f.Act == nil {
			return l.called(ctx)
		}
		return f.Act(ctx, b)
	case f.Act != nil:
		return f.Act(ctx, b)
	}
	_, _ = b.Initiate(ctx)
	return nil
}

// called waits until something was captured and nothing follows any more: some
// software begins in its own time, and says nothing of what comes of it.
func (l *Lab) called(ctx context.Context) error {
	const header, quiet = 24, 2 * time.Second // of a pcap file; a caller's pause before it repeats itself
	size, since := int64(header), time.Now()
	return lab.Eventually(ctx, time.Minute, "the peer to call", func() bool {
		now, err := os.Stat(l.pcap())
		if err != nil {
			return false
		}
		if now.Size() != size {
			size, since = now.Size(), time.Now()
		}
		return size > header && time.Since(since) > quiet
	})
}

// pcap is where the capture of a fault goes.
func (l *Lab) pcap() string { return filepath.Join(l.dir, "fault.pcap") }

// stage gives the pair on which a fault happens, configured for it.
func (l *Lab) stage(ctx context.Context, who pairing, f *Fault) (*pair, error) {
	if f.Software != "" {
		g, err := l.guest(ctx)
		if err != nil {
			return nil, err
		}
		p, err := l.end(ctx, g, who)
		if err != nil {
			return nil, err
		}
		return p, g.stage(ctx, f, p.bench)
	}
	where := place{pairing: who, v6: f.IPv6, rough: f.Road != nil}
	if f.NAT {
		where.nat = lab.NATInitiator
	}
	p, err := l.at(ctx, where)
	if err != nil {
		return nil, err
	}
	_, _, err = p.bench.Restage(ctx, f.Ends)
	return p, err
}

// settle lets the last datagrams and log lines come.
const settle = 150 * time.Millisecond

// ask has each end say what it knows, and its host.
func (p *pair) ask(ctx context.Context, looks [2]Source, facts map[Source]*diag.Facts) error {
	now := time.Now()
	for i, end := range []side{p.a, p.r} {
		source := looks[i]
		if end == nil || source == "" {
			continue
		}
		known, err := end.told(ctx, now)
		if err != nil {
			return err
		}
		facts[source] = known
	}
	for whole, bare := range hosts {
		if facts[bare] == nil {
			continue
		}
		known := *facts[bare]
		facts[whole] = &known
		var err error
		if known.Host, err = p.look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// look looks at the initiator's host.
func (p *pair) look(ctx context.Context) (h *diag.HostFacts, err error) {
	if p.looker == "" {
		err = p.bench.NSA.Do(func() error {
			h = probe.Host(ctx, probe.Options{})
			return nil
		})
		return h, err
	}
	out, err := p.bench.HostA.Exec(ctx, p.looker, "host")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(out), &h); err != nil {
		return nil, fmt.Errorf("what was seen of a guest: %w", err)
	}
	return h, nil
}

// captured folds the capture of a fault, opened by the daemons' keys or not.
func (l *Lab) captured(b *lab.Bench, pcap string, keyed bool) (*trace.Trace, error) {
	var o dissect.Options
	if keyed {
		var err error
		if o.Keys, err = opening(b); err != nil {
			return nil, err
		}
	}
	src, err := capture.Open([]string{pcap}, capture.FileOptions{})
	if err != nil {
		return nil, err
	}
	t := trace.New(trace.Options{})
	for e, err := range dissect.New(o).Events(src) {
		if err != nil {
			return nil, err
		}
		t.Add(e)
	}
	return t, nil
}

// opening gives the keys that the daemons of a bench have told until now, nil
// where there are none.
func opening(b *lab.Bench) (*keylog.Tables, error) {
	keys, err := b.Keys()
	if err != nil || len(keys.IKE)+len(keys.ESP) == 0 {
		return nil, err
	}
	dir := filepath.Join(b.Dir, "keys")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("folder of keys: %w", err)
	}
	if err := (charonlog.Tables{Shared: true}).Write(dir, keys); err != nil && !errors.Is(err, charonlog.ErrUnnamed) {
		return nil, err
	}
	return keylog.Load([]string{dir})
}

func (f *Fault) judge(source Source, facts *diag.Facts) Result {
	r := Result{Source: source, Facts: facts, Findings: diag.Diagnose(facts, rule.All())}
	want := f.want(source)
	loud := r.Findings
	for i := range loud {
		if loud[i].Severity >= diag.Info { // ranked: from here on nothing is a fault
			loud = loud[:i]
			break
		}
	}
	switch {
	case f.Healthy() && len(loud) == 0:
		r.Verdict = First
	case f.Healthy():
		r.Verdict = Wrong
	case want == "":
		r.Verdict = Unseen
	case len(loud) == 0:
		r.Verdict = Missed
	case loud[0].ID == want:
		r.Verdict = First
	default:
		r.Verdict = Wrong
		for i := range loud {
			if loud[i].ID == want {
				r.Verdict = NotFirst
			}
		}
	}
	return r
}
