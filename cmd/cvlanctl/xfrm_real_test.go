package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/lab"
)

// kernels is a guest, whose kernel does ESP for our program in it, and a
// namespace beside it where a peer does ESP in user space.
type kernels struct {
	guest   *lab.Guest
	segment *lab.Segment
	outside *lab.NS
	binary  string // as the namespace has it
	started int
}

const (
	guestAddr, outsideAddr = lab.GuestIPv4, lab.NeighbourIPv4
	enginePatience         = time.Minute // a guest on a busy machine is slow
)

func newKernels(t *testing.T) *kernels {
	t.Helper()
	lab.NeedGuests(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	segment, err := lab.NewSegment(ctx, "xfrm", filepath.Join(t.TempDir(), "guest"))
	t.Cleanup(func() {
		if err := segment.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	k := &kernels{guest: segment.Guest, segment: segment}
	if k.outside, err = segment.Neighbour(ctx, "peer", outsideAddr+"/24"); err != nil {
		t.Fatal(err)
	}
	k.binary = filepath.Join(k.guest.Dir, "cvlanctl") // a folder that both have
	build := exec.CommandContext(ctx, "go", "build", "-o", k.binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	var guestInner, outsideInner []string
	for n := range 20 {
		a, b := inner(n)
		guestInner, outsideInner = append(guestInner, a+"/32"), append(outsideInner, b+"/32")
	}
	if err := errors.Join(
		lab.Address(ctx, k.guest, "lo", guestInner...),
		lab.Address(ctx, k.outside, "lo", outsideInner...),
		lab.Route(ctx, k.outside, guestAddr)); err != nil {
		t.Fatal(err)
	}
	return k
}

// end is one running program.
type end struct {
	t       *testing.T
	k       *kernels
	host    lab.Host
	dir     string
	socket  string
	process lab.Running
	args    []string
}

// inner gives the inner addresses of tunnel n: 0 for the first.
func inner(n int) (guest, outside string) {
	return fmt.Sprintf("10.1.0.%d", n+1), fmt.Sprintf("10.2.0.%d", n+1)
}

// engine starts our program on a host. Peer and tunnels are the last parts of
// what the policy says of the peer and of each tunnel; tunnel n is called net<n>.
func (k *kernels) engine(t *testing.T, host lab.Host, data, peer string, tunnels ...string) *end {
	t.Helper()
	k.started++
	local, remote, mine, theirs := guestAddr, outsideAddr, "initiator.lab", "responder.lab"
	if host == lab.Host(k.outside) {
		local, remote, mine, theirs = outsideAddr, guestAddr, theirs, mine
	}
	text := fmt.Sprintf(`version: 1
node: {identity: %s, addresses: %s}
peers:
  gw: {addresses: %s, identity: %s, auth: psk, psk: {file: psk}%s}
tunnels:
`, mine, local, remote, theirs, peer)
	for n, tunnel := range tunnels {
		here, there := inner(n)
		if host == lab.Host(k.outside) {
			here, there = there, here
		}
		text += fmt.Sprintf("  net%d: {peer: gw, local: %s/32, remote: %s/32, %s}\n", n, here, there, tunnel)
	}
	return k.run(t, host, data, text)
}

// run starts our program with a policy, until the test ends.
func (k *kernels) run(t *testing.T, host lab.Host, data, policy string, before ...string) *end {
	t.Helper()
	k.started++
	e := &end{t: t, k: k, host: host, dir: filepath.Join(k.guest.Dir, fmt.Sprintf("end%d", k.started)), socket: fmt.Sprintf("/run/cvl%d-%d.vici", os.Getpid(), k.started)}
	if err := os.Mkdir(e.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"site.yaml": policy, "psk": "lab only: never use this\n"} {
		if err := os.WriteFile(filepath.Join(e.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e.args = append(before, host.Path(k.binary), "ipsec", "run", "--config", host.Path(filepath.Join(e.dir, "site.yaml")), "--socket", e.socket, "--data", data, "-o", "jsonl", "--log-level", "info")
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(filepath.Join(e.dir, "output.log"))
			t.Logf("%s: %s", e.socket, text)
		}
		if err := e.process.Stop(); err != nil {
			t.Error(err)
		}
	})
	e.start()
	return e
}

// start starts the program, once more where it ran before.
func (e *end) start() {
	e.t.Helper()
	p, err := e.host.Launch(e.t.Context(), nil, e.dir, e.args...)
	if err != nil {
		e.t.Fatal(err)
	}
	e.process = p
	until(e.t, "the engine to run", func() bool {
		_, err := e.try("list-sas")
		return err == nil
	})
}

// try runs a command against the engine.
func (e *end) try(args ...string) (string, error) {
	return e.host.Exec(e.t.Context(), append(append([]string{e.host.Path(e.k.binary), "ipsec"}, args...), "--source", "engine:"+e.socket)...)
}

func (e *end) must(args ...string) string {
	e.t.Helper()
	out, err := e.try(args...)
	if err != nil {
		e.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	if err := lab.Eventually(t.Context(), enginePatience, what, f); err != nil {
		t.Fatal(err)
	}
}

// told is what an engine says of a child SA.
type told struct {
	Name       string `json:"name"`
	In         string `json:"spi_in"`
	Out        string `json:"spi_out"`
	BytesIn    uint64 `json:"bytes_in"`
	BytesOut   uint64 `json:"bytes_out"`
	PacketsIn  uint64 `json:"packets_in"`
	PacketsOut uint64 `json:"packets_out"`
	UseIn      *int   `json:"use_in"`
}

// children gives the child SAs of an engine.
func (e *end) children() []told {
	e.t.Helper()
	var list struct {
		SAs []struct {
			Children []told `json:"child_sas"`
		} `json:"ike_sas"`
	}
	out := e.must("list-sas", "-o", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		e.t.Fatalf("%v\n%s", err, out)
	}
	var all []told
	for _, sa := range list.SAs {
		all = append(all, sa.Children...)
	}
	return all
}

// xfrm gives states, policies and routes of ours in the guest.
func (k *kernels) xfrm(t *testing.T) string {
	t.Helper()
	out, err := k.guest.Exec(t.Context(), "sh", "-c", "ip xfrm state; ip xfrm policy list nosock; ip route show proto 157")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// dropped gives what the guest's kernel has counted of packets that IPsec cost,
// and how many its card and the tap device outside have passed: one that the
// device has sent and the card has not received waits in between.
func (k *kernels) dropped(t *testing.T) string {
	t.Helper()
	out, err := k.guest.Exec(t.Context(), "cat", "/proc/net/xfrm_stat")
	card, err2 := k.guest.Exec(t.Context(), "ip", "-s", "link", "show", "net0")
	tap, err3 := k.segment.NS.Exec(t.Context(), "ip", "-s", "link", "show", "tap0")
	if err := errors.Join(err, err2, err3); err != nil {
		t.Error(err)
	}
	return regexp.MustCompile(`(?m)^\w+\s+0\n`).ReplaceAllString(out, "") + card + tap
}

// asks is a line of shell that pings once through tunnel n, and once more where
// no answer comes, which it then says: packets to a guest were seen to wait in
// its tap device for the next one, without a trace in the counters of IPsec.
func asks(n int, args ...string) string {
	from, to := inner(n)
	one := fmt.Sprintf("ping -n -q -c 1 -W 10 -I %s %s %s > /dev/null", from, strings.Join(args, " "), to)
	return fmt.Sprintf("{ %s || { echo asked %s again; %s; }; }", one, to, one)
}

// ping has the guest ping through tunnel n and wants all answered. They go one
// at a time: of several, ping does not wait long for the last. What must lose
// none is measured from outside.
func (k *kernels) ping(t *testing.T, n, count int, args ...string) {
	t.Helper()
	k.pings(t, fmt.Sprintf("for i in $(seq %d); do %s || exit 1; done", count, asks(n, args...)))
}

func (k *kernels) pings(t *testing.T, line string) {
	t.Helper()
	out, err := k.guest.Exec(t.Context(), "sh", "-c", line)
	if err != nil {
		t.Errorf("pings: %v\n%s\n%s\n%s", err, out, k.dropped(t), k.xfrm(t))
	} else if out != "" {
		t.Logf("pings: %s\n%s", out, k.dropped(t))
	}
}

// file has the guest fetch a file by TCP through tunnel 0.
func (k *kernels) file(t *testing.T) {
	t.Helper()
	content := make([]byte, 1<<20)
	_, _ = rand.Read(content) // never fails
	_, to := inner(0)
	var server net.Listener
	if err := k.outside.Do(func() (err error) {
		server, err = net.Listen("tcp", to+":0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }() // nobody connects any more
	go func() {
		c, err := server.Accept()
		if err != nil {
			return
		}
		_, _ = bytes.NewReader(content).WriteTo(c) // what comes is compared
		_ = c.Close()
	}()
	port := server.Addr().(*net.TCPAddr).Port
	out, err := k.guest.Exec(t.Context(), "bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/%s/%d; sha256sum <&3", to, port))
	if want := fmt.Sprintf("%x", sha256.Sum256(content)); err != nil || !strings.HasPrefix(out, want) {
		t.Errorf("the file did not come through whole: %v\n%s, want %s", err, out, want)
	}
}

// The tunnels of the pair that most is tried with.
var suites = []string{"aes128gcm16", "aes256gcm16-esn", "aes256gcm12", "aes192gcm8", "aes256ccm16", "aes128ccm8", "chacha20poly1305", "aes128gmac",
	"aes256-sha256", "aes128-sha256-esn", "aes128-sha1", "aes256-sha384", "aes192-sha512", "aes256ctr-sha256"}

const (
	packets = 14 + iota // after some of them it is rekeyed
	octets              // after some of them it is rekeyed
	trapped             // it comes up with traffic
	usedUp              // the same; after some octets it ends
	tunnels
	started = trapped // the tunnels before it start with the program
)

// pair is the program on either side: in the guest by the kernel, outside in
// user space.
type pair struct {
	*kernels
	ours, theirs *end
}

// TestTheKernelCarriesTheTunnelsOfTheEngine runs the program in a guest whose
// kernel does ESP. What is outside does ESP in user space.
func TestTheKernelCarriesTheTunnelsOfTheEngine(t *testing.T) {
	k := newKernels(t)
	t.Run("of another engine", func(t *testing.T) {
		mine, back := make([]string, tunnels), make([]string, tunnels)
		for n, s := range suites {
			mine[n] = "start: start, esp: {proposals: " + s + "}"
		}
		mine[packets] = "start: start, esp: {packets: {rekey: 20, hard: 2000, jitter: 0}}"
		mine[octets] = "start: start, esp: {octets: {rekey: 20KB, hard: 20MB, jitter: 0}}"
		mine[trapped], mine[usedUp] = "start: trap", "start: trap, esp: {octets: {rekey: 0, hard: 20KB, jitter: 0}}"
		for n := range mine {
			back[n] = "start: none"
			if n < len(suites) {
				back[n] += ", esp: {proposals: " + suites[n] + "}"
			}
		}
		p := &pair{kernels: k, theirs: k.engine(t, k.outside, "tun", "", back...), ours: k.engine(t, k.guest, "xfrm", "", mine...)}
		t.Run("with every suite", p.everySuite)
		t.Run("it counts what the peer counts", p.counts)
		t.Run("it rekeys under traffic without loss", p.rekeysUnderTraffic)
		t.Run("it says when a child has carried enough", p.expires)
		t.Run("it ends a child that has carried all it may", p.ends)
		t.Run("it asks for a tunnel that traffic needs", p.acquires)
		t.Run("it is cleared of what a killed engine has left", p.killed)
		t.Run("it is left as it was found", p.leavesNothing)
	})
	t.Run("of a peer whose NAT forgets it", k.follows)
	t.Run("of a strongSwan", k.strongSwan)
	t.Run("between two kernels", k.twoKernels)
}

// net gives the child of tunnel n.
func (e *end) net(n int) told {
	e.t.Helper()
	var found []told
	until(e.t, fmt.Sprintf("one child SA of tunnel %d", n), func() bool {
		found = slices.DeleteFunc(e.children(), func(c told) bool { return c.Name != fmt.Sprintf("net%d", n) })
		return len(found) == 1
	})
	return found[0]
}

func (k *pair) everySuite(t *testing.T) {
	// The peer has a tunnel when it answers, the guest only when its kernel has
	// found the ciphers: some are modules.
	for _, e := range []*end{k.theirs, k.ours} {
		until(t, "all tunnels to be up", func() bool { return len(e.children()) == started })
	}
	var pings string
	for n := range suites {
		pings += fmt.Sprintf("%s || exit %d\n", asks(n, "-s", "1000"), n)
	}
	k.pings(t, pings)
	for n := range suites {
		// Two where one had to be asked again.
		if c := k.theirs.net(n); c.PacketsIn == 0 || c.PacketsIn > 2 || c.PacketsOut != c.PacketsIn {
			t.Errorf("suite %s carried %+v", suites[n], c)
		}
	}
}

func (k *pair) counts(t *testing.T) {
	k.file(t)
	until(t, "both to have counted the same", func() bool {
		a, b := k.ours.net(0), k.theirs.net(0)
		return a.PacketsIn > 300 && a.PacketsIn == b.PacketsOut && a.PacketsOut == b.PacketsIn && a.BytesIn == b.BytesOut && a.BytesOut == b.BytesIn
	})
	if a := k.ours.net(0); a.UseIn == nil {
		t.Errorf("when it was used is not told: %+v", a)
	}
}

// one gives an engine's one child.
func (e *end) one() told {
	e.t.Helper()
	var all []told
	until(e.t, "one child SA", func() bool {
		all = e.children()
		return len(all) == 1
	})
	return all[0]
}

func (k *pair) rekeysUnderTraffic(t *testing.T) {
	from, to := inner(0)
	stop := filepath.Join(k.guest.Dir, "enough")
	done := make(chan string, 1)
	go func() { // from outside: in the guest a command that long would time out
		out, _ := k.outside.Exec(t.Context(), "sh", "-c", "ping -n -w 600 -i 0.02 -I "+to+" "+from+" & until [ -e "+stop+" ]; do sleep 0.1; done; kill -INT $!; wait $!")
		done <- out
	}()
	seen := map[string]bool{k.theirs.net(0).Out: true} // asked outside, where it is quick
	carries := func() {                                // however slow the guest is
		t.Helper()
		until(t, "the child SA to carry ten answers", func() bool { return k.theirs.net(0).PacketsIn >= 10 })
	}
	for n := range 4 {
		carries()
		who := []*end{k.ours, k.theirs}[n%2]
		if n == 2 {
			who.must("rekey", "gw", "--ike")
		}
		who.must("rekey", "gw/net0")
		seen[k.theirs.net(0).Out] = true
	}
	carries()
	if err := os.WriteFile(stop, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out := <-done
	if len(seen) != 5 {
		t.Errorf("inbound SPIs %v, want 5", seen)
	}
	var last int
	var missing []int
	for line := range strings.Lines(out) {
		var seq int
		if _, rest, ok := strings.Cut(line, "icmp_seq="); ok {
			if _, err := fmt.Sscan(rest, &seq); err != nil {
				t.Fatal(err)
			}
			for last++; last < seq; last++ {
				missing = append(missing, last)
			}
		}
	}
	if last < 50 || len(missing) > 0 {
		t.Errorf("of %d pings %v are lost", last, missing)
	}
	until(t, "only the last SAs to be left", func() bool {
		return strings.Count(k.xfrm(t), "\n\tproto esp spi ") == 2*started
	})
}

func (k *pair) expires(t *testing.T) {
	for _, tunnel := range []int{packets, octets} {
		before := k.theirs.net(tunnel)
		k.ping(t, tunnel, 10, "-s", "1000")
		if now := k.theirs.net(tunnel); now.In != before.In {
			t.Errorf("tunnel %d is rekeyed after %d packets of %d octets already", tunnel, before.PacketsIn, before.BytesIn)
		}
		k.ping(t, tunnel, 15, "-s", "1000")
		until(t, "the child to be rekeyed", func() bool { return k.theirs.net(tunnel).In != before.In })
		k.ping(t, tunnel, 1)
	}
}

// ends has an SA carry all that it may, where nothing replaces it in time. The
// packet that is one too many is lost; ping sends it again.
func (k *pair) ends(t *testing.T) {
	k.ping(t, usedUp, 1, "-s", "1000")
	before := k.ours.net(usedUp)
	if text := k.xfrm(t); !strings.Contains(text, before.Out) {
		t.Fatalf("no state with SPI %s, so that the test proves nothing:\n%s", before.Out, text)
	}
	k.ping(t, usedUp, 30, "-s", "1000", "-W", "5")
	var now told
	until(t, "another child SA", func() bool { now = k.ours.net(usedUp); return now.In != before.In })
	if now.BytesOut > 20_000 || now.PacketsOut == 0 {
		t.Errorf("the child after it has carried %d packets with %d octets", now.PacketsOut, now.BytesOut)
	}
	if text := k.xfrm(t); strings.Contains(text, before.Out) || strings.Contains(text, before.In) {
		t.Errorf("of the SAs %s and %s something is left:\n%s", before.In, before.Out, text)
	}
	k.ours.must("down", fmt.Sprintf("gw/net%d", usedUp))
}

func (k *pair) acquires(t *testing.T) {
	k.ping(t, trapped, 1) // one, which is answered
	if c := k.theirs.net(trapped); c.PacketsOut == 0 || c.PacketsOut > 2 || c.PacketsIn != c.PacketsOut {
		t.Errorf("carried %+v", c)
	}
	k.theirs.must("down", fmt.Sprintf("gw/net%d", trapped))
	k.ping(t, trapped, 1)
}

// larvalDrop says whether the guest drops packets that wait for a tunnel.
func (k *kernels) larvalDrop(t *testing.T) string {
	t.Helper()
	out, err := k.guest.Exec(t.Context(), "cat", "/proc/sys/net/core/xfrm_larval_drop")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func (k *pair) killed(t *testing.T) {
	if k.larvalDrop(t) != "0" {
		t.Error("packets that wait for a tunnel are dropped")
	}
	if err := k.ours.process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := k.xfrm(t)
	if !strings.Contains(killed, "proto esp") || !strings.Contains(killed, "dir fwd") || !strings.Contains(killed, "src 10.1.0.1") {
		t.Errorf("killed, it left no SAs, no policies or no route, so that the test proves nothing:\n%s", killed)
	}
	k.ours.start()
	k.theirs.net(0) // up again
	now := k.xfrm(t)
	for line := range strings.Lines(killed) {
		if i := strings.Index(line, "spi 0x"); i >= 0 && strings.Contains(now, strings.Fields(line[i+4:])[0]) {
			t.Errorf("%s is left of the run that was killed", line)
		}
	}
	k.ping(t, 0, 1)
}

func (k *pair) leavesNothing(t *testing.T) {
	k.ours.must("down", "gw")
	if left := k.xfrm(t); strings.Contains(left, "proto esp spi") || strings.Count(left, "dir ") != 2 {
		t.Errorf("there should be the policies of the two traps alone:\n%s", left)
	}
	if err := k.ours.process.Stop(); err != nil {
		t.Fatal(err)
	}
	if left := k.xfrm(t); left != "" || k.larvalDrop(t) != "1" {
		t.Errorf("left behind, with xfrm_larval_drop %s:\n%s", k.larvalDrop(t), left)
	}
	notes, err := k.guest.Exec(t.Context(), "ls", "/run/cvlanctl")
	if err != nil || strings.Contains(notes, "notes") {
		t.Errorf("notes are left: %s, %v", notes, err)
	}
}

// follows has what is outside come from another port of its address in the
// middle, as behind a NAT that has forgotten it.
func (k *kernels) follows(t *testing.T) {
	nat := func(port int) string {
		return fmt.Sprintf("table ip nat {\n chain post {\n type nat hook postrouting priority srcnat\n udp sport 4500 snat to %s:%d\n udp sport 500 snat to %s:%d\n }\n}\n",
			outsideAddr, port, outsideAddr, port+1)
	}
	if err := k.outside.NFT(t.Context(), nat(20000)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.outside.NFT(context.Background(), "delete table ip nat"); err != nil {
			t.Error(err)
		}
	})
	remember := func(seconds int) {
		t.Helper()
		line := fmt.Sprintf("for f in udp_timeout udp_timeout_stream; do echo %d > /proc/sys/net/netfilter/nf_conntrack_$f; done", seconds)
		if _, err := k.outside.Exec(t.Context(), "sh", "-c", line); err != nil {
			t.Fatal(err)
		}
	}
	remember(60)
	ours := k.engine(t, k.guest, "xfrm", "", "start: none")
	theirs := k.engine(t, k.outside, "tun", ", nat: force", "start: start")
	before := ours.one()
	k.ping(t, 0, 3)
	if text := k.xfrm(t); !strings.Contains(text, "espinudp sport 20000 dport 4500") {
		t.Fatalf("ESP in UDP is not from the port of the NAT:\n%s", text)
	}
	if err := k.outside.NFT(t.Context(), "delete table ip nat\n"+nat(30000)); err != nil {
		t.Fatal(err)
	}
	from, to := inner(0)
	until(t, "the NAT to forget, and the peer to be followed", func() bool {
		if strings.Contains(k.xfrm(t), "espinudp sport 30000 dport 4500") {
			return true
		}
		remember(1)
		_, _ = k.outside.Exec(t.Context(), "ping", "-c", "1", "-W", "1", "-I", to, from) // from here on it remembers for a second
		time.Sleep(2 * time.Second)
		remember(60)
		_, _ = k.outside.Exec(t.Context(), "ping", "-c", "1", "-W", "1", "-I", to, from)
		return false
	})
	k.ping(t, 0, 3)
	if now := ours.one(); now.In != before.In || now.PacketsIn < before.PacketsIn+6 {
		t.Errorf("before %+v, now %+v", before, now)
	}
	theirs.must("down", "gw")
	if left := k.xfrm(t); left != "" {
		t.Errorf("after the tunnel ended there is left:\n%s", left)
	}
}

func (k *kernels) strongSwan(t *testing.T) {
	d, err := lab.NewDaemon(k.outside, filepath.Join(t.TempDir(), "charon"), lab.DaemonConfig{LogLevels: []string{"ike = 1", "chd = 1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	from, to := inner(0)
	theirs := lab.End{Version: "2", LocalAddrs: outsideAddr, RemoteAddrs: guestAddr, Proposals: "aes256gcm16-prfsha256-ecp256", ESP: "aes256gcm16",
		LocalTS: to + "/32", RemoteTS: from + "/32", Local: lab.Auth{Method: "psk", ID: "responder.lab"}, Remote: lab.Auth{Method: "psk", ID: "initiator.lab"},
		Secrets: []string{"ike-lab {\nsecret = \"lab only: never use this\"\n}"}}
	if err := d.Load(t.Context(), theirs.SwanctlConf()); err != nil {
		t.Fatal(err)
	}
	ours := k.engine(t, k.guest, "xfrm", "", "start: none, esp: {proposals: aes256gcm16}")
	ours.must("up", "gw/net0")
	k.ping(t, 0, 2, "-s", "1300")
	k.file(t)
	before := ours.one()
	ours.must("rekey", "gw/net0")
	k.ping(t, 0, 2)
	if _, err := d.Swanctl(t.Context(), "--rekey", "--child", "net"); err != nil {
		t.Fatal(err)
	}
	until(t, "the peer's rekeying", func() bool { c := ours.one(); return c.In != before.In && c.Name == "net0" })
	k.ping(t, 0, 2)
	if _, err := d.Swanctl(t.Context(), "--terminate", "--ike", "gw"); err != nil {
		t.Fatal(err)
	}
	until(t, "states and policies to go", func() bool { return k.xfrm(t) == "" })
}

// twoKernels runs the program in two namespaces of the guest, so that either
// side is the kernel.
func (k *kernels) twoKernels(t *testing.T) {
	sh := func(line string) string {
		t.Helper()
		out, err := k.guest.Exec(t.Context(), "sh", "-c", line)
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		return out
	}
	sh("ip netns add x; ip netns add y; ip link add east netns x type veth peer name west netns y")
	t.Cleanup(func() { _, _ = k.guest.Exec(context.Background(), "sh", "-c", "ip netns del x; ip netns del y") }) // the guest ends soon
	for ns, at := range map[string][]string{"x": {"east", "1"}, "y": {"west", "2"}} {
		sh(fmt.Sprintf("ip -n %[1]s link set lo up; ip -n %[1]s link set %[2]s up; ip -n %[1]s addr add 198.51.100.%[3]s/24 dev %[2]s; ip -n %[1]s addr add 2001:db8::%[3]s/64 dev %[2]s nodad; ip -n %[1]s addr add 10.%[3]s.0.1/32 dev lo; ip -n %[1]s addr add fd00:%[3]s::1/128 dev lo nodad", ns, at[0], at[1]))
	}
	site := func(local, remote, mine, theirs, tunnels string) string {
		return fmt.Sprintf("version: 1\nnode: {identity: %s, addresses: %q}\npeers:\n  gw: {addresses: %q, identity: %s, auth: psk, psk: {file: psk}}\ntunnels:\n%s", mine, local, remote, theirs, tunnels)
	}
	for _, row := range []struct {
		name       string
		x, y       string // outside
		mine, back string // tunnels of either side
		pings      [][2]string
		modes      []string
	}{
		{"in transport mode, and IPv6 in IPv4", "198.51.100.1", "198.51.100.2", "  net: {peer: gw, mode: transport, start: start}\n  six: {peer: gw, local: \"fd00:1::1/128\", remote: \"fd00:2::1/128\", start: start}\n",
			"  net: {peer: gw, mode: transport}\n  six: {peer: gw, local: \"fd00:2::1/128\", remote: \"fd00:1::1/128\"}\n",
			[][2]string{{"198.51.100.1", "198.51.100.2"}, {"fd00:1::1", "fd00:2::1"}}, []string{"mode transport", "mode tunnel"}},
		{"IPv4 and IPv6 in IPv6, and transport mode over it", "2001:db8::1", "2001:db8::2", "  net: {peer: gw, mode: transport, start: start}\n  four: {peer: gw, local: 10.1.0.1/32, remote: 10.2.0.1/32, start: start}\n  six: {peer: gw, local: \"fd00:1::1/128\", remote: \"fd00:2::1/128\", start: start}\n",
			"  net: {peer: gw, mode: transport}\n  four: {peer: gw, local: 10.2.0.1/32, remote: 10.1.0.1/32}\n  six: {peer: gw, local: \"fd00:2::1/128\", remote: \"fd00:1::1/128\"}\n",
			[][2]string{{"10.1.0.1", "10.2.0.1"}, {"fd00:1::1", "fd00:2::1"}, {"2001:db8::1", "2001:db8::2"}}, []string{"mode tunnel", "mode transport"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			k.run(t, k.guest, "xfrm", site(row.y, row.x, "y.lab", "x.lab", row.back), "ip", "netns", "exec", "y")
			ours := k.run(t, k.guest, "auto", site(row.x, row.y, "x.lab", "y.lab", row.mine), "ip", "netns", "exec", "x")
			until(t, "the tunnels to be up", func() bool { return len(ours.children()) == len(row.pings) })
			for _, p := range row.pings {
				sh(fmt.Sprintf("for i in 1 2 3; do ip netns exec x ping -n -q -c 1 -W 20 -I %s %s || exit 1; done", p[0], p[1]))
			}
			for _, c := range ours.children() {
				// Transport mode carries what else the hosts say to each other, as when they
				// look for each other by neighbour discovery.
				if c.PacketsIn < 3 || c.PacketsOut < 3 {
					t.Errorf("carried: %+v", c)
				}
			}
			text := sh("ip -n x xfrm state")
			for _, mode := range row.modes {
				if !strings.Contains(text, mode) {
					t.Errorf("not %s:\n%s", mode, text)
				}
			}
		})
	}
}
