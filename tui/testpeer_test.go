package tui_test

import (
	"context"
	"errors"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/tui"
)

func TestTheStepsOfATestStandOnTheScreenWithWhatTheyFound(t *testing.T) {
	test := func(o *tui.Options) {
		o.TestPeer = func(_ context.Context, p tui.PeerTest, tell func(tui.TestStep)) (string, error) {
			if p != (tui.PeerTest{Peer: "office", File: "site.yaml"}) {
				return "", errors.New("no such peer")
			}
			tell(tui.TestStep{Name: "resolve"})
			tell(tui.TestStep{Name: "resolve", Status: "pass", Took: time.Millisecond, Detail: "it is an address"})
			tell(tui.TestStep{Name: "authentication", Status: "fail", Took: time.Millisecond, Detail: "AUTHENTICATION_FAILED", Findings: []diag.Finding{{
				ID: "psk-mismatch", Severity: diag.Critical, Summary: "the keys differ", Evidence: []diag.Evidence{{What: "AUTH does not verify"}},
				Remedies: []diag.Remedy{{Side: "both", Platform: "any", Change: "enter it anew"}}}}})
			tell(tui.TestStep{Name: "clean delete", Status: "skip", Detail: "the peer does not authenticate"})
			return "", errors.New("the tunnel does not work")
		}
	}
	for _, size := range [][2]int{{80, 24}, {120, 40}} {
		d := drive(t, daemon(), size[0], size[1], test, atSecond(17))
		d.press(":", "test-peer office site.yaml", "enter").send(tui.Tick(at(18 * time.Second)))
		d.has("Test of office", "pass  resolve", "fail  authentication", "the keys differ", "psk-mismatch", "seen: AUTH does not verify", "do: both: enter it anew", "skip  clean delete", "  the tunnel does not work")
		d.press("esc").hasNot("Test of office")
		d.press(":", "test-peer office", "enter").has("test-peer wants a peer and the policy file")
		d.press(":", "test-peer away site.yaml", "enter").send(tui.Tick(at(19 * time.Second)))
		d.has("Test of away", "  no such peer").press("esc")
	}
	drive(t, daemon(), 80, 24, atSecond(17)).press(":", "test-peer office site.yaml", "enter").has("no peers to test")
}

// TestATestsFindingsLeadToWhatTheyAreKnownFromAndBack gives the screen what a
// test has seen.
func TestATestsFindingsLeadToWhatTheyAreKnownFromAndBack(t *testing.T) {
	seen, _ := recorded(t, "wrong-psk")
	d := drive(t, daemon(), 120, 40, atSecond(17), func(o *tui.Options) {
		o.TestPeer = func(_ context.Context, _ tui.PeerTest, tell func(tui.TestStep)) (string, error) {
			tell(tui.TestStep{Name: "authentication", Status: "fail", Detail: "AUTHENTICATION_FAILED", Data: seen})
			return "", errors.New("the tunnel does not work")
		}
	})
	d.press(":", "test-peer office site.yaml", "enter").send(tui.Tick(at(18 * time.Second)))
	d.has("fail  authentication", "Enter shows what this is known from")
	d.press("enter").has("what the test saw", "auth-failed-opaque", "evidence").hasNot("Test of office")
	d.press("enter", "enter").has("INITIATOR", "IKE_AUTH 1")
	d.press("u").hasNot("up office") // no orders to the source from here
	d.press("esc").has("evidence").press("esc", "esc").has("Test of office")
	d.press("esc").has("vici:", "TUNNEL").hasNot("what the test saw")
}

func TestATestOfAPeerIsToldHowAndIsEnded(t *testing.T) {
	var asked []tui.PeerTest
	d := drive(t, daemon(), 80, 24, atSecond(17), func(o *tui.Options) {
		o.TestPeer = func(ctx context.Context, p tui.PeerTest, _ func(tui.TestStep)) (string, error) {
			asked = append(asked, p)
			return "it works", nil
		}
	})
	for _, c := range []struct {
		line, says string
		want       tui.PeerTest
	}{
		{"office site.yaml --ladder", "it works", tui.PeerTest{Peer: "office", File: "site.yaml", Ladder: true}},
		{"--listen office site.yaml", "it works", tui.PeerTest{Peer: "office", File: "site.yaml", Listen: true}},
		{"office site.yaml --ladder --listen", "one of --ladder and --listen", tui.PeerTest{}},
		{"office site.yaml --ladder=3", "knows no --ladder=3", tui.PeerTest{}},
		{"office", "wants a peer and the policy file", tui.PeerTest{}},
	} {
		asked = nil
		d.press(":", "test-peer "+c.line, "enter").has(c.says).press("esc")
		if c.want == (tui.PeerTest{}) != (len(asked) == 0) || len(asked) > 0 && asked[0] != c.want {
			t.Errorf("%q asks for %+v, want %+v", c.line, asked, c.want)
		}
	}
	d.press(":", "test-peer", "enter").send(tui.Tick(at(18 * time.Second)))
	d.has("Test of office", "it works")
}

// TestATestThatRunsCanBeHiddenAndEnded lets a test wait for its end as the
// program does: on a goroutine of its own.
func TestATestThatRunsCanBeHiddenAndEnded(t *testing.T) {
	begun := make(chan struct{})
	d := drive(t, daemon(), 80, 24, atSecond(17), func(o *tui.Options) {
		o.TestPeer = func(ctx context.Context, _ tui.PeerTest, tell func(tui.TestStep)) (string, error) {
			tell(tui.TestStep{Name: "the peer's call"})
			close(begun)
			<-ctx.Done()
			return "", ctx.Err()
		}
	})
	d.press(":", "test-peer office site.yaml --listen")
	_, cmd := d.model.Update(tea.KeyPressMsg(special["enter"]))
	ended := make(chan tea.Msg)
	go func() { ended <- cmd() }()
	<-begun
	d.send(tui.Tick(at(18 * time.Second)))
	d.has("the peer's call", "c ends the test").press("esc").hasNot("the peer's call")
	d.press(":", "test-peer branch site.yaml", "enter").has("the test of office still runs")
	d.press(":", "test-peer", "enter").send(tui.Tick(at(19 * time.Second)))
	d.has("the peer's call").press("c")
	d.send(<-ended)
	d.has("ended before its end").hasNot("c ends the test")
}
