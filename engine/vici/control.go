package vici

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
)

// margin is how much earlier than the caller's deadline the daemon is to
// answer, so that it can still say why.
const margin = 200 * time.Millisecond

// patience tells the daemon how long a command may take, in milliseconds.
func patience(ctx context.Context, noWait bool) string {
	if noWait {
		return "-1"
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return ""
	}
	left := time.Until(deadline)
	if left > 2*margin {
		left -= margin
	}
	return strconv.FormatInt(max(left.Milliseconds(), 1), 10)
}

func logLevel(o engine.Opt[int]) string { return strconv.Itoa(min(max(o.Or(1), -1), 4)) }

// Up brings a child or an IKE SA up.
func (c *Client) Up(ctx context.Context, t backend.Target, o backend.UpOptions, progress backend.Progress) error {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	limits := ""
	if !o.IgnoreLimits {
		limits = "yes"
	}
	_, err := c.control(ctx, "initiate", progress, "child", t.Child, "ike", t.IKE,
		"timeout", patience(ctx, o.NoWait), "init-limits", limits, "loglevel", logLevel(o.LogLevel))
	return err
}

// Down takes SAs down.
func (c *Client) Down(ctx context.Context, t backend.Target, o backend.DownOptions, progress backend.Progress) error {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	force := ""
	if o.Force {
		force = "yes"
	}
	_, err := c.control(ctx, "terminate", progress, "child", t.Child, "ike", t.IKE,
		"child-id", id(t.ChildID), "ike-id", id(t.IKEID), "force", force,
		"timeout", patience(ctx, o.NoWait), "loglevel", logLevel(o.LogLevel))
	return err
}

// control gives a command that tells its progress in log lines.
func (c *Client) control(ctx context.Context, op string, progress backend.Progress, pairs ...string) (section, error) {
	each := func(s section) {
		e := exactEvent(s)
		if e == nil {
			e = logEvent(s, time.Now(), true)
		}
		c.history.Add(e)
		if progress != nil {
			progress(e)
		}
	}
	answer, err := list(ctx, c.addr, op, "control-log", c.values(pairs...), each)
	c.heard(err)
	return answer, err
}

// Rekey starts rekeying.
func (c *Client) Rekey(ctx context.Context, t backend.Target, o backend.RekeyOptions) (int, error) {
	reauth := ""
	if o.Reauth {
		reauth = "yes"
	}
	s, err := c.ask(ctx, "rekey", c.values("child", t.Child, "ike", t.IKE, "child-id", id(t.ChildID), "ike-id", id(t.IKEID), "reauth", reauth))
	return number[int](s, "matches").Or(0), err
}

// Redirect sends peers to another gateway.
func (c *Client) Redirect(ctx context.Context, t backend.Target, gateway string) (int, error) {
	s, err := c.ask(ctx, "redirect", c.values("ike", t.IKE, "ike-id", id(t.IKEID), "peer-ip", t.PeerIP, "peer-id", t.PeerID, "gateway", gateway))
	return number[int](s, "matches").Or(0), err
}

// Install puts the policy of a child in place.
func (c *Client) Install(ctx context.Context, t backend.Target) error {
	return c.command(ctx, "install", "child", t.Child, "ike", t.IKE)
}

// Uninstall removes it.
func (c *Client) Uninstall(ctx context.Context, t backend.Target) error {
	return c.command(ctx, "uninstall", "child", t.Child, "ike", t.IKE)
}

// errNoDPD is why a DPD cannot be had.
var errNoDPD = errors.New("charon has no command for a liveness check, and makes none of its own for this connection (dpd_delay is 0)")

// DPD waits for a liveness check. charon takes no command for one, but makes
// one whenever the peer has been silent for dpd_delay; DPD watches its log for
// the request and its answer. Our own engine makes one at once.
func (c *Client) DPD(ctx context.Context, connection string, progress backend.Progress) (backend.Probe, error) {
	var probe backend.Probe
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	if c.addr.Engine {
		return c.probe(ctx, connection, progress)
	}
	conns, err := c.Connections(ctx)
	if err != nil {
		return probe, err
	}
	delay, known := time.Duration(0), false
	for _, conn := range conns {
		if conn.Name == connection {
			delay, known = conn.DPDDelay.Or(0), true
		}
	}
	switch {
	case !known:
		return probe, &Error{backend.ErrRefused, "dpd", c.addr, fmt.Errorf("no connection %q is configured", connection)}
	case delay == 0:
		return probe, &Error{backend.ErrUnsupported, "dpd", c.addr, errNoDPD}
	}
	var w dpdWatch
	for e, err := range c.Events(ctx, backend.EventOptions{Every: -1}) {
		if err != nil {
			return probe, err
		}
		if e.Log == nil || e.Log.IKE != connection {
			continue
		}
		if w.add(e) && progress != nil {
			progress(e)
		}
		if w.done {
			return w.probe, w.err
		}
	}
	if !w.probe.Sent.IsZero() {
		return w.probe, &Error{backend.ErrUnreachable, "dpd", c.addr, fmt.Errorf("the peer has not answered yet: %w", ctx.Err())}
	}
	return probe, &Error{backend.ErrUnreachable, "dpd", c.addr,
		fmt.Errorf("no check in that time: charon makes one after %v of silence: %w", delay, ctx.Err())}
}

// dpdWatch follows one liveness check through the log.
type dpdWatch struct {
	probe   backend.Probe
	message uint32
	waiting bool // for the line that builds the request
	done    bool
	err     error
}

// add folds one log line in and says whether it belongs to the check.
func (w *dpdWatch) add(e *event.Event) bool {
	l := e.Log
	switch {
	case l.Step != nil && l.Step.Kind == "dpd-request" && w.probe.Sent.IsZero():
		w.waiting = true
		return true
	case w.waiting && l.Message != nil && l.Message.Sent && !l.Message.Response:
		w.waiting, w.message, w.probe.Sent = false, l.Message.MessageID, e.Time
		return true
	case w.probe.Sent.IsZero():
		return false
	case l.Retransmit != nil && l.Retransmit.Kind == event.RetransmitRequest && l.Retransmit.MessageID == w.message:
		w.probe.Retransmissions++
		return true
	case l.Retransmit != nil && l.Retransmit.Kind == event.RetransmitGiveUp:
		w.done, w.err = true, nil
		return true
	case l.Message != nil && !l.Message.Sent && l.Message.Response && l.Message.MessageID == w.message:
		w.probe.Answered, w.done = true, true
		w.probe.RTT = rtt(w.probe.Sent, e.Time)
		return true
	}
	return false
}
