package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routeProtocol marks the routes that are ours but not of our device
// (rtnetlink's protocol number, one that no routing daemon has).
const routeProtocol = 157

// outside keeps peers reachable that lie in a network which a tunnel leads to:
// by routes along the way that led to them before. These do not end with the
// process, so each is noted down first.
type outside struct {
	notes  *notes
	nl     *netlink.Handle
	routes map[netip.Addr]*netlink.Route
}

// keep sets the route to a peer, unless it has one already or its way is
// through the device.
func (o *outside) keep(peer netip.Addr, device int) error {
	if o.routes[peer] != nil {
		return nil
	}
	ways, err := o.nl.RouteGet(peer.AsSlice())
	if err != nil || len(ways) == 0 {
		return fmt.Errorf("the way to the peer %s: %w", peer, err)
	}
	r := ways[0]
	if r.LinkIndex == device {
		return nil // a route of ours already: what it led to before is not known any more
	}
	alone := netip.PrefixFrom(peer, peer.BitLen())
	if err := o.notes.add(noteRoute, alone); err != nil {
		return fmt.Errorf("the route to the peer %s cannot be noted down, and so not be set: %w", peer, err)
	}
	r.Dst = ipNet(alone)
	r.Protocol, r.Table, r.Flags = routeProtocol, unix.RT_TABLE_MAIN, 0
	switch err := o.nl.RouteAdd(&r); {
	case errors.Is(err, unix.EEXIST):
		return nil // it has a route of its own, which is not ours to change
	case err != nil:
		return fmt.Errorf("route to the peer %s outside its tunnel: %w", peer, err)
	}
	o.routes[peer] = &r
	return nil
}

// close takes all routes back.
func (o *outside) close() error {
	var err error
	for peer, r := range o.routes {
		err = errors.Join(err, unroute(o.nl, r))
		delete(o.routes, peer)
	}
	return errors.Join(err, o.notes.close(err == nil))
}

// ipNet and prefixOf turn a network into the one type and the other.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits), ok
}
