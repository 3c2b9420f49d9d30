package native_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/native"
)

// hopeful is an engine whose tunnel is to be up, with a peer that is not there:
// it has failed to be more than once. back brings the peer.
func hopeful(t *testing.T) (a *started, back func() *started) {
	t.Helper()
	peer := func(port uint16) *started {
		return start(t, loadPolicy(t, policyOf("b", "a", 0, "none"), "lab only"), func(o *native.Options) {
			any, listen := true, o.Listen
			o.Listen = func(at netip.AddrPort) (*net.UDPConn, error) {
				if first := any; first && port != 0 { // plain IKE comes first
					any = false
					return net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at.Addr(), port)))
				}
				return listen(at)
			}
		})
	}
	b := peer(0)
	port := b.LocalAddr().Port()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	a = start(t, loadPolicy(t, policyOf("a", "b", port, "start"), "lab only"), func(o *native.Options) {
		o.Settings.Retransmit.Timeout, o.Patience, o.Watched = 50*time.Millisecond, 20*time.Millisecond, true
	})
	again := 0
	for ev, err := range a.Events(limited(t), backend.EventOptions{Every: -1}) {
		if err != nil {
			t.Fatal(err)
		}
		if ev.Log != nil && strings.Contains(ev.Log.Text, `child "net" is to be up: tried again in `) {
			if again++; again == 2 {
				break
			}
		}
	}
	return a, func() *started { return peer(port) }
}

func TestAChildThatIsToBeUpIsTriedUntilItsPeerIsThere(t *testing.T) {
	a, back := hopeful(t)
	b := back()
	a.until(t, "the tunnel is up", func() bool { return a.one(t, "net") })
	b.until(t, "the peer has it", func() bool { return b.one(t, "net") })
}

func TestAChildThatIsTakenDownIsTriedNoLonger(t *testing.T) {
	a, back := hopeful(t)
	if err := a.Down(limited(t), backend.Target{IKE: "gw"}, backend.DownOptions{}, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Down(limited(t), backend.Target{IKE: "gw"}, backend.DownOptions{}, nil); err == nil {
		t.Error("it was to be taken down still")
	}
	b := back()
	if _, err := a.DPD(limited(t), "gw", nil); err == nil {
		t.Error("there is an IKE SA")
	}
	a.up(t, "net") // by hand
	// What is asked again because the answer was slow makes no second one.
	if list := b.sas(t); len(list) != 1 || list[0].UniqueID != 1 {
		t.Errorf("the peer has %+v", list)
	}
}
