package wire

import (
	"strings"
	"testing"
)

// The vendor ids that peers are known to send: how each matches, and what its
// name begins with. "prefix" goes on behind, "exact" does not.
var knownVendors = []struct{ octets, match, name string }{
	{"882fe56d6fd20dbc2251613b2ebe5beb", "exact", "strongSwan"},
	{"434953434f2d44454c4554452d524541534f4e", "prefix", "Cisco delete reason (IOS, ASA)"},
	{"434953434f28434f505952494748542926436f7079726967687420286329203230303920436973636f2053797374656d732c20496e632e", "prefix", "Cisco copyright notice (IOS, ASA)"},
	{"464c455856504e2d535550504f52544544", "exact", "FlexVPN supported (Cisco, or strongSwan with cisco_flexvpn)"},
	{"434953434f2d44594e414d49432d524f555445", "exact", "Cisco FlexVPN dynamic route"},
	{"434953434f56504e2d5245562d3032", "exact", "Cisco VPN rev 02"},
	{"434953434f2d4752452d4d4f4445", "prefix", "Cisco GRE mode"},
	{"4048b7d56ebce88525e7de7f00d6c2d3", "prefix", "IKE fragmentation (proprietary; Cisco, Microsoft and others)"},
	{"1e2b516905991c7d7c96fcbfb587e461", "prefix", "Microsoft Windows"},
	{"fb1de3cdf341b7ea16b7e5be0855f120", "exact", "Microsoft"},
	{"26244d38eddb61b3172a36e3d0cfb819", "exact", "Microsoft"},
	{"e3a5966a76379fe707228231e5ce8652", "exact", "Microsoft CGA"},
	{"01528bbbc00696121849ab9a1c5b2a5100000002", "exact", "Windows KEY_MODS (IKEv2)"},
	{"660822b3a73a244149578d62e0eb46a0", "exact", "Xbox IKEv2 Negotiation"},
	{"8aa394cf8a5577dc3110c113b027a4f2", "exact", "Microsoft Xbox One 2013"},
	{"686a8cbdfe634b405146fb2baf33e9e8", "prefix", "MSFT IPsec Security Realm Id"},
	{"1d6e178f6c2c0be284985465450fe9d4", "exact", "Fortinet FortiGate"},
	{"8299031757a36082c6a621de", "prefix", "Fortinet FortiGate"},
	{"4c53427b6d465d1b337bb755a37a7fef", "exact", "Fortinet FortiClient connect license"},
	{"b4f01ca951e9da8d0bafbbd34ad3044e", "exact", "Fortinet endpoint control"},
	{"f4ed19e0c114eb516faaac0ee37daf2807b4381f", "prefix", "Check Point Firewall-1/VPN-1"},
	{"699369228741c6d4ca094c93e242c9de19e7b7c6", "prefix", "Juniper NetScreen or SRX"},
	{"fd808804df73b15150709d878044cde0ac1efcde", "exact", "Juniper SRX"},
	{"1f07f70eaa6514d3b0fa96542a50", "prefix", "Cisco VPN Concentrator"},
	{"f6f7efc7f5aeb8cb158cb9d094ba69e7", "exact", "Cisco VPN 3000 client"},
	{"b858d1addd08c1e8adafea150608aa4497aa6cc8", "exact", "ZyXEL ZyWALL router"},
	{"f758f22668750f03b08df6ebe1d0", "exact", "ZyXEL USG 100"},
	{"625027749d5ab97f5616c1602765cf480a3b7d0b", "exact", "ZyXEL ZyWALL"},
	{"5b362bc820f60007", "prefix", "SonicWall 7"},
	{"5b362bc820f60008", "prefix", "SonicWall 8"},
	{"5b362bc820f70001", "prefix", "SonicWall c"},
	{"404bf439522ca3f6", "prefix", "SonicWall a"},
	{"da8e937880010000", "prefix", "SonicWall, WatchGuard or SafeNet"},
	{"2a6775d0ad2aa7887c33fe1d68", "prefix", "SonicWall TZ500"},
	{"ca3e2b854ba8030017dc1023a4fde2041f9f7463", "exact", "Aruba Remote AP"},
	{"3c8e70bdf9c7d74add53e4100915dc2e4bb51274", "exact", "Aruba controller"},
	{"88f0e3149b3fa48b05aa7f685f0b766be186ccb8", "exact", "Aruba VIA client"},
	{"56494120417574682050726f66696c65203a20", "prefix", "Aruba VIA auth profile"},
	{"4f452d4c696272657377616e2d", "prefix", "Libreswan"},
	{"4f70706f7274756e6973746963204950736563", "exact", "Libreswan opportunistic IPsec"},
	{"4f70656e494b45442d", "prefix", "OpenIKED"},
	{"4f4541424344454647486a6b", "exact", "Openswan, FreeS/WAN or old Libreswan"},
	{"2d7922c6b301d9b0e1342739e9cfbbd5", "exact", "DWR delete-with-reason"},
	{"f14b94b7bff1fef02773b8c49feded26", "exact", "Shrew Soft client"},
	{"20a3622c1cea7ce37bee3ca484425276", "exact", "ipsec-tools (racoon)"},
	{"afcad71368a1f1c96b8696fc77570100", "exact", "DPD v1.0 (RFC 3706)"},
	{"4a131c81070358455c5728f20e95452f", "exact", "NAT-T RFC 3947"},
	{"4485152d18b6bbcd0be8a8469579ddcc", "exact", "NAT-T draft-00"},
	{"16f6ca16e4a4066d83821a0f0aeaa862", "exact", "NAT-T draft-01"},
	{"cd60464335df21f87cfdb2fc68b6a448", "exact", "NAT-T draft-02"},
	{"90cb80913ebb696e086381b5ec427b1f", "exact", "NAT-T draft-02 with newline"},
	{"7d9419a65310ca6f2c179d9215529d56", "exact", "NAT-T draft-03"},
	{"9909b64eed937c6573de52ace952fa6b", "exact", "NAT-T draft-04"},
	{"80d0bb3def54565ee84645d4c85ce3ee", "exact", "NAT-T draft-05"},
	{"4d1e0e136deafa34c4f3ea9f02ec7285", "exact", "NAT-T draft-06"},
	{"439b59f8ba676c4c7737ae22eab8f582", "exact", "NAT-T draft-07"},
	{"8f8d83826d246b6fc7a8a6a428c11de8", "exact", "NAT-T draft-08"},
	{"4df37928e9fc4fd1b3262170d515c662", "exact", "NAT-T draft without number (Apple macOS and iOS send it)"},
	{"27bab5dc01ea0760ea4e3190ac27c0d0", "exact", "stenberg-01"},
	{"6105c422e76847e43f9684801292aecd", "exact", "stenberg-02"},
	{"50760f624c63e5c53eea386c685ca083", "exact", "ESPThruNAT (Huttunen)"},
	{"09002689dfd6b712", "exact", "XAUTH"},
	{"12f5f28c457168a9702d9fe274cc0100", "exact", "Cisco Unity"},
	{"800100018002000180030002", "exact", "Cisco Unity FW type"},
	{"3e984048", "prefix", "Cisco IOS device"},
	{"4d6163204f53582031302e78", "exact", "Mac OSX 10.x"},
	{"7003cbc1097dbe9c2600ba6983bc8b35", "exact", "KAME/racoon"},
	{"621b04bb09882ac1e15935fefa24aeee", "exact", "GSSAPI (Windows)"},
	{"ad2c0dd0b9c32083ccba25b8861ec455", "exact", "GSS-API auth"},
	{"72872b95fcda2eb708efe322119b4971", "exact", "Microsoft NLBS_PRESENT (Windows fast failover)"},
	{"214ca4faffa7f32d6748e5303395ae83", "exact", "Microsoft AuthIP supported (MS-MamieExists)"},
	{"7bb93867d76c8d80df0f40fae8fc3b19", "prefix", "AuthIP INIT KE DH"},
	{"3b9031dce4fcf88b489a923963dd0c49", "exact", "DPDv1_NG"},
	{"4865617274426561745f4e6f74696679", "prefix", "ScreenOS heartbeat"},
	{"424e4553000000", "prefix", "Nortel Contivity (BNES)"},
	{"dbfb81eb5760b0788562067da102d755", "exact", "Netgear"},
	{"c573b056d7faca36c2fba28374127cbf", "exact", "StoneGate"},
	{"baeb239037e17787d730eed9d95d48aa", "exact", "StoneGate"},
	{"4485152d18b6bbcc0be8a8469579ddcc", "exact", "Avaya"},
	{"101fb0b35c5a4f4c08b919f1cb9777b0", "exact", "NCP client"},
	{"47bbe7c993f1fc13b4e6d0db565c68e5", "prefix", "SafeNet SoftRemote"},
	{"4f70656e5047503130313731", "exact", "OpenPGP10171"},
	{"54494d4553544550", "prefix", "TIMESTEP"},
	{"8404adf9cda05760b2ca292e4bff537b", "exact", "Sidewinder (McAfee)"},
	{"fbf47614984031fa8e3bb6198089b223", "exact", "SSH IPSEC Express 1.1.0"},
}

func TestEveryVendorIDOfTheListIsRecognised(t *testing.T) {
	for _, v := range knownVendors {
		name, ok := VendorName(unhex(t, v.octets))
		if !ok || !strings.HasPrefix(name, v.name) {
			t.Errorf("%s: %q, %v, want %q", v.octets, name, ok, v.name)
		}
		// Behind a prefix stand a version, flags or text.
		longer, ok := VendorName(unhex(t, v.octets+"0907"))
		if v.match == "prefix" && (!ok || !strings.HasPrefix(longer, v.name)) {
			t.Errorf("%s with octets behind: %q, %v, want %q", v.octets, longer, ok, v.name)
		}
		if v.match == "exact" && longer == name {
			t.Errorf("%s with octets behind is still %q", v.octets, name)
		}
	}
}

func TestNotEverythingThatBeginsLikePlutoIsPluto(t *testing.T) {
	for _, text := range []string{"OE", "OEM gateway", "OE3.2.1 of us", "OE\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09"} {
		if name, ok := VendorName([]byte(text)); ok {
			t.Errorf("%q is taken for %q", text, name)
		}
	}
}

// An id that differs in one octet from a known one is another.
func TestAVendorIDThatIsOffByOneOctetIsNotTheSame(t *testing.T) {
	for _, v := range knownVendors {
		b := unhex(t, v.octets)
		b[0] ^= 0x80
		if name, ok := VendorName(b); ok {
			t.Errorf("%x is taken for %q", b, name)
		}
	}
}
