package serve_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/engine/native/nativetest"
	"github.com/cloudvlan/cvlanctl/engine/vici/serve"
	"github.com/cloudvlan/cvlanctl/lab/need"
)

// swanctl is the real program, pointed at a socket.
type swanctl struct {
	t    *testing.T
	path string
}

func newSwanctl(t *testing.T, path string) *swanctl {
	t.Helper()
	need.Program(t, "swanctl")
	return &swanctl{t, path}
}

func (s *swanctl) command(ctx context.Context, args []string) *exec.Cmd {
	return exec.CommandContext(ctx, "swanctl", append(args, "--uri", "unix://"+s.path)...)
}

// run gives what it prints and whether it succeeded.
func (s *swanctl) run(args ...string) (string, bool) {
	s.t.Helper()
	b, err := s.command(limited(s.t), args).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("swanctl %v: %v", args, err)
	}
	return string(b), err == nil
}

// ok runs a command that has to succeed.
func (s *swanctl) ok(args ...string) string {
	s.t.Helper()
	out, ok := s.run(args...)
	if !ok {
		s.t.Errorf("swanctl %v failed: %s", args, out)
	}
	return out
}

// says wants texts in what a command prints.
func (s *swanctl) says(out, command string, texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		if !strings.Contains(out, text) {
			s.t.Errorf("swanctl %s does not say %q:\n%s", command, text, out)
		}
	}
}

// tail gives the last lines.
func tail(lines []string) []string { return lines[max(len(lines)-20, 0):] }

// follow runs a command that goes on, does something, and waits for texts.
func (s *swanctl) follow(do func(), command string, texts ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	cmd := s.command(ctx, []string{command})
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			lines <- scan.Text()
		}
	}()
	defer func() {
		cancel()
		for range lines { // until it has gone
		}
		_ = cmd.Wait() // it was killed
	}()
	var heard []string
	// That it listens cannot be seen: so it is done again until it is heard.
	again := time.NewTicker(300 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case line, open := <-lines:
			if heard = append(heard, line); !open {
				s.t.Fatalf("swanctl %s ended; it said %q", command, tail(heard))
			}
		case <-again.C:
			do()
		case <-ctx.Done():
			s.t.Fatalf("swanctl %s has said %q, and not all of %q", command, tail(heard), texts)
		}
		all := strings.Join(heard, "\n")
		missing := false
		for _, text := range texts {
			missing = missing || !strings.Contains(all, text)
		}
		if !missing {
			return
		}
	}
}

// TestRealSwanctlDrivesTheEngine proves each command of a real swanctl against a
// running engine.
func TestRealSwanctlDrivesTheEngine(t *testing.T) {
	a, b := pair(t)
	_, path := served(t, a, serve.Options{})
	s := newSwanctl(t, path)

	s.says(s.ok("--version", "--daemon"), "--version", "cvlanctl", "1.2.3")
	s.says(s.ok("--list-conns"), "--list-conns", "gw: IKEv2, no reauthentication, rekeying every 14400s, dpd delay 30s", "local:  127.0.0.1",
		"local pre-shared key authentication:", "id: a.example", "net: TUNNEL, rekeying every 3600s", "10.1.0.0/24", "spare: TUNNEL")
	s.says(s.ok("--initiate", "--child", "net", "--loglevel", "2"), "--initiate", "[IKE] IKE_SA gw[1] established between 127.0.0.1[a.example]...127.0.0.1[b.example]",
		"[CHD] CHILD_SA net{1} established with SPIs ", "initiate completed successfully", "[CFG] proposal: ")
	sas, err := a.SAs(limited(t), backend.Filter{})
	if err != nil || len(sas) != 1 || len(sas[0].Children) != 1 {
		t.Fatalf("%+v, %v", sas, err)
	}
	sa, child := sas[0], sas[0].Children[0]
	in, _ := child.SPIIn.Get()
	s.says(s.ok("--list-sas"), "--list-sas", fmt.Sprintf("gw: #1, ESTABLISHED, IKEv2, %s_i* %s_r", sa.InitiatorSPI, sa.ResponderSPI),
		"local  'a.example' @ 127.0.0.1", "AES_CBC-256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/ECP_256", "established ", "rekeying in ",
		"net: #1, reqid 1, INSTALLED, TUNNEL, ESP:AES_GCM_16-256", in.String(), "local  10.1.0.0/24")
	if out := s.ok("--list-sas", "--ike", "other"); strings.Contains(out, "gw") {
		t.Errorf("a filter lets through: %s", out)
	}
	s.says(s.ok("--stats"), "--stats", "IKE_SAs: 1 total, 0 half-open", "uptime: ")
	s.says(s.ok("--list-algs"), "--list-algs", "AES_GCM_16[cvlanctl]", "CURVE_25519[cvlanctl]", "PRF_HMAC_SHA2_256[cvlanctl]")
	s.says(s.ok("--counters"), "--counters", "global:", "ike-init-out-req      : 1")
	s.says(s.ok("--counters", "--all"), "--counters --all", "gw:", "ike-auth-in-resp      : 1")
	s.ok("--counters", "--name", "gw", "--reset")
	s.says(s.ok("--counters", "--name", "gw"), "--counters --name", "ike-init-out-req      : 0")
	for _, quiet := range []string{"--list-pols", "--list-pools", "--list-authorities", "--list-certs", "--flush-certs"} {
		s.ok(quiet)
	}

	s.says(s.ok("--rekey", "--child", "net"), "--rekey", "rekey completed successfully")
	eventually(t, "the child is replaced", func() bool {
		now, err := a.SAs(limited(t), backend.Filter{})
		return err == nil && len(now) == 1 && len(now[0].Children) == 1 && now[0].Children[0].UniqueID != child.UniqueID
	})
	s.ok("--rekey", "--ike", "gw")
	eventually(t, "the IKE SA is replaced", func() bool {
		now, err := a.SAs(limited(t), backend.Filter{})
		return err == nil && len(now) == 1 && now[0].UniqueID != sa.UniqueID
	})
	s.says(s.ok("--terminate", "--child", "net"), "--terminate", "CHILD_SA net{", "closed", "terminate completed successfully")
	s.says(s.ok("--terminate", "--ike", "gw"), "--terminate", "IKE_SA gw[", "deleted")
	if left, err := a.SAs(limited(t), backend.Filter{}); err != nil || len(left) != 0 {
		t.Errorf("%d IKE SAs are left, %v", len(left), err)
	}

	cycle := func() {
		up(t, a)
		if err := a.Down(limited(t), backend.Target{IKE: "gw"}, backend.DownOptions{}, nil); err != nil {
			t.Error(err)
		}
	}
	s.follow(cycle, "--monitor-sa", ", ESTABLISHED, IKEv2, ", ", INSTALLED, TUNNEL, ", ", DELETING, IKEv2, ", ", DELETED, TUNNEL, ")
	s.follow(cycle, "--log", "[IKE] IKE_SA gw[", "[CHD] CHILD_SA net{")

	for _, row := range []struct {
		says string
		args []string
	}{
		{"no connection", []string{"--initiate", "--child", "none"}},
		{"failed: child spare of gw", []string{"--initiate", "--child", "spare"}},
		{"no matching SAs to terminate found", []string{"--terminate", "--ike", "none"}},
		{"no SA of", []string{"--rekey", "--ike", "none"}},
		{"reauthentication", []string{"--rekey", "--ike", "gw", "--reauth"}},
		{"trap policies", []string{"--install", "--child", "net"}},
		{"redirection", []string{"--redirect", "--ike", "gw", "--gateway", "192.0.2.1"}},
		{"reloading", []string{"--reload-settings"}},
		{"no counters found", []string{"--counters", "--name", "none"}},
	} {
		out, ok := s.run(row.args...)
		if ok || !strings.Contains(out, row.says) {
			t.Errorf("swanctl %v succeeds: %t; it says %s", row.args, ok, out)
		}
	}

	// A peer that is silent: the wait is as long as it was asked for.
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if out, ok := s.run("--initiate", "--child", "net", "--timeout", "1"); ok || !strings.Contains(out, "CHILD_SA 'net' not established after 1000ms") {
		t.Errorf("a silent peer: %t, %s", ok, out)
	}
}

// TestRawListingOfSwanctlEqualsTheEngine proves the fields of an SA one by one.
func TestRawListingOfSwanctlEqualsTheEngine(t *testing.T) {
	a, _ := pair(t)
	_, path := served(t, a, serve.Options{})
	s := newSwanctl(t, path)
	up(t, a)
	sas, err := a.SAs(limited(t), backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	sa, c := sas[0], sas[0].Children[0]
	in, _ := c.SPIIn.Get()
	out, _ := c.SPIOut.Get()
	raw := s.ok("--list-sas", "--raw")
	want := []string{
		"{gw {uniqueid=1", "version=2", "state=ESTABLISHED", "local-host=127.0.0.1", fmt.Sprint("local-port=", sa.Local.Port), "local-id=a.example",
		"remote-host=127.0.0.1", fmt.Sprint("remote-port=", sa.Remote.Port), "remote-id=b.example", "initiator=yes",
		"initiator-spi=" + sa.InitiatorSPI.String(), "responder-spi=" + sa.ResponderSPI.String(),
		"encr-alg=AES_CBC", "encr-keysize=256", "integ-alg=HMAC_SHA2_256_128", "prf-alg=PRF_HMAC_SHA2_256", "dh-group=ECP_256", "established=", "rekey-time=",
		"child-sas {net-1 {name=net", "uniqueid=1", "reqid=1", "state=INSTALLED", "mode=TUNNEL", "protocol=ESP", "spi-in=" + in.String(), "spi-out=" + out.String(),
		"encr-alg=AES_GCM_16", "life-time=", "install-time=", "local-ts=[10.1.0.0/24]", "remote-ts=[10.2.0.0/24]",
	}
	s.says(raw, "--list-sas --raw", want...)
	for _, not := range []string{"cvlan", "nat-local", "ppk", "[{"} {
		if strings.Contains(raw, not) {
			t.Errorf("swanctl --list-sas --raw says %q: %s", not, raw)
		}
	}
	s.says(s.ok("--list-conns", "--raw"), "--list-conns --raw", "gw {local_addrs=[127.0.0.1] remote_addrs=[127.0.0.1]", "version=IKEv2", "reauth_time=0", "rekey_time=14400",
		"unique=UNIQUE_NO", "dpd_delay=30", "local-1 {class=pre-shared key id=a.example groups=[] cert_policy=[] certs=[] cacerts=[]}",
		"net {mode=TUNNEL rekey_time=3600 rekey_bytes=0 rekey_packets=0 dpd_action=none close_action=none local-ts=[10.1.0.0/24] remote-ts=[10.2.0.0/24]}")
	// charon's own words for what follows from the state.
	if sa.State != engine.IKEEstablished {
		t.Errorf("state %s", sa.State)
	}
}

// waiting is a plane that waits for traffic, which never comes.
type waiting struct{ *native.Counter }

func (waiting) SetTraps([]link.Trap) error { return nil }

// TestRealSwanctlListsTheTrapsOfTheEngine proves what swanctl prints of children
// that traffic brings up, and that it installs one and takes it back.
func TestRealSwanctlListsTheTrapsOfTheEngine(t *testing.T) {
	e := running(t, waiting{&native.Counter{}})
	if err := errors.Join(e.LoadSecret(limited(t), backend.Secret{ID: "psk", Type: "IKE", Data: []byte("tests only")}),
		e.LoadConnection(limited(t), "gw", nativetest.Section("local.auth=psk", "remote.auth=psk", "local.id=a.example", "remote.id=b.example", "remote_addrs=127.0.0.1",
			"children.net.start_action=trap", "children.net.local_ts=10.1.0.0/24", "children.net.remote_ts=10.2.0.0/24[tcp/443]",
			"children.hosts.start_action=trap", "children.hosts.mode=transport", "children.hosts.remote_ts=127.0.0.1/32",
			"children.spare.local_ts=fd00:1::/64", "children.spare.remote_ts=fd00:2::/64"))); err != nil {
		t.Fatal(err)
	}
	_, path := served(t, e, serve.Options{})
	s := newSwanctl(t, path)
	const net, hosts = "gw/net, TUNNEL\n  local:  10.1.0.0/24\n  remote: 10.2.0.0/24[tcp/443]\n", "gw/hosts, TRANSPORT\n  local:  127.0.0.1/32\n  remote: 127.0.0.1/32\n"
	const spare = "gw/spare, TUNNEL\n  local:  fd00:1::/64\n  remote: fd00:2::/64\n"
	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"--list-pols"}, net + hosts},
		{[]string{"--list-pols", "--trap"}, net + hosts},
		{[]string{"--list-pols", "--drop", "--pass"}, ""},
		{[]string{"--list-pols", "--child", "hosts"}, hosts},
		{[]string{"--install", "--child", "spare"}, "install completed successfully\n"},
		{[]string{"--list-pols", "--child", "spare"}, spare},
		{[]string{"--uninstall", "--child", "net"}, "uninstall completed successfully\n"},
		{[]string{"--list-pols"}, hosts + spare},
	} {
		if got := s.ok(step.args...); !sameParagraphs(got, step.want) {
			t.Errorf("swanctl %v prints\n%s\nwant\n%s", step.args, got, step.want)
		}
	}
}

// sameParagraphs compares texts whose parts, each begun by a line that is not
// indented, may stand in any order.
func sameParagraphs(a, b string) bool {
	parts := func(s string) []string {
		list := strings.Split(strings.ReplaceAll(s, "\n  ", "\r"), "\n")
		slices.Sort(list)
		return list
	}
	return slices.Equal(parts(a), parts(b))
}
