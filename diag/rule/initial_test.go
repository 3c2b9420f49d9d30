package rule_test

import (
	"testing"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func TestRoundsOfTheFirstExchangeThatNeverEndAreNamed(t *testing.T) {
	groups := func(s *scene, words string, asked ...wire.KEMethod) {
		guess := wire.KEMethod(wire.KEECP256)
		for _, g := range asked {
			s.clear(ask, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, words), ke(guess), nonce()).
				clear(answer, wire.ExchangeIKESAInit, 0, notify(wire.NotifyInvalidKEPayload, u16(uint16(g))...))
			guess = g
		}
	}
	cookies := func(s *scene, n int) {
		var cookie []wire.Payload
		for i := range n {
			s.clear(ask, wire.ExchangeIKESAInit, 0, append(cookie, proposal(s.t, wire.ProtocolIKE, goodIKE), ke(wire.KEECP256), nonce())...)
			cookie = []wire.Payload{notify(wire.NotifyCookie, 9, byte(i))}
			s.clear(answer, wire.ExchangeIKESAInit, 0, cookie...)
		}
	}
	tell(t, []story{
		{name: "cookies", tell: func(s *scene) { cookies(s, 4) }, sealed: []string{"high cookie-loop certain"}, sealedOnly: true, says: "3 times although the last one was returned; 4 different cookies"},
		{name: "a cookie twice may be a new secret", tell: func(s *scene) { cookies(s, 2) }, sealedOnly: true},
		{name: "groups in turn", tell: func(s *scene) {
			groups(s, "aes256gcm16-prfsha256-ecp256-curve25519", wire.KECurve25519, wire.KEECP256, wire.KECurve25519)
		}, sealed: []string{"high invalid-ke-loop certain"}, sealedOnly: true, says: "answered INVALID_KE_PAYLOAD 3 times and asked for CURVE_25519 and ECP_256"},
		{name: "a group that was not offered", tell: func(s *scene) { groups(s, goodIKE, wire.KEModp2048) },
			sealed: []string{"high invalid-ke-loop certain"}, sealedOnly: true, says: "192.0.2.2 asks for MODP_2048, which 192.0.2.1 does not offer"},
		{name: "redirects", tell: func(s *scene) {
			for range 6 {
				s.hello().clear(answer, wire.ExchangeIKESAInit, 0, notify(wire.NotifyRedirect, 1, 4, 192, 0, 2, 9)).anew()
			}
		}, sealed: []string{"low redirect-loop certain"}, sealedOnly: true},
	})
}

func TestARefusedProposalIsComparedWithWhatThePeerIsKnownToUse(t *testing.T) {
	refuse := func(s *scene, words ...string) *scene {
		return s.clear(ask, wire.ExchangeIKESAInit, 0, proposal(s.t, wire.ProtocolIKE, words...), ke(wire.KEECP256), nonce()).
			clear(answer, wire.ExchangeIKESAInit, 0, notify(wire.NotifyNoProposalChosen))
	}
	// calls has the peer itself begin, and come up with what it wants.
	calls := func(s *scene, words string) {
		s.anew()
		s.a, s.b = s.b, s.a
		s.initWith(words).authRequest().authResponse()
	}
	long := []string{
		"aes128-sha256-modp2048", "aes128-sha384-modp3072", "aes128-sha512-modp4096", "aes192-sha256-modp2048", "aes192-sha384-modp3072",
		"aes192-sha512-modp4096", "aes256-sha256-modp2048", "aes256-sha384-modp3072", goodIKE,
	}
	tell(t, []story{
		{name: "nothing known of the peer", tell: func(s *scene) { refuse(s, "aes256-sha256-modp2048", "aes256gcm16-prfsha384-ecp384") },
			sealed: []string{"high no-proposal-ike likely"}, sealedOnly: true,
			says: "offered ENCR AES_CBC-256, AES_GCM_16-256; INTEG HMAC_SHA2_256_128; PRF PRF_HMAC_SHA2_256, PRF_HMAC_SHA2_384; KE MODP_2048, ECP_384"},
		{name: "another group", tell: func(s *scene) { refuse(s, "aes256-sha256-modp3072"); calls(s, "aes256-sha256-ecp384") },
			sealed: []string{"high no-proposal-ike certain"}, sealedOnly: true, says: "KE: offered MODP_3072, the peer uses ECP_384"},
		{name: "another key length", tell: func(s *scene) { refuse(s, "aes128-sha256-modp2048"); calls(s, "aes256-sha256-modp2048") },
			sealed: []string{"high keylength-mismatch certain > no-proposal-ike"}, sealedOnly: true, says: "192.0.2.1 offers AES_CBC with 128 bit, 192.0.2.2 uses it with 256 bit"},
		{name: "a list that is read in part", tell: func(s *scene) { refuse(s, long...); calls(s, goodIKE) },
			sealed: []string{"high proposal-list-truncated-by-peer likely > no-proposal-ike"}, sealedOnly: true, says: "number 9 of the list"},
	})
}

func TestNoAdviceSpreadsWeakAlgorithms(t *testing.T) {
	s := newScene(t, false)
	s.clear(ask, wire.ExchangeIKESAInit, 0, proposal(t, wire.ProtocolIKE, "3des-md5-modp1024", "aes256-sha256-modp2048"), ke(wire.KEECP256), nonce()).
		clear(answer, wire.ExchangeIKESAInit, 0, notify(wire.NotifyNoProposalChosen))
	found := s.findings(0)
	if len(found) != 1 {
		t.Fatalf("%d findings", len(found))
	}
	if got := found[0].Remedies[0].Change; got != "connections.<c>.proposals = aes256-sha256-modp2048" {
		t.Errorf("advises %q", got)
	}
}

func TestWeakAlgorithmsAreGradedByTheRFCs(t *testing.T) {
	ike := func(words string) func(*scene) { return func(s *scene) { s.initWith(words) } }
	esp := func(words string) func(*scene) {
		return func(s *scene) {
			s.init().authRequest().sealed(answer, wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDr, "b.example"), auth(wire.AuthSharedKey, 32), proposal(s.t, wire.ProtocolESP, words),
				ts(wire.PayloadTSi, "10.1.0.0-10.1.0.255"), ts(wire.PayloadTSr, "10.2.0.0-10.2.0.255"))
		}
	}
	const weak = " weak-crypto-negotiated certain"
	tell(t, []story{
		{name: "AES-CBC, SHA2-256, group 14", tell: ike("aes256-sha256-modp2048"), sealedOnly: true},
		{name: "group 1", tell: ike("aes256-sha256-modp768"), sealed: []string{"medium" + weak}, sealedOnly: true, says: "group 1 (MODP_768), which RFC 8247 forbids"},
		{name: "group 2", tell: ike("aes256-sha256-modp1024"), sealed: []string{"medium" + weak}, sealedOnly: true, says: "group 2 (MODP_1024), which RFC 8247 advises against"},
		{name: "group 5", tell: ike("aes256-sha256-modp1536"), sealed: []string{"medium" + weak}, sealedOnly: true},
		{name: "group 22", tell: ike("aes256-sha256-modp1024s160"), sealed: []string{"medium" + weak}, sealedOnly: true},
		{name: "group 24", tell: ike("aes256-sha256-modp2048s256"), sealed: []string{"medium" + weak}, sealedOnly: true},
		{name: "DES", tell: ike("des-sha256-modp2048"), sealed: []string{"medium" + weak}, sealedOnly: true},
		{name: "3DES in IKE", tell: ike("3des-sha256-modp2048"), sealed: []string{"low" + weak}, sealedOnly: true},
		{name: "MD5", tell: ike("aes256-md5-modp2048"), sealed: []string{"medium" + weak}, sealedOnly: true},
		{name: "SHA1", tell: ike("aes256-sha1-modp2048"), sealed: []string{"info" + weak}, sealedOnly: true},
		{name: "3DES in ESP", tell: esp("3des-sha256"), open: []string{"medium" + weak}, says: "ESP 3DES, which RFC 8221 advises against"},
		{name: "no encryption in ESP", tell: esp("null-sha256"), open: []string{"low" + weak}, says: "readable by anyone"},
		{name: "MD5 in ESP", tell: esp("aes256-md5"), open: []string{"medium" + weak}},
		{name: "a weak group for PFS", tell: esp("aes256gcm16-modp1024"), open: []string{"medium" + weak}},
	})
}
