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
	// Line leads to the peer's ports.
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
}

// Options of a Run.
type Options struct {
	// Rules judge what was found; they are diag/rule's.
	Rules []diag.Rule
	Now   func() time.Time
	// Tell is told each step as it begins (with no Status) and as it ends.
	Tell func(Step)
	// Patience is how long one step of the tunnel waits: 0 for 20 s.
	Patience time.Duration
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
	known  []diag.Finding // of the steps so far
	gone   error          // why the rest is skipped
	// childFailed is why the child did not come up although the IKE SA did.
	childFailed error
}

// Run tests a peer.
func Run(ctx context.Context, t Target, tools Tools, o Options) *Report {
	r := newRun(ctx, t, tools, &o)
	began := o.Now()
	for _, s := range []struct {
		name string
		do   func() (Status, string)
	}{
		{StepResolve, r.resolve}, {StepRoute, r.route}, {StepHost, r.hostSettings}, {StepPlain, r.plainPort}, {StepNATT, r.nattPort}, {StepNAT, r.nat},
		{StepSizes, r.sizes}, {StepProposal, r.proposal}, {StepAuth, r.authentication}, {StepChild, r.child}, {StepTraffic, r.traffic},
		{StepDPD, r.dpd}, {StepRekey, r.rekey}, {StepDelete, r.remove},
	} {
		r.step(s.name, s.do)
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
	return &run{ctx: ctx, target: t, tools: tools, o: *o, report: &Report{Target: t}, trace: trace.New(trace.Options{}),
		probe: diag.Probe{Connection: t.Connection, Host: t.Host, Offered: t.Offered}}
}

// finish closes what the test opened and gives its report.
func (r *run) finish(began time.Time) *Report {
	if r.line != nil {
		_ = r.line.Close() // nothing more is expected from it
	}
	if r.engine != nil {
		_ = r.engine.Close() // its farewell was a step
	}
	r.report.Local, r.report.Remote = r.probe.Local, r.probe.Remote
	r.report.Findings = r.findings()
	r.report.Took = r.o.Now().Sub(began)
	return r.report
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
	for _, f := range found {
		if !slices.ContainsFunc(r.known, func(old diag.Finding) bool { return old.ID == f.ID }) {
			s.Findings = append(s.Findings, f)
		}
	}
	r.known = found
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
	return diag.Diagnose(&diag.Facts{Source: "test of " + r.target.Host, Trace: r.trace, Now: r.o.Now(), Live: true, Probe: &probe, Host: r.host}, r.o.Rules)
}

// end says that the steps to come are of no use.
func (r *run) end(format string, args ...any) { r.gone = fmt.Errorf(format, args...) }

func (r *run) patient() (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.ctx, r.o.Patience)
}

func (r *run) resolve() (Status, string) {
	ctx, cancel := r.patient()
	defer cancel()
	a, err := r.tools.Resolve(ctx)
	if err != nil {
		r.probe.ResolveError = err.Error()
		r.end("the peer has no address")
		return Fail, err.Error()
	}
	r.probe.Remote = a
	if a.String() == r.target.Host {
		return Pass, "it is an address"
	}
	return Pass, a.String()
}

func (r *run) route() (Status, string) {
	ctx, cancel := r.patient()
	defer cancel()
	words, _, err := r.tools.Route(ctx, r.probe.Remote)
	if err != nil {
		r.end("there is no route to the peer")
		return Fail, err.Error()
	}
	return Pass, words
}

func (r *run) hostSettings() (Status, string) {
	if r.tools.Host == nil {
		return Skip, "not looked at"
	}
	ctx, cancel := r.patient()
	defer cancel()
	h := r.tools.Host(ctx)
	if h == nil || h.Chains == nil {
		return Skip, "the firewall cannot be seen here: " + whyUnseen(h)
	}
	r.host = &diag.HostFacts{At: h.At, Chains: h.Chains}
	return Pass, fmt.Sprintf("firewall read: %d chains that packets come by", len(h.Chains))
}

// whyUnseen says why the firewall is not among what was seen.
func whyUnseen(h *diag.HostFacts) string {
	if h != nil {
		for _, u := range h.Unseen {
			if strings.Contains(u.What, "firewall") {
				return u.Why
			}
		}
	}
	return "nothing tells of it"
}

func reach(q *scan.Question) diag.Reach {
	switch q.Verdict() {
	case scan.Answers:
		return diag.ReachAnswers
	case scan.Refused:
		return diag.ReachRefused
	case scan.Silent:
		return diag.ReachSilent
	}
	return diag.ReachUnknown
}

// outcome says how a port took a request, in words.
func outcome(q *scan.Question) string {
	switch q.Verdict() {
	case scan.Answers:
		words := "answered"
		if q.RTT > 0 {
			words += fmt.Sprintf(" in %s", q.RTT.Round(10*time.Microsecond))
		}
		if q.Cookie {
			words += ", after a cookie was demanded"
		}
		return words
	case scan.Refused:
		return "refused by ICMP: nobody listens"
	}
	return "no answer"
}

func (r *run) plainPort() (Status, string) {
	var err error
	if r.line, err = r.tools.Line(r.probe.Remote); err != nil {
		r.end("the peer cannot be sent to")
		return Fail, err.Error()
	}
	local, remote := r.line.Ends(false)
	_, natt := r.line.Ends(true)
	r.probe.Local, r.probe.PlainPort, r.probe.NATTPort = local.Addr(), remote.Port(), natt.Port()
	r.prober = scan.NewProber(r.line, scan.Options{Pace: time.Millisecond})
	q, err := r.prober.Propose(r.ctx, r.target.Proposals, false, 0)
	if err != nil {
		r.end("the peer cannot be sent to")
		return Fail, err.Error()
	}
	r.plain = q
	r.probe.Plain = reach(&q)
	if r.probe.Plain == diag.ReachAnswers {
		return Pass, outcome(&q)
	}
	// Is anybody there, who only does not answer us?
	if f, err := r.prober.Future(r.ctx); err == nil {
		r.probe.Stranger = reach(&f)
	}
	return Fail, outcome(&q)
}

func (r *run) nattPort() (Status, string) {
	q, err := r.prober.Propose(r.ctx, r.target.Proposals, true, 0)
	if err != nil {
		return Fail, err.Error()
	}
	r.probe.NATT = reach(&q)
	if r.probe.Plain != diag.ReachAnswers {
		if r.probe.NATT != diag.ReachAnswers {
			r.end("the peer does not answer")
			return Fail, outcome(&q)
		}
		r.end("port %d does not answer, and the engine begins there", r.probe.PlainPort)
		return Pass, outcome(&q)
	}
	if r.probe.NATT != diag.ReachAnswers {
		return Fail, outcome(&q)
	}
	return Pass, outcome(&q)
}

func (r *run) nat() (Status, string) {
	local, remote := r.plain.NATLocal, r.plain.NATRemote
	switch {
	case local == nil || remote == nil:
		return Skip, "the answer has no NAT detection hashes"
	case *local && *remote:
		return Pass, "a NAT in front of both sides, or in front of this one while the peer forces encapsulation"
	case *local:
		return Pass, "a NAT in front of this side"
	case *remote:
		return Pass, "a NAT in front of the peer, or it forces encapsulation"
	}
	return Pass, "no NAT on the way"
}

// probeSizes are the sizes of IP packets to try, each twice: what every path
// takes, what common tunnels leave, Ethernet, and one that becomes IP fragments.
var probeSizes = []int{576, 1280, 1400, 1500, 2000}

func (r *run) sizes() (Status, string) {
	if r.plain.Outcome == scan.OutcomeAccepted {
		takes := slices.Contains(r.plain.Notifies, wire.NotifyFragmentationSupported.String())
		r.probe.IKEFragments = &takes
	}
	var lost []string
	for _, size := range probeSizes {
		s := diag.ProbeSize{Octets: size}
		for range 2 {
			q, err := r.prober.Propose(r.ctx, r.target.Proposals, false, size)
			if err != nil {
				return Fail, err.Error()
			}
			s.Sent++
			if q.Verdict() == scan.Answers {
				s.Answered++
				break
			}
		}
		r.probe.Sizes = append(r.probe.Sizes, s)
		if s.Answered == 0 {
			lost = append(lost, fmt.Sprint(size))
			if size == probeSizes[0] {
				break
			}
		}
	}
	words := "packets of 576 to 1500 octets and IP fragments pass"
	if len(lost) > 0 {
		words = "packets of " + strings.Join(lost, ", ") + " octets get no answer"
	}
	if f := r.probe.IKEFragments; f != nil {
		words += map[bool]string{true: "; IKE fragmentation: yes", false: "; IKE fragmentation: no"}[*f]
	}
	if len(lost) > 0 {
		return Warn, words
	}
	return Pass, words
}

func (r *run) proposal() (Status, string) {
	if r.plain.Outcome == scan.OutcomeAccepted {
		return Pass, "agreed: " + r.plain.Suite
	}
	r.probe.Refusal = r.plain.Outcome
	words := r.plain.Outcome
	if r.plain.Outcome == wire.NotifyNoProposalChosen.String() {
		if accepts, err := r.prober.Accepts(r.ctx); err == nil && len(accepts.Suites) > 0 {
			r.probe.Accepts = accepts.Suites
			words += "; asked for others, it took " + strings.Join(accepts.Suites, ", ")
		}
	}
	r.end("the proposals do not fit")
	return Fail, words
}

// add folds an event of the engine in.
func (r *run) add(e *event.Event) { r.trace.Add(e) }

func (r *run) authentication() (Status, string) {
	if r.probe.NATT != diag.ReachAnswers && r.plain.NATLocal != nil && (*r.plain.NATLocal || *r.plain.NATRemote) {
		r.end("port %d is closed, and behind a NAT nothing goes without it", r.probe.NATTPort)
		return Skip, r.gone.Error()
	}
	ctx, cancel := r.patient()
	defer cancel()
	var err error
	if r.engine, err = r.tools.Engine(ctx, r.probe.Remote); err != nil {
		r.end("the engine does not run")
		return Fail, err.Error()
	}
	err = r.engine.Up(ctx, backend.Target{IKE: r.target.Connection, Child: r.target.Child}, backend.UpOptions{}, r.add)
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
	return Fail, reason(err)
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
