package lab

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// charonGateway is a strongSwan in a guest, whose kernel does ESP.
type charonGateway struct {
	guest   *Guest
	version string
	daemon  *Daemon
	loaded  []GatewayConnection
	running bool
}

func newCharonGateway(ctx context.Context, g *Guest) (*charonGateway, error) {
	version, err := StrongSwanVersion(ctx)
	if err != nil {
		return nil, err
	}
	d, err := NewDaemon(g, filepath.Join(g.Dir, "charon"), DaemonConfig{
		KernelESP: true,
		LogLevels: []string{"ike = 2", "chd = 2"}, // no keys
		// A peer that is gone is given up within ten seconds, and a child that was
		// replaced stays for packets under way one second, not five.
		Options: []string{"retransmit_timeout = 1", "retransmit_base = 1.5", "retransmit_tries = 3", "delete_rekeyed_delay = 1"},
	})
	if err != nil {
		return nil, err
	}
	return &charonGateway{guest: g, version: version, daemon: d}, nil
}

func (s *charonGateway) Software() Software { return StrongSwan }
func (s *charonGateway) Version() string    { return s.version }
func (s *charonGateway) Log() string        { return s.daemon.LogPath() }

func (s *charonGateway) Start(ctx context.Context) error {
	if _, err := s.guest.shell(ctx, forget); err != nil {
		return err
	}
	if err := s.daemon.Start(ctx); err != nil {
		return err
	}
	s.running = true
	return s.Load(ctx, s.loaded...)
}

func (s *charonGateway) Load(ctx context.Context, list ...GatewayConnection) error {
	s.loaded = slices.Clone(list)
	if !s.running {
		return nil
	}
	var ends []End
	for i := range list {
		end, err := charonEnd(&list[i])
		if err != nil {
			return err
		}
		if err := end.WriteCredentials(s.daemon.Dir); err != nil {
			return err
		}
		ends = append(ends, end)
	}
	return s.daemon.Load(ctx, swanctlConf(ends...))
}

// charonEnd is a connection as an End.
func charonEnd(c *GatewayConnection) (End, error) {
	e := End{Name: c.Name, Version: "2", LocalAddrs: c.Local, RemoteAddrs: c.Remote,
		Proposals: strings.Join(c.IKE, ","), ESP: strings.Join(c.ESP, ","),
		LocalTS: strings.Join(c.LocalTS, ","), RemoteTS: strings.Join(c.RemoteTS, ","),
		Local: Auth{Method: "psk", ID: charonID(c.LocalID)}, Remote: Auth{Method: "psk", ID: charonID(c.RemoteID)}}
	if c.Identity != nil {
		if err := e.Present(c.Identity); err != nil {
			return e, err
		}
		if c.SignBy != "" {
			e.Local.Method = c.SignBy
		}
	}
	if root := c.root(); root != nil {
		e.Trust(root)
		e.Remote.Method = "pubkey"
	}
	if c.PSK != "" {
		e.Secrets = []string{fmt.Sprintf("ike-%s {\nid-1 = %s\nid-2 = %s\nsecret = \"%s\"\n}", c.Name, charonID(c.LocalID), charonID(c.RemoteID), c.PSK)}
	}
	conn := func(format string, args ...any) { e.Conn = append(e.Conn, fmt.Sprintf(format, args...)) }
	child := func(format string, args ...any) { e.Child = append(e.Child, fmt.Sprintf(format, args...)) }
	if c.Start {
		child("start_action = start")
	}
	if c.RekeyIKE > 0 {
		conn("rekey_time = %ds", seconds(c.RekeyIKE))
		conn("over_time = 60s")
		conn("rand_time = 0s")
	}
	if c.RekeyChild > 0 {
		child("rekey_time = %ds", seconds(c.RekeyChild))
		child("life_time = %ds", seconds(c.RekeyChild)+60)
		child("rand_time = 0s")
	}
	if c.DPDDelay > 0 {
		conn("dpd_delay = %ds", seconds(c.DPDDelay))
	}
	if c.ForceEncap {
		conn("encap = yes")
	}
	if c.Transport {
		child("mode = transport")
	}
	if c.NoFragmentation {
		conn("fragmentation = no")
	}
	e.Conn = append(e.Conn, c.Lines...)
	e.Child = append(e.Child, c.ChildLines...)
	return e, nil
}

// charonID writes an identity as swanctl.conf has it.
func charonID(id string) string {
	if strings.Contains(id, "=") {
		return `"` + id + `"`
	}
	return id
}

func (s *charonGateway) Initiate(ctx context.Context, name string) error {
	return s.order(ctx, name, "--initiate", "--ike", name, "--child", "net", "--timeout", "60")
}

func (s *charonGateway) Terminate(ctx context.Context, name string) error {
	return s.order(ctx, name, "--terminate", "--ike", name, "--timeout", "60")
}

func (s *charonGateway) TerminateChild(ctx context.Context, name string) error {
	return s.order(ctx, name, "--terminate", "--ike", name, "--child", "net", "--timeout", "60")
}

func (s *charonGateway) RekeyIKE(ctx context.Context, name string) error {
	return s.order(ctx, name, "--rekey", "--ike", name)
}

func (s *charonGateway) RekeyChild(ctx context.Context, name string) error {
	return s.order(ctx, name, "--rekey", "--ike", name, "--child", "net")
}

func (s *charonGateway) order(ctx context.Context, name string, args ...string) error {
	if _, err := find(s.loaded, name); err != nil {
		return err
	}
	_, err := s.daemon.Swanctl(ctx, args...)
	return err
}

func (s *charonGateway) Established(ctx context.Context, name string) (int, error) {
	return established(ctx, s, `(?m)^`+regexp.QuoteMeta(name)+`: #\d+, ESTABLISHED`)
}

func (s *charonGateway) Status(ctx context.Context) (string, error) {
	return s.daemon.Swanctl(ctx, "--list-sas", "--noblock")
}

func (s *charonGateway) Stop(ctx context.Context) error {
	s.running = false
	return errors.Join(s.daemon.Stop(), s.gone(ctx))
}

func (s *charonGateway) Kill(ctx context.Context) error {
	s.running = false
	return errors.Join(s.daemon.Kill(), s.gone(ctx))
}

// gone waits until the daemon has ended.
func (s *charonGateway) gone(ctx context.Context) error {
	_, err := s.guest.shell(ctx, waitGone("charon-systemd"))
	return err
}
