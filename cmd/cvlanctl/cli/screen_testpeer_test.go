package cli

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudvlan/cvlanctl/cmd/cvlanctl/cli/term"
	"github.com/cloudvlan/cvlanctl/tui"
)

func TestATestOnTheScreenIsDoneAsTheCommandDoesIt(t *testing.T) {
	for _, c := range []struct {
		args   []string
		screen tui.PeerTest
	}{
		{nil, tui.PeerTest{}},
		{[]string{"--ladder"}, tui.PeerTest{Ladder: true}},
		{[]string{"--listen"}, tui.PeerTest{Listen: true}},
	} {
		screen, _, _ := term.Test("", nil)
		var said *TestPeerOptions
		cmd := NewCmdIPsecTestPeer(NewApp(screen), func(_ context.Context, o *TestPeerOptions) error { said = o; return nil })
		cmd.SetArgs(append([]string{"office", "--config", "site.yaml"}, c.args...))
		if err := cmd.Execute(); err != nil {
			t.Fatal(err)
		}
		c.screen.Peer, c.screen.File = "office", "site.yaml"
		if diff := cmp.Diff(said, optionsOnScreen(&c.screen)); diff != "" {
			t.Errorf("%v (-command +screen):\n%s", c.args, diff)
		}
	}
}
