package link

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// notesDir is where it is written down what has to be taken back after a crash.
const notesDir = "/run/cvlanctl"

// notes are what is set and does not end with the process. It is first written
// into a file, which is locked while the process lives; whoever starts later
// takes back what is written in files that nobody holds. What cannot be written
// must not be set.
type notes struct {
	dir  string
	here string   // the network namespace
	file *os.File // nil before the first note
}

// The first words of notes.
const (
	noteRoute  = "route"  // a network that a route of ours leads to
	noteReqids = "reqids" // the base of the numbers of states and policies of the kernel
	noteLarval = "larval" // what xfrm_larval_drop was
)

// namespace names the network namespace of the calling thread.
func namespace() (string, error) {
	name, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return "", fmt.Errorf("network namespace: %w", err)
	}
	return name, nil
}

// add writes something down. The first line of the file is the namespace.
func (n *notes) add(word string, value any) error {
	if n.file == nil {
		if err := os.MkdirAll(n.dir, 0o755); err != nil {
			return err
		}
		f, err := os.CreateTemp(n.dir, "notes-*")
		if err != nil {
			return err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			_, err = fmt.Fprintln(f, n.here)
		}
		if err != nil {
			return errors.Join(err, os.Remove(f.Name()), f.Close())
		}
		n.file = f
	}
	_, err := fmt.Fprintln(n.file, word, value)
	return err
}

// close ends the notes. Clean says that all of it was taken back; else it is
// left for the next start.
func (n *notes) close(clean bool) error {
	if n.file == nil {
		return nil
	}
	var err error
	if clean {
		err = os.Remove(n.file.Name())
	}
	err = errors.Join(err, n.file.Close())
	n.file = nil
	return err
}

// maxNotes bounds a file that is read.
const maxNotes = 1 << 20

// left is what a process that is gone has noted.
type left struct {
	routes map[netip.Prefix]bool
	reqids map[uint32]bool
	larval string
}

// sweep takes back what processes which are gone have left in the namespace of
// the calling thread.
func (n *notes) sweep(nl *netlink.Handle) error {
	files, err := filepath.Glob(filepath.Join(n.dir, "notes-*"))
	if err != nil {
		return err
	}
	for _, name := range files {
		err = errors.Join(err, n.sweepFile(nl, name))
	}
	return err
}

func (n *notes) sweepFile(nl *netlink.Handle, name string) error {
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
	text, err := io.ReadAll(io.LimitReader(f, maxNotes))
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	if !lines.Scan() || lines.Text() != n.here {
		if strings.HasPrefix(lines.Text(), "net:") {
			return nil // of another namespace: for who starts there
		}
		return os.Remove(name) // it ended before it could set anything
	}
	if err := readNotes(string(text)).takeBack(nl); err != nil {
		return err
	}
	return os.Remove(name)
}

// readNotes reads a file of notes. A line that was cut off is of something that
// was not set.
func readNotes(text string) *left {
	l := &left{routes: map[netip.Prefix]bool{}, reqids: map[uint32]bool{}}
	for line := range strings.Lines(text) {
		line, whole := strings.CutSuffix(line, "\n")
		word, value, _ := strings.Cut(line, " ")
		if !whole {
			continue
		}
		switch word {
		case noteRoute:
			if p, err := netip.ParsePrefix(value); err == nil {
				l.routes[p] = true
			}
		case noteReqids:
			var base uint32
			if _, err := fmt.Sscanf(value, "%d", &base); err == nil && base != 0 {
				l.reqids[base] = true
			}
		case noteLarval:
			l.larval = value
		}
	}
	return l
}

// takeBack removes what was left.
func (l *left) takeBack(nl *netlink.Handle) error {
	var err error
	if len(l.routes) > 0 {
		routes, listed := nl.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Protocol: routeProtocol}, netlink.RT_FILTER_PROTOCOL)
		if listed != nil {
			err = fmt.Errorf("routes left by an earlier run: %w", listed)
		}
		for i := range routes {
			if p, ok := prefixOf(routes[i].Dst); ok && l.routes[p] {
				err = errors.Join(err, unroute(nl, &routes[i]))
			}
		}
	}
	if len(l.reqids) > 0 {
		err = errors.Join(err, clearXFRM(l.reqids))
	}
	if l.larval != "" {
		err = errors.Join(err, os.WriteFile(larvalDrop, []byte(l.larval), 0o644))
	}
	return err
}

// unroute removes a route. That it is not there any more is as well.
func unroute(nl *netlink.Handle, r *netlink.Route) error {
	if err := nl.RouteDel(r); err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing the route to %s: %w", r.Dst, err)
	}
	return nil
}
