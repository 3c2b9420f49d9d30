package native

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// DataPlane carries the traffic of CHILD SAs. Attach comes first, once. Update
// is called on the engine's goroutine and must not wait for the network; its
// error makes the engine close the CHILD SA. Receive gets the ESP packets that
// came in UDP, on one goroutine; they are valid during the call. Traffic may be
// called at any time. After Close nothing more comes.
type DataPlane interface {
	Attach(a link.Attachment) error
	Update(u *ike.Update) error
	Receive(packets []link.ESPPacket)
	// Traffic tells what a CHILD SA has carried, false where it is not known.
	Traffic(p ike.SPIPair) (link.Traffic, bool)
	Close() error
}

// Counter is a DataPlane that carries nothing: it counts what it is told and
// keeps no key. It is safe for concurrent use.
type Counter struct {
	mu      sync.Mutex
	orders  map[ike.UpdateKind]int
	stands  map[ike.SPIPair]string
	packets int
}

// Attach has nothing to begin.
func (c *Counter) Attach(link.Attachment) error { return nil }

// Receive counts packets that nobody opens.
func (c *Counter) Receive(packets []link.ESPPacket) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.packets += len(packets)
}

// Packets is how many ESP packets came.
func (c *Counter) Packets() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.packets
}

// Traffic knows nothing.
func (c *Counter) Traffic(ike.SPIPair) (link.Traffic, bool) { return link.Traffic{}, false }

// Update counts an order. An order about a CHILD SA that was never installed is
// an error.
func (c *Counter) Update(u *ike.Update) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.orders == nil {
		c.orders, c.stands = map[ike.UpdateKind]int{}, map[ike.SPIPair]string{}
	}
	if _, there := c.stands[u.SPIs]; there == (u.Kind == ike.Install) {
		return fmt.Errorf("%s of child SA %s, %s in, %s out: it is not as it should be", u.Kind, u.Name, u.SPIs.In, u.SPIs.Out)
	}
	c.orders[u.Kind]++
	switch u.Kind {
	case ike.Install:
		c.stands[u.SPIs] = u.Name
	case ike.Remove:
		delete(c.stands, u.SPIs)
	}
	return nil
}

// Close forgets all that stands.
func (c *Counter) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.stands)
	return nil
}

// Installed is how many CHILD SAs stand.
func (c *Counter) Installed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.stands)
}

// Orders is how many orders of a kind there were.
func (c *Counter) Orders(k ike.UpdateKind) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.orders[k]
}

// reports takes what the data plane tells, from any of its goroutines, to the
// engine's.
type reports struct{ e *Engine }

// report is one thing told: about a CHILD SA, or of a child that is asked for.
type report struct {
	in      wire.ESPSPI
	command ike.Command
	acquire backend.Target // where command is nil
}

// maxReports is how many reports wait for the engine.
const maxReports = 1024

// Heard counts as life, and has a changed NAT mapping followed. Where too much
// waits it is left out: there will be more.
func (r reports) Heard(in wire.ESPSPI, from netip.AddrPort) {
	select {
	case r.e.reported <- report{in: in, command: ike.Heard{From: from}}:
	default:
	}
}

// Expired has an SA replaced or closed.
func (r reports) Expired(in wire.ESPSPI, hard bool) {
	select {
	case r.e.reported <- report{in: in, command: ike.Expired{SPI: in, Hard: hard}}:
	case <-r.e.run.Done():
	}
}

// Acquire has a child brought up. Where too much waits it is left out: there
// will be more traffic.
func (r reports) Acquire(connection, child string) {
	select {
	case r.e.reported <- report{acquire: backend.Target{IKE: connection, Child: child}}:
	default:
	}
}

// obey commands the IKE SAs that reports are about, until the engine ends.
func (e *Engine) obey() {
	for {
		select {
		case r := <-e.reported:
			if r.command == nil {
				e.acquire(r.acquire)
				continue
			}
			// An engine that has ended has no use for it.
			_ = e.do(e.run, func(now time.Time) ike.Output {
				if s := e.endpoint.Parent(r.in); s != nil {
					return e.endpoint.Command(now, s, r.command)
				}
				return ike.Output{}
			})
		case <-e.run.Done():
			return
		}
	}
}

// counted puts what the data plane has carried into a listing.
func (e *Engine) counted(sa *engine.IKESA) {
	for _, c := range sa.Children {
		t, ok := e.plane.Traffic(ike.SPIPair{In: c.SPIIn.Or(0), Out: c.SPIOut.Or(0)})
		if !ok {
			continue
		}
		c.BytesIn, c.PacketsIn = engine.Some(t.In.Octets), engine.Some(t.In.Packets)
		c.BytesOut, c.PacketsOut = engine.Some(t.Out.Octets), engine.Some(t.Out.Packets)
		for _, d := range []struct {
			n  uint64
			to *engine.Opt[uint64]
		}{{t.Missing, &c.MissingIn}, {t.In.Replayed, &c.ReplayedIn}, {t.In.Integrity + t.In.Malformed, &c.FailedIn}, {t.In.Selectors, &c.OutsideIn}} {
			if d.n > 0 {
				*d.to = engine.Some(d.n)
			}
		}
		c.LastIn, c.LastOut = t.LastIn, t.LastOut
	}
}
