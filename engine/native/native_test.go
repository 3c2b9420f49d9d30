package native_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/native"
	"github.com/cloudvlan/cvlanctl/engine/policy"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/trace"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// patience bounds every wait of these tests.
const patience = time.Minute

// loadPolicy reads a policy whose secret lies beside it.
func loadPolicy(t *testing.T, text, secret string) *policy.Policy {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "psk"), []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, findings := policy.Parse(t.Context(), "policy.yaml", []byte(text), policy.Options{Dir: dir})
	if p == nil {
		t.Fatal(findings)
	}
	return p
}

// policyOf gives the policy of one of two nodes, a and b; tunnels stand at its
// end.
func policyOf(own, other string, port uint16, start string) string {
	at := ""
	if port != 0 {
		at = fmt.Sprintf("    addresses: 127.0.0.1\n    port: %d\n", port)
	}
	left, right := "10.1.0.0/24", "10.2.0.0/24"
	if own == "b" {
		left, right = right, left
	}
	return fmt.Sprintf(`version: 1
node: {identity: %s.example, addresses: 127.0.0.1}
peers:
  gw:
    identity: %s.example
    auth: psk
    psk: {file: psk}
%stunnels:
  net: {peer: gw, local: %s, remote: %s, start: %s}
  second: {peer: gw, local: %s, remote: 10.9.0.0/24}
`, own, other, at, left, right, start, left)
}

// started is a native engine under test.
type started struct {
	*native.Engine
	plane *native.Counter
}

// start starts an engine on unprivileged ports of loopback.
func start(t *testing.T, p *policy.Policy, change func(*native.Options)) *started {
	t.Helper()
	s := &started{plane: &native.Counter{}}
	o := native.Options{Policy: p, Plane: s.plane, Listen: func(a netip.AddrPort) (*net.UDPConn, error) {
		return net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a.Addr(), 0)))
	}, Settings: ike.Settings{Retransmit: ike.Retransmission{Timeout: time.Second, Base: 1.2, Tries: 10}}}
	if change != nil {
		change(&o)
	}
	var err error
	if s.Engine, err = native.Start(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// pair starts two engines of which a knows where b is.
func pair(t *testing.T, changeA func(*native.Options)) (a, b *started) {
	t.Helper()
	b = start(t, loadPolicy(t, policyOf("b", "a", 0, "none"), "lab only"), nil)
	a = start(t, loadPolicy(t, policyOf("a", "b", b.LocalAddr().Port(), "none"), "lab only"), changeA)
	return a, b
}

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// sas lists the IKE SAs of an engine.
func (s *started) sas(t *testing.T) []*engine.IKESA {
	t.Helper()
	list, err := s.SAs(limited(t), backend.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// until waits, event by event, for a condition on an engine.
func (s *started) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx := limited(t)
	for range s.Events(ctx, backend.EventOptions{Every: 20 * time.Millisecond}) {
		if ok() {
			return
		}
	}
	t.Fatalf("it did not come to this: %s", what)
}

// one says whether an engine has one established IKE SA with children of these
// names, and no other.
func (s *started) one(t *testing.T, children ...string) bool {
	t.Helper()
	list := s.sas(t)
	if len(list) != 1 || list[0].State != engine.IKEEstablished || len(list[0].Children) != len(children) {
		return false
	}
	for i, c := range list[0].Children {
		if c.Name != children[i] || c.State != engine.ChildInstalled {
			return false
		}
	}
	return s.plane.Installed() == len(children)
}

func (s *started) up(t *testing.T, child string) {
	t.Helper()
	if err := s.Up(limited(t), backend.Target{IKE: "gw", Child: child}, backend.UpOptions{}, nil); err != nil {
		t.Fatal(err)
	}
}

func TestLifeOfATunnelBetweenTwoEngines(t *testing.T) {
	a, b := pair(t, nil)
	var told []string
	err := a.Up(limited(t), backend.Target{Child: "net"}, backend.UpOptions{}, func(e *event.Event) {
		if e.Change != nil {
			told = append(told, string(e.Change.Kind))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(told, " "); got != "ike-up child-up" {
		t.Errorf("progress told %q", got)
	}
	b.until(t, "the responder has the tunnel", func() bool { return b.one(t, "net") })
	if !a.one(t, "net") {
		t.Fatalf("the initiator has %+v", a.sas(t))
	}
	ours, theirs := a.sas(t)[0], b.sas(t)[0]
	if ours.InitiatorSPI != theirs.InitiatorSPI || ours.ResponderSPI != theirs.ResponderSPI ||
		ours.Children[0].SPIIn != theirs.Children[0].SPIOut || ours.Children[0].SPIOut != theirs.Children[0].SPIIn {
		t.Errorf("the sides disagree: %+v, %+v", ours, theirs)
	}
	if ours.UniqueID == 0 || ours.Children[0].UniqueID == 0 || len(ours.Timers) == 0 || len(ours.Children[0].Timers) == 0 {
		t.Errorf("numbers or timers are missing: %+v", ours)
	}

	probe, err := a.DPD(limited(t), "gw", nil)
	if rtt, known := probe.RTT.Get(); err != nil || !probe.Answered || !known || rtt <= 0 {
		t.Errorf("liveness check: %+v, %v", probe, err)
	}

	old := ours.Children[0]
	if n, err := a.Rekey(limited(t), backend.Target{Child: "net"}, backend.RekeyOptions{}); n != 1 || err != nil {
		t.Fatalf("rekey of the child: %d, %v", n, err)
	}
	a.until(t, "the child is replaced", func() bool { return a.one(t, "net") && a.sas(t)[0].Children[0].SPIIn != old.SPIIn })
	if now := a.sas(t)[0].Children[0]; now.UniqueID == old.UniqueID {
		t.Errorf("the new child SA has the old one's number %d", old.UniqueID)
	}

	if n, err := b.Rekey(limited(t), backend.Target{IKE: "gw"}, backend.RekeyOptions{}); n != 1 || err != nil {
		t.Fatalf("rekey of the IKE SA: %d, %v", n, err)
	}
	a.until(t, "the IKE SA is replaced", func() bool { return a.one(t, "net") && a.sas(t)[0].InitiatorSPI != ours.InitiatorSPI })
	if now := a.sas(t)[0]; now.UniqueID == ours.UniqueID {
		t.Errorf("the new IKE SA has the old one's number %d", ours.UniqueID)
	}

	if err := a.Down(limited(t), backend.Target{Child: "net"}, backend.DownOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	b.until(t, "the child is gone on both sides", func() bool { return a.one(t) && b.one(t) })
	a.up(t, "net")
	if err := a.Down(limited(t), backend.Target{IKE: "gw"}, backend.DownOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	b.until(t, "nothing is left", func() bool { return len(a.sas(t))+len(b.sas(t))+a.plane.Installed()+b.plane.Installed() == 0 })
}

func TestUpAsksForTheNamedChildAlone(t *testing.T) {
	a, b := pair(t, nil)
	a.up(t, "net")
	if !a.one(t, "net") {
		t.Fatalf("%+v", a.sas(t)[0])
	}
	// The peer has no such selectors: the IKE SA and the other child stand.
	err := a.Up(limited(t), backend.Target{IKE: "gw", Child: "second"}, backend.UpOptions{}, nil)
	if !errors.Is(err, backend.ErrRefused) || !strings.Contains(err.Error(), "TS_UNACCEPTABLE") {
		t.Errorf("a child that the peer refuses: %v", err)
	}
	if !a.one(t, "net") || !b.one(t, "net") {
		t.Errorf("after the refusal: %+v", a.sas(t))
	}
	s, err := a.Snapshot(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Tunnels) != 1 || len(s.Tunnels[0].Children) != 2 {
		t.Fatalf("snapshot: %+v", s.Tunnels)
	}
	for _, c := range s.Tunnels[0].Children {
		if c.Up() != (c.Name == "net") {
			t.Errorf("child %s is up: %t", c.Name, c.Up())
		}
	}
}

func TestStartActionBringsTheTunnelUp(t *testing.T) {
	b := start(t, loadPolicy(t, policyOf("b", "a", 0, "none"), "lab only"), nil)
	a := start(t, loadPolicy(t, policyOf("a", "b", b.LocalAddr().Port(), "start"), "lab only"), nil)
	a.until(t, "the tunnel is up by itself", func() bool { return a.one(t, "net") })
}

func TestUpSaysWhyItFails(t *testing.T) {
	quick := func(o *native.Options) {
		o.Settings.Retransmit = ike.Retransmission{Timeout: time.Millisecond, Base: 1, Tries: 1}
	}
	silent, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }() // nothing was read or written
	b := start(t, loadPolicy(t, policyOf("b", "a", 0, "none"), "lab only"), nil)
	for _, row := range []struct {
		name, secret, says string
		port               uint16
		change             func(*native.Options)
	}{
		{"another preshared key", "another", "AUTHENTICATION_FAILED", b.LocalAddr().Port(), nil},
		{"a peer that is silent", "lab only", "RFC 7296 2.4", silent.LocalAddr().(*net.UDPAddr).AddrPort().Port(), quick},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := start(t, loadPolicy(t, policyOf("a", "b", row.port, "none"), row.secret), row.change)
			failures := 0
			err := a.Up(limited(t), backend.Target{IKE: "gw", Child: "net"}, backend.UpOptions{}, func(e *event.Event) {
				if e.Log != nil && e.Log.Failure != nil {
					failures++
				}
			})
			if !errors.Is(err, backend.ErrRefused) || !strings.Contains(err.Error(), row.says) {
				t.Errorf("error %v, want one that says %q", err, row.says)
			}
			if failures == 0 {
				t.Error("no event tells the failure")
			}
			if n := len(a.sas(t)); n != 0 {
				t.Errorf("%d IKE SAs are left", n)
			}
		})
	}
}

func TestEventsFoldIntoTheSAsThatThereAre(t *testing.T) {
	a, _ := pair(t, nil)
	ctx, cancel := context.WithCancel(limited(t))
	fold := trace.New(trace.Options{})
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for e, err := range a.Events(ctx, backend.EventOptions{Every: -1}) {
			if err != nil {
				t.Error(err)
				return
			}
			if e.Table != nil {
				close(ready)
			}
			fold.Add(e)
			if e.Change != nil && e.Change.Kind == event.IKEDown {
				return
			}
		}
	}()
	<-ready
	a.up(t, "net")
	first := a.sas(t)[0].UniqueID
	if _, err := a.Rekey(ctx, backend.Target{IKE: "gw"}, backend.RekeyOptions{}); err != nil {
		t.Fatal(err)
	}
	a.until(t, "the IKE SA is replaced", func() bool { return a.one(t, "net") && a.sas(t)[0].UniqueID != first })
	if err := a.Down(ctx, backend.Target{IKE: "gw"}, backend.DownOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	<-ended
	cancel()
	if len(fold.SAs) != 2 || fold.SAs[0].Successor != fold.SAs[1] || fold.SAs[1].State != engine.IKEDeleted {
		for _, sa := range fold.SAs {
			t.Errorf("the fold has %+v", *sa)
		}
	}
}

func TestCloseTellsThePeerAndLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	a, b := pair(t, nil)
	a.up(t, "net")
	b.until(t, "the responder has the tunnel", func() bool { return b.one(t, "net") })
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if n := a.plane.Installed(); n != 0 {
		t.Errorf("%d child SAs are left in the data plane", n)
	}
	b.until(t, "the peer was told", func() bool { return len(b.sas(t)) == 0 && b.plane.Installed() == 0 })
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.SAs(limited(t), backend.Filter{}); !errors.Is(err, backend.ErrUnreachable) {
		t.Errorf("listing after Close: %v", err)
	}
	if a.State().Live {
		t.Error("a closed engine says that it is live")
	}
	text := ""
	for range 6000 { // what has returned may not have gone yet
		stacks := make([]byte, 1<<20)
		text = string(stacks[:runtime.Stack(stacks, true)])
		if runtime.NumGoroutine() <= before || !strings.Contains(text, "native.(*Engine)") && !strings.Contains(text, "link.(*Pump)") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("goroutines are left:\n%s", text)
}

func TestCloseIsBoundedWhenThePeerIsGone(t *testing.T) {
	a, b := pair(t, func(o *native.Options) { o.Grace = 50 * time.Millisecond })
	a.up(t, "net")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	a.until(t, "the peer's farewell has come", func() bool { return len(a.sas(t)) == 0 })
	// Now an IKE SA to nobody: the grace ends it, with nothing installed.
	if err := a.Up(limited(t), backend.Target{IKE: "gw", Child: "net"}, backend.UpOptions{NoWait: true}, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if n := a.plane.Installed(); n != 0 {
		t.Errorf("%d child SAs are left in the data plane", n)
	}
}

// keyCount counts the keys that it is told.
type keyCount struct{ ike, esp []string }

func (k *keyCount) IKE(i, r wire.SPI, t suite.IKETransforms, keys *suite.IKEKeys) error {
	k.ike = append(k.ike, fmt.Sprintf("%s %s %d %d", i, r, t.EncrID, keys.EI.Len()))
	return nil
}

func (k *keyCount) ESP(u *ike.Update) error {
	k.esp = append(k.esp, fmt.Sprintf("%s %s %d", u.SPIs.In, u.SPIs.Out, u.In.Encr.Len()))
	return nil
}

func TestKeyLogIsToldTheKeysOfEachSAOnce(t *testing.T) {
	log := &keyCount{}
	a, _ := pair(t, func(o *native.Options) { o.Keys = log })
	a.up(t, "net")
	sa := a.sas(t)[0]
	in, _ := sa.Children[0].SPIIn.Get()
	out, _ := sa.Children[0].SPIOut.Get()
	if err := a.Close(); err != nil { // and with it the engine's goroutine
		t.Fatal(err)
	}
	if want := fmt.Sprintf("[%s %s 20 36]", sa.InitiatorSPI, sa.ResponderSPI); fmt.Sprint(log.ike) != want {
		t.Errorf("IKE keys %v, want %s", log.ike, want)
	}
	if want := fmt.Sprintf("[%s %s 36]", in, out); fmt.Sprint(log.esp) != want {
		t.Errorf("ESP keys %v, want %s", log.esp, want)
	}
}

func TestWhatTheEngineCannotDoIsRefusedInWords(t *testing.T) {
	base := policyOf("a", "b", 500, "none")
	for _, row := range []struct{ name, from, to, says string }{
		{"trap", "start: none", "start: trap", "start trap"},
		{"reauthentication", "    auth: psk\n", "    auth: psk\n    ike: {lifetime: {reauth: 1h}}\n", "reauthentication"},
		{"virtual addresses", "    auth: psk\n", "    auth: psk\n    virtual_addresses: ipv4\n", "virtual addresses"},
		{"NAT off", "    auth: psk\n", "    auth: psk\n    nat: off\n", "NAT detection"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := loadPolicy(t, strings.Replace(base, row.from, row.to, 1), "lab only")
			_, err := native.Start(t.Context(), native.Options{Policy: p})
			if !errors.Is(err, backend.ErrUnsupported) || !strings.Contains(err.Error(), row.says) {
				t.Errorf("error %v, want one that says %q", err, row.says)
			}
		})
	}
}
