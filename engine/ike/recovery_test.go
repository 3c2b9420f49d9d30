package ike

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func TestEveryErrorOfRFC7296IsInTheRecoveryTableOrIgnoredOnPurpose(t *testing.T) {
	ignored := map[wire.NotifyType]string{
		wire.NotifyInvalidIKESPI:       "comes in the clear only: anybody can have sent it",
		wire.NotifyInvalidMajorVersion: "comes in the clear only: anybody can have sent it",
	}
	// The errors of its section 3.10.1.
	for _, n := range []wire.NotifyType{1, 4, 5, 7, 9, 11, 14, 17, 24, 34, 35, 36, 37, 38, 39, 43, 44} {
		inTable := false
		for i := range Recoveries {
			inTable = inTable || Recoveries[i].Error == n
		}
		if inTable == (ignored[n] != "") {
			t.Errorf("%s: in the table %v, ignored because %q", n, inTable, ignored[n])
		}
	}
}

func TestRecoveriesWithoutTimerHappenInTheStepThatSeesTheError(t *testing.T) {
	for i := range Recoveries {
		r := &Recoveries[i]
		if strings.HasPrefix(r.Words, "after "+retryWords) || waits[r.Cause] {
			continue
		}
		what := r.Cause
		if r.Error != 0 {
			what = r.Error.String()
		}
		t.Run(what+" during "+r.During, func(t *testing.T) {
			x := newBench(t, Settings{})
			d := x.trouble(r)
			out := x.pass(x.a, d) // no virtual time passes
			gone := x.sa.ended() || len(x.a.SAs()) == 0
			switch {
			case r.Action == RecoverDelete && !gone:
				t.Errorf("the IKE SA is %s", x.sa.state)
			case (r.Action == RecoverRetry || r.Action == RecoverReset) && len(out.Datagrams) == 0:
				t.Error("nothing is asked again")
			case (r.Action == RecoverNotify || r.Action == RecoverIgnore) && gone && r.During != "IKE_AUTH":
				t.Errorf("the IKE SA is %s: %s", x.sa.state, x.sa.why)
			case r.Action == RecoverNotify && out.Err == nil && len(out.Datagrams) == 0:
				t.Error("nobody is told")
			case r.Action == RecoverIgnore && len(out.Datagrams) > 0:
				t.Error("it is answered")
			}
		})
	}
}

func TestTheRecoveryTableTellsTheDefaultWaits(t *testing.T) {
	s := Settings{}.withDefaults()
	if want := fmt.Sprintf("%.0f s, then twice as long each time up to %.0f s", s.RetryDelay.Seconds(), (s.RetryDelay << maxDoublings).Seconds()); retryWords != want {
		t.Errorf("it says %q, the waits are %q", retryWords, want)
	}
}
