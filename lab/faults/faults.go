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
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// The sources. Host is the initiator's daemon together with its host, as
// `ipsec diagnose` has them.
const (
	VICIInitiator   Source = "VICI of the initiator"
	VICIResponder   Source = "VICI of the responder"
	EngineInitiator Source = "our engine as initiator"
	EngineResponder Source = "our engine as responder"
	Host            Source = "VICI and host"
	Keyed           Source = "capture with keys"
	Sealed          Source = "capture without keys"
)

// Sources lists them in the order of the table.
func Sources() []Source {
	return []Source{VICIInitiator, VICIResponder, EngineInitiator, EngineResponder, Host, Keyed, Sealed}
}

// views are what the initiator and the responder of a pair are looked at as; ""
// is a strongSwan that faces our engine.
var views = map[pairing][2]Source{
	charons: {VICIInitiator, VICIResponder}, engineAsks: {EngineInitiator, ""}, engineAnswer: {"", EngineResponder},
}

// sources are what a pair of ends shows.
var sources = map[pairing][]Source{
	charons:      {VICIInitiator, VICIResponder, Host, Keyed, Sealed},
	engineAsks:   {EngineInitiator},
	engineAnswer: {EngineResponder},
}

// Fault is one thing set wrong, or for a healthy variant nothing.
type Fault struct {
	Name string
	// Want holds the id that each source has to name first. Our engine names
	// what a daemon in its role does, and Host what the initiator's daemon does,
	// unless they stand here too, with "" where they see nothing. A source that
	// is not in it cannot see the fault, for the reason Hidden.
	Want   map[Source]string
	Hidden string
	// NoEngine says why our engine cannot be at an end.
	NoEngine map[Source]string

	// Software answers in a guest in place of a strongSwan, "" for none; Peer
	// changes what it and our end have.
	Software lab.Software
	Peer     func(a *lab.End, g *lab.GatewayConnection) error

	NAT   bool // the initiator is behind a NAT box
	Ends  func(a, r *lab.End) error
	Upset Upset // sets the hosts or the path wrong; nil where they are right
	// Act runs while the capture runs; bringing the child up, with its
	// outcome ignored, unless said otherwise.
	Act func(ctx context.Context, b *lab.Bench) error
}

// Healthy says that nothing is wrong.
func (f *Fault) Healthy() bool { return len(f.Want) == 0 && f.Hidden == "" }

// role gives the daemon whose view a source shares.
var role = map[Source]Source{EngineInitiator: VICIInitiator, EngineResponder: VICIResponder, Host: VICIInitiator}

// want gives the id that a source has to name first, "" where it sees nothing.
func (f *Fault) want(s Source) string {
	if f.NoEngine[s] != "" {
		return ""
	}
	if id, own := f.Want[s]; own {
		return id
	}
	return f.Want[role[s]]
}

// sources are what a pair of ends shows of a fault.
func (f *Fault) sources(p pairing) []Source {
	switch {
	case f.Software == "":
		return sources[p]
	case p == charons:
		return []Source{VICIInitiator, Host, Keyed, Sealed}
	case p == engineAsks:
		return sources[p]
	}
	return nil
}

// takes says that a pair of ends has something to show of a fault.
func (f *Fault) takes(p pairing) bool {
	for _, s := range f.sources(p) {
		if f.want(s) != "" || f.Healthy() && f.NoEngine[s] == "" {
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
	if err := p.mark(); err != nil {
		return nil, err
	}
	pcap := filepath.Join(l.dir, "fault.pcap")
	recorder, err := lab.Record(ctx, b.NSA, "eth0", pcap)
	if err != nil {
		return nil, err
	}
	act := f.Act
	if act == nil {
		act = func(ctx context.Context, b *lab.Bench) error {
			_, _ = b.Initiate(ctx) // it fails where it is to fail; the sources tell
			return nil
		}
	}
	err = act(ctx, b)
	time.Sleep(settle)
	facts = map[Source]*diag.Facts{}
	if err == nil {
		err = p.ask(ctx, who, facts)
	}
	if err = errors.Join(err, recorder.Stop()); err != nil || who != charons {
		return facts, err
	}
	for _, source := range []Source{Keyed, Sealed} {
		t, err := l.captured(b, pcap, source == Keyed)
		if err != nil {
			return nil, err
		}
		facts[source] = &diag.Facts{Source: "pcap:lab", Trace: t, Now: facts[VICIInitiator].Now}
	}
	return facts, nil
}

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
	where := place{pairing: who}
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

// ask has each end say what it knows.
func (p *pair) ask(ctx context.Context, who pairing, facts map[Source]*diag.Facts) error {
	now := time.Now()
	for i, end := range []side{p.a, p.r} {
		source := views[who][i]
		if end == nil || source == "" {
			continue
		}
		known, err := end.told(ctx, now)
		if err != nil {
			return err
		}
		facts[source] = known
	}
	if who != charons {
		return nil
	}
	whole := *facts[VICIInitiator]
	facts[Host] = &whole
	return p.bench.NSA.Do(func() error {
		whole.Host = probe.Host(ctx, probe.Options{})
		return nil
	})
}

// captured folds the capture of a fault, opened by the daemons' keys or not.
func (l *Lab) captured(b *lab.Bench, pcap string, keyed bool) (*trace.Trace, error) {
	var o dissect.Options
	keys, err := b.Keys()
	if err != nil {
		return nil, err
	}
	if keyed && len(keys.IKE)+len(keys.ESP) > 0 {
		dir := filepath.Join(b.Dir, "keys")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("folder of keys: %w", err)
		}
		if err := (charonlog.Tables{Shared: true}).Write(dir, keys); err != nil {
			return nil, err
		}
		if o.Keys, err = keylog.Load([]string{dir}); err != nil {
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

func (f *Fault) judge(source Source, facts *diag.Facts) Result {
	r := Result{Source: source, Findings: diag.Diagnose(facts, rule.All())}
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
