package filter

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Events that the tables below are about.
func samples() map[string]*event.Event {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.7")
	return map[string]*event.Event{
		"init": {Frame: 1, Packet: &event.Packet{
			Src: a, Dst: b, SrcPort: 500, DstPort: 500, Proto: event.IKEv2, Encap: event.UDP,
			IKE: &event.IKE{Message: &wire.Message{Header: wire.Header{InitiatorSPI: 0x0edaee72093903a1, Exchange: wire.ExchangeIKESAInit, Version: wire.Version2}}},
		}},
		"auth": {Frame: 2, Packet: &event.Packet{
			Src: b, Dst: a, SrcPort: 4500, DstPort: 4500, Proto: event.IKEv2, Encap: event.UDPNATT,
			IKE: &event.IKE{Message: &wire.Message{Header: wire.Header{InitiatorSPI: 0x0edaee72093903a1, ResponderSPI: 0x1111111111111111, Exchange: wire.ExchangeIKEAuth, Version: wire.Version2, MessageID: 1}}},
		}},
		"esp": {Frame: 3, Packet: &event.Packet{
			Src: a, Dst: b, Proto: event.ESP, Encap: event.IP, ESP: &event.SecurityPacket{SPI: 0xbe9debbe},
		}},
		"v6": {Frame: 4, Packet: &event.Packet{
			Src: netip.MustParseAddr("2001:db8::1"), Dst: netip.MustParseAddr("2001:db8::2"), Proto: event.AH, Encap: event.IP, AH: &event.SecurityPacket{SPI: 7},
		}},
		"icmp": {Frame: 5, ICMP: &event.ICMPError{From: b, To: a, Src: a, Dst: b, SrcPort: 500, DstPort: 500, Protocol: 17}},
	}
}

func TestTermsSelect(t *testing.T) {
	tests := []struct{ expression, want string }{
		{"", "auth esp icmp init v6"},
		{"peer=192.0.2.1", "auth esp icmp init"},
		{"peer=192.0.2.0/24,2001:db8::1", "auth esp icmp init v6"},
		{"src=192.0.2.1", "esp icmp init"},
		{"dst=192.0.2.1", "auth"},
		{"port=4500", "auth"},
		{"sport=0-499", "esp v6"},
		{"spi=be9debbe", "esp"},
		{"spi=0xBE9DEBBE", "esp"},
		{"spi=0edaee72093903a1", "auth init"},
		{"spi=1111111111111111", "auth"},
		{"spi=00000007", "v6"},
		{"proto=ike", "auth init"},
		{"proto=esp,ah", "esp v6"},
		{"proto=icmp", "icmp"},
		{"encap=udp-natt", "auth"},
		{"exchange=IKE_AUTH", "auth"},
		{"exchange=ike_sa_init,35", "auth init"},
		{"mid=1-", "auth"},
		{"frame=2-3", "auth esp"},
		{"frame=-2", "auth init"},
		{"frame=4-", "icmp v6"},
		{"peer=192.0.2.1 proto=esp", "esp"},
		{"peer=192.0.2.1 and not proto=esp", "auth icmp init"},
		{"! (proto=ike || proto=esp)", "icmp v6"},
		{"not not proto=ah", "v6"},
		{"proto=ah or proto=esp and src=192.0.2.1", "esp v6"},
		{"host 192.0.2.1 and udp port 4500", "auth"},
		{"src host 192.0.2.1", "esp icmp init"},
		{"dst net 198.51.100.0/24 && port 500", "icmp init"},
		{"udp", "auth icmp init"},
		{"udp and esp", ""},
		{"tcp", ""},
		{"portrange 500-4500", "auth icmp init"},
		{"ip6", "v6"},
		{"ip and ah", ""},
		{"udp src port 500", "icmp init"},
	}
	for _, x := range tests {
		f, err := Parse(x.expression)
		if err != nil {
			t.Errorf("%q: %v", x.expression, err)
			continue
		}
		var got []string
		all := samples()
		for _, name := range []string{"auth", "esp", "icmp", "init", "v6"} {
			if f.Match(all[name]) {
				got = append(got, name)
			}
		}
		if s := strings.Join(got, " "); s != x.want {
			t.Errorf("%q selects %q, want %q", x.expression, s, x.want)
		}
	}
}

func TestGapsAlwaysMatch(t *testing.T) {
	f, err := Parse("proto=ah")
	if err != nil {
		t.Fatal(err)
	}
	if !f.Match(&event.Event{Gap: &event.Gap{What: "x"}}) {
		t.Error("a hole in the source is filtered away")
	}
}

func TestErrorsSayWhereAndWhat(t *testing.T) {
	tests := []struct {
		expression string
		column     int
		says       string
	}{
		{"peer=nobody", 1, "peer needs an address"},
		{"proto=esp and colour=red", 15, `no key "colour"`},
		{"spi=123", 1, "8 hex digits"},
		{"(proto=esp", 11, `expected ")"`},
		{"proto=esp)", 10, "expected"},
		{"and proto=esp", 1, "expected a term"},
		{"proto=esp or", 13, "expected a term"},
		{"bogus", 1, `"bogus" is no term`},
		{"src esp", 5, `after "src"`},
		{"host", 5, "host needs a value"},
		{"host 10.0.0.0/8", 6, "host does not take"},
		{"frame=9-3", 1, "frame needs"},
		{"frame=-", 1, "frame needs"},
		{"port=70000", 1, "port needs"},
		{"exchange=BOGUS", 1, "exchange needs"},
		{"proto=esp & proto=ah", 11, "write it twice"},
		{strings.Repeat("(", 200), 102, "levels"},
		{strings.Repeat("!", 200), 102, "levels"},
	}
	for _, x := range tests {
		_, err := Parse(x.expression)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%.20q: error is %v", x.expression, err)
			continue
		}
		if syntax.Column != x.column || !strings.Contains(syntax.What, x.says) {
			t.Errorf("%.20q: column %d, %q; want column %d and %q", x.expression, syntax.Column, syntax.What, x.column, x.says)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"peer=192.0.2.1 and not (spi=be9debbe or udp port 500)", "!!((", "src net ::/0", "frame=1-"} {
		f.Add(seed)
	}
	all := samples()
	f.Fuzz(func(t *testing.T, text string) {
		x, err := Parse(text)
		if err != nil {
			if x != nil {
				t.Error("an error and a filter")
			}
			return
		}
		for _, e := range all {
			x.Match(e)
		}
	})
}
