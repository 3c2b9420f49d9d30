package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	viciserve "github.com/cloudvlan/cvlanctl/engine/vici/serve"
)

// noSocket is the value of --socket that serves nobody.
const noSocket = "none"

// engineSocket is where `ipsec run` serves VICI that was not told otherwise.
func (a *App) engineSocket() string {
	dir := "/run"
	if os.Geteuid() != 0 {
		if dir, _ = a.Term.Env("XDG_RUNTIME_DIR"); !filepath.IsAbs(dir) {
			return filepath.Join(os.TempDir(), fmt.Sprintf("cvlanctl-%d", os.Geteuid()), "engine.vici")
		}
	}
	return filepath.Join(dir, "cvlanctl", "engine.vici")
}

// listenEngine makes the socket of an engine: at a path that was asked for, or
// at the usual one, whose folder is made for its owner alone.
func (a *App) listenEngine(path string) (net.Listener, error) {
	if path == "" {
		path = a.engineSocket()
		if err := privateDir(filepath.Dir(path)); err != nil {
			return nil, err
		}
	}
	l, err := viciserve.Listen(path)
	if errors.Is(err, viciserve.ErrInUse) {
		return nil, &advisedError{err, []string{"Another engine runs: --socket PATH serves this one elsewhere, --socket none not at all."}}
	}
	return l, err
}

// privateDir makes a folder that is closed to others, or finds it to be so.
func privateDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err == nil || !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir() || info.Mode().Perm()&0o022 != 0 || !ownedByUs(info):
		return fmt.Errorf("folder %s for the socket: others can write there, or it is not ours; --socket says where else", dir)
	}
	return nil
}

// serveEngine serves a backend at a socket until the function that it gives is
// called.
func serveEngine(b backend.Backend, l net.Listener) (end func() error) {
	s := viciserve.New(b, viciserve.Options{})
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	return func() error { return errors.Join(s.Close(), <-failed) }
}

// dialEngine reaches an engine that serves at an address, "" for the usual one.
func (a *App) dialEngine(ctx context.Context, rest string) (*vici.Client, error) {
	if rest == "" {
		rest = a.engineSocket()
	}
	addr, err := vici.ParseAddr("engine:" + rest)
	if err != nil {
		return nil, &usageError{err}
	}
	client, err := vici.Dial(ctx, addr)
	if err != nil {
		return nil, advise(err)
	}
	return client, nil
}
