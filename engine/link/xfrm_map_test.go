package link

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/ike"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// ordered gives an order to install a child with a suite.
func ordered(t *testing.T, encr uint16, bits int, integ uint16) *ike.Update {
	t.Helper()
	u := &ike.Update{Kind: ike.Install, Name: "net", Connection: "gw", SPIs: ike.SPIPair{In: 0x1111, Out: 0x2222}, Outbound: true,
		Transforms: ike.ESPTransforms{EncrID: encr, EncrBits: bits, IntegID: integ},
		LocalTS:    []wire.TrafficSelector{ike.PrefixSelector(netip.MustParsePrefix("10.1.0.0/16"))},
		RemoteTS:   []wire.TrafficSelector{ike.PrefixSelector(netip.MustParsePrefix("10.2.0.0/16"))},
		Local:      netip.MustParseAddrPort("192.0.2.1:500"), Remote: netip.MustParseAddrPort("192.0.2.2:500")}
	e, i, err := suite.KeyLengths(encr, bits, integ)
	if err != nil {
		t.Fatal(err)
	}
	fill := func(n int, with byte) suite.Secret { return suite.NewSecret(slices.Repeat([]byte{with}, n)) }
	u.In, u.Out = ike.ESPKeys{Encr: fill(e, 1), Integ: fill(i, 2)}, ike.ESPKeys{Encr: fill(e, 3), Integ: fill(i, 4)}
	return u
}

func TestEverySuiteHasTheKernelsNames(t *testing.T) {
	for _, row := range []struct {
		encr      uint16
		bits      int
		integ     uint16
		words     string
		keyLength int // of the encryption, salt included
		icv       int
	}{
		{wire.EncrAESGCM16, 256, 0, "rfc4106(gcm(aes))", 36, 128},
		{wire.EncrAESGCM12, 192, 0, "rfc4106(gcm(aes))", 28, 96},
		{wire.EncrAESGCM8, 128, 0, "rfc4106(gcm(aes))", 20, 64},
		{wire.EncrAESCCM16, 256, 0, "rfc4309(ccm(aes))", 35, 128},
		{wire.EncrAESCCM12, 128, 0, "rfc4309(ccm(aes))", 19, 96},
		{wire.EncrAESCCM8, 128, 0, "rfc4309(ccm(aes))", 19, 64},
		{wire.EncrChaCha20Poly1305, 0, 0, "rfc7539esp(chacha20,poly1305)", 36, 128},
		{wire.EncrNullAuthAESGMAC, 128, 0, "rfc4543(gcm(aes))", 20, 128},
		{wire.EncrAESCBC, 256, wire.IntegSHA256128, "cbc(aes) with hmac(sha256)", 32, 128},
		{wire.EncrAESCBC, 128, wire.IntegSHA1_96, "cbc(aes) with hmac(sha1)", 16, 96},
		{wire.EncrAESCBC, 128, wire.IntegSHA384192, "cbc(aes) with hmac(sha384)", 16, 192},
		{wire.EncrAESCTR, 256, wire.IntegSHA512256, "rfc3686(ctr(aes)) with hmac(sha512)", 36, 256},
		{wire.Encr3DES, 0, wire.IntegMD5_96, "cbc(des3_ede) with hmac(md5)", 24, 96},
		{wire.EncrAESCBC, 128, wire.IntegAESXCBC96, "cbc(aes) with xcbc(aes)", 16, 96},
		{wire.EncrAESCBC, 128, wire.IntegAESCMAC96, "cbc(aes) with cmac(aes)", 16, 96},
		{wire.EncrAESCBC, 128, suite.IntegSHA256_96, "cbc(aes) with hmac(sha256)", 16, 96},
		{wire.EncrNull, 0, wire.IntegSHA256128, "ecb(cipher_null) with hmac(sha256)", 0, 128},
	} {
		t.Run(fmt.Sprintf("%s %d %s", wire.TransformName(wire.TransformEncr, row.encr), row.bits, wire.TransformName(wire.TransformInteg, row.integ)), func(t *testing.T) {
			in, out, err := xfrmStates(ordered(t, row.encr, row.bits, row.integ), 7, 64)
			if err != nil {
				t.Fatal(err)
			}
			for s, key := range map[*xfrmState]byte{&in: 1, &out: 3} {
				encr, icv := s.aead, s.aead.icv
				if s.aead.name == "" {
					encr, icv = s.crypt, s.auth.icv
					if s.auth.key.Len() == 0 || s.auth.key.Reveal()[0] != key+1 {
						t.Errorf("the integrity key of SPI %s is another one's", s.spi)
					}
				}
				if s.words() != row.words || encr.key.Len() != row.keyLength || icv != row.icv {
					t.Errorf("%s with a key of %d octets and an ICV of %d bits", s.words(), encr.key.Len(), icv)
				}
				if row.keyLength > 0 && encr.key.Reveal()[0] != key {
					t.Errorf("the key of SPI %s is another one's", s.spi)
				}
			}
		})
	}
}

func TestWhatTheKernelLacksIsRefusedByName(t *testing.T) {
	for _, row := range []struct {
		encr  uint16
		bits  int
		integ uint16
		want  string
	}{
		{wire.EncrAESGCM16IIV, 256, 0, "'--data tun' does it in user space"},
		{wire.EncrChaCha20Poly1305IIV, 0, 0, "'--data tun' does it in user space"},
		{wire.EncrAESCBC, 128, wire.IntegNone, "without integrity"},
	} {
		if _, _, err := xfrmStates(ordered(t, row.encr, row.bits, row.integ), 7, 64); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", wire.TransformName(wire.TransformEncr, row.encr), err, row.want)
		}
	}
	u := ordered(t, wire.EncrAESGCM16, 256, 0)
	u.Out.Encr = suite.NewSecret(make([]byte, 5))
	if _, _, err := xfrmStates(u, 7, 64); err == nil || !strings.Contains(err.Error(), "36") {
		t.Errorf("a key of a wrong length: %v", err)
	}
}

func TestTheStatesOfAChildSAAreItsTwoDirections(t *testing.T) {
	u := ordered(t, wire.EncrAESGCM16, 256, 0)
	u.Remote = netip.MustParseAddrPort("[::ffff:192.0.2.2]:30000")
	u.Local = netip.MustParseAddrPort("192.0.2.1:4500")
	u.Encap, u.Transforms.ESN = true, true
	u.Limits = ike.Limits{SoftPackets: 10, HardPackets: 20, SoftOctets: 1000, HardOctets: 2000}
	in, out, err := xfrmStates(u, 7, 128)
	if err != nil {
		t.Fatal(err)
	}
	here, there := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	if in.id() != (xfrmID{here, 0x1111}) || in.src != there || in.srcPort != 30000 || in.dstPort != 4500 {
		t.Errorf("inbound %+v", in)
	}
	if out.id() != (xfrmID{there, 0x2222}) || out.src != here || out.srcPort != 4500 || out.dstPort != 30000 {
		t.Errorf("outbound %+v", out)
	}
	for _, s := range []xfrmState{in, out} {
		if s.reqid != 7 || s.window != 128 || !s.esn || !s.encap || s.transport || s.limits != u.Limits {
			t.Errorf("%+v", s)
		}
	}
	u.Transforms.ESN, u.Limits = false, ike.Limits{}
	if in, _, _ = xfrmStates(u, 7, 128); in.limits.HardPackets != math.MaxUint32 || in.limits.SoftPackets == 0 || in.limits.SoftPackets >= in.limits.HardPackets {
		t.Errorf("without extended sequence numbers it may carry %+v", in.limits)
	}
}

// ports gives a selector of a protocol and ports in a network.
func ports(network string, protocol uint8, first, last uint16) wire.TrafficSelector {
	s := ike.PrefixSelector(netip.MustParsePrefix(network))
	s.Protocol, s.StartPort, s.EndPort = protocol, first, last
	return s
}

func between(first, last string) wire.TrafficSelector {
	return wire.TrafficSelector{EndPort: 65535, Start: netip.MustParseAddr(first), End: netip.MustParseAddr(last)}
}

func TestTrafficSelectorsBecomeSelectorsOfTheKernel(t *testing.T) {
	one := func(s ...wire.TrafficSelector) []wire.TrafficSelector { return s }
	for _, row := range []struct {
		name     string
		src, dst []wire.TrafficSelector
		want     string // lines, or part of an error
	}{
		{"networks", one(ports("10.1.0.0/16", 0, 0, 65535)), one(ports("10.2.0.0/24", 0, 0, 65535)), "10.1.0.0/16 10.2.0.0/24 0 0/0 0/0"},
		{"everything", one(ports("0.0.0.0/0", 0, 0, 65535)), one(ports("0.0.0.0/0", 0, 0, 65535)), "0.0.0.0/0 0.0.0.0/0 0 0/0 0/0"},
		{"one port of one protocol", one(ports("10.1.0.1/32", 0, 0, 65535)), one(ports("10.2.0.1/32", 6, 443, 443)), "10.1.0.1/32 10.2.0.1/32 6 0/0 443/ffff"},
		{"a range of ports", one(ports("10.1.0.1/32", 17, 1000, 1007)), one(ports("10.2.0.1/32", 17, 6, 9)),
			"10.1.0.1/32 10.2.0.1/32 17 1000/fff8 6/fffe\n10.1.0.1/32 10.2.0.1/32 17 1000/fff8 8/fffe"},
		{"a range of addresses", one(between("10.1.0.1", "10.1.0.4")), one(between("10.2.0.0", "10.2.0.0")),
			"10.1.0.1/32 10.2.0.0/32 0 0/0 0/0\n10.1.0.2/31 10.2.0.0/32 0 0/0 0/0\n10.1.0.4/32 10.2.0.0/32 0 0/0 0/0"},
		{"IPv6", one(ports("fd00:1::/64", 0, 0, 65535)), one(ports("fd00:2::/64", 0, 0, 65535)), "fd00:1::/64 fd00:2::/64 0 0/0 0/0"},
		{"both versions", one(ports("fd00:1::/64", 0, 0, 65535), ports("10.1.0.0/16", 0, 0, 65535)), one(ports("10.2.0.0/16", 0, 0, 65535), ports("fd00:2::/64", 0, 0, 65535)),
			"fd00:1::/64 fd00:2::/64 0 0/0 0/0\n10.1.0.0/16 10.2.0.0/16 0 0/0 0/0"},
		{"one type of ICMP", one(ports("10.1.0.1/32", 1, 0x0800, 0x08ff)), one(ports("10.2.0.1/32", 1, 0, 65535)), "10.1.0.1/32 10.2.0.1/32 1 8/ffff 0/0"},
		{"one type and code of ICMP, at the other end", one(ports("10.1.0.1/32", 1, 0, 65535)), one(ports("10.2.0.1/32", 1, 0x0304, 0x0304)), "10.1.0.1/32 10.2.0.1/32 1 3/ffff 4/ffff"},
		{"types of ICMP", one(ports("10.1.0.1/32", 1, 0x0300, 0x05ff)), one(ports("10.2.0.1/32", 1, 0, 65535)), "one, or for all"},
		{"OPAQUE ports", one(ports("10.1.0.1/32", 6, 65535, 0)), one(ports("10.2.0.1/32", 6, 0, 65535)), "OPAQUE"},
		{"nothing in common", one(ports("10.1.0.1/32", 6, 0, 65535)), one(ports("10.2.0.1/32", 17, 0, 65535)), "no traffic in common"},
		{"too many", one(between("10.1.0.1", "10.254.255.254"), between("fd00::1", "fd00:ffff::fffe")), one(between("10.1.0.1", "10.254.255.254")), "more than 256"},
	} {
		t.Run(row.name, func(t *testing.T) {
			list, err := xfrmSelectors(row.src, row.dst)
			var lines []string
			for _, s := range list {
				lines = append(lines, fmt.Sprintf("%s %s %d %d/%x %d/%x", s.src, s.dst, s.protocol, s.srcPort.value, s.srcPort.mask, s.dstPort.value, s.dstPort.mask))
			}
			got := strings.Join(lines, "\n")
			if err != nil && !strings.Contains(err.Error(), row.want) || err == nil && got != row.want {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
}

func TestANarrowerPolicyComesFirstAndATrapLast(t *testing.T) {
	key := func(src, dst string, protocol uint8, port, mask uint16) xfrmKey {
		return xfrmKey{xfrmOut, xfrmSelector{src: netip.MustParsePrefix(src), dst: netip.MustParsePrefix(dst), protocol: protocol, dstPort: xfrmPort{port, mask}}}
	}
	order := []struct {
		k xfrmKey
		p xfrmPolicy
	}{
		{key("fd00::1/128", "fd00::2/128", 6, 443, 0xffff), xfrmPolicy{}},
		{key("10.0.0.1/32", "10.0.0.2/32", 6, 443, 0xffff), xfrmPolicy{}},
		{key("10.0.0.1/32", "10.0.0.2/32", 6, 0, 0), xfrmPolicy{}},
		{key("10.0.0.1/32", "10.0.0.2/32", 0, 0, 0), xfrmPolicy{}},
		{key("10.0.0.1/32", "10.0.0.0/24", 0, 0, 0), xfrmPolicy{}},
		{key("0.0.0.0/0", "0.0.0.0/0", 0, 0, 0), xfrmPolicy{}},
		{key("fd00::1/128", "fd00::2/128", 6, 443, 0xffff), xfrmPolicy{trap: true}},
		{key("0.0.0.0/0", "0.0.0.0/0", 0, 0, 0), xfrmPolicy{trap: true}},
	}
	for i := 1; i < len(order); i++ {
		if a, b := order[i-1].k.priority(&order[i-1].p), order[i].k.priority(&order[i].p); a >= b {
			t.Errorf("row %d has priority %d, row %d has %d", i-1, a, i, b)
		}
	}
}
