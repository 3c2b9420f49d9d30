package native

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// refused says that the engine could not do what was asked.
func refused(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), backend.ErrRefused)
}

// wanted finds the connection and child that a target of Up names. Without a
// connection, one connection must have a child of the name.
func (e *Engine) wanted(t backend.Target) (*ike.Connection, error) {
	if t.IKEID != 0 || t.ChildID != 0 || t.PeerIP != "" || t.PeerID != "" {
		return nil, unsupportedBy("bringing up by number or peer")
	}
	var found *ike.Connection
	for _, own := range e.configured() {
		c := own.Connection
		if t.IKE != "" && t.IKE != c.Name {
			continue
		}
		if t.Child != "" && !slices.ContainsFunc(c.Children, func(ch *ike.ChildConfig) bool { return ch.Name == t.Child }) {
			continue
		}
		if found != nil {
			return nil, refused("more than one connection has a child %q", t.Child)
		}
		found = c
	}
	if found == nil {
		return nil, refused("no connection %q with child %q", t.IKE, t.Child)
	}
	return found, nil
}

// attempt is the way of one IKE SA and one of its children to being up.
type attempt struct {
	e      *Engine
	sa     *ike.SA
	child  string // "" for the IKE SA alone
	asked  bool   // the child goes with the IKE SA, or was asked for since
	before bool   // check stops where the child has to be asked for
	why    error  // the last error of a step since
}

// check says whether the attempt is at its end, on the engine's goroutine.
func (a *attempt) check(o *ike.Output) (bool, error) {
	if o.Err != nil {
		a.why = o.Err
	}
	if over(a.sa) {
		if a.why == nil {
			a.why = fmt.Errorf("%s", a.sa.Why())
		}
		return false, refused("IKE SA of %s: %s", a.sa.Connection().Name, a.why)
	}
	if a.sa.State() == engine.IKERekeyed {
		if s := a.e.standing(a.sa.Connection().Name); s != nil {
			a.sa = s
		}
	}
	m := a.sa.Model()
	switch {
	case m.State == engine.IKEConnecting || m.State == engine.IKECreated:
		return false, nil
	case a.child == "":
		return true, nil
	}
	for _, c := range m.Children {
		if c.Name == a.child && (c.State == engine.ChildInstalled || c.State == engine.ChildRekeying) {
			return true, nil
		}
	}
	task := "child " + a.child
	if slices.Contains(m.TasksQueued, task) || slices.Contains(m.TasksActive, task) {
		return false, nil
	}
	if !a.asked {
		return a.before, nil
	}
	if a.why == nil {
		a.why = fmt.Errorf("the peer did not set it up")
	}
	return false, refused("child %s of %s: %s", a.child, a.sa.Connection().Name, a.why)
}

// standing gives the IKE SA of a connection that stands or is on its way, nil
// where there is none.
func (e *Engine) standing(connection string) *ike.SA {
	for _, s := range e.endpoint.SAs() {
		if own := s.Connection(); own == nil || own.Name != connection || over(s) {
			continue
		}
		switch s.State() {
		case engine.IKEDeleting, engine.IKERekeyed, engine.IKECreated:
			continue
		}
		return s
	}
	return nil
}

// begin takes the IKE SA of a connection that stands or is on its way, or
// begins one.
func (a *attempt) begin(now time.Time, c *ike.Connection) (ike.Output, error) {
	e := a.e
	if a.sa = e.standing(c.Name); a.sa != nil {
		return ike.Output{}, nil
	}
	if now := e.find(c.Name); now == nil || now.Connection != c {
		return ike.Output{}, fmt.Errorf("it was unloaded or replaced meanwhile")
	}
	// A connection must not change while the endpoint has it; so it gets one
	// that asks for this child alone.
	e.endpoint.Drop(c.Name)
	if err := e.endpoint.Add(only(c, a.child)); err != nil {
		return ike.Output{}, err
	}
	a.asked = a.child != ""
	var out ike.Output
	var err error
	if a.sa, out, err = e.endpoint.Initiate(now, c.Name, c.Local); err == nil {
		e.ids.number(a.sa.Model()) // what fails at once is in no listing
	}
	return out, err
}

// Up brings a child, or with no child an IKE SA with its children that start by
// themselves, up and waits for it.
func (e *Engine) Up(ctx context.Context, t backend.Target, o backend.UpOptions, progress backend.Progress) error {
	c, err := e.wanted(t)
	if err != nil {
		return err
	}
	if o.NoWait {
		e.work.Go(func() {
			_ = e.up(e.run, c, t.Child, nil) // what goes wrong is told by the events
		})
		return nil
	}
	return e.up(ctx, c, t.Child, progress)
}

func (e *Engine) up(ctx context.Context, c *ike.Connection, child string, progress backend.Progress) error {
	a := &attempt{e: e, child: child, before: true}
	var failed error
	err := e.await(ctx, func(now time.Time) ike.Output {
		var out ike.Output
		if e.leaving {
			failed = fmt.Errorf("%w: the engine is ending", backend.ErrUnreachable)
		} else {
			out, failed = a.begin(now, c)
		}
		return out
	}, func(o *ike.Output) (bool, error) {
		if failed != nil {
			return false, refused("connection %s: %s", c.Name, failed)
		}
		return a.check(o)
	}, progress)
	if err != nil || child == "" || a.asked {
		return err
	}
	// The IKE SA stands: ask for the child, unless it stands too.
	a.before = false
	return e.await(ctx, func(now time.Time) ike.Output {
		a.asked = true
		return e.endpoint.Command(now, a.sa, ike.AddChild{Name: child})
	}, a.check, progress)
}

// picked is what a target names among the SAs.
type picked struct {
	sa    *ike.SA
	child wire.ESPSPI // 0 for the IKE SA
}

// pick gives what a target names, on the engine's goroutine.
func (e *Engine) pick(t backend.Target) []picked {
	var list []picked
	for _, s := range e.endpoint.SAs() {
		if over(s) || s.State() == engine.IKERekeyed {
			continue
		}
		m := s.Model()
		e.ids.number(m)
		if t.IKE != "" && t.IKE != m.Name || t.IKEID != 0 && t.IKEID != m.UniqueID {
			continue
		}
		if t.Child == "" && t.ChildID == 0 {
			if t.IKE != "" || t.IKEID != 0 {
				list = append(list, picked{sa: s})
			}
			continue
		}
		for _, c := range m.Children {
			if c.State == engine.ChildRekeyed || t.Child != "" && t.Child != c.Name || t.ChildID != 0 && t.ChildID != c.UniqueID {
				continue
			}
			list = append(list, picked{sa: s, child: c.SPIIn.Or(0)})
		}
	}
	return list
}

// name says what a target is, for an error.
func name(t backend.Target) string {
	var words []string
	for _, w := range []struct{ what, name string }{{"connection", t.IKE}, {"child", t.Child}} {
		if w.name != "" {
			words = append(words, fmt.Sprintf("%s %q", w.what, w.name))
		}
	}
	for _, w := range []struct {
		what string
		id   uint32
	}{{"IKE SA", t.IKEID}, {"child SA", t.ChildID}} {
		if w.id != 0 {
			words = append(words, fmt.Sprintf("%s number %d", w.what, w.id))
		}
	}
	if len(words) == 0 {
		return "an empty target"
	}
	return strings.Join(words, ", ")
}

// Down takes matching SAs down and waits for it.
func (e *Engine) Down(ctx context.Context, t backend.Target, o backend.DownOptions, progress backend.Progress) error {
	var list []picked
	given := e.wishes.drop(t)
	return e.await(ctx, func(now time.Time) ike.Output {
		var all ike.Output
		list = e.pick(t)
		for _, p := range list {
			var c ike.Command = ike.DeleteIKE{}
			if p.child != 0 {
				c = ike.DeleteChild{SPI: p.child}
			}
			merge(&all, e.endpoint.Command(now, p.sa, c))
		}
		return all
	}, func(*ike.Output) (bool, error) {
		if len(list) == 0 && given == 0 {
			return false, refused("no SA of %s", name(t))
		}
		for _, p := range list {
			if !o.NoWait && !o.Force && !over(p.sa) && (p.child == 0 || p.sa.HasChild(p.child)) {
				return false, nil
			}
		}
		return true, nil
	}, progress)
}

// Rekey starts the rekeying of matching SAs and gives their number.
func (e *Engine) Rekey(ctx context.Context, t backend.Target, o backend.RekeyOptions) (int, error) {
	if o.Reauth {
		return 0, unsupportedBy("reauthentication")
	}
	n := 0
	err := e.do(ctx, func(now time.Time) ike.Output {
		var all ike.Output
		for _, p := range e.pick(t) {
			if p.sa.State() != engine.IKEEstablished {
				continue
			}
			var c ike.Command = ike.RekeyIKE{}
			if p.child != 0 {
				c = ike.RekeyChild{SPI: p.child}
			}
			merge(&all, e.endpoint.Command(now, p.sa, c))
			n++
		}
		return all
	})
	if err == nil && n == 0 {
		err = refused("no SA of %s to rekey", name(t))
	}
	return n, err
}

// DPD asks the peer of a connection for a sign of life and waits for it.
func (e *Engine) DPD(ctx context.Context, connection string, progress backend.Progress) (backend.Probe, error) {
	var probe backend.Probe
	var sa *ike.SA
	var before int
	err := e.await(ctx, func(now time.Time) ike.Output {
		probe.Sent = now
		for _, p := range e.pick(backend.Target{IKE: connection}) {
			if s := p.sa.State(); s == engine.IKEEstablished || s == engine.IKERekeying {
				sa = p.sa
				before = sa.Model().DPD.Answered
				return e.endpoint.Command(now, sa, ike.Probe{})
			}
		}
		return ike.Output{}
	}, func(o *ike.Output) (bool, error) {
		if sa == nil {
			return false, refused("connection %q has no IKE SA", connection)
		}
		i, r := sa.SPIs()
		for k := range o.Events {
			if s := o.Events[k].Step; s != nil && s.Kind == "retransmit" && s.SPIi == i && s.SPIr == r {
				probe.Retransmissions++
			}
		}
		m := sa.Model()
		switch {
		case m.DPD.Answered > before:
			probe.Answered, probe.RTT = true, m.DPD.RTT
			return true, nil
		case over(sa):
			return true, nil
		case m.DPD.LastHeard.After(probe.Sent) && len(m.TasksActive) == 0:
			probe.Answered = true // another request of ours asked for it already
			return true, nil
		}
		return false, nil
	}, progress)
	return probe, err
}
