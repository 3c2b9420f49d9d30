package native_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
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
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if os.Geteuid() != 0 {
		noPeer(t, lab.ErrNotRoot)
	}
	if err := lab.Ensure(ctx); err != nil {
		noPeer(t, err)
	}
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
  gw: {addresses: %q, identity: %q, auth: psk, psk: {file: psk}, dpd: {interval: 2s, action: restart}}
tunnels:
  net: {peer: gw, local: %q, remote: %q, esp: {proposals: %s}%s}
`, ours.Local.ID, bench.OuterA, bench.OuterB, theirs.Local.ID, ours.LocalTS, theirs.LocalTS, theirs.ESP, tunnel), "lab only: never use this")
	c := &carried{t: t, bench: bench, peer: bench.B}
	if err := bench.NSA.Do(func() error {
		tun, err := link.OpenTUN("cvl%d", 1400)
		if err != nil {
			return err
		}
		c.plane, err = link.NewPlane(tun, link.PlaneOptions{RawESP: func(a netip.Addr) (*net.IPConn, error) {
			var raw *net.IPConn
			err := bench.NSA.Do(func() (err error) {
				raw, err = net.ListenIP("ip4:50", &net.IPAddr{IP: a.AsSlice()})
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
			out, err := way.from.Exec(c.t.Context(), "ping", "-n", "-q", "-c", "2", "-i", "0.05", "-W", "3", "-s", fmt.Sprint(size), "-I", way.src, way.dst)
			if err != nil || !strings.Contains(out, " 2 received") {
				c.t.Errorf("ping of %d octets from %s: %v\n%s", size, way.src, err, out)
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
