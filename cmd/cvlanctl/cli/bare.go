package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici"
)

// runBare is cvlanctl without a command: the screen of what is here, or where
// there is no terminal its status. Where nothing is here it says where it looked,
// and what else there is to see.
func runBare(ctx context.Context, app *App) error {
	kind, _, err := app.source()
	if err != nil {
		return err
	}
	terminal := app.Term.InTTY && app.Term.OutTTY && app.Output.Text()
	switch {
	case kind == "pcap" || kind != "auto" && terminal:
		return runTUI(ctx, app, &TUIOptions{})
	case kind != "auto":
		return runIPsecStatus(ctx, app, &IPsecStatusOptions{})
	}
	client, err := app.backend(ctx)
	switch {
	case errors.Is(err, backend.ErrUnreachable) && !errors.Is(err, fs.ErrPermission) && ctx.Err() == nil && app.Output.Text():
		return app.nothingHere(app.usualAddrs())
	case err != nil:
		return err
	}
	defer closeBackend(app, client)
	if terminal {
		return watchScreen(ctx, app, daemonOnScreen{Backend: client})
	}
	ctx, cancel := app.patience(ctx, defaultTimeout)
	defer cancel()
	_, err = showStatus(ctx, app, app.Term, client, &recollection{})
	return advise(err)
}

// nothingHere says where a daemon was looked for, and what there is without
// one.
func (a *App) nothingHere(looked []vici.Addr) error {
	w := &wrapper{w: bufio.NewWriter(a.Term.Out), term: a.Term, width: textWidth}
	w.line(term.Strong, "", "No IKE daemon answers here. Looked for:")
	for _, at := range looked {
		what := "a charon"
		if at.Engine {
			what = "our own engine"
		}
		w.line(term.Muted, "  ", fmt.Sprintf("%s at %s", what, at.Address))
	}
	w.blank()
	w.line(term.Strong, "", "To look at:")
	for _, l := range []struct{ command, what string }{
		{"cvlanctl demo", "two engines and a NAT on loopback; needs no root, no peer, no file"},
		{"cvlanctl pcap diagnose FILE", "what is wrong in a capture, and what to change"},
		{"cvlanctl --source vici:/PATH", "a charon that listens elsewhere"},
		{"cvlanctl ipsec run --config FILE", "our own engine with the tunnels of a policy"},
		{"cvlanctl --help", "everything else"},
	} {
		w.line(term.Plain, fmt.Sprintf("  %-34s", l.command), l.what)
	}
	if err := w.w.Flush(); err != nil {
		return fmt.Errorf("writing what was looked for: %w", err)
	}
	return nil
}
