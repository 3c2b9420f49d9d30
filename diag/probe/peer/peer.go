// Package peer tests one IPsec peer step by step, from its name to the end of a
// tunnel with it, and brings forward what otherwise fails after an hour.
//
// Contract: each step says pass, warn, fail or skip, with its reason and what
// was found; a step that needs one that failed is skipped and says so. What
// touches the network or the system comes in as Tools; every step is bounded.
// What was found is facts for the rules of package diag, as from any other
// source.
package peer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/probe/scan"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Status is how a step went.
type Status string

// The ways a step can go.
const (
	Pass Status = "pass"
	Warn Status = "warn"
	Fail Status = "fail"
	Skip Status = "skip"
)

// Step is one step of a test.
type Step struct {
	Name     string
	Status   Status
	Duration time.Duration
	Detail   string
	Findings []diag.Finding // that this step brought
	Tries    []diag.Try     // other ways to authenticate that this step tried
}

// The steps, in their order.
const (
	StepResolve  = "resolve"
	StepRoute    = "route"
	StepHost     = "host settings"
	StepPlain    = "UDP 500"
	StepNATT     = "UDP 4500"
	StepNAT      = "NAT detection"
	StepSizes    = "path MTU and fragments"
	StepProposal = "proposal"
	StepAuth     = "authentication"
	StepChild    = "child SA and selectors"
	StepTraffic  = "traffic through the tunnel"
	StepDPD      = "DPD round trip"
	StepRekey    = "child rekey and IKE rekey"
	StepDelete   = "clean delete"
)

// Steps are the names of all steps in order.
var Steps = []string{StepResolve, StepRoute, StepHost, StepPlain, StepNATT, StepNAT, StepSizes, StepProposal, StepAuth, StepChild, StepTraffic,
	StepDPD, StepRekey, StepDelete}

// Engine is a backend with the tunnel to the peer in it.
type Engine interface {
	backend.Backend
	// Ping sends an echo request through the tunnel.
	Ping(ctx context.Context, to netip.Addr, octets int) (time.Duration, error)
}

// Line is a scan.Line that has an end.
type Line interface {
	scan.Line
	Close() error
}

// Tools are what touches the network and the system.
type Tools struct {
	// Resolve gives the peer's address.
	Resolve func(ctx context.Context) (netip.Addr, error)
	// Route gives the way to an address, in words, and the MTU of its
	// interface, 0 where not known.
	Route func(ctx context.Context, to netip.Addr) (words string, mtu int, err error)
	// Host looks at this host; nil where nobody looks. Only what concerns a
	// tunnel that ends in a process is judged: its firewall.
	Host func(ctx context.Context) *diag.HostFacts
	// Line leads to the peer's ports, best from those that Engine has too. It is
	// closed before Engine is called.
	Line func(to netip.Addr) (Line, error)
	// Engine starts an engine that has the peer's connection.
	Engine func(ctx context.Context, to netip.Addr) (Engine, error)
}

// Target is whom to test with.
type Target struct {
	Host       string // name or address as configured
	Connection string
	Child      string
	Proposals  [][]wire.Transform // for the IKE SA
	Offered    []string           // the same in words
	Ping       netip.Addr         // inside the tunnel; not set for none
	// Variations are other ways to authenticate, the likelier first.
	Variations []Variation
	// ESP are children to ask for once the tunnel stands; none where ESP is not
	// to be graded.
	ESP []ESPOffer
}

// Options of a Run.
type Options struct {
	// Rules judge what was found; they are diag/rule's.
	Rules []diag.Rule
	Now   func() time.Time
	// Tell is told each step as it begins (with no Status) and as it ends.
	Tell func(Step)
	// Event is told each event of the test's own engine, and is done with it when
	// it returns; nil for nobody.
	Event func(*event.Event)
	// Patience is how long one step of the tunnel waits: 0 for 20 s.
	Patience time.Duration
	// Ladder is how many Variations are tried, one after the other, where the
	// peer refuses without a reason; 0 for none. Pace is the pause before each:
	// 0 for half a second. TellTry is told each try as it ends.
	Ladder  int
	Pace    time.Duration
	TellTry func(n, of int, t diag.Try)
	// Wait is how long Listen waits for the peer to call: 0 for 2 min.
	Wait time.Duration
}

// Report is the outcome of a test.
type Report struct {
	Target   Target
	Local    netip.Addr
	Remote   netip.Addr
	Steps    []Step
	Findings []diag.Finding // of all steps, ranked
	ESP      []ESPAnswer    // in the order of the target's
	Took     time.Duration
}

// Worst is the worst status of the steps.
func (r *Report) Worst() Status {
	for _, s := range []Status{Fail, Warn} {
		if slices.ContainsFunc(r.Steps, func(x Step) bool { return x.Status == s }) {
			return s
		}
	}
	return Pass
}

// Verdict says in words what the steps come to.
func (r *Report) Verdict() string {
	is := func(status Status, names ...string) bool {
		return slices.ContainsFunc(r.Steps, func(x Step) bool { return x.Status == status && slices.Contains(names, x.Name) })
	}
	switch worst := r.Worst(); {
	case worst == Fail && is(Pass, StepTraffic) && is(Fail, StepDPD, StepRekey):
		return "the tunnel carries traffic, and will not last"
	case worst == Fail:
		return "the tunnel does not work"
	case worst == Warn:
		return "it works, with reservations"
	}
	return "all that was tested works"
}

// run is a test as it goes.
type run struct {
	ctx    context.Context
	target Target
	tools  Tools
	o      Options
	report *Report
	probe  diag.Probe
	trace  *trace.Trace
	host   *diag.HostFacts
	line   Line
	prober *scan.Prober
	plain  scan.Question
	engine Engine
	certs  []engine.Certificate // that the engine has
	known  []diag.Finding       // of the steps so far
	gone   error                // why the rest is skipped
	// childFailed is why the child did not come up although the IKE SA did.
	childFailed error
}

// Run tests a peer.
func Run(ctx context.Context, t Target, tools Tools, o Options) *Report {
	r := newRun(ctx, t, tools, &o)
	began := o.Now()
	steps := []struct {
		name string
		do   func() (Status, string)
	}{
		{StepResolve, r.resolve}, {StepRoute, r.route}, {StepHost, r.hostSettings}, {StepPlain, r.plainPort}, {StepNATT, r.nattPort}, {StepNAT, r.nat},
		{StepSizes, r.sizes}, {StepProposal, r.proposal}, {StepAuth, r.authentication}, {StepChild, r.child}, {StepTraffic, r.traffic},
		{StepDPD, r.dpd}, {StepRekey, r.rekey}, {StepESP, r.esp}, {StepDelete, r.remove},
	}
	for _, s := range steps {
		if s.name != StepESP || len(t.ESP) > 0 {
			r.step(s.name, s.do)
		}
	}
	return r.finish(began)
}

// newRun prepares a test, and puts what is usual into the options.
func newRun(ctx context.Context, t Target, tools Tools, o *Options) *run {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Patience == 0 {
		o.Patience = 20 * time.Second
	}
	if o.Pace == 0 {
		o.Pace = DefaultPace
	}
	return &run{ctx: ctx, target: t, tools: tools, o: *o, report: &Report{Target: t}, trace: trace.New(trace.Options{}),
		probe: diag.Probe{Connection: t.Connection, Host: t.Host, Offered: t.Offered}}
}

// finish closes what the test opened and gives its report.
func (r *run) finish(began time.Time) *Report {
	r.hangUp()
	if r.engine != nil {
		_ = r.engine.Close() // its farewell was a step
	}
	r.report.Local, r.report.Remote = r.probe.Local, r.probe.Remote
	r.report.Findings = r.findings()
	r.report.Took = r.o.Now().Sub(began)
	return r.report
}

// hangUp closes the line of the early questions.
func (r *run) hangUp() {
	if r.line != nil {
		_ = r.line.Close() // nothing more is expected from it
		r.line = nil
	}
}

// step does one step, and gives it the findings that it brought.
func (r *run) step(name string, do func() (Status, string)) {
	s := Step{Name: name}
	if r.o.Tell != nil {
		r.o.Tell(s)
	}
	began := r.o.Now()
	switch {
	case r.ctx.Err() != nil:
		s.Status, s.Detail = Skip, "interrupted"
	case r.gone != nil:
		s.Status, s.Detail = Skip, r.gone.Error()
	default:
		s.Status, s.Detail = do()
	}
	s.Duration = r.o.Now().Sub(began)
	found := r.findings()
	if name == StepAuth && r.childFailed != nil {
		// The answer that authenticates the peer refuses the child too: what
		// is known from it belongs to the next step.
		found = r.known
	}
	if name == StepIdentity && s.Status == Pass {
		// The request that names the peer proves it too: what is wrong with the
		// proof belongs to the next step.
		found = r.known
	}
	for _, f := range found {
		if !slices.ContainsFunc(r.known, func(old diag.Finding) bool { return old.ID == f.ID }) {
			s.Findings = append(s.Findings, f)
		}
	}
	r.known = found
	if name == StepAuth {
		s.Tries = r.probe.Tries
	}
	if s.Status == Pass && len(s.Findings) > 0 && s.Findings[0].Severity < diag.Info {
		s.Status = Warn
	}
	r.report.Steps = append(r.report.Steps, s)
	if r.o.Tell != nil {
		r.o.Tell(s)
	}
}

// findings judges what is known so far.
func (r *run) findings() []diag.Finding {
	probe := r.probe
	return diag.Diagnose(&diag.Facts{Source: "test of " + r.target.Host, Trace: r.trace, Now: r.o.Now(), Live: true, Probe: &probe, Host: r.host, Certificates: r.certs}, r.o.Rules)
}

// start starts the engine, and asks it for its certificates.
func (r *run) start(ctx context.Context, peer netip.Addr) (err error) {
	if r.engine, err = r.tools.Engine(ctx, peer); err != nil {
		return err
	}
	r.certs, err = r.engine.Certificates(ctx)
	return err
}

// end says that the steps to come are of no use.
func (r *run) end(format string, args ...any) { r.gone = fmt.Errorf(format, args...) }

func (r *run) patient() (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.ctx, r.o.Patience)
}

// add folds an event of the engine in.
func (r *run) add(e *event.Event) {
	r.trace.Add(e)
	if r.o.Event != nil {
		r.o.Event(e)
	}
}

func (r *run) authentication() (Status, string) {
	if r.probe.NATT != diag.ReachAnswers && r.plain.NATLocal != nil && (*r.plain.NATLocal || *r.plain.NATRemote) {
		r.end("port %d is closed, and behind a NAT nothing goes without it", r.probe.NATTPort)
		return Skip, r.gone.Error()
	}
	ctx, cancel := r.patient()
	defer cancel()
	r.hangUp() // the engine has the same ports
	if err := r.start(ctx, r.probe.Remote); err != nil {
		r.end("the engine does not run")
		return Fail, err.Error()
	}
	err := r.engine.Up(ctx, backend.Target{IKE: r.target.Connection, Child: r.target.Child}, backend.UpOptions{}, r.add)
	sa, listed := r.sa(ctx)
	switch {
	case sa != nil && sa.State == engine.IKEEstablished:
		words := "as " + sa.Local.ID + " with " + sa.Remote.ID
		r.childFailed = err
		return Pass, words
	case err == nil:
		err = listed
	}
	r.end("the peer does not authenticate")
	if err == nil {
		err = errors.New("no IKE SA came up")
	}
	return Fail, reason(err) + r.ladder()
}

// noChild is why a step on the child SA is skipped.
const noChild = "the child SA did not come up"

// reason cuts what a backend puts around the reason of a failure.
func reason(err error) string {
	return strings.TrimSuffix(err.Error(), ": "+backend.ErrRefused.Error())
}

// sa gives the IKE SA of the test.
func (r *run) sa(ctx context.Context) (*engine.IKESA, error) {
	sas, err := r.engine.SAs(ctx, backend.Filter{IKE: r.target.Connection})
	if err != nil || len(sas) == 0 {
		return nil, err
	}
	return sas[len(sas)-1], nil
}
