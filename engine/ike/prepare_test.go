package ike

import (
	"testing"

	"github.com/cloudvlan/cvlanctl/engine"
)

func TestTheAnswerToIKESAInitGoesBeforeItsKeysAreMade(t *testing.T) {
	for _, prepared := range []bool{true, false} {
		x := newBench(t, Settings{})
		if prepared {
			x.a.Prepare()
			x.b.Prepare()
		}
		out := x.pass(x.b, x.begin())
		if len(out.Datagrams) != 1 || len(x.b.SAs()) != 1 {
			t.Fatalf("IKE_SA_INIT is answered by %d datagrams", len(out.Datagrams))
		}
		x.sb = x.b.SAs()[0]
		if x.sb.keys != nil {
			t.Error("the keys are made before the answer goes")
		}
		if m := x.sb.Model(); m.Suite.DHGroup == "" {
			t.Error("the half-open SA does not tell what was chosen")
		}
		if prepared {
			if x.b.Prepare(); x.sb.keys == nil {
				t.Error("no keys are made ahead of IKE_AUTH")
			}
		}
		// However it was, both agree.
		out = x.pass(x.a, out.Datagrams[0])
		out = x.pass(x.b, out.Datagrams[0])
		x.pass(x.a, out.Datagrams[0])
		for _, s := range []*SA{x.sa, x.sb} {
			if s.State() != engine.IKEEstablished {
				t.Errorf("an IKE SA is %s, prepared: %t", s.State(), prepared)
			}
		}
		if !x.sa.keys.D.Equal(x.sb.keys.D) {
			t.Error("the keys differ")
		}
	}
}

func TestAnEphemeralKeyServesOneSA(t *testing.T) {
	x := newBench(t, Settings{})
	seen := map[string]bool{}
	for range 10 {
		x.a.Prepare()
		x.b.Prepare()
		d := x.begin()
		ke := string(x.sa.out.requests[0].task.(*initTask).ke.Public())
		if seen[ke] {
			t.Fatal("two SAs are offered with one ephemeral key")
		}
		seen[ke] = true
		out := x.pass(x.b, d)
		out = x.pass(x.a, out.Datagrams[0])
		out = x.pass(x.b, out.Datagrams[0])
		x.pass(x.a, out.Datagrams[0])
	}
}
