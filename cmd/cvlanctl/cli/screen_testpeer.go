package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/diag/probe/peer"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/tui"
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
	r := peer.Run(ctx, target, t.tools(), peer.Options{Rules: rule.All(), Tell: func(s peer.Step) {
		tell(tui.TestStep{Name: s.Name, Status: string(s.Status), Took: s.Duration, Detail: s.Detail, Findings: s.Findings})
	}})
	switch r.Worst() {
	case peer.Fail:
		return "", fmt.Errorf("the tunnel does not work")
	case peer.Warn:
		return "the test of " + name + ": it works, with what is said there", nil
	}
	return "the test of " + name + ": all that was tested works", nil
}
