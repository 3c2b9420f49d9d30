package interop_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
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

// ourEnd is our side of one connection.
type ourEnd struct {
	at   *station
	t    *testing.T
	conn *ike.Connection
}

// ours gives our IKE SAs of the tunnel that stand.
func (o *ourEnd) ours() []*engine.IKESA {
	o.t.Helper()
	var list []*engine.IKESA
	o.at.do(o.t, func(_ time.Time, p *ike.Endpoint) ike.Output {
		for _, s := range p.SAs() {
			if s.Connection() == o.conn && s.State() == engine.IKEEstablished {
				list = append(list, s.Model())
			}
		}
		return ike.Output{}
	})
	return list
}

// until waits for something to become true.
func (o *ourEnd) until(what string, ok func() bool) {
	o.t.Helper()
	if err := lab.Eventually(o.t.Context(), patience, what, ok); err != nil {
		o.t.Fatal(err)
	}
}

// spis gives the inbound SPIs of our children of the tunnel.
func (o *ourEnd) spis() []wire.ESPSPI {
	o.t.Helper()
	var list []wire.ESPSPI
	for _, s := range o.ours() {
		for _, c := range s.Children {
			list = append(list, c.SPIIn.Or(0))
		}
	}
	return list
}

// command gives a command to our IKE SA of the tunnel.
func (o *ourEnd) command(c ike.Command) {
	o.t.Helper()
	found := false
	o.at.do(o.t, func(now time.Time, p *ike.Endpoint) ike.Output {
		for _, s := range p.SAs() {
			if s.Connection() == o.conn && s.State() == engine.IKEEstablished {
				found = true
				return p.Command(now, s, c)
			}
		}
		return ike.Output{}
	})
	if !found {
		o.t.Fatalf("no IKE SA stands for %T", c)
	}
}

// checks gives what our side compared, of one kind.
func (o *ourEnd) checks(kind event.CheckKind) []event.Check {
	o.at.mu.Lock()
	defer o.at.mu.Unlock()
	var list []event.Check
	for i := range o.at.events {
		if c := o.at.events[i].Check; c != nil && c.Kind == kind {
			list = append(list, *c)
		}
	}
	return list
}

// stepped says whether our side reported a step of a kind.
func (o *ourEnd) stepped(kind string) bool {
	o.at.mu.Lock()
	defer o.at.mu.Unlock()
	return slices.ContainsFunc(o.at.events, func(e event.Event) bool { return e.Step != nil && e.Step.Kind == kind })
}

// signature gives how the peer signed, by the check of its signature.
func (o *ourEnd) signature() string {
	for _, c := range o.checks(event.CheckSignature) {
		if c.OK && c.RFC != "RFC 7427 4" {
			how, _, _ := strings.Cut(c.Remote, ",")
			return how
		}
	}
	return "no signature"
}

// tookCookie proves that the peer came back with our cookie.
func (o *ourEnd) tookCookie() {
	o.t.Helper()
	if c := o.checks(event.CheckCookie); !slices.ContainsFunc(c, func(c event.Check) bool { return c.OK }) {
		o.t.Errorf("checks of cookies: %v", c)
	}
}
