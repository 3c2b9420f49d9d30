package trace

import (
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Daemon is what a Trace knows of the daemon whose events it folds.
type Daemon struct {
	// Known says that the events come from a daemon at all.
	Known bool
	// Connected says that the daemon is there: false from a Gap on until the
	// next Table. While it is false every table is of the past.
	Connected bool
	// AsOf is the time of the last Table.
	AsOf time.Time
	// Alerts and Failures in order, bounded: the oldest go first.
	Alerts   []Alert
	Failures []Failure
	Steps    []Step
	// Checks are the comparisons of our own engine's that failed.
	Checks []Check
}

// Alert is a daemon's complaint.
type Alert struct {
	Time time.Time
	Type string
	SA   *IKESA // nil where it belongs to none
}

// Failure is a line of a daemon's log that tells a failure.
type Failure struct {
	Time time.Time
	SA   *IKESA // nil where it belongs to none
	IKE  string // connection, "" where not known
	Text string
	event.LogFailure
}

// EndVanished says that the daemon no longer has the SA and did not say why, or
// that the daemon was restarted.
const EndVanished Ending = "vanished"

const (
	maxFailures = 1000
	// missesUntilGone is how many Tables in a row an SA is missing from before
	// it counts as gone: a busy SA is left out of one.
	missesUntilGone = 2
)

// liveWork is the fold's state about an SA of a daemon.
type liveWork struct {
	live    bool // the daemon has it
	misses  int
	arrived *event.LogDatagram // received, its message not yet parsed
	at      time.Time
}

// addDaemon folds an event of a daemon in; Add calls it.
func (t *Trace) addDaemon(e *event.Event) {
	t.Daemon.Known = true
	switch {
	case e.Table != nil:
		t.addTable(e.Time, e.Table)
	case e.Change != nil:
		t.addChange(e.Time, e.Change)
	case e.Log != nil:
		t.addLog(e.Time, e.Log)
	case e.Alert != nil:
		a := Alert{Time: e.Time, Type: e.Alert.Type}
		if e.Alert.SA != nil {
			a.SA = t.know(e.Time, e.Alert.SA)
		}
		t.Daemon.Alerts = bounded(t.Daemon.Alerts, a)
	}
}

// bounded appends and lets the oldest go.
func bounded[T any](list []T, v T) []T {
	if len(list) >= maxFailures {
		list = slices.Delete(list, 0, len(list)-maxFailures+1)
	}
	return append(list, v)
}

// lose notes that the daemon is away: what is known of it is of the past.
func (t *Trace) lose(g *event.Gap) {
	if !g.Away {
		return
	}
	t.Daemon.Connected = false
	for _, sa := range t.byUnique {
		t.lost = append(t.lost, sa)
	}
	clear(t.byUnique)
}

func (t *Trace) addTable(at time.Time, table *event.Table) {
	if table.First {
		t.restart(at, table.SAs)
	}
	t.Daemon.Connected, t.Daemon.AsOf = true, at
	seen := make(map[*IKESA]bool, len(table.SAs))
	for _, from := range table.SAs {
		sa := t.know(at, from)
		seen[sa] = true
		sa.misses = 0
		sa.Children = cloneChildren(from.Children)
	}
	for _, sa := range t.byUnique {
		if sa.live && !seen[sa] {
			if sa.misses++; sa.misses >= missesUntilGone {
				t.gone(at, sa)
			}
		}
	}
}

// restart ends the SAs that a daemon had when it was lost and has no longer. It
// may have been restarted and count from 1 again: what it still has is known by
// its SPIs.
func (t *Trace) restart(at time.Time, sas []*engine.IKESA) {
	has := make(map[wire.SPI]bool, len(sas))
	for _, sa := range sas {
		has[sa.InitiatorSPI] = true
	}
	for _, sa := range t.lost {
		if sa.live && !has[sa.InitiatorSPI] {
			t.gone(at, sa)
		}
	}
	t.lost = nil
}

// gone ends an SA that the daemon no longer has.
func (t *Trace) gone(at time.Time, sa *IKESA) {
	sa.live = false
	if t.byUnique[sa.UniqueID] == sa {
		delete(t.byUnique, sa.UniqueID)
	}
	if sa.Ended != "" {
		return
	}
	sa.Ended, sa.EndedAt = EndVanished, at
	if sa.Established.IsZero() && sa.State != engine.IKEEstablished {
		sa.State, sa.Ended = engine.IKEFailed, EndFailed
		if n := len(sa.Exchanges); n > 0 && sa.Exchanges[n-1].Response == nil && sa.Exchanges[n-1].RequestRepeats > 0 {
			sa.Ended = EndNoAnswer
		}
		return
	}
	sa.State = engine.IKEDeleted
}

// know brings the trace's SA up to date with what the daemon says of it, all
// but its children, and makes one where there is none.
func (t *Trace) know(at time.Time, from *engine.IKESA) *IKESA {
	sa := t.byUnique[from.UniqueID]
	if sa == nil && from.InitiatorSPI != 0 {
		sa = t.findSA(&wire.Header{InitiatorSPI: from.InitiatorSPI, ResponderSPI: from.ResponderSPI})
	}
	if sa == nil {
		sa = t.newLive(at, from.UniqueID, from.Name)
	}
	if sa.InitiatorSPI != from.InitiatorSPI {
		// The SA was known from the log only, which tells no SPI.
		sa.collision = t.bySPI[from.InitiatorSPI]
		t.bySPI[from.InitiatorSPI] = sa
	}
	if a, b := from.Local.Host, from.Remote.Host; a.IsValid() && b.IsValid() && (sa.Local.Host != a || sa.Remote.Host != b) {
		t.reindex(sa, a, b)
	}
	// What the trace alone knows stays.
	dpd, children, established := sa.DPD, sa.Children, sa.Established
	sa.IKESA = *from
	sa.Children = children
	if from.DPD.Probes == 0 && from.DPD.LastHeard.IsZero() {
		// strongSwan tells its interval only.
		delay := from.DPD.Delay
		if sa.DPD = dpd; delay != (engine.Opt[time.Duration]{}) {
			sa.DPD.Delay = delay
		}
	}
	if sa.Established.IsZero() {
		sa.Established = established // told only while it is ESTABLISHED
	}
	sa.Timers = slices.Clone(from.Timers)
	sa.live, sa.Ended = true, ""
	sa.Last = at
	t.byUnique[from.UniqueID] = sa
	return sa
}

// newLive makes an SA of which the daemon has told a unique id.
func (t *Trace) newLive(at time.Time, id uint32, name string) *IKESA {
	if len(t.SAs) >= t.options.MaxSAs {
		t.forgetSAs()
	}
	sa := &IKESA{First: at, Last: at}
	sa.UniqueID, sa.Name, sa.Version, sa.State = id, name, 2, engine.IKEConnecting
	sa.live = true
	t.SAs = append(t.SAs, sa)
	t.byUnique[id] = sa
	return sa
}

func cloneChildren(from []*engine.ChildSA) []*engine.ChildSA {
	children := make([]*engine.ChildSA, len(from))
	for i, c := range from {
		clone := *c
		children[i] = &clone
	}
	return children
}

func (t *Trace) addChange(at time.Time, c *event.Change) {
	switch c.Kind {
	case event.IKEUp:
		t.know(at, c.SA)
	case event.IKEDown:
		sa := t.know(at, c.SA)
		sa.State, sa.Ended, sa.EndedAt = engine.IKEDeleted, EndDeleted, at
		for _, child := range sa.Children {
			child.State = engine.ChildDeleted
		}
		t.gone(at, sa)
	case event.IKERekey:
		old, sa := t.know(at, c.Old), t.know(at, c.SA)
		old.State, old.Ended, old.EndedAt = engine.IKERekeyed, EndRekeyed, at
		old.Successor, sa.Predecessor = sa, old
		if len(sa.Children) == 0 {
			sa.Children, old.Children = old.Children, nil // they move on
		}
	case event.IKEUpdate:
		t.relocate(at, c)
	case event.ChildUp, event.ChildDown, event.ChildRekey:
		t.changeChildren(at, c)
	}
}

// sameMove is within what time the message that came from a new address and the
// daemon's word of it tell of one move.
const sameMove = time.Second

// relocate notes an IKE SA's new addresses, unless a message has shown them.
func (t *Trace) relocate(at time.Time, c *event.Change) {
	sa := t.know(at, c.SA)
	us := sa.ours()
	for _, m := range []struct {
		by       Origin
		old, now engine.Side
	}{{us, c.Old.Local, c.SA.Local}, {other(us), c.Old.Remote, c.SA.Remote}} {
		from, to := m.old.AddrPort(), m.now.AddrPort()
		if from == to || len(sa.Moves) >= maxMoves || slices.ContainsFunc(sa.Moves, func(o Move) bool {
			return o.By == m.by && o.From == from && o.To == to && at.Sub(o.Time) < sameMove
		}) {
			continue
		}
		sa.Moves = append(sa.Moves, Move{Time: at, By: m.by, From: from, To: to})
	}
}

func (t *Trace) changeChildren(at time.Time, c *event.Change) {
	sa := t.know(at, c.SA)
	if c.Kind == event.ChildRekey && c.Old != nil {
		for _, old := range c.Old.Children {
			sa.putChild(old)
		}
	}
	for _, child := range c.SA.Children {
		put := sa.putChild(child)
		if c.Kind == event.ChildDown {
			put.State = engine.ChildDeleted
		}
	}
}

// putChild replaces the child of the same unique id, or the one that the packets
// have shown before the daemon told of it, or adds it.
func (sa *IKESA) putChild(from *engine.ChildSA) *engine.ChildSA {
	clone := *from
	for i, c := range sa.Children {
		if c.UniqueID == from.UniqueID || c.UniqueID == 0 && samePair(c, from) {
			sa.Children[i] = &clone
			return &clone
		}
	}
	sa.Children = append(sa.Children, &clone)
	return &clone
}

// samePair says that two views of a CHILD SA, perhaps of either end, have the
// same SPIs.
func samePair(a, b *engine.ChildSA) bool {
	aIn, aOut, bIn, bOut := a.SPIIn.Or(0), a.SPIOut.Or(0), b.SPIIn.Or(0), b.SPIOut.Or(0)
	return aIn != 0 && aOut != 0 && (aIn == bIn && aOut == bOut || aIn == bOut && aOut == bIn)
}

// ours says which side of an SA the daemon is.
func (sa *IKESA) ours() Origin {
	initiator, known := sa.IKESA.Initiator.Get()
	switch {
	case !known:
		return Nobody
	case initiator:
		return Initiator
	}
	return Responder
}

// forgetLive drops what points to forgotten SAs.
func (t *Trace) forgetLive(drop map[*IKESA]bool) {
	t.lost = slices.DeleteFunc(t.lost, func(sa *IKESA) bool { return drop[sa] })
	for id, sa := range t.byUnique {
		if drop[sa] {
			delete(t.byUnique, id)
		}
	}
	for i := range t.Daemon.Alerts {
		if drop[t.Daemon.Alerts[i].SA] {
			t.Daemon.Alerts[i].SA = nil
		}
	}
	for i := range t.Daemon.Failures {
		if drop[t.Daemon.Failures[i].SA] {
			t.Daemon.Failures[i].SA = nil
		}
	}
	for i := range t.Daemon.Steps {
		if drop[t.Daemon.Steps[i].SA] {
			t.Daemon.Steps[i].SA = nil
		}
	}
	for i := range t.Daemon.Checks {
		if drop[t.Daemon.Checks[i].SA] {
			t.Daemon.Checks[i].SA = nil
		}
	}
}
