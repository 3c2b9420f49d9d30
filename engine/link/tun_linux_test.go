package link_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/lab"
)

// wired gives a namespace with an interface to another one, where the peer
// 192.0.2.2 is, and a way to everywhere else.
func wired(t *testing.T) *lab.NS {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lab.Need(t)
	var both [2]*lab.NS
	for i, label := range []string{"tun", "peer"} {
		ns, err := lab.NewNS(ctx, label)
		if err != nil {
			t.Fatal(err)
		}
		both[i] = ns
		t.Cleanup(func() {
			if err := ns.Delete(); err != nil {
				t.Error(err)
			}
		})
	}
	if err := errors.Join(lab.Join(ctx, both[0], "eth0", both[1], "eth0"),
		lab.Address(ctx, both[0], "eth0", "192.0.2.1/24"), lab.Address(ctx, both[0], "lo", "10.1.0.1/32", "fd00:1::1/128"),
		lab.Route(ctx, both[0], "192.0.2.254")); err != nil {
		t.Fatal(err)
	}
	return both[0]
}

// openTUN makes a TUN device in a namespace.
func openTUN(t *testing.T, ns *lab.NS, dir string) *link.TUN {
	t.Helper()
	var tun *link.TUN
	if err := ns.Do(func() (err error) {
		tun, err = link.OpenTUN("cvl%d", 1400, dir)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return tun
}

// routes gives the routes of a namespace as the ip tool shows them.
func routes(t *testing.T, ns *lab.NS) string {
	t.Helper()
	out, err := ns.Exec(t.Context(), "sh", "-c", "ip -4 route; ip -6 route | grep -v fe80")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var peer = netip.MustParseAddr("192.0.2.2")

func TestATUNDeviceTakesItsRoutesBack(t *testing.T) {
	ns, dir := wired(t), t.TempDir()
	before := routes(t, ns)
	tun := openTUN(t, ns, dir)
	local, remote := network("10.1.0.0/16"), network("0.0.0.0/0")
	for range 2 { // two children for the same networks
		if err := tun.Route(local, remote, peer); err != nil {
			t.Fatal(err)
		}
	}
	if err := tun.Route(network("fd00:1::/64"), network("fd00:2::/64"), peer); err != nil {
		t.Fatal(err)
	}
	with := routes(t, ns)
	for _, want := range []string{"0.0.0.0/1 dev cvl0", "128.0.0.0/1 dev cvl0", "src 10.1.0.1", "192.0.2.2 dev eth0", "fd00:2::/64 dev cvl0 src fd00:1::1"} {
		if !strings.Contains(with, want) {
			t.Errorf("no route %q:\n%s", want, with)
		}
	}
	if err := tun.Unroute(local, remote); err != nil {
		t.Fatal(err)
	}
	if again := routes(t, ns); again != with {
		t.Errorf("routes that another child still needs are gone:\n%s", again)
	}
	if err := tun.Close(); err != nil {
		t.Fatal(err)
	}
	if after := routes(t, ns); after != before {
		t.Errorf("the routes were\n%s\nand are now\n%s", before, after)
	}
	if notes, err := filepath.Glob(dir + "/*"); err != nil || len(notes) != 0 {
		t.Errorf("notes are left: %v, %v", notes, err)
	}
}

func TestRoutesOfOthersAreNeverReplaced(t *testing.T) {
	ns := wired(t)
	if err := ns.IP(t.Context(), "route", "add", "10.9.0.0/16", "via", "192.0.2.7"); err != nil {
		t.Fatal(err)
	}
	before := routes(t, ns)
	tun := openTUN(t, ns, t.TempDir())
	// The first network would do, the second does not: nothing must be left.
	err := tun.Route(network("10.1.0.0/16"), append(network("10.8.0.0/16"), network("10.9.0.0/16")...), peer)
	if err == nil || !strings.Contains(err.Error(), "there is a route to 10.9.0.0/16 already") {
		t.Errorf("the error is %v", err)
	}
	if after := routes(t, ns); after != before {
		t.Errorf("the routes were\n%s\nand are now\n%s", before, after)
	}
	if err := tun.Route(network("10.1.0.0/16"), network("192.0.2.2/32"), peer); err == nil || !strings.Contains(err.Error(), "the peer's own address") {
		t.Errorf("a tunnel into itself: %v", err)
	}
	// A host route of the peer is not ours, and stays.
	if err := ns.IP(t.Context(), "route", "add", "192.0.2.2", "dev", "eth0"); err != nil {
		t.Fatal(err)
	}
	before = routes(t, ns)
	if err := tun.Route(network("10.1.0.0/16"), network("0.0.0.0/0"), peer); err != nil {
		t.Fatal(err)
	}
	if err := tun.Close(); err != nil {
		t.Fatal(err)
	}
	if after := routes(t, ns); after != before {
		t.Errorf("the routes were\n%s\nand are now\n%s", before, after)
	}
}

func TestARouteThatCannotBeNotedDownIsNotSet(t *testing.T) {
	ns, dir := wired(t), t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=1", "none", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	before := routes(t, ns)
	tun := openTUN(t, ns, dir)
	if err := tun.Route(network("10.1.0.0/16"), network("0.0.0.0/0"), peer); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("the error is %v", err)
	}
	if err := tun.Close(); err != nil {
		t.Fatal(err)
	}
	if after := routes(t, ns); after != before {
		t.Errorf("the routes were\n%s\nand are now\n%s", before, after)
	}
}

func TestTheSystemTellsThePathMTU(t *testing.T) {
	ns := wired(t)
	ask := func(a string) (mtu int) {
		if err := ns.Do(func() error {
			mtu = link.KnownMTU(netip.MustParseAddr(a))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return mtu
	}
	if n := ask("192.0.2.2"); n != 1500 {
		t.Errorf("an MTU of %d", n)
	}
	if err := errors.Join(ns.IP(t.Context(), "route", "add", "198.51.100.1", "via", "192.0.2.2", "mtu", "1300"),
		lab.Address(t.Context(), ns, "eth0", "2001:db8::1/64"), ns.IP(t.Context(), "link", "set", "eth0", "mtu", "1400")); err != nil {
		t.Fatal(err)
	}
	for a, want := range map[string]int{"198.51.100.1": 1300, "192.0.2.2": 1400, "2001:db8::2": 1400} {
		if n := ask(a); n != want {
			t.Errorf("%s: an MTU of %d, want %d", a, n, want)
		}
	}
	if n := ask("2001:db9::1"); n != 0 {
		t.Errorf("without a route an MTU of %d", n)
	}
}

// TestHelperHoldsADevice is no test: it is what the next one runs, and kills.
func TestHelperHoldsADevice(t *testing.T) {
	dir := os.Getenv("CVLANCTL_TEST_TUN")
	if dir == "" {
		return
	}
	tun, err := link.OpenTUN("cvl%d", 1400, dir)
	if err == nil {
		err = tun.Route(network("10.1.0.0/16"), network("0.0.0.0/0"), peer)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ready"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Hour) // until it is killed
}

func TestWhatAKilledProcessLeftIsTakenBackAtTheNextStart(t *testing.T) {
	ns, dir := wired(t), t.TempDir()
	before := routes(t, ns)
	p, err := ns.Spawn([]string{"CVLANCTL_TEST_TUN=" + dir}, t.TempDir()+"/log", os.Args[0], "-test.run", "^TestHelperHoldsADevice$")
	if err != nil {
		t.Fatal(err)
	}
	err = lab.Eventually(t.Context(), patience, "the device of another process", func() bool {
		_, err := os.Stat(filepath.Join(dir, "ready"))
		return err == nil
	})
	if err != nil {
		t.Error(err)
	}
	// While it lives, what it set is not ours to remove.
	if err := openTUN(t, ns, dir).Close(); err != nil {
		t.Error(err)
	}
	if now := routes(t, ns); !strings.Contains(now, "192.0.2.2 dev eth0") || !strings.Contains(now, "dev cvl0") {
		t.Errorf("a living process lost its routes:\n%s", now)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if now := routes(t, ns); !strings.Contains(now, "192.0.2.2 dev eth0") || strings.Contains(now, "dev cvl") {
		t.Errorf("after the kill the routes are\n%s", now)
	}
	if err := openTUN(t, ns, dir).Close(); err != nil {
		t.Error(err)
	}
	if after := routes(t, ns); after != before {
		t.Errorf("the routes were\n%s\nand are now\n%s", before, after)
	}
	if notes, err := filepath.Glob(dir + "/notes-*"); err != nil || len(notes) != 0 {
		t.Errorf("notes are left: %v, %v", notes, err)
	}
}

func TestAReaderOfATUNDeviceWaitsForPacketsAndEndsWithIt(t *testing.T) {
	ns := wired(t)
	tun := openTUN(t, ns, t.TempDir())
	if err := tun.Route(network("10.1.0.0/16"), network("10.2.0.0/16"), peer); err != nil {
		t.Fatal(err)
	}
	type read struct {
		packet []byte
		err    error
	}
	reads := make(chan read)
	go func() {
		defer close(reads)
		bufs, sizes := make([][]byte, tun.BatchSize()), make([]int, tun.BatchSize())
		for i := range bufs {
			bufs[i] = make([]byte, 2000)
		}
		for {
			n, err := tun.Read(bufs, sizes, 0)
			for i := range n {
				reads <- read{packet: bytes.Clone(bufs[i][:sizes[i]])}
			}
			if err != nil {
				reads <- read{err: err}
				return
			}
		}
	}()
	for range 3 { // each time it had to wait, and may have to send something of the system's own on
		if err := ns.Do(func() error {
			c, err := net.Dial("udp", "10.2.0.1:9")
			if err != nil {
				return err
			}
			_, err = c.Write([]byte("over there"))
			return errors.Join(err, c.Close())
		}); err != nil {
			t.Fatal(err)
		}
		for r := range reads {
			if r.err != nil {
				t.Fatal(r.err)
			}
			if bytes.HasSuffix(r.packet, []byte("over there")) {
				break
			}
		}
	}
	if err := tun.Close(); err != nil {
		t.Error(err)
	}
	var last error
	for r := range reads {
		last = r.err
	}
	if !errors.Is(last, os.ErrClosed) {
		t.Errorf("the last read ended with %v", last)
	}
	if _, err := ns.Exec(t.Context(), "ip", "link", "show", tun.Name); err == nil {
		t.Error("the device outlives its file")
	}
}

func TestABurstOfSmallPacketsIsReadAndWrittenTogetherAndWhole(t *testing.T) {
	const burst, size = 200, 20 + 8 + 64 // more than the system takes in one that is joined
	ns := wired(t)
	tun := openTUN(t, ns, t.TempDir())
	defer func() {
		if err := tun.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := tun.Route(network("10.1.0.0/16"), network("10.2.0.0/16"), peer); err != nil {
		t.Fatal(err)
	}
	var c net.Conn
	if err := ns.Do(func() (err error) {
		c, err = net.Dial("udp", "10.2.0.1:9")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }() // all was read
	for i := range burst {
		if _, err := c.Write(append(make([]byte, 63), byte(i))); err != nil {
			t.Fatal(err)
		}
	}
	const offset = 64
	bufs, sizes := make([][]byte, tun.BatchSize()), make([]int, tun.BatchSize())
	for i := range bufs {
		bufs[i] = make([]byte, offset+65535)
	}
	var back [][]byte
	reads := 0
	for len(back) < burst {
		n, err := tun.Read(bufs, sizes, offset)
		if err != nil {
			t.Fatal(err)
		}
		reads++
		for i := range n {
			if b := bufs[i][offset : offset+sizes[i]]; len(b) == size && b[0] == 0x45 && b[9] == 17 {
				b = append(make([]byte, offset, offset+65535), b...)
				echo(b[offset:])
				back = append(back, b)
			}
		}
	}
	if reads > burst/8 {
		t.Errorf("%d packets that were there took %d reads", burst, reads)
	}
	if _, err := tun.Write(back, offset); err != nil {
		t.Error(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	for i := range burst {
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("packet %d of %d: %v", i, burst, err)
		}
		if n != 64 || b[63] != byte(i) {
			t.Fatalf("packet %d came back as % x", i, b[:n])
		}
	}
}

// echo turns a UDP packet back to its sender; its checksums stay right.
func echo(b []byte) {
	swap := func(i, j, n int) {
		for k := range n {
			b[i+k], b[j+k] = b[j+k], b[i+k]
		}
	}
	swap(12, 16, 4)
	swap(20, 22, 2)
}
