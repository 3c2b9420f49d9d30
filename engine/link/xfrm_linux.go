package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// larvalDrop is the setting whether packets are dropped that wait for an SA.
const larvalDrop = "/proc/sys/net/core/xfrm_larval_drop"

// linux is the kernel of Linux, in one network namespace.
type linux struct {
	xfrm   *xfrmSocket
	events *xfrmEvents
	nl     *netlink.Handle
	notes  *notes
	larval *os.File // of this namespace; nil where it cannot be set
	before string   // what it was, "" while it is not ours
	base   uint32
	encap  error // why ESP in UDP is not possible, nil where it is

	mu     sync.Mutex
	routes map[netip.Prefix]*lead
}

// openKernel opens the kernel of the calling thread's namespace, where it has
// ESP, and takes back what was left there.
func openKernel(dir string, base uint32) (_ kernel, err error) {
	here, err := namespace()
	if err != nil {
		return nil, err
	}
	k := &linux{notes: &notes{dir: dir, here: here}, base: base, routes: map[netip.Prefix]*lead{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.close(true))
		}
	}()
	if k.xfrm, err = openXFRMSocket(); err != nil {
		return nil, err
	}
	if err := k.xfrm.probe(netip.MustParseAddr("127.0.0.1")); err != nil {
		return nil, err
	}
	if k.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return nil, err
	}
	if err := k.notes.sweep(k.nl); err != nil {
		return nil, err
	}
	if k.events, err = openXFRMEvents(); err != nil {
		return nil, err
	}
	// Where it is not there or not to be written, a packet that waits is lost.
	k.larval, _ = os.OpenFile(larvalDrop, os.O_RDWR, 0)
	if err := k.notes.add(noteReqids, base); err != nil {
		return nil, fmt.Errorf("SAs cannot be noted down in %s, and so not be set: %w", dir, err)
	}
	return k, nil
}

// adopt sets the options of the sockets.
func (k *linux) adopt(a *Attachment) error {
	if a.Local.Is6() {
		if err := k.xfrm.probe(netip.IPv6Loopback()); err != nil {
			return err
		}
	}
	for _, c := range []*net.UDPConn{a.IKE, a.NATT} {
		if err := withDescriptor(c, func(fd int) error { return bypass(fd, a.Local.Is6()) }); err != nil {
			return fmt.Errorf("socket %s: exempting it from the policies: %w", c.LocalAddr(), err)
		}
	}
	k.encap = withDescriptor(a.NATT, func(fd int) error {
		return os.NewSyscallError("setsockopt UDP_ENCAP", unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_ENCAP, unix.UDP_ENCAP_ESPINUDP))
	})
	if k.encap != nil && !a.Local.Is6() { // over IPv6 kernels before 5.8 do not, and most tunnels have no need of it
		return fmt.Errorf("socket %s: ESP in UDP: %w", a.NATT.LocalAddr(), k.encap)
	}
	return nil
}

func (k *linux) addState(s *xfrmState) error {
	if s.encap && k.encap != nil {
		return fmt.Errorf("ESP in UDP, which this kernel does not do over IPv6: %w", k.encap)
	}
	return k.xfrm.putState(s, nil, false)
}

func (k *linux) updateState(s *xfrmState) error { return k.xfrm.putState(s, nil, true) }

func (k *linux) moveState(old, s *xfrmState) error {
	stands, err := k.xfrm.getState(old.id())
	if err != nil {
		return err
	}
	if err := k.xfrm.deleteState(old.id()); err != nil {
		return err
	}
	return k.xfrm.putState(s, stands, false)
}

func (k *linux) removeState(id xfrmID) error { return k.xfrm.deleteState(id) }

func (k *linux) read(id xfrmID) (xfrmUse, error) {
	s, err := k.xfrm.getState(id)
	if err != nil {
		return xfrmUse{}, err
	}
	return s.use, nil
}

func (k *linux) readAll(base uint32) (map[xfrmID]xfrmUse, error) {
	all := map[xfrmID]xfrmUse{}
	err := k.xfrm.states(func(s *xfrmStanding) {
		if s.reqid&^0xffff == base {
			all[s.id] = s.use
		}
	})
	return all, err
}

func (k *linux) setPolicy(key xfrmKey, p *xfrmPolicy, there bool) error {
	err := k.xfrm.putPolicy(key, p, there)
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%s: there is one already, which is not of this engine ('ip xfrm policy' shows it): does another IKE daemon run here?", key)
	}
	return err
}

func (k *linux) removePolicy(key xfrmKey) error { return k.xfrm.deletePolicy(key) }

// hold has packets wait for the SA that they have asked for.
func (k *linux) hold() error {
	if k.larval == nil || k.before != "" {
		return nil
	}
	b := make([]byte, 16)
	n, err := k.larval.ReadAt(b, 0)
	was := strings.TrimSpace(string(b[:n]))
	if n == 0 {
		return fmt.Errorf("%s: %w", larvalDrop, err)
	}
	if was == "0" {
		return nil
	}
	if err := k.notes.add(noteLarval, was); err != nil {
		return fmt.Errorf("%s cannot be noted down, and so not be set: %w", larvalDrop, err)
	}
	if _, err := k.larval.WriteAt([]byte("0"), 0); err != nil {
		return fmt.Errorf("%s: %w", larvalDrop, err)
	}
	k.before = was
	return nil
}

func (k *linux) watch(f func(xfrmEvent)) { k.events.watch(f) }

func (k *linux) close(clean bool) error {
	var err error
	if k.before != "" {
		_, err = k.larval.WriteAt([]byte(k.before), 0)
		k.before = ""
	}
	if k.larval != nil {
		_ = k.larval.Close() // what was written took effect at once
	}
	if k.nl != nil {
		for _, l := range k.routes {
			err = errors.Join(err, unroute(k.nl, &l.route))
		}
		clear(k.routes)
		k.nl.Close()
	}
	if k.events != nil {
		k.events.close()
	}
	if k.xfrm != nil {
		k.xfrm.close()
	}
	return errors.Join(err, k.notes.close(clean && err == nil))
}

// lead is a route into a tunnel, and how many children it is for.
type lead struct {
	route netlink.Route
	users int
}

// lead sets routes to the remote networks along the way to the peer, so that
// there is one, and so that packets of this host go with an address that it has
// among the local selectors. Where there is a route already it is left: traffic
// is led into a tunnel by policies.
func (k *linux) lead(local, remote []wire.TrafficSelector, peer netip.Addr) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	ways, err := k.nl.RouteGet(peer.AsSlice())
	if err != nil || len(ways) == 0 {
		return fmt.Errorf("the way to the peer %s: %w", peer, err)
	}
	for _, prefix := range ledTo(remote, peer) {
		if l := k.routes[prefix]; l != nil {
			l.users++
			continue
		}
		r := netlink.Route{LinkIndex: ways[0].LinkIndex, Dst: ipNet(prefix), Src: source(k.nl, local, prefix.Addr().Is4()), Protocol: routeProtocol}
		switch {
		case prefix.Addr().Is4() != peer.Is4():
			r.Scope = netlink.SCOPE_LINK
			if prefix.Addr().Is6() {
				r.Scope = netlink.SCOPE_UNIVERSE
			}
		case ways[0].Gw != nil:
			r.Gw = ways[0].Gw
		default:
			r.Gw = peer.AsSlice()
		}
		if err := k.notes.add(noteRoute, prefix); err != nil {
			return fmt.Errorf("the route to %s cannot be noted down, and so not be set: %w", prefix, err)
		}
		switch err := k.nl.RouteAdd(&r); {
		case errors.Is(err, unix.EEXIST):
			continue
		case err != nil:
			return fmt.Errorf("route to %s by way of %s: %w", prefix, peer, err)
		}
		k.routes[prefix] = &lead{route: r, users: 1}
	}
	return nil
}

func (k *linux) unlead(remote []wire.TrafficSelector, peer netip.Addr) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var err error
	for _, prefix := range ledTo(remote, peer) {
		l := k.routes[prefix]
		if l == nil {
			continue
		}
		if l.users--; l.users == 0 {
			delete(k.routes, prefix)
			err = errors.Join(err, unroute(k.nl, &l.route))
		}
	}
	return err
}

// ledTo gives the networks that routes are set to: those of the selectors, but
// for the peer alone, which is reachable.
func ledTo(remote []wire.TrafficSelector, peer netip.Addr) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range prefixes(remote) {
		if p != netip.PrefixFrom(peer, peer.BitLen()) {
			all = append(all, p)
		}
	}
	return all
}

// withDescriptor runs f with the descriptor of a socket.
func withDescriptor(c *net.UDPConn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}
