package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cloudvlan/cvlanctl/lab/need"
)

// Addresses of a segment: the guest's own, and those that its first neighbour
// has in most tests.
const (
	GuestIPv4, NeighbourIPv4 = "192.0.2.2", "192.0.2.1"
	GuestIPv6, NeighbourIPv6 = "2001:db8::2", "2001:db8::1"
)

// Segment is a network of its own with a guest on it. Any number of namespaces
// may join it, and any number of tests may use its guest one after another.
type Segment struct {
	// NS is the bridge that everything on the segment is joined to.
	NS    *NS
	Guest *Guest

	joined  int
	cleanup []func() error
}

// NewSegment boots a guest on a segment of its own, with addresses GuestIPv4
// and GuestIPv6 on its card, and waits until it takes commands. The caller must
// Close the segment, also after an error: it is never nil.
func NewSegment(ctx context.Context, name, dir string) (*Segment, error) {
	s := &Segment{}
	if os.Geteuid() != 0 {
		return s, need.ErrNotRoot
	}
	if err := EnsureGuests(ctx); err != nil {
		return s, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return s, fmt.Errorf("folder of guest: %w", err)
	}
	if s.NS, err = NewNS(ctx, name); err != nil {
		return s, err
	}
	s.cleanup = append(s.cleanup, s.NS.Delete)
	if s.Guest, err = bootGuest(ctx, s.NS, name, dir); err != nil {
		return s, err
	}
	s.cleanup = append(s.cleanup, s.Guest.Stop)
	if err := s.Guest.Ready(ctx); err != nil {
		return s, err
	}
	return s, Address(ctx, s.Guest, GuestDev, GuestIPv4+"/24", GuestIPv6+"/64")
}

// Join lays a cable from a namespace, where it is interface dev, to the
// segment.
func (s *Segment) Join(ctx context.Context, ns *NS, dev string) error {
	s.joined++
	port := fmt.Sprintf("port%d", s.joined)
	if err := Join(ctx, ns, dev, s.NS, port); err != nil {
		return err
	}
	return s.NS.IP(ctx, "link", "set", port, "master", GuestBridge)
}

// Neighbour makes a namespace on the segment whose interface eth0 has these
// addresses, each with its prefix length. The segment deletes it.
func (s *Segment) Neighbour(ctx context.Context, label string, addresses ...string) (*NS, error) {
	ns, err := NewNS(ctx, label)
	if err != nil {
		return nil, err
	}
	s.cleanup = append(s.cleanup, ns.Delete)
	if err := s.Join(ctx, ns, outerDev); err != nil {
		return nil, err
	}
	return ns, Address(ctx, ns, outerDev, addresses...)
}

// Close ends the guest and removes the segment with its neighbours.
func (s *Segment) Close() error {
	var errs []error
	for i := len(s.cleanup) - 1; i >= 0; i-- {
		errs = append(errs, s.cleanup[i]())
	}
	s.cleanup = nil
	return errors.Join(errs...)
}

// What a guest's card is called inside, and the bridge around it outside.
const (
	GuestDev    = "net0"
	GuestBridge = "br0"
)

// bootGuest makes a namespace a bridge and starts a guest whose card is on it.
// The guest is not ready when this returns.
func bootGuest(ctx context.Context, ns *NS, name, dir string) (*Guest, error) {
	for _, args := range [][]string{
		{"link", "add", GuestBridge, "type", "bridge"}, {"tuntap", "add", "dev", "tap0", "mode", "tap"},
		{"link", "set", GuestBridge, "addrgenmode", "none"}, {"link", "set", "tap0", "addrgenmode", "none"},
		{"link", "set", "tap0", "master", GuestBridge}, {"link", "set", GuestBridge, "up"}, {"link", "set", "tap0", "up"},
	} {
		if err := ns.IP(ctx, args...); err != nil {
			return nil, err
		}
	}
	return StartGuest(ns, "tap0", name, dir)
}
