//go:build linux

package main

import (
	"cmp"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
)

// tunnel is one way between the namespaces.
type tunnel struct {
	name         string
	innerA, innB string
}

// The ways that are compared.
var (
	veth      = tunnel{"veth alone", "192.0.2.1", "192.0.2.2"}
	libipsec  = tunnel{"kernel-libipsec", "10.1.0.1", "10.2.0.1"}
	oursUDP   = tunnel{"ours, ESP in UDP", "10.3.0.1", "10.4.0.1"}
	oursRaw   = tunnel{"ours, ESP alone", "10.5.0.1", "10.6.0.1"}
	wireguard = tunnel{"wireguard-go", "10.7.0.1", "10.8.0.1"}

	tunnels = []tunnel{veth, libipsec, wireguard, oursUDP, oursRaw}

	// The ways of another build of ours.
	beforeUDP = tunnel{"before, ESP in UDP", "10.9.0.1", "10.10.0.1"}
	beforeRaw = tunnel{"before, ESP alone", "10.11.0.1", "10.12.0.1"}
)

// beforeA and beforeB are the addresses of the other build's ends, where its
// sockets for ESP get no copies of our packets, nor ours of its.
const beforeA, beforeB = "192.0.2.101", "192.0.2.102"

// innerMTU is that of all tunnels.
const innerMTU = "1400"

// patience is how long anything may take to come up.
const patience = time.Minute

// world is two namespaces with every tunnel between them up.
type world struct {
	bench   *lab.Bench
	dir     string
	ends    map[string][]int // the processes of each tunnel
	cleanup []func() error
}

// newWorld brings everything up, and waits for the chosen tunnels. Where before
// is the path of another build of ours, its tunnels are there too. What it
// returns must be closed, also after an error.
func newWorld(ctx context.Context, dir, before string, chosen []tunnel) (*world, error) {
	w := &world{dir: dir, ends: map[string][]int{}}
	var err error
	w.bench, err = lab.NewBench(ctx, lab.Scenario{Name: "bench", Ends: func(a, b *lab.End) error {
		for _, e := range []*lab.End{a, b} {
			e.ESP = "aes256gcm16"
			e.Daemon.LogLevels = []string{"default = -1", "ike = -1", "chd = -1", "mgr = -1", "enc = -1"}
		}
		return nil
	}}, filepath.Join(dir, "charon"))
	w.cleanup = append(w.cleanup, w.bench.Close)
	if err != nil {
		return w, err
	}
	// The lab's wires have no offloads, for the sake of captures.
	for _, ns := range w.sides() {
		if _, err := ns.Exec(ctx, "ethtool", "-K", "eth0", "tx", "on", "gso", "on", "gro", "on"); err != nil {
			return w, err
		}
	}
	for _, d := range []*lab.Daemon{w.bench.A, w.bench.B} {
		pid, err := d.PID()
		if err != nil {
			return w, err
		}
		w.ends[libipsec.name] = append(w.ends[libipsec.name], pid)
	}
	if _, err := w.bench.A.Swanctl(ctx, "--initiate", "--child", "net"); err != nil {
		return w, err
	}
	for _, start := range []func(context.Context) error{w.startOurs, w.startWireGuard, w.startIperf} {
		if err := start(ctx); err != nil {
			return w, err
		}
	}
	if before != "" {
		if err := w.startBefore(ctx, before); err != nil {
			return w, err
		}
	}
	for _, t := range chosen {
		if err := lab.Eventually(ctx, patience, t.name+" to carry pings", func() bool {
			if w.through(ctx, t) != nil {
				return false
			}
			n, err := lab.Ping(ctx, w.bench.NSA, t.innerA, t.innB, 1, time.Second)
			return err == nil && n == 1
		}); err != nil {
			return w, err
		}
	}
	return w, nil
}

// through says whether packets of both sides go into a tunnel. Without it they
// would find another way, which carries more than any tunnel.
func (w *world) through(ctx context.Context, t tunnel) error {
	for i, ns := range w.sides() {
		from, to := t.innerA, t.innB
		if i == 1 {
			from, to = to, from
		}
		way, err := ns.Exec(ctx, "ip", "route", "get", to, "from", from)
		if err != nil {
			return err
		}
		if bare := strings.Contains(way, "dev eth0"); bare != (t == veth) {
			return fmt.Errorf("packets from %s to %s do not go by %s: %s", from, to, t.name, way)
		}
	}
	return nil
}

func (w *world) sides() [2]*lab.NS { return [2]*lab.NS{w.bench.NSA, w.bench.NSB} }

func (w *world) close() error {
	var errs []error
	for i := len(w.cleanup) - 1; i >= 0; i-- {
		errs = append(errs, w.cleanup[i]())
	}
	return errors.Join(errs...)
}

// spawn starts a program of a tunnel on a side, until the world ends.
func (w *world) spawn(ns *lab.NS, of string, env []string, log string, argv ...string) error {
	p, err := ns.Spawn(env, filepath.Join(w.dir, log), argv...)
	if err == nil {
		w.cleanup = append(w.cleanup, p.Stop)
		w.ends[of] = append(w.ends[of], p.PID())
	}
	return err
}

// build builds a program into the world's folder.
func (w *world) build(ctx context.Context, name, pkg string) (string, error) {
	path := filepath.Join(w.dir, name)
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", path, pkg).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w: %s", pkg, err, out)
	}
	return path, nil
}

// startOurs starts an engine of ours on each side for each of our tunnels, in
// processes of their own.
func (w *world) startOurs(ctx context.Context) error {
	binary, err := w.build(ctx, "cvlanctl", "./cmd/cvlanctl")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.dir, "psk"), []byte("bench only\n"), 0o600); err != nil {
		return err
	}
	outer := [2]string{w.bench.OuterA, w.bench.OuterB}
	return errors.Join(w.engines(ctx, binary, oursUDP, outer, "force", 5500), w.engines(ctx, binary, oursRaw, outer, "auto", 5510))
}

// startBefore starts those of another build, at addresses of their own.
func (w *world) startBefore(ctx context.Context, binary string) error {
	outer := [2]string{beforeA, beforeB}
	for i, ns := range w.sides() {
		if err := lab.Address(ctx, ns, "eth0", outer[i]+"/24"); err != nil {
			return err
		}
	}
	return errors.Join(w.engines(ctx, binary, beforeUDP, outer, "force", 5520), w.engines(ctx, binary, beforeRaw, outer, "auto", 5530))
}

// engines starts the two ends of a tunnel of ours, at a port and the one behind.
func (w *world) engines(ctx context.Context, binary string, t tunnel, outer [2]string, nat string, port int) error {
	for i, ns := range w.sides() {
		own, other, start := t.innerA, t.innB, "none"
		if i == 1 {
			own, other, start = other, own, "start"
		}
		if err := lab.Address(ctx, ns, "lo", own+"/32"); err != nil {
			return err
		}
		config := filepath.Join(w.dir, fmt.Sprintf("engine-%d-%d.yaml", port, i))
		if err := os.WriteFile(config, fmt.Appendf(nil, `version: 1
node: {identity: side%d.example, addresses: %s}
peers:
  gw: {addresses: %s, port: %d, identity: side%d.example, auth: psk, psk: {file: psk}, nat: %s}
tunnels:
  net: {peer: gw, local: %s/32, remote: %s/32, start: %s, esp: {proposals: aes256gcm16}}
`, i, outer[i], outer[1-i], port, 1-i, nat, own, other, start), 0o600); err != nil {
			return err
		}
		if err := w.spawn(ns, t.name, nil, fmt.Sprintf("engine-%d-%d.log", port, i), binary, "ipsec", "run", "--config", config, "--socket", "none", "--data", "tun",
			"--mtu", innerMTU, "--port", fmt.Sprint(port), "--natt-port", fmt.Sprint(port+1), "--peer-natt-port", fmt.Sprint(port+1)); err != nil {
			return err
		}
	}
	return nil
}

// startWireGuard starts wireguard-go, built from the module, on each side.
func (w *world) startWireGuard(ctx context.Context) error {
	binary, err := w.build(ctx, "wireguard-go", "golang.zx2c4.com/wireguard")
	if err != nil {
		return err
	}
	var keys [2]*ecdh.PrivateKey
	for i := range keys {
		if keys[i], err = ecdh.X25519().GenerateKey(rand.Reader); err != nil {
			return err
		}
	}
	for i, ns := range w.sides() {
		own, other, peer := wireguard.innerA, wireguard.innB, w.bench.OuterB
		if i == 1 {
			own, other, peer = other, own, w.bench.OuterA
		}
		// The name is that of a socket in a folder that all namespaces share.
		name := fmt.Sprintf("wg%d-%d", os.Getpid()%100000, i)
		if err := w.spawn(ns, wireguard.name, []string{"LOG_LEVEL=error"}, "wireguard-"+name+".log", binary, "-f", name); err != nil {
			return err
		}
		settings := fmt.Sprintf("set=1\nprivate_key=%s\nlisten_port=51820\npublic_key=%s\nendpoint=%s:51820\nreplace_allowed_ips=true\nallowed_ip=%s/32\n\n",
			hex.EncodeToString(keys[i].Bytes()), hex.EncodeToString(keys[1-i].PublicKey().Bytes()), peer, other)
		if err := configure(ctx, "/var/run/wireguard/"+name+".sock", settings); err != nil {
			return err
		}
		for _, args := range [][]string{{"addr", "add", own + "/32", "dev", name}, {"link", "set", name, "mtu", innerMTU, "up"},
			{"route", "add", other + "/32", "dev", name, "src", own}} {
			if err := ns.IP(ctx, args...); err != nil {
				return err
			}
		}
	}
	return nil
}

// configure speaks wireguard's configuration protocol.
func configure(ctx context.Context, socket, settings string) error {
	var c net.Conn
	var last error
	if err := lab.Eventually(ctx, patience, "wireguard-go to listen", func() bool {
		c, last = net.Dial("unix", socket)
		return last == nil
	}); err != nil {
		return errors.Join(err, last)
	}
	defer func() { _ = c.Close() }() // all was said and answered
	if _, err := io.WriteString(c, settings); err != nil {
		return fmt.Errorf("configuration of wireguard-go: %w", err)
	}
	answer := make([]byte, 4096)
	n, err := c.Read(answer)
	if err != nil || !strings.HasPrefix(string(answer[:n]), "errno=0") {
		return fmt.Errorf("configuration of wireguard-go: %q: %w", answer[:n], cmp.Or(err, errors.New("refused")))
	}
	return nil
}

func (w *world) startIperf(ctx context.Context) error {
	if err := w.spawn(w.bench.NSB, "iperf3", nil, "iperf.log", "iperf3", "-s"); err != nil {
		return err
	}
	return lab.Eventually(ctx, patience, "iperf3 to listen", func() bool {
		out, _ := w.bench.NSB.Exec(ctx, "ss", "-ltn", "sport", "= :5201")
		return strings.Contains(out, "5201")
	})
}
