package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// TUN is a device of the system that leads the traffic of tunnels to us. With
// it go its routes: when the process ends, in whatever way, the system removes
// both.
type TUN struct {
	tun.Device
	Name  string
	index int
	mtu   int
	nl    *netlink.Handle

	mu     sync.Mutex
	routes map[netip.Prefix]int // how many children each is for
}

// OpenTUN makes a TUN device, up, in the network namespace of the calling
// thread. Name may be a pattern with %d; it needs CAP_NET_ADMIN.
func OpenTUN(name string, mtu int) (*TUN, error) {
	d, err := tun.CreateTUN(name, mtu)
	if err != nil {
		return nil, fmt.Errorf("TUN device %s: %w", name, err)
	}
	t := &TUN{Device: d, mtu: mtu, routes: map[netip.Prefix]int{}}
	if err := t.raise(); err != nil {
		return nil, errors.Join(fmt.Errorf("TUN device %s: %w", name, err), d.Close())
	}
	go func() {
		for range d.Events() { // nobody else wants them, and the device waits for a reader
		}
	}()
	return t, nil
}

func (t *TUN) raise() (err error) {
	if t.Name, err = t.Device.Name(); err != nil {
		return err
	}
	if t.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	l, err := t.nl.LinkByName(t.Name)
	if err != nil {
		return err
	}
	t.index = l.Attrs().Index
	return t.nl.LinkSetUp(l)
}

// MTU gives the size that the device was made with.
func (t *TUN) MTU() (int, error) { return t.mtu, nil }

// Close removes the device and its routes.
func (t *TUN) Close() error {
	err := t.Device.Close()
	t.nl.Close()
	return err
}

// Route leads traffic of selectors to the device. Packets of this host go with
// an address that it has among the local selectors.
func (t *TUN) Route(local, remote []wire.TrafficSelector, peer netip.Addr) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, prefix := range prefixes(remote) {
		if prefix.Contains(peer) {
			if prefix.Bits() == prefix.Addr().BitLen() {
				return fmt.Errorf("the tunnel is for the peer's own address %s: packets of the tunnel itself would go into it", peer)
			}
			if err := t.except(peer); err != nil {
				return err
			}
		}
		if t.routes[prefix]++; t.routes[prefix] > 1 {
			continue
		}
		if err := t.nl.RouteReplace(t.route(prefix, t.source(local, prefix.Addr().Is4()))); err != nil {
			delete(t.routes, prefix)
			return fmt.Errorf("route to %s through %s: %w", prefix, t.Name, err)
		}
	}
	return nil
}

// Unroute takes routes back that no child needs any more.
func (t *TUN) Unroute(_, remote []wire.TrafficSelector) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var err error
	for _, prefix := range prefixes(remote) {
		if t.routes[prefix]--; t.routes[prefix] > 0 {
			continue
		}
		delete(t.routes, prefix)
		if failed := t.nl.RouteDel(t.route(prefix, nil)); failed != nil && !errors.Is(failed, unix.ESRCH) && !errors.Is(failed, unix.ENODEV) {
			err = errors.Join(err, fmt.Errorf("route to %s through %s: %w", prefix, t.Name, failed))
		}
	}
	return err
}

func (t *TUN) route(prefix netip.Prefix, source net.IP) *netlink.Route {
	scope := netlink.SCOPE_LINK
	if prefix.Addr().Is6() {
		scope = netlink.SCOPE_UNIVERSE
	}
	return &netlink.Route{LinkIndex: t.index, Scope: scope, Src: source, Dst: &net.IPNet{IP: prefix.Addr().AsSlice(),
		Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}}
}

// source gives an address of this host that lies in the local selectors, nil
// where it has none: it is a gateway then.
func (t *TUN) source(local []wire.TrafficSelector, four bool) net.IP {
	family := netlink.FAMILY_V6
	if four {
		family = netlink.FAMILY_V4
	}
	addresses, err := t.nl.AddrList(nil, family)
	if err != nil {
		return nil // then the system chooses
	}
	for i := range addresses {
		a, ok := netip.AddrFromSlice(addresses[i].IP)
		a = a.Unmap()
		if !ok || a.IsLinkLocalUnicast() {
			continue
		}
		for _, s := range local {
			if s.Start.Is4() == a.Is4() && !a.Less(s.Start) && !s.End.Less(a) {
				return addresses[i].IP
			}
		}
	}
	return nil
}

// except keeps a peer reachable that lies in a network which a tunnel leads
// to: by the way that leads to it now. The route is of the device of that way,
// so it is marked as ours and taken back by protocol.
func (t *TUN) except(peer netip.Addr) error {
	ways, err := t.nl.RouteGet(peer.AsSlice())
	if err != nil || len(ways) == 0 {
		return fmt.Errorf("the way to the peer %s: %w", peer, err)
	}
	if ways[0].LinkIndex == t.index {
		return nil // a route of ours already: what it led to before is not known any more
	}
	r := ways[0]
	r.Dst = &net.IPNet{IP: peer.AsSlice(), Mask: net.CIDRMask(peer.BitLen(), peer.BitLen())}
	r.Protocol, r.Table = RouteProtocol, unix.RT_TABLE_MAIN
	if err := t.nl.RouteReplace(&r); err != nil {
		return fmt.Errorf("route to the peer %s outside its tunnel: %w", peer, err)
	}
	return nil
}

// RouteProtocol marks the routes to peers that are ours but not of our device
// (rtnetlink's protocol number, one that no routing daemon has).
const RouteProtocol = 157

// SweepRoutes removes the routes to peers that an engine before us left, in the
// network namespace of the calling thread.
func SweepRoutes() error {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: RouteProtocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("routes left by an earlier run: %w", err)
	}
	for i := range routes {
		if failed := netlink.RouteDel(&routes[i]); failed != nil && !errors.Is(failed, unix.ESRCH) {
			err = errors.Join(err, failed)
		}
	}
	return err
}

// maxPrefixes bounds the routes of one selector: a range that is no subnet
// takes several.
const maxPrefixes = 64

// prefixes gives the networks of selectors, a range as the subnets that make
// it up. The networks of everything are cut in two, so that they win against a
// default route.
func prefixes(list []wire.TrafficSelector) []netip.Prefix {
	var all []netip.Prefix
	seen := map[netip.Prefix]bool{}
	add := func(p netip.Prefix) {
		if !seen[p] && len(all) < maxPrefixes {
			seen[p] = true
			all = append(all, p)
		}
	}
	for i := range list {
		for at, end := list[i].Start, list[i].End; at.IsValid() && !end.Less(at); {
			bits := at.BitLen()
			for bits > 0 {
				wider := netip.PrefixFrom(at, bits-1)
				if wider.Masked().Addr() != at || end.Less(last(wider)) {
					break
				}
				bits--
			}
			p := netip.PrefixFrom(at, bits)
			if bits == 0 {
				low := netip.PrefixFrom(at, 1)
				add(low)
				add(netip.PrefixFrom(last(low).Next(), 1))
			} else {
				add(p)
			}
			if at = last(p).Next(); !at.IsValid() || len(all) >= maxPrefixes {
				break
			}
		}
	}
	return all
}

// last gives the last address of a network.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
