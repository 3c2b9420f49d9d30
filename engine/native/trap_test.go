package native_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/link"
	"github.com/cloudvlan/cvlanctl/engine/native"
)

// trapping is a Counter that can wait for traffic: the test is its traffic.
type trapping struct {
	*native.Counter
	mu      sync.Mutex
	reports link.Reports
	traps   []link.Trap
	refuse  error
}

func (p *trapping) Attach(a link.Attachment) error {
	p.reports = a.Reports
	return nil
}

func (p *trapping) SetTraps(list []link.Trap) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse != nil {
		return p.refuse
	}
	p.traps = list
	return nil
}

func (p *trapping) waits(t *testing.T, children ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.traps) != len(children) {
		t.Fatalf("it waits for %+v, not for %v", p.traps, children)
	}
	for i, trap := range p.traps {
		if trap.Connection != "gw" || trap.Child != children[i] || len(trap.Local) != 1 || len(trap.Remote) != 1 || trap.Peer.String() != "127.0.0.1" {
			t.Errorf("it waits for %+v, not for %s", trap, children[i])
		}
	}
}

func TestTrapsAreInstalledSprungAndTakenBack(t *testing.T) {
	plane := &trapping{}
	b := start(t, loadPolicy(t, policyOf("b", "a", 0, "none"), "lab only"), nil)
	a := start(t, loadPolicy(t, policyOf("a", "b", b.LocalAddr().Port(), "trap"), "lab only"), func(o *native.Options) {
		plane.Counter = o.Plane.(*native.Counter)
		o.Plane = plane
	})
	plane.waits(t, "net")
	if err := a.Install(limited(t), backend.Target{Child: "second"}); err != nil {
		t.Fatal(err)
	}
	plane.waits(t, "net", "second")
	list, err := a.Policies(limited(t))
	if err != nil || len(list) != 2 || list[0].Child != "net" || list[0].Mode != "TUNNEL" || list[0].RemoteTS[0] != "10.2.0.0/24" || list[1].LocalTS[0] != "10.1.0.0/24" {
		t.Errorf("policies %+v, %v", list, err)
	}
	for range 10 { // as if traffic came while the tunnel comes up
		plane.reports.Acquire("gw", "net")
	}
	a.until(t, "the tunnel is up", func() bool { return a.one(t, "net") })
	plane.reports.Acquire("gw", "nothing of the kind")

	if err := a.Uninstall(limited(t), backend.Target{Child: "second"}); err != nil {
		t.Fatal(err)
	}
	plane.waits(t, "net")
	for name, err := range map[string]error{
		"uninstalling what is not there":  a.Uninstall(limited(t), backend.Target{Child: "second"}),
		"installing without a child":      a.Install(limited(t), backend.Target{IKE: "gw"}),
		"installing an unknown child":     a.Install(limited(t), backend.Target{Child: "third"}),
		"waiting for a peer from nowhere": start(t, loadPolicy(t, policyOf("b", "a", 0, "none"), "x"), func(o *native.Options) { o.Plane = &trapping{Counter: &native.Counter{}} }).Install(limited(t), backend.Target{Child: "net"}),
	} {
		if !errors.Is(err, backend.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	plane.mu.Lock()
	plane.refuse = errors.New("no room")
	plane.mu.Unlock()
	if err := a.Install(limited(t), backend.Target{Child: "second"}); !errors.Is(err, plane.refuse) {
		t.Errorf("a plane that refuses: %v", err)
	}
	if list, err := a.Policies(limited(t)); err != nil || len(list) != 1 {
		t.Errorf("policies %+v, %v", list, err)
	}
}
