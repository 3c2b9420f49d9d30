package native_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/esp"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/lab"
)

// carried is an engine with a TUN device on the first end of a bench, and a
// strongSwan daemon on the second.
type carried struct {
	*native.Engine
	t     *testing.T
	bench *lab.Bench
	plane *link.Plane
	peer  *lab.Daemon
}

// carry brings both up. The scenario may have a NAT or IPv6; change alters the
// peer's end, and tunnel what stands in the policy for the tunnel.
func carry(t *testing.T, s lab.Scenario, tunnel string, change func(theirs *lab.End)) *carried {
	t.Helper()
	return carryLost(t, s, "restart", tunnel, change)
}

// carryLost is carry with what becomes of the tunnel when its peer is lost.
func carryLost(t *testing.T, s lab.Scenario, lost, tunnel string, change func(theirs *lab.End)) *carried {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	lab.Need(t)
	var ours, theirs lab.End
	s.Name = "traffic"
	s.Ends = func(a, b *lab.End) error {
		b.ESP = "aes256gcm16"
		if change != nil {
			change(b)
		}
		a.Absent = true
		ours, theirs = *a, *b
		return nil
	}
	bench, err := lab.NewBench(ctx, s, t.TempDir())
	t.Cleanup(func() {
		if err := bench.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	p := loadPolicy(t, fmt.Sprintf(`version: 1
node: {identity: %q, addresses: %q}
peers:
  gw: {addresses: %q, identity: %q, auth: psk, psk: {file: psk}, dpd: {interval: 2s, action: %s}}
tunnels:
  net: {peer: gw, local: %q, remote: %q, esp: {proposals: %s}%s}
`, ours.Local.ID, bench.OuterA, bench.OuterB, theirs.Local.ID, lost, theirs.RemoteTS, theirs.LocalTS, theirs.ESP, tunnel), "lab only: never use this")
	c := &carried{t: t, bench: bench, peer: bench.B}
	if err := bench.NSA.Do(func() error {
		tun, err := link.OpenTUN("cvl%d", 1400, t.TempDir())
		if err != nil {
			return err
		}
		c.plane, err = link.NewPlane(tun, link.PlaneOptions{Discover: func(a netip.Addr) (mtu int) {
			_ = bench.NSA.Do(func() error { // 0 where that is gone already
				mtu = link.KnownMTU(a)
				return nil
			})
			return mtu
		}, Raw: func(protocol int, a netip.Addr) (*net.IPConn, error) {
			var raw *net.IPConn
			err := bench.NSA.Do(func() (err error) {
				raw, err = link.ListenRaw(protocol, a)
				return err
			})
			return raw, err
		}})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	o := native.Options{Policy: p, Plane: c.plane, Listen: func(a netip.AddrPort) (*net.UDPConn, error) { return bench.NSA.ListenUDP(a.String()) }}
	o.Settings.Retransmit.Timeout = 300 * time.Millisecond
	o.Settings.Retransmit.Tries = 3
	if c.Engine, err = native.Start(ctx, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// up brings the tunnel up.
func (c *carried) up() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	if err := c.Up(ctx, backend.Target{IKE: "gw", Child: "net"}, backend.UpOptions{}, nil); err != nil {
		c.t.Fatal(err)
	}
}

// exec runs a program on our end.
func (c *carried) exec(argv ...string) string {
	c.t.Helper()
	out, err := c.bench.NSA.Exec(c.t.Context(), argv...)
	if err != nil {
		c.t.Fatalf("%v: %v\n%s", argv, err, out)
	}
	return out
}

// pings sends pings of sizes through the tunnel, from either end.
func (c *carried) pings(sizes ...int) {
	c.t.Helper()
	for _, way := range []struct {
		from     lab.Host
		src, dst string
	}{{c.bench.NSA, c.bench.InnerA, c.bench.InnerB}, {c.bench.NSB, c.bench.InnerB, c.bench.InnerA}} {
		for _, size := range sizes {
			for range 2 {
				// One at a time: of several, ping does not wait long for the last.
				out, err := way.from.Exec(c.t.Context(), "ping", "-n", "-q", "-c", "1", "-W", "10", "-s", fmt.Sprint(size), "-I", way.src, way.dst)
				if err != nil || !strings.Contains(out, " 1 received") {
					c.t.Errorf("ping of %d octets from %s: %v\n%s", size, way.src, err, out)
				}
			}
		}
	}
}

func TestATunnelWithStrongSwanCarriesPacketsOfEverySize(t *testing.T) {
	c := carry(t, lab.Scenario{}, "", nil)
	c.up()
	c.pings(0, 1, 15, 16, 17, 100, 500, 1000, 1371, 1372, 1373, 1400, 1500, 3000, 8972)
	sas, err := c.SAs(t.Context(), backend.Filter{})
	if err != nil || len(sas) != 1 || len(sas[0].Children) != 1 {
		t.Fatalf("%v, %v", sas, err)
	}
	child := sas[0].Children[0]
	if in, out := child.PacketsIn.Or(0), child.PacketsOut.Or(0); in < 60 || out < 60 || child.LastIn.IsZero() || child.BytesIn.Or(0) < 30_000 {
		t.Errorf("%d packets in, %d out, %d octets in, last %s", in, out, child.BytesIn.Or(0), child.LastIn)
	}
	if d := c.plane.Drops(); d.UnknownSPI != 0 || d.Unsent != 0 {
		t.Errorf("dropped: %+v", d)
	}
	text := swanctl(t, c.peer, "--list-sas")
	if !strings.Contains(text, "INSTALLED") {
		t.Errorf("the peer: %s", text)
	}
}

// TestPacketsTooBigForThePathAreAnsweredInside has a path that takes 1300 octets:
// nothing may be fragmented outside, and everything must come through.
func TestPacketsTooBigForThePathAreAnsweredInside(t *testing.T) {
	c := carry(t, lab.Scenario{}, "", nil)
	for _, ns := range []*lab.NS{c.bench.NSA, c.bench.NSB} {
		if err := ns.IP(t.Context(), "link", "set", "eth0", "mtu", "1300"); err != nil {
			t.Fatal(err)
		}
	}
	c.up()
	path := t.TempDir() + "/esp.pcap"
	recorder, err := lab.Record(t.Context(), c.bench.NSA, "eth0", path)
	if err != nil {
		t.Fatal(err)
	}
	out, _ := c.bench.NSA.Exec(t.Context(), "ping", "-n", "-c", "2", "-W", "5", "-i", "0.2", "-M", "do", "-s", "1300", "-I", c.bench.InnerA, c.bench.InnerB)
	if !strings.Contains(out, "Frag needed") && !strings.Contains(out, "essage too long") {
		t.Errorf("a packet that does not fit: %s", out)
	}
	c.pings(1, 1000, 1200, 1300, 3000)
	if err := recorder.Stop(); err != nil {
		t.Fatal(err)
	}
	all, err := exec.CommandContext(t.Context(), "tshark", "-r", path, "-Y", "ip.src == "+c.bench.OuterA, "-T", "fields", "-e", "ip.flags.mf", "-e", "ip.frag_offset").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(all))
	if len(lines) < 40 {
		t.Errorf("%d packets of ours were captured", len(lines)/2)
	}
	for _, field := range lines {
		if field != "0" && field != "False" {
			t.Fatalf("a fragment is outside: %s", field)
		}
	}
}

// iperf runs iperf3 through the tunnel and gives its report.
func (c *carried) iperf(args ...string) (report struct {
	End struct {
		SumReceived struct {
			BitsPerSecond float64 `json:"bits_per_second"`
		} `json:"sum_received"`
		Sum struct {
			LostPercent   float64 `json:"lost_percent"`
			BitsPerSecond float64 `json:"bits_per_second"`
		} `json:"sum"`
	} `json:"end"`
	Error string `json:"error"`
}) {
	c.t.Helper()
	server, err := c.bench.NSB.Spawn(nil, c.t.TempDir()+"/iperf.log", "iperf3", "-s", "-1", "-B", c.bench.InnerB)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = server.Stop() }() // it ends by itself
	if err := lab.Eventually(c.t.Context(), 10*time.Second, "iperf3 to listen", func() bool {
		out, _ := c.bench.NSB.Exec(c.t.Context(), "ss", "-ltn", "sport", "= :5201")
		return strings.Contains(out, "5201")
	}); err != nil {
		c.t.Fatal(err)
	}
	out := c.exec(append([]string{"iperf3", "-J", "-c", c.bench.InnerB, "-B", c.bench.InnerA, "-t", "2"}, args...)...)
	if err := json.Unmarshal([]byte(out), &report); err != nil || report.Error != "" {
		c.t.Fatalf("iperf3: %v %s", err, report.Error)
	}
	return report
}

func TestATunnelWithStrongSwanCarriesTCPAndUDPBothWays(t *testing.T) {
	c := carry(t, lab.Scenario{}, "", nil)
	c.up()
	for _, args := range [][]string{nil, {"-R"}} {
		r := c.iperf(args...)
		t.Logf("TCP %v: %.0f Mbit/s", args, r.End.SumReceived.BitsPerSecond/1e6)
		if r.End.SumReceived.BitsPerSecond == 0 {
			t.Errorf("TCP %v: nothing came", args)
		}
	}
	for _, args := range [][]string{{"-u", "-b", "20M"}, {"-u", "-b", "20M", "-R"}} {
		r := c.iperf(args...)
		t.Logf("UDP %v: %.1f %% lost", args, r.End.Sum.LostPercent)
		if r.End.Sum.LostPercent > 20 {
			t.Errorf("UDP %v: %.1f %% lost", args, r.End.Sum.LostPercent)
		}
	}
	if d := c.plane.Drops(); d.UnknownSPI != 0 {
		t.Errorf("dropped: %+v", d)
	}
}

func TestEverySuiteOfStrongSwanCarriesTraffic(t *testing.T) {
	for _, suite := range []string{"aes128gcm16", "aes192gcm16", "aes256gcm12", "aes256gcm8", "aes256ccm16", "aes128ccm12", "chacha20poly1305",
		"aes256-sha256", "aes128-sha1", "aes256-sha384", "aes192-sha512", "aes256ctr-sha256"} {
		t.Run(suite, func(t *testing.T) {
			c := carry(t, lab.Scenario{}, "", func(theirs *lab.End) { theirs.ESP = suite })
			c.up()
			c.pings(1, 64, 1000, 3000)
			c.carriedAll(16)
		})
	}
}

// carriedAll checks that at least n packets went each way, and that none was
// dropped.
func (c *carried) carriedAll(n uint64) {
	c.t.Helper()
	sas, err := c.SAs(c.t.Context(), backend.Filter{})
	if err != nil || len(sas) != 1 || len(sas[0].Children) != 1 {
		c.t.Fatalf("%v, %v", sas, err)
	}
	child := sas[0].Children[0]
	pair := ike.SPIPair{In: child.SPIIn.Or(0), Out: child.SPIOut.Or(0)}
	traffic, ok := c.plane.Traffic(pair)
	in, out := traffic.In, traffic.Out
	if !ok || in.Packets < n || out.Packets < n || in != (esp.Count{Packets: in.Packets, Octets: in.Octets}) || out != (esp.Count{Packets: out.Packets, Octets: out.Octets}) {
		c.t.Errorf("in %+v, out %+v, at least %d packets were to be carried and none dropped", in, out, n)
	}
	if d := c.plane.Drops(); d.UnknownSPI != 0 || d.Unsent != 0 {
		c.t.Errorf("dropped: %+v", d)
	}
}

func TestTrafficGoesThroughANATAndBetweenTheFamilies(t *testing.T) {
	for _, row := range []struct {
		name     string
		scenario lab.Scenario
		six      bool // inside
	}{
		{"behind a NAT", lab.Scenario{NAT: lab.NATInitiator}, false},
		{"IPv6 in IPv6", lab.Scenario{IPv6: true}, true},
		{"IPv6 in IPv4", lab.Scenario{}, true},
		{"IPv4 in IPv6", lab.Scenario{IPv6: true}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := carryInner(t, row.scenario, row.six)
			c.up()
			c.pings(1, 1000, 1300, 3000)
			c.carriedAll(16)
		})
	}
}

// carryInner brings a tunnel up for one family inside, whatever it is outside.
func carryInner(t *testing.T, s lab.Scenario, six bool) *carried {
	t.Helper()
	a, b, bits := "10.1.0.1", "10.2.0.1", "/32"
	if six {
		a, b, bits = "fd00:1::1", "fd00:2::1", "/128"
	}
	c := carry(t, s, "", func(theirs *lab.End) { theirs.LocalTS, theirs.RemoteTS = b+bits, a+bits })
	c.bench.InnerA, c.bench.InnerB = a, b
	return c
}

func TestRekeyingUnderTrafficLosesNoPacket(t *testing.T) {
	c := carry(t, lab.Scenario{}, "", nil)
	c.up()
	c.pings(1)
	const count = 1500
	done := make(chan string, 1)
	go func() {
		// Some more than count: at its own end ping waits for no straggler.
		out, err := c.bench.NSA.Exec(t.Context(), "ping", "-n", "-c", fmt.Sprint(count+50), "-i", "0.004", "-W", "3", "-I", c.bench.InnerA, c.bench.InnerB)
		if err != nil {
			out += err.Error()
		}
		done <- out
	}()
	rekeys := map[event.ChangeKind]int{}
	rekey := func(kind event.ChangeKind, target backend.Target, theirs ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for ev, err := range c.Events(ctx, backend.EventOptions{Every: -1}) {
			switch {
			case err != nil:
				t.Fatal(err)
			case ev.Table != nil && len(theirs) > 0:
				swanctl(t, c.peer, theirs...)
			case ev.Table != nil:
				if _, err := c.Rekey(ctx, target, backend.RekeyOptions{}); err != nil {
					t.Fatal(err)
				}
			case ev.Change != nil && ev.Change.Kind == kind:
				rekeys[kind]++
				return
			}
		}
		t.Fatalf("no %s came", kind)
	}
	for n := range 20 {
		if n%4 == 3 {
			if n%8 == 3 {
				rekey(event.IKERekey, backend.Target{IKE: "gw"})
			} else {
				rekey(event.IKERekey, backend.Target{}, "--rekey", "--ike", "gw")
			}
		}
		if n%2 == 0 {
			rekey(event.ChildRekey, backend.Target{Child: "net"})
		} else {
			rekey(event.ChildRekey, backend.Target{}, "--rekey", "--child", "net")
		}
		time.Sleep(100 * time.Millisecond) // traffic on each SA
	}
	out := <-done
	var lost []int
	for seq := 1; seq <= count; seq++ {
		if !strings.Contains(out, fmt.Sprintf("icmp_seq=%d ", seq)) {
			lost = append(lost, seq)
		}
	}
	if len(lost) > 0 {
		t.Errorf("after %v: pings %v are lost; our plane dropped %+v: %s", rekeys, lost, c.plane.Drops(), out[max(0, len(out)-200):])
	}
	if rekeys[event.ChildRekey] != 20 || rekeys[event.IKERekey] != 5 {
		t.Errorf("rekeyed %v", rekeys)
	}
}

func TestAPeerThatCameBackIsReachedAgain(t *testing.T) {
	c := carry(t, lab.Scenario{}, "", nil)
	c.up()
	c.pings(10)
	if err := c.peer.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.peer.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.peer.Load(t.Context(), c.bench.EndB.SwanctlConf()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := lab.Eventually(t.Context(), time.Minute, "the tunnel to carry pings again", func() bool {
		text, _ := c.peer.Swanctl(t.Context(), "--list-sas")
		n, err := lab.Ping(t.Context(), c.bench.NSA, c.bench.InnerA, c.bench.InnerB, 1, time.Second)
		return err == nil && n == 1 && strings.Contains(text, "INSTALLED")
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("back after %s, with DPD after 2 s of silence and 3 retransmissions from 0.3 s on", time.Since(began).Round(100*time.Millisecond))
	c.pings(10)
}

// pinged waits until pings are answered through a tunnel that is up.
func (c *carried) pinged() {
	c.t.Helper()
	if err := lab.Eventually(c.t.Context(), time.Minute, "traffic to bring the tunnel up", func() bool {
		n, err := lab.Ping(c.t.Context(), c.bench.NSA, c.bench.InnerA, c.bench.InnerB, 1, time.Second)
		return err == nil && n == 1
	}); err != nil {
		c.t.Fatal(err)
	}
	if sas, err := c.SAs(c.t.Context(), backend.Filter{Child: "net"}); err != nil || len(sas) != 1 {
		c.t.Fatalf("%d SAs, %v", len(sas), err)
	}
}

func TestTrafficBringsATunnelUp(t *testing.T) {
	t.Run("from the start", func(t *testing.T) {
		c := carry(t, lab.Scenario{}, ", start: trap", nil)
		if sas, err := c.SAs(t.Context(), backend.Filter{}); err != nil || len(sas) != 0 {
			t.Fatalf("without traffic there are %d SAs, %v", len(sas), err)
		}
		c.pinged()
	})
	t.Run("after its peer was lost", func(t *testing.T) {
		c := carryLost(t, lab.Scenario{}, "trap", "", nil)
		c.up()
		c.pings(10)
		if err := c.peer.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := lab.Eventually(t.Context(), time.Minute, "the peer to be found lost", func() bool {
			sas, err := c.SAs(t.Context(), backend.Filter{})
			return err == nil && len(sas) == 0
		}); err != nil {
			t.Fatal(err)
		}
		if err := c.peer.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.peer.Load(t.Context(), c.bench.EndB.SwanctlConf()); err != nil {
			t.Fatal(err)
		}
		c.pinged()
	})
}

// TestReplayedAndChangedPacketsAreDroppedAndCounted sends ESP packets that a
// capture holds again, and changed.
func TestReplayedAndChangedPacketsAreDroppedAndCounted(t *testing.T) {
	c := carry(t, lab.Scenario{}, "", nil)
	c.up()
	path := t.TempDir() + "/esp.pcap"
	recorder, err := lab.Record(t.Context(), c.bench.NSA, "eth0", path)
	if err != nil {
		t.Fatal(err)
	}
	c.pings(100)
	if err := recorder.Stop(); err != nil {
		t.Fatal(err)
	}
	packets := fromPeer(t, path, c.bench.OuterB)
	if len(packets) < 4 {
		t.Fatalf("%d ESP packets of the peer were captured", len(packets))
	}
	// Another port of the peer's address: what comes from there is authentic
	// all the same, were it not a replay.
	conn, err := c.bench.NSB.ListenUDP(c.bench.OuterB + ":4501")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // its work is done
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(c.bench.OuterA + ":4500"))
	changed := 0
	for _, p := range packets {
		bad := append([]byte(nil), p...)
		bad[len(bad)-1] ^= 1
		bad[4], bad[5] = 0, 9 // a number beyond the window, so that it is looked at
		for _, b := range [][]byte{p, bad} {
			if _, err := conn.WriteTo(b, to); err != nil {
				t.Fatal(err)
			}
		}
		changed++
	}
	sas, err := c.SAs(t.Context(), backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	child := sas[0].Children[0]
	var in esp.Count
	if err := lab.Eventually(t.Context(), 10*time.Second, "the packets to be counted", func() bool {
		traffic, _ := c.plane.Traffic(ike.SPIPair{In: child.SPIIn.Or(0), Out: child.SPIOut.Or(0)})
		in = traffic.In
		return in.Replayed+in.Integrity >= uint64(len(packets)+changed)
	}); err != nil {
		t.Error(err)
	}
	if in.Replayed != uint64(len(packets)) || in.Integrity != uint64(changed) || in.Malformed+in.Selectors != 0 {
		t.Errorf("%d packets replayed and changed: %+v", len(packets), in)
	}
	c.pings(100)
}

// fromPeer gives the ESP packets in UDP that a capture holds from an address.
func fromPeer(t *testing.T, path, from string) [][]byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "tshark", "-r", path, "-Y", "esp && ip.src == "+from, "-T", "fields", "-e", "udp.payload").Output()
	if err != nil {
		t.Fatal(err)
	}
	var list [][]byte
	for line := range strings.Lines(string(out)) {
		b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(line), ":", ""))
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 8 {
			list = append(list, b)
		}
	}
	return list
}
