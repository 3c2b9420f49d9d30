package enginetest

import (
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/ike"
)

func TestPairSetsUpTunnelInFourMessages(t *testing.T) {
	p := NewPair(t, 1)
	p.Up()
	p.Agree(1, 1)

	if n := p.A.Changes(event.ChildUp); n != 1 {
		t.Errorf("child-up %d times, want once", n)
	}
}

func TestRekeyAndDeleteFromEitherSide(t *testing.T) {
	for _, side := range []string{"initiator", "responder"} {
		t.Run(side, func(t *testing.T) {
			p := NewPair(t, 1)
			p.Up()
			h := p.A
			if side == "responder" {
				h = p.B
			}
			for spi := range h.Plane.Children {
				h.Command(p.One(h), ike.RekeyChild{SPI: spi})
			}
			p.Run(time.Second)
			p.Agree(1, 1)
			h.Command(p.One(h), ike.RekeyIKE{})
			p.Run(time.Second)
			p.Agree(1, 1)
			for spi := range h.Plane.Children {
				h.Command(p.One(h), ike.DeleteChild{SPI: spi})
			}
			p.Run(time.Second)
			p.Agree(1, 0)
			h.Command(p.One(h), ike.AddChild{Name: "net"})
			p.Run(time.Second)
			p.Agree(1, 1)
			h.Command(p.One(h), ike.Probe{})
			p.Run(time.Second)
			if d := p.One(h).Model().DPD; d.Answered != 1 {
				t.Errorf("%d probes answered, want 1", d.Answered)
			}
			h.Command(p.One(h), ike.DeleteIKE{})
			p.Run(time.Minute)
			p.Agree(0, 0)
			if n := len(p.A.Endpoint.SAs()) + len(p.B.Endpoint.SAs()); n != 0 {
				t.Errorf("%d SAs are kept, want none", n)
			}
		})
	}
}
