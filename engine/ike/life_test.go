package ike_test

import (
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/enginetest"
	"github.com/cloudvlan/cvlanctl/engine/ike"
)

// TestShortLivesEndInAgreement is a taste of the simulation in enginetest,
// which has many more.
func TestShortLivesEndInAgreement(t *testing.T) {
	for seed := uint64(500_001); seed <= 500_040; seed++ {
		if l := enginetest.Live(t, seed); len(l.Faults) > 0 {
			t.Errorf("seed %d: %v\n%s", seed, l.Faults, l.Ladder)
		}
	}
}

func TestCommandsForWhatIsNotThereSaySo(t *testing.T) {
	p := enginetest.NewPair(t, 1)
	a, _ := p.Up()
	for name, c := range map[string]ike.Command{
		"rekey child": ike.RekeyChild{SPI: 1}, "delete child": ike.DeleteChild{SPI: 1}, "expiry": ike.Expired{SPI: 1}, "add child": ike.AddChild{Name: "nobody"},
	} {
		if f := p.A.Command(a, c); f == nil || !f.Survived || f.Error() == "" {
			t.Errorf("%s: %v", name, f)
		}
	}
	p.Agree(1, 1)
	if p.A.Endpoint.Find(a.LocalSPI()) != a || a.Connection() == nil || a.Connection().Name != "gw" {
		t.Error("the SA is not found by its SPI")
	}
	p.A.Command(a, ike.DeleteIKE{})
	p.Run(time.Minute)
	if f := p.A.Command(a, ike.Probe{}); f == nil {
		t.Error("a command to an SA that has ended is taken")
	}
	if p.A.Endpoint.Find(a.LocalSPI()) != nil {
		t.Error("an SA that has ended is found")
	}
}
