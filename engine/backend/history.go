package backend

import (
	"sync"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/event"
)

// maxPast bounds how many connections and children a History remembers.
const maxPast = 100_000

// Past is what is remembered of a connection or child beyond its SAs of now.
type Past struct {
	LastUp   time.Time // when it last was up, zero where it never was seen up
	UpSince  time.Time // since when it is up now, as far as known; zero while down
	LastDown time.Time // when it was last seen going down
	Failure  *Failure  // the last one since it came up; nil where there is none
}

// Failure is the last failure of a connection or child.
type Failure struct {
	At   time.Time
	Kind string // as in event.LogFailure or event.Alert
	// Text is the daemon's own line. It may quote a peer: clean it before it
	// goes to a terminal.
	Text   string
	Notify string
	Local  bool // this side refused
	Count  int  // consecutive ones
}

// History folds events into what was last up and how things last failed. It is
// safe for concurrent use; a nil History knows nothing.
type History struct {
	mu   sync.Mutex
	past map[key]*Past
	// pending names the child that an IKE SA is being asked for, by unique id.
	pending map[uint32]string
	since   time.Time // of the first event
}

type key struct{ connection, child string }

// Since gives the time of the first event, zero where there was none.
func (h *History) Since() time.Time {
	if h == nil {
		return time.Time{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.since
}

// Of gives what is known of a connection, or of a child of it.
func (h *History) Of(connection, child string) Past {
	if h == nil {
		return Past{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.past[key{connection, child}]
	if p == nil {
		return Past{}
	}
	c := *p
	if p.Failure != nil {
		f := *p.Failure
		c.Failure = &f
	}
	return c
}

// Put sets what is known of a connection, or of a child of it, from a History
// elsewhere.
func (h *History) Put(connection, child string, p Past) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*h.of(connection, child) = p
}

// Add folds one event in. It copies what it keeps.
func (h *History) Add(e *event.Event) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.since.IsZero() {
		h.since = e.Time
	}
	switch {
	case e.Table != nil:
		h.table(e.Time, e.Table.SAs)
	case e.Change != nil:
		h.change(e.Time, e.Change)
	case e.Log != nil:
		h.log(e.Time, e.Log)
	case e.Alert != nil:
		h.alert(e.Time, e.Alert)
	}
}

func (h *History) of(connection, child string) *Past {
	k := key{connection, child}
	p := h.past[k]
	if p == nil {
		if h.past == nil {
			h.past = make(map[key]*Past)
		}
		if len(h.past) >= maxPast {
			return &Past{} // forgotten at once
		}
		p = &Past{}
		h.past[k] = p
	}
	return p
}

func (h *History) table(at time.Time, sas []*engine.IKESA) {
	seen := make(map[key]bool)
	for _, sa := range sas {
		if ikeUp(sa.State) {
			seen[key{sa.Name, ""}] = true
			h.up(at, sa.Name, "", sa.Established)
		}
		for _, c := range sa.Children {
			if childUp(c.State) {
				seen[key{sa.Name, c.Name}] = true
				h.up(at, sa.Name, c.Name, c.Installed)
			}
		}
	}
	for k, p := range h.past {
		if !seen[k] && !p.UpSince.IsZero() {
			p.UpSince, p.LastDown = time.Time{}, at
		}
	}
}

// up notes that something is up at a time; since is when it came up, where
// known.
func (h *History) up(at time.Time, connection, child string, since time.Time) {
	p := h.of(connection, child)
	if at.After(p.LastUp) {
		p.LastUp = at
	}
	if since.IsZero() {
		since = at
	}
	rose := p.UpSince.IsZero()
	if rose {
		p.UpSince = since
	}
	// A daemon tells ages in whole seconds: a failure that close to the start
	// of what was up already may well have come after it.
	if f := p.Failure; f != nil && (f.At.Before(since.Add(-time.Second)) || rose && !f.At.After(since)) {
		p.Failure = nil
	}
}

func (h *History) down(at time.Time, connection, child string) {
	p := h.of(connection, child)
	if !p.UpSince.IsZero() {
		p.LastUp = at
	}
	p.UpSince, p.LastDown = time.Time{}, at
}

func (h *History) change(at time.Time, c *event.Change) {
	switch c.Kind {
	case event.IKEUp:
		h.up(at, c.SA.Name, "", at)
	case event.IKEDown:
		h.down(at, c.SA.Name, "")
		for k, p := range h.past {
			if k.connection == c.SA.Name && !p.UpSince.IsZero() {
				h.down(at, k.connection, k.child)
			}
		}
	case event.ChildUp:
		for _, child := range c.SA.Children {
			h.up(at, c.SA.Name, child.Name, at)
		}
	case event.ChildDown:
		for _, child := range c.SA.Children {
			h.down(at, c.SA.Name, child.Name)
		}
	}
}

// aboutChild are the failures that leave the IKE SA alone.
var aboutChild = map[string]bool{
	"child-notify": true, "proposals-child": true, "ts-unacceptable": true, "mode-mismatch": true, "child-failed": true,
	"rekey-child": true, "child-duplicate": true, "cp-failed": true, "sa-install": true, "policy-install": true,
}

// maxPending bounds the children that are waited for.
const maxPending = 10_000

func (h *History) log(at time.Time, l *event.Log) {
	switch {
	case l.Step != nil && l.Step.Kind == "child-start" && l.IKEID != 0:
		if h.pending == nil || len(h.pending) >= maxPending {
			h.pending = make(map[uint32]string)
		}
		h.pending[l.IKEID] = l.Step.Detail["child"]
	case l.Established != nil && l.Established.Child:
		delete(h.pending, l.IKEID)
		h.up(at, l.IKE, l.Established.Name, at)
	case l.Established != nil:
		h.up(at, l.Established.Name, "", at)
	case l.Retransmit != nil && l.Retransmit.Kind == event.RetransmitGiveUp:
		h.failed(at, l, Failure{Kind: "no-response", Text: l.Text}, "")
	case l.Failure != nil:
		f := l.Failure
		h.failed(at, l, Failure{Kind: f.Kind, Text: l.Text, Notify: f.Notify, Local: f.Local}, f.Child)
	}
}

// failed notes a failure for the connection, the child that was wanted, or
// both.
func (h *History) failed(at time.Time, l *event.Log, f Failure, child string) {
	if child == "" {
		child = h.pending[l.IKEID]
	}
	if child != "" {
		h.fail(at, l.IKE, child, f)
	}
	if child == "" || !aboutChild[f.Kind] {
		h.fail(at, l.IKE, "", f)
	}
}

func (h *History) alert(at time.Time, a *event.Alert) {
	if a.SA != nil {
		h.fail(at, a.SA.Name, "", Failure{Kind: a.Type, Text: a.Type})
	}
}

// oneFailure is how long after a failure further lines are about the same one.
const oneFailure = time.Second

// fail keeps the first line that a failure is told in: the ones that follow
// only tell what comes of it.
func (h *History) fail(at time.Time, connection, child string, f Failure) {
	if connection == "" {
		return
	}
	p := h.of(connection, child)
	f.At, f.Count = at, 1
	if old := p.Failure; old != nil {
		if d := at.Sub(old.At); d >= 0 && d < oneFailure {
			return
		}
		f.Count = old.Count + 1
	}
	p.Failure = &f
}
