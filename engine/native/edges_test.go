package native_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func TestWhatIsNotThereIsNamedInTheRefusal(t *testing.T) {
	a, _ := pair(t, nil)
	for _, row := range []struct {
		target backend.Target
		says   string
	}{
		{backend.Target{IKE: "x", Child: "y"}, `connection "x", child "y"`},
		{backend.Target{IKEID: 7, ChildID: 9}, "IKE SA number 7, child SA number 9"},
		{backend.Target{}, "an empty target"},
	} {
		if err := a.Down(limited(t), row.target, backend.DownOptions{}, nil); !errors.Is(err, backend.ErrRefused) || !strings.Contains(err.Error(), row.says) {
			t.Errorf("down: %v, want %q", err, row.says)
		}
		if n, err := a.Rekey(limited(t), row.target, backend.RekeyOptions{}); n != 0 || !errors.Is(err, backend.ErrRefused) || !strings.Contains(err.Error(), row.says) {
			t.Errorf("rekey: %d, %v, want %q", n, err, row.says)
		}
	}
	if _, err := a.DPD(limited(t), "x", nil); !errors.Is(err, backend.ErrRefused) {
		t.Errorf("liveness check: %v", err)
	}
}

func TestAChildThatSeveralConnectionsHaveIsAmbiguous(t *testing.T) {
	a := bare(t)
	for _, name := range []string{"one", "two"} {
		load(t, a, name, join("a", "b", 500))
	}
	if err := a.Up(limited(t), backend.Target{Child: "net"}, backend.UpOptions{}, nil); !errors.Is(err, backend.ErrRefused) || !strings.Contains(err.Error(), "more than one connection") {
		t.Error(err)
	}
}

func TestTheAddressToSpeakFromIsFoundOrItIsSaidWhyNot(t *testing.T) {
	address := func(s string) policy.Address {
		a := netip.MustParseAddr(s)
		return policy.Address{Prefix: netip.PrefixFrom(a, a.BitLen())}
	}
	base := loadPolicy(t, policyOf("a", "b", 500, "none"), "lab only").Connections[0]
	for _, row := range []struct {
		name, says    string
		local, remote []policy.Address
	}{
		{"the one that the policy names", "", []policy.Address{address("127.0.0.1")}, nil},
		{"the one towards the peer", "", nil, []policy.Address{{}, address("127.0.0.1")}},
		{"the one towards a peer by name", "", nil, []policy.Address{{Host: "localhost"}}},
		{"two of the policy's", "names 2 addresses", []policy.Address{address("127.0.0.1"), address("127.0.0.2")}, nil},
		{"none at all", "neither the policy's node nor a peer", nil, []policy.Address{{}}},
		{"a name that nobody has", "no.such.host.invalid", nil, []policy.Address{{Host: "no.such.host.invalid"}}},
	} {
		c := base
		c.LocalAddrs, c.RemoteAddrs = row.local, row.remote
		if c.RemoteAddrs == nil {
			c.RemoteAddrs = base.RemoteAddrs
		}
		e, err := native.Start(t.Context(), native.Options{Policy: &policy.Policy{Connections: []policy.Connection{c}}, Listen: func(a netip.AddrPort) (*net.UDPConn, error) {
			return net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a.Addr(), 0)))
		}})
		switch {
		case row.says != "" && (err == nil || !strings.Contains(err.Error(), row.says)), row.says == "" && err != nil:
			t.Errorf("%s: %v", row.name, err)
		case err == nil && !e.LocalAddr().Addr().IsLoopback():
			t.Errorf("%s: %s", row.name, e.LocalAddr())
		}
		if e == nil {
			continue
		}
		if e.Source() != "engine:"+e.LocalAddr().String() || !e.Own(e.LocalAddr()) || e.Own(netip.MustParseAddrPort("192.0.2.1:500")) {
			t.Errorf("%s: source %s", row.name, e.Source())
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		<-e.Wait()
	}
}

func TestSocketsThatCannotBeHadEndTheStart(t *testing.T) {
	if _, err := native.Start(t.Context(), native.Options{}); err == nil {
		t.Error("an engine without a policy")
	}
	for fails := range 2 {
		n := 0
		_, err := native.Start(t.Context(), native.Options{Policy: &policy.Policy{}, Local: netip.MustParseAddr("127.0.0.1"), Listen: func(netip.AddrPort) (*net.UDPConn, error) {
			if n++; n > fails {
				return nil, errors.New("no socket today")
			}
			return net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		}})
		if err == nil || !strings.Contains(err.Error(), "no socket today") {
			t.Errorf("socket %d: %v", fails, err)
		}
	}
}

// TestAReaderThatIsSlowIsToldOfItsGap proves that the engine waits for no
// reader, and that log lines stay away from those who want none.
func TestAReaderThatIsSlowIsToldOfItsGap(t *testing.T) {
	a, _ := pair(t, nil)
	ctx := limited(t)
	gap, lines, read := uint64(0), 0, 0
	for e, err := range a.Events(ctx, backend.EventOptions{Every: -1, Buffer: 8, NoLog: true}) {
		switch {
		case err != nil:
			t.Fatal(err)
		case e.Table != nil && e.Table.First:
			a.up(t, "net") // many events for a place of eight
			if err := a.Down(ctx, backend.Target{IKE: "gw"}, backend.DownOptions{}, nil); err != nil {
				t.Fatal(err)
			}
		case e.Log != nil:
			lines++
		case e.Gap != nil:
			gap = e.Gap.Dropped
		default:
			if read++; read == 5 { // there is room again: what comes next tells of the gap
				load(t, a, "other", join("a", "b", 500))
			}
		}
		if gap > 0 {
			break
		}
	}
	if gap == 0 || lines > 0 {
		t.Errorf("a gap of %d, and %d lines", gap, lines)
	}
}

func TestTheFirstReaderOfAWatchedEngineMissesNothing(t *testing.T) {
	b := start(t, loadPolicy(t, policyOf("b", "a", 0, "none"), "lab only"), func(o *native.Options) { o.Watched = true })
	a := start(t, loadPolicy(t, policyOf("a", "b", b.LocalAddr().Port(), "none"), "lab only"), nil)
	a.up(t, "net")
	var told []string
	for e, err := range b.Events(limited(t), backend.EventOptions{Every: -1}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Change != nil {
			told = append(told, string(e.Change.Kind))
		}
		if e.Table != nil {
			break
		}
	}
	if got := strings.Join(told, " "); got != "ike-up child-up" {
		t.Errorf("before the first table it is told %q", got)
	}
	for e, err := range b.Events(limited(t), backend.EventOptions{Every: -1}) {
		if err != nil || e.Table == nil {
			t.Errorf("the second reader is told %+v first, %v", e, err)
		}
		break
	}
}

func TestNumbersOfWhatIsGoneAreForgotten(t *testing.T) {
	a, b := pair(t, func(o *native.Options) { o.Settings.Linger = time.Millisecond })
	for range 80 {
		a.up(t, "net")
		if err := a.Down(limited(t), backend.Target{IKE: "gw"}, backend.DownOptions{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	a.up(t, "net")
	if sa := a.sas(t)[0]; sa.UniqueID != 81 || sa.Children[0].UniqueID != 81 || sa.Children[0].ReqID.Or(0) != 1 {
		t.Errorf("numbers %d, %d, %d", sa.UniqueID, sa.Children[0].UniqueID, sa.Children[0].ReqID.Or(0))
	}
	if n := a.plane.Orders(ike.Install); n != 81 || a.plane.Packets() != 0 {
		t.Errorf("%d orders to install, %d packets", n, a.plane.Packets())
	}
	a.plane.Receive(nil)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestUpOfAPeerThatHasGoneFailsAndLeavesNothing(t *testing.T) {
	a, b := pair(t, func(o *native.Options) {
		o.Settings.Retransmit = ike.Retransmission{Timeout: 500 * time.Millisecond, Base: 1, Tries: 5}
	})
	a.up(t, "net")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	a.until(t, "the farewell has come", func() bool { return len(a.sas(t)) == 0 })
	if err := a.Up(limited(t), backend.Target{IKE: "gw", Child: "net"}, backend.UpOptions{}, nil); !errors.Is(err, backend.ErrRefused) {
		t.Errorf("up with nobody: %v", err)
	}
	if err := a.Note(limited(t), "APP", "a line"); err != nil || len(a.sas(t)) != 0 {
		t.Errorf("%d IKE SAs, %v", len(a.sas(t)), err)
	}
}

// trapper is a data plane that keeps what traffic is to bring up.
type trapper struct {
	native.Counter
	traps []link.Trap
	fail  error
}

func (p *trapper) SetTraps(list []link.Trap) error {
	if p.fail == nil {
		p.traps = list
	}
	return p.fail
}

func TestTrapsAreInstalledListedAndTakenOutByCommand(t *testing.T) {
	p := &trapper{}
	a, _ := pair(t, func(o *native.Options) { o.Plane = p })
	ctx, target := limited(t), backend.Target{IKE: "gw", Child: "net"}
	if err := a.Uninstall(ctx, target); !errors.Is(err, backend.ErrRefused) {
		t.Errorf("taking out what is not there: %v", err)
	}
	if err := a.Install(ctx, target); err != nil {
		t.Fatal(err)
	}
	list, err := a.Policies(ctx)
	if err != nil || len(list) != 1 || list[0].Child != "net" || list[0].Mode != "TUNNEL" || len(list[0].LocalTS) != 1 || len(p.traps) != 1 {
		t.Errorf("policies %+v, %v", list, err)
	}
	p.fail = errors.New("no room")
	if err := a.Uninstall(ctx, target); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("a data plane that fails: %v", err)
	}
	p.fail = nil
	if err := a.Uninstall(ctx, target); err != nil {
		t.Fatal(err)
	}
	if list, err := a.Policies(ctx); err != nil || len(list)+len(p.traps) != 0 {
		t.Errorf("policies %+v, %v", list, err)
	}
	for _, bad := range []backend.Target{{IKE: "gw"}, {IKE: "none", Child: "net"}} {
		if err := a.Install(ctx, bad); !errors.Is(err, backend.ErrRefused) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// badLog is a key log that cannot be written.
type badLog struct{}

func (badLog) IKE(wire.SPI, wire.SPI, suite.IKETransforms, *suite.IKEKeys) error {
	return fmt.Errorf("the disk is full")
}
func (badLog) ESP(*ike.Update) error { return fmt.Errorf("the disk is full") }

func TestAKeyLogThatFailsIsSaidOnceAndStopsNothing(t *testing.T) {
	a, _ := pair(t, func(o *native.Options) { o.Keys = badLog{} })
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	said := 0
	for e := range a.Events(ctx, backend.EventOptions{Every: -1}) {
		if e.Table != nil {
			go func() {
				if err := a.Up(ctx, backend.Target{IKE: "gw", Child: "net"}, backend.UpOptions{}, nil); err != nil {
					t.Error(err)
				}
			}()
		}
		if e.Log != nil && strings.Contains(e.Log.Text, "the disk is full") {
			said++
		}
		if e.Change != nil && e.Change.Kind == event.ChildUp {
			break
		}
	}
	a.until(t, "the tunnel is up", func() bool { return a.one(t, "net") })
	if said != 1 {
		t.Errorf("it is said %d times", said)
	}
}
