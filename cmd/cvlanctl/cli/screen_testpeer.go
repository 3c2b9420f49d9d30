package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/probe/peer"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/tui"
	"github.com/cloudvlan/cvlanctl/tui/feed"
)

// optionsOnScreen gives the options of a test that is begun on the screen: what else a
// command line could say is as it is there by default.
func optionsOnScreen(t *tui.PeerTest) *TestPeerOptions {
	o := &TestPeerOptions{Peer: t.Peer, Config: t.File, FailOn: diag.High, Wait: 500 * time.Millisecond, ProbeTries: 3, PlainPort: wire.PortIKE, NATTPort: wire.PortNATT,
		Pace: peer.DefaultPace, Listen: t.Listen, Call: 2 * time.Minute, ListenPort: wire.PortIKE, ListenNATT: wire.PortNATT}
	if t.Ladder {
		o.Ladder = peer.DefaultLadder
	}
	return o
}

// testOnScreen tests a peer of a policy file for the screen.
func testOnScreen(ctx context.Context, app *App, of tui.PeerTest, tell func(tui.TestStep)) (string, error) {
	// What is said beside the screen belongs on it.
	var said strings.Builder
	aside := *app.Term
	aside.Err = &said
	quiet := NewApp(&aside)
	quiet.Log = app.Log
	t := &testPeer{app: quiet, o: optionsOnScreen(&of)}
	target, err := t.prepare(ctx)
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, said.String())
	}
	var found []diag.Finding
	store := feed.NewStore(feed.Options{Title: "test of " + of.Peer, Daemon: true, Trace: trace.Options{KeepOctets: true},
		Diagnose: func(*trace.Trace) []diag.Finding { return slices.Clone(found) }})
	o := t.options()
	o.Event = store.Add
	o.Tell = func(s peer.Step) {
		found = append(found, s.Findings...)
		store.Diagnose()
		tell(tui.TestStep{Name: s.Name, Status: string(s.Status), Took: s.Duration, Detail: s.Detail, Findings: s.Findings, Data: store})
	}
	o.TellTry = func(n, of int, try diag.Try) {
		words, _ := tryWords(n, of, &try)
		tell(tui.TestStep{Name: peer.StepAuth, Detail: words, Data: store})
	}
	r := t.run(ctx, target, o)
	found = r.Findings
	store.Finish(nil)
	if r.Worst() == peer.Fail {
		return "", errors.New(r.Verdict())
	}
	return "the test of " + of.Peer + ": " + r.Verdict(), nil
}
