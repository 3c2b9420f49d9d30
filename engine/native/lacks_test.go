package native_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/native"
)

// watch gives the first words that pick takes from the engine's events from now
// on.
func (s *started) watch(t *testing.T, pick func(*event.Event) string) <-chan string {
	t.Helper()
	ctx := limited(t)
	ready, words := make(chan struct{}), make(chan string, 1)
	go func() {
		defer close(words)
		for e, err := range s.Events(ctx, backend.EventOptions{Every: -1}) {
			if err != nil {
				return
			}
			if e.Table != nil && e.Table.First {
				close(ready)
			}
			if text := pick(e); text != "" {
				words <- text
				return
			}
		}
	}()
	select {
	case <-ready:
	case <-ctx.Done():
		t.Fatal("the engine tells nothing")
	}
	return words
}

func TestAnAlgorithmThatTheEngineKnowsByNameOnlyIsLeftOutAndTold(t *testing.T) {
	const lists = "    auth: psk\n    ike: {proposals: [camellia256-aes256-sha256-ecp256bp-x25519]}\n"
	b := start(t, loadPolicy(t, strings.Replace(policyOf("b", "a", 0, "none"), "    auth: psk\n", lists, 1), "lab only"), nil)
	a := bare(t)
	told := a.watch(t, func(e *event.Event) string {
		if e.Log != nil && strings.Contains(e.Log.Text, "left out") {
			return e.Log.Text
		}
		return ""
	})
	heard := b.watch(t, func(e *event.Event) string {
		if e.Check != nil && e.Check.OK && e.Check.Kind == event.CheckProposal {
			return e.Check.Remote
		}
		return ""
	})
	if err := a.LoadSecret(limited(t), backend.Secret{ID: "one", Type: "IKE", Data: []byte("lab only")}); err != nil {
		t.Fatal(err)
	}
	load(t, a, "gw", join("a", "b", b.LocalAddr().Port(), "proposals=blowfish256-aes256-camellia128-sha256-x448-x25519"))
	if text := <-told; !strings.Contains(text, "takes no blowfish256 (not supported; aes256 serves in its place), left out") {
		t.Errorf("told is %q", text)
	}
	a.up(t, "net")
	if offered := <-heard; offered != "aes256-sha256-curve25519" {
		t.Errorf("offered is %q", offered)
	}
}

func TestAListOfNothingThatTheEngineHasIsRefusedWhereItIsLoaded(t *testing.T) {
	base := policyOf("a", "b", 500, "none")
	for _, row := range []struct{ name, from, to, says string }{
		{"of IKE", "    auth: psk\n", "    auth: psk\n    ike:\n      proposals:\n        - camellia256-sha256-modp2048\n        - aes256-sha256-ecp256bp\n",
			"connection gw: proposal camellia256-sha256-modp2048 (line 9): our own engine takes no camellia256 (not supported; aes256 serves in its place)"},
		{"of a tunnel", "start: none", "start: none, esp: {proposals: aes256gcm16-curve448}",
			"connection gw: tunnel net: proposal aes256gcm16-curve448 (line 11): our own engine takes no curve448 (not supported; ecp521 serves in its place)"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := loadPolicy(t, strings.Replace(base, row.from, row.to, 1), "lab only")
			_, err := native.Start(t.Context(), native.Options{Policy: p})
			if !errors.Is(err, backend.ErrUnsupported) || !strings.Contains(err.Error(), row.says) {
				t.Errorf("error %v, want one that says %q", err, row.says)
			}
		})
	}
	a := bare(t)
	err := a.LoadConnection(limited(t), "gw", join("a", "b", 500, "children.net.esp_proposals=camellia128-sha256,cast128-sha1"))
	const says = "tunnel net: proposal camellia128-sha256: our own engine takes no camellia128 (not supported; aes128 serves in its place)"
	if !errors.Is(err, backend.ErrUnsupported) || !strings.Contains(err.Error(), says) {
		t.Errorf("by command: error %v, want one that says %q", err, says)
	}
}

func TestARefusalIsToldWithTheConnectionAndByTheOtherSideWithThePeer(t *testing.T) {
	b := start(t, loadPolicy(t, policyOf("b", "a", 0, "none"), "lab only"), nil)
	a := start(t, loadPolicy(t, policyOf("a", "b", b.LocalAddr().Port(), "none"), "another"), nil)
	lines := func(kind event.CheckKind) func(*event.Event) string {
		return func(e *event.Event) string {
			if e.Check == nil || e.Check.OK || e.Check.Kind != kind {
				return ""
			}
			l := event.Line(e)
			return "<" + l.IKE + "> " + l.Text
		}
	}
	asked, heard := a.watch(t, lines(event.CheckRefusal)), b.watch(t, lines(event.CheckMAC))
	if err := a.Up(limited(t), backend.Target{IKE: "gw", Child: "net"}, backend.UpOptions{}, nil); !errors.Is(err, backend.ErrRefused) {
		t.Errorf("with another key: %v", err)
	}
	if text := <-asked; !strings.HasPrefix(text, "<gw> refusal: IKE_AUTH: here IDi a.example") || !strings.Contains(text, "the peer says AUTHENTICATION_FAILED") {
		t.Errorf("the initiator tells %q", text)
	}
	if text := <-heard; !strings.HasPrefix(text, "<> peer 127.0.0.1: mac: AUTH of a.example") {
		t.Errorf("the responder tells %q", text)
	}
}
