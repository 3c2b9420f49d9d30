package native

import (
	"fmt"
	"sync"

	"github.com/cloudvlan/cvlanctl/engine/ike"
)

// DataPlane carries the traffic of CHILD SAs. Update is called on the engine's
// goroutine and must not wait for the network; its error makes the engine close
// the CHILD SA. After Close nothing more comes.
type DataPlane interface {
	Update(u *ike.Update) error
	Close() error
}

// Counter is a DataPlane that carries nothing: it counts what it is told and
// keeps no key. It is safe for concurrent use.
type Counter struct {
	mu     sync.Mutex
	orders map[ike.UpdateKind]int
	stands map[ike.SPIPair]string
}

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
