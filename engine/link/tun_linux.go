package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// TUN is a device of the system that leads the traffic of tunnels to us. With
// it go its routes: when the process ends, in whatever way, the system removes
// both. What does not go so is taken back at the next OpenTUN.
type TUN struct {
	tun.Device
	file  *tunFile
	empty bool // the last read found nothing; it is the reader's
	Name  string
	index int
	mtu   int
	nl    *netlink.Handle

	mu      sync.Mutex
	routes  map[netip.Prefix]int // how many children each is for
	outside *outside
}

// OpenTUN makes a TUN device, up, in the network namespace of the calling
// thread, after it has removed what a process like this one left there when it
// was killed. Name may be a pattern with %d; it needs CAP_NET_ADMIN. Dir is where
// notes for that are kept, "" for the usual place.
func OpenTUN(name string, mtu int, dir string) (*TUN, error) {
	if dir == "" {
		dir = notesDir
	}
	f, err := openTUNFile(name)
	if err != nil {
		return nil, fmt.Errorf("TUN device %s: %w", name, err)
	}
	d, err := tun.CreateTUNFromFile(f.File, mtu)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("TUN device %s: %w", name, err), f.wake(), f.Close())
	}
	t := &TUN{Device: d, file: f, mtu: mtu, routes: map[netip.Prefix]int{}}
	if err := t.raise(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("TUN device %s: %w", name, err), f.wake(), d.Close())
	}
	go func() {
		for range d.Events() { // nobody else wants them, and the device waits for a reader
		}
	}()
	return t, nil
}

func (t *TUN) raise(dir string) (err error) {
	if t.Name, err = t.Device.Name(); err != nil {
		return err
	}
	if t.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	here, err := namespace()
	if err != nil {
		return err
	}
	t.outside = &outside{notes: &notes{dir: dir, here: here}, nl: t.nl, routes: map[netip.Addr]*netlink.Route{}}
	if err := t.outside.notes.sweep(t.nl); err != nil {
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

// singles is how many packets that come one by one are read at once.
const singles = 64

// BatchSize leaves room for what the system may join behind the last single one.
func (t *TUN) BatchSize() int { return t.Device.BatchSize() + singles }

// Read gives the packets that the system sends through the device, and waits for
// one; see Device. Those that are there already and were not joined by the system
// are given together: they can be sent together.
func (t *TUN) Read(bufs [][]byte, sizes []int, offset int) (n int, err error) {
	for {
		if n == 0 && t.empty {
			if err := t.file.wait(); err != nil {
				return 0, err
			}
		}
		k, err := t.Device.Read(bufs[n:], sizes[n:], offset)
		t.empty = errors.Is(err, unix.EAGAIN)
		switch {
		case t.empty && n == 0:
			continue
		case t.empty:
			return n, nil
		case err != nil:
			return n, err
		}
		n += k
		if k != 1 || len(bufs)-n < t.Device.BatchSize() {
			return n, nil
		}
	}
}

// Write hands packets to the system; see Device. So many at once as the device
// itself takes: of small packets of UDP it joins all, and the system refuses what
// has more than 128 in it.
func (t *TUN) Write(bufs [][]byte, offset int) (n int, err error) {
	for part := range slices.Chunk(bufs, t.Device.BatchSize()) {
		k, failed := t.Device.Write(part, offset)
		n, err = n+k, errors.Join(err, failed)
	}
	return n, err
}

// Close removes the device and its routes.
func (t *TUN) Close() error {
	err := errors.Join(t.outside.close(), t.file.wake(), t.Device.Close())
	t.nl.Close()
	return err
}

// Route leads traffic of selectors to the device. Packets of this host go with
// an address that it has among the local selectors. A route that is there
// already, and not ours, is an error: it is not ours to replace.
func (t *TUN) Route(local, remote []wire.TrafficSelector, peer netip.Addr) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := prefixes(remote)
	for i, prefix := range list {
		if err := t.lead(prefix, local, peer); err != nil {
			return errors.Join(err, t.unlead(list[:i]))
		}
	}
	return nil
}

// lead leads one network to the device.
func (t *TUN) lead(prefix netip.Prefix, local []wire.TrafficSelector, peer netip.Addr) error {
	if prefix.Contains(peer) {
		if prefix.Bits() == prefix.Addr().BitLen() {
			return fmt.Errorf("the tunnel is for the peer's own address %s, as in transport mode: through a TUN device its own packets would go into it; --data xfrm has the kernel carry it, and ipsec up --netstack the stack of the process", peer)
		}
		if err := t.outside.keep(peer, t.index); err != nil {
			return err
		}
	}
	if t.routes[prefix] == 0 {
		err := t.nl.RouteAdd(t.route(prefix, source(t.nl, local, prefix.Addr().Is4())))
		if errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("there is a route to %s already, which is not of this tunnel: remove it, or leave the network out of the policy", prefix)
		}
		if err != nil {
			return fmt.Errorf("route to %s through %s: %w", prefix, t.Name, err)
		}
	}
	t.routes[prefix]++
	return nil
}

// Unroute takes routes back that no child needs any more.
func (t *TUN) Unroute(_, remote []wire.TrafficSelector) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unlead(prefixes(remote))
}

func (t *TUN) unlead(list []netip.Prefix) error {
	var err error
	for _, prefix := range list {
		if t.routes[prefix]--; t.routes[prefix] > 0 {
			continue
		}
		delete(t.routes, prefix)
		err = errors.Join(err, unroute(t.nl, t.route(prefix, nil)))
	}
	return err
}

func (t *TUN) route(prefix netip.Prefix, source net.IP) *netlink.Route {
	scope := netlink.SCOPE_LINK
	if prefix.Addr().Is6() {
		scope = netlink.SCOPE_UNIVERSE
	}
	return &netlink.Route{LinkIndex: t.index, Scope: scope, Src: source, Dst: ipNet(prefix)}
}

// source gives an address of this host that lies in the local selectors, nil
// where it has none: it is a gateway then.
func source(nl *netlink.Handle, local []wire.TrafficSelector, four bool) net.IP {
	family := netlink.FAMILY_V6
	if four {
		family = netlink.FAMILY_V4
	}
	addresses, err := nl.AddrList(nil, family)
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
		for _, p := range networks(list[i].Start, list[i].End, maxPrefixes) {
			if p.Bits() > 0 {
				add(p)
				continue
			}
			low := netip.PrefixFrom(p.Addr(), 1)
			add(low)
			add(netip.PrefixFrom(lastOf(low).Next(), 1))
		}
	}
	return all
}
