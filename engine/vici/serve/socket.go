package serve

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Listen makes a UNIX socket at a path that only its owner can use (0600). The
// folder must be there. A socket that nobody listens on any more is replaced;
// one that somebody does, and anything else at the path, is refused. Closing
// the listener removes the socket.
func Listen(path string) (net.Listener, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("VICI socket: %w", err)
	}
	if err := vacant(path); err != nil {
		return nil, err
	}
	// The socket is made in a folder that is closed to others and comes to its
	// place with its mode: at no time can another connect to it.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, fmt.Errorf("VICI socket %s: %w", path, err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is empty by then
	made := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("VICI socket %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	s := &socket{UnixListener: l, path: path}
	err = os.Chmod(made, 0o600)
	if err == nil {
		err = os.Rename(made, path)
	}
	if err == nil {
		s.own, err = os.Lstat(path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("VICI socket %s: %w", path, err), l.Close())
	}
	return s, nil
}

// ErrInUse says that somebody listens on a socket already.
var ErrInUse = errors.New("somebody listens there already")

// vacant says why a socket cannot be made at a path, nil where it can.
func vacant(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("VICI socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("VICI socket %s: a file is there that is no socket", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		return errors.Join(fmt.Errorf("VICI socket %s: %w", path, ErrInUse), c.Close())
	}
	if !refused(err) {
		return fmt.Errorf("VICI socket %s: it is not known whether somebody listens there: %w", path, err)
	}
	return nil
}

// socket is a listener that takes its socket away at the end, and no other that
// came into its place.
type socket struct {
	*net.UnixListener
	path string
	own  fs.FileInfo
}

// Addr is the path of the socket.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// Close ends the listener and removes its socket.
func (s *socket) Close() error {
	err := s.UnixListener.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	if there, e := os.Lstat(s.path); e == nil && os.SameFile(there, s.own) {
		err = errors.Join(err, os.Remove(s.path))
	}
	return err
}
