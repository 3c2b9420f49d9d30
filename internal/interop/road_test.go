package interop_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/internal/interop"
	"github.com/cloudvlan/cvlanctl/lab"
)

// Networks inside the tunnels of this file; ours, then the gateway's.
const oursInside, theirsInside = "10.1.0.1", "10.2.0.1"

// slow is how long anything may take with a guest, loss, and a busy machine.
const slow = 90 * time.Second

// road is our engine with ESP in user space in a namespace, and a guest, whose
// kernel does ESP for whatever daemon runs in it.
type road struct {
	segment *lab.Segment
	ns      *lab.NS
}

// newRoad gives both sides their inner addresses.
func newRoad(t *testing.T, segment *lab.Segment, ns *lab.NS) *road {
	t.Helper()
	ctx := t.Context()
	if err := errors.Join(lab.Address(ctx, ns, "lo", oursInside+"/32"), lab.Address(ctx, segment.Guest, "lo", theirsInside+"/32"),
		// OpenIKED sets no routes, and what goes into a tunnel needs one.
		lab.Route(ctx, segment.Guest, lab.NeighbourIPv4)); err != nil {
		t.Fatal(err)
	}
	return &road{segment: segment, ns: ns}
}

// rough has the path lose one packet in twenty each way and bring others late;
// it is smooth again when the test ends.
func (r *road) rough(t *testing.T) {
	t.Helper()
	const netem = "netem delay 4ms 3ms reorder 25% 50% loss 5%"
	for _, line := range []string{
		"modprobe ifb numifbs=0; modprobe act_mirred; modprobe cls_matchall; modprobe sch_ingress; ip link add ifb0 type ifb && ip link set ifb0 up",
		"tc qdisc add dev net0 root " + netem,
		"tc qdisc add dev net0 ingress && tc filter add dev net0 parent ffff: matchall action mirred egress redirect dev ifb0 && tc qdisc add dev ifb0 root " + netem,
	} {
		line = strings.ReplaceAll(line, "modprobe ", lab.GuestCache+"/modprobe ")
		if out, err := r.segment.Guest.Exec(t.Context(), "sh", "-c", line); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	t.Cleanup(func() {
		out, err := r.segment.Guest.Exec(context.Background(), "sh", "-c", "tc -s qdisc show | grep -A1 netem; tc qdisc del dev net0 root; tc qdisc del dev net0 ingress; ip link del ifb0")
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		if strings.Contains(out, "dropped 0,") || strings.Count(out, "dropped") != 2 {
			t.Errorf("nothing was lost on the way, so that the test proves nothing:\n%s", out)
		}
	})
}

// traveller is one run of our engine on a road.
type traveller struct {
	*native.Engine
	t    *testing.T
	road *road
}

// travel runs our engine until the test ends. Lines stand at the end of what the
// policy says of the peer.
func (r *road) travel(t *testing.T, ike, esp, lines string) *traveller {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "psk"), []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`version: 1
node: {identity: ours.lab, addresses: %s}
peers:
  gw: {addresses: %s, identity: gateway.lab, auth: psk, psk: {file: psk}, ike: {proposals: %s}%s}
tunnels:
  net: {peer: gw, local: %s/32, remote: %s/32, start: none, esp: {proposals: %s}}
`, lab.NeighbourIPv4, lab.GuestIPv4, ike, lines, oursInside, theirsInside, esp)
	p, findings := policy.Parse(t.Context(), "policy.yaml", []byte(text), policy.Options{Dir: dir})
	if p == nil {
		t.Fatal(findings)
	}
	var plane *link.Plane
	if err := r.ns.Do(func() error {
		tun, err := link.OpenTUN("cvl%d", 1400, t.TempDir())
		if err != nil {
			return err
		}
		plane, err = link.NewPlane(tun, link.PlaneOptions{
			Discover: func(netip.Addr) int { return 1500 },
			Raw: func(a netip.Addr) (c *net.IPConn, err error) {
				err = r.ns.Do(func() (err error) {
					c, err = link.ListenRaw(a)
					return err
				})
				return c, err
			}})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	o := native.Options{Policy: p, Plane: plane, Listen: func(a netip.AddrPort) (*net.UDPConn, error) { return r.ns.ListenUDP(a.String()) }}
	o.Settings.Retransmit.Timeout = 500 * time.Millisecond
	e, err := native.Start(t.Context(), o)
	if err != nil {
		t.Fatal(errors.Join(err, plane.Close()))
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return &traveller{Engine: e, t: t, road: r}
}

// ask runs a command of ours with a limit.
func (v *traveller) ask(what string, f func(ctx context.Context) error) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), slow)
	defer cancel()
	if err := f(ctx); err != nil {
		v.t.Fatalf("%s: %v", what, err)
	}
}

// begin brings the tunnel up from either side.
func (v *traveller) begin(role interop.Role, g lab.Gateway) {
	v.t.Helper()
	v.ask("bringing the tunnel up", func(ctx context.Context) error {
		if role == interop.Initiator {
			return v.Up(ctx, backend.Target{IKE: "gw", Child: "net"}, backend.UpOptions{}, nil)
		}
		return g.Initiate(ctx, "gw")
	})
	v.standing()
}

// standing waits until there is one child SA, and gives it.
func (v *traveller) standing() (in, ike string, encap bool) {
	v.t.Helper()
	err := lab.Eventually(v.t.Context(), slow, "one child SA", func() bool {
		sas, err := v.SAs(v.t.Context(), backend.Filter{})
		if err != nil || len(sas) != 1 || len(sas[0].Children) != 1 {
			return false
		}
		c := sas[0].Children[0]
		in, ike, encap = c.SPIIn.Or(0).String(), sas[0].InitiatorSPI.String(), c.Encap.Or(false)
		return true
	})
	if err != nil {
		v.t.Fatal(err)
	}
	return in, ike, encap
}

// pings sends pings from either side until so many were answered each way.
func (v *traveller) pings(count int) {
	v.t.Helper()
	for _, way := range []struct {
		from     lab.Host
		src, dst string
	}{{v.road.ns, oursInside, theirsInside}, {v.road.segment.Guest, theirsInside, oursInside}} {
		// One at a time: of several, ping does not wait long for the last.
		line := fmt.Sprintf("n=0; while [ $n -lt %d ]; do ping -n -q -c 1 -W 2 -s 600 -I %s %s > /dev/null && n=$((n+1)); done", count, way.src, way.dst)
		if out, err := way.from.Exec(v.t.Context(), "timeout", fmt.Sprint(int(slow/time.Second)), "sh", "-c", line); err != nil {
			v.t.Errorf("pings from %s: %v\n%s", way.src, err, out)
		}
	}
}

// file sends a file to the guest by TCP, and back again.
func (v *traveller) file(size int) {
	v.t.Helper()
	content := make([]byte, size)
	_, _ = rand.Read(content) // never fails
	var server net.Listener
	if err := v.road.ns.Do(func() (err error) {
		server, err = net.Listen("tcp", oursInside+":0")
		return err
	}); err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = server.Close() }() // nobody connects any more
	type outcome struct {
		back []byte
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		c, err := server.Accept()
		if err != nil {
			done <- outcome{err: err}
			return
		}
		defer func() { _ = c.Close() }() // all was said
		if err := c.SetDeadline(time.Now().Add(slow)); err != nil {
			done <- outcome{err: err}
			return
		}
		_, err = io.Copy(c, bytes.NewReader(content))
		err = errors.Join(err, c.(*net.TCPConn).CloseWrite())
		back, failed := io.ReadAll(io.LimitReader(c, int64(size)+1))
		done <- outcome{back, errors.Join(err, failed)}
	}()
	port := server.Addr().(*net.TCPAddr).Port
	line := fmt.Sprintf("ip route replace %[1]s via %[3]s src %[4]s && exec 3<>/dev/tcp/%[1]s/%[2]d && cat <&3 > /tmp/file && cat /tmp/file >&3", oursInside, port, lab.NeighbourIPv4, theirsInside)
	out, err := v.road.segment.Guest.Exec(v.t.Context(), "bash", "-c", line)
	if err != nil {
		v.t.Errorf("the guest's end of the file: %v\n%s", err, out)
		_ = server.Close()
	}
	if got := <-done; got.err != nil || !bytes.Equal(got.back, content) {
		v.t.Errorf("of a file of %d octets %d came back, the same: %v; %v", size, len(got.back), bytes.Equal(got.back, content), got.err)
	}
}

// ends has the gateway end a tunnel that it has begun, and forget that it wants
// it up: else it would begin it again in the next test.
func (v *traveller) ends(g lab.Gateway, conn lab.GatewayConnection) {
	v.t.Helper()
	if g.Software() != lab.OpenIKED { // which would begin it again at once; it is started anew
		v.ask("ending the tunnel", func(ctx context.Context) error { return g.Terminate(ctx, conn.Name) })
		if err := lab.Eventually(v.t.Context(), slow, "the tunnel to end", func() bool {
			sas, err := v.SAs(v.t.Context(), backend.Filter{})
			return err == nil && len(sas) == 0
		}); err != nil {
			v.t.Fatal(err)
		}
	}
	v.ask("setting the gateway back", func(ctx context.Context) error { return g.Load(ctx, conn) })
}

// rekey has us (Initiator) or the gateway replace the child's SA, or the IKE SA.
func (v *traveller) rekey(who interop.Role, g lab.Gateway, ike bool) {
	v.t.Helper()
	in, parent, _ := v.standing()
	v.ask("rekeying", func(ctx context.Context) error {
		target := backend.Target{IKE: "gw", Child: "net"}
		switch {
		case who == interop.Responder && ike:
			return g.RekeyIKE(ctx, "gw")
		case who == interop.Responder:
			return g.RekeyChild(ctx, "gw")
		case ike:
			target.Child = ""
		}
		_, err := v.Rekey(ctx, target, backend.RekeyOptions{})
		return err
	})
	v.replaced(ike, in, parent)
}

// replaced waits until there is one child SA with another SPI, of itself or of
// its IKE SA.
func (v *traveller) replaced(ike bool, in, parent string) {
	v.t.Helper()
	err := lab.Eventually(v.t.Context(), slow, "the new SA", func() bool {
		newIn, newParent, _ := v.standing()
		return ike && newParent != parent || !ike && newIn != in
	})
	if err != nil {
		v.t.Fatal(err)
	}
}

// downs watches for what must not happen: an SA that goes without another one in
// its place. The function that it gives ends it and says how many there were.
func (v *traveller) downs() func() []string {
	ctx, cancel := context.WithCancel(v.t.Context())
	ready, list := make(chan struct{}), make(chan []string, 1)
	go func() {
		var seen []string
		for e, err := range v.Events(ctx, backend.EventOptions{Every: -1}) {
			switch {
			case err != nil:
			case e.Table != nil:
				close(ready)
			case e.Change != nil && (e.Change.Kind == event.ChildDown || e.Change.Kind == event.IKEDown):
				seen = append(seen, string(e.Change.Kind))
			}
		}
		list <- seen
	}()
	<-ready
	return func() []string {
		cancel()
		return <-list
	}
}

// size gives the length of a file.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// showLog shows the end of what a daemon has logged during a test that failed.
func showLog(t *testing.T, path string, from int64) {
	if !t.Failed() {
		return
	}
	text, err := os.ReadFile(path)
	if err != nil || int64(len(text)) < from {
		t.Logf("no log: %v", err)
		return
	}
	text = text[from:]
	t.Logf("%s", text[max(0, len(text)-6000):])
}
