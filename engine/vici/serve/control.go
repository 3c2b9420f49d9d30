package serve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
)

// patience is how long a command may take: the request says so in
// milliseconds, where 0 is no limit and a negative number does not wait.
func (r *request) patience(ctx context.Context) (limited context.Context, cancel context.CancelFunc, wait time.Duration, noWait bool) {
	ms := r.number("timeout", 0)
	wait = time.Duration(max(ms, 0)) * time.Millisecond
	if wait > 0 {
		ctx, cancel = context.WithTimeout(ctx, wait)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	return ctx, cancel, wait, ms < 0
}

// progress raises a control-log for each event of a command.
func (r *request) progress() backend.Progress {
	level := min(max(r.number("loglevel", 1), -1), 4)
	return func(e *event.Event) {
		l := event.Line(e)
		if l == nil || l.Level > level && !r.exact {
			return
		}
		entries := logLine(l, false)
		if r.exact {
			b, err := event.Encode(e)
			if err != nil {
				return
			}
			entries = append(entries, packet.Pieces(b))
		}
		_ = r.raise("control-log", entries...) // a client that has gone ends the command
	}
}

func initiate(ctx context.Context, r *request) ([]packet.Element, error) {
	t := backend.Target{IKE: r.text("ike"), Child: r.text("child")}
	kind, name := "CHILD_SA", t.Child
	if name == "" {
		kind, name = "IKE_SA", t.IKE
	}
	if name == "" {
		return nil, errors.New("missing configuration name")
	}
	limited, cancel, wait, noWait := r.patience(ctx)
	defer cancel()
	o := backend.UpOptions{LogLevel: engine.Some(r.number("loglevel", 1)), NoWait: noWait, IgnoreLimits: !r.yes("init-limits")}
	var progress backend.Progress
	if !noWait {
		progress = r.progress()
	}
	err := r.backend.Up(limited, t, o, progress)
	switch {
	case err == nil:
		return done(), nil
	case limited.Err() != nil && ctx.Err() == nil:
		return nil, fmt.Errorf("%s '%s' not established after %dms", kind, name, wait.Milliseconds())
	}
	return nil, fmt.Errorf("establishing %s '%s' failed: %w", kind, name, err)
}

// matching counts the SAs that a target names: IKE SAs, or CHILD SAs where it
// names a child.
func matching(list []*engine.IKESA, t backend.Target) int {
	n := 0
	for _, sa := range list {
		if t.IKE != "" && t.IKE != sa.Name || t.IKEID != 0 && t.IKEID != sa.UniqueID {
			continue
		}
		if t.Child == "" && t.ChildID == 0 {
			n++
			continue
		}
		for _, c := range sa.Children {
			if (t.Child == "" || t.Child == c.Name) && (t.ChildID == 0 || t.ChildID == c.UniqueID) {
				n++
			}
		}
	}
	return n
}

func empty(t backend.Target) bool { return t == backend.Target{} }

func terminate(ctx context.Context, r *request) ([]packet.Element, error) {
	t := r.target()
	if empty(t) {
		return nil, errors.New("missing terminate selector")
	}
	list, err := r.backend.SAs(ctx, backend.Filter{IKE: t.IKE, IKEID: t.IKEID})
	if err != nil {
		return nil, err
	}
	matches := matching(list, t)
	counts := func(ended int) []packet.Element {
		var m entries
		m.number("matches", uint64(matches))
		m.number("terminated", uint64(ended))
		return m
	}
	if matches == 0 {
		return counts(0), errors.New("no matching SAs to terminate found")
	}
	limited, cancel, wait, noWait := r.patience(ctx)
	defer cancel()
	o := backend.DownOptions{LogLevel: engine.Some(r.number("loglevel", 1)), Force: r.yes("force"), NoWait: noWait}
	var progress backend.Progress
	if !noWait {
		progress = r.progress()
	}
	err = r.backend.Down(limited, t, o, progress)
	switch {
	case err == nil:
		return append(done(), counts(matches)...), nil
	case limited.Err() != nil && ctx.Err() == nil:
		err = fmt.Errorf("terminating SA not done after %dms", wait.Milliseconds())
	default:
		err = fmt.Errorf("terminating SA failed: %w", err)
	}
	return counts(0), err
}

// matches is the answer of commands that count what they act on.
func matches(n int, err error, none string) ([]packet.Element, error) {
	var m entries
	m.number("matches", uint64(n))
	switch {
	case err != nil:
		return m, err
	case n == 0:
		return m, errors.New(none)
	}
	return append(done(), m...), nil
}

func rekey(ctx context.Context, r *request) ([]packet.Element, error) {
	t := r.target()
	if empty(t) {
		return nil, errors.New("missing rekey selector")
	}
	n, err := r.backend.Rekey(ctx, t, backend.RekeyOptions{Reauth: r.yes("reauth")})
	return matches(n, err, "no matching SAs to rekey found")
}

func redirect(ctx context.Context, r *request) ([]packet.Element, error) {
	t := backend.Target{IKE: r.text("ike"), IKEID: r.id("ike-id"), PeerIP: r.text("peer-ip"), PeerID: r.text("peer-id")}
	gateway := r.text("gateway")
	switch {
	case gateway == "":
		return nil, errors.New("missing target gateway")
	case empty(t):
		return nil, errors.New("missing redirect selector")
	}
	n, err := r.backend.Redirect(ctx, t, gateway)
	return matches(n, err, "no matching SAs to redirect found")
}

func install(ctx context.Context, r *request) ([]packet.Element, error) {
	if r.text("child") == "" {
		return nil, errors.New("missing configuration name")
	}
	return ok(r.backend.Install(ctx, r.target()))
}

func uninstall(ctx context.Context, r *request) ([]packet.Element, error) {
	if r.text("child") == "" {
		return nil, errors.New("missing configuration name")
	}
	return ok(r.backend.Uninstall(ctx, r.target()))
}

func reloadSettings(ctx context.Context, r *request) ([]packet.Element, error) {
	return ok(r.backend.ReloadSettings(ctx))
}

// dpd is our own: VICI has no command for a liveness check.
func dpd(ctx context.Context, r *request) ([]packet.Element, error) {
	name := r.text("connection")
	if name == "" {
		return nil, errors.New("missing connection name")
	}
	limited, cancel, wait, _ := r.patience(ctx)
	defer cancel()
	probe, err := r.backend.DPD(limited, name, r.progress())
	answer, failed := packet.AppendExact(nil, &probe)
	switch {
	case failed != nil:
		return nil, failed
	case err == nil:
		return append(answer, done()...), nil
	case limited.Err() != nil && ctx.Err() == nil:
		err = fmt.Errorf("the peer has not answered after %dms", wait.Milliseconds())
	}
	return answer, err
}
