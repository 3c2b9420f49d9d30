package serve_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/engine/native/nativetest"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/engine/vici/serve"
)

// patience bounds every wait of these tests.
const patience = time.Minute

func limited(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("it did not come to this: %s", what)
}

// socketPath gives a path that is short enough for a socket.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cvl-s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("the folder of the socket holds %v at the end (%v)", left, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "vici")
}

// served gives the path of a socket at which a backend is served.
func served(t testing.TB, b backend.Backend, o serve.Options) (*serve.Server, string) {
	t.Helper()
	path := socketPath(t)
	l, err := serve.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := serve.New(b, o)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
	return s, path
}

// client gives a client of ours, which asks for more than VICI has where it is
// told that it speaks to an engine of ours.
func client(t testing.TB, path string, engine bool) *vici.Client {
	t.Helper()
	c := vici.New(vici.Addr{Network: "unix", Address: path, Engine: engine})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// bare starts an engine without a connection.
func bare(t testing.TB) *native.Engine { return running(t, nil) }

// running is a bare engine with a data plane.
func running(t testing.TB, plane native.DataPlane) *native.Engine {
	t.Helper()
	return nativetest.Start(t, native.Options{Version: "1.2.3", Plane: plane})
}

// pair starts two engines with a connection gw between them, of which a knows
// where b is. It has two children, net and spare; b refuses spare.
func pair(t testing.TB) (a, b *native.Engine) {
	t.Helper()
	a, b = bare(t), bare(t)
	for _, side := range []struct {
		e        *native.Engine
		own, far string
		words    []string
	}{
		{a, "a", "b", []string{"remote_addrs=127.0.0.1", fmt.Sprint("remote_port=", b.LocalAddr().Port()), "dpd_delay=30s",
			"children.net.local_ts=10.1.0.0/24", "children.net.remote_ts=10.2.0.0/24", "children.spare.local_ts=10.9.0.0/24", "children.spare.remote_ts=10.8.0.0/24"}},
		{b, "b", "a", []string{"children.net.local_ts=10.2.0.0/24", "children.net.remote_ts=10.1.0.0/24"}},
	} {
		words := append([]string{"proposals=aes256-sha256-ecp256", "local.auth=psk", "remote.auth=psk", "local.id=" + side.own + ".example", "remote.id=" + side.far + ".example"}, side.words...)
		if err := errors.Join(side.e.LoadSecret(limited(t), backend.Secret{ID: "psk", Type: "IKE", Data: []byte("tests only")}),
			side.e.LoadConnection(limited(t), "gw", nativetest.Section(words...))); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

func up(t testing.TB, b backend.Backend) {
	t.Helper()
	if err := b.Up(limited(t), backend.Target{IKE: "gw", Child: "net"}, backend.UpOptions{}, nil); err != nil {
		t.Fatal(err)
	}
}

// goroutines waits until no more run than did at first, and fails with their
// stacks where some stay.
func goroutines(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for range 6000 {
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		buf := make([]byte, 1<<16)
		t.Errorf("goroutines stay behind:\n%s", buf[:runtime.Stack(buf, true)])
	})
}

func TestSocketIsItsOwnersAndGoesAtTheEnd(t *testing.T) {
	goroutines(t)
	path := socketPath(t)
	l, err := serve.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", info, err)
	}
	if l.Addr().String() != path {
		t.Errorf("it says that it listens at %s", l.Addr())
	}
	if _, err := serve.Listen(path); !errors.Is(err, serve.ErrInUse) {
		t.Errorf("a socket that somebody listens on: %v", err)
	}
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Error(err)
	}

	// What is left of one that ended without a word is replaced.
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = serve.Listen(path); err != nil {
		t.Fatal(err)
	}
	// Another that came into its place is left alone.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := serve.Listen(path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file in the way: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{filepath.Join(path, "none", "vici"), filepath.Join(filepath.Dir(path), strings.Repeat("x", 300))} {
		if _, err := serve.Listen(bad); err == nil {
			t.Errorf("a socket at %s", bad)
		}
	}
}

func TestAServerThatIsClosedServesNobody(t *testing.T) {
	goroutines(t)
	e := bare(t)
	s := serve.New(e, serve.Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := serve.Listen(socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(l); err == nil {
		t.Error("it serves")
	}
}
