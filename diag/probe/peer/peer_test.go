package peer_test

import (
	"testing"

	"github.com/cloudvlan/cvlanctl/diag/probe/peer"
)

func TestTheVerdictSaysWhetherTheTunnelWorksNowAndLater(t *testing.T) {
	for _, row := range []struct {
		name  string
		steps []peer.Step
		want  string
	}{
		{"all passed", []peer.Step{{Name: peer.StepAuth, Status: peer.Pass}, {Name: peer.StepTraffic, Status: peer.Pass}}, "all that was tested works"},
		{"a warning", []peer.Step{{Name: peer.StepNATT, Status: peer.Warn}, {Name: peer.StepTraffic, Status: peer.Pass}}, "it works, with reservations"},
		{"no authentication", []peer.Step{{Name: peer.StepAuth, Status: peer.Fail}, {Name: peer.StepTraffic, Status: peer.Skip}}, "the tunnel does not work"},
		{"no traffic", []peer.Step{{Name: peer.StepTraffic, Status: peer.Fail}, {Name: peer.StepRekey, Status: peer.Fail}}, "the tunnel does not work"},
		{"no rekeying", []peer.Step{{Name: peer.StepTraffic, Status: peer.Pass}, {Name: peer.StepRekey, Status: peer.Fail}}, "the tunnel carries traffic, and will not last"},
		{"no large packets", []peer.Step{{Name: peer.StepSizes, Status: peer.Fail}, {Name: peer.StepTraffic, Status: peer.Pass}}, "the tunnel does not work"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := peer.Report{Steps: row.steps}
			if got := r.Verdict(); got != row.want {
				t.Errorf("it says %q, want %q", got, row.want)
			}
		})
	}
}
