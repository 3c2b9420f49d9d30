// Package faults breaks real tunnels in one way at a time and judges what the
// rules find on each source that can see it: the VICI and log of either
// daemon, a capture with keys and a capture without.
//
// Contract: one pair of strongSwan daemons serves many faults, one after the
// other. Nothing is judged by this package's own idea of a fault: only the
// findings of diag/rule count.
package faults

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cloudvlan/cvlanctl/capture"
	"github.com/cloudvlan/cvlanctl/capture/dissect"
	"github.com/cloudvlan/cvlanctl/capture/keylog"
	"github.com/cloudvlan/cvlanctl/capture/keylog/charonlog"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/lab"
)

// Source is where a fault is looked for.
type Source string

// The sources.
const (
	VICIInitiator Source = "VICI of the initiator"
	VICIResponder Source = "VICI of the responder"
	Keyed         Source = "capture with keys"
	Sealed        Source = "capture without keys"
)

// Sources lists them in the order of the table.
func Sources() []Source { return []Source{VICIInitiator, VICIResponder, Keyed, Sealed} }

// Fault is one thing set wrong, or for a healthy variant nothing.
type Fault struct {
	Name string
	// Want holds the id that each source has to name first. A source that is
	// not in it cannot see the fault, for the reason Hidden.
	Want   map[Source]string
	Hidden string

	Ends  func(a, r *lab.End) error
	Rules string // nftables rules of the responder's host
	// Act runs while the capture runs; bringing the child up, with its
	// outcome ignored, unless said otherwise.
	Act func(ctx context.Context, b *lab.Bench) error
}

// Healthy says that nothing is wrong.
func (f *Fault) Healthy() bool { return len(f.Want) == 0 && f.Hidden == "" }

// Verdict is how well a source did.
type Verdict string

// The verdicts.
const (
	First    Verdict = "first"     // the right id first
	NotFirst Verdict = "not first" // it is among the findings
	Missed   Verdict = "missed"    // nothing was found
	Wrong    Verdict = "wrong"     // something else, or a fault in a healthy tunnel
	Unseen   Verdict = "-"         // the source cannot see it
)

// Result is what a source found.
type Result struct {
	Source   Source
	Verdict  Verdict
	Findings []diag.Finding
}

// Lab is a bench for many faults.
type Lab struct {
	bench *lab.Bench
	dir   string
}

// Open starts the daemons. The caller must Close the lab, also after an error.
func Open(ctx context.Context, dir string) (*Lab, error) {
	b, err := lab.NewBench(ctx, lab.Scenario{Name: "faults"}, dir)
	return &Lab{b, dir}, err
}

// Close ends the daemons and takes the network down.
func (l *Lab) Close() error { return l.bench.Close() }

// blocked is the name of the table that holds a fault's firewall.
const blocked = "table inet fault {\n chain in {\n type filter hook prerouting priority -450\n %s\n }\n}\n"

// Run lets a fault happen and judges every source.
func (l *Lab) Run(ctx context.Context, f *Fault) (results []Result, err error) {
	b := l.bench
	if _, _, err := b.Restage(ctx, f.Ends); err != nil {
		return nil, fmt.Errorf("fault %s: %w", f.Name, err)
	}
	if f.Rules != "" {
		if err := b.NSB.NFT(ctx, fmt.Sprintf(blocked, f.Rules)); err != nil {
			return nil, fmt.Errorf("fault %s: %w", f.Name, err)
		}
		defer func() {
			if e := b.NSB.NFT(context.WithoutCancel(ctx), "delete table inet fault\n"); err == nil {
				err = e
			}
		}()
	}
	logs := []string{b.A.LogPath(), b.B.LogPath()}
	marks := make([]int, len(logs))
	for i, path := range logs {
		log, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("log of a daemon: %w", err)
		}
		marks[i] = len(log)
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
	actErr := act(ctx, b)
	time.Sleep(settle)
	now := time.Now()
	var daemons []*trace.Trace
	for i, d := range []*lab.Daemon{b.A, b.B} {
		t, e := told(ctx, logs[i], marks[i], d.Socket(), now)
		if e != nil && actErr == nil {
			actErr = e
		}
		daemons = append(daemons, t)
	}
	if err := recorder.Stop(); err != nil {
		return nil, err
	}
	if actErr != nil {
		return nil, fmt.Errorf("fault %s: %w", f.Name, actErr)
	}
	for i, source := range []Source{VICIInitiator, VICIResponder} {
		results = append(results, f.judge(source, &diag.Facts{Source: "vici:lab", Trace: daemons[i], Now: now, Live: true}))
	}
	for _, source := range []Source{Keyed, Sealed} {
		t, err := l.captured(pcap, source == Keyed)
		if err != nil {
			return nil, fmt.Errorf("fault %s: %w", f.Name, err)
		}
		results = append(results, f.judge(source, &diag.Facts{Source: "pcap:lab", Trace: t, Now: now}))
	}
	return results, nil
}

// settle lets the last datagrams and log lines come.
const settle = 150 * time.Millisecond

// told folds what a daemon has logged since a mark, and what it has now.
func told(ctx context.Context, log string, mark int, socket string, now time.Time) (*trace.Trace, error) {
	t := trace.New(trace.Options{})
	text, err := os.ReadFile(log)
	if err != nil {
		return t, fmt.Errorf("log of a daemon: %w", err)
	}
	if err := vici.ReadLog(bytes.NewReader(text[mark:]), t.Add); err != nil {
		return t, err
	}
	addr, err := vici.ParseAddr("vici:" + socket)
	if err != nil {
		return t, err
	}
	c, err := vici.Dial(ctx, addr)
	if err != nil {
		return t, err
	}
	defer c.Close()
	s, err := c.Snapshot(ctx)
	if err != nil {
		return t, err
	}
	t.Add(&event.Event{Time: now, Table: &event.Table{SAs: s.SAs}})
	return t, nil
}

// captured folds the capture of a fault, opened by the daemons' keys or not.
func (l *Lab) captured(pcap string, keyed bool) (*trace.Trace, error) {
	var o dissect.Options
	keys, err := l.bench.Keys()
	if err != nil {
		return nil, err
	}
	if keyed && len(keys.IKE)+len(keys.ESP) > 0 {
		dir := filepath.Join(l.dir, "fault.keys")
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
	want, visible := f.Want[source]
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
	case !visible:
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
