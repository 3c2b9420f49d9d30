package cli

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/doc"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/print"
	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/diag/grade"
	"github.com/cloudvlan/cvlanctl/diag/probe/peer"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// TestTheESPThatAPeerTakesIsShownWithItsGrade writes what a test with --grade
// found in all forms.
func TestTheESPThatAPeerTakesIsShownWithItsGrade(t *testing.T) {
	profile, err := grade.Named("rfc")
	if err != nil {
		t.Fatal(err)
	}
	r := &peer.Report{Target: peer.Target{Host: "192.0.2.2"}, Steps: []peer.Step{{Name: peer.StepESP, Status: peer.Pass, Detail: "the peer takes 3 of the 4 that were asked for, each alone"}}}
	for _, x := range []struct{ keyword, suite string }{{"aes256gcm16", "aes256gcm16"}, {"aes256", "aes256-sha1"}, {"3des", ""}, {"sha1", "aes256-sha1"}} {
		a, ok := wire.ParseKeyword(x.keyword)
		if !ok {
			t.Fatalf("keyword %s", x.keyword)
		}
		answer := peer.ESPAnswer{Algorithm: a, Accepted: x.suite != "", Suite: x.suite}
		if x.suite == "" {
			answer.Answer = "NO_PROPOSAL_CHOSEN"
		}
		r.ESP = append(r.ESP, answer)
	}
	terminal, out, _ := term.Test("", nil)
	app := NewApp(terminal)
	app.Output = print.Table
	if err := (&testPeer{app: app, o: &TestPeerOptions{}, profile: profile}).closeESP(r); err != nil {
		t.Fatal(err)
	}
	golden(t, "ipsec/test-peer-grade.txt", out.String())
	d := doc.NewTestPeer(r, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	d.ESP = doc.NewTestPeerESP(r, profile)
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	holds(t, "test-peer", "step", "json", string(b))
	if d.ESP.Worst != grade.Weak.String() {
		t.Errorf("worst %s", d.ESP.Worst)
	}
}
