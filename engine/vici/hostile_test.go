package vici_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/vici"
	"github.com/cloudvlan/cvlanctl/engine/vici/packet"
	"github.com/cloudvlan/cvlanctl/engine/vici/vicitest"
)

// serve starts a server for a test and gives a client of it.
func serve(t *testing.T, s *vicitest.Server) *vici.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vici")
	if err := s.Listen("unix", path); err != nil {
		t.Fatal(err)
	}
	c := vici.New(vici.Addr{Network: "unix", Address: path})
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return c
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

// TestHostileServersGiveAClearErrorInTime proves that whatever a server does,
// every kind of call ends by its context, with an error of the right kind.
func TestHostileServersGiveAClearErrorInTime(t *testing.T) {
	calls := []struct {
		name string
		call func(context.Context, *vici.Client) error
	}{
		{"a command", func(ctx context.Context, c *vici.Client) error { _, err := c.Version(ctx); return err }},
		{"a listing", func(ctx context.Context, c *vici.Client) error { _, err := c.SAs(ctx, backend.Filter{}); return err }},
		{"a command with progress", func(ctx context.Context, c *vici.Client) error {
			return c.Up(ctx, backend.Target{Child: "net"}, backend.UpOptions{}, nil)
		}},
		{"the event stream", func(ctx context.Context, c *vici.Client) error {
			for _, err := range c.Events(ctx, backend.EventOptions{}) {
				if err != nil {
					return err
				}
			}
			return &vici.Error{Kind: backend.ErrUnreachable, Op: "events", Err: ctx.Err()}
		}},
	}
	for _, m := range vicitest.Misbehaviours() {
		for _, call := range calls {
			t.Run(m.Name+"/"+call.name, func(t *testing.T) {
				goroutines(t)
				c := serve(t, vicitest.NewRaw(m.Serve))
				limit := time.Minute // a violation is seen at once
				if !m.Protocol {
					limit = 300 * time.Millisecond
				}
				err := call.call(timeout(t, limit), c)
				if err == nil {
					t.Fatal("no error")
				}
				var e *vici.Error
				if !errors.As(err, &e) {
					t.Fatalf("%T: %v", err, err)
				}
				if m.Protocol && !errors.Is(err, backend.ErrProtocol) {
					t.Errorf("not a violation of the protocol: %v", err)
				}
				if !m.Protocol && !errors.Is(err, backend.ErrUnreachable) {
					t.Errorf("not unreachable: %v", err)
				}
				if strings.ContainsAny(err.Error(), "\n\x1b") {
					t.Errorf("error text is not one clean line: %q", err)
				}
			})
		}
	}
}

func TestAbsentDaemonIsUnreachable(t *testing.T) {
	goroutines(t)
	c := vici.New(vici.Addr{Network: "unix", Address: filepath.Join(t.TempDir(), "none")})
	defer func() { _ = c.Close() }() // never connected
	_, err := c.Version(timeout(t, time.Second))
	if !errors.Is(err, backend.ErrUnreachable) {
		t.Error(err)
	}
	if s, err := c.Snapshot(timeout(t, time.Second)); s != nil || !errors.Is(err, backend.ErrUnreachable) {
		t.Errorf("snapshot %v, %v", s, err)
	}
	if c.State().Live || c.State().Err == nil {
		t.Errorf("state %+v", c.State())
	}
}

func TestUnknownCommandIsUnsupported(t *testing.T) {
	c := serve(t, vicitest.NewServer(nil))
	if _, err := c.Version(timeout(t, time.Minute)); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("command: %v", err)
	}
	if _, err := c.SAs(timeout(t, time.Minute), backend.Filter{}); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("event: %v", err)
	}
	if !c.State().Live {
		t.Error("a daemon that says so is there")
	}
}

func TestRefusalCarriesTheDaemonsReason(t *testing.T) {
	c := serve(t, vicitest.NewServer(map[string]vicitest.Command{"initiate": func(*vicitest.Call) []packet.Element {
		return []packet.Element{packet.Value("success", "no"), packet.Value("errmsg", "CHILD_SA config 'x' not found")}
	}}, "control-log"))
	err := c.Up(timeout(t, time.Minute), backend.Target{Child: "x"}, backend.UpOptions{}, nil)
	if !errors.Is(err, backend.ErrRefused) || !strings.Contains(err.Error(), "CHILD_SA config 'x' not found") {
		t.Error(err)
	}
}

// TestEventsBeforeAConfirmationDoNotBlock proves that a subscription is
// confirmed although events of an earlier one come in between.
func TestEventsBeforeAConfirmationDoNotBlock(t *testing.T) {
	goroutines(t)
	log := vicitest.AppendPacket(nil, packet.Event, "ike-updown", []packet.Element{packet.Value("up", "yes"), vicitest.SA(0, false)})
	confirm := vicitest.AppendPacket(nil, packet.Confirm, "", nil)
	version := vicitest.AppendPacket(nil, packet.Response, "", []packet.Element{packet.Value("version", "6.0.3")})
	c := serve(t, vicitest.NewRaw(func(nc net.Conn) {
		buf := make([]byte, 4096)
		for answer := version; ; answer = confirm {
			if _, err := nc.Read(buf); err != nil {
				return
			}
			for range 3 {
				if _, err := nc.Write(log); err != nil {
					return
				}
			}
			if _, err := nc.Write(answer); err != nil {
				return
			}
		}
	}))
	ups := 0
	for e, err := range c.Events(timeout(t, time.Minute), backend.EventOptions{Every: -1}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Change != nil {
			if ups++; ups == 9 {
				break
			}
		}
	}
	if ups < 9 {
		t.Errorf("%d events came through", ups)
	}
}

// TestListingLosesNothing proves that a listing is whole however fast it comes.
func TestListingLosesNothing(t *testing.T) {
	goroutines(t)
	c := serve(t, vicitest.NewDaemon(5000, 2000))
	ctx := timeout(t, 60*time.Second)
	s, err := c.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Connections) != 5000 || len(s.SAs) != 2000 || len(s.Tunnels) != 5000 {
		t.Fatalf("%d connections, %d SAs, %d tunnels", len(s.Connections), len(s.SAs), len(s.Tunnels))
	}
	up := 0
	for i := range s.Tunnels {
		if s.Tunnels[i].Name != vicitest.Name(i) || len(s.Tunnels[i].Children) != 1 {
			t.Fatalf("tunnel %d is %s", i, s.Tunnels[i].Name)
		}
		if s.Tunnels[i].Up() && s.Tunnels[i].Children[0].Up() {
			up++
		}
	}
	if up != 2000 {
		t.Errorf("%d tunnels up", up)
	}
}

// TestOverTCP proves that a daemon is reached over TCP too.
func TestOverTCP(t *testing.T) {
	s := vicitest.NewDaemon(1, 1)
	if err := s.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }() // its work is done
	a, err := vici.ParseAddr("vici:tcp://" + s.Address().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := vici.Dial(timeout(t, time.Minute), a)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // never fails
	if sas, err := c.SAs(timeout(t, time.Minute), backend.Filter{}); err != nil || len(sas) != 1 {
		t.Errorf("%d SAs, %v", len(sas), err)
	}
}
