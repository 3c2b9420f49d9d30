package wire

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

// der writes a DER element with up to 65535 octets of contents.
func der(tag byte, parts ...[]byte) []byte {
	var contents []byte
	for _, p := range parts {
		contents = append(contents, p...)
	}
	n := len(contents)
	switch {
	case n < 0x80:
		return append([]byte{tag, byte(n)}, contents...)
	case n < 0x100:
		return append([]byte{tag, 0x81, byte(n)}, contents...)
	}
	return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, contents...)
}

// rdn writes one attribute of a distinguished name; oid without its tag.
func rdn(oid string, tag byte, value string) []byte {
	b, err := hex.DecodeString(oid)
	if err != nil {
		panic(err)
	}
	return der(derSet, der(derSequence, der(derOID, b), der(tag, []byte(value))))
}

const (
	oidC, oidO, oidCN = "550406", "55040a", "550403"
	oidEmail          = "2a864886f70d010901"
	printable         = 0x13
	ia5               = 0x16
)

func exampleDN() []byte {
	return der(derSequence, rdn(oidC, printable, "CH"), rdn(oidO, derUTF8, "Exämple"), rdn(oidCN, derUTF8, "gate"))
}

func TestIdentitiesReadAsSwanctlWritesThem(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		name string
		typ  IDType
		data []byte
		want string
	}{
		{"FQDN", IDFQDN, []byte("gate.example"), "gate.example"},
		{"mail", IDRFC822Addr, []byte("a@example"), "a@example"},
		{"IPv4", IDIPv4Addr, []byte{10, 0, 0, 1}, "10.0.0.1"},
		{"IPv6", IDIPv6Addr, netip.MustParseAddr("2001:db8::1").AsSlice(), "2001:db8::1"},
		{"IPv4 of wrong size", IDIPv4Addr, []byte{10, 0}, "0a00"},
		{"IPv6 type with IPv4 octets", IDIPv6Addr, []byte{10, 0, 0, 1}, "0a000001"},
		{"DN", IDDERASN1DN, exampleDN(), "C=CH, O=Exämple, CN=gate"},
		{"DN with mail", IDDERASN1DN, der(derSequence, rdn(oidCN, derUTF8, "x"), rdn(oidEmail, ia5, "a@b")), "CN=x, E=a@b"},
		{"DN with a type that has no name", IDDERASN1DN, der(derSequence, rdn("2a0304", derUTF8, "x")), "1.2.3.4=x"},
		{"DN in UTF-16", IDDERASN1DN, der(derSequence, rdn(oidCN, derBMP, "\x00g\x00\xe4")), "CN=gä"},
		{"DN with a value that is no text", IDDERASN1DN, der(derSequence, rdn(oidCN, 0x02, "\x05")), "CN=#05"},
		{"DN with an escape sequence", IDDERASN1DN, der(derSequence, rdn(oidCN, derUTF8, "a\x1b[31mb")), `CN=a\x1b[31mb`},
		{"DN that is long", IDDERASN1DN, der(derSequence, rdn(oidCN, derUTF8, long)), "CN=" + long},
		{"empty DN", IDDERASN1DN, der(derSequence), ""},
		{"no DN", IDDERASN1DN, []byte("C=CH"), "433d4348"},
		{"DN that ends early", IDDERASN1DN, exampleDN()[:20], hex.EncodeToString(exampleDN()[:20])},
		{"general name DNS", IDDERASN1GN, der(0x82, []byte("gate.example")), "gate.example"},
		{"general name DN", IDDERASN1GN, der(0xa4, exampleDN()), "C=CH, O=Exämple, CN=gate"},
		{"general name address", IDDERASN1GN, der(0x87, []byte{10, 0, 0, 1}), "10.0.0.1"},
		{"key id", IDKeyID, []byte("branch-7"), "6272616e63682d37"},
		{"null", IDNull, nil, "ID_NULL"},
		{"escape sequence", IDFQDN, []byte("\x1b]0;owned\x07gate"), `\x1b]0;owned\x07gate`},
		{"direction marks", IDFQDN, []byte("a\u202eb"), `a\u202eb`},
		{"C1 control", IDFQDN, []byte("a\u009b31m"), `a\u009b31m`},
		{"invalid UTF-8", IDFQDN, []byte{'a', 0xff}, `a\xff`},
		{"backslash", IDFQDN, []byte(`a\b`), `a\\b`},
		{"astral control", IDFQDN, []byte("\U000e0001"), `\U000e0001`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := (&ID{Type: c.typ, Data: c.data}).String(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestIdentitiesOfIKEv1ReadAsSelectorsDo(t *testing.T) {
	for _, c := range []struct {
		id   V1ID
		want string
	}{
		{V1ID{Type: V1IDIPv4AddrSubnet, Data: []byte{10, 0, 0, 0, 255, 255, 255, 0}}, "10.0.0.0/24"},
		{V1ID{Type: V1IDIPv4AddrSubnet, Data: []byte{10, 0, 0, 0, 255, 0, 255, 0}}, "10.0.0.0/255.0.255.0"},
		{V1ID{Type: V1IDIPv4AddrRange, Data: []byte{10, 0, 0, 1, 10, 0, 0, 9}, Protocol: 17, Port: 1701}, "10.0.0.1-10.0.0.9[17/1701]"},
		{V1ID{Type: V1IDIPv6AddrSubnet, Data: append(netip.MustParseAddr("2001:db8::").AsSlice(),
			netip.MustParseAddr("ffff:ffff::").AsSlice()...)}, "2001:db8::/32"},
		{V1ID{Type: V1IDIPv6AddrRange, Data: []byte{10, 0, 0, 1, 10, 0, 0, 9}}, "0a0000010a000009"},
		{V1ID{Type: V1IDIPv4Addr, Data: []byte{10, 0, 0, 1}, Protocol: 17, Port: 500}, "10.0.0.1[17/500]"},
		{V1ID{Type: V1IDUserFQDN, Data: []byte("a@b")}, "a@b"},
		{V1ID{Type: V1IDKeyID, Data: []byte("g")}, "67"},
		{V1ID{Type: V1IDIPv4AddrSubnet}, ""},
	} {
		if got := c.id.String(); got != c.want {
			t.Errorf("%s %x: got %q, want %q", c.id.Type, c.id.Data, got, c.want)
		}
	}
}

func TestCertificatesTellIssuerAndSubject(t *testing.T) {
	algorithm := der(derSequence, der(derOID, []byte{0x2a, 3}))
	subject := der(derSequence, rdn(oidCN, derUTF8, "gate\x1b"))
	cert := func(version []byte) []byte {
		return der(derSequence, der(derSequence, version, der(0x02, []byte{1}), algorithm, exampleDN(),
			der(derSequence), subject, make([]byte, 200)), algorithm)
	}
	for _, version := range [][]byte{nil, der(0xa0, der(0x02, []byte{2}))} {
		b := cert(version)
		issuer, subject, ok := CertNames(b)
		if !ok || issuer != "C=CH, O=Exämple, CN=gate" || subject != `CN=gate\x1b` {
			t.Errorf("issuer %q, subject %q, %v", issuer, subject, ok)
		}
		for n := range 100 {
			if _, _, ok := CertNames(b[:n]); ok {
				t.Errorf("%d octets are taken for a certificate", n)
			}
		}
	}
}

func TestSignatureAlgorithmsOfRFC7427HaveTheirNames(t *testing.T) {
	for der, want := range map[string]string{ // RFC 7427 appendix A, RFC 8420 appendix A
		"300d06092a864886f70d0101050500": "sha1WithRSAEncryption",
		"300d06092a864886f70d01010b0500": "sha256WithRSAEncryption",
		"300d06092a864886f70d01010c0500": "sha384WithRSAEncryption",
		"300d06092a864886f70d01010d0500": "sha512WithRSAEncryption",
		"300906072a8648ce380403":         "dsa-with-sha1",
		"300b0609608648016503040302":     "dsa-with-sha256",
		"300906072a8648ce3d0401":         "ecdsa-with-sha1",
		"300a06082a8648ce3d040302":       "ecdsa-with-sha256",
		"300a06082a8648ce3d040303":       "ecdsa-with-sha384",
		"300a06082a8648ce3d040304":       "ecdsa-with-sha512",
		"304606092a864886f70d01010a3039a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120a303020101": "RSASSA-PSS with SHA2-256",
		"300d06092a864886f70d01010a3000":   "RSASSA-PSS",
		"300506032b6570":                   "Ed25519",
		"300506032b6571":                   "Ed448",
		"300506032a0304":                   "1.2.3.4",
		"3005":                             "3005",
		"30090607ffffffffffffff":           "30090607ffffffffffffff",
		"300f060d818181818181818181818101": "300f060d818181818181818181818101",
	} {
		if got := SignatureAlgorithmName(unhex(t, der)); got != want {
			t.Errorf("%s: got %q, want %q", der, got, want)
		}
	}
}

func TestSelectorsReadAsSwanctlWritesThem(t *testing.T) {
	a := netip.MustParseAddr
	for _, c := range []struct {
		s    TrafficSelector
		want string
	}{
		{TrafficSelector{Start: a("10.0.0.0"), End: a("10.0.0.255"), EndPort: 65535}, "10.0.0.0/24"},
		{TrafficSelector{Start: a("0.0.0.0"), End: a("255.255.255.255"), EndPort: 65535}, "0.0.0.0/0"},
		{TrafficSelector{Start: a("10.0.0.1"), End: a("10.0.0.1"), EndPort: 65535, Protocol: 6}, "10.0.0.1/32[6]"},
		{TrafficSelector{Start: a("10.0.0.1"), End: a("10.0.0.9"), StartPort: 80, EndPort: 80, Protocol: 6}, "10.0.0.1-10.0.0.9[6/80]"},
		{TrafficSelector{Start: a("::"), End: a("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), StartPort: 1, EndPort: 2, Protocol: 17}, "::/0[17/1-2]"},
		{TrafficSelector{Start: a("10.0.0.0"), End: a("10.0.0.254"), EndPort: 65535}, "10.0.0.0-10.0.0.254"},
		{TrafficSelector{Start: a("10.0.0.0"), End: a("10.0.0.1"), StartPort: 65535, Protocol: 1}, "10.0.0.0/31[1/OPAQUE]"},
		{TrafficSelector{Type: TSSecLabel, Data: []byte("x")}, "TS_SECLABEL 78"},
	} {
		c.s.Type = max(c.s.Type, TSIPv4AddrRange)
		if got := c.s.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestConfigurationAttributesReadAsValues(t *testing.T) {
	for _, c := range []struct {
		typ  ConfigAttributeType
		data string
		want string
	}{
		{ConfigInternalIP4Address, "0a030001", "10.3.0.1"},
		{ConfigInternalIP4Address, "", ""},
		{ConfigInternalIP4Address, "0a03", "0a03"},
		{ConfigInternalIP4Netmask, "ffffff00", "255.255.255.0"},
		{ConfigInternalIP4Subnet, "0a000000ffff0000", "10.0.0.0/16"},
		{ConfigInternalIP6Address, "20010db8000000000000000000000007 40", "2001:db8::7/64"},
		{ConfigInternalIP6DNS, "20010db8000000000000000000000053", "2001:db8::53"},
		{ConfigInternalDNSDomain, "636f7270", "corp"},
		{ConfigApplicationVersion, "6f1b", `o\x1b`},
		{ConfigSupportedAttributes, "0001000d", "INTERNAL_IP4_ADDRESS INTERNAL_IP4_SUBNET"},
		{ConfigXauthUserName, "616c696365", "alice"},
		{ConfigXauthUserPassword, "616c696365", "[5 octets]"},
		{ConfigTimeoutPeriodLivenessCheck, "0000001e", "30 s"},
		{ConfigEncDNSIP4, "0001", "0001"},
	} {
		a := ConfigAttribute{Type: c.typ, Data: unhex(t, c.data)}
		if got := a.Text(); got != c.want {
			t.Errorf("%s %s: got %q, want %q", c.typ, c.data, got, c.want)
		}
	}
}

func TestVendorIDsNameTheirClaims(t *testing.T) {
	for _, c := range []struct {
		name, hex, want string
		ok              bool
	}{
		{"exact", "882fe56d6fd20dbc2251613b2ebe5beb", "strongSwan", true},
		{"exact with octets behind", "882fe56d6fd20dbc2251613b2ebe5beb00", "", false},
		{"one nibble apart", "4485152d18b6bbcc0be8a8469579ddcc", "Avaya", true},
		{"its neighbour", "4485152d18b6bbcd0be8a8469579ddcc", "NAT-T draft-00", true},
		{"longest prefix wins", "1e2b516905991c7d7c96fcbfb587e46100000009", "Microsoft Windows 8 or later", true},
		{"shorter prefix", "1e2b516905991c7d7c96fcbfb587e461000000ff", "Microsoft Windows", true},
		{"prefix with flags behind", "4048b7d56ebce88525e7de7f00d6c2d380000000",
			"IKE fragmentation (proprietary; Cisco, Microsoft and others)", true},
		{"version in clear", "4f70656e494b45442d372e34", "OpenIKED 7.4", true},
		{"version with escape sequence", "4f70656e494b45442d371b5b33316d", "OpenIKED [31m", true},
		{"build number", "8299031757a36082c6a621de000704d2", "Fortinet FortiGate (release 7, build 1234)", true},
		{"build number cut", "8299031757a36082c6a621de0007", "Fortinet FortiGate", true},
		{"DPD", "afcad71368a1f1c96b8696fc77570100", "DPD v1.0 (RFC 3706)", true},
		{"unknown text", "68656c6c6f", "hello", false},
		{"unknown octets", "ff00ff00ff00", "", false},
		{"empty", "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := VendorName(unhex(t, c.hex))
			if got != c.want || ok != c.ok {
				t.Errorf("got %q, %v, want %q, %v", got, ok, c.want, c.ok)
			}
		})
	}
}

func TestEveryLineOfTheVendorTableIsRead(t *testing.T) {
	lines := 0
	before := ""
	for line := range strings.Lines(vendorTable) {
		lines++
		octets, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if b, err := hex.DecodeString(octets); err != nil || len(b) < 2 {
			t.Errorf("line %d: %q is no vendor id", lines, octets)
		}
		if len(rest) < 3 || !strings.Contains("=*~", rest[:1]) || rest[1] != ' ' || Escape([]byte(rest)) != rest {
			t.Errorf("line %d: %q is no match and name", lines, rest)
		}
		if octets <= before {
			t.Errorf("line %d: %s is out of order", lines, octets)
		}
		before = octets
	}
	if n := len(vendors().byOctets); n != lines || n < 500 {
		t.Errorf("%d of %d lines are read", n, lines)
	}
}

func TestIKEv1TransformsReadAsAlgorithms(t *testing.T) {
	m, err := Parse(vectorNamed(t, "ancwrd1/mm.bin"))
	if err != nil {
		t.Fatal(err)
	}
	sa := m.First(PayloadV1SA)
	want := "ISAKMP AES-CBC, SHA2-256, MODP_1024, HybridInitRSA, 28800 Seconds, key of 256 bits"
	if got := sa.Summary(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
