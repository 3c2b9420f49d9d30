package vici

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	govici "github.com/strongswan/govici/vici"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
)

// Times of the event stream.
const (
	defaultEvery  = time.Second
	defaultBuffer = 8192
	pollTimeout   = 10 * time.Second // a daemon that takes longer to list its SAs is as good as away
	connectWait   = 5 * time.Second  // for a connection and its subscriptions
	minBackOff    = 50 * time.Millisecond
	maxBackOff    = time.Second
)

// subscriptions are the events of the stream.
var subscriptions = []string{"ike-updown", "ike-rekey", "ike-update", "child-updown", "child-rekey"}

// hasAlerts says whether a daemon has the event alert. Versions before 6.0.3
// would complain of the question in their log.
func hasAlerts(version string) bool {
	var major, minor, patch int
	n, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch)
	if err != nil && n < 2 {
		return false
	}
	return major > 6 || major == 6 && (minor > 0 || patch >= 3)
}

// Events yields what happens until ctx ends.
func (c *Client) Events(ctx context.Context, o backend.EventOptions) iter.Seq2[*event.Event, error] {
	if o.Every == 0 {
		o.Every = defaultEvery
	}
	if o.Buffer <= 0 {
		o.Buffer = defaultBuffer
	}
	return func(yield func(*event.Event, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(c.closed, cancel)
		w := &watch{client: c, options: o, ring: newRing(o.Buffer)}
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.run(ctx)
			w.ring.close()
		}()
		defer func() {
			stop()
			cancel()
			<-done
		}()
		for {
			e, ok := w.ring.next()
			if !ok {
				break
			}
			if !yield(e, nil) {
				return
			}
		}
		if w.err != nil {
			yield(nil, w.err)
		}
	}
}

// watch follows one daemon through its restarts.
type watch struct {
	client  *Client
	options backend.EventOptions
	ring    *ring
	err     error // why it never began; read after run

	// Of what the daemon remembered when it was reached: the last number, which
	// nothing that follows may repeat; and the time of the last event of all,
	// for when it is lost and reached again.
	recalled uint64
	last     time.Time
}

func (w *watch) push(e *event.Event) {
	if e.Number > 0 {
		w.last = e.Time
	}
	w.client.history.Add(e)
	w.ring.push(e)
}

// recall hands on what the daemon remembers, but for what came already.
func (w *watch) recall(ctx context.Context) error {
	w.recalled = 0
	if !w.options.Past {
		return nil
	}
	all, err := w.client.Recall(ctx, w.last)
	if err != nil {
		return err
	}
	before := w.last
	for _, e := range all {
		w.recalled = e.Number
		if e.Time.After(before) && !(w.options.NoLog && e.Log != nil) {
			w.push(e)
		}
	}
	return nil
}

// run connects, follows, and connects again, until ctx ends.
func (w *watch) run(ctx context.Context) {
	wait := minBackOff
	for began := false; !over(ctx); {
		s, err := w.connect(ctx)
		if err != nil {
			w.client.heard(err)
			if !began {
				if !over(ctx) {
					w.err = err
				}
				return
			}
			pause(ctx, wait)
			wait = min(2*wait, maxBackOff)
			continue
		}
		began, wait = true, minBackOff
		err = w.follow(ctx, s)
		if !over(ctx) {
			w.client.heard(err)
			w.push(&event.Event{Time: time.Now(), Gap: &event.Gap{Away: true, What: "the daemon is away: " + err.Error()}})
		}
	}
}

// over says whether a context has ended. A connection that has its deadline may
// fail by it a moment before the context knows: the daemon is not to blame.
func over(ctx context.Context) bool {
	due, limited := ctx.Deadline()
	return ctx.Err() != nil || limited && !time.Now().Before(due)
}

// connect opens a session and subscribes.
func (w *watch) connect(ctx context.Context) (*session, error) {
	s, err := open(ctx, w.client.addr, "subscribe")
	if err != nil {
		return nil, err
	}
	timer := time.AfterFunc(connectWait, func() { _ = s.guard.Close() }) // no answer is an answer too
	defer timer.Stop()
	if w.client.addr.Engine {
		switch err := s.subscribe(packet.EventName); {
		case err == nil: // it tells everything
			if err := w.recall(ctx); err != nil {
				s.close()
				return nil, err
			}
			return s, nil
		case !errors.Is(err, backend.ErrUnsupported):
			s.close()
			return nil, err
		}
	}
	version, err := s.call("version", nil)
	if err != nil {
		s.close()
		return nil, err
	}
	names := slices.Clone(subscriptions)
	if hasAlerts(version.text("version")) {
		names = append(names, "alert")
	}
	if !w.options.NoLog {
		names = append(names, "log")
	}
	for _, name := range names {
		err := s.subscribe(name)
		if err != nil && !errors.Is(err, backend.ErrUnsupported) {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// follow hands on what a session tells until it ends, and says why it did.
func (w *watch) follow(ctx context.Context, s *session) error {
	ctx, cancel := context.WithCancel(ctx)
	polled := make(chan error, 1)
	go func() { polled <- w.poll(ctx) }()
	err := w.drain(s, polled)
	cancel()
	s.close()
	return err
}

// drain reads events until the session ends or polling fails. It returns only
// after polling has ended, or when that was what ended.
func (w *watch) drain(s *session, polled <-chan error) error {
	for {
		select {
		case e, ok := <-s.events:
			if !ok {
				cause := s.guard.cause()
				if cause == nil {
					cause = s.ctx.Err()
				}
				return classify(s.ctx, "events", s.addr, cause, cause)
			}
			s.guard.wake()
			if out := w.convert(e); out != nil {
				w.push(out)
			}
		case err := <-polled:
			if err != nil {
				return err
			}
			polled = nil // the context has ended; the session's end follows
		}
	}
}

// poll lists the SAs at once and then again and again.
func (w *watch) poll(ctx context.Context) error {
	var tick <-chan time.Time
	if w.options.Every > 0 {
		t := time.NewTicker(w.options.Every)
		defer t.Stop()
		tick = t.C
	}
	for first := true; ; first = false {
		limited, cancel := context.WithTimeout(ctx, pollTimeout)
		at := time.Now()
		sas, err := w.client.SAs(limited, backend.Filter{})
		cancel()
		if over(ctx) {
			return nil
		}
		if err != nil {
			return err
		}
		w.push(&event.Event{Time: at, Table: &event.Table{SAs: sas, First: first}})
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
		}
	}
}

// convert makes an event of what charon tells; nil for what tells nothing.
func (w *watch) convert(e govici.Event) *event.Event {
	s, at := section{e.Message}, e.Timestamp
	switch e.Name {
	case packet.EventName:
		out := exactEvent(s)
		if out == nil || w.options.NoLog && out.Log != nil || out.Number > 0 && out.Number <= w.recalled {
			return nil
		}
		return out
	case "log":
		return logEvent(s, at, false)
	}
	name, sub := only(s)
	if e.Name == "alert" {
		a := &event.Alert{Type: s.text("type")}
		if inner, m := only(s.sub("ike-sa")); m.m != nil {
			a.SA = ikeSA(inner, m, at)
		}
		return &event.Event{Time: at, Alert: a}
	}
	if sub.m == nil {
		return nil
	}
	c := &event.Change{}
	switch e.Name {
	case "ike-updown":
		c.Kind, c.SA = event.IKEDown, ikeSA(name, sub, at)
		if s.yes("up") {
			c.Kind = event.IKEUp
		}
	case "ike-rekey":
		c.Kind, c.SA, c.Old = event.IKERekey, ikeSA(name, sub.sub("new"), at), ikeSA(name, sub.sub("old"), at)
	case "ike-update":
		// The section is the SA before; the new addresses stand beside it.
		c.Kind, c.SA, c.Old = event.IKEUpdate, ikeSA(name, sub, at), ikeSA(name, sub, at)
		local, remote := side(s, "local"), side(s, "remote")
		c.SA.Local.Host, c.SA.Local.Port = local.Host, local.Port
		c.SA.Remote.Host, c.SA.Remote.Port = remote.Host, remote.Port
	case "child-updown":
		c.Kind, c.SA = event.ChildDown, ikeSA(name, sub, at)
		if s.yes("up") {
			c.Kind = event.ChildUp
		}
	case "child-rekey":
		c.Kind, c.SA, c.Old = event.ChildRekey, ikeSA(name, sub, at), ikeSA(name, sub, at)
		c.SA.Children, c.Old.Children = nil, nil
		sub.sub("child-sas").each(func(key string, child section) {
			c.SA.Children = append(c.SA.Children, childSA(key, child.sub("new"), at))
			c.Old.Children = append(c.Old.Children, childSA(key, child.sub("old"), at))
		})
	default:
		return nil
	}
	return &event.Event{Time: at, Change: c}
}

// only gives the one sub-section of an event that names an IKE SA.
func only(s section) (string, section) {
	var name string
	var sub section
	s.each(func(n string, m section) {
		if sub.m == nil {
			name, sub = n, m
		}
	})
	return name, sub
}

// clockGrain is how exactly log lines are timed: they are stamped when they
// arrive, and arrive in batches.
const clockGrain = time.Millisecond

// rtt gives a round trip, absent where the log is too coarse to tell it.
func rtt(sent, answered time.Time) engine.Opt[time.Duration] {
	d := answered.Sub(sent)
	if d < clockGrain {
		return engine.Opt[time.Duration]{}
	}
	return engine.Some(d)
}

// pause waits, or less where ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// gapOf tells a reader how many events it has missed.
func gapOf(n uint64) *event.Event {
	return &event.Event{Time: time.Now(), Gap: &event.Gap{
		What: fmt.Sprintf("%d events were dropped: they came faster than they were read", n), Dropped: n,
	}}
}
