package peer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// The steps that only a test has in which the peer calls.
const (
	StepListen   = "listen"
	StepCall     = "the peer's call"
	StepIdentity = "identities"
)

// ListenSteps are the names of the steps of Listen in order.
var ListenSteps = []string{StepHost, StepListen, StepCall, StepNAT, StepProposal, StepIdentity, StepAuth, StepChild, StepTraffic, StepDPD, StepRekey, StepDelete}

// strangerGrace is how long the peer's own call is waited for after somebody
// called for whom there is no connection: most often it is the peer, from
// another address.
const strangerGrace = 15 * time.Second

// stage is a part of a call. One request brings identities, proof and child: an
// event of a later part waits until the steps have come that far.
type stage uint8

const (
	stageInit stage = iota
	stageIdentity
	stageProof
	stageChild
)

// of gives the stage that an event belongs to.
func (l *listening) of(e *event.Event) stage {
	switch {
	case e.Packet != nil && e.Packet.IKE != nil && e.Packet.IKE.Message.Header.Exchange == wire.ExchangeIKEAuth:
		if e.Packet.IKE.Message.Header.Flags&wire.FlagResponse != 0 {
			return stageChild
		}
		l.asked = true
		return stageIdentity
	case e.Check == nil || !l.asked:
		return stageInit
	case proofs(e.Check):
		return stageProof
	case e.Check.Kind == event.CheckIdentity:
		return stageIdentity
	}
	return stageChild
}

// maxChecks bounds the comparisons of one call that are kept.
const maxChecks = 2000

// listening is a test in which the peer calls.
type listening struct {
	*run
	next   func() (*event.Event, error, bool)
	stop   func()
	stage  stage
	asked  bool          // IKE_AUTH has come
	spi    wire.SPI      // of the call, 0 before it
	held   *event.Event  // one of a later stage
	checks []event.Check // of the call, those that fit too
	// strangers are addresses that called and have no connection.
	strangers   []string
	strangerAt  time.Time
	established bool
}

// Listen tests a peer that calls: what it sends is compared with what is
// configured, and each difference told. The engine of the tools has to explain
// (ike.Settings.Explain), to report its packets and to be watched
// (native.Options.Watched): the peer may call before its events are read. Of the
// tools, Host and Engine are used.
func Listen(ctx context.Context, t Target, tools Tools, o Options) *Report {
	r := newRun(ctx, t, tools, &o)
	if r.o.Wait == 0 {
		r.o.Wait = 2 * time.Minute
	}
	l := &listening{run: r}
	began := o.Now()
	for _, s := range []struct {
		name string
		do   func() (Status, string)
	}{
		{StepHost, r.hostSettings}, {StepListen, l.listen}, {StepCall, l.call}, {StepNAT, l.nat}, {StepProposal, l.proposal},
		{StepIdentity, l.identity}, {StepAuth, l.authentication}, {StepChild, l.child}, {StepTraffic, r.traffic}, {StepDPD, r.dpd},
		{StepRekey, r.rekey}, {StepDelete, r.remove},
	} {
		r.step(s.name, s.do)
	}
	l.close()
	return r.finish(began)
}

// listen opens the sockets.
func (l *listening) listen() (Status, string) {
	ctx, cancel := l.patient()
	defer cancel()
	if err := l.start(ctx, netip.Addr{}); err != nil {
		l.end("nobody listens")
		return Fail, err.Error()
	}
	l.next, l.stop = iter.Pull2(l.engine.Events(l.ctx, backend.EventOptions{Every: 20 * time.Millisecond}))
	return Pass, fmt.Sprintf("%s; waiting up to %s for %s to call. On strongSwan: swanctl --initiate --child <k>",
		strings.TrimPrefix(l.engine.Source(), "engine:"), l.o.Wait, l.target.Host)
}

// close ends the reading of events.
func (l *listening) close() {
	if l.stop != nil {
		l.stop()
		l.stop, l.next = nil, nil
	}
}

// take folds the next event in; false where there is none any more, or where it
// belongs to a later step. A Table comes often enough that it never waits for
// long.
func (l *listening) take() (e *event.Event, more bool) {
	if e = l.held; e == nil {
		var err error
		if e, err, more = l.next(); err != nil || !more {
			return nil, false
		}
	}
	l.held = nil
	if spi := spiOf(e); l.spi != 0 && spi != 0 && spi != l.spi && (l.stage > stageInit || e.Check != nil) {
		return e, true // of another call: a refused peer may try again at once
	}
	if l.of(e) > l.stage {
		l.held = e
		return nil, false
	}
	l.add(e)
	if c := e.Check; c != nil && c.Kind == event.CheckConnection && !c.OK {
		if l.strangerAt.IsZero() {
			l.strangerAt = l.o.Now()
		}
		if !slices.Contains(l.strangers, c.Remote) && len(l.strangers) < 8 {
			l.strangers = append(l.strangers, c.Remote)
		}
	} else if c != nil && len(l.checks) < maxChecks {
		l.checks = append(l.checks, *c)
	}
	return e, true
}

// until takes events until something is so; false where it is not within the
// limit.
func (l *listening) until(limit time.Duration, so func() bool) bool {
	end := l.o.Now().Add(limit)
	for !so() {
		if l.o.Now().After(end) || l.ctx.Err() != nil {
			return false
		}
		if _, more := l.take(); !more {
			return false
		}
	}
	return true
}

// settle takes what has come until now.
func (l *listening) settle() {
	now := l.o.Now()
	for {
		e, more := l.take()
		if !more || e.Table != nil && e.Time.After(now) {
			return
		}
	}
}

// spiOf gives the initiator's SPI of the IKE SA that an event is about, 0 where
// it is about none.
func spiOf(e *event.Event) wire.SPI {
	switch {
	case e.Check != nil:
		return e.Check.SPIi
	case e.Packet != nil && e.Packet.IKE != nil:
		return e.Packet.IKE.Message.Header.InitiatorSPI
	}
	return 0
}

// theCall is the peer's: the first IKE SA that the trace has and for which there
// is a connection, or the one that followed it in another form; nil where nobody
// called.
func (l *listening) theCall() *trace.IKESA {
	for _, sa := range l.trace.SAs {
		switch {
		case len(sa.Exchanges) == 0 || sa.Exchanges[0].Request == nil:
		case l.spi != 0 && sa.InitiatorSPI == l.spi:
			return sa
		case l.spi == 0 && !slices.Contains(l.strangers, sa.Exchanges[0].Request.Src.Addr().String()):
			return sa
		}
	}
	return nil
}

// follow goes on with the IKE SA that the peer began after it was asked for the
// same in another form.
func (l *listening) follow() {
	old := l.theCall()
	for _, sa := range l.trace.SAs {
		if sa != old && sa.First.After(old.First) && sa.Remote.Host == old.Remote.Host && sa.Local.Host == old.Local.Host {
			l.spi = sa.InitiatorSPI
			return
		}
	}
}

// last gives the last exchange of a type of the call, nil where there is none.
func (l *listening) last(t wire.ExchangeType) *trace.Exchange {
	sa := l.theCall()
	if sa == nil {
		return nil
	}
	for i := len(sa.Exchanges) - 1; i >= 0; i-- {
		if x := sa.Exchanges[i]; x.Type == t && x.By == trace.Initiator && x.Request != nil {
			return x
		}
	}
	return nil
}

func (l *listening) call() (Status, string) {
	came := func() bool {
		// Only when it was looked at is it known whether it is a stranger's.
		x := l.last(wire.ExchangeIKESAInit)
		return x != nil && (x.Response != nil || len(l.checks) > 0) || !l.strangerAt.IsZero() && l.o.Now().Sub(l.strangerAt) > strangerGrace
	}
	l.until(l.o.Wait, came)
	x := l.last(wire.ExchangeIKESAInit)
	switch {
	case x != nil:
		l.spi = x.SA.InitiatorSPI
		l.probe.Local, l.probe.Remote = x.Request.Dst.Addr(), x.Request.Src.Addr()
		return Pass, fmt.Sprintf("from %s to %s", x.Request.Src, x.Request.Dst)
	case len(l.strangers) > 0:
		l.end("the peer did not call from an address of its own")
		return Fail, fmt.Sprintf("a request came from %s, and no connection here is for that address: %s is to call from %s",
			strings.Join(l.strangers, ", "), l.target.Connection, l.target.Host)
	}
	l.end("the peer did not call")
	return Fail, fmt.Sprintf("nothing came within %s: either the peer does not call (start it there), or its requests do not arrive (UDP port 500; capture: cvlanctl pcap capture)", l.o.Wait)
}

func (l *listening) nat() (Status, string) {
	sa := l.theCall()
	if !sa.NATD.Request.Seen {
		return Skip, "the request has no NAT detection hashes"
	}
	far, near := sa.NATD.Request.Source == trace.MatchNo, sa.NATD.Request.Destination == trace.MatchNo
	switch {
	case far && near:
		return Pass, "a NAT in front of both sides"
	case far:
		return Pass, "a NAT in front of the peer, or it forces encapsulation"
	case near:
		return Pass, "a NAT in front of this side"
	}
	return Pass, "no NAT on the way"
}

// decided says that the last IKE_SA_INIT was answered with a choice, or with
// an error after which the peer need not try again.
func (l *listening) decided() bool {
	x := l.last(wire.ExchangeIKESAInit)
	if x.Response != nil && again(x.Response) {
		l.follow()
		x = l.last(wire.ExchangeIKESAInit)
	}
	return x.Response != nil && !again(x.Response)
}

// again says that an answer asks for the same request in another form.
func again(m *trace.Message) bool {
	return m.Notify(wire.NotifyCookie) != nil || m.Notify(wire.NotifyInvalidKEPayload) != nil
}

func (l *listening) proposal() (Status, string) {
	l.until(l.o.Patience, l.decided)
	x := l.last(wire.ExchangeIKESAInit)
	if x.Response == nil {
		l.end("the request was not answered")
		return Fail, "the request was not answered" + l.firstFailed(" because: ", nil)
	}
	if p := wire.First(x.Response.Payloads, wire.PayloadSA); p != nil {
		if sa, ok := p.Body.(*wire.SA); ok && len(sa.Proposals) == 1 {
			return Pass, "agreed: " + wire.FormatProposal(wire.ProtocolIKE, sa.Proposals[0].Transforms)
		}
		return Pass, "agreed"
	}
	l.end("the proposals do not fit")
	if again(x.Response) {
		return Fail, "the peer did not try again with what it was asked for" + l.firstFailed(": ", kinds(event.CheckKE, event.CheckCookie))
	}
	if words := l.transforms("IKE"); words != "" {
		return Fail, words
	}
	return Fail, "refused" + l.firstFailed(": ", nil)
}

func (l *listening) identity() (Status, string) {
	l.stage = stageIdentity
	if l.until(l.o.Patience, func() bool { return false }); l.held == nil {
		l.end("no IKE_AUTH came")
		if x := l.last(wire.ExchangeIKESAInit); x != nil && x.RequestRepeats > 0 {
			return Fail, "IKE_SA_INIT was answered, and the peer asks the same again instead of going on: our answer does not reach it (answers from UDP port 500 are blocked on the way to it)"
		}
		return Fail, fmt.Sprintf("IKE_SA_INIT was answered, and no IKE_AUTH came within %s. The peer does not repeat its request, so that the answer reached it: either it gave up by itself "+
			"(no key or certificate for its identity, or no signature with a hash that is taken here: its log says so), or its IKE_AUTH is lost (UDP port 4500 or large packets are blocked on the way here)", l.o.Patience)
	}
	var fits, not []string
	for i := range l.checks {
		c := &l.checks[i]
		if c.Kind != event.CheckIdentity || !strings.HasPrefix(c.What, "ID") {
			continue
		}
		what, _, _ := strings.Cut(c.What, " for ")
		words := fmt.Sprintf("%s %s", what, c.Remote)
		if c.OK {
			fits = append(fits, words)
		} else {
			not = append(not, fmt.Sprintf("%s is %s there, and %s is wanted here", what, c.Remote, c.Local))
		}
	}
	if len(not) > 0 {
		return Fail, strings.Join(append(not, fits...), "; ")
	}
	return Pass, strings.Join(fits, ", ")
}

func (l *listening) authentication() (Status, string) {
	l.stage = stageProof
	l.until(l.o.Patience, func() bool { return false })
	l.stage = stageChild
	if words := l.firstFailed("", proofs); words != "" {
		return Fail, words
	}
	fits := l.proof()
	if fits == "" {
		return Skip, "the peer's proof was not looked at"
	}
	// The peer judges us only now: ask whether it still knows the SA.
	ctx, cancel := l.patient()
	defer cancel()
	was, answered := l.up(), false
	if was {
		p, err := l.engine.DPD(ctx, l.target.Connection, nil)
		answered = err == nil && p.Answered
	}
	l.settle()
	switch {
	case answered:
	case l.last(wire.ExchangeInformational) != nil:
		l.end("the peer does not authenticate us")
		return Fail, "the peer's proof is right, and it refuses ours: it ended the IKE SA at once"
	case was:
		l.end("the peer does not authenticate us")
		return Fail, "the peer's proof is right, and nothing came from it after our answer"
	default:
		return Pass, "the peer's " + fits + " is right"
	}
	l.established = true
	if sa, err := l.run.sa(ctx); err == nil && sa != nil && len(sa.Children) == 0 {
		l.childFailed = errNoFit // what is known of it belongs to the next step
	}
	return Pass, "by " + fits + ", on both sides"
}

var errNoFit = errors.New("the child does not fit")

// up says whether this side accepted the call.
func (l *listening) up() bool {
	ctx, cancel := l.patient()
	defer cancel()
	sa, err := l.run.sa(ctx)
	return err == nil && sa != nil && sa.State == engine.IKEEstablished
}

func (l *listening) child() (Status, string) {
	if l.established && l.childFailed == nil {
		status, words := l.run.child()
		if status == Pass {
			l.close() // the steps to come listen for themselves
			return status, words
		}
	}
	if !l.established {
		l.end("there is no tunnel")
	}
	l.childFailed = errNoFit
	l.settle()
	selectors, fit := l.selectors()
	esp := ""
	for i := range l.checks {
		if c := &l.checks[i]; c.Kind == event.CheckProposal && strings.HasPrefix(c.What, "ESP") && !c.OK {
			if esp = l.transforms("ESP"); esp == "" {
				esp = checkWords(c)
			}
		}
	}
	switch {
	case selectors == "" && esp == "":
		return Skip, "the peer asked for no child"
	case !fit && esp != "":
		return Fail, selectors + "; and the ESP proposals: " + esp
	case !fit:
		return Fail, selectors
	case esp != "":
		return Fail, "selectors fit; ESP proposals: " + esp
	}
	return Pass, "what it asks for would fit: " + selectors
}
