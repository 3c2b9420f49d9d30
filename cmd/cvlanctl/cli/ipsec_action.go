package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/vici"
)

// action is a command that acts on a daemon: it shows what happens and says at
// the end how it went.
type action struct {
	app    *App
	doc    doc.Action
	begin  time.Time
	ladder *liveLadder // nil where the output is for programs
	trace  *trace.Trace
	failed []*event.Event // that tell a failure
	before []diag.Finding // what was wrong already
	offers event.LogProposals
	quiet  int                       // requests repeated without an answer since the last one
	own    func(netip.AddrPort) bool // of our own engine: which addresses are ours
	err    error
}

// maxActionEvents bounds what the document of an action keeps.
const maxActionEvents = 20_000

func newAction(app *App, source, name string) *action {
	a := &action{app: app, begin: time.Now(), trace: trace.New(trace.Options{})}
	a.doc = doc.NewAction(source, name, a.begin)
	if app.Output.Text() {
		a.ladder = &liveLadder{w: app.Term.Out, term: app.Term, begin: a.begin, all: app.Output == print.Wide}
	}
	return a
}

// begin begins an action on a connection or a child of a daemon, and gives what
// the name means.
func (a *App) begin(ctx context.Context, c *vici.Client, verb, name string) (*action, *target, error) {
	s, err := c.Snapshot(ctx)
	if err != nil {
		return nil, nil, err
	}
	t, err := find(s, name)
	if err != nil {
		return nil, nil, err
	}
	begun := newAction(a, c.Source(), verb)
	begun.doc.Connection, begun.doc.Child = t.connection, t.child
	begun.begins(s)
	if c.Addr().Engine {
		begun.ofEngine(s)
	}
	return begun, t, nil
}

// ofEngine has the messages drawn of our own engine in another process: it
// speaks from the addresses and the port of its connections.
func (a *action) ofEngine(s *backend.Snapshot) {
	local, remote := map[string]uint16{}, map[string]bool{}
	for _, c := range s.Connections {
		for _, addr := range c.LocalAddrs {
			local[addr] = c.LocalPort.Or(0)
		}
		for _, addr := range c.RemoteAddrs {
			remote[addr] = true
		}
	}
	a.own = func(addr netip.AddrPort) bool {
		port, ours := local[addr.Addr().String()]
		return ours && (!remote[addr.Addr().String()] || port == addr.Port())
	}
}

// begins tells the fold which SAs there were before.
func (a *action) begins(s *backend.Snapshot) {
	a.trace.Add(&event.Event{Time: s.At, Table: &event.Table{SAs: s.SAs, First: true}})
	a.before = diag.Diagnose(&diag.Facts{Source: a.doc.Source, Trace: a.trace, Now: a.begin, Live: true, Connections: s.Connections}, rule.All())
}

// add takes an event of the action.
func (a *action) add(e *event.Event) {
	a.trace.Add(e)
	if a.ladder != nil {
		a.ladder.own = a.own
		a.ladder.add(e)
	}
	switch {
	case a.app.Output == print.JSONL:
		a.line(doc.NewEvent(e))
	case len(a.doc.Events) < maxActionEvents:
		a.doc.Events = append(a.doc.Events, doc.NewEvent(e))
	}
	l := e.Log
	switch {
	case l == nil:
	case l.Failure != nil:
		a.failed = append(a.failed, e)
	case l.Proposals != nil:
		a.propose(l.Proposals)
	case l.Retransmit != nil && l.Retransmit.Kind == event.RetransmitRequest:
		a.quiet++
	case l.Message != nil && !l.Message.Sent:
		a.quiet = 0
	}
}

func (a *action) propose(p *event.LogProposals) {
	if p.Received != nil {
		a.offers.Received = p.Received
	}
	if p.Configured != nil {
		a.offers.Configured = p.Configured
	}
	if p.Selected != "" {
		a.offers.Selected = p.Selected
	}
}

// line writes one item of jsonl at once.
func (a *action) line(v any) {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = a.app.Term.Out.Write(append(print.Escape(b), '\n'))
	}
	if err != nil && a.err == nil {
		a.err = fmt.Errorf("writing JSON lines: %w", err)
	}
}

// say writes a line of text about the outcome, where text is wanted.
func (a *action) say(m term.Meaning, format string, args ...any) {
	if a.ladder == nil {
		return
	}
	a.ladder.flush()
	w := &wrapper{w: bufio.NewWriter(a.app.Term.Out), term: a.app.Term, width: textWidth}
	w.line(m, "", fmt.Sprintf(format, args...))
	if err := w.w.Flush(); err != nil && a.err == nil {
		a.err = fmt.Errorf("writing the outcome: %w", err)
	}
}

// finish ends the action: failed is why it did not succeed, nil where it did.
// It gives the error that decides the exit code.
func (a *action) finish(failed error) error {
	if a.ladder != nil {
		a.ladder.flush()
		if a.ladder.err != nil {
			return a.ladder.err
		}
	}
	if interrupted(failed) {
		return failed
	}
	var findings []diag.Finding
	if failed != nil {
		findings = diag.Diagnose(&diag.Facts{Source: a.doc.Source, Trace: a.trace, Now: time.Now()}, rule.All())
		findings = slices.DeleteFunc(findings, a.stale)
		a.doc.Error = failed.Error()
	}
	a.doc.Finish(failed == nil, time.Since(a.begin), a.failed, &a.offers, findings)
	switch {
	case a.err != nil:
		return a.err
	case a.app.Output == print.JSONL:
		return failed
	case a.ladder == nil:
		if err := document(a.app, &a.doc, a.doc.Events); err != nil {
			return err
		}
		return failed
	case failed != nil:
		if err := a.explain(findings); err != nil {
			return err
		}
	}
	return failed
}

// stale says that a finding was true before the action began, and so is no
// reason for its failure.
func (a *action) stale(f diag.Finding) bool {
	return slices.ContainsFunc(a.before, func(o diag.Finding) bool { return o.ID == f.ID && o.Subject == f.Subject })
}

// explain says as text why it failed, as far as the log and the rules know.
func (a *action) explain(findings []diag.Finding) error {
	t := a.app.Term
	w := &wrapper{w: bufio.NewWriter(t.Out), term: t, width: textWidth, live: true}
	e := a.decisive()
	if e != nil || a.quiet > 0 || len(a.offers.Received) > 0 || len(a.offers.Configured) > 0 {
		w.blank()
	}
	if e != nil {
		w.line(term.Bad, "failed: ", e.Log.Text)
		w.line(term.Plain, "        ", whoRefused(e.Log.Failure))
	} else if a.quiet > 0 {
		w.line(term.Bad, "failed: ", fmt.Sprintf("the peer has not answered; the request was repeated %d times", a.quiet))
	}
	w.proposals("theirs: ", a.offers.Received)
	w.proposals("ours:   ", a.offers.Configured)
	if err := w.w.Flush(); err != nil {
		return fmt.Errorf("writing why it failed: %w", err)
	}
	if len(findings) == 0 {
		return nil
	}
	for i := range findings {
		w.blank()
		w.finding(i+1, &findings[i])
	}
	if err := w.w.Flush(); err != nil {
		return fmt.Errorf("writing the findings: %w", err)
	}
	return nil
}

func (w *wrapper) proposals(label string, list []string) {
	for _, p := range list {
		w.line(term.Plain, label, p)
		label = "        "
	}
}

// whoRefused says in words whose decision a failure was.
func whoRefused(f *event.LogFailure) string {
	switch {
	case f.Kind == "no-response":
		return "Nobody answered: the peer is away, or something between drops the packets."
	case f.Local:
		return "This side decided so."
	case f.Notify != "":
		return fmt.Sprintf("The peer decided so and told %s; its own log tells more.", f.Notify)
	}
	return "The peer decided so; its own log tells more."
}

// decisive gives the failure that tells the most: one that names a notify,
// then one that is not just the end of the attempt, the last of its kind. It is
// nil where the log told none.
func (a *action) decisive() *event.Event {
	worth := func(f *event.LogFailure) int {
		switch {
		case f.Kind == "child-failed":
			return 1
		case f.Kind == "no-response":
			return 2
		case f.Notify != "" && !f.Local:
			return 4
		}
		return 3
	}
	var best *event.Event
	for _, e := range a.failed {
		if best == nil || worth(e.Log.Failure) >= worth(best.Log.Failure) {
			best = e
		}
	}
	return best
}

// reason gives in a few words why an action failed, for the error.
func (a *action) reason() string {
	if e := a.decisive(); e != nil {
		return e.Log.Text
	}
	if a.quiet > 0 {
		return fmt.Sprintf("no response after %d retransmissions", a.quiet)
	}
	return ""
}
