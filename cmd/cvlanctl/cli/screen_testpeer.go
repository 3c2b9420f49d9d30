package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/probe/peer"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/tui"
	"github.com/cloudvlan/cvlanctl/tui/feed"
)

// testOnScreen tests a peer of a policy file for the screen.
func testOnScreen(ctx context.Context, app *App, name, file string, tell func(tui.TestStep)) (string, error) {
	// What is said beside the screen belongs on it.
	var said strings.Builder
	aside := *app.Term
	aside.Err = &said
	quiet := NewApp(&aside)
	quiet.Log = app.Log
	t := &testPeer{app: quiet, o: &TestPeerOptions{Peer: name, Config: file, Wait: 500 * time.Millisecond, ProbeTries: 3, PlainPort: wire.PortIKE, NATTPort: wire.PortNATT}}
	target, err := t.prepare(ctx)
	if err != nil {
		return "", fmt.Errorf("%w; %s", err, strings.TrimSpace(said.String()))
	}
	var found []diag.Finding
	store := feed.NewStore(feed.Options{Title: "test of " + name, Daemon: true, Trace: trace.Options{KeepOctets: true},
		Diagnose: func(*trace.Trace) []diag.Finding { return slices.Clone(found) }})
	r := peer.Run(ctx, target, t.tools(), peer.Options{Rules: rule.All(), Event: store.Add, Tell: func(s peer.Step) {
		found = append(found, s.Findings...)
		store.Diagnose()
		tell(tui.TestStep{Name: s.Name, Status: string(s.Status), Took: s.Duration, Detail: s.Detail, Findings: s.Findings, Data: store})
	}})
	found = r.Findings
	store.Finish(nil)
	switch r.Worst() {
	case peer.Fail:
		return "", fmt.Errorf("the tunnel does not work")
	case peer.Warn:
		return "the test of " + name + ": it works, with what is said there", nil
	}
	return "the test of " + name + ": all that was tested works", nil
}
