package ike

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// path is where an SA's datagrams go.
type path struct {
	local, remote netip.AddrPort
	marked        bool // on the NATT ports
}

// owner is what an SA needs of the Endpoint that holds it.
type owner interface {
	// ikeSPI and espSPI give SPIs that nobody of the Endpoint has.
	ikeSPI() wire.SPI
	espSPI() wire.ESPSPI
	// bindESP says whose child an ESP SPI is for; freeESP gives the SPI back.
	bindESP(wire.ESPSPI, *SA)
	freeESP(wire.ESPSPI)
	// siblings gives the other established IKE SAs between two identities.
	siblings(s *SA) []*SA
	// busy says that a new SA would be one too many.
	busy() bool
	// spareKeys are ephemeral keys that were made ahead.
	spareKeys() *suite.Spares
}

// SA is one IKE security association. See Step for its contract.
type SA struct {
	own       owner
	set       *Settings
	conn      *Connection
	choices   []*Connection // of a responder, until the peer has told who it is
	initiator bool          // this side sent the first message, or began the rekeying that made the SA
	state     engine.IKEState
	spiI      wire.SPI
	spiR      wire.SPI
	path      path

	natLocal, natRemote bool // a NAT is in front of this side, of the peer
	peerFragments       bool
	peerHashes          []wire.HashAlgorithm
	peerChildless       bool
	fragmentSize        int

	proposal wire.Proposal
	prf      suite.PRF
	keys     *suite.IKEKeys
	putOff   func() error // makes them, where IKE_SA_INIT was answered first; nil for nothing to do
	seal     *suite.IKECipher
	open     *suite.IKECipher

	ni, nr        []byte
	initRequest   []byte // the messages that AUTH covers (RFC 7296 2.15)
	initResponse  []byte
	localID       wire.ID
	remoteID      wire.ID
	authenticated bool

	out window
	in  received

	children []*child
	deleted  []wire.ESPSPI // unknown SPIs that the peer deleted while our own request is on its way
	rekey    ikeRekey

	timers      timers
	established time.Time
	heard       time.Time // last authentic message of the peer
	sent        time.Time // last datagram of ours
	dpd         engine.DPD
	attempts    map[string]int // consecutive retries, by the recovery they belong to
	why         string         // how it ended

	orders []order // from other SAs of this side
	now    time.Time
	res    *Output // of the step that runs
	over   bool    // an answer is going out after which the SA has ended
}

// Step takes one input at a time that never goes backwards. What comes out is
// valid until the next step. A datagram that is not authentic, or that is
// authentic and wrong, gives an Err; the state is then as the Err says, and
// unchanged where the datagram was not authentic.
func (s *SA) Step(now time.Time, in Input) Output {
	var out Output
	if s.ended() && s.timers == (timers{}) {
		out.Done = true
		return out
	}
	s.now, s.res = now, &out
	for _, do := range s.orders {
		do(s)
	}
	s.orders = nil
	switch {
	case in.Datagram != nil:
		s.datagram(in.Datagram)
	case in.Command != nil:
		s.command(in.Command)
	}
	s.tick()
	s.work()
	s.childTimer()
	out.Deadline = s.timers.next()
	out.Done = s.ended() && s.timers == (timers{})
	if out.Err != nil && s.ended() {
		out.Err.Survived = false
	}
	s.res = nil
	return out
}

// order is what one SA wants of another; it is carried out at the other's next
// step.
type order func(*SA)

// deleteSoon has the SA closed.
func (s *SA) deleteSoon(why string) {
	s.orders = append(s.orders, func(s *SA) { s.closeIKE(why, 0) })
}

// endSoon has the SA forgotten without a word to the peer.
func (s *SA) endSoon(why string) {
	s.orders = append(s.orders, func(s *SA) { s.end(engine.IKEDeleted, why, false) })
}

// Initiator says whether this side is the original initiator of the SA.
func (s *SA) Initiator() bool { return s.initiator }

// SPIs gives the SPIs of the initiator and the responder; the latter is 0 until
// it is known.
func (s *SA) SPIs() (initiator, responder wire.SPI) { return s.spiI, s.spiR }

// LocalSPI gives the SPI by which messages find this SA.
func (s *SA) LocalSPI() wire.SPI {
	if s.initiator {
		return s.spiI
	}
	return s.spiR
}

// State gives the SA's state.
func (s *SA) State() engine.IKEState { return s.state }

// Connection is what the SA was made from; for a responder nil until the peer
// has told who it is.
func (s *SA) Connection() *Connection { return s.conn }

// Deadline gives when the next tick is due, zero for never.
func (s *SA) Deadline() time.Time { return s.timers.next() }

// Timers gives the table of timers that run.
func (s *SA) Timers() []engine.Timer { return s.timers.table() }

// Why says how the SA ended, "" while it lives.
func (s *SA) Why() string { return s.why }

// ended says whether the SA has ended; it may linger to repeat its answers.
func (s *SA) ended() bool {
	return s.state == engine.IKEDeleted || s.state == engine.IKEFailed || s.state == engine.IKEDestroying
}

// active says whether the SA stands and is not replaced.
func (s *SA) active() bool { return s.state == engine.IKEEstablished || s.state == engine.IKERekeying }

// halfOpen says whether a responder still waits for the initiator's proof.
func (s *SA) halfOpen() bool { return !s.initiator && s.state == engine.IKEConnecting }

// start sets or stops a timer.
func (s *SA) start(t Timer, d time.Duration) { s.timers[t] = s.now.Add(d) }

func (s *SA) stop(t Timer) { s.timers[t] = time.Time{} }

// emit reports an event.
func (s *SA) emit(e event.Event) {
	e.Time = s.now
	s.res.Events = append(s.res.Events, e)
}

// note reports a fact.
func (s *SA) note(kind, child, format string, args ...any) {
	s.emit(event.Event{Step: &event.Step{SPIi: s.spiI, SPIr: s.spiR, Peer: s.path.remote.Addr(), Kind: kind, Child: child,
		Text: fmt.Sprintf(format, args...)}})
}

// fail records the error of a step: the first one counts.
func (s *SA) fail(f *Failure) *Failure {
	if s.res.Err == nil {
		s.res.Err = f
	}
	return f
}

// change reports that the SA, or one of its children, changed.
func (s *SA) change(kind event.ChangeKind, old *engine.IKESA, children ...*child) {
	s.emit(event.Event{Change: &event.Change{Kind: kind, SA: s.model(children), Old: old}})
}

// Model gives the SA in the words that all sources share, with its children.
func (s *SA) Model() *engine.IKESA { return s.model(s.children) }

func (s *SA) model(children []*child) *engine.IKESA {
	m := &engine.IKESA{
		Version: 2, State: s.state, InitiatorSPI: s.spiI, ResponderSPI: s.spiR,
		Local:     engine.Side{Host: s.path.local.Addr(), Port: s.path.local.Port()},
		Remote:    engine.Side{Host: s.path.remote.Addr(), Port: s.path.remote.Port()},
		Initiator: engine.Some(s.initiator), Established: s.established, Timers: s.timers.table(), DPD: s.dpd,
		NAT: engine.NAT{Local: engine.Some(s.natLocal), Remote: engine.Some(s.natRemote),
			Any: engine.Some(s.natLocal || s.natRemote)},
	}
	if s.localID.Type != 0 {
		m.Local.ID = s.localID.String()
	}
	if s.remoteID.Type != 0 {
		m.Remote.ID = s.remoteID.String()
	}
	m.DPD.LastHeard = s.heard
	if s.conn != nil {
		m.Name = s.conn.Name
		m.NAT.Fake = engine.Some(s.conn.ForceEncap)
		if s.conn.DPDDelay > 0 {
			m.DPD.Delay = engine.Some(s.conn.DPDDelay)
		}
	}
	if len(s.proposal.Transforms) > 0 {
		m.Suite = engine.SuiteOf(&s.proposal)
	}
	for _, t := range s.out.queue {
		m.TasksQueued = append(m.TasksQueued, t.name())
	}
	for _, r := range s.out.requests {
		m.TasksActive = append(m.TasksActive, r.task.name())
	}
	for _, c := range children {
		m.Children = append(m.Children, c.model(s))
	}
	return m
}

// command does what this side wants.
func (s *SA) command(c Command) {
	if s.ended() {
		s.fail(&Failure{Text: "the IKE SA has ended: " + s.why})
		return
	}
	switch c := c.(type) {
	case AddChild:
		s.addChild(c.Name)
	case RekeyChild:
		if ch := s.childCommand(c.SPI); ch != nil {
			s.queueChildRekey(ch)
		}
	case DeleteChild:
		if ch := s.childCommand(c.SPI); ch != nil {
			s.closeChild(ch, "by command")
		}
	case Expired:
		if ch := s.childCommand(c.SPI); ch != nil {
			if c.Hard {
				s.closeChild(ch, "its octets or packets are used up")
			} else {
				s.queueChildRekey(ch)
			}
		}
	case RekeyIKE:
		s.queueIKERekey()
	case DeleteIKE:
		s.closeIKE("by command", 0)
	case Probe:
		s.probe()
	case Heard:
		s.hear()
		if c.From.IsValid() {
			s.follow(path{local: s.path.local, remote: c.From, marked: s.path.marked})
		}
	}
}

// childCommand finds the child that a command is for.
func (s *SA) childCommand(spi wire.ESPSPI) *child {
	for _, c := range s.children {
		if c.in == spi {
			return c
		}
	}
	s.fail(&Failure{Text: fmt.Sprintf("no child SA with inbound SPI %s", spi), Survived: true})
	return nil
}

// HasChild says whether the SA has a CHILD SA of an inbound SPI.
func (s *SA) HasChild(in wire.ESPSPI) bool {
	for _, c := range s.children {
		if c.in == in {
			return true
		}
	}
	return false
}

// hear notes a sign of life.
func (s *SA) hear() {
	s.heard = s.now
	if s.conn != nil && s.conn.DPDDelay > 0 && s.active() {
		s.start(TimerDPD, s.conn.DPDDelay)
	}
}

// end ends the SA: its children go, and only answers are repeated for a while.
func (s *SA) end(state engine.IKEState, why string, linger bool) {
	if s.ended() {
		return
	}
	// One that another SA has replaced is gone, but not down: its successor goes
	// on.
	wasUp := !s.established.IsZero() && s.rekey.next == nil
	s.state, s.why = state, why
	children := s.children
	for _, c := range children {
		s.removeChild(c, engine.ChildDeleted)
	}
	s.out.abandon(s)
	s.timers = timers{}
	s.note("ended", "", "%s", why)
	if wasUp {
		s.change(event.IKEDown, nil)
	}
	if s.putOff = nil; s.keys != nil {
		s.keys.Wipe()
	}
	s.deleted, s.choices, s.initRequest, s.initResponse, s.in.parts = nil, nil, nil, nil, nil
	if linger && len(s.in.answers) > 0 {
		s.start(TimerDelete, s.set.Linger)
	} else {
		s.in.answers = nil
	}
}

// lost ends the SA because the peer does not answer, and does with its children
// what their configuration says.
func (s *SA) lost(why string) {
	again := s.revival(false)
	s.end(engine.IKEFailed, why, false)
	s.res.Again = append(s.res.Again, again...)
	s.fail(&Failure{Text: why, RFC: "RFC 7296 2.4"})
}

// revival lists what has to be done for the children of a peer that is lost, or
// that closes them with the IKE SA.
func (s *SA) revival(closed bool) []Again {
	var list []Again
	seen := map[string]bool{}
	for _, c := range s.children {
		action := c.cfg.DPDAction
		if closed {
			action = c.cfg.CloseAction
		}
		if action != ActionClear && !seen[c.cfg.Name] && !c.closing() {
			seen[c.cfg.Name] = true
			list = append(list, Again{Connection: s.conn, Child: c.cfg.Name, Action: action, Closed: closed})
		}
	}
	return list
}

// tick does what time asks for.
func (s *SA) tick() {
	if s.timers.due(TimerFragments, s.now) {
		s.lateFragments()
	}
	if s.timers.due(TimerDelete, s.now) {
		s.overdue()
	}
	if s.ended() {
		return
	}
	if s.timers.due(TimerHalfOpen, s.now) {
		f := s.refused(0, event.Check{Kind: event.CheckLimit, RFC: "RFC 7296 2.4", What: "IKE_AUTH of the initiator",
			Local: "within " + s.set.HalfOpen.String(), Remote: "none that proves it"}, fmt.Sprintf("the peer did not prove itself within %s", s.set.HalfOpen))
		s.end(engine.IKEFailed, f.Text, false)
		s.fail(f)
		return
	}
	if s.timers.due(TimerRetransmit, s.now) {
		s.retransmit()
	}
	if s.ended() {
		return
	}
	if s.timers.due(TimerExpire, s.now) {
		s.stop(TimerExpire)
		s.closeIKE("its lifetime is over", 0)
	}
	if s.timers.due(TimerRekey, s.now) {
		s.stop(TimerRekey)
		s.queueIKERekey()
	}
	if s.timers.due(TimerDPD, s.now) {
		s.start(TimerDPD, s.conn.DPDDelay)
		s.probe()
	}
	if s.timers.due(TimerKeepalive, s.now) {
		s.keepalive()
	}
	s.childTicks()
}

// overdue ends what should have been ended by the peer, or has lingered.
func (s *SA) overdue() {
	s.stop(TimerDelete)
	switch {
	case s.ended():
		s.in.answers = nil
	case s.keepSpareIKE():
	case s.state == engine.IKERekeyed:
		s.note("delete", "", "the peer did not delete the IKE SA that it replaced")
		s.closeIKE("replaced, and not deleted by the peer", 0)
	case s.state == engine.IKECreated:
		s.end(engine.IKEDestroying, "the SA of a lost collision, not deleted by the peer", false)
	}
}

// Waiting says in words what the SA waits for.
func (s *SA) Waiting() string {
	switch {
	case s.ended():
		return "nothing: it has ended, " + s.why
	case s.halfOpen():
		return fmt.Sprintf("the initiator's IKE_AUTH, until %s", clock(s.timers[TimerHalfOpen]))
	case len(s.out.requests) > 0:
		r := s.out.requests[0]
		return fmt.Sprintf("the answer to request %d, %s; sent %s, next at %s", r.id, r.task.name(),
			times(r.tries+1), clock(s.timers[TimerRetransmit]))
	case s.state == engine.IKERekeyed:
		return fmt.Sprintf("the peer to delete this IKE SA, which it has replaced, until %s", clock(s.timers[TimerDelete]))
	case s.state == engine.IKECreated:
		return "the end of a collision of two rekeyings"
	case len(s.out.queue) > 0:
		return fmt.Sprintf("%s to retry: %s", clock(s.timers[TimerRetry]), s.out.queue[0].name())
	}
	name, due := "", time.Time{}
	for n, t := range s.timers {
		if first := earlier(due, t); !first.Equal(due) || due.IsZero() && !t.IsZero() {
			name, due = Timer(n).String(), t
		}
	}
	if due.IsZero() {
		return "nothing but the peer"
	}
	return fmt.Sprintf("nothing but the peer; timer %s runs out at %s", name, clock(due))
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "no set time"
	}
	return t.UTC().Format("15:04:05.000")
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
