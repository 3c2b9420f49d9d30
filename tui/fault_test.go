package tui_test

import (
	"testing"

	"github.com/cloudvlan/cvlanctl/tui"
	"github.com/cloudvlan/cvlanctl/tui/page"
)

func TestTheDemoIsBrokenByAKeyOrByName(t *testing.T) {
	var orders []page.Order
	breakable := func(o *tui.Options) {
		o.Faults = []tui.Fault{{ID: "psk-mismatch", What: "the hub has another preshared key"}, {ID: "udp4500-blocked", What: "only the port for plain IKE gets through"}}
	}
	d := drive(t, daemon(), 80, 24, takesOrders(&orders, nil), breakable, atSecond(17))
	d.press("B").has("What to make wrong", "a  psk-mismatch", "b  udp4500-blocked", "0  none")
	d.press("b").hasNot("What to make wrong")
	d.press(":", "fault", "enter").has("a  psk-mismatch").press("esc").hasNot("What to make wrong")
	d.press(":", "fault psk-mismatch", "enter", "B", "0")
	d.press(":", "fault gremlins", "enter").has("gremlins is no fault of the demo")
	var got []string
	for _, o := range orders {
		got = append(got, o.String())
	}
	if len(got) != 3 || got[0] != "fault udp4500-blocked" || got[1] != "fault psk-mismatch" || got[2] != "fault none" {
		t.Errorf("orders %q", got)
	}
	e := drive(t, daemon(), 80, 24, atSecond(17))
	e.press("B").has("only the demo is there to be broken")
	e.press(":", "fault psk-mismatch", "enter").has("only the demo is there to be broken")
}
