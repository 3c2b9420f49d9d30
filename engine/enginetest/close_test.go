package enginetest

import (
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/ike"
)

// TestATunnelThatThePeerClosesGetsWhatIsConfigured has the peer delete a child,
// alone or with its IKE SA, and proves that nothing else counts as that: not our
// own delete, and not that of an SA that was replaced.
func TestATunnelThatThePeerClosesGetsWhatIsConfigured(t *testing.T) {
	deletes := func(h *Host, p *Pair, whole bool) {
		if whole {
			h.Command(p.One(h), ike.DeleteIKE{})
			return
		}
		h.Command(p.One(h), ike.DeleteChild{SPI: p.One(h).Model().Children[0].SPIIn.Or(0)})
	}
	for _, row := range []struct {
		name   string
		action ike.Action
		do     func(p *Pair)
		asked  int // how often our side is told to have the child again
	}{
		{"the child, clear", ike.ActionClear, func(p *Pair) { deletes(p.B, p, false) }, 0},
		{"the child, trap", ike.ActionTrap, func(p *Pair) { deletes(p.B, p, false) }, 1},
		{"the IKE SA, clear", ike.ActionClear, func(p *Pair) { deletes(p.B, p, true) }, 0},
		{"the IKE SA, trap", ike.ActionTrap, func(p *Pair) { deletes(p.B, p, true) }, 1},
		{"we delete the child", ike.ActionTrap, func(p *Pair) { deletes(p.A, p, false) }, 0},
		{"we delete the IKE SA", ike.ActionTrap, func(p *Pair) { deletes(p.A, p, true) }, 0},
		{"both delete the child", ike.ActionTrap, func(p *Pair) { deletes(p.A, p, false); deletes(p.B, p, false) }, 0},
		{"both delete the IKE SA", ike.ActionTrap, func(p *Pair) { deletes(p.A, p, true); deletes(p.B, p, true) }, 0},
		{"the peer rekeys the child", ike.ActionTrap, func(p *Pair) {
			p.B.Command(p.One(p.B), ike.RekeyChild{SPI: p.One(p.B).Model().Children[0].SPIIn.Or(0)})
		}, 0},
		{"the peer rekeys the IKE SA", ike.ActionTrap, func(p *Pair) { p.B.Command(p.One(p.B), ike.RekeyIKE{}) }, 0},
		{"both rekey the child", ike.ActionTrap, func(p *Pair) {
			for _, h := range []*Host{p.A, p.B} {
				h.Command(p.One(h), ike.RekeyChild{SPI: p.One(h).Model().Children[0].SPIIn.Or(0)})
			}
		}, 0},
		{"both rekey the IKE SA", ike.ActionTrap, func(p *Pair) {
			for _, h := range []*Host{p.A, p.B} {
				h.Command(p.One(h), ike.RekeyIKE{})
			}
		}, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := NewPair(t, 1, func(a, _ *ike.Connection, _, _ *ike.Settings) { a.Children[0].CloseAction = row.action })
			p.Up()
			row.do(p)
			p.Run(time.Minute)
			if len(p.A.Again) != row.asked {
				t.Fatalf("asked %d times, want %d: %+v", len(p.A.Again), row.asked, p.A.Again)
			}
			for _, a := range p.A.Again {
				if a.Child != "net" || a.Action != ike.ActionTrap || !a.Closed {
					t.Errorf("asked for %+v", a)
				}
			}
		})
	}
}
