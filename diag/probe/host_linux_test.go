package probe

import (
	"context"
	"net"
	"net/netip"
	"testing"
)

func TestAHostIsSeenWithoutRootAsFarAsItIsOpenToEverybody(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 9, 9, 9), Port: 4500})
	listens := err == nil // somebody else may have the port
	if listens {
		defer c.Close()
	}
	h := Host(context.Background(), Options{})
	if len(h.Interfaces) == 0 || h.Sysctls["net.ipv4.ip_forward"] == "" || h.Sockets == nil || h.At.IsZero() {
		t.Errorf("interfaces %v, sysctls %v, sockets %v", h.Interfaces, h.Sysctls, h.Sockets)
	}
	found := false
	for _, s := range h.Sockets {
		found = found || s.Addr == netip.MustParseAddrPort("127.9.9.9:4500")
	}
	if listens && !found {
		t.Errorf("the socket of this test is not among %v", h.Sockets)
	}
	for _, u := range h.Unseen {
		if u.What == "" || u.Why == "" {
			t.Errorf("%+v says nothing", u)
		}
	}
	if h.Chains == nil && len(h.Unseen) == 0 {
		t.Error("no firewall was seen and nothing says why")
	}
}

func TestAddressesOfProcAreRead(t *testing.T) {
	for word, want := range map[string]string{
		"0100007F:01F4": "127.0.0.1:500", "00000000:1194": "0.0.0.0:4500",
		"00000000000000000000000001000000:01F4": "[::1]:500", "zz": "invalid AddrPort", "0100007F:": "invalid AddrPort", "01:01": "invalid AddrPort",
	} {
		if got, _ := procAddr(word); got.String() != want {
			t.Errorf("%s: %s, want %s", word, got, want)
		}
	}
}

const ruleset = `{"nftables": [{"metainfo": {"version": "1.0.6"}},
{"chain": {"family": "ip", "table": "nat", "name": "POSTROUTING", "handle": 1, "type": "nat", "hook": "postrouting", "prio": 100, "policy": "accept"}},
{"rule": {"family": "ip", "table": "nat", "chain": "POSTROUTING", "handle": 2, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"prefix": {"addr": "10.1.0.0", "len": 24}}}}, {"counter": {"packets": 0, "bytes": 0}}, {"masquerade": null}]}},
{"rule": {"family": "ip", "table": "nat", "chain": "POSTROUTING", "handle": 3, "expr": [{"match": {"op": "==", "left": {"rt": {"key": "ipsec"}}, "right": "exists"}}, {"accept": null}]}},
{"chain": {"family": "inet", "table": "filter", "name": "input", "handle": 1, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
{"chain": {"family": "inet", "table": "filter", "name": "unhooked", "handle": 9}},
{"rule": {"family": "inet", "table": "filter", "chain": "input", "handle": 4, "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": {"set": [500, 4500]}}}, {"drop": null}]}},
{"rule": {"family": "inet", "table": "filter", "chain": "input", "handle": 5, "expr": [{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "lo"}}, {"accept": null}]}}
]}`

func TestTheFirewallIsReadFromNft(t *testing.T) {
	chains, err := chainsOf([]byte(ruleset))
	if err != nil || len(chains) != 2 {
		t.Fatal(chains, err)
	}
	nat, in := chains[0], chains[1]
	if nat.Hook != "postrouting" || len(nat.Rules) != 2 || nat.Rules[0].Verdict != "masquerade" || nat.Rules[0].Src != netip.MustParsePrefix("10.1.0.0/24") || nat.Rules[0].Narrow || !nat.Rules[1].IPsec {
		t.Errorf("%+v", nat)
	}
	if in.Policy != "drop" || len(in.Rules) != 2 || in.Rules[0].Verdict != "drop" || len(in.Rules[0].Ports) != 2 || in.Rules[0].Protocol != "udp" || !in.Rules[1].Narrow {
		t.Errorf("%+v", in)
	}
	for _, bad := range []string{"", "{", `{"nftables": 3}`, `[]`} {
		if c, err := chainsOf([]byte(bad)); err == nil {
			t.Errorf("%q gives %v", bad, c)
		}
	}
	// Whatever a match is, it is no reason to crash.
	for cut := range len(ruleset) {
		_, _ = chainsOf([]byte(ruleset[:cut]))
	}
}
