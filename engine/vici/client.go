package vici

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	govici "github.com/strongswan/govici/vici"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
)

// DefaultTimeout bounds a call whose context has no deadline.
const DefaultTimeout = 30 * time.Second

// Client is the Backend for one charon. It holds no connection between calls.
type Client struct {
	addr    Addr
	history *backend.History

	mu     sync.Mutex
	closed context.Context
	cancel context.CancelFunc
	state  backend.State
	last   *backend.Snapshot
}

var _ backend.Backend = (*Client)(nil)

// New makes a client. It does not connect yet: the daemon may still be away.
func New(a Addr) *Client {
	c := &Client{addr: a, history: &backend.History{}}
	c.closed, c.cancel = context.WithCancel(context.Background())
	return c
}

// Dial makes a client and asks the daemon for its version. Where that says that
// it is our own engine, it is asked for more than VICI has words for, however it
// was named.
func Dial(ctx context.Context, a Addr) (*Client, error) {
	c := New(a)
	v, err := c.Version(ctx)
	if err != nil {
		_ = c.Close() // there is nothing to close yet
		return nil, err
	}
	c.addr.Engine = c.addr.Engine || v.Daemon == backend.Native
	return c, nil
}

// Close ends every call and event stream that is running.
func (c *Client) Close() error {
	c.cancel()
	return nil
}

// Addr gives the daemon's address.
func (c *Client) Addr() Addr { return c.addr }

// Source names the daemon as --source does.
func (c *Client) Source() string { return c.addr.String() }

// History gives what the client has learned of the past; whoever reads the
// daemon's log file adds to it.
func (c *Client) History() *backend.History { return c.history }

// State says how the daemon was when it was last heard of.
func (c *Client) State() backend.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// heard notes the outcome of a call.
func (c *Client) heard(err error) {
	if errors.Is(err, context.Canceled) {
		return // the caller left: that says nothing of the daemon
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	live := reached(err)
	if live != c.state.Live || c.state.Since.IsZero() {
		c.state.Since = time.Now()
	}
	c.state.Live = live
	c.state.Err = nil
	if !live {
		c.state.Err = err
	}
}

// bounded gives a context that ends with the caller's, the client, or after
// DefaultTimeout where the caller set no limit.
func (c *Client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	var cancel context.CancelFunc
	if _, ok := ctx.Deadline(); ok {
		ctx, cancel = context.WithCancel(ctx)
	} else {
		ctx, cancel = context.WithTimeout(ctx, DefaultTimeout)
	}
	stop := context.AfterFunc(c.closed, cancel)
	return ctx, func() { stop(); cancel() }
}

// ask gives one command.
func (c *Client) ask(ctx context.Context, op string, in *govici.Message) (section, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	answer, err := ask(ctx, c.addr, op, in)
	c.heard(err)
	return answer, err
}

// list gives one command that answers in events.
func (c *Client) list(ctx context.Context, op, name string, in *govici.Message, each func(section)) (section, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	answer, err := list(ctx, c.addr, op, name, in, each)
	c.heard(err)
	return answer, err
}

// Snapshot lists connections and SAs and joins them with what is known of the
// past.
func (c *Client) Snapshot(ctx context.Context) (*backend.Snapshot, error) {
	s, err := c.snapshot(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if c.last == nil {
			return nil, err
		}
		old := *c.last
		old.State = c.state
		return &old, err
	}
	s.State = c.state
	c.last = s
	return s, nil
}

func (c *Client) snapshot(ctx context.Context) (*backend.Snapshot, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	s := &backend.Snapshot{At: time.Now()}
	var err error
	if s.Version, err = c.Version(ctx); err != nil {
		return nil, err
	}
	if s.Connections, err = c.Connections(ctx); err != nil {
		return nil, err
	}
	if s.SAs, err = c.SAs(ctx, backend.Filter{}); err != nil {
		return nil, err
	}
	c.history.Add(&event.Event{Time: s.At, Table: &event.Table{SAs: s.SAs}})
	past, since, err := c.remembered(ctx)
	if err != nil {
		return nil, err
	}
	s.Watched = since
	slices.SortStableFunc(s.SAs, func(a, b *engine.IKESA) int { return int(a.UniqueID) - int(b.UniqueID) })
	s.Tunnels = backend.Join(s.Connections, s.SAs, past)
	return s, nil
}
