package link

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// routeProtocol marks the routes that are ours but not of our device
// (rtnetlink's protocol number, one that no routing daemon has).
const routeProtocol = 157

// outside keeps peers reachable that lie in a network which a tunnel leads to:
// by routes along the way that led to them before. These are the only thing set
// that does not end with the process, so each is first written into a file,
// which is locked while the process lives; whoever starts later removes what is
// written in files that nobody holds. Where it cannot be written, no route is set.
type outside struct {
	dir    string
	here   string // the network namespace
	nl     *netlink.Handle
	file   *os.File // nil before the first route
	routes map[netip.Addr]*netlink.Route
}

// namespace names the network namespace of the calling thread.
func namespace() (string, error) {
	name, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return "", fmt.Errorf("network namespace: %w", err)
	}
	return name, nil
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
	if err := o.note(peer); err != nil {
		return fmt.Errorf("the route to the peer %s cannot be noted down, and so not be set: %w", peer, err)
	}
	r.Dst = &net.IPNet{IP: peer.AsSlice(), Mask: net.CIDRMask(peer.BitLen(), peer.BitLen())}
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

// note writes a peer down. The first line of the file is the namespace.
func (o *outside) note(peer netip.Addr) error {
	if o.file == nil {
		if err := os.MkdirAll(o.dir, 0o755); err != nil {
			return err
		}
		f, err := os.CreateTemp(o.dir, "routes-*")
		if err != nil {
			return err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			_, err = fmt.Fprintln(f, o.here)
		}
		if err != nil {
			return errors.Join(err, os.Remove(f.Name()), f.Close())
		}
		o.file = f
	}
	_, err := fmt.Fprintln(o.file, peer)
	return err
}

// close takes all routes back.
func (o *outside) close() error {
	var err error
	for peer, r := range o.routes {
		err = errors.Join(err, unroute(o.nl, r))
		delete(o.routes, peer)
	}
	if o.file == nil {
		return err
	}
	if err == nil { // else there is something to be removed at the next start
		err = os.Remove(o.file.Name())
	}
	err = errors.Join(err, o.file.Close())
	o.file = nil
	return err
}

// unroute removes a route. That it is not there any more is as well.
func unroute(nl *netlink.Handle, r *netlink.Route) error {
	if err := nl.RouteDel(r); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing the route to %s: %w", r.Dst, err)
	}
	return nil
}

// maxNotes bounds a file that is read.
const maxNotes = 1 << 20

// sweep removes the routes that processes which are gone have left in the
// namespace of the calling thread.
func (o *outside) sweep() error {
	files, err := filepath.Glob(filepath.Join(o.dir, "routes-*"))
	if err != nil {
		return err
	}
	for _, name := range files {
		err = errors.Join(err, o.sweepFile(name))
	}
	return err
}

func (o *outside) sweepFile(name string) error {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // read only: nothing can be lost
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil // its owner lives
	}
	lines := bufio.NewScanner(io.LimitReader(f, maxNotes))
	if !lines.Scan() || lines.Text() != o.here {
		if lines.Err() == nil && strings.HasPrefix(lines.Text(), "net:") {
			return nil // of another namespace: for who starts there
		}
		return os.Remove(name) // it ended before it could set anything
	}
	routes, err := o.nl.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: routeProtocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("routes left by an earlier run: %w", err)
	}
	left := map[string]*netlink.Route{}
	for i := range routes {
		if routes[i].Dst != nil {
			left[routes[i].Dst.IP.String()] = &routes[i]
		}
	}
	for lines.Scan() {
		// A line that was cut off names no route that was set.
		if r := left[lines.Text()]; r != nil {
			err = errors.Join(err, unroute(o.nl, r))
		}
	}
	if err = errors.Join(err, lines.Err()); err != nil {
		return err
	}
	return os.Remove(name)
}
