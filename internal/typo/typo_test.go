package typo_test

import (
	"testing"

	"github.com/cloudvlan/cvlanctl/internal/typo"
)

func TestAMistypedWordIsTakenForTheNearestOnes(t *testing.T) {
	commands := []string{"status", "stats", "list-sas", "list-conns", "diagnose", "up", "down", "no-proposal-ike", "no-proposal-child-initial", "udp4500-blocked"}
	for _, c := range []struct{ word, want string }{
		{"statsu", "; did you mean status or stats?"},
		{"satus", "; did you mean status?"},
		{"diagnos", "; did you mean diagnose?"},
		{"DIAGNOES", "; did you mean diagnose?"},
		{"pu", "; did you mean up?"},
		{"list-sa", "; did you mean list-sas?"},
		{"no-prop", "; did you mean no-proposal-ike or no-proposal-child-initial?"},
		{"4500", "; did you mean udp4500-blocked?"},
		{"", ""},
		{"foo", ""},
		{"reboot", ""},
	} {
		if got := typo.Question(c.word, commands); got != c.want {
			t.Errorf("%q%s, want %q", c.word, got, c.want)
		}
	}
}
