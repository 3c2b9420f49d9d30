package link

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/esp"
	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

var errFault = errors.New("the kernel is out of sorts")

// pretended is a kernel that keeps what it is told.
type pretended struct {
	states   map[xfrmID]xfrmState
	policies map[xfrmKey]xfrmPolicy
	leads    int
	held     bool
	uses     map[xfrmID]xfrmUse
	calls    []string
	failAt   int // the call that fails, 0 for none
	closed   chan struct{}
	clean    bool
}

func pretend() (*XFRM, *pretended) {
	k := &pretended{states: map[xfrmID]xfrmState{}, policies: map[xfrmKey]xfrmPolicy{}, uses: map[xfrmID]xfrmUse{}, closed: make(chan struct{})}
	p := newXFRM(k, XFRMOptions{}, 0x1230000)
	p.at = Attachment{Local: netip.MustParseAddr("192.0.2.1")}
	return p, k
}

// call counts an order and says whether it is to fail.
func (k *pretended) call(format string, args ...any) error {
	k.calls = append(k.calls, fmt.Sprintf(format, args...))
	if len(k.calls) == k.failAt {
		return errFault
	}
	return nil
}

func (k *pretended) adopt(*Attachment) error { return nil }

func (k *pretended) addState(s *xfrmState) error {
	if err := k.call("add %s", s.spi); err != nil {
		return err
	}
	if _, there := k.states[s.id()]; there {
		return errors.New("there is one")
	}
	k.states[s.id()] = *s
	return nil
}

func (k *pretended) updateState(s *xfrmState) error {
	if _, there := k.states[s.id()]; !there {
		return errors.New("there is none")
	}
	k.states[s.id()] = *s
	return k.call("update %s", s.spi)
}

func (k *pretended) moveState(old, s *xfrmState) error {
	delete(k.states, old.id())
	k.states[s.id()] = *s
	return k.call("move %s", s.spi)
}

func (k *pretended) removeState(id xfrmID) error {
	delete(k.states, id)
	return k.call("remove %s", id.spi)
}

func (k *pretended) read(id xfrmID) (xfrmUse, error) { return k.uses[id], nil }

func (k *pretended) readAll(uint32) (map[xfrmID]xfrmUse, error) { return maps.Clone(k.uses), nil }

func (k *pretended) setPolicy(key xfrmKey, p *xfrmPolicy, there bool) error {
	if err := k.call("set %s", key); err != nil {
		return err
	}
	if _, is := k.policies[key]; is != there {
		return fmt.Errorf("%s: it is there: %v", key, is)
	}
	k.policies[key] = *p
	return nil
}

func (k *pretended) removePolicy(key xfrmKey) error {
	if _, there := k.policies[key]; !there {
		return fmt.Errorf("%s is not there", key)
	}
	delete(k.policies, key)
	return k.call("remove %s", key)
}

func (k *pretended) lead(_, _ []wire.TrafficSelector, _ netip.Addr) error {
	if err := k.call("lead"); err != nil {
		return err
	}
	k.leads++
	return nil
}

func (k *pretended) unlead([]wire.TrafficSelector, netip.Addr) error {
	k.leads--
	return k.call("unlead")
}

func (k *pretended) hold() error                  { k.held = true; return k.call("hold") }
func (k *pretended) watch(func(xfrmEvent))        { <-k.closed }
func (k *pretended) close(clean bool) (err error) { close(k.closed); k.clean = clean; return nil }

// empty checks that nothing is left.
func (k *pretended) empty(t *testing.T) {
	t.Helper()
	if len(k.states) > 0 || len(k.policies) > 0 || k.leads != 0 {
		t.Errorf("left: states %v, policies %v, %d routes", slices.Collect(maps.Keys(k.states)), k.policies, k.leads)
	}
}

// sends gives the SPI that traffic of our network goes with, and the number of
// its SA.
func (k *pretended) sends(t *testing.T) (wire.ESPSPI, uint32) {
	t.Helper()
	for key, p := range k.policies {
		if key.direction == xfrmOut {
			return p.spi, p.reqid
		}
	}
	t.Fatal("there is no policy for what is sent")
	return 0, 0
}

func do(t *testing.T, p *XFRM, u *ike.Update) {
	t.Helper()
	if err := p.Update(u); err != nil {
		t.Fatal(err)
	}
}

// replacement gives the order to install what replaces a child.
func replacement(t *testing.T, of *ike.Update) *ike.Update {
	u := ordered(t, wire.EncrAESGCM16, 256, 0)
	u.SPIs, u.Replaces, u.Outbound = ike.SPIPair{In: 0x3333, Out: 0x4444}, of.SPIs, false
	return u
}

func TestAKernelIsLeftAsItWasFound(t *testing.T) {
	p, k := pretend()
	u := ordered(t, wire.EncrAESGCM16, 256, 0)
	do(t, p, u)
	if len(k.states) != 2 || len(k.policies) != 3 || k.leads != 1 {
		t.Errorf("%d states, %d policies, %d routes", len(k.states), len(k.policies), k.leads)
	}
	if p.Update(u) == nil {
		t.Error("a child was installed twice")
	}
	do(t, p, &ike.Update{Kind: ike.Remove, SPIs: u.SPIs})
	k.empty(t)

	u.Transport = true
	do(t, p, u)
	if len(k.policies) != 2 || k.leads != 0 {
		t.Errorf("in transport mode %d policies, %d routes", len(k.policies), k.leads)
	}
	if err := p.Close(); err != nil || !k.clean {
		t.Error(err, k.clean)
	}
	k.empty(t)
}

// TestNothingIsLeftOfAChildThatCannotBeInstalled has each order to the kernel
// fail in turn.
func TestNothingIsLeftOfAChildThatCannotBeInstalled(t *testing.T) {
	for fail := 1; ; fail++ {
		p, k := pretend()
		k.failAt = fail
		err := p.Update(ordered(t, wire.EncrAESGCM16, 256, 0))
		if err == nil {
			if fail != 7 {
				t.Errorf("it takes %d orders", fail-1)
			}
			return
		}
		if !errors.Is(err, errFault) {
			t.Errorf("order %d: %v", fail, err)
		}
		k.empty(t)
		if len(p.policies)+len(p.states)+len(p.children.stand) > 0 {
			t.Errorf("order %d: the plane remembers %v", fail, p.policies)
		}
	}
}

func TestARekeyingLosesNothingUnderWay(t *testing.T) {
	p, k := pretend()
	old := ordered(t, wire.EncrAESGCM16, 256, 0)
	do(t, p, old)
	_, number := k.sends(t)
	next := replacement(t, old)
	do(t, p, next)
	if spi, again := k.sends(t); spi != old.SPIs.Out || again != number {
		t.Errorf("it is sent with %s, number %d, before the peer is ready", spi, again)
	}
	for key, policy := range k.policies {
		if policy.reqid != number {
			t.Errorf("%s takes SAs of number %d, the old SA has %d", key, policy.reqid, number)
		}
	}
	do(t, p, &ike.Update{Kind: ike.Switch, SPIs: next.SPIs})
	if spi, _ := k.sends(t); spi != next.SPIs.Out {
		t.Errorf("it is sent with %s", spi)
	}
	do(t, p, &ike.Update{Kind: ike.Remove, SPIs: old.SPIs})
	if _, there := k.states[xfrmID{netip.MustParseAddr("192.0.2.1"), old.SPIs.In}]; !there || len(k.states) != 3 {
		t.Error("packets of the old SA that are under way are lost")
	}
	p.look(time.Now().Add((lateFor + 2) * time.Second))
	if len(k.states) != 2 {
		t.Errorf("%d states are left", len(k.states))
	}
	do(t, p, &ike.Update{Kind: ike.Remove, SPIs: next.SPIs})
	k.empty(t)
}

func TestTheOldChildIsSentWithAgainWhereItsReplacementFails(t *testing.T) {
	p, k := pretend()
	old := ordered(t, wire.EncrAESGCM16, 256, 0)
	do(t, p, old)
	next := replacement(t, old)
	next.Outbound = true
	do(t, p, next)
	do(t, p, &ike.Update{Kind: ike.Remove, SPIs: next.SPIs})
	if spi, _ := k.sends(t); spi != old.SPIs.Out || k.leads != 1 {
		t.Errorf("it is sent with %s, %d routes", spi, k.leads)
	}
}

// trapFor gives a trap for the traffic of ordered's child.
func trapFor(u *ike.Update) Trap {
	return Trap{Connection: u.Connection, Child: u.Name, Local: u.LocalTS, Remote: u.RemoteTS, Peer: u.Remote.Addr()}
}

func TestATrapMakesRoomForItsChildAndComesBack(t *testing.T) {
	p, k := pretend()
	told := &toldReports{}
	p.at.Reports = told
	u := ordered(t, wire.EncrAESGCM16, 256, 0)
	if err := p.SetTraps([]Trap{trapFor(u)}); err != nil {
		t.Fatal(err)
	}
	spi, number := k.sends(t)
	if spi != 0 || !k.held || len(k.policies) != 1 || k.leads != 1 {
		t.Errorf("SPI %s, held %v, %d policies", spi, k.held, len(k.policies))
	}
	p.event(xfrmEvent{kind: xfrmAcquire, reqid: number})
	p.event(xfrmEvent{kind: xfrmAcquire, reqid: number + 1})
	if got := told.String(); got != "acquire gw/net" {
		t.Errorf("told %q", got)
	}
	do(t, p, u)
	if spi, again := k.sends(t); spi != u.SPIs.Out || again != number {
		t.Errorf("it is sent with %s, number %d; the packet waits for %d", spi, again, number)
	}
	if err := p.SetTraps([]Trap{trapFor(u)}); err != nil { // as with every change of another trap
		t.Fatal(err)
	}
	do(t, p, &ike.Update{Kind: ike.Remove, SPIs: u.SPIs})
	if spi, again := k.sends(t); spi != 0 || again != number || len(k.policies) != 1 {
		t.Errorf("SPI %s, number %d, %d policies", spi, again, len(k.policies))
	}
	if err := p.SetTraps(nil); err != nil {
		t.Fatal(err)
	}
	k.empty(t)
}

func TestTrapsThatCannotAllBeSetLeaveThoseThatWere(t *testing.T) {
	u := ordered(t, wire.EncrAESGCM16, 256, 0)
	other := trapFor(u)
	other.Child, other.Remote = "other", []wire.TrafficSelector{ike.PrefixSelector(netip.MustParsePrefix("10.3.0.0/16"))}
	for fail := range 5 { // the orders that set them, and none failing
		p, k := pretend()
		if err := p.SetTraps([]Trap{trapFor(u)}); err != nil {
			t.Fatal(err)
		}
		before, leads := maps.Clone(k.policies), k.leads
		if fail > 0 {
			k.failAt = len(k.calls) + fail
		}
		err := p.SetTraps([]Trap{trapFor(u), other})
		if fail == 0 {
			if err != nil || len(k.policies) != 2 || k.leads != 2 {
				t.Errorf("%d policies, %d routes, %v", len(k.policies), k.leads, err)
			}
			continue
		}
		if !errors.Is(err, errFault) || len(k.policies) != len(before) || k.leads != leads || len(p.traps) != 1 {
			t.Errorf("order %d: %v, %v, %d routes, %d traps", fail, err, k.policies, k.leads, len(p.traps))
		}
	}
}

func TestAPeerIsFollowedToItsNewPortAndAddress(t *testing.T) {
	p, k := pretend()
	u := ordered(t, wire.EncrAESGCM16, 256, 0)
	u.Encap = true
	do(t, p, u)
	moved := ike.Update{Kind: ike.Move, SPIs: u.SPIs, Local: u.Local, Remote: netip.MustParseAddrPort("192.0.2.2:31000"), Encap: true}
	k.calls = nil
	do(t, p, &moved)
	if got := strings.Join(k.calls, ", "); got != "update 00001111, update 00002222" {
		t.Errorf("another port: %s", got)
	}
	moved.Remote = netip.MustParseAddrPort("192.0.2.9:31000")
	do(t, p, &moved)
	there := netip.MustParseAddr("192.0.2.9")
	if _, ok := k.states[xfrmID{there, u.SPIs.Out}]; !ok || len(k.states) != 2 || k.leads != 1 {
		t.Errorf("%v, %d routes", k.states, k.leads)
	}
	for key, policy := range k.policies {
		if policy.src != there && policy.dst != there {
			t.Errorf("%s is for %s to %s", key, policy.src, policy.dst)
		}
	}
	do(t, p, &ike.Update{Kind: ike.Remove, SPIs: u.SPIs})
	k.empty(t)
}

// toldReports writes down what is told.
type toldReports struct{ lines []string }

func (r *toldReports) String() string { return strings.Join(r.lines, ", ") }

func (r *toldReports) Heard(in wire.ESPSPI, from netip.AddrPort) {
	r.lines = append(r.lines, fmt.Sprintf("heard %s %s", in, from))
}

func (r *toldReports) Expired(in wire.ESPSPI, hard bool) {
	r.lines = append(r.lines, fmt.Sprintf("expired %s %v", in, hard))
}

func (r *toldReports) Acquire(connection, child string) {
	r.lines = append(r.lines, fmt.Sprintf("acquire %s/%s", connection, child))
}

func TestWhatTheKernelReportsIsToldOnce(t *testing.T) {
	p, k := pretend()
	told := &toldReports{}
	p.at.Reports = told
	u := ordered(t, wire.EncrAESGCM16, 256, 0)
	do(t, p, u)
	in, out := xfrmID{u.Local.Addr(), u.SPIs.In}, xfrmID{u.Remote.Addr(), u.SPIs.Out}
	for _, e := range []xfrmEvent{
		{kind: xfrmExpired, id: out}, {kind: xfrmExpired, id: in}, {kind: xfrmExpired, id: in, hard: true}, {kind: xfrmExpired, id: out, hard: true},
		{kind: xfrmExpired, id: xfrmID{u.Local.Addr(), 0x9999}},
		{kind: xfrmMapping, id: in, from: netip.MustParseAddrPort("192.0.2.2:31000")}, {kind: xfrmMapping, id: in, from: netip.MustParseAddrPort("192.0.2.2:31000")},
	} {
		p.event(e)
	}
	if got := told.String(); got != "expired 00001111 false, expired 00001111 true, heard 00001111 192.0.2.2:31000" {
		t.Errorf("told %s", got)
	}

	told.lines = nil
	now := time.Now()
	count := func(id xfrmID, n uint64) { k.uses[id] = xfrmUse{Count: esp.Count{Packets: n, Octets: 100 * n}} }
	p.look(now) // nothing has come
	count(out, 4)
	p.look(now) // and nothing yet
	count(in, 3)
	p.look(now)
	p.look(now)
	if got := told.String(); got != "heard 00001111 invalid AddrPort" {
		t.Errorf("told %s", got)
	}
	traffic, ok := p.Traffic(u.SPIs)
	if !ok || traffic.In.Packets != 3 || traffic.Out.Octets != 400 || !traffic.LastIn.Equal(now) || !traffic.LastOut.Equal(now) {
		t.Errorf("%+v, %v", traffic, ok)
	}
	if _, ok := p.Traffic(ike.SPIPair{}); ok {
		t.Error("traffic of no child is told")
	}
}
