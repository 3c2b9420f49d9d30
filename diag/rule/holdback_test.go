package rule

import (
	"net/netip"
	"strings"
	"testing"
)

func TestWhatHoldsTrafficBackNamesTheNetwork(t *testing.T) {
	for network, want := range map[string]string{
		"10.2.0.0/16":     "iptables -A FORWARD -d 10.2.0.0/16 ",
		"2001:db8:2::/48": "ip6tables -A FORWARD -d 2001:db8:2::/48 ",
	} {
		all := holdBack("gw", "net", netip.MustParsePrefix(network))
		if len(all) != 3 || all[0].Change != "connections.gw.children.net.start_action = trap" || !strings.HasPrefix(all[1].Change, want) {
			t.Errorf("%s: %+v", network, all)
		}
		for _, r := range all {
			if strings.Contains(r.Change, "<") {
				t.Errorf("%s leaves open what is known: %s", network, r.Change)
			}
		}
	}
}
