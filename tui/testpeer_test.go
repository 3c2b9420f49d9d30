package tui_test

import (
	"errors"
	"testing"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/tui"
)

func TestTheStepsOfATestStandOnTheScreenWithWhatTheyFound(t *testing.T) {
	test := func(o *tui.Options) {
		o.TestPeer = func(name, file string, tell func(tui.TestStep)) (string, error) {
			if name != "office" || file != "site.yaml" {
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
		o.TestPeer = func(_, _ string, tell func(tui.TestStep)) (string, error) {
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
