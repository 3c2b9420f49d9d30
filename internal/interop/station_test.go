package interop_test

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/wire"
	"github.com/cloudvlan/cvlanctl/lab"
)

// station is our engine at work in a namespace, whoever its peer is.
type station struct {
	ns            *lab.NS
	local, remote netip.Addr // as we see them
	pump          *link.Pump

	mu       sync.Mutex
	children map[wire.ESPSPI]ike.Update
	events   []event.Event
	errs     []string
}

func newStation() *station { return &station{children: map[wire.ESPSPI]ike.Update{}} }

// start runs our engine in a namespace until the test ends.
func (st *station) start(t *testing.T, ns *lab.NS, set ike.Settings) {
	t.Helper()
	st.ns = ns
	if set.Retransmit.Timeout == 0 {
		set.Retransmit.Timeout = 500 * time.Millisecond
	}
	if set.RetryDelay == 0 {
		set.RetryDelay = 300 * time.Millisecond
	}
	plain, err := ns.ListenUDP(netip.AddrPortFrom(st.local, 500).String())
	if err != nil {
		t.Fatal(err)
	}
	natt, err := ns.ListenUDP(netip.AddrPortFrom(st.local, 4500).String())
	if err != nil {
		t.Fatal(err)
	}
	if st.pump, err = link.NewPump(ike.NewEndpoint(set), plain, natt, st.take, nil); err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- st.pump.Run(running) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// take keeps the output of the engine's steps.
func (st *station) take(o ike.Output) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, u := range o.Updates {
		switch u.Kind {
		case ike.Install:
			st.children[u.SPIs.In] = u
		case ike.Remove:
			delete(st.children, u.SPIs.In)
		}
	}
	st.events = append(st.events, o.Events...)
	if o.Err != nil {
		st.errs = append(st.errs, o.Err.Error())
	}
}

// do runs f with the engine.
func (st *station) do(t *testing.T, f func(now time.Time, p *ike.Endpoint) ike.Output) {
	t.Helper()
	if err := st.pump.Do(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// installed counts the children of all tunnels in our data plane.
func (st *station) installed() int {
	st.mu.Lock()
	defer st.mu.Unlock()
	return len(st.children)
}
