package cli

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/enginetest"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// scanned runs a responder of our own on loopback and gives the flags that
// lead a scan to it.
func scanned(t *testing.T, proposals ...string) []string {
	t.Helper()
	_, conn := enginetest.PSKConnections(t)
	conn.Local, conn.Remote = netip.MustParseAddr("127.0.0.1"), netip.Addr{}
	conn.Proposals = enginetest.Proposals(t, wire.ProtocolIKE, proposals...)
	endpoint := ike.NewEndpoint(ike.Settings{})
	if err := endpoint.Add(conn); err != nil {
		t.Fatal(err)
	}
	var sockets [2]*net.UDPConn
	var flags []string
	for i, flag := range []string{"--port", "--natt-port"} {
		c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		sockets[i] = c
		flags = append(flags, flag, strconv.Itoa(c.LocalAddr().(*net.UDPAddr).Port))
	}
	pump, err := link.NewPump(endpoint, sockets[0], sockets[1], func(ike.Output) {}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- pump.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return append(flags, "--pace", "1ms", "--wait", "1s", "--tries", "1")
}

// maskScan takes out what differs from run to run.
func maskScan(s string) string {
	s = regexp.MustCompile(`port \d+`).ReplaceAllString(s, "port N")
	s = regexp.MustCompile(`\d+\.\d ms`).ReplaceAllString(s, "N.N ms")
	return regexp.MustCompile(` {2,}`).ReplaceAllString(s, "  ")
}

func TestAScanSaysWhatAResponderAcceptsAndWhatToTakeOut(t *testing.T) {
	flags := scanned(t, "aes256gcm16-prfsha384-ecp384-curve25519", "aes256-3des-sha256-sha1-modp2048-modp1024")
	code, out, errs := run(t, "", nil, append([]string{"ipsec", "scan", "127.0.0.1"}, flags...)...)
	if code != exitFine {
		t.Errorf("exit code %d: %s", code, errs)
	}
	golden(t, "ipsec/scan.txt", maskScan(out))
	for _, output := range []string{"json", "jsonl"} {
		_, out, _ := run(t, "", nil, append([]string{"ipsec", "scan", "127.0.0.1", "-o", output}, flags...)...)
		holds(t, "scan", "transform", output, out)
	}
	if code, _, _ := run(t, "", nil, append([]string{"ipsec", "scan", "127.0.0.1", "--fail-on", "weak"}, flags...)...); code != exitFindings {
		t.Errorf("with --fail-on weak: exit code %d", code)
	}
	if code, _, _ := run(t, "", nil, append([]string{"ipsec", "scan", "127.0.0.1", "--profile", "cnsa1"}, flags...)...); code != exitFindings {
		t.Errorf("with a profile that forbids: exit code %d", code)
	}
}

func TestAScanIsResumedFromItsFile(t *testing.T) {
	flags := scanned(t, "aes256gcm16-prfsha256-curve25519")
	file := filepath.Join(t.TempDir(), "scan.json")
	args := append([]string{"ipsec", "scan", "127.0.0.1", "--resume", file}, flags...)
	for n := 0; ; n++ {
		code, _, errs := run(t, "", nil, append(args, "--max", "4")...)
		if code == exitFine {
			break
		}
		if code != exitFailed || !strings.Contains(errs, "--resume") || n > 20 {
			t.Fatalf("part %d: exit code %d: %s", n, code, errs)
		}
	}
	code, out, _ := run(t, "", nil, args...)
	if code != exitFine || !regexp.MustCompile(`requests +0 of`).MatchString(out) {
		t.Errorf("a complete scan asked again, exit code %d:\n%s", code, out)
	}
	if code, _, errs := run(t, "", nil, append([]string{"ipsec", "scan", "127.0.0.2", "--resume", file}, flags...)...); code != exitUsage || !strings.Contains(errs, "127.0.0.1") {
		t.Errorf("the file of another host: exit code %d: %s", code, errs)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := run(t, "", nil, args...); code != exitFailed || !strings.Contains(errs, "no JSON document of a scan") {
		t.Errorf("a damaged file: exit code %d: %s", code, errs)
	}
}

func TestAScanOfNobodySaysSoAndEndsSoon(t *testing.T) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(c.LocalAddr().(*net.UDPAddr).Port)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	code, _, errs := run(t, "", nil, "ipsec", "scan", "127.0.0.1", "--port", port, "--natt-port", port, "--wait", "50ms", "--tries", "1", "--pace", "1ms")
	if code != exitUnreachable || !strings.Contains(errs, "does not answer IKE") || !strings.Contains(errs, "is closed") {
		t.Errorf("exit code %d after %s: %s", code, time.Since(began), errs)
	}
	for _, wrong := range [][]string{{"224.0.0.1"}, {"127.0.0.1", "--max", "0"}, {"127.0.0.1", "--profile", "none"}, {"127.0.0.1", "--fail-on", "good"}, {"127.0.0.1", "--local", "x"}, {}} {
		if code, _, _ := run(t, "", nil, append([]string{"ipsec", "scan"}, wrong...)...); code != exitUsage {
			t.Errorf("%v: exit code %d", wrong, code)
		}
	}
}
