package native_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/link/netstack"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/lab"
)

// hostsOf gives the addresses of two namespaces that no daemon runs in.
func hostsOf(t *testing.T) (ns [2]*lab.NS, addr [2]string) {
	t.Helper()
	lab.Need(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b := lab.BenchFor(ctx, t, lab.Scenario{Name: "hosts", Ends: func(a, b *lab.End) error {
		a.Absent, b.Absent = true, true
		return nil
	}})
	return [2]*lab.NS{b.NSA, b.NSB}, [2]string{b.OuterA, b.OuterB}
}

// host starts an engine on one of two hosts, with a transport mode SA to the
// other.
func host(t *testing.T, ns [2]*lab.NS, addr [2]string, i int, d link.Device) *started {
	t.Helper()
	names := [2]string{"a.example", "b.example"}
	p := loadPolicy(t, fmt.Sprintf(`version: 1
node: {identity: %s, addresses: %s}
peers:
  gw: {addresses: %s, identity: %s, auth: psk, psk: {file: psk}, nat: force}
tunnels:
  net: {peer: gw, mode: transport, local: %s/32, remote: %s/32}
`, names[i], addr[i], addr[1-i], names[1-i], addr[i], addr[1-i]), "lab only")
	plane, err := link.NewPlane(d, link.PlaneOptions{Discover: func(netip.Addr) int { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	return start(t, p, func(o *native.Options) {
		o.Plane = plane
		o.Listen = func(a netip.AddrPort) (*net.UDPConn, error) { return ns[i].ListenUDP(a.String()) }
	})
}

func TestTheStackOfTheProcessCarriesTransportMode(t *testing.T) {
	ns, addr := hostsOf(t)
	var stacks [2]*netstack.Stack
	var engines [2]*started
	for i := range stacks {
		var err error
		if stacks[i], err = netstack.New(1400, netip.MustParseAddr(addr[i])); err != nil {
			t.Fatal(err)
		}
		engines[i] = host(t, ns, addr, i, stacks[i])
	}
	engines[0].up(t, "net")
	for i := range stacks {
		for _, size := range []int{1, 56, 1000, 1372} {
			if _, err := stacks[i].Ping(limited(t), netip.MustParseAddr(addr[1-i]), size); err != nil {
				t.Errorf("ping of %d octets from %s: %v", size, addr[i], err)
			}
		}
	}
	sas := engines[1].sas(t)
	if len(sas) != 1 || len(sas[0].Children) != 1 || sas[0].Children[0].Mode != "TRANSPORT" || sas[0].Children[0].PacketsIn.Or(0) < 8 {
		t.Errorf("the peer has %+v", sas)
	}
}

func TestATUNDeviceSaysWhichWayCarriesTransportMode(t *testing.T) {
	ns, addr := hostsOf(t)
	stack, err := netstack.New(1400, netip.MustParseAddr(addr[1]))
	if err != nil {
		t.Fatal(err)
	}
	host(t, ns, addr, 1, stack)
	var tun *link.TUN
	if err := ns[0].Do(func() (err error) {
		tun, err = link.OpenTUN("cvl%d", 1400, t.TempDir())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	a := host(t, ns, addr, 0, tun)
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	said := false
	_ = a.Up(ctx, backend.Target{IKE: "gw", Child: "net"}, backend.UpOptions{}, func(ev *event.Event) {
		if l := ev.Log; l != nil && strings.Contains(l.Text, "as in transport mode") && strings.Contains(l.Text, "--data xfrm") && strings.Contains(l.Text, "--netstack") {
			said = true
			cancel()
		}
	})
	if !said {
		t.Error("it does not say it")
	}
}
