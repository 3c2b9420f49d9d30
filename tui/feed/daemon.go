package feed

import (
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Daemon is what the screen knows of a daemon beside the tables.
type Daemon struct {
	Version     engine.Version
	Connections []*engine.Connection // in the daemon's order; nobody writes them
	Away        time.Time            // since when it is lost, zero while it is there
	Why         string               // it was lost
	Listed      time.Time            // when it last listed its SAs, zero before it did
	History     *backend.History     // what was last up, and how things last failed
	rates       map[rateKey]*Rates
	generation  uint32
	byName      map[string]*engine.Connection
}

// rateSamples is how many samples of a CHILD SA's traffic are kept.
const rateSamples = 32

// Rates are the newest samples of a CHILD SA's traffic, oldest first, in
// octets a second.
type Rates struct {
	In, Out    [rateSamples]int64
	in, out    uint64 // counters at the last sample
	at         time.Time
	known      bool
	generation uint32
}

// rateKey is a CHILD SA: unique ids begin anew when a daemon does.
type rateKey struct {
	id  uint32
	spi uint32
}

func keyOf(c *engine.ChildSA) rateKey { return rateKey{c.UniqueID, uint32(c.SPIIn.Or(0))} }

// Rates gives the traffic of a CHILD SA, nil where none was measured.
func (d *Daemon) Rates(c *engine.ChildSA) *Rates {
	if d == nil {
		return nil
	}
	return d.rates[keyOf(c)]
}

// measure takes a sample of every CHILD SA of a table, and forgets those that
// were missing from two tables in a row: a busy SA is left out of one.
func (d *Daemon) measure(at time.Time, sas []*engine.IKESA) {
	d.generation++
	for _, sa := range sas {
		for _, c := range sa.Children {
			in, knowsIn := c.BytesIn.Get()
			out, knowsOut := c.BytesOut.Get()
			if !knowsIn || !knowsOut {
				continue
			}
			k := keyOf(c)
			r := d.rates[k]
			if r == nil {
				r = &Rates{}
				d.rates[k] = r
			}
			r.sample(at, in, out)
			r.generation = d.generation
		}
	}
	for k, r := range d.rates {
		if d.generation-r.generation > 2 {
			delete(d.rates, k)
		}
	}
}

func (r *Rates) sample(at time.Time, in, out uint64) {
	if elapsed := at.Sub(r.at).Seconds(); r.known && elapsed > 0 {
		push(&r.In, perSecond(r.in, in, elapsed))
		push(&r.Out, perSecond(r.out, out, elapsed))
	}
	r.in, r.out, r.at, r.known = in, out, at, true
}

func push(list *[rateSamples]int64, v int64) {
	copy(list[:], list[1:])
	list[rateSamples-1] = v
}

// perSecond gives a rate; a counter that went back began anew.
func perSecond(before, now uint64, elapsed float64) int64 {
	if now < before {
		return 0
	}
	return int64(float64(now-before) / elapsed)
}

// inherit lets the successor of a rekeyed CHILD SA go on with its samples.
func (d *Daemon) inherit(c *event.Change) {
	if c.Kind != event.ChildRekey || c.Old == nil {
		return
	}
	for i := range min(len(c.SA.Children), len(c.Old.Children)) {
		old, now := d.rates[keyOf(c.Old.Children[i])], keyOf(c.SA.Children[i])
		if old != nil && d.rates[now] == nil {
			d.rates[now] = &Rates{In: old.In, Out: old.Out, generation: d.generation}
		}
	}
}

// Line is one line of what happened: a change, an alert, a line of the
// daemon's log.
type Line struct {
	Number    int64 // counts from 1
	Time      time.Time
	Kind      string // log, change, alert, source
	Group     string // of the log, "" for others
	Level     int    // of the log, 0 for others
	IKE       string // connection, "" where not known
	IKEID     uint32
	Text      string // not cleaned
	Mood      Mood
	SPIi      wire.SPI // of the IKE SA, where the source tells it
	SPIr      wire.SPI
	Exchange  bool // the line is about the message MessageID
	MessageID uint32
}

// Mood says how a Line is meant.
type Mood uint8

// The moods.
const (
	Neutral Mood = iota
	Glad
	Worried
	Upset
)

// LogList is the newest lines, in the order in which they came.
type LogList interface {
	Len() int
	At(i int) Line
	// Forgotten is how many lines came before the first of the list.
	Forgotten() int64
}

// maxText bounds the text of a line, in octets.
const maxText = 2000

// lineOf makes the line of an event, false for none.
func (s *Store) lineOf(e *event.Event) (Line, bool) {
	l := Line{Time: e.Time}
	switch {
	case e.Log != nil:
		l.log(e.Log)
		l.mood(e.Log)
	case e.Change != nil:
		l.Kind, l.IKE, l.IKEID = "change", e.Change.SA.Name, e.Change.SA.UniqueID
		l.Text, l.Mood = changeWords(e.Change)
	case e.Alert != nil:
		l.Kind, l.Text, l.Mood = "alert", "alert: "+e.Alert.Type, Upset
		if e.Alert.SA != nil {
			l.IKE, l.IKEID = e.Alert.SA.Name, e.Alert.SA.UniqueID
		}
	case e.Gap != nil:
		l.Kind, l.Text, l.Mood = "source", e.Gap.What, Worried
		if e.Gap.Away {
			l.Mood = Upset
		}
	case e.Table != nil && e.Table.First:
		l.Kind, l.Text, l.Mood = "source", "following the daemon", Glad
		if s.reached {
			l.Text = "the daemon is back"
		}
	case e.Check != nil && !e.Check.OK, e.Step != nil, e.Packet != nil && e.Packet.IKE != nil, e.ICMP != nil, e.Loss != nil:
		// Comparisons that held are the normal case.
		l.log(event.Line(e))
		l.engine(e)
	default:
		return l, false
	}
	l.Text = strings.Clone(l.Text[:min(len(l.Text), maxText)])
	return l, true
}

func (l *Line) log(e *event.Log) {
	l.Kind, l.Group, l.Level, l.IKE, l.IKEID, l.Text, l.SPIi, l.SPIr = "log", e.Group, e.Level, e.IKE, e.IKEID, e.Text, e.SPIi, e.SPIr
}

// badSteps are what our own engine does where something is wrong.
var badSteps = map[string]Mood{"retransmit": Worried, "retry": Worried, "recovery": Worried, "collision": Worried, "limit": Worried, "give-up": Upset}

// engine says how what our own engine tells is meant, and which message it is.
func (l *Line) engine(e *event.Event) {
	switch {
	case e.Check != nil, e.ICMP != nil, e.Loss != nil:
		l.Mood = Worried
	case e.Step != nil:
		l.Mood = badSteps[e.Step.Kind]
	case e.Packet.IKE.Message != nil:
		l.Exchange, l.MessageID = true, e.Packet.IKE.Message.MessageID
		if troubled(e.Packet) {
			l.Mood = Worried
		}
	}
}

func (l *Line) mood(e *event.Log) {
	switch {
	case e.Failure != nil:
		l.Mood = Upset
	case e.Retransmit != nil:
		l.Mood, l.Exchange, l.MessageID = Worried, e.Retransmit.Known, e.Retransmit.MessageID
		if e.Retransmit.Kind == event.RetransmitGiveUp {
			l.Mood = Upset
		}
	case e.Established != nil:
		l.Mood = Glad
	case e.Message != nil:
		l.Exchange, l.MessageID = true, e.Message.MessageID
	}
}

func changeWords(c *event.Change) (string, Mood) {
	child := ""
	for _, k := range c.SA.Children {
		child += " " + k.Name
		if len(k.LocalTS) > 0 && len(k.RemoteTS) > 0 {
			child += " " + strings.Join(k.LocalTS, ",") + " = " + strings.Join(k.RemoteTS, ",")
		}
	}
	switch c.Kind {
	case event.IKEUp:
		return "IKE SA up with " + c.SA.Remote.AddrPort().String() + " " + c.SA.Remote.ID, Glad
	case event.IKEDown:
		return "IKE SA down", Worried
	case event.IKERekey:
		return "IKE SA rekeyed", Neutral
	case event.IKEUpdate:
		return "IKE SA moved to " + c.SA.Local.AddrPort().String() + " and " + c.SA.Remote.AddrPort().String(), Worried
	case event.ChildUp:
		return "child SA up:" + child, Glad
	case event.ChildDown:
		return "child SA down:" + child, Worried
	case event.ChildRekey:
		return "child SA rekeyed:" + child, Neutral
	}
	return string(c.Kind), Neutral
}

// SetConfiguration says what the daemon is and what is configured there. Any
// goroutine may call it; nobody may write to the connections afterwards.
func (s *Store) SetConfiguration(v engine.Version, connections []*engine.Connection) {
	byName := make(map[string]*engine.Connection, len(connections))
	for _, c := range connections {
		byName[c.Name] = c
	}
	s.mu.Lock()
	s.daemon.Version, s.daemon.Connections, s.daemon.byName = v, connections, byName
	s.mu.Unlock()
	s.version.Add(1)
}

// fold takes an event of a daemon into what is beside the tables. The caller
// holds the lock.
func (s *Store) fold(e *event.Event) {
	d := s.daemon
	d.History.Add(e)
	switch {
	case e.Table != nil:
		if e.Table.First {
			s.reached = true
		}
		d.Away, d.Why, d.Listed = time.Time{}, "", e.Time
		d.measure(e.Time, e.Table.SAs)
	case e.Change != nil:
		d.inherit(e.Change)
	case e.Gap != nil && e.Gap.Away:
		if d.Away.IsZero() {
			d.Away = e.Time
		}
		d.Why = e.Gap.What
	}
}

// Connection gives a configured connection by name, nil where there is none.
func (d *Daemon) Connection(name string) *engine.Connection {
	if d == nil {
		return nil
	}
	return d.byName[name]
}
