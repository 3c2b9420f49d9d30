package vici

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	govici "github.com/strongswan/govici/vici"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
)

// values makes a message from names and values, as the function of that name
// does, and asks our own engine for the exact form of the answer.
func (c *Client) values(pairs ...string) *govici.Message {
	m := values(pairs...)
	if c.addr.Engine {
		_ = m.Set(packet.Exact, "yes") // a string cannot fail
	}
	return m
}

// exact reads the exact form that our own engine gives beside VICI's words. It
// says whether there is one; what is no such form is none.
func exact[T any](s section, v *T) bool {
	b, err := packet.Join(s.list(packet.Exact))
	if err != nil {
		return false
	}
	var read T
	if json.Unmarshal(b, &read) != nil {
		return false
	}
	*v = read
	return true
}

// exactEvent reads the event that our own engine gives, nil where there is none.
func exactEvent(s section) *event.Event {
	b, err := packet.Join(s.list(packet.Exact))
	if err != nil {
		return nil
	}
	e, err := event.Decode(b)
	if err != nil {
		return nil
	}
	return e
}

// remembered asks our own engine for what it knows of the past. An engine that
// tells nothing of it leaves it to what this client has seen itself.
func (c *Client) remembered(ctx context.Context) (*backend.History, time.Time, error) {
	if !c.addr.Engine {
		return c.history, c.history.Since(), nil
	}
	h := &backend.History{}
	answer, err := c.list(ctx, packet.CommandPast, packet.EventPast, c.values(), func(s section) {
		var p backend.Past
		if exact(s, &p) {
			h.Put(s.text("connection"), s.text("child"), p)
		}
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	var since time.Time
	exact(answer, &since)
	return h, since, nil
}

// Recall gives what our own engine remembers of what it told, but for what it
// told before since; a charon keeps nothing.
func (c *Client) Recall(ctx context.Context, since time.Time) ([]*event.Event, error) {
	if !c.addr.Engine {
		return nil, nil
	}
	var all []*event.Event
	values := c.values()
	if !since.IsZero() {
		values = c.values(packet.SinceKey, since.Format(time.RFC3339Nano))
	}
	_, err := c.list(ctx, packet.CommandRecall, packet.EventRecall, values, func(s section) {
		if e := exactEvent(s); e != nil && !e.Time.Before(since) { // an older engine gives all
			all = append(all, e)
		}
	})
	if errors.Is(err, backend.ErrUnsupported) {
		return nil, nil // one of before there was such a thing
	}
	return all, err
}

// probe has our own engine check the liveness of a peer.
func (c *Client) probe(ctx context.Context, connection string, progress backend.Progress) (backend.Probe, error) {
	var probe backend.Probe
	answer, err := c.control(ctx, packet.CommandDPD, progress, "connection", connection, "timeout", patience(ctx, false))
	exact(answer, &probe)
	return probe, err
}
