package rule_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/diag/rule"
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// signature is an AUTH payload with RSASSA-PSS in its AlgorithmIdentifier.
func signature(trailer bool) wire.Payload {
	alg := []byte{0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, 0x30, 0x00}
	if trailer {
		alg = append(alg[:len(alg)-1], 0x05, 0xa3, 0x03, 0x02, 0x01, 0x01)
	}
	return wire.Payload{Type: wire.PayloadAuth, Body: &wire.Auth{Method: wire.AuthDigitalSignature, Data: append(append([]byte{byte(len(alg))}, alg...), make([]byte, 256)...)}}
}

// fortinet is a Vendor ID that claims to be FortiOS.
var fortinet = wire.Payload{Type: wire.PayloadVendor, Body: &wire.VendorID{Data: []byte{0x82, 0x99, 0x03, 0x17, 0x57, 0xa3, 0x60, 0x82, 0xc6, 0xa6, 0x21, 0xde, 0, 7, 4, 0xd2}}}

// incomplete is an IKE proposal of transforms that nobody can choose.
func incomplete(transforms ...wire.Transform) wire.Payload {
	return wire.Payload{Type: wire.PayloadSA, Body: &wire.SA{Proposals: []wire.Proposal{{Number: 1, Protocol: wire.ProtocolIKE, Transforms: transforms}}}}
}

// signs is IKE_SA_INIT with some more payloads from the responder, IKE_AUTH
// with a signature, and the refusal.
func signs(trailer bool, more ...wire.Payload) func(*scene) {
	return func(s *scene) {
		s.clear(ask, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce()).wait(20 * time.Millisecond)
		s.clear(answer, wire.ExchangeIKESAInit, 0, append([]wire.Payload{proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce()}, more...)...)
		s.sealed(ask, wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDi, "a.example"), cert(s.t, "a.example", lastYear, nextYear), signature(trailer), proposal(s.t, wire.ProtocolESP, goodESP)).refuses()
	}
}

func TestWhatTwoImplementationsReadDifferentlyIsNamed(t *testing.T) {
	everything, some := "0.0.0.0-255.255.255.255", "10.2.0.0-10.2.0.255"
	asksForAll := func(s *scene) {
		s.init().sealed(ask, wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDi, "a.example"), auth(wire.AuthSharedKey, 32), proposal(s.t, wire.ProtocolESP, goodESP),
			ts(wire.PayloadTSi, everything), ts(wire.PayloadTSr, everything)).wait(10 * time.Millisecond)
	}
	compresses := func(s *scene, response ...wire.Payload) {
		s.init().sealed(ask, wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDi, "a.example"), auth(wire.AuthSharedKey, 32), notify(wire.NotifyIPCompSupported, 1, 2, 2), proposal(s.t, wire.ProtocolESP, goodESP),
			ts(wire.PayloadTSi, some), ts(wire.PayloadTSr, some)).wait(10 * time.Millisecond)
		s.sealed(answer, wire.ExchangeIKEAuth, 1, append([]wire.Payload{fqdn(wire.PayloadIDr, "b.example"), auth(wire.AuthSharedKey, 32)}, response...)...)
	}
	intermediate := notify(wire.NotifyIntermediateExchangeSupported)
	tell(t, []story{
		{name: "IKE to a port of its own without the marker", tell: func(s *scene) {
			s.port = 4501
			s.clear(ask, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce()).again(backoff()...)
		}, sealed: []string{"high nonstandard-port-marker likely > no-response-to-sa-init"}, sealedOnly: true, says: "port 4501 of 192.0.2.2 without the marker"},
		{name: "a proposal without a PRF", tell: func(s *scene) {
			s.clear(ask, wire.ExchangeIKESAInit, 0, incomplete(wire.Transform{Type: wire.TransformEncr, ID: wire.EncrAESGCM16}, wire.Transform{Type: wire.TransformKE, ID: uint16(wire.KEECP256)}), ke(wire.KEECP256), nonce())
			s.wait(10*time.Millisecond).clear(answer, wire.ExchangeIKESAInit, 0, notify(wire.NotifyNoProposalChosen))
		}, sealed: []string{"high prf-or-aead-config-error certain > no-proposal-ike"}, sealedOnly: true, says: "no PRF"},
		{name: "AEAD and classic encryption in one proposal", tell: func(s *scene) {
			s.clear(ask, wire.ExchangeIKESAInit, 0, incomplete(wire.Transform{Type: wire.TransformEncr, ID: wire.EncrAESGCM16}, wire.Transform{Type: wire.TransformEncr, ID: wire.EncrAESCBC}, wire.Transform{Type: wire.TransformPRF, ID: wire.PRFHMACSHA256},
				wire.Transform{Type: wire.TransformKE, ID: uint16(wire.KEECP256)}), ke(wire.KEECP256), nonce())
			s.wait(10*time.Millisecond).clear(answer, wire.ExchangeIKESAInit, 0, notify(wire.NotifyNoProposalChosen))
		}, sealed: []string{"high prf-or-aead-config-error certain > no-proposal-ike"}, sealedOnly: true, says: "combined-mode (AEAD) and classic"},
		{name: "IKE_INTERMEDIATE announced and not used", tell: func(s *scene) {
			s.clear(ask, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce(), intermediate).wait(10*time.Millisecond).
				clear(answer, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce(), intermediate)
			s.authRequest().refuses()
		}, sealed: []string{"high auth-failed-opaque likely", "medium pq-intermediate-auth-mismatch hint"}, open: []string{"high auth-failed-opaque certain", "medium pq-intermediate-auth-mismatch hint"}},
		{name: "PSS without a trailer, refused by a FortiGate", tell: signs(false, fortinet), sealed: []string{"high auth-failed-opaque likely"},
			open: []string{"high rsa-pss-interop likely > auth-failed-opaque"}, says: "it claims to be Fortinet FortiGate"},
		{name: "PSS refused by somebody", tell: signs(false), sealed: []string{"high auth-failed-opaque likely"}, open: []string{"high auth-failed-opaque certain", "info rsa-pss-interop hint"}},
		{name: "PSS with a trailer, refused by a FortiGate", tell: signs(true, fortinet), sealed: []string{"high auth-failed-opaque likely"}, open: []string{"high auth-failed-opaque certain", "info rsa-pss-interop hint"}},
		{name: "everything asked for and refused", tell: func(s *scene) {
			asksForAll(s)
			s.sealed(answer, wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDr, "b.example"), auth(wire.AuthSharedKey, 32), notify(wire.NotifyTSUnacceptable))
		}, onlyWithKey: true, open: []string{"high ts-any-vs-proxy-id likely > ts-unacceptable"}, says: "as a route-based tunnel does"},
		{name: "everything asked for and a part granted", tell: func(s *scene) {
			asksForAll(s)
			s.sealed(answer, wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDr, "b.example"), auth(wire.AuthSharedKey, 32), proposal(s.t, wire.ProtocolESP, goodESP), ts(wire.PayloadTSi, everything), ts(wire.PayloadTSr, some))
		}, onlyWithKey: true, open: []string{"info ts-any-vs-proxy-id certain > ts-narrowed-surprise"}},
		{name: "compression refused", tell: func(s *scene) { compresses(s, notify(wire.NotifyNoProposalChosen)) },
			onlyWithKey: true, open: []string{"high no-proposal-child-initial certain", "low ipcomp-or-tfc-quirk hint"}},
		{name: "compression and packets one way", tell: func(s *scene) {
			compresses(s, notify(wire.NotifyIPCompSupported, 3, 4, 2), proposal(s.t, wire.ProtocolESP, goodESP), ts(wire.PayloadTSi, some), ts(wire.PayloadTSr, some))
			s.wait(time.Second).esp(s.a, s.b, 0xc0000002, 1, 10, time.Second)
		}, onlyWithKey: true, open: []string{"high esp-one-way-out likely", "low ipcomp-or-tfc-quirk hint"}},
		{name: "compression that works", tell: func(s *scene) {
			compresses(s, notify(wire.NotifyIPCompSupported, 3, 4, 2), proposal(s.t, wire.ProtocolESP, goodESP), ts(wire.PayloadTSi, some), ts(wire.PayloadTSr, some))
			s.wait(time.Second).ping(10)
		}, onlyWithKey: true, open: nil},
	})
}

func TestWhatHappensBetweenTheEndsIsNamed(t *testing.T) {
	// inside begins an IKE SA from behind a NAT that leaves port 500.
	inside := func(s *scene, own string) *scene {
		from := netip.AddrPortFrom(netip.MustParseAddr(own), 500)
		to := netip.AddrPortFrom(s.b, 500)
		return s.clear(ask, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce(),
			notify(wire.NotifyNATDetectionSourceIP, engine.NATHash(s.spiI, 0, from)...), notify(wire.NotifyNATDetectionDestinationIP, engine.NATHash(s.spiI, 0, to)...))
	}
	// forced begins one that claims a NAT by a hash of nothing.
	forced := func(s *scene) *scene {
		return s.clear(ask, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce(),
			notify(wire.NotifyNATDetectionSourceIP, make([]byte, 20)...), notify(wire.NotifyNATDetectionDestinationIP, engine.NATHash(s.spiI, 0, netip.AddrPortFrom(s.b, 500))...))
	}
	v6 := func(s *scene) *scene {
		s.a, s.b = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
		return s
	}
	tell(t, []story{
		{name: "two hosts behind a router with IPsec passthrough", tell: func(s *scene) {
			inside(s, "10.0.0.5").wait(10*time.Millisecond).clear(answer, wire.ExchangeIKESAInit, 0, append([]wire.Payload{proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce()}, s.natd(answer, s.spiR)...)...)
			s.authRequest().authResponse().wait(time.Second).probe(2).anew()
			inside(s, "10.0.0.6").again(backoff()...)
			s.spiI, s.spiR = 0xa1, 0xb1
			s.wait(time.Second).probe(3)
		}, sealed: []string{"high no-response-to-sa-init likely", "medium ipsec-alg-passthrough hint", "info nat-detected-unexpectedly likely"}, sealedOnly: true},
		{name: "a host that claims a NAT and is asked for another group", tell: func(s *scene) {
			forced(s).wait(10*time.Millisecond).clear(answer, wire.ExchangeIKESAInit, 0, notify(wire.NotifyInvalidKEPayload, 0, 19)).anew()
			forced(s).wait(10*time.Millisecond).clear(answer, wire.ExchangeIKESAInit, 0, append([]wire.Payload{proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce()}, s.natd(answer, s.spiR)...)...)
			s.authRequest().authResponse().wait(time.Second).probe(2)
		}, sealed: []string{"info nat-detected-unexpectedly likely"}, sealedOnly: true},
		{name: "one side goes on with the old SA after a rekeying", tell: func(s *scene) {
			s.tunnel().ping(5).rekey(2)
			for i := range 60 {
				s.espPacket(s.a, s.b, 0xc0000002, uint32(10+i), 120) // the old one
				s.espPacket(s.b, s.a, 0xc0000011, uint32(1+i), 120)  // the new one
				s.wait(time.Second)
			}
		}, sealed: []string{"critical outbound-sa-not-installed likely"}, sealedOnly: true, says: "192.0.2.1 goes on with the old one"},
		{name: "native ESP over IPv6 that goes one way", tell: func(s *scene) { v6(s).tunnel().esp(s.a, s.b, 0xc0000002, 1, 10, time.Second).probe(2) },
			sealed: []string{"high esp-one-way-out likely", "medium ipv6-extension-or-frag-drop hint"}, sealedOnly: true},
	})
}

func TestWhatTheKernelTheProcessorAndTheFilesOfAHostTellIsNamed(t *testing.T) {
	down := func(s *site) {
		s.conn.Children = append(s.conn.Children, &engine.ChildConfig{Name: "other", LocalTS: s.child.LocalTS, RemoteTS: []string{"10.9.0.0/24"}})
		s.facts.Policies = []engine.Policy{}
	}
	file := func(s *site, c diag.HostCertificate) {
		c.Path, c.Subject = "/etc/swanctl/x509/gw.pem", "CN=gw"
		if c.NotAfter.IsZero() {
			c.NotAfter = nextYear
		}
		s.host.Certificates = append(s.host.Certificates, c)
	}
	for _, row := range []struct {
		name  string
		wrong func(*site)
		want  []string
	}{
		{"no SA to send on", func(s *site) { s.child.SPIOut = engine.Some(wire.ESPSPI(0xc0000099)) }, []string{"critical outbound-sa-not-installed certain"}},
		{"both SAs", func(s *site) {
			s.child.SPIOut = engine.Some(wire.ESPSPI(0xc0000099))
			s.host.States = append(s.host.States, diag.HostState{Src: alice, Dst: bob, SPI: 0xc0000099, Proto: "esp"})
		}, []string{}},
		{"a child that is down and holds nothing back", down, []string{"info cleartext-leak-when-down hint"}},
		{"a child that is down behind a blackhole", func(s *site) {
			down(s)
			s.host.Routes = append(s.host.Routes, diag.HostRoute{Table: 254, Dst: p("10.9.0.0/24"), Type: "blackhole"})
		}, []string{}},
		{"a child that is down behind an xfrm interface", func(s *site) {
			down(s)
			s.host.Interfaces = append(s.host.Interfaces, diag.HostInterface{Name: "ipsec0", Kind: "xfrm", IfID: 7})
			s.host.Routes = append(s.host.Routes, diag.HostRoute{Table: 254, Dst: p("10.9.0.0/24"), Dev: "ipsec0", Type: "unicast"})
		}, []string{}},
		{"one core does it all", func(s *site) {
			s.host.StateGrowth, s.host.Cores = 1<<30, []diag.HostCore{{Number: 0, Busy: 0.2}, {Number: 1, Busy: 0.99, Packets: 0.9}}
		}, []string{"low throughput-capped likely"}},
		{"all cores are busy with something", func(s *site) {
			s.host.StateGrowth, s.host.Cores = 1<<30, []diag.HostCore{{Number: 0, Busy: 1}, {Number: 1, Busy: 0.99, Packets: 0.9}}
		}, []string{}},
		{"an old certificate file of ours", func(s *site) { file(s, diag.HostCertificate{HasKey: true, Issued: true, NotAfter: begin}) }, []string{"critical cert-expired certain"}},
		{"an old certificate file of an authority", func(s *site) { file(s, diag.HostCertificate{CA: true, NotAfter: begin}) }, []string{"medium cert-expired certain"}},
		{"an old certificate file of a peer", func(s *site) { file(s, diag.HostCertificate{NotAfter: begin}) }, []string{}},
		{"a certificate file of tomorrow", func(s *site) {
			s.host.Clock = &diag.HostClock{}
			file(s, diag.HostCertificate{HasKey: true, Issued: true, NotBefore: begin.Add(time.Hour)})
		}, []string{"high cert-not-yet-valid certain"}},
		{"a certificate without its issuer", func(s *site) { file(s, diag.HostCertificate{HasKey: true}) }, []string{"info cert-untrusted-issuer hint"}},
		{"a clock that has gone back", func(s *site) {
			s.host.Clock = &diag.HostClock{Past: begin.AddDate(0, 1, 0), PastFile: "/var/lib/dpkg/status"}
		}, []string{"high cert-not-yet-valid certain"}},
		{"a clock that nothing holds", func(s *site) { s.host.Clock = &diag.HostClock{Past: begin, PastFile: "/var/lib/dpkg/status"} }, []string{}},
		{"more than full inside and fine outside", func(s *site) {
			s.facts.Probe = &diag.Probe{Local: alice, Remote: bob, Plain: diag.ReachAnswers, Inner: []diag.ProbeSize{{Octets: 84, Sent: 1, Answered: 1}, {Octets: 1300, Sent: 3, Answered: 0}}, Sizes: []diag.ProbeSize{{Octets: 500, Sent: 1, Answered: 1}, {Octets: 1500, Sent: 1, Answered: 1}}}
		}, []string{"high mtu-pmtu-blackhole likely", "medium inner-icmp-error-not-in-policy hint"}},
		{"the first large packet is lost", func(s *site) {
			s.facts.Probe = &diag.Probe{Local: alice, Remote: bob, Plain: diag.ReachAnswers, Inner: []diag.ProbeSize{{Octets: 84, Sent: 1, Answered: 1}, {Octets: 1400, Sent: 2, Answered: 1}}}
		}, []string{"info ptb-arrives-one-packet-late hint"}},
		{"large requests over IPv6 are lost", func(s *site) {
			six := netip.MustParseAddr("2001:db8::2")
			s.facts.Probe = &diag.Probe{Local: six.Prev(), Remote: six, Plain: diag.ReachAnswers, Sizes: []diag.ProbeSize{{Octets: 500, Sent: 1, Answered: 1}, {Octets: 1600, Sent: 3, Answered: 0}}}
		}, []string{"high ike-auth-ip-fragment-loss certain", "medium ipv6-extension-or-frag-drop likely"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := healthySite()
			row.wrong(s)
			found := s.findings()
			if d := cmp.Diff(row.want, brief(found)); d != "" {
				for _, f := range found {
					t.Log(line(f))
				}
				t.Errorf("(-want +got):\n%s", d)
			}
			for _, f := range found {
				if f.Confidence != diag.Certain && f.Surer == "" {
					t.Errorf("%s does not say what would make it surer", f.ID)
				}
			}
		})
	}
}

func TestAPeerThatAsksForEverythingIsNamedByTheResponder(t *testing.T) {
	tr := logged("received packet: from 192.0.2.2[500] to 192.0.2.1[500] (400 bytes)", "traffic selectors 0.0.0.0/0 === 0.0.0.0/0 unacceptable")
	found := diag.Diagnose(&diag.Facts{Source: "vici:test", Trace: tr, Now: tr.Last.Add(time.Second), Live: true}, rule.All())
	if d := cmp.Diff([]string{"high ts-any-vs-proxy-id likely"}, brief(found)); d != "" {
		t.Error(d)
	}
}
